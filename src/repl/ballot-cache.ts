/**
 * Ballots that a majority has promised along with an ACCEPT, so that the next change of the row is one round trip.
 *
 * Invariants: a ballot is handed out at most once (`take` removes it), whatever becomes of the attempt; an entry older
 * than `CACHED_BALLOT_MS`, or of other owners than the slot has now, is never handed out. A lost entry costs a PREPARE.
 */

import type { RowName } from './owner-message.ts';
import type { Owners } from '../cluster/owners.ts';
import { RowPlaces, withPlace } from './row-places.ts';
import type { Version } from './version.ts';

/** Older entries are dropped (design, section 6), so that an owner may forget promises older than this at no cost. */
export const CACHED_BALLOT_MS = 20_000;

/** Rows whose ballot is kept, about 150 bytes each; the oldest are dropped. */
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
  private readonly rows: RowPlaces;
  private readonly maxAgeMs: number;
  /** By the rows' places; undefined: taken. */
  private readonly owners: (Owners | undefined)[] = [];
  private ballotStamps = new Float64Array(0);
  private ballotActors = new Uint32Array(0);
  private versionStamps = new Float64Array(0);
  private versionActors = new Uint32Array(0);
  private sinceMs = new Float64Array(0);

  constructor(options: { limit?: number; maxAgeMs?: number } = {}) {
    this.rows = new RowPlaces(options.limit ?? MAX_CACHED_BALLOTS);
    this.maxAgeMs = options.maxAgeMs ?? CACHED_BALLOT_MS;
  }

  put(row: RowName, { ballot, version, owners, sinceMs }: CachedBallot): void {
    let place = this.rows.find(row);
    if (place < 0) {
      place = this.rows.add(row);
      this.ballotStamps = withPlace(this.ballotStamps, place);
      this.ballotActors = withPlace(this.ballotActors, place);
      this.versionStamps = withPlace(this.versionStamps, place);
      this.versionActors = withPlace(this.versionActors, place);
      this.sinceMs = withPlace(this.sinceMs, place);
    }
    this.owners[place] = owners;
    this.ballotStamps[place] = ballot.stamp;
    this.ballotActors[place] = ballot.actor;
    this.versionStamps[place] = version.stamp;
    this.versionActors[place] = version.actor;
    this.sinceMs[place] = sinceMs;
  }

  /** The row's ballot, which is then no longer cached; undefined when there is none that may be used. */
  take(row: RowName, owners: Owners, nowMs: number): CachedBallot | undefined {
    const place = this.rows.find(row);
    if (place < 0) return undefined;
    const cached = this.owners[place];
    this.owners[place] = undefined;
    const sinceMs = this.sinceMs[place] as number;
    if (cached !== owners || nowMs - sinceMs >= this.maxAgeMs) return undefined;
    return {
      ballot: { stamp: this.ballotStamps[place] as number, actor: this.ballotActors[place] as number },
      version: { stamp: this.versionStamps[place] as number, actor: this.versionActors[place] as number },
      owners,
      sinceMs,
    };
  }

  clear(): void {
    this.rows.clear();
    this.owners.length = 0;
  }
}
