/**
 * Several sources merged into one: for each key the record of the newest source that has it, dead keys left out.
 *
 * Sources stand in order of age, newest first, and every record of a key in one of them is newer than every record of
 * that key in the ones behind it. So what a tombstone or a range tombstone kills stands in its own source or behind it,
 * and a source that meets a range tombstone of a newer one may go to the end of that range at once: a deleted range
 * costs a seek, not a walk. Nothing is older than these sources, so dead keys need not be shown to whoever merges further.
 *
 * Invariants: `#heap[0, #size)` holds the sources that stand on a record, as a binary heap by key, then by age; the source
 * in `#owing` has missed and will be asked again before anything else.
 */

import { compareRanges, equalBytes } from '../bytes.ts';
import type { RangeTombstones, TombstoneFragment } from './range-tombstones.ts';
import { newestVisible } from './range-tombstones.ts';
import { kind, type Kind } from './record.ts';
import type { Source } from './source.ts';
import { lookup, type Lookup } from './store.ts';

export interface MergeInput {
  readonly source: Source;
  /** The range tombstones among the records of `source`. */
  readonly tombstones: RangeTombstones;
}

export interface MergeOptions {
  /** Newest first. */
  readonly inputs: readonly MergeInput[];
  readonly sequence: number;
  readonly reverse: boolean;
}

export class MergeIterator implements Source {
  readonly #sources: readonly Source[];
  /** Inputs that have range tombstones: age and tombstones. */
  readonly #covering: readonly { readonly age: number; readonly tombstones: RangeTombstones }[];
  readonly #sequence: number;
  readonly #reverse: boolean;
  /** Ages of sources. */
  readonly #heap: Int32Array;
  #size = 0;
  /** Age of the source that has missed, or -1; where it was to seek, if it was. */
  #owing = -1;
  #owingSeek: Uint8Array | undefined;
  /**
   * The seek to `#seekKey` has missed; asked again it goes on, with the sources in `#seekOwed` if there are any. A seek
   * that began anew after each miss would never end in a cache that is smaller than one block of every source.
   */
  #seeking = false;
  #seekKey: Uint8Array | undefined;
  #seekOwed: number[] = [];
  /** The key that was shown or found dead last, whose other records are to be passed over. */
  #lastKey = new Uint8Array(64);
  #lastKeyLength = 0;
  #passing = false;
  #missed: readonly Source[] = [];
  #current: Source;

  constructor(options: MergeOptions) {
    this.#sources = options.inputs.map((input) => input.source);
    this.#covering = options.inputs
      .map(({ tombstones }, age) => ({ age, tombstones }))
      .filter(({ tombstones }) => tombstones.count > 0);
    this.#sequence = options.sequence;
    this.#reverse = options.reverse;
    this.#heap = new Int32Array(this.#sources.length);
    this.#current = this.#sources[0] ?? NO_RECORDS;
  }

  get keyBytes(): Uint8Array {
    return this.#current.keyBytes;
  }
  get keyStart(): number {
    return this.#current.keyStart;
  }
  get keyEnd(): number {
    return this.#current.keyEnd;
  }
  get kind(): Kind {
    return this.#current.kind;
  }
  get sequence(): number {
    return this.#current.sequence;
  }
  get valueBytes(): Uint8Array {
    return this.#current.valueBytes;
  }
  get valueStart(): number {
    return this.#current.valueStart;
  }
  get valueEnd(): number {
    return this.#current.valueEnd;
  }

  seek(key: Uint8Array | undefined): Lookup {
    if (!this.#seeking || !isSameKey(key, this.#seekKey)) {
      this.#size = 0;
      this.#owing = -1;
      this.#passing = false;
      this.#seekOwed = [...this.#sources.keys()];
      this.#seekKey = key?.slice();
      this.#seeking = true;
    }
    const found = this.#seekOn(key);
    this.#seeking = found === lookup.MISS;
    return found;
  }

  #seekOn(key: Uint8Array | undefined): Lookup {
    const owed = this.#seekOwed;
    if (owed.length === 0) return this.#show();
    this.#seekOwed = [];
    for (const age of owed) {
      const found = (this.#sources[age] as Source).seek(key);
      if (found === lookup.MISS) this.#seekOwed.push(age);
      else if (found === lookup.FOUND) this.#push(age);
    }
    if (this.#seekOwed.length === 0) return this.#show();
    this.#missed = this.#seekOwed.map((age) => this.#sources[age] as Source);
    return lookup.MISS;
  }

  step(): Lookup {
    if (this.#owing < 0 && this.#size > 0) {
      this.#rememberKey();
      if (!this.#stepFirst()) return lookup.MISS;
    }
    return this.#show();
  }

  async load(): Promise<void> {
    const missed = this.#missed;
    this.#missed = [];
    await Promise.all(missed.map((source) => source.load()));
  }

  close(): void {
    for (const source of this.#sources) source.close();
    this.#size = 0;
  }

  /** Passes over the rest of the last key and over what is dead, and shows the first live record. */
  #show(): Lookup {
    for (;;) {
      if (this.#owing >= 0 && !this.#settle()) return lookup.MISS;
      if (this.#size === 0) return lookup.ABSENT;
      const age = this.#heap[0] as number;
      const source = this.#sources[age] as Source;
      if (this.#passing && this.#isLastKey(source)) {
        if (!this.#stepFirst()) return lookup.MISS;
        continue;
      }
      this.#passing = false;
      if (this.#covering.length > 0) {
        const fragment = this.#coveringFragment(source, age);
        if (fragment !== undefined) {
          if (!this.#skip(source, fragment)) return lookup.MISS;
          continue;
        }
        if (this.#isDead(source, age)) {
          this.#rememberKey();
          if (!this.#stepFirst()) return lookup.MISS;
          continue;
        }
      }
      if (source.kind === kind.PUT) {
        this.#current = source;
        return lookup.FOUND;
      }
      this.#rememberKey();
      if (!this.#stepFirst()) return lookup.MISS;
    }
  }

  /** A visible range tombstone of a newer source that covers where `source` stands. */
  #coveringFragment(source: Source, age: number): TombstoneFragment | undefined {
    for (const holder of this.#covering) {
      if (holder.age >= age) return undefined;
      const { tombstones } = holder;
      const index = tombstones.fragmentOf(source.keyBytes, source.keyStart, source.keyEnd);
      const fragment = tombstones.fragments[index];
      if (fragment !== undefined && newestVisible(fragment, this.#sequence) >= 0) return fragment;
    }
    return undefined;
  }

  /** Whether a range tombstone of the source itself covers its record. */
  #isDead(source: Source, age: number): boolean {
    for (const holder of this.#covering) {
      if (holder.age !== age) continue;
      const { keyBytes, keyStart, keyEnd } = source;
      return holder.tombstones.coveringSequence(keyBytes, keyStart, keyEnd, this.#sequence) > source.sequence;
    }
    return false;
  }

  /** Takes the first source, `source`, past the range of `fragment`. */
  #skip(source: Source, fragment: TombstoneFragment): boolean {
    if (!this.#reverse) return this.#seekFirst(fragment.end);
    const { start } = fragment;
    const atStart = compareRanges(source.keyBytes, source.keyStart, source.keyEnd, start, 0, start.length) === 0;
    return atStart ? this.#stepFirst() : this.#seekFirst(start);
  }

  #seekFirst(key: Uint8Array): boolean {
    return this.#replaceFirst((this.#sources[this.#heap[0] as number] as Source).seek(key), key);
  }

  #stepFirst(): boolean {
    return this.#replaceFirst((this.#sources[this.#heap[0] as number] as Source).step(), undefined);
  }

  /** Puts the source at the head of the heap where it belongs now. False: it has missed. */
  #replaceFirst(found: Lookup, seekKey: Uint8Array | undefined): boolean {
    const age = this.#heap[0] as number;
    if (found === lookup.FOUND) {
      this.#sink();
      return true;
    }
    this.#size--;
    this.#heap[0] = this.#heap[this.#size] as number;
    if (this.#size > 1) this.#sink();
    if (found === lookup.ABSENT) return true;
    this.#owing = age;
    this.#owingSeek = seekKey;
    this.#missed = [this.#sources[age] as Source];
    return false;
  }

  /** Asks the source that has missed again. False: it still misses. */
  #settle(): boolean {
    const source = this.#sources[this.#owing] as Source;
    const found = this.#owingSeek === undefined ? source.step() : source.seek(this.#owingSeek);
    if (found === lookup.MISS) {
      this.#missed = [source];
      return false;
    }
    if (found === lookup.FOUND) this.#push(this.#owing);
    this.#owing = -1;
    return true;
  }

  #rememberKey(): void {
    const source = this.#sources[this.#heap[0] as number] as Source;
    this.#passing = this.#sources.length > 1;
    if (!this.#passing) return;
    const length = source.keyEnd - source.keyStart;
    if (length > this.#lastKey.length) this.#lastKey = new Uint8Array(length * 2);
    const from = source.keyBytes;
    for (let i = 0; i < length; i++) this.#lastKey[i] = from[source.keyStart + i] as number;
    this.#lastKeyLength = length;
  }

  #isLastKey(source: Source): boolean {
    const { keyBytes, keyStart, keyEnd } = source;
    return compareRanges(keyBytes, keyStart, keyEnd, this.#lastKey, 0, this.#lastKeyLength) === 0;
  }

  #push(age: number): void {
    const heap = this.#heap;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(age, heap[parent] as number)) break;
      heap[at] = heap[parent] as number;
      at = parent;
    }
    heap[at] = age;
  }

  #sink(): void {
    const heap = this.#heap;
    const age = heap[0] as number;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && this.#isBefore(heap[child + 1] as number, heap[child] as number)) child++;
      if (!this.#isBefore(heap[child] as number, age)) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = age;
  }

  #isBefore(a: number, b: number): boolean {
    const x = this.#sources[a] as Source;
    const y = this.#sources[b] as Source;
    const order = compareRanges(x.keyBytes, x.keyStart, x.keyEnd, y.keyBytes, y.keyStart, y.keyEnd);
    if (order === 0) return a < b;
    return this.#reverse ? order > 0 : order < 0;
  }
}

function isSameKey(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && equalBytes(a, b));
}

/** What is shown where there are no sources. */
/** A source without records. */
export const NO_RECORDS: Source = {
  keyBytes: new Uint8Array(0),
  keyStart: 0,
  keyEnd: 0,
  kind: kind.DELETE,
  sequence: 0,
  valueBytes: new Uint8Array(0),
  valueStart: 0,
  valueEnd: 0,
  seek: () => lookup.ABSENT,
  step: () => lookup.ABSENT,
  load: () => Promise.resolve(),
  close: () => {},
};
