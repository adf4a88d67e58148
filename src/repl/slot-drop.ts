/**
 * Deletes the rows of slots that this node owns no longer, a little at a time.
 *
 * A slot with few cells loses them one by one, since a range delete costs every look-up until its memtable is flushed;
 * a run of full slots goes with one range delete. Entries of the expiry index are left to the sweeper, which drops those
 * whose row is gone. What was dropped is written along (`DROPPED_KEY`), so that the counts are right after a replay.
 *
 * Invariants:
 * - A slot is pending from the moment it is added until nothing of it is left, and nobody writes rows of it meanwhile.
 * - Urgent slots, which this node owns again and may not speak for before, come first.
 * - After a restart the slots that are not owned are added again, so nothing about them needs to be remembered.
 * - A node that owns no slot at all keeps no flush marks of its own either: they belong to data that are gone.
 */

import { copyOf } from '../bytes.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import { EngineError } from '../engine/engine-error.ts';
import { lookup, type Batch, type Cursor, type Store } from '../engine/store.ts';
import type { Env } from '../env.ts';
import { DROPPED_KEY, FLUSH_KEY, type KeyspaceState } from './keyspace.ts';
import { databaseStart, slotOfHead } from './row-key.ts';
import { slotMarkKey } from './slot-marks.ts';

/** Cells of a slot up to which they are deleted one by one. */
const FEW_CELLS = 64;

/** Slots whose few cells go in one batch. */
const SLOTS_IN_BATCH = 64;

/** Slots looked at in one turn: about a millisecond. */
const SEEKS_IN_TURN = 256;

/** Wait before going on when the engine does not take writes. */
const RETRY_MS = 500;

export class SlotDrop {
  private readonly env: Pick<Env, 'timers' | 'log'>;
  private readonly store: Store;
  private readonly state: KeyspaceState;
  private readonly waits = new Uint8Array(SLOT_COUNT);
  private count = 0;
  /** Those of them that are urgent. */
  private readonly urgent = new Uint8Array(SLOT_COUNT);
  private urgentCount = 0;
  private onUrgentDone: () => void = () => undefined;
  /** Everything goes, flush marks too. */
  private isWhole = false;
  private running: Promise<void> | undefined = undefined;
  private isClosed = false;

  constructor(options: { env: Pick<Env, 'timers' | 'log'>; store: Store; state: KeyspaceState }) {
    this.env = options.env;
    this.store = options.store;
    this.state = options.state;
  }

  /** Slots of which something may be left. */
  get pending(): number {
    return this.count;
  }

  /**
   * Begins to delete what is there of these slots. `done`: nothing is left of any urgent one; called at once when none
   * is urgent, and not for an earlier call that had to wait.
   */
  add(slots: readonly number[], urgent: readonly number[], done: () => void): void {
    for (const slot of slots) this.mark(slot);
    for (const slot of urgent) {
      this.mark(slot);
      if (this.urgent[slot] === 1) continue;
      this.urgent[slot] = 1;
      this.urgentCount++;
    }
    this.isWhole = slots.length === SLOT_COUNT;
    this.onUrgentDone = done;
    if (this.urgentCount === 0) this.endUrgent();
    this.begin();
  }

  private mark(slot: number): void {
    if (this.waits[slot] === 1) return;
    this.waits[slot] = 1;
    this.count++;
  }

  private begin(): void {
    if (this.count === 0 || this.running !== undefined || this.isClosed) return;
    this.running = this.run().finally(() => {
      this.running = undefined;
      this.begin();
    });
  }

  private unmark(slot: number): void {
    if (this.waits[slot] === 0) return;
    this.waits[slot] = 0;
    this.count--;
    if (this.urgent[slot] === 0) return;
    this.urgent[slot] = 0;
    if (--this.urgentCount === 0) this.endUrgent();
  }

  private endUrgent(): void {
    const done = this.onUrgentDone;
    this.onUrgentDone = () => undefined;
    done();
  }

  /** Settles once nothing is pending. */
  async settled(): Promise<void> {
    while (this.running !== undefined) await this.running;
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.running;
  }

  private async run(): Promise<void> {
    while (this.count > 0 && !this.isClosed) {
      try {
        if (this.isWhole && (await this.holdsAnything())) this.dropAll();
        else await this.walk();
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        this.env.log.warn('slots that are owned no longer cannot be deleted yet', { cause: error.message });
        await new Promise<void>((resolve) => this.env.timers.after(RETRY_MS, resolve));
      }
    }
  }

  /** One walk over all pending slots; ends early after a range delete, so that others come first. */
  private async walk(): Promise<void> {
    const wanted = this.urgentCount > 0 ? this.urgent.slice() : this.waits.slice();
    const first = wanted.indexOf(1);
    const upper = databaseStart(SLOT_COUNT, 0);
    const cursor = this.store.cursor({ lower: databaseStart(first, 0), upper });
    const batch = this.store.newBatch();
    const dropped: number[] = [];
    try {
      let target = first;
      for (let seeks = 0; !this.isClosed && dropped.length < SLOTS_IN_BATCH && seeks < SEEKS_IN_TURN; seeks++) {
        const slot = await seekSlot(cursor, target);
        for (let empty = target; empty < slot; empty++) if (!dropped.includes(empty)) this.settle(wanted, empty);
        if (slot === SLOT_COUNT) break;
        if (wanted[slot] === 1) {
          const few = await fewCells(cursor, slot);
          if (few === undefined) {
            dropRun(batch, wanted, slot, dropped);
            break;
          }
          for (const key of few) batch.delete(key);
          dropped.push(slot);
        }
        target = wanted.indexOf(1, slot + 1);
        if (target < 0) break;
      }
    } finally {
      cursor.close();
    }
    this.write(batch, dropped);
    await new Promise<void>((resolve) => this.env.timers.atTurnEnd(resolve));
  }

  /** Nothing is there of this slot, if it is one of those that are looked at. */
  private settle(wanted: Uint8Array, slot: number): void {
    if (wanted[slot] === 1) this.unmark(slot);
  }

  private write(batch: Batch, dropped: readonly number[]): void {
    if (dropped.length === 0) return;
    const names = new Uint8Array(2 * dropped.length);
    for (const [i, slot] of dropped.entries()) {
      names[2 * i] = slot >>> 8;
      names[2 * i + 1] = slot & 0xff;
      batch.delete(slotMarkKey(slot));
    }
    batch.put(DROPPED_KEY, names);
    this.store.write(batch);
    for (const slot of dropped) this.forget(slot);
    for (const slot of dropped) this.unmark(slot);
  }

  private async holdsAnything(): Promise<boolean> {
    if (this.state.flushMarks.some((mark) => mark > 0)) return true;
    const cursor = this.store.cursor({ lower: databaseStart(0, 0), upper: databaseStart(SLOT_COUNT, 0) });
    try {
      const holds = (await seekSlot(cursor, 0)) < SLOT_COUNT;
      this.isWhole = holds;
      return holds;
    } finally {
      cursor.close();
    }
  }

  private dropAll(): void {
    const batch = this.store.newBatch();
    batch.deleteRange(databaseStart(0, 0), databaseStart(SLOT_COUNT, 0));
    batch.deleteRange(slotMarkKey(0), slotMarkKey(SLOT_COUNT));
    batch.put(FLUSH_KEY, new Uint8Array(256 * 8));
    this.store.write(batch);
    for (let slot = 0; slot < SLOT_COUNT; slot++) this.forget(slot);
    this.state.flushMarks.fill(0);
    this.isWhole = false;
    for (let slot = 0; slot < SLOT_COUNT; slot++) this.unmark(slot);
  }

  private forget(slot: number): void {
    const { counts, freshMarks, lateMarks, slotMarks } = this.state;
    if (lateMarks.size > 0) for (let database = 0; database < 256; database++) lateMarks.delete(slot * 256 + database);
    counts.clearSlot(slot);
    slotMarks.forget(slot);
    freshMarks.delete(slot);
  }
}

/** One range delete for the slot and those after it that are wanted too. */
function dropRun(batch: Batch, wanted: Uint8Array, slot: number, dropped: number[]): void {
  let end = slot;
  while (end < SLOT_COUNT && wanted[end] === 1) dropped.push(end++);
  batch.deleteRange(databaseStart(slot, 0), databaseStart(end, 0));
}

/** The slot of the first cell from this slot on; SLOT_COUNT when there is none. */
async function seekSlot(cursor: Cursor, slot: number): Promise<number> {
  for (;;) {
    const step = cursor.seek(databaseStart(slot, 0));
    if (step === lookup.FOUND) return slotOfHead(cursor.key);
    if (step === lookup.ABSENT) return SLOT_COUNT;
    await cursor.load();
  }
}

/** The keys of all cells of the slot, the first of which the cursor stands on; undefined when they are many. */
async function fewCells(cursor: Cursor, slot: number): Promise<Uint8Array[] | undefined> {
  const keys = [copyOf(cursor.key)];
  while (keys.length <= FEW_CELLS) {
    const step = cursor.next();
    if (step === lookup.MISS) await cursor.load();
    else if (step === lookup.ABSENT || slotOfHead(cursor.key) !== slot) return keys;
    else keys.push(copyOf(cursor.key));
  }
  return undefined;
}
