/**
 * Index blocks: ascending keys, each with what it leads to; searched in place by bisection.
 *
 * ```
 * index    keys, one after another | entry 10 bytes × (n + 1) | n u32
 * entry    end of the key in the index u32 | offset in the file u48
 * ```
 *
 * Little-endian. Entry i leads to the bytes from its offset to the offset of entry i + 1; the last entry has no key
 * (its key ends where the one before ends) and gives the end of the last piece. The key of entry i is ≥ every key in
 * its piece and < every key in the next piece.
 */

import { assert } from '../assert.ts';

const ENTRY_BYTES = 10;
const TWO_32 = 0x1_0000_0000;

export class KeyIndexBuilder {
  #keys = new Uint8Array(4096);
  #keyBytes = 0;
  readonly #ends: number[] = [];
  readonly #offsets: number[] = [];

  get count(): number {
    return this.#ends.length;
  }

  add(key: Uint8Array, keyLength: number, offset: number): void {
    if (this.#keyBytes + keyLength > this.#keys.length) {
      const larger = new Uint8Array((this.#keyBytes + keyLength) * 2);
      larger.set(this.#keys);
      this.#keys = larger;
    }
    this.#keys.set(key.subarray(0, keyLength), this.#keyBytes);
    this.#keyBytes += keyLength;
    this.#ends.push(this.#keyBytes);
    this.#offsets.push(offset);
  }

  /** The i-th key; a copy. */
  key(i: number): Uint8Array {
    return this.#keys.slice(this.#keyStart(i), this.#ends[i]);
  }

  /** An index of the entries [from, to); `end` is where the piece of the very last entry ends. */
  finish(end: number, from = 0, to = this.#ends.length): Uint8Array {
    const keys = this.#keys.subarray(this.#keyStart(from), this.#keyStart(to));
    const index = new Uint8Array(keys.length + ENTRY_BYTES * (to - from + 1) + 4);
    index.set(keys);
    const view = new DataView(index.buffer);
    let at = keys.length;
    for (let i = from; i <= to; i++) {
      const offset = this.#offsets[i] ?? end;
      view.setUint32(at, this.#keyStart(Math.min(i + 1, to)) - this.#keyStart(from), true);
      view.setUint32(at + 4, offset % TWO_32, true);
      view.setUint16(at + 8, Math.floor(offset / TWO_32), true);
      at += ENTRY_BYTES;
    }
    view.setUint32(at, to - from, true);
    return index;
  }

  #keyStart(i: number): number {
    return i === 0 ? 0 : (this.#ends[i - 1] as number);
  }
}

/**
 * A read-only index over ascending keys, also used for the tables of a level.
 *
 * All keys share their first bytes (`#common`); the four bytes after them are kept as numbers, so that most of a
 * bisection compares numbers and only keys that agree in those too are looked at.
 */
export class KeyIndex {
  readonly count: number;
  readonly #bytes: Uint8Array;
  /** Where each key ends in `#bytes`; it starts where the one before ends. */
  readonly #ends: Int32Array;
  readonly #common: number;
  /** The four bytes of each key after the common ones, big-endian; bytes that are not there count as 0. */
  readonly #heads: Uint32Array;
  /** Position of the first entry, when the index was read from a table. */
  readonly #entries: number;

  private constructor(bytes: Uint8Array, ends: Int32Array, entries: number) {
    this.count = ends.length;
    this.#bytes = bytes;
    this.#ends = ends;
    this.#entries = entries;
    this.#common = this.#commonBytes();
    this.#heads = new Uint32Array(this.count);
    for (let i = 0; i < this.count; i++) {
      this.#heads[i] = headAt(bytes, (i === 0 ? 0 : (ends[i - 1] as number)) + this.#common, ends[i] as number);
    }
  }

  /** Reads an index block. */
  static parse(block: Uint8Array): KeyIndex {
    const view = new DataView(block.buffer, block.byteOffset, block.length);
    assert(block.length >= 4 + ENTRY_BYTES, 'an index holds its count');
    const count = view.getUint32(block.length - 4, true);
    const entries = block.length - 4 - ENTRY_BYTES * (count + 1);
    assert(entries >= 0, 'an index holds its entries');
    const ends = new Int32Array(count);
    for (let i = 0; i < count; i++) ends[i] = view.getUint32(entries + ENTRY_BYTES * i, true);
    return new KeyIndex(block, ends, entries);
  }

  /** An index of keys alone. Requires: ascending keys. */
  static ofKeys(keys: readonly Uint8Array[]): KeyIndex {
    const ends = new Int32Array(keys.length);
    let length = 0;
    for (let i = 0; i < keys.length; i++) ends[i] = length += (keys[i] as Uint8Array).length;
    const bytes = new Uint8Array(length);
    for (let i = 0; i < keys.length; i++) bytes.set(keys[i] as Uint8Array, i === 0 ? 0 : ends[i - 1]);
    return new KeyIndex(bytes, ends, 0);
  }

  /** Bytes of memory beside the block itself. */
  get extraBytes(): number {
    return this.#ends.byteLength + this.#heads.byteLength;
  }

  /** Index of the first key ≥ key[start, end); `count` when there is none. */
  firstNotBelow(key: Uint8Array, start: number, end: number): number {
    return this.#bisect(key, start, end, 0);
  }

  /** Index of the first key > key[start, end); `count` when there is none. */
  firstAbove(key: Uint8Array, start: number, end: number): number {
    return this.#bisect(key, start, end, 1);
  }

  /** Index of the first key whose order to key[start, end) is at least `least`. */
  #bisect(key: Uint8Array, start: number, end: number, least: number): number {
    const side = this.#commonOrder(key, start, end);
    if (side !== 0) return side > 0 ? 0 : this.count;
    const heads = this.#heads;
    const head = headAt(key, start + this.#common, end);
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((heads[middle] as number) < head) low = middle + 1;
      else high = middle;
    }
    if (low === this.count || heads[low] !== head) return low;
    high = low + 1;
    while (high < this.count && heads[high] === head) high = Math.min(this.count, high + (high - low));
    return this.#bisectBytes(key, start, end, least, low, high);
  }

  #bisectBytes(key: Uint8Array, start: number, end: number, least: number, from: number, to: number): number {
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#compare(middle, key, start, end) < least) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Order of all keys to key[start, end) as far as the common bytes decide it; 0: they do not. */
  #commonOrder(key: Uint8Array, start: number, end: number): number {
    const bytes = this.#bytes;
    const common = this.#common;
    for (let i = 0; i < common; i++) {
      if (start + i === end) return 1;
      const difference = (bytes[i] as number) - (key[start + i] as number);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #commonBytes(): number {
    if (this.count === 0) return 0;
    const bytes = this.#bytes;
    const last = this.count === 1 ? 0 : (this.#ends[this.count - 2] as number);
    const limit = Math.min(this.#ends[0] as number, (this.#ends[this.count - 1] as number) - last);
    let common = 0;
    while (common < limit && bytes[common] === bytes[last + common]) common++;
    return common;
  }

  /** The i-th key; a copy. */
  key(i: number): Uint8Array {
    return this.#bytes.slice(i === 0 ? 0 : this.#ends[i - 1], this.#ends[i]);
  }

  /** Offset in the file of the i-th piece; with i = count, where the last one ends. */
  offset(i: number): number {
    const at = this.#entries + ENTRY_BYTES * i + 4;
    const bytes = this.#bytes;
    const low =
      ((bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24)) >>>
      0;
    return low + ((bytes[at + 4] as number) | ((bytes[at + 5] as number) << 8)) * TWO_32;
  }

  #compare(i: number, key: Uint8Array, start: number, end: number): number {
    const bytes = this.#bytes;
    let at = i === 0 ? 0 : (this.#ends[i - 1] as number);
    const keyEnd = this.#ends[i] as number;
    let of = start;
    while (at < keyEnd && of < end) {
      const difference = (bytes[at++] as number) - (key[of++] as number);
      if (difference !== 0) return difference;
    }
    return keyEnd - at - (end - of);
  }
}

function headAt(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 <= end) {
    return (
      (((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number)) >>>
      0
    );
  }
  let head = 0;
  for (let i = 0; i < 4; i++) head = head * 256 + (at + i < end ? (bytes[at + i] as number) : 0);
  return head;
}
