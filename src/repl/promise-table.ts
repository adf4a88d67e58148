/**
 * The promises of an owner: the highest ballot promised for each row, in memory only.
 *
 * Invariants: what `of` answers for a row never goes down within a life; it is at least every promise made for the
 * row in this life and `promisedBefore`, which is at least every promise made in earlier lives. A promise that is
 * evicted raises its slot's floor of promises, so that forgetting can only refuse more (design, section 6: raising a
 * promise is always safe).
 *
 * Rows with the same print (row-records.ts) share a promise, the highest of any of them: that too can only refuse more.
 *
 * A slot's flush mark is a register of the whole slot (flush-core.ts): what is promised for it is promised for every row
 * of the slot, and its promise is at least the highest one of any of them.
 */

import { SLOT_COUNT } from '../cluster/slot.ts';
import { isMarkRow, slotOfRow, type RowName } from './owner-message.ts';
import { FIRST_FIELD, RowRecords } from './row-records.ts';
import { compareVersions, maxVersion, type Version } from './version.ts';

/** Promises kept: about 80 bytes each. The oldest are evicted; cached ballots older than 20 s are dead anyway. */
export const MAX_PROMISES = 500_000;

/** Fields of a record, from where it begins. */
const field = { STAMP: FIRST_FIELD, ACTOR: FIRST_FIELD + 1 } as const;

/** From here on a record has room for what `OwnerRows` remembers of a row: zero for a row that is new here. */
export const HELD_FIELD = FIRST_FIELD + 2;
const FIELDS = 6;

export class PromiseTable {
  /** In the order of their first promise: a row that is evicted while it is in use comes back as the newest. */
  readonly rows: RowRecords;
  private readonly slotStamps = new Float64Array(SLOT_COUNT);
  private readonly slotActors = new Uint32Array(SLOT_COUNT);
  /** The highest promise ever made to a row of the slot. */
  private readonly highestStamps = new Float64Array(SLOT_COUNT);
  private readonly highestActors = new Uint32Array(SLOT_COUNT);
  private promisedBefore: Version;

  constructor(options: { promisedBefore: Version; limit?: number }) {
    this.promisedBefore = options.promisedBefore;
    this.rows = new RowRecords({ limit: options.limit ?? MAX_PROMISES, fields: FIELDS });
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

  /** Whether the row's promise is above the ballot: `of`, without an object. */
  isAbove(row: RowName, ballot: Version): boolean {
    const { stamp, actor } = ballot;
    if (isMarkRow(row)) return compareVersions(this.of(row), ballot) > 0;
    if (isHigher(this.promisedBefore.stamp, this.promisedBefore.actor, stamp, actor)) return true;
    const slot = slotOfRow(row);
    if (isHigher(this.slotStamps[slot] as number, this.slotActors[slot] as number, stamp, actor)) return true;
    const at = this.rows.find(row);
    if (at < 0) return false;
    const { numbers } = this.rows;
    return isHigher(numbers[at + field.STAMP] as number, numbers[at + field.ACTOR] as number, stamp, actor);
  }

  /** Promises that ballots below `ballot` will be refused for this row. */
  raise(row: RowName, ballot: Version): void {
    if (isMarkRow(row)) {
      this.raiseSlot(slotOfRow(row), ballot);
      return;
    }
    const { stamp, actor } = ballot;
    const { rows } = this;
    let at = rows.find(row);
    if (at < 0) at = this.add(row);
    else if (
      !isHigher(stamp, actor, rows.numbers[at + field.STAMP] as number, rows.numbers[at + field.ACTOR] as number)
    ) {
      return;
    }
    const { numbers } = rows;
    numbers[at + field.STAMP] = stamp;
    numbers[at + field.ACTOR] = actor;
    this.noteHighest(slotOfRow(row), ballot);
  }

  private ownOf(at: number): Version | undefined {
    if (at < 0) return undefined;
    const { numbers } = this.rows;
    return { stamp: numbers[at + field.STAMP] as number, actor: numbers[at + field.ACTOR] as number };
  }

  /** A record for a new row; what was promised to the row that had it is promised to its slot. */
  private add(row: RowName): number {
    const at = this.rows.add(row);
    const { evictedSlot, numbers } = this.rows;
    if (evictedSlot < 0) return at;
    this.raiseSlot(evictedSlot, this.ownOf(at) as Version);
    numbers.fill(0, at + FIRST_FIELD, at + FIRST_FIELD + FIELDS);
    return at;
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

function isHigher(stamp: number, actor: number, thanStamp: number, thanActor: number): boolean {
  return stamp > thanStamp || (stamp === thanStamp && actor > thanActor);
}
