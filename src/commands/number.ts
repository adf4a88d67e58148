/**
 * Integers as Redis reads and writes them: decimal, 64 bits with sign, no `+`, no blanks, no leading zeros, no `-0`.
 *
 * Safe integers are numbers; what lies beyond 2^53 is a BigInt, which only values and arguments of that size pay for.
 */

import { CommandError, NOT_AN_INTEGER } from './errors.ts';
import type { Args } from './args.ts';

export const INT64_MAX = 0x7fff_ffff_ffff_ffffn;
export const INT64_MIN = -0x8000_0000_0000_0000n;

const MINUS = 0x2d;
const ZERO = 0x30;

/** Longest text of a 64-bit integer: 19 digits and a sign. */
const INT64_MAX_LENGTH = 20;

/** The integer that bytes[start, end) spells, if it is a safe one; else NaN. */
export function parseSafeInteger(bytes: Uint8Array, start: number, end: number): number {
  const negative = bytes[start] === MINUS;
  const first = negative ? start + 1 : start;
  const digits = end - first;
  if (digits < 1 || digits > 16) return Number.NaN;
  if (bytes[first] === ZERO) return digits === 1 && !negative ? 0 : Number.NaN;
  let value = 0;
  for (let i = first; i < end; i++) {
    const digit = (bytes[i] as number) - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  if (value > Number.MAX_SAFE_INTEGER) return Number.NaN;
  return negative ? -value : value;
}

/** The 64-bit integer that bytes[start, end) spells, else undefined. A number when it is a safe integer. */
export function parseInt64(bytes: Uint8Array, start: number, end: number): number | bigint | undefined {
  const safe = parseSafeInteger(bytes, start, end);
  if (!Number.isNaN(safe)) return safe;
  if (end - start < 16 || end - start > INT64_MAX_LENGTH) return undefined;
  let text = '';
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i] as number);
  if (!/^-?[1-9][0-9]*$/.test(text)) return undefined;
  const value = BigInt(text);
  return value >= INT64_MIN && value <= INT64_MAX ? value : undefined;
}

/** Word i as a 64-bit integer. Throws `CommandError`. */
export function int64Of(args: Args, i: number): number | bigint {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined) throw new CommandError(NOT_AN_INTEGER);
  return value;
}

/** Word i as a 64-bit integer, brought into the safe range: for offsets, counts and limits. Throws `CommandError`. */
export function clampedIntegerOf(args: Args, i: number): number {
  return clampToSafe(int64Of(args, i));
}

/** Nearest safe integer. */
export function clampToSafe(value: number | bigint): number {
  if (typeof value === 'number') return value;
  return value > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER;
}

/** a + b; undefined when it does not fit into 64 bits. */
export function addInt64(a: number | bigint, b: number | bigint): number | bigint | undefined {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  const sum = BigInt(a) + BigInt(b);
  if (sum > INT64_MAX || sum < INT64_MIN) return undefined;
  return narrow(sum);
}

/** −a; undefined for the least 64-bit integer. */
export function negateInt64(a: number | bigint): number | bigint | undefined {
  if (typeof a === 'number') return a === 0 ? 0 : -a;
  return a === INT64_MIN ? undefined : -a;
}

/** The decimal text of an integer as bytes. */
export function integerBytes(value: number | bigint): Uint8Array {
  const text = String(value);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
