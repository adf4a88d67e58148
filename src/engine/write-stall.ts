/**
 * How much writers are held back so that flush and compaction keep up: a pure function of what has piled up.
 *
 * The delay grows by the same factor with each memtable or table of level 0 that is too many, and with each byte of deeper
 * levels that waits for compaction beyond a mark, up to a second at the last step before the limit: a writer who waits is slowed to the pace of the disk and is never refused while the disk works.
 */

export type StallLimits = {
  /** Frozen memtables from which on writers are delayed, and at which writes are refused. */
  readonly slowFrozen: number;
  readonly stopFrozen: number;
  /** The same for the tables of level 0. */
  readonly slowLevel0: number;
  readonly stopLevel0: number;
  /**
   * Bytes that wait for compaction in deeper levels from which on writers are delayed; at `DEBT_SPAN` times as many by a second.
   * They cost neither memory nor reads, only space, so writes are never refused for them.
   */
  readonly slowDebtBytes: number;
};

export const defaultStallLimits: StallLimits = {
  slowFrozen: 3,
  stopFrozen: 8,
  slowLevel0: 12,
  stopLevel0: 36,
  // RocksDB's soft limit of pending compaction bytes: some ten minutes of filling at random as fast as a disk takes it.
  slowDebtBytes: 64 * 2 ** 30,
};

const DEBT_SPAN = 4;

export type Stall = {
  readonly delayMs: number;
  /** Writes are refused: even writers that do not wait must not fill the memory. */
  readonly stop: boolean;
};

const MAX_DELAY_MS = 1000;

/** `level0`: tables of level 0 that compaction could take; `debtBytes`: what waits for compaction in all levels. */
export function stallOf(frozen: number, level0: number, debtBytes: number, limits: StallLimits): Stall {
  const delayMs = Math.max(
    delayFor(frozen, limits.slowFrozen, limits.stopFrozen),
    delayFor(level0, limits.slowLevel0, limits.stopLevel0),
    delayFor(debtBytes, limits.slowDebtBytes, DEBT_SPAN * limits.slowDebtBytes),
  );
  return { delayMs, stop: frozen >= limits.stopFrozen || level0 >= limits.stopLevel0 };
}

/** 0 below `slow`, then from 1 ms up to `MAX_DELAY_MS` at `stop - 1`. */
function delayFor(count: number, slow: number, stop: number): number {
  if (count < slow) return 0;
  const part = (count - slow) / Math.max(1, stop - 1 - slow);
  return Math.min(MAX_DELAY_MS, Math.round(MAX_DELAY_MS ** part));
}
