/**
 * Gives the space of flushed slots back: what is under a mark goes when compaction comes by, which after a FLUSHALL may be
 * never. So runs of neighbouring slots that were flushed as a whole get one range delete, in which only their marks' rows
 * stay.
 *
 * Only long runs: a range delete costs every look-up until its memtable is flushed. After a FLUSHALL of a database of some
 * size all slots of a node are a few runs; of a small one, compaction has little to do.
 *
 * Invariant: a slot is emptied only while everything in it is below its mark, tombstones too.
 */

import { copyOf } from '../bytes.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import { EngineError } from '../engine/engine-error.ts';
import { Found, lookup, type Batch, type Store } from '../engine/store.ts';
import type { Timer, Timers } from '../env.ts';
import { markRowOf } from './owner-message.ts';
import type { PromiseTable } from './promise-table.ts';
import { databaseStart } from './row-key.ts';
import { EVERY_DATABASE, type SlotMarks } from './slot-marks.ts';
import { compareVersions } from './version.ts';

/** Slots that a run has at least. */
export const MIN_RUN_SLOTS = 64;

/** Wait after the last mark: marks of one FLUSHALL come within a second or so. */
const QUIET_MS = 1_000;

export interface MarkReclaimOptions {
  readonly timers: Pick<Timers, 'after'>;
  readonly store: Store;
  readonly slotMarks: SlotMarks;
  readonly promises: PromiseTable;
}

export class MarkReclaim {
  private readonly options: MarkReclaimOptions;
  private readonly slots = new Set<number>();
  private timer: Timer | undefined = undefined;

  constructor(options: MarkReclaimOptions) {
    this.options = options;
  }

  /** Every database of the slot was flushed. */
  add(slot: number): void {
    this.slots.add(slot);
    this.timer?.cancel();
    this.timer = this.options.timers.after(QUIET_MS, () => this.reclaim());
  }

  close(): void {
    this.timer?.cancel();
  }

  private reclaim(): void {
    const { store } = this.options;
    const slots = [...this.slots].filter((slot) => this.isDead(slot)).sort((a, b) => a - b);
    this.slots.clear();
    const batch = store.newBatch();
    for (let from = 0; from < slots.length;) {
      let end = from + 1;
      while (slots[end] === (slots[end - 1] as number) + 1) end++;
      if (end - from >= MIN_RUN_SLOTS) this.empty(batch, slots.slice(from, end));
      from = end;
    }
    if (batch.count === 0 || store.refusal !== undefined) return;
    try {
      store.write(batch);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
    }
  }

  /** Everything in the slot is below its mark: whatever was taken since was promised before. */
  private isDead(slot: number): boolean {
    const mark = this.options.slotMarks.of(slot, EVERY_DATABASE);
    return mark !== undefined && compareVersions(this.options.promises.highestOfRows(slot), mark) <= 0;
  }

  /** Adds the range delete of a run and, after it, its marks' rows as they are. */
  private empty(batch: Batch, run: readonly number[]): void {
    const found = new Found();
    const kept: { key: Uint8Array; value: Uint8Array }[] = [];
    for (const slot of run) {
      const key = Buffer.from(markRowOf(slot), 'latin1');
      // One that is not in memory is not looked for: then compaction sees to the run.
      if (this.options.store.get(key, key.length, found) !== lookup.FOUND) return;
      kept.push({ key, value: copyOf(found.bytes.subarray(found.start, found.end)) });
    }
    const first = run[0] as number;
    const last = run.at(-1) as number;
    batch.deleteRange(databaseStart(first, 0), databaseStart(Math.min(SLOT_COUNT, last + 1), 0));
    for (const { key, value } of kept) batch.put(key, value);
  }
}
