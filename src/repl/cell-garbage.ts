/**
 * Cells that no head names any more: what a large collection left behind when it was deleted, replaced or expired. The
 * batch that ended it wrote one record of this node, so that DEL costs the same for ten elements and ten million:
 *
 * ```
 * "cells" | generation u64 BE | head of the row                value: empty, or the number of its elements, u64 BE
 * ```
 *
 * The collector deletes the cells a few at a time, what is left of a large collection with one range delete, then the
 * record. Of a collection that is known to be large it looks for no cell: a walk would put all that stands in its slot in
 * order, at a microsecond a key, and those who fill the key anew would pay for it. Nobody reads such cells, so nothing
 * depends on when; after a crash it goes on where it was.
 */

import { compareBytes } from '../bytes.ts';
import { type Batch, Found, lookup, type Store } from '../engine/store.ts';
import { cellRange } from './element-cells.ts';
import { readCollectionHead } from './element-pack.ts';
import { keyAfter } from './elements.ts';
import { firstKeys } from './first-keys.ts';
import type { Head } from './head.ts';
import { localKey, readStamp, writeStamp } from './row-key.ts';

const PREFIX = localKey('cells');

/** Cells deleted in one turn: about half a millisecond. */
export const GARBAGE_BATCH_CELLS = 500;

/** Beyond so many a range delete: look-ups of what is older compare with it until it is in a table, so it must save a lot. */
const DELETED_ONE_BY_ONE = 10_000;

const NOTHING = new Uint8Array(0);

/** Adds the record of the cells of a head that ends, or whose elements do. */
export function putGarbage(batch: Batch, before: Head, head: Uint8Array, headLength: number): void {
  const { count } = readCollectionHead(before.bytes as Uint8Array, before.valueStart);
  let value = NOTHING;
  if (count > DELETED_ONE_BY_ONE) writeStamp((value = new Uint8Array(8)), 0, count);
  batch.put(garbageKey(before.generation, head, headLength), value);
}

/** The record of cells that were left behind. */
export function garbageKey(generation: number, head: Uint8Array, headLength: number): Uint8Array {
  const key = new Uint8Array(PREFIX.length + 8 + headLength);
  key.set(PREFIX);
  writeStamp(key, PREFIX.length, generation);
  key.set(head.subarray(0, headLength), PREFIX.length + 8);
  return key;
}

/** What a store has of cells that were left behind. */
export class CellGarbage {
  private readonly store: Store;
  private readonly batch: Batch;
  private readonly found = new Found();
  /** Whose cells are being deleted. */
  private record: Uint8Array | undefined = undefined;
  /** Where the next ones begin: a walk from the first would pass all that are deleted already. */
  private from: Uint8Array = PREFIX;
  private deleted = 0;
  /** Generations that are being written ahead of their heads (cells-ahead.ts): not garbage yet. */
  private readonly spared = new Set<number>();

  constructor(store: Store) {
    this.store = store;
    this.batch = store.newBatch();
  }

  /** Deletes some cells, at most GARBAGE_BATCH_CELLS one by one. True: there may be more. Throws `EngineError`. */
  async collect(): Promise<boolean> {
    const { store, batch } = this;
    // Records before it are deleted, too; those that came there meanwhile are met when all behind it are done.
    const record = await this.nextRecord();
    if (record === undefined) {
      const wasBehind = this.record !== undefined;
      this.record = undefined;
      return wasBehind;
    }
    const head = record.subarray(PREFIX.length + 8);
    const [lower, upper] = cellRange(head, head.length, readStamp(record, PREFIX.length));
    if (this.record === undefined || compareBytes(this.record, record) !== 0) this.begin(record, lower);
    const size = await this.sizeOf(record);
    // The change that wrote these cells ahead was installed since the record was met.
    if (size === undefined) return true;
    const isLarge = Math.max(size, this.deleted) > DELETED_ONE_BY_ONE;
    const cells = isLarge ? [] : await firstKeys(store, { lower: this.from, upper }, GARBAGE_BATCH_CELLS);
    if (store.refusal !== undefined) return false;
    batch.clear();
    if (isLarge) batch.deleteRange(this.from, upper);
    else for (const cell of cells) batch.delete(cell);
    if (cells.length < GARBAGE_BATCH_CELLS) batch.delete(record);
    this.from = keyAfter(cells.at(-1) ?? upper);
    this.deleted += cells.length;
    store.write(batch, true);
    return true;
  }

  /** A record of this generation is not of garbage until it is told otherwise. */
  spare(generation: number): void {
    this.spared.add(generation);
  }

  spareNoLonger(generation: number): void {
    this.spared.delete(generation);
  }

  private async nextRecord(): Promise<Uint8Array | undefined> {
    const range = { lower: this.record ?? PREFIX, upper: pastPrefix() };
    const records = await firstKeys(this.store, range, this.spared.size + 1);
    return records.find((record) => !this.spared.has(readStamp(record, PREFIX.length)));
  }

  /** How many elements a record says there were, 0 when it does not; undefined: it is there no longer. Throws `EngineError`. */
  private async sizeOf(record: Uint8Array): Promise<number | undefined> {
    const { store, found } = this;
    for (;;) {
      const outcome = store.get(record, record.length, found);
      if (outcome === lookup.ABSENT) return undefined;
      if (outcome === lookup.FOUND) return found.end === found.start ? 0 : readStamp(found.bytes, found.start);
      await store.fetch(record);
    }
  }

  private begin(record: Uint8Array, lower: Uint8Array): void {
    this.record = record;
    this.from = lower;
    this.deleted = 0;
  }
}

function pastPrefix(): Uint8Array {
  const past = PREFIX.slice();
  past[past.length - 1] = (past.at(-1) as number) + 1;
  return past;
}
