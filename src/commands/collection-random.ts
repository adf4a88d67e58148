/**
 * Random elements of collections whose keys are scattered (member-key.ts): each element alike, without a walk from the
 * start and without anything kept for it.
 *
 * A draw takes one of 2^b equal parts of the scatter, of which each has about SHARE elements, and a number below a bound
 * that hardly any part reaches. The element with that number is it; where the part has no such number the draw is void,
 * and another is made. So every element has the same chance: that of its part times that of its number. In a small collection the
 * part is the whole.
 *
 * Draws that ended in a `Miss` are made again, number by number, by the next one who draws: would he draw anew, elements
 * whose blocks are in memory came more often than others, and the handler would miss again and again.
 */

import { copyOf, latin1 } from '../bytes.ts';
import type { Random } from '../env.ts';
import { type ElementSteps, eachStep } from '../repl/elements.ts';
import { Miss } from '../repl/miss.ts';
import { eachStepSliced, type Walkable } from './collection-steps.ts';
import { scatterKey, SCATTER_RANGE } from './member-key.ts';
import type { Sliced } from './sliced.ts';

/** One element in memory of its own. */
export interface Picked {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Up to so many elements the part is the whole. */
const FEW = 64;

/** Elements of a part, at most: half of it at least. */
const SHARE = 16;

/** A part with more elements than this, when SHARE are expected, comes once in 10^9. */
const BOUND = 46;

/** Void draws before all elements are gone through: most are past their deadlines, or were chosen to collide. */
const MAX_VOID_DRAWS = 200;

/** Steps and looks that a draw costs, in elements of a walk. */
const DRAW_STEPS = 60;

/** Draws between two rests: about a millisecond. */
const SLICE_DRAWS = 30;

/** Numbers of draws that have missed, by whose they are. */
const missed = new WeakMap<Random, number[][]>();

/** Random numbers that can be drawn again. */
class Draws {
  private readonly random: Random;
  private readonly drawn: number[];
  private at = 0;

  constructor(random: Random) {
    this.random = random;
    this.drawn = missed.get(random)?.pop() ?? [];
  }

  /** Below `bound`, a whole number. */
  below(bound: number): number {
    let number = this.drawn[this.at];
    if (number === undefined) this.drawn.push((number = this.random.next()));
    this.at++;
    return Math.floor(number * bound);
  }

  giveBack(): void {
    const lists = missed.get(this.random);
    if (lists === undefined) missed.set(this.random, [this.drawn]);
    else lists.push(this.drawn);
  }
}

/** One element; undefined: there is none. Throws `Miss`. */
export function pickOne(from: Walkable, random: Random): Picked | undefined {
  const draws = new Draws(random);
  try {
    for (let i = 0; i < MAX_VOID_DRAWS && from.count > 0; i++) {
      const picked = draw(from, draws);
      if (picked !== undefined) return picked;
    }
    const [picked] = sampleOf(1, random, (visit) => eachStep(from.walk({}), visit));
    return picked;
  } catch (thrown) {
    if (thrown instanceof Miss) draws.giveBack();
    throw thrown;
  }
}

/** Up to `count` different elements, in any order: all when there are no more. */
export function* pickDifferent(from: Walkable, count: number, random: Random): Sliced<Picked[]> {
  if (count === 0) return [];
  if (count * DRAW_STEPS >= from.count) return yield* sampleSliced(from, count, random);
  const picked = new Map<string, Picked>();
  for (let i = 0; picked.size < count && i < count * MAX_VOID_DRAWS; i++) {
    const one = yield* pickSliced(from, random);
    if (one === undefined) break;
    picked.set(latin1(one.key), one);
    if (i % SLICE_DRAWS === 0) yield undefined;
  }
  return [...picked.values()];
}

/** `count` elements, each drawn from all of them. */
export function* pickRepeated(from: Walkable, count: number, random: Random): Sliced<Picked[]> {
  const picked: Picked[] = [];
  if (count * DRAW_STEPS >= from.count) {
    const all = yield* sampleSliced(from, Infinity, random);
    for (let i = 0; i < count && all.length > 0; i++) {
      picked.push(all[Math.floor(random.next() * all.length)] as Picked);
      if (i % 100_000 === 99_999) yield undefined;
    }
    return picked;
  }
  for (let i = 0; i < count; i++) {
    const one = yield* pickSliced(from, random);
    if (one === undefined) break;
    picked.push(one);
    if (i % SLICE_DRAWS === 0) yield undefined;
  }
  return picked;
}

function* pickSliced(from: Walkable, random: Random): Sliced<Picked | undefined> {
  for (;;) {
    try {
      return pickOne(from, random);
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      yield thrown.load();
    }
  }
}

/** One draw; undefined: void. Throws `Miss`. */
function draw(from: Walkable, draws: Draws): Picked | undefined {
  const { count } = from;
  if (count <= FEW) return elementAt(from.walk({}), draws.below(count));
  let parts = 2;
  while (parts * SHARE < count && parts < SCATTER_RANGE) parts *= 2;
  const width = SCATTER_RANGE / parts;
  const part = draws.below(parts);
  const number = draws.below(Math.max(BOUND, Math.ceil((3 * count) / parts)));
  const lower = scatterKey(part * width) as Uint8Array;
  const upper = scatterKey((part + 1) * width);
  return elementAt(from.walk(upper === undefined ? { lower } : { lower, upper }), number);
}

/** The element that so many stand before; closes the walk. */
function elementAt(steps: ElementSteps, number: number): Picked | undefined {
  let left = number;
  let picked: Picked | undefined;
  eachStep(steps, (key, value) => {
    if (left-- > 0) return true;
    picked = { key: copyOf(key), value: copyOf(value) };
    return false;
  });
  return picked;
}

function* sampleSliced(from: Walkable, count: number, random: Random): Sliced<Picked[]> {
  const sample = new Sample(count, random);
  yield* eachStepSliced(from.walk({}), (key, value) => sample.take(key, value));
  return sample.picked;
}

function sampleOf(
  count: number,
  random: Random,
  each: (visit: (key: Uint8Array, value: Uint8Array) => void) => void,
): Picked[] {
  const sample = new Sample(count, random);
  each((key, value) => sample.take(key, value));
  return sample.picked;
}

/** A reservoir (Vitter's algorithm R): what is in it is any so many of what was taken in. */
class Sample {
  readonly picked: Picked[] = [];
  private readonly size: number;
  private readonly random: Random;
  private seen = 0;

  constructor(size: number, random: Random) {
    this.size = size;
    this.random = random;
  }

  take(key: Uint8Array, value: Uint8Array): void {
    const { picked, size } = this;
    this.seen++;
    if (picked.length < size) {
      picked.push({ key: copyOf(key), value: copyOf(value) });
      return;
    }
    const at = Math.floor(this.random.next() * this.seen);
    if (at < size) picked[at] = { key: copyOf(key), value: copyOf(value) };
  }
}
