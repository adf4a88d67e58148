/** Walks over the elements of collections: in one go, and in slices that let others run. */

import { type ElementSteps, loadAhead, type TagRange } from '../repl/elements.ts';
import { Miss } from '../repl/miss.ts';

/** Elements of one tag, as whoever counts and walks them sees them. */
export interface Walkable {
  /** No less than what a walk shows. */
  readonly count: number;
  /** Must be closed. */
  walk(range: TagRange): ElementSteps;
}

/** What is done in slices: it yields a promise when it must wait for the disk, and `undefined` to let others run. */
export type Sliced<T> = Generator<Promise<void> | undefined, T>;

/** Elements between two rests of a long walk: about a millisecond. */
const SLICE_ELEMENTS = 1000;

/** Calls `visit` with each step until it returns false, then closes the walk. Key and value are valid during the call. Throws `Miss`. */
export function eachStep(steps: ElementSteps, visit: (key: Uint8Array, value: Uint8Array) => boolean | void): void {
  let missed = false;
  let made = 0;
  try {
    for (; steps.next(); made++) if (visit(steps.key, steps.value) === false) return;
  } catch (thrown) {
    if (!(thrown instanceof Miss)) throw thrown;
    missed = true;
    throw new Miss(() => loadAhead(steps, thrown, made));
  } finally {
    if (!missed) steps.close();
  }
}

/** As `eachStep`, in slices. */
export function* eachStepSliced(
  steps: ElementSteps,
  visit: (key: Uint8Array, value: Uint8Array) => boolean | void,
): Sliced<void> {
  let seen = 0;
  try {
    for (;;) {
      try {
        if (!steps.next()) return;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        yield thrown.load();
        continue;
      }
      if (visit(steps.key, steps.value) === false) return;
      if (++seen % SLICE_ELEMENTS === 0) yield undefined;
    }
  } finally {
    steps.close();
  }
}

/** Runs what is made in slices within this turn. Throws `Miss` where it would wait. */
export function inOneGo<T>(slices: Sliced<T>): T {
  for (;;) {
    const step = slices.next();
    if (step.done === true) return step.value;
    const wait = step.value;
    if (wait === undefined) continue;
    throw new Miss(() => wait.finally(() => slices.return(undefined as T)));
  }
}
