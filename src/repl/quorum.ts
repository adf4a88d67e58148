/**
 * When enough owners have said yes.
 *
 * While a slot moves it has two sets of owners, and every quorum is a majority of both (design, section 9). Answers
 * are kept as bit masks over the distinct owners, so that counting a late or repeated answer twice is impossible.
 */

import { assert } from '../assert.ts';
import type { MemberId } from '../cluster/member.ts';
import { distinctOwners, type Owners } from '../cluster/owners.ts';

/** Bits of a mask; far above any N with a joint quorum. */
export const MAX_OWNERS = 30;

/** Counts the answers of the distinct owners of a slot, given as masks. */
export class Tally {
  readonly members: readonly MemberId[];
  private readonly currentMask: number;
  private readonly incomingMask: number;
  private readonly all: number;

  constructor(owners: Owners) {
    this.members = distinctOwners(owners);
    assert(owners.current.length > 0 && this.members.length <= MAX_OWNERS, 'a slot has 1 to 30 owners');
    this.currentMask = this.maskOf(owners.current);
    this.incomingMask = this.maskOf(owners.incoming);
    this.all = this.currentMask | this.incomingMask;
  }

  /** The bit of a member; 0 when it is no owner. */
  bitOf(member: MemberId): number {
    const place = this.placeOf(member);
    return place < 0 ? 0 : 1 << place;
  }

  /** Its place in `members`; -1 when it is no owner. */
  placeOf(member: MemberId): number {
    return this.members.indexOf(member);
  }

  /** The owners in `mask` are a majority of the current owners and, during a move, of the incoming ones. */
  isQuorum(mask: number): boolean {
    return isMajority(mask, this.currentMask) && (this.incomingMask === 0 || isMajority(mask, this.incomingMask));
  }

  isAll(mask: number): boolean {
    return (mask & this.all) === this.all;
  }

  /** Whether a quorum of yes is out of reach once the owners in `no` will never say it. */
  isHopeless(no: number): boolean {
    return !this.isQuorum(this.all & ~no);
  }

  private maskOf(members: readonly MemberId[]): number {
    let mask = 0;
    for (const member of members) mask |= this.bitOf(member);
    return mask;
  }
}

const tallies = new WeakMap<Owners, Tally>();

/** The tally of these owners; it has no state of its own, so one serves all questions. */
export function tallyOf(owners: Owners): Tally {
  let tally = tallies.get(owners);
  if (tally === undefined) {
    tally = new Tally(owners);
    tallies.set(owners, tally);
  }
  return tally;
}

function isMajority(mask: number, of: number): boolean {
  return 2 * bitCount(mask & of) > bitCount(of);
}

export function bitCount(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}
