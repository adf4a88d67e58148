/**
 * Which members own which slot: the table of owners, derived from the members and from the table before, so that a
 * change of members moves little more than it must.
 *
 * ```
 * keep    owners that are still members and fit the spread over racks and data centres
 * fill    what is missing, clockwise on the ring, nobody above its bound (Mirrokni et al. 2016, bounded loads)
 * pull    a member far below its share takes the slots nearest to its tokens from those above theirs
 * push    a member above its bound gives slots to those below their share, at need by way of a third
 * order   the first owner of a slot coordinates for it; this costs no data
 * ```
 *
 * What holds of the result (test/cluster/placement.test.ts):
 * - every slot has n = min(N, members with weight) distinct owners, no more of them in a rack or data centre than
 *   `fairShares` allows;
 * - with equal weights no member has more than 1.05 of its share, with mixed weights and racks 1.10; where a share is
 *   so small that one slot is more than that, one slot more;
 * - a member that joins moves at most 1.15 of its share, one that leaves at most 1.15 of what it had; where racks are
 *   so few or so uneven that every slot needs a replica in each, others change places too (1.5 times was seen).
 *
 * Pure and deterministic: the same members and the same table give the same result on every node.
 */

import { assert, must } from '../assert.ts';
import type { Member, MemberId } from './member.ts';
import { Ring, slotsNearest } from './ring.ts';
import { fairShares, rackName, type Shares } from './share.ts';
import { SLOT_COUNT } from './slot.ts';

/** Bound while slots are filled in: tighter than what is promised, since later steps add to it. */
const FILL_BOUND = 1.01;

/** Below this part of its share a member pulls slots towards it; what lies between is not worth moving. */
const PULL_BELOW = 0.97;

/** Above this part of its share a member pushes slots away. */
const PUSH_ABOVE = 1.03;

/** The owners of each slot, the coordinating one first. */
export type SlotTable = readonly (readonly MemberId[])[];

/** The next table for these members. `previous`: the table they have now; empty for a new cluster. */
export function planTable(members: readonly Member[], replicas: number, previous: SlotTable): MemberId[][] {
  assert(replicas >= 1, 'at least one replica');
  const plan = new Plan(members, replicas, previous);
  plan.fill();
  plan.pull();
  plan.push();
  plan.order();
  return plan.table;
}

/** How many replicas stand in `after` where they did not stand in `before`: what must be copied. */
export function replicasMoved(before: SlotTable, after: SlotTable): number {
  let moved = 0;
  for (let slot = 0; slot < after.length; slot++) {
    const held = before[slot] ?? [];
    for (const id of after[slot] as readonly MemberId[]) if (!held.includes(id)) moved++;
  }
  return moved;
}

/** A member in a plan. */
interface Place {
  readonly member: Member;
  readonly rack: string;
  readonly rackCap: number;
  readonly dataCentreCap: number;
  /** Replicas it is entitled to. */
  readonly share: number;
  load: number;
  /** Slots for which it stands first. */
  firsts: number;
}

class Plan {
  readonly table: MemberId[][];
  private readonly shares: Shares;
  private readonly places = new Map<MemberId, Place>();
  private readonly ring: Ring;

  constructor(members: readonly Member[], replicas: number, previous: SlotTable) {
    this.shares = fairShares(members, replicas);
    this.ring = new Ring(members);
    for (const member of members) {
      const perSlot = this.shares.perSlot.get(member.id);
      if (perSlot === undefined) continue;
      const rack = rackName(member);
      this.places.set(member.id, {
        member,
        rack,
        rackCap: must(this.shares.caps.rack.get(rack), 'a cap for each rack'),
        dataCentreCap: must(this.shares.caps.dataCentre.get(member.dataCentre), 'a cap for each data centre'),
        share: perSlot * SLOT_COUNT,
        load: 0,
        firsts: 0,
      });
    }
    this.table = Array.from({ length: SLOT_COUNT }, () => []);
    for (let slot = 0; slot < SLOT_COUNT; slot++) this.keep(slot, previous[slot] ?? []);
  }

  private keep(slot: number, owners: readonly MemberId[]): void {
    for (const id of owners) {
      const place = this.places.get(id);
      const row = this.table[slot] as MemberId[];
      if (place === undefined || row.length === this.shares.n || !this.fits(slot, place)) continue;
      row.push(id);
      place.load++;
    }
  }

  /** Whether `place` may own the slot too, or, given `leaving`, in its stead. */
  private fits(slot: number, place: Place, leaving?: MemberId): boolean {
    let inRack = 0;
    let inDataCentre = 0;
    for (const id of this.table[slot] as MemberId[]) {
      if (id === place.member.id) return false;
      if (id === leaving) continue;
      const other = this.placeOf(id);
      if (other.rack === place.rack) inRack++;
      if (other.member.dataCentre === place.member.dataCentre) inDataCentre++;
    }
    return inRack < place.rackCap && inDataCentre < place.dataCentreCap;
  }

  private placeOf(id: MemberId): Place {
    return must(this.places.get(id), 'owners are members with weight');
  }

  fill(): void {
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const row = this.table[slot] as MemberId[];
      while (row.length < this.shares.n) {
        const place = this.candidate(slot) ?? this.makeRoom(slot);
        row.push(place.member.id);
        place.load++;
      }
    }
  }

  /** The first member clockwise that fits and has room, else the one that fits with the most room. */
  private candidate(slot: number): Place | undefined {
    let first: Place | undefined;
    let roomiest: Place | undefined;
    this.ring.walk(slot, (id) => {
      const place = this.placeOf(id);
      if (!this.fits(slot, place)) return false;
      if (place.load + 1 <= Math.max(1, place.share * FILL_BOUND)) {
        first = place;
        return true;
      }
      if (roomiest === undefined || fullness(place) < fullness(roomiest)) roomiest = place;
      return false;
    });
    return first ?? roomiest;
  }

  /** Nobody fits because of who is there already: somebody leaves whose place lets two others in. */
  private makeRoom(slot: number): Place {
    const row = this.table[slot] as MemberId[];
    for (const leaving of row) {
      for (const place of this.places.values()) {
        if (row.includes(place.member.id) || !this.fits(slot, place, leaving)) continue;
        row.splice(row.indexOf(leaving), 1, place.member.id);
        const other = this.candidate(slot);
        if (other !== undefined && other.member.id !== leaving) {
          this.placeOf(leaving).load--;
          place.load++;
          return other;
        }
        row.splice(row.indexOf(place.member.id), 1, leaving);
      }
    }
    throw new Error(`no member fits slot ${slot}`);
  }

  pull(): void {
    const poor = [...this.places.values()].filter((place) => place.load < place.share * PULL_BELOW - 1);
    poor.sort((a, b) => fullness(a) - fullness(b) || a.member.id - b.member.id);
    for (const place of poor) {
      for (const slot of slotsNearest(place.member)) {
        if (place.load >= Math.floor(place.share)) break;
        const from = this.richestOwner(slot, place);
        if (from !== undefined) this.replace(slot, from, place);
      }
    }
  }

  /** The owner of the slot furthest above its share that `place` may stand in for. */
  private richestOwner(slot: number, place: Place): Place | undefined {
    let richest: Place | undefined;
    for (const id of this.table[slot] as MemberId[]) {
      const owner = this.placeOf(id);
      if (owner.load <= owner.share || !this.fits(slot, place, id)) continue;
      if (richest === undefined || fullness(owner) > fullness(richest)) richest = owner;
    }
    return richest;
  }

  push(): void {
    const rich = [...this.places.values()].filter((place) => isOver(place));
    rich.sort((a, b) => fullness(b) - fullness(a) || a.member.id - b.member.id);
    for (const place of rich) {
      for (const throughOther of [false, true]) {
        for (let slot = 0; slot < SLOT_COUNT && isOver(place); slot++) {
          if ((this.table[slot] as MemberId[]).includes(place.member.id)) this.give(slot, place, throughOther);
        }
      }
    }
  }

  /** Gives a slot of `place` to somebody below its share; or to somebody who then passes another slot on to such a one. */
  private give(slot: number, place: Place, throughOther: boolean): void {
    let poorest: Place | undefined;
    for (const other of this.places.values()) {
      if (!this.fits(slot, other, place.member.id)) continue;
      if (throughOther && !isOver(other) && this.passOn(other)) {
        this.replace(slot, place, other);
        return;
      }
      if (other.load + 1 > other.share) continue;
      if (poorest === undefined || fullness(other) < fullness(poorest)) poorest = other;
    }
    if (poorest !== undefined) this.replace(slot, place, poorest);
  }

  /** Gives any one slot of `place` to somebody below its share; false when nobody can take one. */
  private passOn(place: Place): boolean {
    const poor = [...this.places.values()].filter((other) => other !== place && other.load + 1 <= other.share);
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      if (!(this.table[slot] as MemberId[]).includes(place.member.id)) continue;
      for (const other of poor) {
        if (!this.fits(slot, other, place.member.id)) continue;
        this.replace(slot, place, other);
        return true;
      }
    }
    return false;
  }

  private replace(slot: number, from: Place, to: Place): void {
    const row = this.table[slot] as MemberId[];
    row[row.indexOf(from.member.id)] = to.member.id;
    from.load--;
    to.load++;
  }

  /**
   * Evens out who stands first, leaving those who do as far as they are within bounds. Who takes over goes on as long as
   * it can: the longer the ranges of slots with one first owner, the shorter what cluster-aware clients must be told.
   */
  order(): void {
    for (const row of this.table) if (row[0] !== undefined) this.placeOf(row[0]).firsts++;
    for (let round = 0; round < ORDER_ROUNDS; round++) {
      let last: Place | undefined;
      for (const row of this.table) {
        const first = this.placeOf(row[0] as MemberId);
        if (this.leadership(first) <= PUSH_ABOVE) continue;
        let next = first;
        for (const id of row) if (this.leadership(this.placeOf(id)) < this.leadership(next)) next = this.placeOf(id);
        const goesOn = last !== undefined && row.includes(last.member.id) && this.leadership(last) < PULL_BELOW;
        if (goesOn && round === 0) next = last as Place;
        if (this.leadership(next) >= 1) continue;
        last = next;
        row[row.indexOf(next.member.id)] = first.member.id;
        row[0] = next.member.id;
        first.firsts--;
        next.firsts++;
      }
    }
  }

  private leadership(place: Place): number {
    return (place.firsts * this.shares.n) / place.share;
  }
}

/** Passes over the table that even out who stands first: later ones find little to do. */
const ORDER_ROUNDS = 3;

/** Load as a part of the share. */
function fullness(place: Place): number {
  return place.load / place.share;
}

function isOver(place: Place): boolean {
  return place.load > Math.max(place.share * PUSH_ABOVE, place.share + 1);
}
