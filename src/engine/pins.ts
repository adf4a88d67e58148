/** Sequences that live snapshots and cursors look at: what they see must survive flushes and compactions. */

import { must } from '../assert.ts';

export class Pins {
  readonly #counts = new Map<number, number>();
  /** The latest that anybody looks at; -1: nobody does. */
  newest = -1;

  get count(): number {
    return this.#counts.size;
  }

  add(sequence: number): void {
    this.#counts.set(sequence, (this.#counts.get(sequence) ?? 0) + 1);
    if (sequence > this.newest) this.newest = sequence;
  }

  remove(sequence: number): void {
    const left = must(this.#counts.get(sequence), 'a pinned sequence') - 1;
    if (left > 0) {
      this.#counts.set(sequence, left);
      return;
    }
    this.#counts.delete(sequence);
    if (sequence === this.newest) this.newest = this.sequences().at(-1) ?? -1;
  }

  /** Ascending. */
  sequences(): number[] {
    return [...this.#counts.keys()].sort((a, b) => a - b);
  }
}
