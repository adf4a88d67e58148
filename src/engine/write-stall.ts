/**
 * How much writers are held back so that flush and compaction keep up: a pure function of what has piled up.
 *
 * The delay grows by the same factor with each memtable or table of level 0 that is too many, up to a second at the last
 * step before the limit: a writer who waits is slowed to the pace of the disk and is never refused while the disk works.
 */

export type StallLimits = {
  /** Frozen memtables from which on writers are delayed, and at which writes are refused. */
  readonly slowFrozen: number;
  readonly stopFrozen: number;
  /** The same for the tables of level 0. */
  readonly slowLevel0: number;
  readonly stopLevel0: number;
};

export const defaultStallLimits: StallLimits = { slowFrozen: 3, stopFrozen: 8, slowLevel0: 12, stopLevel0: 36 };

export type Stall = {
  readonly delayMs: number;
  /** Writes are refused: even writers that do not wait must not fill the memory. */
  readonly stop: boolean;
};

const MAX_DELAY_MS = 1000;

export function stallOf(frozen: number, level0: number, limits: StallLimits): Stall {
  const delayMs = Math.max(
    delayFor(frozen, limits.slowFrozen, limits.stopFrozen),
    delayFor(level0, limits.slowLevel0, limits.stopLevel0),
  );
  return { delayMs, stop: frozen >= limits.stopFrozen || level0 >= limits.stopLevel0 };
}

/** 0 below `slow`, then from 1 ms up to `MAX_DELAY_MS` at `stop - 1`. */
function delayFor(count: number, slow: number, stop: number): number {
  if (count < slow) return 0;
  const part = (count - slow) / Math.max(1, stop - 1 - slow);
  return Math.min(MAX_DELAY_MS, Math.round(MAX_DELAY_MS ** part));
}
