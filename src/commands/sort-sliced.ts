/** Sorting that lets others run: runs of a thousand are sorted at once and then merged, pair after pair. */

import type { Sliced } from './sliced.ts';

/** Elements of a run, and elements merged between two rests: about a millisecond. */
const RUN_ELEMENTS = 1000;
const MERGED_BETWEEN_RESTS = 10_000;

/** The elements in order; equal ones stay as they were. `items` is used up. */
export function* sortSliced<T>(items: T[], compare: (a: T, b: T) => number): Sliced<T[]> {
  if (items.length <= RUN_ELEMENTS) return items.sort(compare);
  let runs: T[][] = [];
  for (let at = 0; at < items.length; at += RUN_ELEMENTS) {
    runs.push(items.slice(at, at + RUN_ELEMENTS).sort(compare));
    yield undefined;
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let i = 0; i < runs.length; i += 2) {
      const [a, b] = [runs[i] as T[], runs[i + 1]];
      merged.push(b === undefined ? a : yield* mergeSliced(a, b, compare));
    }
    runs = merged;
  }
  return runs[0] as T[];
}

function* mergeSliced<T>(a: readonly T[], b: readonly T[], compare: (a: T, b: T) => number): Sliced<T[]> {
  const merged: T[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const takesA = j === b.length || (i < a.length && compare(a[i] as T, b[j] as T) <= 0);
    merged.push(takesA ? (a[i++] as T) : (b[j++] as T));
    if (merged.length % MERGED_BETWEEN_RESTS === 0) yield undefined;
  }
  return merged;
}
