/** Walks over the elements of collections in slices that let others run; in one go: `eachStep` of repl/elements.ts. */

import type { ElementSteps, TagRange } from '../repl/elements.ts';
import { Miss } from '../repl/miss.ts';
import type { Sliced } from './sliced.ts';

/** Elements of one tag, as whoever counts and walks them sees them. */
export interface Walkable {
  /** No less than what a walk shows. */
  readonly count: number;
  /** Must be closed. */
  walk(range: TagRange): ElementSteps;
}

/** Thrown by steps that have passed many elements and shown none: let others run, then step again. */
export class Rest extends Error {
  override readonly name = 'Rest';
}

/** Elements between two rests of a long walk: less than a millisecond. */
const SLICE_ELEMENTS = 500;

/** The same of a walk that writes a cell or two for each (repl/cells-ahead.ts). */
export const WRITTEN_ELEMENTS = 250;

/** As `eachStep`, in slices. */
export function* eachStepSliced(
  steps: ElementSteps,
  visit: (key: Uint8Array, value: Uint8Array) => boolean | void,
  sliceElements = SLICE_ELEMENTS,
): Sliced<void> {
  let seen = 0;
  try {
    for (;;) {
      try {
        if (!steps.next()) return;
      } catch (thrown) {
        if (thrown instanceof Miss) yield thrown.load();
        else if (thrown instanceof Rest) yield undefined;
        else throw thrown;
        continue;
      }
      if (visit(steps.key, steps.value) === false) return;
      if (++seen % sliceElements === 0) yield undefined;
    }
  } finally {
    steps.close();
  }
}
