/**
 * Memory of flushed arenas, used again.
 *
 * Shared memory does not count when V8 decides whether to collect, and each thread that has seen it holds it until its
 * own next collection: without a pool a steady load kept a dozen dropped arenas. Invariant: nobody reads memory in the pool.
 */

/** Spare arenas kept: as many as are frozen at once when flushes keep up. */
const MAX_SPARE = 2;

export class ArenaPool {
  readonly #capacity: number;
  readonly #spare: SharedArrayBuffer[] = [];

  /** `capacity`: bytes of the arenas that are kept; others (one batch larger than a memtable) are dropped. */
  constructor(capacity: number) {
    this.#capacity = roundUp(capacity);
  }

  /** At least `capacity` bytes, not cleared. */
  take(capacity: number): SharedArrayBuffer {
    const spare = roundUp(capacity) === this.#capacity ? this.#spare.pop() : undefined;
    return spare ?? new SharedArrayBuffer(roundUp(capacity));
  }

  give(buffer: SharedArrayBuffer): void {
    if (buffer.byteLength === this.#capacity && this.#spare.length < MAX_SPARE) this.#spare.push(buffer);
  }
}

function roundUp(bytes: number): number {
  return (bytes + 7) & ~7;
}
