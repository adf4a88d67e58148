/**
 * The promises of an owner: the highest ballot promised for each row, in memory only.
 *
 * Invariants: what `of` answers for a row never goes down within a life; it is at least every promise made for the
 * row in this life and `promisedBefore`, which is at least every promise made in earlier lives. A promise that is
 * evicted raises its slot's floor of promises, so that forgetting can only refuse more (design, section 6: raising a
 * promise is always safe).
 *
 * A slot's flush mark is a register of the whole slot (flush-core.ts): what is promised for it is promised for every row
 * of the slot, and its promise is at least the highest one of any of them.
 */

import { SLOT_COUNT } from '../cluster/slot.ts';
import { isMarkRow, slotOfRow, type RowName } from './owner-message.ts';
import { RowPlaces, withPlace } from './row-places.ts';
import { compareVersions, maxVersion, type Version } from './version.ts';

/** Promises kept: about 130 bytes each. The oldest are evicted; cached ballots older than 20 s are dead anyway. */
export const MAX_PROMISES = 500_000;

export class PromiseTable {
  /** In the order of their first promise: a row that is evicted while it is in use comes back as the newest. */
  private readonly rows: RowPlaces;
  /** The promises, by the places of their rows. */
  private stamps = new Float64Array(0);
  private actors = new Uint32Array(0);
  private readonly slotStamps = new Float64Array(SLOT_COUNT);
  private readonly slotActors = new Uint32Array(SLOT_COUNT);
  /** The highest promise ever made to a row of the slot. */
  private readonly highestStamps = new Float64Array(SLOT_COUNT);
  private readonly highestActors = new Uint32Array(SLOT_COUNT);
  private promisedBefore: Version;

  constructor(options: { promisedBefore: Version; limit?: number }) {
    this.promisedBefore = options.promisedBefore;
    this.rows = new RowPlaces(options.limit ?? MAX_PROMISES);
  }

  get size(): number {
    return this.rows.size;
  }

  of(row: RowName): Version {
    const slot = slotOfRow(row);
    if (isMarkRow(row)) return this.highestIn(slot);
    const own = this.ownOf(this.rows.find(row));
    const stamp = this.slotStamps[slot] as number;
    // Most rows have a promise of their own above all that is general.
    if (own !== undefined && own.stamp > stamp && own.stamp > this.promisedBefore.stamp) return own;
    const general = maxVersion(this.promisedBefore, { stamp, actor: this.slotActors[slot] as number });
    return own === undefined ? general : maxVersion(own, general);
  }

  /** Promises that ballots below `ballot` will be refused for this row. */
  raise(row: RowName, ballot: Version): void {
    if (isMarkRow(row)) {
      this.raiseSlot(slotOfRow(row), ballot);
      return;
    }
    let place = this.rows.find(row);
    const own = this.ownOf(place);
    if (own !== undefined && compareVersions(own, ballot) >= 0) return;
    if (place < 0) place = this.add(row);
    this.stamps[place] = ballot.stamp;
    this.actors[place] = ballot.actor;
    this.noteHighest(slotOfRow(row), ballot);
  }

  private ownOf(place: number): Version | undefined {
    if (place < 0) return undefined;
    return { stamp: this.stamps[place] as number, actor: this.actors[place] as number };
  }

  /** A place for a new row; what was promised to the row that had it is promised to its slot. */
  private add(row: RowName): number {
    const place = this.rows.add(row);
    const { evicted } = this.rows;
    if (evicted !== undefined) this.raiseSlot(slotOfRow(evicted), this.ownOf(place) as Version);
    this.stamps = withPlace(this.stamps, place);
    this.actors = withPlace(this.actors, place);
    return place;
  }

  /** Promises that ballots below `ballot` will be refused for every row. */
  raiseAll(ballot: Version): void {
    this.promisedBefore = maxVersion(this.promisedBefore, ballot);
  }

  /** At least every promise that was made for any row of the slot. */
  highestIn(slot: number): Version {
    const floor = { stamp: this.slotStamps[slot] as number, actor: this.slotActors[slot] as number };
    return maxVersion(this.highestOfRows(slot), floor);
  }

  /** At least every promise, and so every version taken, of the slot's rows, its flush mark aside. */
  highestOfRows(slot: number): Version {
    const highest = { stamp: this.highestStamps[slot] as number, actor: this.highestActors[slot] as number };
    return maxVersion(this.promisedBefore, highest);
  }

  private noteHighest(slot: number, ballot: Version): void {
    const stamp = this.highestStamps[slot] as number;
    if (ballot.stamp < stamp) return;
    if (ballot.stamp === stamp && ballot.actor <= (this.highestActors[slot] as number)) return;
    this.highestStamps[slot] = ballot.stamp;
    this.highestActors[slot] = ballot.actor;
  }

  /** Promises that ballots below `ballot` will be refused for every row of the slot. */
  raiseSlot(slot: number, ballot: Version): void {
    const held = { stamp: this.slotStamps[slot] as number, actor: this.slotActors[slot] as number };
    if (compareVersions(held, ballot) >= 0) return;
    this.slotStamps[slot] = ballot.stamp;
    this.slotActors[slot] = ballot.actor;
  }
}
