/**
 * Ballots that a majority has promised along with an ACCEPT, so that the next change of the row is one round trip.
 *
 * Invariants: a ballot is handed out at most once (`take` removes it), whatever becomes of the attempt; an entry older
 * than `CACHED_BALLOT_MS`, or of other owners than the slot has now, is never handed out. A lost entry costs a PREPARE.
 *
 * An entry may be taken for another row, by the same print (row-records.ts). So whoever takes one uses it only for a row
 * that is held in the entry's version: that is a ballot, used for one ACCEPT of one row.
 */

import type { RowName } from './owner-message.ts';
import type { Owners } from '../cluster/owners.ts';
import { FIRST_FIELD, RowRecords } from './row-records.ts';
import type { Version } from './version.ts';

/** Older entries are dropped (design, section 6), so that an owner may forget promises older than this at no cost. */
export const CACHED_BALLOT_MS = 20_000;

/** Rows whose ballot is kept, about 80 bytes each; the oldest are dropped. */
export const MAX_CACHED_BALLOTS = 200_000;

export interface CachedBallot {
  readonly ballot: Version;
  /** The version that was accepted when the ballot was promised: what the row is, if the ballot still stands. */
  readonly version: Version;
  readonly owners: Owners;
  /** When the majority's promise was known, on the monotonic clock. */
  readonly sinceMs: number;
}

/** Fields of a record, from where it begins. `OWNERS`: number of the owners' object; 0: taken. */
const field = {
  BALLOT_STAMP: FIRST_FIELD,
  BALLOT_ACTOR: FIRST_FIELD + 1,
  VERSION_STAMP: FIRST_FIELD + 2,
  VERSION_ACTOR: FIRST_FIELD + 3,
  SINCE_MS: FIRST_FIELD + 4,
  OWNERS: FIRST_FIELD + 5,
} as const;
const FIELDS = 6;

export class BallotCache {
  private readonly rows: RowRecords;
  private readonly maxAgeMs: number;
  /** Owners by the number that entries know them by, from 1. */
  private readonly numbers = new WeakMap<Owners, number>();
  private lastNumber = 0;

  constructor(options: { limit?: number; maxAgeMs?: number } = {}) {
    this.rows = new RowRecords({ limit: options.limit ?? MAX_CACHED_BALLOTS, fields: FIELDS });
    this.maxAgeMs = options.maxAgeMs ?? CACHED_BALLOT_MS;
  }

  put(row: RowName, { ballot, version, owners, sinceMs }: CachedBallot): void {
    const { rows } = this;
    let at = rows.find(row);
    if (at < 0) at = rows.add(row);
    const { numbers } = rows;
    numbers[at + field.BALLOT_STAMP] = ballot.stamp;
    numbers[at + field.BALLOT_ACTOR] = ballot.actor;
    numbers[at + field.VERSION_STAMP] = version.stamp;
    numbers[at + field.VERSION_ACTOR] = version.actor;
    numbers[at + field.SINCE_MS] = sinceMs;
    numbers[at + field.OWNERS] = this.numberOf(owners);
  }

  /** The row's ballot, which is then no longer cached; undefined when there is none that may be used. */
  take(row: RowName, owners: Owners, nowMs: number): CachedBallot | undefined {
    const at = this.rows.find(row);
    if (at < 0) return undefined;
    const { numbers } = this.rows;
    const cached = numbers[at + field.OWNERS] as number;
    numbers[at + field.OWNERS] = 0;
    const sinceMs = numbers[at + field.SINCE_MS] as number;
    if (cached === 0 || nowMs - sinceMs >= this.maxAgeMs || cached !== this.numberOf(owners)) return undefined;
    return {
      ballot: {
        stamp: numbers[at + field.BALLOT_STAMP] as number,
        actor: numbers[at + field.BALLOT_ACTOR] as number,
      },
      version: {
        stamp: numbers[at + field.VERSION_STAMP] as number,
        actor: numbers[at + field.VERSION_ACTOR] as number,
      },
      owners,
      sinceMs,
    };
  }

  clear(): void {
    this.rows.clear();
  }

  private numberOf(owners: Owners): number {
    let number = this.numbers.get(owners);
    if (number === undefined) {
      number = ++this.lastNumber;
      this.numbers.set(owners, number);
    }
    return number;
  }
}
