/** Sequences that live snapshots and cursors look at: what they see must survive flushes and compactions. */

import { must } from '../assert.ts';

export class Pins {
  readonly #counts = new Map<number, number>();

  get count(): number {
    return this.#counts.size;
  }

  add(sequence: number): void {
    this.#counts.set(sequence, (this.#counts.get(sequence) ?? 0) + 1);
  }

  remove(sequence: number): void {
    const left = must(this.#counts.get(sequence), 'a pinned sequence') - 1;
    if (left === 0) this.#counts.delete(sequence);
    else this.#counts.set(sequence, left);
  }

  /** Ascending. */
  sequences(): number[] {
    return [...this.#counts.keys()].sort((a, b) => a - b);
  }
}
