/**
 * Literals that fengari's 32-bit integers cannot hold: `0x100000000` would be 0 and `0xffffffff` -1, where Lua 5.1 has
 * doubles. They are written in decimals before a chunk is compiled; strings and comments stay as they are, and so do lines.
 */

import { latin1 } from '../bytes.ts';

/** Hexadecimal digits of a literal that may be too large. */
const WIDE_HEX = /0[xX][0-9a-fA-F]{8,}/;

/** What is skipped (comments, strings, names) or looked at (numbers), wherever it begins. */
const TOKEN =
  /--\[(=*)\[[\s\S]*?\]\1\]|--[^\n]*|\[(=*)\[[\s\S]*?\]\2\]|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'|[A-Za-z_]\w*|0[xX][0-9a-fA-F]+(?:[.pP][\w.]*)?|\d[\w.]*/g;

/** The chunk with wide hexadecimal literals in decimals; the same bytes when there are none. */
export function widenHex(chunk: Uint8Array): Uint8Array {
  const text = latin1(chunk);
  if (!WIDE_HEX.test(text)) return chunk;
  return Buffer.from(
    text.replaceAll(TOKEN, (token) => (/^0[xX][0-9a-fA-F]{8,}$/.test(token) ? decimal(token) : token)),
    'latin1',
  );
}

function decimal(literal: string): string {
  return String(Number(BigInt.asUintN(64, BigInt(literal))));
}
