/**
 * The memtable: an index over the records of one arena.
 *
 * Look-ups go through an open-addressing hash table (linear probing) whose slots hold 32 bits of hash and the offset of
 * the key's newest record; older versions hang behind it through the record headers. Order is made only where somebody
 * asks for it: a new key joins the pending list of its first two bytes (Kvorum's slot), and the first ordered read of
 * such a prefix moves its pending keys into `SortedKeys`. A server that never scans never sorts; the thread that
 * flushes sorts for itself.
 *
 * Invariants:
 * - `sequence` of a record = `arena.firstSequence` + the number of records before it in the arena.
 * - Every key has exactly one hash slot; the chain behind it descends in sequence.
 * - `#lastOffset` is 0 or what slot `#lastSlot` holds; `#replaceable` is 0 or the newest record of its key.
 * - A record is written over only while its group is open, it is the newest of its key, and nobody may see it but those
 *   who see what takes its place: so it makes no difference that the new one has the old one's sequence.
 * - Every key is either pending or in `SortedKeys`, never both.
 * - The hash table is at most seven eighths full.
 */

import { assert } from '../assert.ts';
import { compareRanges } from '../bytes.ts';
import { Arena, FILE_HEADER_BYTES, GROUP_HEADER_BYTES } from './arena.ts';
import type { ExpectedHashes } from './expected-hashes.ts';
import { kind, KEY_LENGTH_MASK, KIND_SHIFT, RECORD_HEADER_BYTES, recordBytes } from './record.ts';
import { sortByKey } from './record-order.ts';
import { SortedKeys } from './sorted-keys.ts';
import type { Found } from './store.ts';
import type { WriteBatch } from './write-batch.ts';

/** What a memtable says of a key. The first two agree with `lookup`. */
export const answer = { DELETED: 0, FOUND: 1, UNKNOWN: 3 } as const;
export type Answer = (typeof answer)[keyof typeof answer];

/** Copied word by word: up to here cheaper than a call of `set` and the view that it needs. */
const WORD_COPY_BYTES = 256;

/** A memtable with more range deletes is frozen: a look-up compares with each of them. */
export const MAX_RANGE_DELETES = 128;

/** A record's header and key mostly begin in one line of the processor's cache and end, with what follows, in the next. */
const TOUCH_WORDS = 12;

const MIN_SLOTS = 1024;

/** Bytes of arena for each hash slot, at most: 64 MiB get 2^20 slots, enough for records of 75 bytes and more. */
const BYTES_PER_SLOT = 64;

/** Shares of the slots that keys may take: before a memtable is frozen, and before the table grows. */
const SOFT_LOAD = 0.7;
const HARD_LOAD = 0.875;

/** Room beyond the soft limit, for the records that the owner of the store adds when the memtable is frozen. */
const FREEZE_RESERVE = 1.25;

const PREFIXES = 0x1_0000;

/** What `sortPending` works on, as long as it asks for no more: a walk after each write would allocate it anew. */
const pendingOffsets = new Uint32Array(1024);

/** Keeps clients from choosing keys that collide. */
export type HashSecret = { readonly seed: number; readonly multiplier: number };

/** The arrays of a hash index; memory of a flushed memtable serves the next one (arena-pool.ts). */
export class IndexMemory {
  /** Pairs: hash, offset of the newest record (0: free). */
  readonly slots: Uint32Array;
  /** By ordinal, the order in which keys came: offset of the first record, next pending key of the prefix (ordinal + 1). */
  readonly keyOffsets: Uint32Array;
  readonly pendingNext: Uint32Array;

  constructor(slots: number) {
    this.slots = new Uint32Array(slots * 2);
    this.keyOffsets = new Uint32Array(Math.floor(slots * HARD_LOAD));
    this.pendingNext = new Uint32Array(Math.floor(slots * HARD_LOAD));
  }

  get slotCount(): number {
    return this.slots.length >> 1;
  }
}

const NO_INDEX = new IndexMemory(0);

/** Makes cleared memory for so many slots. */
export type IndexSupply = (slots: number) => IndexMemory;

/** A delete of all keys in [bytes[fromStart, fromEnd), bytes[toStart, toEnd)). */
export type RangeDelete = {
  readonly fromStart: number;
  readonly fromEnd: number;
  readonly toStart: number;
  readonly toEnd: number;
  readonly sequence: number;
};

export class Memtable {
  readonly arena: Arena;
  readonly firstSequence: number;
  /** Distinct keys. */
  keyCount = 0;
  /** Open cursors that walk it. */
  readers = 0;
  readonly rangeDeletes: RangeDelete[] = [];
  readonly sorted: SortedKeys;

  readonly #softBytes: number;
  readonly #softKeys: number;
  #hardKeys = 0;
  readonly #seed: number;
  readonly #multiplier: number;
  readonly #supply: IndexSupply;
  #memory = NO_INDEX;
  /** The arrays of `#memory`. */
  #slots = NO_INDEX.slots;
  #keyOffsets = NO_INDEX.keyOffsets;
  #pendingNext = NO_INDEX.pendingNext;
  #slotMask = 0;
  /** The key that was looked up last, as `#slots` has it: where, and its newest record (0: not found). */
  #lastSlot = 0;
  #lastOffset = 0;
  /** The record that a batch's `replaceLast` was about last, if it is the newest of its key; 0: none is known. */
  #replaceable = 0;
  /** By prefix: the pending key that came last (ordinal + 1; 0: none). */
  readonly #pendingHeads = new Uint32Array(PREFIXES);
  #pendingCount = 0;

  /**
   * `softBytes`: see `hasRoom`. `expectedKeys`: the hash table begins large enough for so many. It is no larger than it
   * need be, since a table that stays in the processor's cache is what makes look-ups quick.
   */
  constructor(
    arena: Arena,
    softBytes: number,
    secret: HashSecret,
    expectedKeys = 0,
    supply: IndexSupply = (slots) => new IndexMemory(slots),
  ) {
    this.arena = arena;
    this.#supply = supply;
    this.firstSequence = arena.firstSequence;
    this.#softBytes = softBytes;
    this.#seed = secret.seed;
    this.#multiplier = secret.multiplier | 1;
    let most = MIN_SLOTS;
    while (most * BYTES_PER_SLOT < softBytes) most *= 2;
    this.#softKeys = Math.floor(most * SOFT_LOAD);
    let slots = MIN_SLOTS;
    while (slots < most && slots * SOFT_LOAD < expectedKeys) slots *= 2;
    this.#allocate(slots);
    this.sorted = new SortedKeys(arena);
  }

  get pendingCount(): number {
    return this.#pendingCount;
  }

  /** Whether a batch of this size belongs here rather than into the next memtable. */
  hasRoom(byteLength: number, count: number): boolean {
    return (
      this.arena.end + GROUP_HEADER_BYTES + byteLength <= this.#softBytes &&
      this.keyCount + count <= this.#softKeys &&
      this.rangeDeletes.length < MAX_RANGE_DELETES
    );
  }

  /**
   * Appends the records of the batch to the open group and indexes them; returns how many: without the last one when it
   * has been written over an older one. `pinned`: the newest sequence that a snapshot or cursor looks at, -1 for none.
   */
  append(batch: WriteBatch, pinned = -1): number {
    const arena = this.arena;
    let { byteLength, count } = batch;
    if (arena.end + GROUP_HEADER_BYTES + byteLength > arena.bytes.length || this.keyCount + count > this.#hardKeys) {
      this.#grow(byteLength, count);
    }
    if (batch.replacing >= 0 && this.#replace(batch, pinned)) {
      byteLength = batch.replacing;
      if (--count === 0) return 0;
    }
    if (arena.groupStart === 0) arena.openGroup();
    let at = arena.end;
    const last = batch.replacing >= 0 && byteLength > batch.replacing ? at + batch.replacing : 0;
    if (byteLength <= WORD_COPY_BYTES) {
      const from = batch.words;
      const to = arena.words;
      const first = at >> 2;
      for (let i = (byteLength >> 2) - 1; i >= 0; i--) to[first + i] = from[i] as number;
    } else {
      arena.bytes.set(batch.bytes.subarray(0, byteLength), at);
    }
    arena.end = at + byteLength;
    for (let i = 0; i < count; i++) at = this.#index(at);
    assert(at === arena.end, 'the records of a batch fill it');
    if (last !== 0) this.#replaceable = last;
    return count;
  }

  /** Writes the last record of the batch over the one of its key; false: there is none that this may be done to. */
  #replace(batch: WriteBatch, pinned: number): boolean {
    const { arena } = this;
    const from = batch.words;
    const fromWord = batch.replacing >> 2;
    const keyLength = (from[fromWord] as number) & KEY_LENGTH_MASK;
    const keyStart = batch.replacing + RECORD_HEADER_BYTES;
    let offset = this.#replaceable;
    if (offset === 0 || !this.#sameKey(offset, batch.bytes, keyStart, keyLength)) {
      // Whoever writes a key has mostly just looked it up.
      offset = this.#lastOffset;
      if (offset === 0 || !this.#sameKey(offset, batch.bytes, keyStart, keyLength)) return false;
    }
    if (arena.groupStart === 0 || offset < arena.groupStart) return false;
    const to = arena.words;
    const word = offset >> 2;
    const valueLength = from[fromWord + 1] as number;
    const length = recordBytes(keyLength, valueLength);
    // Both are puts with one key.
    if (to[word] !== from[fromWord] || recordBytes(keyLength, to[word + 1] as number) !== length) return false;
    const sequence = this.firstSequence + (to[word + 2] as number);
    if (sequence <= pinned) return false;
    const range = this.rangeDeletes.at(-1);
    if (range !== undefined && range.sequence > sequence) return false;
    to[word + 1] = valueLength;
    if (length <= WORD_COPY_BYTES) {
      for (let i = (length >> 2) - 1; i >= RECORD_HEADER_BYTES >> 2; i--) to[word + i] = from[fromWord + i] as number;
    } else {
      const end = batch.replacing + length;
      arena.bytes.set(batch.bytes.subarray(keyStart, end), offset + RECORD_HEADER_BYTES);
    }
    this.#replaceable = offset;
    return true;
  }

  /**
   * Indexes the records that recovery has found in the arena, telling `onRecord` the offset of each. The record count,
   * which recovery has set, is counted anew.
   */
  indexReplayed(onRecord: (offset: number) => void): void {
    const arena = this.arena;
    arena.recordCount = 0;
    let group = FILE_HEADER_BYTES;
    while (group < arena.end) {
      const end = group + GROUP_HEADER_BYTES + (arena.words[(group >> 2) + 1] as number);
      let at = group + GROUP_HEADER_BYTES;
      while (at < end) {
        if (this.keyCount === this.#hardKeys) this.#grow(0, 1);
        const next = this.#index(at);
        onRecord(at);
        at = next;
      }
      group = end;
    }
  }

  /** Indexes the record at `at` and returns where the next one starts. */
  #index(at: number): number {
    const arena = this.arena;
    const words = arena.words;
    const word = at >> 2;
    const first = words[word] as number;
    const keyLength = first & KEY_LENGTH_MASK;
    const valueLength = words[word + 1] as number;
    words[word + 2] = arena.recordCount++;
    words[word + 3] = 0;
    const keyStart = at + RECORD_HEADER_BYTES;
    const end = at + recordBytes(keyLength, valueLength);
    if (first >>> KIND_SHIFT === kind.DELETE_RANGE) {
      const fromEnd = keyStart + keyLength;
      this.rangeDeletes.push({
        fromStart: keyStart,
        fromEnd,
        toStart: fromEnd,
        toEnd: fromEnd + valueLength,
        sequence: arena.lastSequence,
      });
      return end;
    }
    const last = this.#lastOffset;
    // Whoever writes a key has mostly just looked it up.
    if (last !== 0 && this.#sameKeys(last, at, keyLength)) {
      words[word + 3] = last;
      if (last === this.#replaceable) this.#replaceable = 0;
      this.#slots[this.#lastSlot + 1] = at;
      this.#lastOffset = at;
      return end;
    }
    const hash = this.#hashRecord(at, keyLength);
    const slots = this.#slots;
    let slot = (hash & this.#slotMask) << 1;
    for (;;) {
      const offset = slots[slot + 1] as number;
      if (offset === 0) break;
      if (slots[slot] === hash && this.#sameKeys(offset, at, keyLength)) {
        words[word + 3] = offset;
        if (offset === this.#replaceable) this.#replaceable = 0;
        slots[slot + 1] = at;
        return end;
      }
      slot = (slot + 2) & ((this.#slotMask << 1) | 1);
    }
    slots[slot] = hash;
    slots[slot + 1] = at;
    this.#addPending(at, keyStart, keyLength);
    return end;
  }

  #addPending(at: number, keyStart: number, keyLength: number): void {
    const ordinal = this.keyCount++;
    this.#keyOffsets[ordinal] = at;
    const prefix = prefixOf(this.arena.bytes, keyStart, keyLength);
    this.#pendingNext[ordinal] = this.#pendingHeads[prefix] as number;
    this.#pendingHeads[prefix] = ordinal + 1;
    this.#pendingCount++;
  }

  /** Looks for the newest record of key[0, keyLength). On FOUND and DELETED `found.sequence` is the record's. */
  get(key: Uint8Array, keyLength: number, found: Found): Answer {
    return this.getHashed(this.hash(key, 0, keyLength), key, keyLength, found);
  }

  /** As `get`, of a key whose `hash` is known. */
  getHashed(hash: number, key: Uint8Array, keyLength: number, found: Found): Answer {
    const offset = this.#newest(hash, key, 0, keyLength);
    if (offset === 0 && this.rangeDeletes.length === 0) return answer.UNKNOWN;
    return this.#answer(offset, key, 0, keyLength, Infinity, found);
  }

  /**
   * Reads where look-ups of these hashes will. None of the reads waits for another one, so the processor does them side by
   * side. True: some are not here; those are left in `expected`.
   */
  touch(expected: ExpectedHashes): boolean {
    const { hashes, places, count } = expected;
    const slots = this.#slots;
    const mask = this.#slotMask;
    const wrap = (mask << 1) | 1;
    const words = this.arena.words;
    for (let i = 0; i < count; i++) {
      const hash = hashes[i] as number;
      let slot = (hash & mask) << 1;
      while (slots[slot] !== hash && slots[slot + 1] !== 0) slot = (slot + 2) & wrap;
      places[i] = (slots[slot + 1] as number) >>> 2;
    }
    const last = words.length - 1;
    let absent = 0;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const place = places[i] as number;
      if (place === 0) hashes[absent++] = hashes[i] as number;
      sum ^= (words[place] as number) ^ (words[Math.min(place + TOUCH_WORDS, last)] as number);
    }
    expected.count = absent;
    expected.seen = sum;
    return absent > 0;
  }

  /** As `get`, seeing only records up to `limit`. */
  getAt(limit: number, key: Uint8Array, keyLength: number, found: Found): Answer {
    const offset = this.#visible(this.#newest(this.hash(key, 0, keyLength), key, 0, keyLength), limit);
    return this.#answer(offset, key, 0, keyLength, limit, found);
  }

  #answer(offset: number, key: Uint8Array, start: number, end: number, limit: number, found: Found): Answer {
    const words = this.arena.words;
    const word = offset >> 2;
    const sequence = offset === 0 ? -1 : this.firstSequence + (words[word + 2] as number);
    if (this.rangeDeletes.length > 0) {
      const covering = this.coveringSequence(key, start, end, limit, sequence);
      if (covering > sequence) {
        found.sequence = covering;
        return answer.DELETED;
      }
    }
    if (offset === 0) return answer.UNKNOWN;
    found.sequence = sequence;
    const first = words[word] as number;
    if (first >>> KIND_SHIFT === kind.DELETE) return answer.DELETED;
    const valueStart = offset + RECORD_HEADER_BYTES + (first & KEY_LENGTH_MASK);
    found.bytes = this.arena.bytes;
    found.start = valueStart;
    found.end = valueStart + (words[word + 1] as number);
    return answer.FOUND;
  }

  /** Sequence of the newest range delete up to `limit` and above `above` that covers bytes[start, end); -1: none. */
  coveringSequence(bytes: Uint8Array, start: number, end: number, limit: number, above = -1): number {
    const ranges = this.rangeDeletes;
    const arena = this.arena.bytes;
    for (let i = ranges.length - 1; i >= 0; i--) {
      const range = ranges[i] as RangeDelete;
      if (range.sequence <= above) break;
      if (
        range.sequence <= limit &&
        compareRanges(bytes, start, end, arena, range.fromStart, range.fromEnd) >= 0 &&
        compareRanges(bytes, start, end, arena, range.toStart, range.toEnd) < 0
      ) {
        return range.sequence;
      }
    }
    return -1;
  }

  /** Offset of the newest record that `limit` may see of the key of the record at `offset`; 0: none. */
  visibleOf(offset: number, limit: number): number {
    const { bytes, words } = this.arena;
    const keyLength = (words[offset >> 2] as number) & KEY_LENGTH_MASK;
    const start = offset + RECORD_HEADER_BYTES;
    return this.#visible(this.#newest(this.hash(bytes, start, keyLength), bytes, start, keyLength), limit);
  }

  #visible(newest: number, limit: number): number {
    const words = this.arena.words;
    let offset = newest;
    while (offset !== 0 && this.firstSequence + (words[(offset >> 2) + 2] as number) > limit) {
      offset = words[(offset >> 2) + 3] as number;
    }
    return offset;
  }

  /** Offset of the newest record of the key; 0: none. */
  #newest(hash: number, key: Uint8Array, start: number, keyLength: number): number {
    const slots = this.#slots;
    const wrap = (this.#slotMask << 1) | 1;
    let slot = (hash & this.#slotMask) << 1;
    for (;;) {
      const offset = slots[slot + 1] as number;
      if (offset === 0) return 0;
      if (slots[slot] === hash && this.#sameKey(offset, key, start, keyLength)) {
        this.#lastSlot = slot;
        this.#lastOffset = offset;
        return offset;
      }
      slot = (slot + 2) & wrap;
    }
  }

  /** Whether the key of the record at `offset` is bytes[start, start + length). */
  hasKeyAt(offset: number, bytes: Uint8Array, start: number, length: number): boolean {
    return this.#sameKey(offset, bytes, start, length);
  }

  #sameKey(offset: number, key: Uint8Array, start: number, keyLength: number): boolean {
    const arena = this.arena;
    if (((arena.words[offset >> 2] as number) & KEY_LENGTH_MASK) !== keyLength) return false;
    const bytes = arena.bytes;
    const own = offset + RECORD_HEADER_BYTES;
    for (let i = 0; i < keyLength; i++) {
      if (bytes[own + i] !== key[start + i]) return false;
    }
    return true;
  }

  /** Whether the records at two offsets, of which the second has this key length, have the same key. */
  #sameKeys(a: number, b: number, keyLength: number): boolean {
    const { words, bytes } = this.arena;
    if (((words[a >> 2] as number) & KEY_LENGTH_MASK) !== keyLength) return false;
    const aWord = (a + RECORD_HEADER_BYTES) >> 2;
    const bWord = (b + RECORD_HEADER_BYTES) >> 2;
    const whole = keyLength >> 2;
    for (let i = 0; i < whole; i++) if (words[aWord + i] !== words[bWord + i]) return false;
    for (let i = keyLength & ~3; i < keyLength; i++) {
      if (bytes[a + RECORD_HEADER_BYTES + i] !== bytes[b + RECORD_HEADER_BYTES + i]) return false;
    }
    return true;
  }

  /**
   * What its slots go by; the same for all memtables with one secret.
   *
   * Four bytes a step, each mixed with two secret multiplications: with one, two keys that differ in the top bits of
   * two neighbouring words would collide whatever the secret.
   */
  hash(bytes: Uint8Array, start: number, length: number): number {
    const multiplier = this.#multiplier;
    let hash = this.#seed ^ length;
    const end = start + length;
    let at = start;
    for (; at + 4 <= end; at += 4) {
      const word =
        (bytes[at] as number) |
        ((bytes[at + 1] as number) << 8) |
        ((bytes[at + 2] as number) << 16) |
        ((bytes[at + 3] as number) << 24);
      hash = Math.imul(hash ^ word, multiplier);
      hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b_3c6d);
      hash ^= hash >>> 13;
    }
    for (; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), multiplier) ^ (hash >>> 15);
    hash = Math.imul(hash ^ (hash >>> 16), multiplier);
    return (hash ^ (hash >>> 15)) >>> 0;
  }

  /** `hash` of the key of the record at `at`, which is read in words. */
  #hashRecord(at: number, keyLength: number): number {
    const { words, bytes } = this.arena;
    const multiplier = this.#multiplier;
    let hash = this.#seed ^ keyLength;
    let word = (at + RECORD_HEADER_BYTES) >> 2;
    for (const end = word + (keyLength >> 2); word < end; word++) {
      hash = Math.imul(hash ^ (words[word] as number), multiplier);
      hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b_3c6d);
      hash ^= hash >>> 13;
    }
    const end = at + RECORD_HEADER_BYTES + keyLength;
    for (let i = word << 2; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), multiplier) ^ (hash >>> 15);
    hash = Math.imul(hash ^ (hash >>> 16), multiplier);
    return (hash ^ (hash >>> 15)) >>> 0;
  }

  /**
   * Sorts pending keys whose prefixes lie in [from, to], at most `budget` of them. True: all are sorted. A cursor opened
   * earlier loses nothing, since what comes later is beyond its sequence.
   */
  sortPending(from: number, to: number, budget: number): boolean {
    if (this.#pendingCount === 0) return true;
    const first = this.#firstPending(from, to);
    if (first > to) return true;
    let offsets = pendingOffsets;
    const most = Math.min(budget, this.#pendingCount);
    if (most > offsets.length) offsets = new Uint32Array(most);
    let count = 0;
    let done = true;
    for (let prefix = first; prefix <= to; prefix++) {
      let head = this.#pendingHeads[prefix] as number;
      while (head !== 0 && count < most) {
        offsets[count++] = this.#keyOffsets[head - 1] as number;
        head = this.#pendingNext[head - 1] as number;
      }
      this.#pendingHeads[prefix] = head;
      if (head !== 0) {
        done = false;
        break;
      }
      if (count === this.#pendingCount) break;
    }
    this.#pendingCount -= count;
    const found = offsets.subarray(0, count);
    sortByKey(this.arena.bytes, this.arena.words, found);
    this.sorted.insertSorted(found);
    return done;
  }

  /** The first prefix in [from, to] that has pending keys; to + 1: none has. */
  #firstPending(from: number, to: number): number {
    const heads = this.#pendingHeads;
    let prefix = from;
    while (prefix <= to && heads[prefix] === 0) prefix++;
    return prefix;
  }

  /** The slow way to room: a larger hash table, or more memory for a batch larger than a memtable. */
  #grow(byteLength: number, count: number): void {
    const needed = this.arena.end + GROUP_HEADER_BYTES + byteLength;
    if (needed > this.arena.bytes.length) this.arena.grow(needed + (needed >> 3));
    if (this.keyCount + count <= this.#hardKeys) return;
    let slots = this.#slotMask + 1;
    while (Math.floor(slots * HARD_LOAD) < this.keyCount + count) slots *= 2;
    this.#rehash(slots);
  }

  #allocate(slots: number): void {
    const memory = this.#supply(slots);
    this.#memory = memory;
    this.#slots = memory.slots;
    this.#keyOffsets = memory.keyOffsets;
    this.#pendingNext = memory.pendingNext;
    this.#slotMask = slots - 1;
    this.#hardKeys = memory.keyOffsets.length;
    this.#lastOffset = 0;
  }

  #rehash(slots: number): void {
    const { slots: old, keyOffsets, pendingNext } = this.#memory;
    this.#allocate(slots);
    this.#keyOffsets.set(keyOffsets);
    this.#pendingNext.set(pendingNext);
    for (let from = 0; from < old.length; from += 2) {
      if (old[from + 1] === 0) continue;
      const hash = old[from] as number;
      let slot = (hash & this.#slotMask) << 1;
      while (this.#slots[slot + 1] !== 0) slot = (slot + 2) & ((this.#slotMask << 1) | 1);
      this.#slots[slot] = hash;
      this.#slots[slot + 1] = old[from + 1] as number;
    }
  }

  /** Gives up its memory, for another memtable; nothing can be read here any more. */
  release(): { readonly arena: SharedArrayBuffer; readonly index: IndexMemory } {
    const index = this.#memory;
    this.#memory = NO_INDEX;
    this.#slots = NO_INDEX.slots;
    this.#keyOffsets = NO_INDEX.keyOffsets;
    this.#pendingNext = NO_INDEX.pendingNext;
    return { arena: this.arena.release(), index };
  }
}

/** First two bytes of a key as a number; a missing one counts as zero. */
export function prefixOf(bytes: Uint8Array, start: number, length: number): number {
  if (length === 0) return 0;
  return ((bytes[start] as number) << 8) | (length > 1 ? (bytes[start + 1] as number) : 0);
}

/** Capacity of the arena of a memtable that must take a first batch of `batchBytes`. */
export function arenaCapacity(softBytes: number, batchBytes: number): number {
  return Math.max(Math.ceil(softBytes * FREEZE_RESERVE), FILE_HEADER_BYTES + GROUP_HEADER_BYTES + batchBytes);
}
