/**
 * Data blocks: records in order, keys prefix-compressed.
 *
 * ```
 * block    record* | restart offsets u32 × n | n u32
 * record   shared varint      bytes of the key that the record before has too
 *          unshared varint    bytes of the key that follow
 *          tag varint         payload length × 4 + 2 if the payload starts with a sequence + 1 if it is a put
 *          key suffix
 *          payload            sequence varint (if the tag says so, else the sequence is 0) and the value
 * ```
 *
 * Fixed-width numbers are little-endian. Records are ordered by key ascending (unsigned bytes), then by sequence
 * descending. A restart point is a record with `shared` = 0; one comes after at least 16 records, and only at the first
 * record of a key. Hence all records of a key stand in one restart interval, `unshared` = 0 means "the same key
 * again", and a search steps from the last restart point whose key is ≤ what it looks for. All records of a key are in
 * one block, so an index of keys alone (key-index.ts) leads to every record.
 *
 * The first record is a restart point; a block has at least one record.
 */

import { assert } from '../assert.ts';
import { kind, type Kind } from './record.ts';
import { MAX_VARINT_BYTES, varintBytes, writeVarint } from './varint.ts';

/** Records between restart points: LevelDB's choice; a search steps through half of them on average. */
export const RESTART_INTERVAL = 16;

const TAG_PUT = 1;
const TAG_SEQUENCE = 2;
const TAG_SHIFT = 2;

/** Longest value: its payload length, shifted, must stay within 32 bits. */
export const MAX_VALUE_BYTES = 0x3fff_ff00;

function u32At(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

export class BlockBuilder {
  #bytes = new Uint8Array(16 * 1024);
  #length = 0;
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
    return this.#length + 4 * this.#restarts.length + 4;
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
      this.#restarts.push(this.#length);
      this.#sinceRestart = 0;
      shared = 0;
    }
    const unshared = keyLength - shared;
    const payload = (sequence === 0 ? 0 : varintBytes(sequence)) + valueLength;
    this.#reserve(unshared + payload + 3 * MAX_VARINT_BYTES);
    const bytes = this.#bytes;
    let at = writeVarint(bytes, this.#length, shared);
    at = writeVarint(bytes, at, unshared);
    const tag = (recordKind === kind.PUT ? TAG_PUT : 0) + (sequence === 0 ? 0 : TAG_SEQUENCE);
    at = writeVarint(bytes, at, payload * (1 << TAG_SHIFT) + tag);
    at = copyRange(keyBytes, keyStart + shared, keyEnd, bytes, at);
    if (sequence !== 0) at = writeVarint(bytes, at, sequence);
    this.#length = copyRange(valueBytes, valueStart, valueEnd, bytes, at);
    this.#remember(keyBytes, keyStart, keyEnd, shared);
    this.#sinceRestart++;
    this.#count++;
  }

  /** The whole block; valid until the next `add` or `clear`. */
  finish(): Uint8Array {
    assert(this.#count > 0, 'a block has a record');
    this.#reserve(4 * this.#restarts.length + 4);
    let at = this.#length;
    for (const restart of this.#restarts) at = writeU32(this.#bytes, at, restart);
    at = writeU32(this.#bytes, at, this.#restarts.length);
    return this.#bytes.subarray(0, at);
  }

  clear(): void {
    this.#length = 0;
    this.#restarts = [];
    this.#sinceRestart = 0;
    this.#lastKeyLength = 0;
    this.#count = 0;
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

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#length + count, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** Copies short ranges by a loop, since a view for `set` costs more than the copy, and returns where the copy ends. */
function copyRange(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
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

/** Where a search ended: the record's kind, sequence and, in the block, value. */
export class BlockHit {
  kind: Kind = kind.DELETE;
  sequence = 0;
  valueStart = 0;
  valueEnd = 0;
}

/**
 * Looks for the newest record of key[0, keyLength) whose sequence is at most `sequence`. True: `hit` describes it.
 *
 * No key is put together on the way: it is enough to know how many leading bytes of the key agree with the record
 * before. A record that shares more than that with it lies on the same side of the key; one that shares less is beyond.
 */
export function findInBlock(
  block: Uint8Array,
  key: Uint8Array,
  keyLength: number,
  sequence: number,
  hit: BlockHit,
): boolean {
  const restartCount = u32At(block, block.length - 4);
  const limit = block.length - 4 - 4 * restartCount;
  let at = u32At(block, limit + 4 * lastRestartNotAfter(block, limit, restartCount, key, 0, keyLength));
  let matched = 0;
  while (at < limit) {
    let shared = block[at++] as number;
    if (shared >= 0x80) {
      shared = continuedVarint(block, at, shared);
      at = varintEnd(block, at);
    }
    let unshared = block[at++] as number;
    if (unshared >= 0x80) {
      unshared = continuedVarint(block, at, unshared);
      at = varintEnd(block, at);
    }
    let tag = block[at++] as number;
    if (tag >= 0x80) {
      tag = continuedVarint(block, at, tag);
      at = varintEnd(block, at);
    }
    const next = at + unshared + (tag >>> TAG_SHIFT);
    if (shared < matched) return false;
    if (shared === matched) {
      const keyEnd = at + unshared;
      while (at < keyEnd && matched < keyLength && block[at] === key[matched]) {
        at++;
        matched++;
      }
      if (at === keyEnd) {
        if (matched === keyLength) {
          const recordSequence = (tag & TAG_SEQUENCE) === 0 ? 0 : sequenceAt(block, keyEnd);
          if (recordSequence <= sequence) {
            hit.kind = (tag & TAG_PUT) === 0 ? kind.DELETE : kind.PUT;
            hit.sequence = recordSequence;
            hit.valueStart = (tag & TAG_SEQUENCE) === 0 ? keyEnd : varintEnd(block, keyEnd);
            hit.valueEnd = next;
            return true;
          }
        }
      } else if (matched === keyLength || (block[at] as number) > (key[matched] as number)) {
        return false;
      }
    }
    at = next;
  }
  return false;
}

/** The last restart point whose key is ≤ key[start, end); 0 when there is none. */
function lastRestartNotAfter(
  block: Uint8Array,
  restarts: number,
  restartCount: number,
  key: Uint8Array,
  start: number,
  end: number,
): number {
  let low = 0;
  let high = restartCount - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    // `shared` of a restart point is the single byte 0.
    let at = u32At(block, restarts + 4 * middle) + 1;
    let unshared = block[at++] as number;
    if (unshared >= 0x80) {
      unshared = continuedVarint(block, at, unshared);
      at = varintEnd(block, at);
    }
    at = varintEnd(block, at);
    const keyEnd = at + unshared;
    let of = start;
    while (at < keyEnd && of < end && block[at] === key[of]) {
      at++;
      of++;
    }
    const after = at < keyEnd && (of === end || (block[at] as number) > (key[of] as number));
    if (after) high = middle - 1;
    else low = middle;
  }
  return low;
}

/** The rest of a varint below 2^32 whose first byte was `first`. */
function continuedVarint(bytes: Uint8Array, at: number, first: number): number {
  let value = first & 0x7f;
  for (let shift = 7, from = at; ; shift += 7) {
    const byte = bytes[from++] as number;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80 || shift > 28) return value >>> 0;
  }
}

/** Where the varint that has a byte at `at` ends. */
function varintEnd(bytes: Uint8Array, at: number): number {
  let end = at;
  while ((bytes[end++] as number) >= 0x80);
  return end;
}

function sequenceAt(bytes: Uint8Array, at: number): number {
  let value = 0;
  let unit = 1;
  for (let from = at; ; from++) {
    const byte = bytes[from] as number;
    value += (byte & 0x7f) * unit;
    if (byte < 0x80) return value;
    unit *= 0x80;
  }
}

/**
 * A walk over the records of a block, both ways. After `true` the fields describe the current record; they stay valid
 * until the next call. Walking backwards takes a restart interval at a time, so that a step costs what it costs forwards.
 */
export class BlockCursor {
  block: Uint8Array = new Uint8Array(0);
  keyBytes: Uint8Array = new Uint8Array(64);
  keyStart = 0;
  keyEnd = 0;
  kind: Kind = kind.DELETE;
  sequence = 0;
  valueStart = 0;
  valueEnd = 0;
  /** The record has the same key as the one before it in the block. */
  sameKey = false;
  #limit = 0;
  #restartCount = 0;
  /** Offset of the record after the current one. */
  #next = 0;
  /** The interval that a backward walk is in: index of its restart point, its records, the current one. */
  #interval = -1;
  readonly #records: number[] = [];
  readonly #keyStarts: number[] = [];
  readonly #keyEnds: number[] = [];
  #position = 0;

  /** Goes before the first record of `block`, which the cursor holds from now on. */
  open(block: Uint8Array): void {
    this.block = block;
    this.#restartCount = u32At(block, block.length - 4);
    this.#limit = block.length - 4 - 4 * this.#restartCount;
    this.#next = 0;
    this.#interval = -1;
    this.keyStart = 0;
    this.keyEnd = 0;
  }

  /** Steps forwards. Requires: the last call was `open`, `next` or `seek`. */
  next(): boolean {
    if (this.#next >= this.#limit) return false;
    this.keyEnd = this.#read(this.#next, 0, 0);
    return true;
  }

  /** Goes to the first record whose key is ≥ key[start, end). */
  seek(key: Uint8Array, start: number, end: number): boolean {
    const restart = lastRestartNotAfter(this.block, this.#limit, this.#restartCount, key, start, end);
    this.#interval = -1;
    this.keyStart = 0;
    this.keyEnd = 0;
    this.#next = u32At(this.block, this.#limit + 4 * restart);
    while (this.next()) if (this.#compare(key, start, end) >= 0) return true;
    return false;
  }

  /** Goes to the last record. */
  last(): boolean {
    this.#openInterval(this.#restartCount - 1);
    return this.#show(this.#records.length - 1);
  }

  /** Goes to the last record whose key is ≤ key[start, end). */
  seekBack(key: Uint8Array, start: number, end: number): boolean {
    this.#openInterval(lastRestartNotAfter(this.block, this.#limit, this.#restartCount, key, start, end));
    let position = this.#records.length - 1;
    while (this.#show(position)) {
      if (this.#compare(key, start, end) <= 0) return true;
      position--;
    }
    return false;
  }

  /** Steps backwards. Requires: the last call was `last`, `seekBack` or `previous`. */
  previous(): boolean {
    if (this.#position > 0) return this.#show(this.#position - 1);
    if (this.#interval <= 0) return false;
    this.#openInterval(this.#interval - 1);
    return this.#show(this.#records.length - 1);
  }

  /**
   * Standing on the last record of a key in a backward walk: goes to the newest record of that key whose sequence is at
   * most `sequence`; `previous` then leaves the key. False: there is none.
   */
  newestOfKey(sequence: number): boolean {
    const last = this.#position;
    let first = last;
    while (first > 0 && this.#keyStarts[first - 1] === this.#keyStarts[first]) first--;
    let visible = false;
    for (let i = first; i <= last && !visible; i++) visible = this.#show(i) && this.sequence <= sequence;
    this.#position = first;
    return visible;
  }

  #show(position: number): boolean {
    if (position < 0) return false;
    this.#position = position;
    const start = this.#keyStarts[position] as number;
    this.keyStart = start;
    this.keyEnd = this.#keyEnds[position] as number;
    this.#readRest(this.#records[position] as number);
    return true;
  }

  /** Puts the keys of all records of an interval side by side into `keyBytes`. */
  #openInterval(interval: number): void {
    const end = interval + 1 < this.#restartCount ? u32At(this.block, this.#limit + 4 * interval + 4) : this.#limit;
    this.#interval = interval;
    this.#records.length = 0;
    this.#keyStarts.length = 0;
    this.#keyEnds.length = 0;
    let keyStart = 0;
    let keyEnd = 0;
    this.#next = u32At(this.block, this.#limit + 4 * interval);
    while (this.#next < end) {
      const record = this.#next;
      const next = this.#read(record, keyStart, keyEnd);
      if (!this.sameKey) keyStart = keyEnd;
      keyEnd = next;
      this.#records.push(record);
      this.#keyStarts.push(keyStart);
      this.#keyEnds.push(keyEnd);
    }
  }

  /**
   * Reads the record at offset `record`, the one before having its key at keyBytes[previousStart, previousEnd). Puts
   * the key together at `previousEnd`, or in place when it continues at `previousStart` = 0, and returns its end.
   */
  #read(record: number, previousStart: number, previousEnd: number): number {
    const block = this.block;
    let at = record;
    let shared = block[at++] as number;
    if (shared >= 0x80) {
      shared = continuedVarint(block, at, shared);
      at = varintEnd(block, at);
    }
    let unshared = block[at++] as number;
    if (unshared >= 0x80) {
      unshared = continuedVarint(block, at, unshared);
      at = varintEnd(block, at);
    }
    this.sameKey = unshared === 0;
    if (unshared === 0 && previousEnd > 0) {
      this.#readPayload(varintEnd(block, at), at);
      return previousEnd;
    }
    const tagAt = at;
    at = varintEnd(block, at);
    const keyStart = previousEnd;
    const keyEnd = keyStart + shared + unshared;
    if (keyEnd > this.keyBytes.length) this.#growKeys(keyEnd);
    const keys = this.keyBytes;
    if (previousEnd > 0) for (let i = 0; i < shared; i++) keys[keyStart + i] = keys[previousStart + i] as number;
    copyRange(block, at, at + unshared, keys, keyStart + shared);
    this.#readPayload(at + unshared, tagAt);
    return keyEnd;
  }

  #readRest(record: number): void {
    const block = this.block;
    let at = varintEnd(block, record);
    let unshared = block[at++] as number;
    if (unshared >= 0x80) {
      unshared = continuedVarint(block, at, unshared);
      at = varintEnd(block, at);
    }
    this.sameKey = unshared === 0;
    this.#readPayload(varintEnd(block, at) + unshared, at);
  }

  #readPayload(payload: number, tagAt: number): void {
    const block = this.block;
    let tag = block[tagAt] as number;
    if (tag >= 0x80) tag = continuedVarint(block, tagAt + 1, tag);
    this.#next = payload + (tag >>> TAG_SHIFT);
    this.kind = (tag & TAG_PUT) === 0 ? kind.DELETE : kind.PUT;
    this.sequence = (tag & TAG_SEQUENCE) === 0 ? 0 : sequenceAt(block, payload);
    this.valueStart = (tag & TAG_SEQUENCE) === 0 ? payload : varintEnd(block, payload);
    this.valueEnd = this.#next;
  }

  #compare(key: Uint8Array, start: number, end: number): number {
    const keys = this.keyBytes;
    let at = this.keyStart;
    let of = start;
    while (at < this.keyEnd && of < end) {
      const difference = (keys[at++] as number) - (key[of++] as number);
      if (difference !== 0) return difference;
    }
    return this.keyEnd - this.keyStart - (end - start);
  }

  #growKeys(length: number): void {
    const larger = new Uint8Array(length * 2);
    larger.set(this.keyBytes);
    this.keyBytes = larger;
  }
}
