/**
 * Memory of flushed memtables, used again.
 *
 * Shared memory does not count when V8 decides whether to collect, and each thread that has seen it holds it until its
 * own next collection: without a pool a steady load kept a dozen dropped arenas. The arrays of an index count, and made it
 * collect the whole heap with each memtable. Invariant: nobody reads memory in the pool.
 */

import { IndexMemory } from './memtable.ts';

/** Spare arenas kept: as many as are frozen at once when flushes keep up. */
const MAX_SPARE = 2;

export class ArenaPool {
  readonly #capacity: number;
  readonly #spare: SharedArrayBuffer[] = [];
  #spareIndex: IndexMemory | undefined;

  /** `capacity`: bytes of the arenas that are kept; others (one batch larger than a memtable) are dropped. */
  constructor(capacity: number) {
    this.#capacity = roundUp(capacity);
  }

  /** At least `capacity` bytes, not cleared. */
  take(capacity: number): SharedArrayBuffer {
    const spare = roundUp(capacity) === this.#capacity ? this.#spare.pop() : undefined;
    return spare ?? new SharedArrayBuffer(roundUp(capacity));
  }

  /** Memory for an index of so many slots, cleared. What is spare in another size is let go: the load has changed. */
  takeIndex(slots: number): IndexMemory {
    const spare = this.#spareIndex;
    this.#spareIndex = undefined;
    if (spare?.slotCount !== slots) return new IndexMemory(slots);
    spare.slots.fill(0);
    return spare;
  }

  give({ arena, index }: { readonly arena: SharedArrayBuffer; readonly index: IndexMemory }): void {
    if (arena.byteLength === this.#capacity && this.#spare.length < MAX_SPARE) this.#spare.push(arena);
    this.#spareIndex = index;
  }
}

function roundUp(bytes: number): number {
  return (bytes + 7) & ~7;
}
