/**
 * The keyspace of one node: rows in a store, their number, the flush marks, the map of databases and the expiry
 * index. With one copy of the data (a single node) a commit is a local batch.
 *
 * Rows of this node alone:
 *
 * ```
 * "flush"      256 × u64 BE: flush mark (stamp) of each physical database; rows at or below it do not exist
 * "databases"  256 × u8: physical database of each logical one
 * "counts"     see row-counts.ts
 * "mark…"      flush marks of a slot: see slot-marks.ts
 * "cells…"     cells that no head names any more: see cell-garbage.ts
 * "fields…"    hashes whose fields have deadlines: see field-sweep.ts
 * "dropped"    u16 BE each: slots whose rows have left this node with the batch that wrote this
 * ```
 *
 * Invariants: the counts equal the number of heads that are neither deleted nor under a flush mark; every such
 * head with a deadline has its entry in the expiry index.
 */

import { SLOT_COUNT } from '../cluster/slot.ts';
import { compareBytes } from '../bytes.ts';
import { writeU32 } from '../cluster/big-endian.ts';
import { EngineError } from '../engine/engine-error.ts';
import { Found, lookup, type Batch, type Store, type StoreHooks } from '../engine/store.ts';
import { CellGarbage, garbageKey, putGarbage } from './cell-garbage.ts';
import { CellMemory } from './cell-memory.ts';
import { CellsAhead } from './cells-ahead.ts';
import { CellElements, cellKey, putCell } from './element-cells.ts';
import { collectionHeadLength, packCollection, writeCollectionHead } from './element-pack.ts';
import type { Elements } from './elements.ts';
import { indexFields, sweepFields } from './field-sweep.ts';
import { firstKeys } from './first-keys.ts';
import { ExpectedRows } from './expected-rows.ts';
import { ELEMENT_HEADER, Head, headFlag, headLength, MAX_INLINE_BYTES, readHead, rowType, writeHead } from './head.ts';
import type { Hlc } from './hlc.ts';
import type { LongRun } from './long-change.ts';
import {
  databaseOfHead,
  deadlineOfExpiryKey,
  EXPIRY_PREFIX,
  expiryKey,
  headEnd,
  headKey,
  LOCAL_PREFIX,
  localKey,
  readStamp,
  slotOfHead,
  STRING_ELEMENT,
  writeStamp,
} from './row-key.ts';
import { RowCounts } from './row-counts.ts';
import { decodeMarkRecord, EVERY_DATABASE, SlotMarks, slotMarkKey, slotOfMarkKey } from './slot-marks.ts';
import { elementKey, type Row, standsApart, View } from './view.ts';

/** Physical databases are one byte; the last one is ours. */
export const DATABASE_LIMIT = 255;

export const FLUSH_KEY: Uint8Array = localKey('flush');
const DATABASES_KEY = localKey('databases');
const COUNTS_KEY = localKey('counts');
export const DROPPED_KEY: Uint8Array = localKey('dropped');

/** Entries of the expiry index looked at in one turn of the sweeper, so that it holds the loop for about a millisecond. */
export const SWEEP_BATCH_ROWS = 200;

const NOTHING = new Uint8Array(0);

/** What the flags of a head say about its value. */
const VALUE_FLAGS = headFlag.SIBLINGS | headFlag.APART | headFlag.CELLS;

/** An element to be written; value undefined: deleted, stored false: it was never there. */
interface ChangedElement {
  readonly tag: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
  readonly stored?: boolean;
}

/** Up to this length a loop (1.4 ns a byte) copies faster than `set`. */
const LOOP_COPY_BYTES = 12;

/** What the keyspace learns while the store replays its WALs; give `hooks` to the store before it opens. */
export class KeyspaceState {
  readonly counts = new RowCounts();
  readonly flushMarks = new Float64Array(256);
  /** Flush marks of slots, as a cluster keeps them. */
  readonly slotMarks = new SlotMarks();
  /** Slots whose marks may not be in a table yet. */
  readonly freshMarks = new Set<number>();
  /**
   * Databases of slots, as slot × 256 + database, whose mark came when newer rows were there: their collections may have
   * cells from before the mark, so compaction must leave it alone.
   */
  readonly lateMarks = new Set<number>();
  readonly databases = Uint8Array.from({ length: 256 }, (_, i) => i);
  private readonly head = new Head();
  private readonly durableMarks = new Float64Array(256);
  /** By database (EVERY_DATABASE too): of each slot the stamp of its mark, as far as compaction may act on it. */
  private readonly durableSlots = new Map<number, Float64Array>();
  private store: Store | undefined = undefined;

  readonly hooks: StoreHooks = {
    onReplay: (key, value) => this.replay(key, value),
    onFreeze: (batch) => this.putCounts(batch),
  };

  putCounts(batch: Batch): void {
    batch.put(COUNTS_KEY, this.counts.encode());
  }

  /** Reads what no WAL held from the tables. `mayTrustCounts`: unless they will be counted anew (recount.ts). */
  async load(store: Store, mayTrustCounts = true): Promise<void> {
    this.store = store;
    const flush = await readNow(store, FLUSH_KEY);
    if (flush !== undefined) this.readFlushMarks(flush, false);
    const databases = await readNow(store, DATABASES_KEY);
    if (databases !== undefined) this.databases.set(databases);
    await this.loadSlotMarks(store);
    if (mayTrustCounts) this.counts.settle(await readNow(store, COUNTS_KEY));
    else this.counts.reset();
  }

  private async loadSlotMarks(store: Store): Promise<void> {
    const cursor = store.cursor({ lower: slotMarkKey(0), upper: slotMarkKey(SLOT_COUNT) });
    try {
      for (;;) {
        const step = cursor.next();
        if (step === lookup.ABSENT) return;
        if (step === lookup.MISS) {
          await cursor.load();
          continue;
        }
        const slot = slotOfMarkKey(cursor.key) as number;
        const { marks, left } = decodeMarkRecord(cursor.value);
        this.slotMarks.raise(slot, marks);
        for (const { database, count } of left) if (count > 0) this.lateMarks.add(slot * 256 + database);
        this.freshMarks.add(slot);
      }
    } finally {
      cursor.close();
    }
  }

  private isLate(slot: number, database: number): boolean {
    if (this.lateMarks.size === 0) return false;
    if (database !== EVERY_DATABASE) return this.lateMarks.has(slot * 256 + database);
    for (let each = 0; each < EVERY_DATABASE; each++) if (this.lateMarks.has(slot * 256 + each)) return true;
    return false;
  }

  /** By database (EVERY_DATABASE: of all), of each slot the stamp below which all was flushed; as `durableFlushMarks`. */
  durableSlotMarks(): Map<number, Float64Array> {
    const { durableSlots, store } = this;
    for (const slot of this.freshMarks) {
      if (store === undefined || !isInTable(store, slotMarkKey(slot))) continue;
      this.freshMarks.delete(slot);
      for (const { database, mark } of this.slotMarks.list(slot)) {
        if (this.isLate(slot, database)) continue;
        let stamps = durableSlots.get(database);
        if (stamps === undefined) durableSlots.set(database, (stamps = new Float64Array(SLOT_COUNT)));
        stamps[slot] = mark.stamp;
      }
    }
    return new Map([...durableSlots].map(([database, stamps]) => [database, stamps.slice()]));
  }

  /**
   * The flush marks that compaction may act on, in memory of their own: those in tables. A mark that is in a memtable
   * could be lost to a power cut, and what compaction had dropped for it would be lost without it.
   */
  durableFlushMarks(): Float64Array {
    if (this.store !== undefined && isInTable(this.store, FLUSH_KEY)) this.durableMarks.set(this.flushMarks);
    return this.durableMarks.slice();
  }

  private replay(key: Uint8Array, value: Uint8Array | undefined): void {
    if (value === undefined) return;
    const prefix = slotOfHead(key);
    if (prefix < EXPIRY_PREFIX) {
      if (headEnd(key) !== key.length) return;
      readHead(this.head, value, 0, value.length);
      this.counts.replayHead(databaseOfHead(key), prefix, this.head.flags);
    } else if (prefix === LOCAL_PREFIX) {
      if (sameKey(key, COUNTS_KEY)) this.counts.replayCounts(value);
      if (sameKey(key, FLUSH_KEY)) this.readFlushMarks(value, true);
      if (sameKey(key, DROPPED_KEY)) this.replayDropped(value);
      const slot = slotOfMarkKey(key);
      if (slot !== undefined) this.replayMark(slot, value);
    }
  }

  private replayMark(slot: number, value: Uint8Array): void {
    for (const { database, count } of decodeMarkRecord(value).left) this.counts.set(database, slot, count);
  }

  private replayDropped(value: Uint8Array): void {
    for (let at = 0; at + 1 < value.length; at += 2) {
      this.counts.clearSlot(((value[at] as number) << 8) | (value[at + 1] as number));
    }
  }

  /** `replayed`: the record itself is met in a WAL, so what it flushed is flushed now: the marks with the newest stamp. */
  private readFlushMarks(bytes: Uint8Array, replayed: boolean): void {
    let newest = 0;
    for (let database = 0; database < 256; database++) newest = Math.max(newest, readStamp(bytes, database * 8));
    for (let database = 0; database < 256; database++) {
      const mark = readStamp(bytes, database * 8);
      if (replayed && mark === newest) this.counts.clear(database);
      this.flushMarks[database] = mark;
    }
  }
}

export class Keyspace {
  readonly store: Store;
  private readonly state: KeyspaceState;
  private readonly hlc: Hlc;
  private readonly actor: number;
  private readonly batch: Batch;
  /** Rows that will be looked up next. */
  readonly expected: ExpectedRows;
  private readonly garbage: CellGarbage;
  private readonly sweepView: View;
  private readonly head = new Head();
  /** Where what stands in a head is put together, and its length; -1: what `putValue` returned is all of it. */
  private readonly inline = new Uint8Array(MAX_INLINE_BYTES);
  private inlineLength = -1;
  /** Rows that the sweeper or a write found expired. */
  expiredRows = 0;
  /** Where the next sweep goes on, behind rows that a damaged table may hold; undefined: from the first deadline. */
  private sweepFrom: Uint8Array | undefined = undefined;
  /** Fields of hashes past their deadlines that were removed since the start. */
  expiredFields = 0;
  /** Told of each row that the sweeper has ended, by its physical key. */
  onExpired: ((head: Uint8Array) => void) | undefined = undefined;
  /** Changes since the start: what INFO calls rdb_changes_since_last_save. */
  changes = 0;
  /** What is remembered of collections in cells. */
  readonly cells = new CellMemory();
  /** Rows that a change over several turns holds, by the latin1 text of their heads' keys. */
  readonly held = new Map<string, LongRun>();

  constructor(options: { store: Store; state: KeyspaceState; hlc: Hlc; actor: number }) {
    this.store = options.store;
    this.expected = new ExpectedRows(options.store);
    this.state = options.state;
    this.hlc = options.hlc;
    this.actor = options.actor;
    this.batch = options.store.newBatch();
    this.garbage = new CellGarbage(options.store);
    this.sweepView = this.newView();
  }

  newView(): View {
    return new View(this, this.store);
  }

  physicalDatabase(logical: number): number {
    return this.state.databases[logical] as number;
  }

  /** The logical database that shows this physical one. */
  logicalDatabase(physical: number): number {
    return this.state.databases.indexOf(physical);
  }

  flushMark(physical: number): number {
    return this.state.flushMarks[physical] as number;
  }

  /** Whether a record of this version was flushed. */
  isFlushed(physical: number, slot: number, stamp: number, actor: number): boolean {
    const { flushMarks, slotMarks } = this.state;
    return stamp <= (flushMarks[physical] as number) || slotMarks.covers(slot, physical, stamp, actor);
  }

  /** Rows in a physical database, expired ones that nobody has met yet included. */
  size(physical: number): number {
    return this.state.counts.total(physical);
  }

  /** Rows in a slot of a logical database. */
  sizeOfSlot(logical: number, slot: number): number {
    return this.state.counts.inSlot(this.physicalDatabase(logical), slot);
  }

  /** Brings the head of a key into memory. */
  async prefetch(database: number, key: Uint8Array): Promise<void> {
    await this.store.fetch(headKey(this.physicalDatabase(database), key));
  }

  /** The least slot in [from, end) in which a physical database has rows; `end` when there is none. */
  nextSlotWithRows(physical: number, from: number, end: number): number {
    return this.state.counts.nextSlot(physical, from, end);
  }

  /** The slot that holds the row with this number in physical order, and its number there. Requires: it exists. */
  slotOfRow(physical: number, row: number): { readonly slot: number; readonly row: number } {
    return this.state.counts.slotOfRow(physical, row);
  }

  /** The map of databases in memory of its own. */
  copyDatabases(): Uint8Array {
    return this.state.databases.slice();
  }

  /**
   * Writes what the view staged, all or nothing, and returns the sequence to await (0: nothing was staged).
   * The state in memory changes after the write: `write` may freeze the memtable first, and the counts that end the
   * frozen one must not know of this batch.
   */
  commit(view: View): number {
    const batch = this.batch;
    batch.clear();
    const flushStamp = view.flushes.size > 0 ? this.putFlush(batch, view.flushes) : 0;
    if (view.databases !== undefined) batch.put(DATABASES_KEY, view.databases);
    const { rows, rowCount } = view;
    let stamp = 0;
    // What only removes makes space, and is taken even on a full disk.
    let frees = view.databases === undefined;
    for (let i = 0; i < rowCount; i++) {
      const row = rows[i] as Row;
      if (!row.dirty) continue;
      if (row.live) frees = false;
      if (stamp === 0) stamp = this.hlc.next(view.nowMs);
      this.putRow(batch, row, stamp, view.showsBytes);
    }
    if (batch.count === 0) return 0;
    const sequence = this.store.write(batch, frees);
    if (flushStamp !== 0) this.flushed(view.flushes, flushStamp);
    if (view.databases !== undefined) this.state.databases.set(view.databases);
    for (let i = 0; i < rowCount; i++) this.count(rows[i] as Row);
    return sequence;
  }

  /**
   * Deletes rows whose deadline has passed, at most SWEEP_BATCH_ROWS a call. True: there may be more.
   * Reads the index through a cursor; what is on disk is awaited. Rows that a damaged table may hold are passed over:
   * readers see them as an error, as they do before their deadline. `mayWrite`: whether the rows are still this node's
   * alone when they have been read.
   */
  async sweepExpired(nowMs: number, mayWrite = (): boolean => true): Promise<boolean> {
    const due = await this.expiredEntries(nowMs);
    const isWhole = due.length === SWEEP_BATCH_ROWS;
    const keys: Uint8Array[] = [];
    for (const key of due) if (await this.isReadable(key.subarray(10))) keys.push(key);
    // What was passed over is not looked at again before the sweep has come to the end.
    if (!isWhole) this.sweepFrom = undefined;
    else if (keys.length < due.length) this.sweepFrom = nextKey(due.at(-1) as Uint8Array);
    if (keys.length === 0) return isWhole;
    if (this.store.refusal !== undefined || !mayWrite()) return false;
    const batch = this.batch;
    batch.clear();
    const stamp = this.hlc.next();
    const died = keys.filter((key) => this.putExpired(batch, key, nowMs, stamp));
    if (batch.count > 0) this.store.write(batch);
    for (const key of died) this.state.counts.add(databaseOfHead(key.subarray(10)), slotOfHead(key.subarray(10)), -1);
    this.expiredRows += died.length;
    for (const key of died) this.onExpired?.(key.subarray(10));
    return isWhole;
  }

  /** As `sweepExpired`, of fields of hashes. Throws `EngineError`. */
  sweepFields(nowMs: number, mayWrite = (): boolean => true): Promise<boolean> {
    return sweepFields(this, this.sweepView, nowMs, mayWrite);
  }

  /** Deletes some cells that nothing names any more. True: there may be more. Throws `EngineError`. */
  collectGarbage(): Promise<boolean> {
    return this.garbage.collect();
  }

  /** A new generation of cells for a row, to be written before the head that names it. Throws `EngineError`. */
  cellsAhead({ head, headLength }: Row): CellsAhead {
    const { store, actor, garbage } = this;
    const cells = new CellsAhead({ store, head: head.slice(0, headLength), stamp: this.hlc.next(), actor });
    garbage.spare(cells.generation);
    return cells;
  }

  /** They are named by a head by now, or never will be. */
  endCellsAhead({ generation }: CellsAhead): void {
    this.garbage.spareNoLonger(generation);
  }

  /** Brings a row into memory; false: a damaged table may hold it. */
  private async isReadable(physical: Uint8Array): Promise<boolean> {
    try {
      await readNow(this.store, physical);
      return true;
    } catch (error) {
      if (error instanceof EngineError && error.code === 'corruption') return false;
      throw error;
    }
  }

  private expiredEntries(nowMs: number): Promise<Uint8Array[]> {
    const upper = expiryKey(nowMs + 1, NOTHING);
    // A clock that was set back may have the upper bound before the place where the last sweep has stopped.
    const from = this.sweepFrom;
    const lower = from !== undefined && compareBytes(from, upper) < 0 ? from : expiryKey(0, NOTHING);
    return firstKeys(this.store, { lower, upper }, SWEEP_BATCH_ROWS);
  }

  /** Adds the end of the row of one index entry; false when the row no longer has that deadline. */
  private putExpired(batch: Batch, entry: Uint8Array, nowMs: number, stamp: number): boolean {
    const physical = entry.subarray(10);
    const found = new Found();
    const outcome = this.store.get(physical, physical.length, found);
    if (outcome === lookup.MISS) return false;
    batch.delete(entry);
    if (outcome === lookup.ABSENT) return false;
    const head = this.head;
    readHead(head, found.bytes, found.start, found.end);
    const database = databaseOfHead(physical);
    const flushed = this.isFlushed(database, slotOfHead(physical), head.stamp, head.actor);
    const counted = head.type !== rowType.DELETED && !flushed;
    const deadline = deadlineOfExpiryKey(entry);
    if (!counted || head.expiresAtMs !== deadline || deadline > nowMs) return false;
    if ((head.flags & headFlag.APART) !== 0) {
      const element = new Uint8Array(physical.length + 1);
      element.set(physical);
      element[physical.length] = STRING_ELEMENT;
      batch.delete(element);
    }
    if ((head.flags & headFlag.CELLS) !== 0) putGarbage(batch, head, physical, physical.length);
    // Expiry is no change of the user's: the modification version stays, as WATCH in Redis sees it.
    const dead = new Head();
    dead.type = rowType.DELETED;
    dead.flags = headFlag.DIED | headFlag.MODIFIED;
    dead.stamp = stamp;
    dead.actor = this.actor;
    dead.modifiedStamp = head.modifiedStamp;
    dead.modifiedActor = head.modifiedActor;
    putHead(batch, physical, physical.length, dead, NOTHING);
    return true;
  }

  private putRow(batch: Batch, row: Row, stamp: number, showsBytes: boolean): void {
    const before = row.before;
    const head = this.head;
    const { live } = row;
    if (!live && !row.counted) return;
    head.flags = 0;
    head.apartLength = 0;
    head.generation = 0;
    this.inlineLength = -1;
    const inline = live ? this.putValue(batch, row, stamp) : NOTHING;
    const { flags } = head;
    if ((before.flags & headFlag.APART) !== 0 && (flags & headFlag.APART) === 0) batch.delete(elementKey(row));
    if ((before.flags & headFlag.CELLS) !== 0 && head.generation !== before.generation) {
      putGarbage(batch, before, row.head, row.headLength);
    }
    if (live && row.isWrittenAhead) batch.delete(garbageKey(head.generation, row.head, row.headLength));
    if (live && row.expiresAtMs !== 0) head.flags |= headFlag.EXPIRES;
    if (live && !row.counted) head.flags |= headFlag.BORN;
    if (!live && row.counted) head.flags |= headFlag.DIED;
    head.type = row.type;
    head.stamp = stamp;
    head.actor = this.actor;
    head.expiresAtMs = row.expiresAtMs;
    putHead(batch, row.head, row.headLength, head, inline, this.inlineLength < 0 ? inline.length : this.inlineLength);
    // Each record that counts a row has to be met by who replays it. Of a head before cells nobody shows bytes.
    const isCounted = ((head.flags | before.flags) & (headFlag.BORN | headFlag.DIED)) !== 0;
    const isInCells = (head.flags & before.flags & headFlag.CELLS) !== 0;
    if (!isCounted && (isInCells || !showsBytes)) batch.replaceLast();
    this.indexExpiry(batch, row);
    indexFields(batch, row);
  }

  /** Adds what stands apart from the head of a live row, and tells the head's flags; returns what stands in it. */
  private putValue(batch: Batch, row: Row, stamp: number): Uint8Array {
    const { head } = this;
    const { before, value, elements } = row;
    if (elements !== undefined && row.replaced) return this.putElements(batch, row, elements, stamp);
    if (value === undefined) {
      head.flags = before.flags & VALUE_FLAGS;
      head.apartLength = before.apartLength;
      head.generation = before.generation;
      return (before.flags & headFlag.APART) === 0
        ? (before.bytes as Uint8Array).subarray(before.valueStart, before.valueEnd)
        : NOTHING;
    }
    if (!standsApart(value.length)) return value;
    head.flags = headFlag.APART;
    head.apartLength = value.length;
    putElement(batch, elementKey(row), stamp, this.actor, value);
    return NOTHING;
  }

  /** Adds the elements that have changed; all of them when the collection leaves its head. */
  private putElements(batch: Batch, row: Row, elements: Elements, stamp: number): Uint8Array {
    const { head } = this;
    const { base, count, meta } = elements;
    let { staged }: { staged: readonly ChangedElement[] } = elements;
    let generation = stamp;
    if (base instanceof CellElements) generation = base.generation;
    else {
      if (elements.staged.length <= MAX_INLINE_BYTES) {
        this.inlineLength = elements.writePacked(this.inline);
        if (this.inlineLength <= MAX_INLINE_BYTES) return this.inline;
      }
      staged = elements.whole();
    }
    head.flags = headFlag.CELLS;
    head.generation = generation;
    const writer = { head: row.head, headLength: row.headLength, generation, stamp, actor: this.actor };
    if (base instanceof CellElements) {
      for (const { tag, lower, upper } of elements.dropped) {
        const cell = (key: Uint8Array): Uint8Array => cellKey(row.head, row.headLength, generation, tag, key);
        batch.deleteRange(cell(lower), cell(upper));
      }
    }
    for (const { tag, key, value, stored } of staged) {
      if (value !== undefined) putCell(batch, writer, tag, key, value);
      else if (stored !== false) batch.delete(cellKey(row.head, row.headLength, generation, tag, key));
    }
    // With elements in cells meta bytes have no limit but the batch's.
    if (collectionHeadLength(count, meta) > this.inline.length) {
      this.inlineLength = -1;
      return packCollection(count, meta, []);
    }
    this.inlineLength = writeCollectionHead(this.inline, count, meta);
    return this.inline;
  }

  private indexExpiry(batch: Batch, row: Row): void {
    const old = row.counted ? row.before.expiresAtMs : 0;
    const deadline = row.live ? row.expiresAtMs : 0;
    if (old === deadline) return;
    if (old !== 0) batch.delete(expiryKey(old, row.head, row.headLength));
    if (deadline !== 0) batch.put(expiryKey(deadline, row.head, row.headLength), NOTHING);
  }

  private count(row: Row): void {
    if (!row.dirty) return;
    this.changes++;
    if ((row.before.flags & headFlag.CELLS) !== 0 && row.replaced) this.remember(row);
    if (row.live !== row.counted) {
      this.state.counts.add(databaseOfHead(row.head), slotOfHead(row.head), row.live ? 1 : -1);
    }
    if (row.expired) this.expiredRows++;
  }

  /** Tells the memory of cells what became of a row that was in cells. */
  private remember({ head, headLength, before, elements }: Row): void {
    const { generation } = before;
    if (elements?.base instanceof CellElements && elements.base.generation === generation) {
      this.cells.committed(head, headLength, generation, elements);
    } else this.cells.forget(head, headLength, generation);
  }

  /** Adds the marks that end every row of these databases; returns their stamp. */
  private putFlush(batch: Batch, databases: ReadonlySet<number>): number {
    const stamp = this.hlc.next();
    const { counts, flushMarks } = this.state;
    const marks = new Uint8Array(256 * 8);
    let left = 0;
    for (let database = 0; database < 256; database++) {
      const flushed = databases.has(database);
      if (!flushed) left += counts.total(database);
      writeStamp(marks, database * 8, flushed ? stamp : (flushMarks[database] as number));
    }
    // With nothing left anywhere, the space comes back at once; else compaction drops the rows under the mark. A long change
    // in another database may be making its first row: no count has its cells yet.
    if (left === 0 && this.held.size === 0) batch.deleteRange(Uint8Array.of(0, 0), localKey(''));
    batch.put(FLUSH_KEY, marks);
    return stamp;
  }

  private flushed(databases: ReadonlySet<number>, stamp: number): void {
    for (const database of databases) {
      this.changes += this.state.counts.total(database);
      this.state.counts.clear(database);
      this.state.flushMarks[database] = stamp;
    }
  }
}

/** Adds a head, with its inline value inline[0, inlineLength), to a batch. */
export function putHead(
  batch: Batch,
  key: Uint8Array,
  keyLength: number,
  head: Head,
  inline: Uint8Array,
  inlineLength: number = inline.length,
): void {
  const offset = batch.reservePut(keyLength, headLength(head.flags, inlineLength));
  const bytes = batch.bytes;
  for (let i = 0; i < keyLength; i++) bytes[offset + i] = key[i] as number;
  const at = writeHead(bytes, offset + keyLength, head);
  if (inlineLength <= LOOP_COPY_BYTES) for (let i = 0; i < inlineLength; i++) bytes[at + i] = inline[i] as number;
  else bytes.set(inlineLength === inline.length ? inline : inline.subarray(0, inlineLength), at);
}

/** Adds an element. Its value is its version (u64 stamp, u32 actor, big-endian), then its bytes. */
export function putElement(batch: Batch, key: Uint8Array, stamp: number, actor: number, value: Uint8Array): void {
  const offset = batch.reservePut(key.length, ELEMENT_HEADER + value.length);
  const bytes = batch.bytes;
  bytes.set(key, offset);
  const at = offset + key.length;
  writeStamp(bytes, at, stamp);
  writeU32(bytes, at + 8, actor);
  bytes.set(value, at + ELEMENT_HEADER);
}

/** Whether the newest record of `key` is in a table, as far as can be told without the disk. */
function isInTable(store: Store, key: Uint8Array): boolean {
  const found = new Found();
  try {
    const outcome = store.get(key, key.length, found);
    // What is missed is in a table; what is found in one has no sequence.
    return outcome === lookup.MISS || (outcome === lookup.FOUND && found.sequence === 0);
  } catch (error) {
    if (error instanceof EngineError) return false;
    throw error;
  }
}

/** The least key above this one. */
function nextKey(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** The value of `key`, from disk if need be, in memory of its own. */
async function readNow(store: Store, key: Uint8Array): Promise<Uint8Array | undefined> {
  const found = new Found();
  for (;;) {
    const outcome = store.get(key, key.length, found);
    if (outcome === lookup.FOUND) return found.bytes.slice(found.start, found.end);
    if (outcome === lookup.ABSENT) return undefined;
    await store.fetch(key);
  }
}
