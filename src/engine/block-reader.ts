/** Reading data blocks (block.ts): the look-up of one key, and walks both ways. */

import { BLOCK_END_BYTES, copyRange, RESTART_BYTES, TAG_PUT, TAG_SEQUENCE, TAG_SHIFT } from './block.ts';
import { kind, type Kind } from './record.ts';

function u32At(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
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
  const restarts = block.length - BLOCK_END_BYTES - RESTART_BYTES * restartCount;
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
    this.#restarts = block.length - BLOCK_END_BYTES - RESTART_BYTES * this.#restartCount;
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
