/**
 * How many live rows each physical database and slot has, kept exact through restarts without looking at old values.
 *
 * The counts are written as the last record of every memtable (`encode`); each later head in the WAL carries BORN or
 * DIED. So after a restart: the newest written counts, plus what the replayed heads say (`replay…`, then `settle`).
 *
 * Written form, repeated: `u8 database | u16 BE slot | u32 BE live rows`, zero counts left out.
 */

import { assert } from '../assert.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { headFlag } from './head.ts';

const ENTRY_LENGTH = 7;

export class RowCounts {
  private readonly totals = new Float64Array(256);
  private readonly bySlot: (Int32Array | undefined)[] = Array.from({ length: 256 });
  /** While replaying: whether written counts were met, and which databases were flushed before any were. */
  private baseKnown = false;
  private readonly flushedInReplay = new Set<number>();
  /** Slots of a database, and slots of all, whose number was set before any counts were met. */
  private readonly setInReplay = new Set<number>();
  private readonly clearedInReplay = new Set<number>();

  add(database: number, slot: number, change: number): void {
    const slots = (this.bySlot[database] ??= new Int32Array(SLOT_COUNT));
    slots[slot] = (slots[slot] as number) + change;
    this.totals[database] = (this.totals[database] as number) + change;
  }

  clear(database: number): void {
    this.totals[database] = 0;
    this.bySlot[database] = undefined;
    this.flushedInReplay.add(database);
  }

  /** A flush of the slot has left so many rows. */
  set(database: number, slot: number, count: number): void {
    this.add(database, slot, count - this.inSlot(database, slot));
    if (!this.baseKnown) this.setInReplay.add(placeOf(database, slot));
  }

  /** The slot has left this node. */
  clearSlot(slot: number): void {
    for (let database = 0; database < 256; database++) {
      const count = this.inSlot(database, slot);
      if (count !== 0) this.add(database, slot, -count);
    }
    if (!this.baseKnown) this.clearedInReplay.add(slot);
  }

  total(database: number): number {
    return this.totals[database] as number;
  }

  inSlot(database: number, slot: number): number {
    return this.bySlot[database]?.[slot] ?? 0;
  }

  /** The least slot in [from, end) with rows; `end` when there is none. */
  nextSlot(database: number, from: number, end: number): number {
    const slots = this.bySlot[database];
    if (slots === undefined) return end;
    for (let slot = from; slot < end; slot++) if (slots[slot] !== 0) return slot;
    return end;
  }

  /** The slot of the row with this number, counting slot by slot, and its number there; slot 0 when there are fewer. */
  slotOfRow(database: number, row: number): { readonly slot: number; readonly row: number } {
    const slots = this.bySlot[database];
    if (slots === undefined) return { slot: 0, row: 0 };
    let left = row;
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const count = slots[slot] as number;
      if (left < count) return { slot, row: left };
      left -= count;
    }
    return { slot: 0, row: 0 };
  }

  replayHead(database: number, slot: number, flags: number): void {
    if ((flags & headFlag.BORN) !== 0) this.add(database, slot, 1);
    if ((flags & headFlag.DIED) !== 0) this.add(database, slot, -1);
  }

  /** Written counts met in a WAL: everything before them is in them. */
  replayCounts(bytes: Uint8Array): void {
    this.totals.fill(0);
    this.bySlot.fill(undefined);
    this.flushedInReplay.clear();
    this.setInReplay.clear();
    this.clearedInReplay.clear();
    this.baseKnown = true;
    this.addWritten(bytes);
  }

  /** No rows at all: they will be counted. */
  reset(): void {
    this.totals.fill(0);
    this.bySlot.fill(undefined);
    this.baseKnown = true;
  }

  /** Ends the replay. `written`: the newest counts in the tables, used when the WALs held none. */
  settle(written: Uint8Array | undefined): void {
    if (!this.baseKnown && written !== undefined) this.addWritten(written);
    this.baseKnown = true;
    this.setInReplay.clear();
    this.clearedInReplay.clear();
    for (let database = 0; database < 256; database++) {
      assert((this.totals[database] as number) >= 0, 'a database has no fewer than zero rows');
    }
  }

  encode(): Uint8Array {
    let entries = 0;
    this.forEach(() => entries++);
    const bytes = new Uint8Array(entries * ENTRY_LENGTH);
    let at = 0;
    this.forEach((database, slot, count) => {
      bytes[at] = database;
      bytes[at + 1] = slot >>> 8;
      bytes[at + 2] = slot & 0xff;
      writeU32(bytes, at + 3, count);
      at += ENTRY_LENGTH;
    });
    return bytes;
  }

  private addWritten(bytes: Uint8Array): void {
    for (let at = 0; at + ENTRY_LENGTH <= bytes.length; at += ENTRY_LENGTH) {
      const database = bytes[at] as number;
      const slot = ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
      if (this.flushedInReplay.has(database) || this.clearedInReplay.has(slot)) continue;
      if (this.setInReplay.has(placeOf(database, slot))) continue;
      this.add(database, slot, readU32(bytes, at + 3));
    }
  }

  private forEach(visit: (database: number, slot: number, count: number) => void): void {
    this.bySlot.forEach((slots, database) => {
      slots?.forEach((count, slot) => {
        if (count !== 0) visit(database, slot, count);
      });
    });
  }
}

function placeOf(database: number, slot: number): number {
  return database * SLOT_COUNT + slot;
}
