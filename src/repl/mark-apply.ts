/**
 * How an owner applies the flush marks of a slot: the mark's row, the record derived from it (slot-marks.ts), and what
 * the flush does to the counts, in one batch.
 *
 * A mark that is being set is above every version of the slot (its promise is: promise-table.ts), so that nothing is left
 * of the databases it is for. A mark that comes late, by a hint or a move, may find newer rows: they are counted first,
 * in the same turn. Then compaction is not told of the mark: a collection that is newer may have cells from before it
 * (`lateMarks` in keyspace.ts), which stay until the row goes or the next flush.
 */

import { lookup, type Store } from '../engine/store.ts';
import type { Timers } from '../env.ts';
import { Head, readHead, rowType } from './head.ts';
import type { KeyspaceState } from './keyspace.ts';
import { MarkReclaim } from './mark-reclaim.ts';
import type { OwnerRows } from './owner-rows.ts';
import type { PromiseTable } from './promise-table.ts';
import { databaseEnd, databaseStart, headEnd, SYSTEM_DATABASE } from './row-key.ts';
import type { RowState } from './row-state.ts';
import {
  decodeMarks,
  encodeMarkRecord,
  EVERY_DATABASE,
  slotMarkKey,
  type DatabaseMark,
  type RowsLeft,
} from './slot-marks.ts';
import { compareVersions, type Version } from './version.ts';

export class MarkApply {
  private readonly store: Store;
  private readonly state: KeyspaceState;
  private readonly promises: PromiseTable;
  private readonly rows: OwnerRows;
  private readonly reclaim: MarkReclaim;
  private readonly head = new Head();
  /** What `prepare` has found, for `apply` in the same turn. */
  private slot = 0;
  private marks: readonly DatabaseMark[] = [];
  private left: RowsLeft[] = [];
  private loading: Promise<void> | undefined = undefined;

  constructor(options: {
    timers: Pick<Timers, 'after'>;
    store: Store;
    state: KeyspaceState;
    promises: PromiseTable;
    rows: OwnerRows;
  }) {
    const { timers, store, state, promises } = options;
    this.reclaim = new MarkReclaim({ timers, store, slotMarks: state.slotMarks, promises });
    this.store = options.store;
    this.state = options.state;
    this.promises = options.promises;
    this.rows = options.rows;
  }

  /** Reads the marks and counts what they leave. False: await `load`, then begin anew. Throws `DamagedError`. */
  prepare(slot: number, state: RowState | undefined): boolean {
    this.slot = slot;
    this.loading = undefined;
    this.left = [];
    this.marks = state === undefined ? [] : decodeMarks(state.value);
    const { counts, lateMarks, slotMarks } = this.state;
    const highest = this.promises.highestOfRows(slot);
    for (let database = 0; database < SYSTEM_DATABASE; database++) {
      if (counts.inSlot(database, slot) === 0) continue;
      const mark = markFor(this.marks, database);
      const known = slotMarks.of(slot, database);
      if (mark === undefined || (known !== undefined && compareVersions(mark, known) <= 0)) {
        // The record that said so is overwritten.
        if (lateMarks.has(slot * 256 + database)) this.left.push({ database, count: counts.inSlot(database, slot) });
        continue;
      }
      const count = compareVersions(mark, highest) >= 0 ? 0 : this.countAbove(slot, database, mark);
      if (count === undefined) return false;
      this.left.push({ database, count });
    }
    return true;
  }

  close(): void {
    this.reclaim.close();
  }

  /** Brings in what `prepare` has missed. */
  load(): Promise<void> {
    return this.loading ?? Promise.resolve();
  }

  /** Writes what `prepare` has read; the mark's row was looked up in this turn. As `OwnerRows.apply`. */
  apply(version: Version, state: RowState | undefined): number {
    const { slot, marks, left } = this;
    const key = slotMarkKey(slot);
    const sequence = this.rows.apply(version, state, { key, value: encodeMarkRecord(marks, left) });
    this.state.slotMarks.raise(slot, marks);
    this.state.freshMarks.add(slot);
    const { counts, lateMarks } = this.state;
    if (lateMarks.size > 0) for (let each = 0; each < SYSTEM_DATABASE; each++) lateMarks.delete(slot * 256 + each);
    for (const { database, count } of left) {
      counts.set(database, slot, count);
      if (count > 0) lateMarks.add(slot * 256 + database);
    }
    if (marks.some(({ database }) => database === EVERY_DATABASE)) this.reclaim.add(slot);
    return sequence;
  }

  /** Live rows of a database in the slot that are newer than the mark; undefined: something was not in memory. */
  private countAbove(slot: number, database: number, mark: Version): number | undefined {
    const cursor = this.store.cursor({ lower: databaseStart(slot, database), upper: databaseEnd(slot, database) });
    let count = 0;
    try {
      for (;;) {
        const step = cursor.next();
        if (step === lookup.ABSENT) return count;
        if (step === lookup.MISS) {
          this.loading = cursor.load().finally(() => cursor.close());
          return undefined;
        }
        if (this.isLiveAbove(cursor.key, cursor.value, mark)) count++;
      }
    } finally {
      if (this.loading === undefined) cursor.close();
    }
  }

  private isLiveAbove(key: Uint8Array, value: Uint8Array, mark: Version): boolean {
    if (headEnd(key) !== key.length) return false;
    const { head } = this;
    readHead(head, value, 0, value.length);
    return head.type !== rowType.DELETED && compareVersions(head, mark) > 0;
  }
}

/** The highest mark that is for this database. */
function markFor(marks: readonly DatabaseMark[], database: number): Version | undefined {
  let highest: Version | undefined;
  for (const each of marks) {
    if (each.database !== database && each.database !== EVERY_DATABASE) continue;
    if (highest === undefined || compareVersions(highest, each.mark) < 0) highest = each.mark;
  }
  return highest;
}
