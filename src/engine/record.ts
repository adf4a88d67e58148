/**
 * Records: how one change of one key stands in a write batch, in the arena of a memtable and in the WAL. The three
 * hold the same bytes, so a record is encoded once and copied once.
 *
 * ```
 * 0   u32  kind << 30 | length of the key (at most 2^30 - 1)
 * 4   u32  length of the value
 * 8   u32  sequence of the record minus the first sequence of its WAL file      (0 in a batch)
 * 12  u32  offset of the key's previous record in the same WAL file; 0: none    (0 in a batch)
 * 16       key, value, zero bytes up to a multiple of 4
 * ```
 *
 * Numbers are little-endian, and so must the machine be: a record starts at a multiple of 4 and its header is read
 * through a `Uint32Array`. A range delete has its lower bound as the key and its exclusive upper bound as the value.
 * Kinds are append-only; 3 is free.
 */

import { assert } from '../assert.ts';

/** What a record does; the first two are also the kinds of internal keys in tables. */
export const kind = { DELETE: 0, PUT: 1, DELETE_RANGE: 2 } as const;
export type Kind = (typeof kind)[keyof typeof kind];

/** Bytes before the key. */
export const RECORD_HEADER_BYTES = 16;

/** Longest key: what fits beside the kind. */
export const MAX_KEY_BYTES = 0x3fff_ffff;

/**
 * Largest batch in bytes. A value of 512 MiB (Redis's proto-max-bulk-len) fits with room for its key, and offsets in
 * an arena stay small integers for V8.
 */
export const MAX_BATCH_BYTES = 0x4800_0000;

export const KIND_SHIFT = 30;
export const KEY_LENGTH_MASK = 0x3fff_ffff;

assert(new Uint8Array(new Uint32Array([1]).buffer)[0] === 1, 'Kvorum needs a little-endian machine');

/** Bytes that a record takes, padding included. */
export function recordBytes(keyLength: number, valueLength: number): number {
  return (RECORD_HEADER_BYTES + keyLength + valueLength + 3) & ~3;
}

export type RecordPlace = {
  readonly kind: Kind;
  readonly keyStart: number;
  /** Where the key ends and the value begins. */
  readonly keyEnd: number;
  readonly valueEnd: number;
  /** Where the next record begins. */
  readonly end: number;
};

/** Where the parts of the record at `offset` stand. Allocates: not for hot paths. */
export function recordAt(words: Uint32Array, offset: number): RecordPlace {
  const first = words[offset >> 2] as number;
  const keyLength = first & KEY_LENGTH_MASK;
  const valueLength = words[(offset >> 2) + 1] as number;
  const keyStart = offset + RECORD_HEADER_BYTES;
  return {
    kind: (first >>> KIND_SHIFT) as Kind,
    keyStart,
    keyEnd: keyStart + keyLength,
    valueEnd: keyStart + keyLength + valueLength,
    end: offset + recordBytes(keyLength, valueLength),
  };
}
