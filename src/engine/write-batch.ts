/**
 * Write batches: records (format in record.ts) gathered in memory of their own until `Engine.write` copies them.
 *
 * Invariants: `bytes[0, byteLength)` is `count` whole records, each starting at a multiple of 4; padding bytes are zero.
 */

import { compareBytes } from '../bytes.ts';
import { EngineError } from './engine-error.ts';
import { kind, KIND_SHIFT, MAX_BATCH_BYTES, MAX_KEY_BYTES, RECORD_HEADER_BYTES, recordBytes } from './record.ts';
import type { Kind } from './record.ts';
import type { Batch } from './store.ts';

const FIRST_CAPACITY_BYTES = 512;

/** A batch that once was larger gives its memory back when it is cleared. */
const KEPT_CAPACITY_BYTES = 1 << 20;

export class WriteBatch implements Batch {
  count = 0;
  byteLength = 0;
  /** Where the last record begins if it may be written over an older one; -1: it may not. */
  replacing = -1;
  bytes: Uint8Array;
  /** The same memory as `bytes`. */
  words: Uint32Array;
  /** Where the last record begins. */
  #last = 0;
  #hasRange = false;

  constructor() {
    const memory = new ArrayBuffer(FIRST_CAPACITY_BYTES);
    this.bytes = new Uint8Array(memory);
    this.words = new Uint32Array(memory);
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const at = this.#reserve(kind.PUT, key.length, value.length);
    this.bytes.set(key, at);
    this.bytes.set(value, at + key.length);
  }

  reservePut(keyLength: number, valueLength: number): number {
    return this.#reserve(kind.PUT, keyLength, valueLength);
  }

  replaceLast(): void {
    // Its older record is older than a range delete of this batch, which must not take what comes after it.
    if (this.count > 0 && !this.#hasRange) this.replacing = this.#last;
  }

  delete(key: Uint8Array): void {
    const at = this.#reserve(kind.DELETE, key.length, 0);
    this.bytes.set(key, at);
  }

  /** An empty range adds nothing. */
  deleteRange(from: Uint8Array, to: Uint8Array): void {
    if (compareBytes(from, to) >= 0) return;
    const at = this.#reserve(kind.DELETE_RANGE, from.length, to.length);
    this.#hasRange = true;
    this.bytes.set(from, at);
    this.bytes.set(to, at + from.length);
  }

  clear(): void {
    this.count = 0;
    this.byteLength = 0;
    this.replacing = -1;
    this.#hasRange = false;
    if (this.bytes.length > KEPT_CAPACITY_BYTES) this.#resize(FIRST_CAPACITY_BYTES);
  }

  /** Adds a record without its key and value and returns where the key goes. */
  #reserve(recordKind: Kind, keyLength: number, valueLength: number): number {
    const start = this.byteLength;
    const end = start + recordBytes(keyLength, valueLength);
    if (end > this.bytes.length || keyLength + valueLength > MAX_BATCH_BYTES) this.#grow(keyLength, valueLength);
    const words = this.words;
    const word = start >> 2;
    words[(end >> 2) - 1] = 0;
    words[word] = (recordKind << KIND_SHIFT) | keyLength;
    words[word + 1] = valueLength;
    words[word + 2] = 0;
    words[word + 3] = 0;
    this.byteLength = end;
    this.count++;
    this.#last = start;
    this.replacing = -1;
    return start + RECORD_HEADER_BYTES;
  }

  #grow(keyLength: number, valueLength: number): void {
    // Computed without `recordBytes`, which wraps around for lengths beyond 2^31.
    const needed = this.byteLength + RECORD_HEADER_BYTES + keyLength + valueLength + 3;
    if (keyLength > MAX_KEY_BYTES || needed > MAX_BATCH_BYTES) {
      throw new EngineError('too-large', `a batch of ${needed} bytes is larger than ${MAX_BATCH_BYTES}`);
    }
    const old = this.bytes.subarray(0, this.byteLength);
    this.#resize(Math.min(MAX_BATCH_BYTES, Math.max((needed + 7) & ~7, this.bytes.length * 2)));
    this.bytes.set(old);
  }

  #resize(capacity: number): void {
    const memory = new ArrayBuffer(capacity);
    this.bytes = new Uint8Array(memory);
    this.words = new Uint32Array(memory);
  }
}
