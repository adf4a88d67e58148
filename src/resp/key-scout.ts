/**
 * A look at the commands that have come together, before the first of them runs: where their keys are, or would be.
 *
 * A look-up mostly waits for memory, a hundred nanoseconds for each step of the way, and several that do not depend on
 * each other wait together. So the layer above is told what it will soon be asked for. It is a hint: the second word is
 * taken for the key whatever the command, and anything that is not plain ends the look. What the stream means, and
 * whether it means anything, is the parser's to say.
 */

import type { Args } from '../commands/args.ts';
import { SCOUTED_MAX_KEYS } from './limits.ts';

const CR = 13;
const DOLLAR = 36;
const STAR = 42;
const ZERO = 48;

/** Digits of a count or length that are looked at. */
const MAX_DIGITS = 7;

/** Where `readNumber` has stopped: one past the line. */
let after = 0;

/**
 * Sets `keys` to the second words of commands that follow each other from bytes[start] on and end by `end`, without those
 * that the command before has too. When the first two have one key the look ends: they mostly all have it.
 */
export function scoutKeys(bytes: Uint8Array, start: number, end: number, keys: Args): void {
  keys.count = 0;
  keys.bytes = bytes;
  let at = start;
  while (keys.count < SCOUTED_MAX_KEYS && at < end && bytes[at] === STAR) {
    const words = readNumber(bytes, at + 1, end);
    if (words < 1) return;
    at = after;
    let keyStart = 0;
    let keyEnd = 0;
    for (let i = 0; i < words; i++) {
      if (at >= end || bytes[at] !== DOLLAR) return;
      const length = readNumber(bytes, at + 1, end);
      if (length < 0) return;
      if (i === 1) {
        keyStart = after;
        keyEnd = after + length;
      }
      at = after + length + 2;
    }
    if (at > end) return;
    if (words < 2) continue;
    if (keys.count > 0 && isLastKey(keys, keyStart, keyEnd)) {
      if (keys.count === 1) return;
    } else keys.push(keyStart, keyEnd);
  }
}

function isLastKey({ bytes, starts, ends, count }: Args, start: number, end: number): boolean {
  const lastStart = starts[count - 1] as number;
  if ((ends[count - 1] as number) - lastStart !== end - start) return false;
  // Keys mostly differ at their ends.
  for (let i = end - start - 1; i >= 0; i--) if (bytes[lastStart + i] !== bytes[start + i]) return false;
  return true;
}

/** The number in the line that begins at `start`; -1 when it is not plain, or not all of it has come. */
function readNumber(bytes: Uint8Array, start: number, end: number): number {
  const last = Math.min(end - 1, start + MAX_DIGITS + 1);
  let value = 0;
  for (let at = start; at < last; at++) {
    const byte = bytes[at] as number;
    if (byte === CR) {
      after = at + 2;
      return at > start ? value : -1;
    }
    const digit = byte - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return -1;
}
