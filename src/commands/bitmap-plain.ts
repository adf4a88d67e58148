/** Single bits of strings, and how many there are: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { bitAt, type BitOperation, combineBits, countOnes, countOnesOfBits, findBit } from './bitmap-bits.ts';
import { bitmapCommand, bitmapDoc, bitOffsetOf, stringWithRoom } from './bitmap-row.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf, parseInt64 } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import type { Reply } from './reply.ts';
import { rowAt, stringOrEmpty, stringRowAt } from './string-row.ts';

export const plainBitmapCommands: readonly Command[] = [
  bitmapCommand({
    name: 'setbit',
    arity: 4,
    flags: ['write', 'denyoom'],
    access: 'update',
    doc: bitmapDoc('Sets a bit of a string, which grows as needed, and returns what it was.', '2.2.0', 'O(1)'),
    run: setBit,
  }),
  bitmapCommand({
    name: 'getbit',
    arity: 3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: bitmapDoc('Returns a bit of a string; beyond its end they are 0.', '2.2.0', 'O(1)'),
    run: getBit,
  }),
  bitmapCommand({
    name: 'bitcount',
    arity: -2,
    flags: ['readonly'],
    access: 'read',
    doc: bitmapDoc('Counts the ones of a string, or of a range of it.', '2.6.0'),
    run: count,
  }),
  bitmapCommand({
    name: 'bitpos',
    arity: -3,
    flags: ['readonly'],
    access: 'read',
    doc: bitmapDoc('Finds the first bit that is 1, or 0, in a string or in a range of it.', '2.8.7'),
    run: position,
  }),
  bitmapCommand({
    name: 'bitop',
    arity: -4,
    flags: ['write', 'denyoom'],
    keys: { first: 2, last: -1, step: 1 },
    access: 'transaction',
    doc: bitmapDoc('Combines strings bit by bit and stores the result.', '2.6.0'),
    run: combine,
  }),
];

function setBit(view: View, args: Args, { server }: Context): Reply {
  const offset = bitOffsetOf(args, 2, server.settings.maxBulkBytes);
  const bit = parseInt64(args.bytes, args.starts[3] as number, args.ends[3] as number);
  if (bit !== 0 && bit !== 1) throw new CommandError('ERR bit is not an integer or out of range');
  const row = stringRowAt(view, args, 1);
  const before = stringOrEmpty(view, row);
  const old = bitAt(before, offset);
  const at = Math.floor(offset / 8);
  if (row.live && old === bit && at < before.length) return old;
  const bytes = stringWithRoom(before, at + 1);
  const mask = 0x80 >> (offset % 8);
  bytes[at] = bit === 1 ? (bytes[at] as number) | mask : (bytes[at] as number) & ~mask;
  view.setString(row, bytes, row.expiresAtMs);
  return old;
}

function getBit(view: View, args: Args, { server }: Context): Reply {
  const offset = bitOffsetOf(args, 2, server.settings.maxBulkBytes);
  const row = stringRowAt(view, args, 1);
  return row.live ? bitAt(view.string(row), offset) : 0;
}

/** What the words of a range of BITCOUNT and BITPOS say, ends still as written. */
interface BitRange {
  readonly first: number;
  readonly last: number;
  readonly inBits: boolean;
}

function unitIsBits(args: Args, i: number): boolean {
  if (i >= args.count) return false;
  const unit = optionName(args, i);
  if (unit !== 'BIT' && unit !== 'BYTE') throw syntaxError();
  return unit === 'BIT';
}

/** The range brought into a string of `bytes` bytes, in bits; first > last: nothing is in it. */
function bitsOf({ first, last, inBits }: BitRange, bytes: number): { readonly first: number; readonly last: number } {
  const length = inBits ? bytes * 8 : bytes;
  const start = Math.max(first < 0 ? length + first : first, 0);
  const end = Math.min(Math.max(last < 0 ? length + last : last, 0), length - 1);
  if (start > end) return { first: 1, last: 0 };
  return inBits ? { first: start, last: end } : { first: start * 8, last: end * 8 + 7 };
}

function count(view: View, args: Args): Reply {
  const row = stringRowAt(view, args, 1);
  if (!row.live) return 0;
  const bytes = view.string(row);
  if (args.count === 2) return countOnes(bytes, 0, bytes.length);
  if (args.count !== 4 && args.count !== 5) throw syntaxError();
  const first = clampedIntegerOf(args, 2);
  const last = clampedIntegerOf(args, 3);
  if (first < 0 && last < 0 && first > last) return 0;
  const bits = bitsOf({ first, last, inBits: unitIsBits(args, 4) }, bytes.length);
  return bits.first > bits.last ? 0 : countOnesOfBits(bytes, bits.first, bits.last);
}

function position(view: View, args: Args): Reply {
  const bit = clampedIntegerOf(args, 2);
  if (bit !== 0 && bit !== 1) throw new CommandError('ERR The bit argument must be 1 or 0.');
  const row = stringRowAt(view, args, 1);
  if (!row.live) return bit === 1 ? -1 : 0;
  if (args.count > 6) throw syntaxError();
  const bytes = view.string(row);
  const first = args.count > 3 ? clampedIntegerOf(args, 3) : 0;
  const inBits = unitIsBits(args, 5);
  const endGiven = args.count > 4;
  const last = endGiven ? clampedIntegerOf(args, 4) : -1;
  const bits = bitsOf({ first, last, inBits }, bytes.length);
  if (bits.first > bits.last) return -1;
  const found = findBit(bytes, bit, bits.first, bits.last);
  // Without an end the string is followed by zeros for ever.
  return found < 0 && bit === 0 && !endGiven ? bytes.length * 8 : found;
}

function combine(view: View, args: Args): Reply {
  const operation = operationOf(optionName(args, 1));
  if (operation === 'NOT' && args.count !== 4) {
    throw new CommandError('ERR BITOP NOT must be called with a single source key.');
  }
  if ((operation === 'DIFF' || operation === 'DIFF1' || operation === 'ANDOR') && args.count < 5) {
    throw new CommandError(`ERR BITOP ${operation} must be called with at least two source keys.`);
  }
  const sources: Uint8Array[] = [];
  for (let i = 3; i < args.count; i++) sources.push(stringOrEmpty(view, stringRowAt(view, args, i)));
  const result = combineBits(operation, sources);
  const target = rowAt(view, args, 2);
  if (result.length === 0) view.remove(target);
  else view.setString(target, result, 0);
  return result.length;
}

const OPERATIONS: readonly BitOperation[] = ['AND', 'OR', 'XOR', 'NOT', 'DIFF', 'DIFF1', 'ANDOR', 'ONE'];

function operationOf(name: string): BitOperation {
  const operation = OPERATIONS.find((each) => each === name);
  if (operation === undefined) throw syntaxError();
  return operation;
}
