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

const TAG_PUT = 1;
const TAG_SEQUENCE = 2;
const TAG_SHIFT = 2;

const RESTART_BYTES = 8;
const TRAILER_BYTES = 8;

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
  #keys = new Uint8Array(4 * 1024);
  #keysLength = 0;
  #payloads = new Uint8Array(16 * 1024);
  #payloadsLength = 0;
  /** Pairs: offset among the key parts, offset among the payloads. */
  #restarts: number[] = [];
  #sinceRestart = 0;
  #lastKey = new Uint8Array(64);
  #lastKeyLength = 0;
  #count = 0;
  #finished = new Uint8Array(0);
  readonly #restartInterval: number;

  constructor(restartInterval = RESTART_INTERVAL) {
    this.#restartInterval = restartInterval;
  }

  get count(): number {
    return this.#count;
  }

  /** Length of the block if it were finished now. */
  get byteLength(): number {
    return this.#keysLength + this.#payloadsLength + (RESTART_BYTES / 2) * this.#restarts.length + TRAILER_BYTES;
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

  /** The whole block; valid until the next `finish`. */
  finish(): Uint8Array {
    assert(this.#count > 0, 'a block has a record');
    const length = this.byteLength;
    if (this.#finished.length < length) this.#finished = new Uint8Array(length * 2);
    const bytes = this.#finished;
    bytes.set(this.#keys.subarray(0, this.#keysLength));
    bytes.set(this.#payloads.subarray(0, this.#payloadsLength), this.#keysLength);
    let at = this.#keysLength + this.#payloadsLength;
    for (let i = 0; i < this.#restarts.length; i += 2) {
      at = writeU32(bytes, at, this.#restarts[i] as number);
      at = writeU32(bytes, at, this.#keysLength + (this.#restarts[i + 1] as number));
    }
    at = writeU32(bytes, at, this.#keysLength);
    at = writeU32(bytes, at, this.#restarts.length / 2);
    return bytes.subarray(0, at);
  }

  clear(): void {
    this.#keysLength = 0;
    this.#payloadsLength = 0;
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
  const limit = u32At(block, block.length - 8);
  const restarts = block.length - TRAILER_BYTES - RESTART_BYTES * restartCount;
  const restart = restarts + RESTART_BYTES * lastRestartNotAfter(block, restarts, restartCount, key, 0, keyLength);
  let at = u32At(block, restart);
  let payload = u32At(block, restart + 4);
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
    const keyEnd = at + unshared;
    const payloadEnd = payload + (tag >>> TAG_SHIFT);
    if (shared < matched) return false;
    if (shared === matched) {
      while (at < keyEnd && matched < keyLength && block[at] === key[matched]) {
        at++;
        matched++;
      }
      if (at === keyEnd) {
        if (matched === keyLength && isVisible(block, payload, tag, sequence, hit)) {
          hit.valueEnd = payloadEnd;
          return true;
        }
      } else if (matched === keyLength || (block[at] as number) > (key[matched] as number)) {
        return false;
      }
    }
    at = keyEnd;
    payload = payloadEnd;
  }
  return false;
}

/** Whether a record may be seen at `sequence`; then `hit` says all but where its value ends. */
function isVisible(block: Uint8Array, payload: number, tag: number, sequence: number, hit: BlockHit): boolean {
  hit.sequence = 0;
  hit.valueStart = payload;
  if ((tag & TAG_SEQUENCE) !== 0) {
    hit.sequence = sequenceAt(block, payload);
    hit.valueStart = varintEnd(block, payload);
  }
  hit.kind = (tag & TAG_PUT) === 0 ? kind.DELETE : kind.PUT;
  return hit.sequence <= sequence;
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
    let at = u32At(block, restarts + RESTART_BYTES * middle) + 1;
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
  /** Where the key parts end. */
  #limit = 0;
  #restarts = 0;
  #restartCount = 0;
  /** Offsets of the key part and the payload after the current ones. */
  #next = 0;
  #nextPayload = 0;
  /** The interval that a backward walk is in: index of its restart point, its records, the current one. */
  #interval = -1;
  readonly #tags: number[] = [];
  readonly #payloads: number[] = [];
  readonly #keyStarts: number[] = [];
  readonly #keyEnds: number[] = [];
  #position = 0;

  /** Goes before the first record of `block`, which the cursor holds from now on. */
  open(block: Uint8Array): void {
    this.block = block;
    this.#restartCount = u32At(block, block.length - 4);
    this.#limit = u32At(block, block.length - 8);
    this.#restarts = block.length - TRAILER_BYTES - RESTART_BYTES * this.#restartCount;
    this.#goTo(0);
    this.#interval = -1;
    this.keyStart = 0;
    this.keyEnd = 0;
  }

  /** Steps forwards. Requires: the last call was `open`, `next` or `seek`. */
  next(): boolean {
    if (this.#next >= this.#limit) return false;
    const tag = this.#readKey(0, 0);
    this.#readPayload(tag, this.#nextPayload);
    this.#nextPayload = this.valueEnd;
    return true;
  }

  /** Goes to the first record whose key is ≥ key[start, end). */
  seek(key: Uint8Array, start: number, end: number): boolean {
    this.#interval = -1;
    this.keyStart = 0;
    this.keyEnd = 0;
    this.#goTo(lastRestartNotAfter(this.block, this.#restarts, this.#restartCount, key, start, end));
    while (this.next()) if (this.#compare(key, start, end) >= 0) return true;
    return false;
  }

  /** Goes to the last record. */
  last(): boolean {
    this.#openInterval(this.#restartCount - 1);
    return this.#show(this.#tags.length - 1);
  }

  /** Goes to the last record whose key is ≤ key[start, end). */
  seekBack(key: Uint8Array, start: number, end: number): boolean {
    this.#openInterval(lastRestartNotAfter(this.block, this.#restarts, this.#restartCount, key, start, end));
    let position = this.#tags.length - 1;
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
    return this.#show(this.#tags.length - 1);
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

  #goTo(restart: number): void {
    const at = this.#restarts + RESTART_BYTES * restart;
    this.#next = u32At(this.block, at);
    this.#nextPayload = u32At(this.block, at + 4);
  }

  #show(position: number): boolean {
    if (position < 0) return false;
    this.#position = position;
    this.keyStart = this.#keyStarts[position] as number;
    this.keyEnd = this.#keyEnds[position] as number;
    this.#readPayload(this.#tags[position] as number, this.#payloads[position] as number);
    return true;
  }

  /** Puts the keys of all records of an interval side by side into `keyBytes`. */
  #openInterval(interval: number): void {
    const isLast = interval + 1 === this.#restartCount;
    const end = isLast ? this.#limit : u32At(this.block, this.#restarts + RESTART_BYTES * (interval + 1));
    this.#interval = interval;
    this.#tags.length = 0;
    this.#payloads.length = 0;
    this.#keyStarts.length = 0;
    this.#keyEnds.length = 0;
    this.keyStart = 0;
    this.keyEnd = 0;
    this.#goTo(interval);
    let payload = this.#nextPayload;
    while (this.#next < end) {
      const tag = this.#readKey(this.keyStart, this.keyEnd);
      this.#tags.push(tag);
      this.#payloads.push(payload);
      this.#keyStarts.push(this.keyStart);
      this.#keyEnds.push(this.keyEnd);
      payload += tag >>> TAG_SHIFT;
    }
  }

  /**
   * Reads the next key part; the key before it stands at keyBytes[previousStart, previousEnd). The key is put together at
   * `previousEnd`, or, with 0 and 0, in place over the key before. Returns the tag.
   */
  #readKey(previousStart: number, previousEnd: number): number {
    const block = this.block;
    let at = this.#next;
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
    this.#next = at + unshared;
    this.sameKey = unshared === 0;
    if (unshared === 0) return tag;
    const start = previousEnd;
    const end = start + shared + unshared;
    if (end > this.keyBytes.length) this.#growKeys(end);
    const keys = this.keyBytes;
    if (previousEnd > 0) for (let i = 0; i < shared; i++) keys[start + i] = keys[previousStart + i] as number;
    copyRange(block, at, at + unshared, keys, start + shared);
    this.keyStart = start;
    this.keyEnd = end;
    return tag;
  }

  #readPayload(tag: number, payload: number): void {
    const block = this.block;
    this.kind = (tag & TAG_PUT) === 0 ? kind.DELETE : kind.PUT;
    this.valueEnd = payload + (tag >>> TAG_SHIFT);
    if ((tag & TAG_SEQUENCE) === 0) {
      this.sequence = 0;
      this.valueStart = payload;
    } else {
      this.sequence = sequenceAt(block, payload);
      this.valueStart = varintEnd(block, payload);
    }
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
