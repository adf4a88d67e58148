/**
 * A row's head: the cell that says what the row is. Format 1, big-endian:
 *
 * ```
 * u8   format (1)
 * u8   type: 0 deleted, 1 string, 2 hash, 3 list, 4 set, 5 sorted set, 6 stream
 * u8   flags
 * u64  version: stamp      u32  version: actor
 * [u64 deadline in ms]                          flag EXPIRES
 * [u64 stamp, u32 actor: modification version]  flag MODIFIED (else it is the version)
 * [u64 generation of its cells]                 flag CELLS: a collection whose elements stand in cells, see element-cells.ts
 * [24 bytes: lock of a transaction]             flag LOCKED, see row-lock.ts
 * string:     the value (with flag SIBLINGS several, see sibling-codec.ts)
 * collection: element-pack.ts; with flag CELLS only what stands in front of the elements
 * either, with flag APART: u32 length of the value, which stands in element STRING_ELEMENT
 * ```
 *
 * BORN and DIED are not state but what this write did to the number of live rows (+1, -1), so that replaying a WAL
 * restores the counts without looking at old values.
 * A head is valid if its format is 1, its type is known and its fixed fields fit; anything else is corruption.
 */

import { assert } from '../assert.ts';
import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { readStamp, writeStamp } from './row-key.ts';
import { LOCK_BYTES } from './row-lock.ts';

export const rowType = { DELETED: 0, STRING: 1, HASH: 2, LIST: 3, SET: 4, SORTED_SET: 5, STREAM: 6 } as const;
export type RowType = (typeof rowType)[keyof typeof rowType];

const FORMAT = 1;

export const headFlag = {
  EXPIRES: 1,
  MODIFIED: 2,
  CELLS: 4,
  APART: 8,
  BORN: 16,
  DIED: 32,
  SIBLINGS: 64,
  LOCKED: 128,
} as const;

/**
 * Longest value kept in the head; a longer string stands apart, so that an EXPIRE does not rewrite it, and the elements of a
 * longer collection in cells.
 */
export const MAX_INLINE_BYTES = 1024;

const FIXED_LENGTH = 15;

/** Bytes of the version that stands before an element's value: u64 stamp, u32 actor. */
export const ELEMENT_HEADER = 12;

/** A decoded head. Absent rows have type DELETED and stamp 0. `bytes` is the engine's memory: see Found. */
export class Head {
  type: RowType = rowType.DELETED;
  flags = 0;
  stamp = 0;
  actor = 0;
  /** 0 = never. */
  expiresAtMs = 0;
  modifiedStamp = 0;
  modifiedActor = 0;
  /** Of the cells that the elements stand in; only with flag CELLS. */
  generation = 0;
  /** Only with flag LOCKED; `bytes` as long as they are valid. */
  lock: Uint8Array | undefined = undefined;
  /** Inline value: bytes[valueStart, valueEnd). */
  bytes: Uint8Array | undefined = undefined;
  valueStart = 0;
  valueEnd = 0;
  /** Length of the value that stands apart; only with flag APART. */
  apartLength = 0;

  /** The head of an absent row again. */
  reset(): void {
    this.type = rowType.DELETED;
    this.flags = 0;
    this.stamp = 0;
    this.actor = 0;
    this.expiresAtMs = 0;
    this.modifiedStamp = 0;
    this.modifiedActor = 0;
    this.generation = 0;
    this.lock = undefined;
    this.bytes = undefined;
    this.valueStart = 0;
    this.valueEnd = 0;
    this.apartLength = 0;
  }
}

/** Fills `head` from bytes[start, end). */
export function readHead(head: Head, bytes: Uint8Array, start: number, end: number): void {
  assert(end - start >= FIXED_LENGTH && bytes[start] === FORMAT, 'a head of format 1');
  const flags = bytes[start + 2] as number;
  head.type = bytes[start + 1] as RowType;
  head.flags = flags;
  head.stamp = readStamp(bytes, start + 3);
  head.actor = readU32(bytes, start + 11);
  let at = start + FIXED_LENGTH;
  head.expiresAtMs = 0;
  if ((flags & headFlag.EXPIRES) !== 0) {
    head.expiresAtMs = readStamp(bytes, at);
    at += 8;
  }
  head.modifiedStamp = head.stamp;
  head.modifiedActor = head.actor;
  if ((flags & headFlag.MODIFIED) !== 0) {
    head.modifiedStamp = readStamp(bytes, at);
    head.modifiedActor = readU32(bytes, at + 8);
    at += 12;
  }
  head.generation = 0;
  if ((flags & headFlag.CELLS) !== 0) {
    head.generation = readStamp(bytes, at);
    at += 8;
  }
  head.lock = undefined;
  if ((flags & headFlag.LOCKED) !== 0) {
    head.lock = bytes.subarray(at, at + LOCK_BYTES);
    at += LOCK_BYTES;
  }
  head.apartLength = 0;
  if ((flags & headFlag.APART) !== 0) {
    head.apartLength = readU32(bytes, at);
    at += 4;
  }
  head.bytes = bytes;
  head.valueStart = at;
  head.valueEnd = end;
}

/** Bytes of a head with these flags and `payloadLength` bytes of inline value. */
export function headLength(flags: number, payloadLength: number): number {
  let length = FIXED_LENGTH + payloadLength;
  if ((flags & headFlag.EXPIRES) !== 0) length += 8;
  if ((flags & headFlag.MODIFIED) !== 0) length += 12;
  if ((flags & headFlag.CELLS) !== 0) length += 8;
  if ((flags & headFlag.LOCKED) !== 0) length += LOCK_BYTES;
  if ((flags & headFlag.APART) !== 0) length += 4;
  return length;
}

/** Writes the fixed and optional fields at target[at…]; returns where the inline value begins. */
export function writeHead(target: Uint8Array, at: number, head: Head): number {
  target[at] = FORMAT;
  target[at + 1] = head.type;
  target[at + 2] = head.flags;
  writeStamp(target, at + 3, head.stamp);
  writeU32(target, at + 11, head.actor);
  let end = at + FIXED_LENGTH;
  if ((head.flags & headFlag.EXPIRES) !== 0) {
    writeStamp(target, end, head.expiresAtMs);
    end += 8;
  }
  if ((head.flags & headFlag.MODIFIED) !== 0) {
    writeStamp(target, end, head.modifiedStamp);
    writeU32(target, end + 8, head.modifiedActor);
    end += 12;
  }
  if ((head.flags & headFlag.CELLS) !== 0) {
    writeStamp(target, end, head.generation);
    end += 8;
  }
  if ((head.flags & headFlag.LOCKED) !== 0) {
    target.set(head.lock as Uint8Array, end);
    end += LOCK_BYTES;
  }
  if ((head.flags & headFlag.APART) !== 0) {
    writeU32(target, end, head.apartLength);
    end += 4;
  }
  return end;
}
