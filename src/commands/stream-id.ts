/**
 * Ids of stream entries: milliseconds and a sequence number, 64 bits each. Here they are the 16 bytes that are the key of
 * the entry (u64 BE each), so that their order is the order of bytes and what is beyond 2^53 needs no other form.
 */

import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { compareBytes, copyOf } from '../bytes.ts';
import type { Args } from './args.ts';
import { CommandError } from './errors.ts';

/** 16 bytes; nobody changes them once they are made. */
export type StreamId = Uint8Array;

export const ID_BYTES = 16;

export const LEAST_ID: StreamId = new Uint8Array(ID_BYTES);
export const GREATEST_ID: StreamId = new Uint8Array(ID_BYTES).fill(0xff);

const INVALID_ID = 'ERR Invalid stream ID specified as stream command argument';
const INVALID_START = 'ERR invalid start ID for the interval';
const INVALID_END = 'ERR invalid end ID for the interval';

/** Longest word that may be an id. */
const ID_TEXT_MAX = 127;
const UINT64_MAX = 0xffff_ffff_ffff_ffffn;

/** What stands for the sequence number where a word names none. */
export type MissingSequence = 'least' | 'greatest';

const HALF = 0x1_0000_0000;
/** High halves below this make a safe integer. */
const SAFE_HIGH = 0x20_0000;

export function idOf(ms: number, sequence: number): StreamId {
  const id = new Uint8Array(ID_BYTES);
  writeNumber(id, 0, ms);
  writeNumber(id, 8, sequence);
  return id;
}

function writeNumber(id: Uint8Array, at: number, value: number): void {
  writeU32(id, at, Math.floor(value / HALF));
  writeU32(id, at + 4, value % HALF);
}

/** `ms-sequence`. */
export function textOfId(id: Uint8Array): string {
  return `${textOfHalf(id, 0)}-${textOfHalf(id, 8)}`;
}

function textOfHalf(id: Uint8Array, at: number): string {
  const high = readU32(id, at);
  const low = readU32(id, at + 4);
  if (high < SAFE_HIGH) return String(high * HALF + low);
  return String((BigInt(high) << 32n) | BigInt(low));
}

/** The milliseconds of an id; beyond the safe integers only nearly. */
export function msOfId(id: Uint8Array): number {
  return readU32(id, 0) * HALF + readU32(id, 4);
}

export function isSameMs(a: StreamId, b: StreamId): boolean {
  return compareBytes(a.subarray(0, 8), b.subarray(0, 8)) === 0;
}

export function isLeast(id: StreamId): boolean {
  return id.every((byte) => byte === 0);
}

/** The id after this one; undefined: there is none. */
export function idAfter(id: StreamId): StreamId | undefined {
  return stepped(id, 0xff, 0, 1);
}

/** The id before this one; undefined: there is none. */
export function idBefore(id: StreamId): StreamId | undefined {
  return stepped(id, 0, 0xff, -1);
}

/** Adds `by` to the last byte that is not `full`; those behind it become `rest`. */
function stepped(id: StreamId, full: number, rest: number, by: 1 | -1): StreamId | undefined {
  const next = copyOf(id);
  let at = ID_BYTES - 1;
  while (at >= 0 && next[at] === full) next[at--] = rest;
  if (at < 0) return undefined;
  next[at] = (next[at] as number) + by;
  return next;
}

/** The id after this one with the same milliseconds; undefined: there is none. */
export function sequenceAfter(id: StreamId): StreamId | undefined {
  const next = idAfter(id);
  return next !== undefined && isSameMs(next, id) ? next : undefined;
}

/** Writes the number that the text spells; false: it spells none of 64 bits. */
function parseHalf(id: Uint8Array, at: number, text: string): boolean {
  // As C's strtoull, which Redis falls back to: blanks, a plus and leading zeros may stand in front.
  const digits = /^\s*\+?([0-9]+)$/.exec(text)?.[1];
  if (digits === undefined) return false;
  if (digits.length <= 15) {
    writeNumber(id, at, Number(digits));
    return true;
  }
  const value = BigInt(digits);
  if (value > UINT64_MAX) return false;
  writeU32(id, at, Number(value >> 32n));
  writeU32(id, at + 4, Number(value & 0xffff_ffffn));
  return true;
}

function parseId(text: string, missing: MissingSequence): StreamId | undefined {
  if (text.length > ID_TEXT_MAX) return undefined;
  const dash = text.indexOf('-');
  const id = new Uint8Array(ID_BYTES);
  if (!parseHalf(id, 0, dash < 0 ? text : text.slice(0, dash))) return undefined;
  if (dash >= 0) return parseHalf(id, 8, text.slice(dash + 1)) ? id : undefined;
  if (missing === 'greatest') id.fill(0xff, 8);
  return id;
}

/** Word i as an id; undefined: it is none. */
export function tryIdAt(args: Args, i: number): StreamId | undefined {
  return parseId(args.text(i), 'least');
}

/** Word i as an id; without a sequence number it is 0. Throws `CommandError`. */
export function idAt(args: Args, i: number): StreamId {
  const id = tryIdAt(args, i);
  if (id === undefined) throw new CommandError(INVALID_ID);
  return id;
}

/** As `idAt`; `-` and `+` are the least and the greatest. Throws `CommandError`. */
export function idOrEdgeAt(args: Args, i: number, missing: MissingSequence = 'least'): StreamId {
  const text = args.text(i);
  if (text === '-') return LEAST_ID;
  if (text === '+') return GREATEST_ID;
  const id = parseId(text, missing);
  if (id === undefined) throw new CommandError(INVALID_ID);
  return id;
}

/** What XADD is told: an id, its milliseconds alone (`ms-*`), or nothing (`*`). */
export interface WantedId {
  readonly id: StreamId;
  readonly sequenceGiven: boolean;
}

/** Word i as the id of a new entry. Throws `CommandError`. */
export function wantedIdAt(args: Args, i: number): WantedId {
  const text = args.text(i);
  if (!text.endsWith('-*')) return { id: idAt(args, i), sequenceGiven: true };
  const id = text.indexOf('-') === text.length - 2 ? parseId(text.slice(0, -2), 'least') : undefined;
  if (id === undefined) throw new CommandError(INVALID_ID);
  return { id, sequenceGiven: false };
}

/** The lower end of an interval, `(` in front of it leaves it out. Throws `CommandError`. */
export function intervalStartAt(args: Args, i: number): StreamId {
  return edgeAt(args, i, 'least', idAfter, INVALID_START);
}

/** The upper end of an interval, itself included. Throws `CommandError`. */
export function intervalEndAt(args: Args, i: number): StreamId {
  return edgeAt(args, i, 'greatest', idBefore, INVALID_END);
}

function edgeAt(
  args: Args,
  i: number,
  missing: MissingSequence,
  step: (id: StreamId) => StreamId | undefined,
  refusal: string,
): StreamId {
  const text = args.text(i);
  if (text.length < 2 || !text.startsWith('(')) return idOrEdgeAt(args, i, missing);
  const id = parseId(text.slice(1), missing);
  if (id === undefined) throw new CommandError(INVALID_ID);
  const inside = step(id);
  if (inside === undefined) throw new CommandError(refusal);
  return inside;
}
