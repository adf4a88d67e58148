/**
 * The promises of an owner: the highest ballot promised for each row, in memory only.
 *
 * Invariants: what `of` answers for a row never goes down within a life; it is at least every promise made for the
 * row in this life and `promisedBefore`, which is at least every promise made in earlier lives. A promise that is
 * evicted raises its slot's floor of promises, so that forgetting can only refuse more (design, section 6: raising a
 * promise is always safe).
 */

import { SLOT_COUNT } from '../cluster/slot.ts';
import { slotOfRow, type RowName } from './owner-message.ts';
import { compareVersions, maxVersion, type Version } from './version.ts';

/** Promises kept: about 150 bytes each. The oldest are evicted; cached ballots older than 20 s are dead anyway. */
export const MAX_PROMISES = 500_000;

export class PromiseTable {
  /** In the order of their first promise: a row that is evicted while it is in use comes back as the newest. */
  private readonly rows = new Map<RowName, Version>();
  private readonly slotStamps = new Float64Array(SLOT_COUNT);
  private readonly slotActors = new Uint32Array(SLOT_COUNT);
  private readonly promisedBefore: Version;
  private readonly limit: number;

  constructor(options: { promisedBefore: Version; limit?: number }) {
    this.promisedBefore = options.promisedBefore;
    this.limit = options.limit ?? MAX_PROMISES;
  }

  get size(): number {
    return this.rows.size;
  }

  of(row: RowName): Version {
    const own = this.rows.get(row);
    const slot = slotOfRow(row);
    const stamp = this.slotStamps[slot] as number;
    // Most rows have a promise of their own above all that is general: nothing is allocated for them.
    if (own !== undefined && own.stamp > stamp && own.stamp > this.promisedBefore.stamp) return own;
    const general = maxVersion(this.promisedBefore, { stamp, actor: this.slotActors[slot] as number });
    return own === undefined ? general : maxVersion(own, general);
  }

  /** Promises that ballots below `ballot` will be refused for this row. */
  raise(row: RowName, ballot: Version): void {
    const own = this.rows.get(row);
    if (own !== undefined && compareVersions(own, ballot) >= 0) return;
    this.rows.set(row, ballot);
    if (this.rows.size > this.limit) this.evictOldest();
  }

  private evictOldest(): void {
    for (const [row, ballot] of this.rows) {
      this.rows.delete(row);
      this.raiseSlot(slotOfRow(row), ballot);
      return;
    }
  }

  private raiseSlot(slot: number, ballot: Version): void {
    const held = { stamp: this.slotStamps[slot] as number, actor: this.slotActors[slot] as number };
    if (compareVersions(held, ballot) >= 0) return;
    this.slotStamps[slot] = ballot.stamp;
    this.slotActors[slot] = ballot.actor;
  }
}
