/**
 * Elements by their place in the order of their keys. Small collections, and those that stand in their heads, are walked
 * over; large ones in cells keep the places of their elements (element-ranks.ts).
 */

import { compareBytes } from '../bytes.ts';
import { CellElements } from './element-cells.ts';
import type { ElementRanks, Start } from './element-ranks.ts';
import type { Elements, TagRange } from './elements.ts';

/** Up to so many elements a walk over all is as quick. */
const WALKED_ELEMENTS = 256;

/** Number of the elements of a tag in a range. `total`: that of all elements of the tag. Throws `Miss`. */
export function countIn(elements: Elements, tag: number, range: TagRange, total: number): number {
  const ranks = ranksOf(elements, tag, total);
  if (ranks === undefined) {
    let count = 0;
    elements.each(tag, range, () => {
      count++;
    });
    return count;
  }
  const { lower, upper } = range;
  if (lower !== undefined && upper !== undefined && compareBytes(lower, upper) >= 0) return 0;
  const before = lower === undefined ? 0 : countBefore(elements, ranks, tag, lower);
  const end = upper === undefined ? total : countBefore(elements, ranks, tag, upper);
  return end - before;
}

/** Where a walk begins that shows the element at `place` first. Requires: 0 ≤ place < total. Throws `Miss`. */
export function startAt(
  elements: Elements,
  tag: number,
  { place, total, reverse }: { place: number; total: number; reverse: boolean },
): Start {
  const skip = reverse ? total - 1 - place : place;
  const ranks = skip > WALKED_ELEMENTS && elements.staged.length === 0 ? ranksOf(elements, tag, total) : undefined;
  return ranks === undefined ? { range: { reverse }, skip } : ranks.startAt(place, reverse);
}

/** Undefined: a walk does. Throws `Miss` while they are made. */
function ranksOf(elements: Elements, tag: number, total: number): ElementRanks | undefined {
  const { base, staged } = elements;
  if (!(base instanceof CellElements) || total <= WALKED_ELEMENTS) return undefined;
  let added = 0;
  for (const each of staged) if (each.tag === tag) added += Number(each.value !== undefined) - Number(each.stored);
  return base.ranks(tag, total - added);
}

function countBefore(elements: Elements, ranks: ElementRanks, tag: number, key: Uint8Array): number {
  const { base, staged } = elements;
  let count = ranks.rankOf(key, (range) => base.steps(tag, range));
  for (const each of staged) {
    if (each.tag !== tag || compareBytes(each.key, key) >= 0) continue;
    count += Number(each.value !== undefined) - Number(each.stored);
  }
  return count;
}
