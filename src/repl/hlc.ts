/**
 * Hybrid logical clock (Kulkarni et al. 2014): stamps that follow the wall clock and never go back.
 *
 * A stamp is one safe integer, `milliseconds × 2048 + counter`, exact until the year 2109. With the actor (node and
 * incarnation, u32) it is a version: ballot, last-write-wins timestamp, dot and session token in one.
 *
 * Invariants: stamps given are strictly increasing; no stamp above the persisted ceiling is given, so that after a
 * restart the clock starts above every stamp it gave.
 */

import { EngineError } from '../engine/engine-error.ts';

export const STAMPS_PER_MS = 2048;

/** Name of the durable value that holds the ceiling. It belongs to the data: wherever they go, no stamp comes again. */
export const CLOCK_CEILING = 'clock-ceiling';

/** How far ahead of the last stamp the ceiling is persisted: one durable write in this time, not one a stamp. */
export const CEILING_STEP_MS = 3_000;

/** Persist when the clock comes this near to the ceiling, so that nobody waits for the disk. */
export const CEILING_MARGIN_MS = 1_000;

/**
 * A stamp given elsewhere that is further ahead of the wall clock than this is refused: one far-future value would
 * win over every later write of its row (CockroachDB's and Yugabyte's default for the greatest clock offset).
 */
export const MAX_AHEAD_MS = 500;

export class Hlc {
  /** Settles when the first ceiling is durable: no stamp may be used before. */
  readonly ready: Promise<void>;
  private last: number;
  private ceiling: number;
  private raising: Promise<void> | undefined = undefined;
  private readonly wallMs: () => number;
  private readonly persist: (ceiling: number) => void | Promise<void>;
  private readonly ceilingStepMs: number;
  private readonly ceilingMarginMs: number;
  private readonly maxAheadMs: number;
  /** Stamps below the ceiling that the wall clock alone does not use up: for a disk that is slow with the next one. */
  private readonly reserved: number;

  /**
   * `ceiling` is the persisted one (0 on a fresh disk). `persist` makes a new ceiling durable before it returns, or
   * before its promise is fulfilled; when it fails, it is tried again later.
   */
  constructor(options: {
    wallMs(): number;
    ceiling: number;
    persist(ceiling: number): void | Promise<void>;
    ceilingStepMs?: number;
    ceilingMarginMs?: number;
    maxAheadMs?: number;
  }) {
    this.wallMs = () => options.wallMs();
    this.persist = (ceiling) => options.persist(ceiling);
    this.ceilingStepMs = options.ceilingStepMs ?? CEILING_STEP_MS;
    this.ceilingMarginMs = options.ceilingMarginMs ?? CEILING_MARGIN_MS;
    this.maxAheadMs = options.maxAheadMs ?? MAX_AHEAD_MS;
    this.reserved = this.ceilingMarginMs * STAMPS_PER_MS;
    this.ceiling = options.ceiling;
    this.last = Math.max(options.ceiling, this.wallMs() * STAMPS_PER_MS);
    this.ready = this.raiseCeiling();
    // Whoever awaits `ready` hears of a failure; for those who do not, `keepAhead` tries again.
    this.ready.catch(() => {});
  }

  /**
   * A stamp above all given before. While the wall clock is near or ahead of the ceiling (the disk is slow, the loop
   * stood still, or the clock was set), stamps count on from the last one until a higher ceiling is durable: 2 million of
   * them are left then. When they are used up it throws an `EngineError` `refused`, as a full disk does, and nothing has
   * changed. `wallMs`: the wall clock, from a caller who has just looked at it.
   */
  next(wallMs = this.wallMs()): number {
    const wall = wallMs * STAMPS_PER_MS;
    if (wall > this.ceiling) this.tryToRaise();
    const stamp = wall > this.last && wall <= this.ceiling - this.reserved ? wall : this.last + 1;
    if (stamp > this.ceiling) {
      this.tryToRaise();
      if (stamp > this.ceiling) throw new EngineError('refused', 'the ceiling of the clock cannot be made durable');
    }
    this.last = stamp;
    return stamp;
  }

  /**
   * Takes note of a stamp given elsewhere: stamps given from now on are above it, and the durable ceiling is at or
   * above it. False: it is too far ahead of the wall clock, or the ceiling is not there yet; nothing is noted and the
   * caller must refuse it for now.
   */
  observe(stamp: number): boolean {
    if (stamp <= this.last) return true;
    if (stamp > (this.wallMs() + this.maxAheadMs) * STAMPS_PER_MS) return false;
    // Others do not use up all that is reserved for own stamps.
    if (stamp > this.ceiling - this.reserved / 4) this.tryToRaise(stamp);
    if (stamp > this.ceiling - this.reserved / 4) return false;
    this.last = stamp;
    return true;
  }

  /** No stamp above this one was given or noted. */
  get newest(): number {
    return this.last;
  }

  /**
   * How far the last stamp is ahead of the wall clock, in ms; 0 when it is not. After a quick restart it is up to
   * `CEILING_STEP_MS`, and other nodes refuse ballots that far ahead: a node coordinates for others once this is below
   * half of `MAX_AHEAD_MS`. It may own, and answer as an owner, from the start.
   */
  get aheadMs(): number {
    return Math.max(0, this.last / STAMPS_PER_MS - this.wallMs());
  }

  /** Persists a higher ceiling when the clock is near it: call it from a timer. */
  keepAhead(): void {
    const wall = Math.max(this.last, this.wallMs() * STAMPS_PER_MS);
    if (wall + this.ceilingMarginMs * STAMPS_PER_MS > this.ceiling) this.tryToRaise();
  }

  private tryToRaise(above = 0): void {
    // A failure shows itself when the stamps run out; until then the next call tries again.
    if (this.raising === undefined) this.raiseCeiling(above).catch(() => {});
  }

  private raiseCeiling(above = 0): Promise<void> {
    const from = Math.max(above, this.last, this.wallMs() * STAMPS_PER_MS);
    const ceiling = from + this.ceilingStepMs * STAMPS_PER_MS;
    const persisted = this.persist(ceiling);
    if (persisted === undefined) {
      this.ceiling = ceiling;
      return Promise.resolve();
    }
    const raising = persisted
      .then(() => {
        this.ceiling = ceiling;
      })
      .finally(() => {
        this.raising = undefined;
      });
    this.raising = raising;
    return raising;
  }
}

/** Milliseconds since 1970 of a stamp. */
export function msOfStamp(stamp: number): number {
  return Math.floor(stamp / STAMPS_PER_MS);
}
