/**
 * Places of elements in the order of their keys, for large collections in cells: how many stand before a key, and which
 * stands at a place, in far less than a walk from the start.
 *
 * ```
 * buckets   least key | number of elements      a bucket reaches to the least key of the next
 * sums      a Fenwick tree over the numbers, made anew when buckets come or go
 * ```
 *
 * A place is found by the buckets before it and a walk within one. Derived: one walk makes it, in slices, over the
 * elements as they are when it begins; what is committed meanwhile is noted and made up for. Every later commit is followed.
 *
 * Invariants: least keys rise; the number of a bucket is that of the elements in its range; `total` is the sum of all.
 */

import { compareBytes, copyOf, EMPTY } from '../bytes.ts';
import { eachStep, type ElementSteps, loadAhead, type TagRange } from './elements.ts';
import { Miss } from './miss.ts';

/** Elements of a bucket when it is made. */
const BUCKET_ELEMENTS = 128;

/** With a bucket of so many elements the whole is made anew: to go through it takes half a millisecond. */
const MAX_BUCKET = 1024;

/** Elements that are gone through in one turn while it is made: about two milliseconds. */
const SLICE_ELEMENTS = 1500;

/** Changes noted while it is made; with more of them it is made anew. */
const MAX_NOTED = 200_000;

/** Memory of a bucket besides its key, in bytes. */
const BUCKET_OVERHEAD = 250;

interface Bucket {
  least: Uint8Array;
  count: number;
}

/** Where to begin a walk, and how many elements to pass over. */
export interface Start {
  readonly range: TagRange;
  readonly skip: number;
}

export type Walk = (range: TagRange) => ElementSteps;

export class ElementRanks {
  private buckets: Bucket[] = [];
  private sums: Float64Array | undefined = undefined;
  total = 0;
  private building: Building | undefined = undefined;
  private isBuilt = false;
  /** No key is above it. */
  private greatest: Uint8Array = EMPTY;
  /** Memory in use, more or less. */
  bytes = 0;

  get built(): boolean {
    return this.isBuilt;
  }

  /**
   * Makes it unless it is there. Throws `Miss` when that takes more than a turn: its `load` makes the rest, resting
   * between slices. `walk` gives the elements as they are in the store.
   */
  build(walk: Walk, rest: () => Promise<void>): void {
    if (this.isBuilt) return;
    const { building } = this;
    if (building !== undefined) throw new Miss(() => building.done);
    this.greatest = lastKey(walk);
    const begun = new Building(walk({}), rest);
    try {
      if (begun.slice()) {
        this.finish(begun);
        return;
      }
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
    }
    this.building = begun;
    const done = begun.run().then(
      () => this.finish(begun),
      (error: unknown) => {
        this.building = undefined;
        throw error;
      },
    );
    begun.done = done;
    throw new Miss(() => done);
  }

  /** Follows a change that is in the store now: by one element more, one less, or none. */
  changed(key: Uint8Array, by: number): void {
    if (by === 0) return;
    if (this.building !== undefined) this.building.note(key, by);
    if (this.isBuilt) this.count(key, by);
  }

  /** How many elements stand before `key`. Requires: built. Throws `Miss`. */
  rankOf(key: Uint8Array, walk: Walk): number {
    const at = this.bucketOf(key);
    if (at < 0) return 0;
    const rank = this.sumBefore(at);
    const { least } = this.buckets[at] as Bucket;
    if (compareBytes(least, key) >= 0) return rank;
    return rank + countSteps(walk({ lower: least, upper: key }));
  }

  /** Where a walk begins that shows the element at `place` first, forwards or backwards. Requires: built, 0 ≤ place < total. */
  startAt(place: number, reverse: boolean): Start {
    const { buckets } = this;
    let at = this.placeIn(place);
    const before = this.sumBefore(at);
    if (!reverse) return { range: { lower: (buckets[at] as Bucket).least }, skip: place - before };
    const skip = before + (buckets[at] as Bucket).count - 1 - place;
    at++;
    const next = buckets[at];
    return { range: next === undefined ? { reverse } : { upper: next.least, reverse }, skip };
  }

  private finish({ buckets, noted }: Building): void {
    this.building = undefined;
    this.buckets = buckets;
    this.sums = undefined;
    this.isBuilt = true;
    this.total = 0;
    this.bytes = 0;
    for (const bucket of buckets) {
      this.total += bucket.count;
      this.bytes += sizeOf(bucket);
    }
    if (noted === undefined) this.forget();
    else for (const { key, by } of noted) this.count(key, by);
  }

  /** As if it had never been made. */
  forget(): void {
    this.isBuilt = false;
    this.buckets = [];
    this.sums = undefined;
    this.total = 0;
    this.bytes = 0;
  }

  private count(key: Uint8Array, by: number): void {
    this.total += by;
    const at = this.bucketOf(key);
    const { buckets } = this;
    if (by > 0 && this.begins(key, at)) return;
    const bucket = buckets[at];
    // Something changed the elements and was not followed: what it told of is made anew.
    if (bucket === undefined || bucket.count + by < 0) {
      this.forget();
      return;
    }
    bucket.count += by;
    if (bucket.count > MAX_BUCKET) this.forget();
    else if (bucket.count === 0) {
      buckets.splice(at, 1);
      this.sums = undefined;
      this.bytes -= sizeOf(bucket);
    } else this.add(at, by);
  }

  /**
   * Counts a new element that stands before all others, or behind all others and the last bucket is full: so those that
   * are pushed at either end are in buckets of their own. False: it is none of these.
   */
  private begins(key: Uint8Array, at: number): boolean {
    const { buckets } = this;
    const [first] = buckets;
    if (at < 0 && first !== undefined && first.count < BUCKET_ELEMENTS) {
      first.least = copyOf(key);
      first.count++;
      this.add(0, 1);
      return true;
    }
    const isGreatest = buckets.length === 0 || compareBytes(key, this.greatest) > 0;
    if (isGreatest) this.greatest = copyOf(key);
    const isFull = isGreatest && (buckets.at(-1)?.count ?? 0) >= BUCKET_ELEMENTS;
    if (at >= 0 && !isFull) return false;
    const bucket = { least: copyOf(key), count: 1 };
    buckets.splice(at + 1, 0, bucket);
    this.sums = undefined;
    this.bytes += sizeOf(bucket);
    return true;
  }

  /** Number of the bucket that a key belongs to; -1: it stands before all. */
  private bucketOf(key: Uint8Array): number {
    const { buckets } = this;
    let low = 0;
    let high = buckets.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareBytes((buckets[middle] as Bucket).least, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  private tree(): Float64Array {
    let { sums } = this;
    if (sums !== undefined) return sums;
    const { buckets } = this;
    sums = new Float64Array(buckets.length + 1);
    for (let i = 1; i < sums.length; i++) {
      sums[i] = (sums[i] as number) + (buckets[i - 1] as Bucket).count;
      const parent = i + (i & -i);
      if (parent < sums.length) sums[parent] = (sums[parent] as number) + (sums[i] as number);
    }
    this.sums = sums;
    return sums;
  }

  private add(at: number, by: number): void {
    const { sums } = this;
    if (sums === undefined) return;
    for (let i = at + 1; i < sums.length; i += i & -i) sums[i] = (sums[i] as number) + by;
  }

  /** Elements in the buckets before number `at`. */
  private sumBefore(at: number): number {
    const sums = this.tree();
    let sum = 0;
    for (let i = at; i > 0; i -= i & -i) sum += sums[i] as number;
    return sum;
  }

  /** Number of the bucket in which the element at `place` is. */
  private placeIn(place: number): number {
    const sums = this.tree();
    let at = 0;
    let left = place;
    let step = 1;
    while (step * 2 < sums.length) step *= 2;
    for (; step > 0; step >>= 1) {
      const next = at + step;
      if (next < sums.length && (sums[next] as number) <= left) {
        at = next;
        left -= sums[next] as number;
      }
    }
    return Math.min(at, this.buckets.length - 1);
  }
}

/** One walk that makes the buckets. */
class Building {
  readonly buckets: Bucket[] = [];
  /** Changes since it began; undefined: too many. */
  noted: { readonly key: Uint8Array; readonly by: number }[] | undefined = [];
  done: Promise<void> = Promise.resolve();
  private readonly steps: ElementSteps;
  private readonly rest: () => Promise<void>;

  constructor(steps: ElementSteps, rest: () => Promise<void>) {
    this.steps = steps;
    this.rest = rest;
  }

  note(key: Uint8Array, by: number): void {
    if (this.noted === undefined) return;
    if (this.noted.length === MAX_NOTED) this.noted = undefined;
    else this.noted.push({ key: copyOf(key), by });
  }

  /** Goes on for a turn; true: it has come to the end. Throws `Miss`. */
  slice(): boolean {
    const { steps, buckets } = this;
    let last = buckets.at(-1);
    for (let i = 0; i < SLICE_ELEMENTS; i++) {
      if (!steps.next()) {
        steps.close();
        return true;
      }
      if (last === undefined || last.count === BUCKET_ELEMENTS) {
        last = { least: copyOf(steps.key), count: 0 };
        buckets.push(last);
      }
      last.count++;
    }
    return false;
  }

  async run(): Promise<void> {
    try {
      for (;;) {
        await this.rest();
        try {
          if (this.slice()) return;
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

/** Number of steps; closes the walk. Throws `Miss`. */
function countSteps(steps: ElementSteps): number {
  let count = 0;
  try {
    while (steps.next()) count++;
  } catch (thrown) {
    if (!(thrown instanceof Miss)) throw thrown;
    throw new Miss(() => loadAhead(steps, thrown, count));
  }
  steps.close();
  return count;
}

/** The greatest key there is. Throws `Miss`. */
function lastKey(walk: Walk): Uint8Array {
  let last: Uint8Array = EMPTY;
  eachStep(walk({ reverse: true }), (key) => {
    last = copyOf(key);
    return false;
  });
  return last;
}

function sizeOf({ least }: Bucket): number {
  return least.length + BUCKET_OVERHEAD;
}
