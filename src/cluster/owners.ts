/** Who owns a slot. */

import type { MemberId } from './member.ts';

/**
 * The owners of one slot, or the voters of the topology. While they change, every quorum is a majority of `current` and
 * of `incoming`. The same object stands for the same ownership: whoever changes it makes a new one.
 */
export interface Owners {
  /** The coordinating one first. */
  readonly current: readonly MemberId[];
  /** Those it is being moved to; empty when it does not move. */
  readonly incoming: readonly MemberId[];
}

/** All distinct owners, the current ones first. */
export function distinctOwners(owners: Owners): MemberId[] {
  if (owners.incoming.length === 0) return [...owners.current];
  return [...new Set([...owners.current, ...owners.incoming])];
}

export function sameOwners(a: Owners, b: Owners): boolean {
  return sameList(a.current, b.current) && sameList(a.incoming, b.incoming);
}

function sameList(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}

/** The same members, in whatever order. */
export function sameMembers(a: readonly MemberId[], b: readonly MemberId[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}
