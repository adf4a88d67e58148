/**
 * Data blocks: records in order, keys prefix-compressed, keys and payloads apart.
 *
 * ```
 * block     key part* | payload* | restart × n | length of all key parts u32 | n u32
 * key part  shared varint      bytes of the key that the record before has too
 *           unshared varint    bytes of the key that follow
 *           tag varint         payload length × 4 + 2 if the payload starts with a sequence + 1 if it is a put
 *           key suffix
 * payload   sequence varint (if the tag says so, else the sequence is 0), value
 * restart   offset of a key part u32 | offset of its payload u32, both from the start of the block
 * ```
 *
 * Fixed-width numbers are little-endian; payloads stand in the order of the key parts. Records are ordered by key
 * ascending (unsigned bytes), then by sequence descending. A restart point is a key part with `shared` = 0; one comes
 * after at least 16 records, and only at the first record of a key. Hence all records of a key stand in one restart
 * interval, `unshared` = 0 means "the same key again", and a search steps from the last restart point whose key is ≤ what
 * it looks for. All records of a key are in one block, so an index of keys alone (key-index.ts) leads to every record.
 *
 * Keys stand apart from values because a search then touches two or three cache lines of keys instead of one for each
 * record that it steps over.
 *
 * The first record is a restart point; a block has at least one record.
 */

import { assert } from '../assert.ts';
import { kind, type Kind } from './record.ts';
import { MAX_VARINT_BYTES, varintBytes, writeVarint } from './varint.ts';

/** Records between restart points: LevelDB's choice; a search steps through half of them on average. */
export const RESTART_INTERVAL = 16;

/** Parts of a tag. */
export const TAG_PUT = 1;
export const TAG_SEQUENCE = 2;
export const TAG_SHIFT = 2;

/** Lengths of a restart and of what ends a block. */
export const RESTART_BYTES = 8;
export const BLOCK_END_BYTES = 8;

const FIRST_PAYLOAD_BYTES = 16 * 1024;

/** A builder that once had a larger block gives the memory back. */
const KEPT_BYTES = 1 << 20;

/** Longest value: its payload length, shifted, must stay within 32 bits. */
export const MAX_VALUE_BYTES = 0x3fff_ff00;

export class BlockBuilder {
  #keys = new Uint8Array(4 * 1024);
  #keysLength = 0;
  #payloads = new Uint8Array(FIRST_PAYLOAD_BYTES);
  #payloadsLength = 0;
  /** Pairs: offset among the key parts, offset among the payloads. */
  #restarts: number[] = [];
  #sinceRestart = 0;
  #lastKey = new Uint8Array(64);
  #lastKeyLength = 0;
  #count = 0;
  readonly #restartInterval: number;

  constructor(restartInterval = RESTART_INTERVAL) {
    this.#restartInterval = restartInterval;
  }

  get count(): number {
    return this.#count;
  }

  /** Length of the block if it were finished now. */
  get byteLength(): number {
    return this.#keysLength + this.#payloadsLength + (RESTART_BYTES / 2) * this.#restarts.length + BLOCK_END_BYTES;
  }

  /** The last key added is lastKey[0, lastKeyLength). */
  get lastKey(): Uint8Array {
    return this.#lastKey;
  }

  get lastKeyLength(): number {
    return this.#lastKeyLength;
  }

  /** Adds a record. Requires: it comes after the last one in the order of blocks; a safe sequence. */
  add(
    keyBytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    recordKind: Kind,
    sequence: number,
    valueBytes: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const keyLength = keyEnd - keyStart;
    const valueLength = valueEnd - valueStart;
    assert(keyLength > 0 && valueLength <= MAX_VALUE_BYTES, 'key and value within the limits of blocks');
    let shared = this.#count === 0 ? 0 : this.#sharedWith(keyBytes, keyStart, keyLength);
    const sameKey = this.#count > 0 && shared === keyLength && shared === this.#lastKeyLength;
    if (this.#count === 0 || (this.#sinceRestart >= this.#restartInterval && !sameKey)) {
      this.#restarts.push(this.#keysLength, this.#payloadsLength);
      this.#sinceRestart = 0;
      shared = 0;
    }
    const unshared = keyLength - shared;
    const payload = (sequence === 0 ? 0 : varintBytes(sequence)) + valueLength;
    const keys = this.#keysFor(unshared + 3 * MAX_VARINT_BYTES);
    let at = writeVarint(keys, this.#keysLength, shared);
    at = writeVarint(keys, at, unshared);
    const tag = (recordKind === kind.PUT ? TAG_PUT : 0) + (sequence === 0 ? 0 : TAG_SEQUENCE);
    at = writeVarint(keys, at, payload * (1 << TAG_SHIFT) + tag);
    this.#keysLength = copyRange(keyBytes, keyStart + shared, keyEnd, keys, at);
    const payloads = this.#payloadsFor(payload);
    const value = sequence === 0 ? this.#payloadsLength : writeVarint(payloads, this.#payloadsLength, sequence);
    this.#payloadsLength = copyRange(valueBytes, valueStart, valueEnd, payloads, value);
    this.#remember(keyBytes, keyStart, keyEnd, shared);
    this.#sinceRestart++;
    this.#count++;
  }

  /** The whole block. */
  finish(): Uint8Array {
    const bytes = new Uint8Array(this.byteLength);
    this.finishInto(bytes, 0);
    return bytes;
  }

  /** Writes the whole block to target[start…]. Requires: a record, and room for `byteLength` bytes. */
  finishInto(target: Uint8Array, start: number): void {
    assert(this.#count > 0, 'a block has a record');
    target.set(this.#keys.subarray(0, this.#keysLength), start);
    target.set(this.#payloads.subarray(0, this.#payloadsLength), start + this.#keysLength);
    let at = start + this.#keysLength + this.#payloadsLength;
    for (let i = 0; i < this.#restarts.length; i += 2) {
      at = writeU32(target, at, this.#restarts[i] as number);
      at = writeU32(target, at, this.#keysLength + (this.#restarts[i + 1] as number));
    }
    at = writeU32(target, at, this.#keysLength);
    writeU32(target, at, this.#restarts.length / 2);
  }

  clear(): void {
    this.#keysLength = 0;
    this.#payloadsLength = 0;
    this.#restarts = [];
    this.#sinceRestart = 0;
    this.#lastKeyLength = 0;
    this.#count = 0;
    if (this.#payloads.length > KEPT_BYTES) this.#payloads = new Uint8Array(FIRST_PAYLOAD_BYTES);
  }

  #sharedWith(keyBytes: Uint8Array, keyStart: number, keyLength: number): number {
    const last = this.#lastKey;
    const limit = Math.min(keyLength, this.#lastKeyLength);
    let shared = 0;
    while (shared < limit && last[shared] === keyBytes[keyStart + shared]) shared++;
    return shared;
  }

  #remember(keyBytes: Uint8Array, keyStart: number, keyEnd: number, shared: number): void {
    const keyLength = keyEnd - keyStart;
    if (keyLength > this.#lastKey.length) {
      const larger = new Uint8Array(keyLength * 2);
      larger.set(this.#lastKey.subarray(0, shared));
      this.#lastKey = larger;
    }
    copyRange(keyBytes, keyStart + shared, keyEnd, this.#lastKey, shared);
    this.#lastKeyLength = keyLength;
  }

  #keysFor(count: number): Uint8Array {
    if (this.#keysLength + count > this.#keys.length) this.#keys = grown(this.#keys, this.#keysLength, count);
    return this.#keys;
  }

  #payloadsFor(count: number): Uint8Array {
    if (this.#payloadsLength + count > this.#payloads.length) {
      this.#payloads = grown(this.#payloads, this.#payloadsLength, count);
    }
    return this.#payloads;
  }
}

function grown(bytes: Uint8Array, used: number, count: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(used + count, bytes.length * 2));
  larger.set(bytes.subarray(0, used));
  return larger;
}

/** Copies short ranges by a loop, since a view for `set` costs more than the copy, and returns where the copy ends. */
export function copyRange(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  const length = end - start;
  if (length > 64) to.set(from.subarray(start, end), at);
  else for (let i = 0; i < length; i++) to[at + i] = from[start + i] as number;
  return at + length;
}

function writeU32(target: Uint8Array, at: number, value: number): number {
  target[at] = value;
  target[at + 1] = value >>> 8;
  target[at + 2] = value >>> 16;
  target[at + 3] = value >>> 24;
  return at + 4;
}
