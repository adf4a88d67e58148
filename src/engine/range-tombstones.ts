/**
 * Range tombstones: "every record of a key in [start, end) with a smaller sequence is dead".
 *
 * Invariants of `RangeTombstones`: fragments ascend and do not overlap; no fragment is empty; the sequences of a fragment
 * descend strictly. A snapshot needs the older sequences of a fragment, readers of the present only the first.
 */

import { compareBytes, compareRanges } from '../bytes.ts';

export interface RangeTombstone {
  readonly start: Uint8Array;
  /** Exclusive. */
  readonly end: Uint8Array;
  readonly sequence: number;
}

/** The ranges [start, end) are dead up to each of `sequences`. */
export interface TombstoneFragment {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly sequences: readonly number[];
}

export class RangeTombstones {
  static readonly NONE = new RangeTombstones([]);
  readonly fragments: readonly TombstoneFragment[];

  /** Requires: the invariants above. */
  constructor(fragments: readonly TombstoneFragment[]) {
    this.fragments = fragments;
  }

  /** Cuts tombstones, in any order and overlapping at will, into fragments. */
  static of(tombstones: readonly RangeTombstone[]): RangeTombstones {
    const live = tombstones.filter((each) => compareBytes(each.start, each.end) < 0);
    if (live.length === 0) return RangeTombstones.NONE;
    const byStart = live.sort((a, b) => compareBytes(a.start, b.start));
    const cuts = live.flatMap((each) => [each.start, each.end]).sort(compareBytes);
    const fragments: TombstoneFragment[] = [];
    let active: RangeTombstone[] = [];
    let next = 0;
    for (let i = 0; i + 1 < cuts.length; i++) {
      const start = cuts[i] as Uint8Array;
      const end = cuts[i + 1] as Uint8Array;
      if (compareBytes(start, end) === 0) continue;
      active = active.filter((each) => compareBytes(each.end, start) > 0);
      for (; next < byStart.length; next++) {
        const each = byStart[next] as RangeTombstone;
        if (compareBytes(each.start, start) > 0) break;
        active.push(each);
      }
      if (active.length === 0) continue;
      fragments.push({ start, end, sequences: descending(active.map((each) => each.sequence)) });
    }
    return new RangeTombstones(fragments);
  }

  get count(): number {
    return this.fragments.length;
  }

  /** As separate tombstones, in the order of their starts. */
  list(): RangeTombstone[] {
    return this.fragments.flatMap(({ start, end, sequences }) =>
      sequences.map((sequence) => ({ start, end, sequence })),
    );
  }

  /** Index of the fragment that holds key[start, end), or -1. */
  fragmentOf(key: Uint8Array, start: number, end: number): number {
    let low = 0;
    let high = this.fragments.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const fragmentStart = (this.fragments[middle] as TombstoneFragment).start;
      if (compareRanges(fragmentStart, 0, fragmentStart.length, key, start, end) <= 0) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return -1;
    const fragmentEnd = (this.fragments[low - 1] as TombstoneFragment).end;
    return compareRanges(key, start, end, fragmentEnd, 0, fragmentEnd.length) < 0 ? low - 1 : -1;
  }

  /** The largest sequence ≤ `sequence` of a tombstone that covers key[start, end), or -1. */
  coveringSequence(key: Uint8Array, start: number, end: number, sequence: number): number {
    if (this.fragments.length === 0) return -1;
    const index = this.fragmentOf(key, start, end);
    return index < 0 ? -1 : newestVisible(this.fragments[index] as TombstoneFragment, sequence);
  }

  /** The parts within [lower, upper); an absent bound is no bound. */
  clip(lower: Uint8Array | undefined, upper: Uint8Array | undefined): RangeTombstones {
    const clipped: TombstoneFragment[] = [];
    for (const { start, end, sequences } of this.fragments) {
      const from = lower !== undefined && compareBytes(lower, start) > 0 ? lower : start;
      const to = upper !== undefined && compareBytes(upper, end) < 0 ? upper : end;
      if (compareBytes(from, to) < 0) clipped.push({ start: from, end: to, sequences });
    }
    return new RangeTombstones(clipped);
  }

  /** Whether fragments side by side cover all of [lower, upper) up to `sequence` or later, as seen at `visibleAt`. */
  coversAll(lower: Uint8Array, upper: Uint8Array, sequence: number, visibleAt: number): boolean {
    let index = this.fragmentOf(lower, 0, lower.length);
    if (index < 0) return false;
    let reached = lower;
    for (; index < this.fragments.length; index++) {
      const fragment = this.fragments[index] as TombstoneFragment;
      if (compareBytes(fragment.start, reached) > 0 || newestVisible(fragment, visibleAt) <= sequence) return false;
      reached = fragment.end;
      if (compareBytes(reached, upper) >= 0) return true;
    }
    return false;
  }
}

/** The largest sequence ≤ `sequence` of the fragment, or -1. */
export function newestVisible(fragment: TombstoneFragment, sequence: number): number {
  for (const each of fragment.sequences) if (each <= sequence) return each;
  return -1;
}

function descending(sequences: readonly number[]): number[] {
  return [...new Set(sequences)].sort((a, b) => b - a);
}
