/**
 * Ballots that a majority has promised along with an ACCEPT, so that the next change of the row is one round trip.
 *
 * Invariants: a ballot is handed out at most once (`take` removes it), whatever becomes of the attempt; an entry older
 * than `CACHED_BALLOT_MS`, or of other owners than the slot has now, is never handed out. A lost entry costs a PREPARE.
 */

import type { RowName } from './owner-message.ts';
import type { Owners } from '../cluster/owners.ts';
import type { Version } from './version.ts';

/** Older entries are dropped (design, section 6), so that an owner may forget promises older than this at no cost. */
export const CACHED_BALLOT_MS = 20_000;

/** Rows whose ballot is kept, about 200 bytes each; the oldest are dropped. */
export const MAX_CACHED_BALLOTS = 200_000;

export interface CachedBallot {
  readonly ballot: Version;
  /** The version that was accepted when the ballot was promised: what the row is, if the ballot still stands. */
  readonly version: Version;
  readonly owners: Owners;
  /** When the majority's promise was known, on the monotonic clock. */
  readonly sinceMs: number;
}

export class BallotCache {
  /** In the order in which rows came; undefined: taken. Rows in use keep their place, which costs no rehashing. */
  private readonly rows = new Map<RowName, CachedBallot | undefined>();
  private readonly limit: number;
  private readonly maxAgeMs: number;

  constructor(options: { limit?: number; maxAgeMs?: number } = {}) {
    this.limit = options.limit ?? MAX_CACHED_BALLOTS;
    this.maxAgeMs = options.maxAgeMs ?? CACHED_BALLOT_MS;
  }

  put(row: RowName, cached: CachedBallot): void {
    this.rows.set(row, cached);
    if (this.rows.size <= this.limit) return;
    for (const oldest of this.rows.keys()) {
      this.rows.delete(oldest);
      return;
    }
  }

  /** The row's ballot, which is then no longer cached; undefined when there is none that may be used. */
  take(row: RowName, owners: Owners, nowMs: number): CachedBallot | undefined {
    const cached = this.rows.get(row);
    if (cached === undefined) return undefined;
    this.rows.set(row, undefined);
    return cached.owners === owners && nowMs - cached.sinceMs < this.maxAgeMs ? cached : undefined;
  }

  clear(): void {
    this.rows.clear();
  }
}
