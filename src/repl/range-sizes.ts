/**
 * What the elements in ranges take when packed, found by walks over the elements as they are in the store: at once, or in
 * slices where that takes more than a turn. Those that took longer are kept for who asks again. Derived: whoever changes an
 * element forgets all.
 */

import { compareBytes, latin1 } from '../bytes.ts';
import { elementLength } from './element-pack.ts';
import type { DroppedRange, ElementSteps } from './elements.ts';
import { Miss } from './miss.ts';

/** Elements that are gone through in one turn: about two milliseconds. */
const SLICE_ELEMENTS = 1500;

/** Walks that are kept; with more they are all begun anew. One command has fewer: each is of another 1,500 elements. */
const MAX_KEPT = 4096;

export class RangeSizes {
  private readonly kept = new Map<string, SizeWalk>();

  /** Throws `Miss` when that takes more than a turn: its `load` makes the rest, resting between slices. */
  of(range: DroppedRange, walk: (range: DroppedRange) => ElementSteps, rest: () => Promise<void>): number {
    const { kept } = this;
    const name = `${range.tag} ${range.lower.length} ${latin1(range.lower)}${latin1(range.upper)}`;
    const known = kept.get(name);
    if (known?.isOver === true) return known.bytes;
    if (known !== undefined) throw new Miss(() => known.done);
    const begun = new SizeWalk(walk(range), rest);
    if (begun.begin()) return begun.bytes;
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(name, begun);
    begun.done = begun.run().catch((error: unknown) => {
      kept.delete(name);
      throw error;
    });
    throw new Miss(() => begun.done);
  }
}

class SizeWalk {
  bytes = 0;
  isOver = false;
  done: Promise<void> = Promise.resolve();
  private readonly steps: ElementSteps;
  private readonly rest: () => Promise<void>;

  constructor(steps: ElementSteps, rest: () => Promise<void>) {
    this.steps = steps;
    this.rest = rest;
  }

  /** The first slice; true: that was all. */
  begin(): boolean {
    try {
      return this.slice();
    } catch (thrown) {
      if (thrown instanceof Miss) return false;
      this.steps.close();
      throw thrown;
    }
  }

  /** Goes on for a turn; true: it has come to the end. Throws `Miss`. */
  private slice(): boolean {
    const { steps } = this;
    for (let i = 0; i < SLICE_ELEMENTS; i++) {
      if (!steps.next()) {
        steps.close();
        this.isOver = true;
        return true;
      }
      this.bytes += elementLength(steps.key, steps.value);
    }
    return false;
  }

  async run(): Promise<void> {
    try {
      while (!this.isOver) {
        await this.rest();
        try {
          this.slice();
        } catch (thrown) {
          if (!(thrown instanceof Miss)) throw thrown;
          await thrown.load();
        }
      }
    } finally {
      this.steps.close();
    }
  }
}

/** The parts of a range that are in none of these ranges, which may overlap. */
export function rangeWithout(range: DroppedRange, others: readonly DroppedRange[]): DroppedRange[] {
  let parts = [range];
  for (const other of others) {
    if (other.tag !== range.tag) continue;
    parts = parts.flatMap(({ tag, lower, upper }) => {
      const before = { tag, lower, upper: lesserOf(upper, other.lower) };
      const behind = { tag, lower: compareBytes(lower, other.upper) < 0 ? other.upper : lower, upper };
      if (compareBytes(other.lower, other.upper) >= 0) return [{ tag, lower, upper }];
      return [before, behind].filter((part) => compareBytes(part.lower, part.upper) < 0);
    });
  }
  return parts;
}

function lesserOf(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compareBytes(a, b) < 0 ? a : b;
}
