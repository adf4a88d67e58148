/** A walk over the keys of a memtable in order, as a source for cursors. */

import type { Timers } from '../env.ts';
import type { Memtable } from './memtable.ts';
import { prefixOf } from './memtable.ts';
import { KEY_LENGTH_MASK, kind, KIND_SHIFT, RECORD_HEADER_BYTES } from './record.ts';
import type { Kind } from './record.ts';
import type { Source } from './source.ts';
import { lookup } from './store.ts';
import type { Lookup } from './store.ts';

/** Keys sorted without leaving the turn, about 1 µs each; more are sorted in slices of as many, one a turn. */
const SORT_SLICE_KEYS = 1024;

export type MemtableSourceOptions = {
  readonly memtable: Memtable;
  readonly timers: Timers;
  /** Newest sequence that may be seen. */
  readonly limit: number;
  readonly reverse: boolean;
  /** Bounds within which the walk stays (the cursor checks them; here they say what must be sorted). */
  readonly lower: Uint8Array | undefined;
  readonly upper: Uint8Array | undefined;
};

export class MemtableSource implements Source {
  keyBytes: Uint8Array;
  keyStart = 0;
  keyEnd = 0;
  kind: Kind = kind.DELETE;
  sequence = 0;
  valueBytes: Uint8Array;
  valueStart = 0;
  valueEnd = 0;

  readonly #memtable: Memtable;
  readonly #timers: Timers;
  readonly #limit: number;
  readonly #reverse: boolean;
  readonly #fromPrefix: number;
  readonly #toPrefix: number;
  #ready = false;
  #block = 0;
  #index = 0;
  #changes = -1;

  constructor(options: MemtableSourceOptions) {
    this.#memtable = options.memtable;
    this.#timers = options.timers;
    this.#limit = options.limit;
    this.#reverse = options.reverse;
    const { lower, upper } = options;
    this.#fromPrefix = lower === undefined ? 0 : prefixOf(lower, 0, lower.length);
    this.#toPrefix = upper === undefined ? 0xffff : prefixOf(upper, 0, upper.length);
    this.keyBytes = options.memtable.arena.bytes;
    this.valueBytes = this.keyBytes;
  }

  seek(key: Uint8Array | undefined): Lookup {
    if (!this.#sort()) return lookup.MISS;
    const sorted = this.#memtable.sorted;
    this.#changes = sorted.changes;
    if (sorted.blockCount === 0) return lookup.ABSENT;
    if (key === undefined) {
      this.#block = this.#reverse ? sorted.blockCount - 1 : 0;
      this.#index = this.#reverse ? sorted.countIn(this.#block) - 1 : 0;
    } else {
      this.#place(key, 0, key.length, true);
    }
    return this.#settle();
  }

  step(): Lookup {
    const sorted = this.#memtable.sorted;
    if (this.#changes === sorted.changes) {
      this.#index += this.#reverse ? -1 : 1;
    } else {
      this.#changes = sorted.changes;
      this.#place(this.keyBytes, this.keyStart, this.keyEnd, false);
    }
    return this.#settle();
  }

  /** Goes to the first key in the walk's direction from `key` on, or after it unless it is to be included. */
  #place(bytes: Uint8Array, start: number, end: number, included: boolean): void {
    const sorted = this.#memtable.sorted;
    this.#block = sorted.blockFor(bytes, start, end);
    this.#index = sorted.indexIn(this.#block, bytes, start, end);
    const there = this.#index < sorted.countIn(this.#block) && this.#isAt(bytes, start, end);
    if (this.#reverse) {
      if (!there || !included) this.#index--;
    } else if (there && !included) {
      this.#index++;
    }
  }

  #isAt(bytes: Uint8Array, start: number, end: number): boolean {
    const sorted = this.#memtable.sorted;
    return this.#memtable.hasKeyAt(sorted.offsetAt(this.#block, this.#index), bytes, start, end - start);
  }

  /** From the position on, finds the first key with a visible record. */
  #settle(): Lookup {
    const memtable = this.#memtable;
    const sorted = memtable.sorted;
    for (;;) {
      if (this.#index < 0) {
        if (--this.#block < 0) return lookup.ABSENT;
        this.#index = sorted.countIn(this.#block) - 1;
      } else if (this.#index >= sorted.countIn(this.#block)) {
        if (++this.#block >= sorted.blockCount) return lookup.ABSENT;
        this.#index = 0;
      }
      const offset = memtable.visibleOf(sorted.offsetAt(this.#block, this.#index), this.#limit);
      if (offset !== 0) {
        this.#show(offset);
        return lookup.FOUND;
      }
      this.#index += this.#reverse ? -1 : 1;
    }
  }

  #show(offset: number): void {
    const { arena, firstSequence } = this.#memtable;
    const word = offset >> 2;
    const first = arena.words[word] as number;
    this.keyBytes = arena.bytes;
    this.keyStart = offset + RECORD_HEADER_BYTES;
    this.keyEnd = this.keyStart + (first & KEY_LENGTH_MASK);
    this.kind = (first >>> KIND_SHIFT) as Kind;
    this.sequence = firstSequence + (arena.words[word + 2] as number);
    this.valueBytes = arena.bytes;
    this.valueStart = this.keyEnd;
    this.valueEnd = this.keyEnd + (arena.words[word + 1] as number);
  }

  #sort(): boolean {
    if (this.#ready) return true;
    this.#ready = this.#memtable.sortPending(this.#fromPrefix, this.#toPrefix, SORT_SLICE_KEYS);
    return this.#ready;
  }

  /** Sorts a slice a turn until one more slice suffices. */
  load(): Promise<void> {
    return new Promise((resolve) => {
      const slice = (): void => {
        if (this.#sort()) resolve();
        else this.#timers.atTurnEnd(slice);
      };
      slice();
    });
  }

  close(): void {
    this.#ready = false;
  }
}
