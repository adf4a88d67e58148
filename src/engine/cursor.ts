/**
 * Cursors: several sources merged into one walk over live keys.
 *
 * Sources stand in order of age, newest first; of equal keys the newest source's record counts, a deletion hides the
 * older ones. Invariants: between calls every source stands on a key, at its end, or still owes a seek or a step; the
 * sources that stand on the current key step only when the cursor does, so that the slices shown stay valid.
 */

import { assert } from '../assert.ts';
import { compareRanges, EMPTY, equalBytes } from '../bytes.ts';
import { kind } from './record.ts';
import type { Source } from './source.ts';
import { lookup } from './store.ts';
import type { Cursor, Lookup } from './store.ts';

const state = { OWES_SEEK: 0, OWES_STEP: 1, FOUND: 2, ENDED: 3 } as const;
type State = (typeof state)[keyof typeof state];

/** Something that holds range deletes: a memtable or the tables of a version. */
export interface Covering {
  /** Sequence of the newest range delete up to `limit` that covers bytes[start, end); -1: none. */
  coveringSequence(bytes: Uint8Array, start: number, end: number, limit: number): number;
}

export type MergeCursorOptions = {
  readonly sources: readonly Source[];
  readonly covering: readonly Covering[];
  readonly limit: number;
  readonly lower: Uint8Array | undefined;
  readonly upper: Uint8Array | undefined;
  readonly reverse: boolean;
  /** Keys that one step may pass because they are deleted. */
  readonly mostPassed: number;
  /** Resolves in the next turn. */
  readonly rest: () => Promise<void>;
  readonly onClose: () => void;
};

export class MergeCursor implements Cursor {
  readonly #sources: readonly Source[];
  readonly #states: State[];
  readonly #covering: readonly Covering[];
  readonly #limit: number;
  readonly #lower: Uint8Array | undefined;
  readonly #upper: Uint8Array | undefined;
  readonly #reverse: boolean;
  readonly #mostPassed: number;
  readonly #rest: () => Promise<void>;
  readonly #onClose: () => void;
  /** Where sources that owe a seek go. */
  #target: Uint8Array | undefined;
  #current: Source | undefined;
  /** Key of the last seek, if it missed. */
  #missedSeek: Uint8Array | undefined;
  /** Backwards: the walk has passed its first bound. */
  #isBelowUpper = false;
  #closed = false;
  /** The last step has passed as many keys as it may. */
  #rests = false;

  constructor(options: MergeCursorOptions) {
    this.#sources = options.sources;
    this.#states = options.sources.map(() => state.OWES_SEEK);
    this.#covering = options.covering;
    this.#limit = options.limit;
    this.#lower = options.lower;
    this.#upper = options.upper;
    this.#reverse = options.reverse;
    this.#mostPassed = options.mostPassed;
    this.#rest = options.rest;
    this.#onClose = options.onClose;
    this.#target = options.reverse ? options.upper : options.lower;
  }

  get key(): Uint8Array {
    const source = this.#current;
    return source === undefined ? EMPTY : source.keyBytes.subarray(source.keyStart, source.keyEnd);
  }

  get value(): Uint8Array {
    const source = this.#current;
    return source === undefined ? EMPTY : source.valueBytes.subarray(source.valueStart, source.valueEnd);
  }

  next(): Lookup {
    assert(!this.#closed, 'the cursor is open');
    this.#missedSeek = undefined;
    const current = this.#current;
    if (current !== undefined) {
      this.#leave(current);
      this.#current = undefined;
    }
    return this.#find();
  }

  seek(key: Uint8Array): Lookup {
    assert(!this.#closed, 'the cursor is open');
    // After a miss the sources that have found their place keep it; all would have to be in memory at once otherwise.
    if (this.#missedSeek === undefined || !equalBytes(this.#missedSeek, key)) {
      this.#current = undefined;
      this.#target = this.#clamp(key);
      this.#states.fill(state.OWES_SEEK);
      this.#isBelowUpper = false;
    }
    const found = this.#find();
    this.#missedSeek = found === lookup.MISS ? key.slice() : undefined;
    return found;
  }

  /** A seek beyond the bound where the walk begins begins at the bound. */
  #clamp(key: Uint8Array): Uint8Array {
    const bound = this.#reverse ? this.#upper : this.#lower;
    if (bound === undefined) return key;
    const order = compareRanges(key, 0, key.length, bound, 0, bound.length);
    return (this.#reverse ? order > 0 : order < 0) ? bound : key;
  }

  #find(): Lookup {
    for (let passed = 0; ; passed++) {
      if (!this.#settle()) return lookup.MISS;
      const first = this.#first();
      if (first === undefined) return lookup.ABSENT;
      const where = this.#bounds(first);
      if (where > 0) return lookup.ABSENT;
      if (where === 0 && first.kind === kind.PUT && !this.#isCovered(first)) {
        this.#current = first;
        return lookup.FOUND;
      }
      this.#leave(first);
      if (passed >= this.#mostPassed) {
        this.#rests = true;
        return lookup.MISS;
      }
    }
  }

  /** Lets every source do what it owes. False: at least one missed. */
  #settle(): boolean {
    let settled = true;
    for (let i = 0; i < this.#sources.length; i++) {
      const owed = this.#states[i] as State;
      if (owed === state.FOUND || owed === state.ENDED) continue;
      const source = this.#sources[i] as Source;
      const found = owed === state.OWES_SEEK ? source.seek(this.#target) : source.step();
      if (found === lookup.MISS) settled = false;
      else this.#states[i] = found === lookup.FOUND ? state.FOUND : state.ENDED;
    }
    return settled;
  }

  /** The newest source among those that stand on the first key. */
  #first(): Source | undefined {
    let first: Source | undefined;
    for (let i = 0; i < this.#sources.length; i++) {
      if (this.#states[i] !== state.FOUND) continue;
      const source = this.#sources[i] as Source;
      if (first === undefined) {
        first = source;
        continue;
      }
      const order = compareKeys(source, first);
      if (this.#reverse ? order > 0 : order < 0) first = source;
    }
    return first;
  }

  /** Every source that stands on the same key owes a step. */
  #leave(current: Source): void {
    for (let i = 0; i < this.#sources.length; i++) {
      if (this.#states[i] !== state.FOUND) continue;
      const source = this.#sources[i] as Source;
      if (source === current || compareKeys(source, current) === 0) this.#states[i] = state.OWES_STEP;
    }
  }

  /**
   * 0: within the bounds; negative: before the walk's first bound; positive: past its last one. Only backwards may a walk begin
   * before its first bound, which is exclusive.
   */
  #bounds(source: Source): number {
    const { keyBytes, keyStart, keyEnd } = source;
    const lower = this.#lower;
    const upper = this.#upper;
    if (!this.#reverse) {
      return upper !== undefined && compareRanges(keyBytes, keyStart, keyEnd, upper, 0, upper.length) >= 0 ? 1 : 0;
    }
    if (!this.#isBelowUpper && upper !== undefined) {
      if (compareRanges(keyBytes, keyStart, keyEnd, upper, 0, upper.length) >= 0) return -1;
      this.#isBelowUpper = true;
    }
    return lower !== undefined && compareRanges(keyBytes, keyStart, keyEnd, lower, 0, lower.length) < 0 ? 1 : 0;
  }

  #isCovered(source: Source): boolean {
    for (const holder of this.#covering) {
      const { keyBytes, keyStart, keyEnd } = source;
      if (holder.coveringSequence(keyBytes, keyStart, keyEnd, this.#limit) > source.sequence) return true;
    }
    return false;
  }

  async load(): Promise<void> {
    if (this.#rests) {
      this.#rests = false;
      await this.#rest();
      return;
    }
    const loads: Promise<void>[] = [];
    for (let i = 0; i < this.#sources.length; i++) {
      const owed = this.#states[i] as State;
      if (owed === state.OWES_SEEK || owed === state.OWES_STEP) loads.push((this.#sources[i] as Source).load());
    }
    await Promise.all(loads);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#current = undefined;
    for (const source of this.#sources) source.close();
    this.#onClose();
  }
}

function compareKeys(a: Source, b: Source): number {
  return compareRanges(a.keyBytes, a.keyStart, a.keyEnd, b.keyBytes, b.keyStart, b.keyEnd);
}
