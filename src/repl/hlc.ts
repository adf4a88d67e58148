/**
 * Hybrid logical clock (Kulkarni et al. 2014): stamps that follow the wall clock and never go back.
 *
 * A stamp is one safe integer, `milliseconds × 2048 + counter`, exact until the year 2109. With the actor (node and
 * incarnation, u32) it is a version: ballot, last-write-wins timestamp, dot and session token in one.
 *
 * Invariants: stamps given are strictly increasing; no stamp above the persisted ceiling is given, so that after a
 * restart the clock starts above every stamp it gave.
 */

import { assert } from '../assert.ts';

export const STAMPS_PER_MS = 2048;

/** Name of the durable value that holds the ceiling. It belongs to the data: wherever they go, no stamp comes again. */
export const CLOCK_CEILING = 'clock-ceiling';

/** How far ahead of the last stamp the ceiling is persisted: one durable write in this time, not one a stamp. */
export const CEILING_STEP_MS = 3_000;

/** Persist when the clock comes this near to the ceiling, so that nobody waits for the disk. */
export const CEILING_MARGIN_MS = 1_000;

/** Stamps below the ceiling that the wall clock alone does not use up: for a disk that is slow with the next ceiling. */
const RESERVED_STAMPS = CEILING_MARGIN_MS * STAMPS_PER_MS;

export class Hlc {
  /** Settles when the first ceiling is durable: no stamp may be used before. */
  readonly ready: Promise<void>;
  private last: number;
  private ceiling: number;
  private raising: Promise<void> | undefined = undefined;
  private readonly wallMs: () => number;
  private readonly persist: (ceiling: number) => void | Promise<void>;

  /**
   * `ceiling` is the persisted one (0 on a fresh disk). `persist` makes a new ceiling durable before it returns, or
   * before its promise is fulfilled; when it fails, it is tried again later.
   */
  constructor(options: { wallMs(): number; ceiling: number; persist(ceiling: number): void | Promise<void> }) {
    this.wallMs = () => options.wallMs();
    this.persist = (ceiling) => options.persist(ceiling);
    this.ceiling = options.ceiling;
    this.last = Math.max(options.ceiling, this.wallMs() * STAMPS_PER_MS);
    this.ready = this.raiseCeiling();
    // Whoever awaits `ready` hears of a failure; for those who do not, `keepAhead` tries again.
    this.ready.catch(() => {});
  }

  /**
   * A stamp above all given before. While the wall clock is near or ahead of the ceiling (the disk is slow, the loop
   * stood still, or the clock was set), stamps count on from the last one until a higher ceiling is durable: 2 million of
   * them are left then.
   */
  next(): number {
    const wall = this.wallMs() * STAMPS_PER_MS;
    if (wall > this.ceiling) this.tryToRaise();
    this.last = wall > this.last && wall <= this.ceiling - RESERVED_STAMPS ? wall : this.last + 1;
    if (this.last > this.ceiling) {
      this.tryToRaise();
      assert(this.last <= this.ceiling, 'stamps stay below a ceiling that is durable');
    }
    return this.last;
  }

  /** Persists a higher ceiling when the clock is near it: call it from a timer. */
  keepAhead(): void {
    const wall = Math.max(this.last, this.wallMs() * STAMPS_PER_MS);
    if (wall + CEILING_MARGIN_MS * STAMPS_PER_MS > this.ceiling) this.tryToRaise();
  }

  private tryToRaise(): void {
    // A failure shows itself when the stamps run out; until then the next call tries again.
    if (this.raising === undefined) this.raiseCeiling().catch(() => {});
  }

  private raiseCeiling(): Promise<void> {
    const from = Math.max(this.last, this.wallMs() * STAMPS_PER_MS);
    const ceiling = from + CEILING_STEP_MS * STAMPS_PER_MS;
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
