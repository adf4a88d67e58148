/**
 * The rows of an owner as registers: which version and state the engine holds for a row, and how a new version and state
 * are written. What is written are the same cells that a single node writes (head, element of a long string, expiry
 * index, what was born or died), so that scans, counts, replay and compaction see no difference; and what a single node
 * wrote reads as a state whose version is that write's.
 *
 * ```
 * held          the version of the record; of a row under its slot's flush mark the mark, and a deleted state
 * floor         what a new ballot must be above: `held`, and the mark of a flush from before the node was in a cluster
 * large         a collection whose elements take more than MAX_INLINE_BYTES has them in cells of a generation of its own (element-cells.ts);
 *               behind what stands in front of cells the head has u64 BE the bytes that they take when packed
 * no state      head of type 0 whose modification version is zero: the row was settled, but never written
 * ```
 *
 * What `apply` has written is remembered beside the row's promise, so that the next ACCEPT or digest need not ask the
 * engine. A row with the same print (row-records.ts) may be taken for it. That does no harm: a version is of one row only,
 * so whoever compares it sees that it is not what he has; the promise that both share is at least what either holds, so
 * nothing older is ever accepted; and a state is only told as the engine has it.
 *
 * Invariants: one row at a time: `lookUp`, then `readState` and `apply` in the same turn. The counts in memory change
 * after the write, since `write` may freeze the memtable, whose last record they are. Nothing that is remembered is used
 * after anything was written to the store but by `apply`.
 */

import { EngineError } from '../engine/engine-error.ts';
import { Found, lookup, type Batch, type Lookup, type Store } from '../engine/store.ts';
import { garbageKey } from './cell-garbage.ts';
import type { CellMemory, Changes } from './cell-memory.ts';
import { CellElements, cellKey, putCell } from './element-cells.ts';
import { packCollection, PackedElements, readCollectionHead } from './element-pack.ts';
import { Elements } from './elements.ts';
import { earliestDeadline } from './field-deadlines.ts';
import { fieldsRecord } from './field-sweep.ts';
import { ELEMENT_HEADER, Head, headFlag, MAX_INLINE_BYTES, readHead, rowType, type RowType } from './head.ts';
import { putElement, putHead, type KeyspaceState } from './keyspace.ts';
import { Miss } from './miss.ts';
import type { RowName } from './owner-message.ts';
import { HELD_FIELD } from './promise-table.ts';
import { readDelta } from './row-delta.ts';
import { expiryKey, readStamp, STRING_ELEMENT, SYSTEM_DATABASE, writeStamp } from './row-key.ts';
import type { RowRecords } from './row-records.ts';
import { deletedRowState, newRowState, type RowState } from './row-state.ts';
import { packWhole } from './row-whole.ts';
import { ceilingVersion, compareVersions, maxVersion, ZERO_VERSION, type Version } from './version.ts';
import { Row, standsApart } from './view.ts';

const FIRST_KEY_BYTES = 256;

/** Names up to this length are written byte by byte, which is quicker than a call into native code. */
const SHORT_NAME = 64;

const NOTHING = new Uint8Array(0);

/** Of the size that stands in the head of a collection in cells. */
const SIZE_BYTES = 8;

/** What is remembered of a row's record. `TYPE`: its type, counted from 1; 0: nothing is remembered. */
const heldField = { STAMP: HELD_FIELD, ACTOR: HELD_FIELD + 1, SEQUENCE: HELD_FIELD + 2, TYPE: HELD_FIELD + 3 } as const;

/** A record with any of these must be looked at when it is overwritten. */
const LOOKED_AT = headFlag.EXPIRES | headFlag.APART | headFlag.CELLS | headFlag.LOCKED;

export class OwnerRows {
  private readonly store: Store;
  private readonly state: KeyspaceState;
  private readonly records: RowRecords;
  private readonly newGeneration: () => number;
  private readonly memory: CellMemory | undefined;
  private readonly batch: Batch;
  private readonly found = new Found();
  private readonly elementFound = new Found();
  private readonly before = new Head();
  private readonly after = new Head();
  private key = new Uint8Array(FIRST_KEY_BYTES);
  private keyLength = 0;
  /** There is a record, under a mark or not. */
  private hasRecord = false;
  /** The record counts: it is there and under no mark. */
  private exists = false;
  /** Counted among the live rows. */
  private counted = false;
  /** The row stands under its slot's flush mark. */
  private flushed = false;

  /** What `readState` has missed of the row's cells. */
  private missedCells: Miss | undefined = undefined;

  /** The row that was looked up last, and the number of the store's writes then. */
  private lookedUp: RowName = '';
  private lookedUpAt = 0;
  private slotMark: Version | undefined = undefined;
  /** What was looked up last was remembered: of `before` only type and version are known. */
  private isRemembered = false;
  /** The number of the store's writes when nothing but `apply` had written since `foreignAt`. */
  private seenAt = 0;
  /** What was written up to here may have been overwritten by others. */
  private foreignAt = 0;

  /** Of the row that was looked up last. */
  held: Version = ZERO_VERSION;
  floor: Version = ZERO_VERSION;
  /** Sequence that must be durable before anybody may learn `held`; 0: it is. */
  sequence = 0;
  /** After `readState`. */
  stateRead: Uint8Array | undefined = undefined;

  /**
   * `records`: those of the promises. `newGeneration`: a number above all that this node has given; throws an `EngineError`
   * `refused` when there are none. `memory`: of cells, which follows what is written.
   */
  constructor(options: {
    store: Store;
    state: KeyspaceState;
    records: RowRecords;
    newGeneration: () => number;
    memory?: CellMemory | undefined;
  }) {
    this.newGeneration = () => options.newGeneration();
    this.memory = options.memory;
    this.store = options.store;
    this.state = options.state;
    this.records = options.records;
    this.batch = options.store.newBatch();
  }

  /**
   * The fields still say what is held of this row: it was looked up last, and nothing was written since. What a state
   * would be read from may be gone.
   */
  isLookedUp(row: RowName): boolean {
    if (row !== this.lookedUp || this.store.writeCount !== this.lookedUpAt) return false;
    // Marks that were written earlier may have been read in since.
    return this.state.slotMarks.of(this.slot, this.key[2] as number) === this.slotMark;
  }

  /** FOUND or ABSENT: the fields say what is held. MISS: await `fetch`, and look it up again. Throws `EngineError`. */
  lookUp(row: RowName): Lookup {
    this.writeKey(row);
    if (this.recall(row)) {
      this.judge(row);
      return lookup.FOUND;
    }
    return this.lookUpStore(row);
  }

  /** As `lookUp`, for a row whose state will be read: the engine is asked, whatever is remembered. */
  lookUpWhole(row: RowName): Lookup {
    this.writeKey(row);
    return this.lookUpStore(row);
  }

  private lookUpStore(row: RowName): Lookup {
    const { found, before } = this;
    this.lookedUp = '';
    this.isRemembered = false;
    found.sequence = 0;
    const outcome = this.store.get(this.key, this.keyLength, found);
    if (outcome === lookup.MISS) return outcome;
    this.sequence = found.sequence;
    this.hasRecord = outcome === lookup.FOUND;
    if (this.hasRecord) readHead(before, found.bytes, found.start, found.end);
    this.judge(row);
    return outcome;
  }

  /** Whether what was written for the row is remembered; then `before` has its type and version. */
  private recall(row: RowName): boolean {
    this.noteForeign();
    const { before, records } = this;
    const at = records.find(row);
    if (at < 0) return false;
    const { numbers } = records;
    const type = numbers[at + heldField.TYPE] as number;
    const sequence = numbers[at + heldField.SEQUENCE] as number;
    if (type === 0 || sequence <= this.foreignAt) return false;
    this.isRemembered = true;
    this.sequence = sequence;
    this.hasRecord = true;
    before.type = (type - 1) as RowType;
    before.flags = 0;
    before.expiresAtMs = 0;
    before.stamp = numbers[at + heldField.STAMP] as number;
    before.actor = numbers[at + heldField.ACTOR] as number;
    return true;
  }

  /** Somebody else has written to the store: what is remembered may be overwritten. */
  private noteForeign(): void {
    const { writeCount } = this.store;
    if (writeCount === this.seenAt) return;
    this.seenAt = writeCount;
    this.foreignAt = this.store.lastSequence;
  }

  private remember(row: RowName, { type, flags, stamp, actor }: Head, sequence: number): void {
    this.seenAt = this.store.writeCount;
    const { records } = this;
    const at = records.find(row);
    if (at < 0) return;
    const { numbers } = records;
    numbers[at + heldField.STAMP] = stamp;
    numbers[at + heldField.ACTOR] = actor;
    numbers[at + heldField.SEQUENCE] = sequence;
    numbers[at + heldField.TYPE] = (flags & LOOKED_AT) === 0 ? type + 1 : 0;
  }

  /** Sets the fields by the record that was found, and the marks. */
  private judge(row: RowName): void {
    const { before } = this;
    this.exists = this.hasRecord;
    this.flushed = false;
    let held = ZERO_VERSION;
    const database = this.key[2] as number;
    const flushMark = this.state.flushMarks[database] as number;
    if (this.exists) {
      if (before.stamp <= flushMark) this.exists = false;
      else held = { stamp: before.stamp, actor: before.actor };
    }
    const slotMark = this.state.slotMarks.of(this.slot, database);
    if (slotMark !== undefined && compareVersions(held, slotMark) < 0) {
      this.exists = false;
      this.flushed = true;
      held = slotMark;
    }
    this.counted = this.exists && before.type !== rowType.DELETED;
    this.held = held;
    this.floor = flushMark === 0 || held.stamp > flushMark ? held : maxVersion(held, ceilingVersion(flushMark));
    this.lookedUp = row;
    this.lookedUpAt = this.store.writeCount;
    this.slotMark = slotMark;
  }

  /** Brings in what a `lookUp` or `readState` of this row has missed. */
  fetch(row: RowName): Promise<void> {
    this.writeKey(row);
    this.lookedUp = '';
    const head = this.key.slice(0, this.keyLength);
    const outcome = this.store.get(head, head.length, this.found);
    if (outcome === lookup.MISS) return this.store.fetch(head);
    const { missedCells } = this;
    this.missedCells = undefined;
    return missedCells === undefined ? this.store.fetch(this.elementKey()) : missedCells.load();
  }

  /**
   * The elements of a collection that stands in cells, as a single node wrote it, in one piece; undefined: `fetch` them.
   * Once written as a register it stays in one piece.
   */
  private packCells(): Uint8Array | undefined {
    const { before, key, keyLength } = this;
    const { count, meta } = readCollectionHead(
      (before.bytes as Uint8Array).subarray(before.valueStart, before.valueEnd),
    );
    const cells = new CellElements(this.store, key, keyLength, before.generation, (sequence) => {
      if (sequence > this.sequence) this.sequence = sequence;
    });
    try {
      return packWhole(count, meta, [...cells.all()]);
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      // One that nobody has fetched ends its walk.
      this.missedCells?.load().catch(() => undefined);
      this.missedCells = thrown;
      return undefined;
    }
  }

  /**
   * As `readState`; but a collection in cells is told against itself, without its elements: for who reads them from this
   * store (row-delta.ts).
   */
  readHere(): boolean {
    this.stateRead = undefined;
    if (this.isRemembered && this.lookUpStore(this.lookedUp) === lookup.MISS) return false;
    const { before } = this;
    if (!this.exists || (before.flags & headFlag.CELLS) === 0) return this.readState();
    const value = (before.bytes as Uint8Array).subarray(before.valueStart, before.valueEnd);
    const { end } = readCollectionHead(value);
    // What a single node has put into cells has no size: its first change here writes it whole.
    if (value.length - end !== SIZE_BYTES) return this.readState();
    const size = readStamp(value, end);
    const { type, expiresAtMs, lock, generation } = before;
    const modified = { stamp: before.modifiedStamp, actor: before.modifiedActor };
    const cells = { base: this.held, generation, sizeBefore: size, size };
    const state = newRowState({ type, expiresAtMs, modified, lock, cells }, end);
    state.set(value.subarray(0, end), state.length - end);
    this.stateRead = state;
    return true;
  }

  /** Whether a part of the row that was looked up last stands apart from its head. */
  get standsApart(): boolean {
    // Of what is remembered nothing does (LOOKED_AT).
    return this.exists && (this.before.flags & (headFlag.CELLS | headFlag.APART)) !== 0;
  }

  /** Whether the row that was looked up last is a collection of which a state against it can be made. */
  takesDelta(): boolean {
    const { before } = this;
    if (this.exists && !this.isRemembered && (before.flags & headFlag.CELLS) !== 0) return true;
    // Its elements stand in the head, whose bytes may be gone.
    if (this.lookUpStore(this.lookedUp) === lookup.MISS) return false;
    return this.exists && before.type > rowType.STRING && (before.flags & headFlag.APART) === 0;
  }

  /** Puts the state of the row that was looked up last, in memory of its own, into `stateRead`. False: `fetch` it. */
  readState(): boolean {
    this.stateRead = undefined;
    if (this.isRemembered && this.lookUpStore(this.lookedUp) === lookup.MISS) return false;
    if (this.flushed) this.stateRead = deletedRowState(this.held);
    if (!this.exists) return true;
    const { before, elementFound } = this;
    const { type, expiresAtMs } = before;
    const modified = { stamp: before.modifiedStamp, actor: before.modifiedActor };
    if (type === rowType.DELETED) {
      if (modified.stamp !== 0 || before.lock !== undefined) this.stateRead = deletedRowState(modified, before.lock);
      return true;
    }
    let bytes = before.bytes as Uint8Array;
    let start = before.valueStart;
    let end = before.valueEnd;
    if ((before.flags & headFlag.CELLS) !== 0) {
      const packed = this.packCells();
      if (packed === undefined) return false;
      bytes = packed;
      start = 0;
      end = packed.length;
    }
    if ((before.flags & headFlag.APART) !== 0) {
      const element = this.elementKey();
      const outcome = this.store.get(element, element.length, elementFound);
      if (outcome === lookup.MISS) return false;
      if (outcome === lookup.ABSENT)
        throw new EngineError('corruption', 'a value that stands apart from its head is missing');
      if (elementFound.sequence > this.sequence) this.sequence = elementFound.sequence;
      bytes = elementFound.bytes;
      start = elementFound.start + ELEMENT_HEADER;
      end = elementFound.end;
    }
    const siblings = (before.flags & headFlag.SIBLINGS) !== 0;
    const state = newRowState({ type, expiresAtMs, modified, siblings, lock: before.lock }, end - start);
    state.set(bytes.subarray(start, end), state.length - (end - start));
    this.stateRead = state;
    return true;
  }

  /**
   * Writes this state under this version for the row that was looked up last, in this turn. Returns the sequence to
   * await. `along`: another record for the same batch. Throws `EngineError` when the engine refuses the write; then
   * nothing has changed.
   */
  apply(version: Version, state: RowState | undefined, along?: { key: Uint8Array; value: Uint8Array }): number {
    const { batch, after, before, key, keyLength } = this;
    batch.clear();
    const live = state !== undefined && state.type !== rowType.DELETED;
    const database = key[2] as number;
    const isCounted = database !== SYSTEM_DATABASE;
    const modified = state === undefined ? ZERO_VERSION : state.modified;
    const expiresAtMs = state === undefined ? 0 : state.expiresAtMs;
    let flags = 0;
    let inline: Uint8Array = NOTHING;
    if (expiresAtMs !== 0) flags |= headFlag.EXPIRES;
    if (state?.siblings === true) flags |= headFlag.SIBLINGS;
    after.lock = state?.lock;
    if (after.lock !== undefined) flags |= headFlag.LOCKED;
    if (modified.stamp !== version.stamp || modified.actor !== version.actor) flags |= headFlag.MODIFIED;
    if (isCounted && live !== this.counted) flags |= live ? headFlag.BORN : headFlag.DIED;
    let changes: Changes | undefined;
    if (live) {
      const { value } = state;
      if (state.cells !== undefined) {
        flags |= headFlag.CELLS;
        const delta = readDelta(value, readCollectionHead(value).end);
        changes = delta;
        inline =
          (before.flags & headFlag.CELLS) === 0
            ? this.putMerged(version, state, delta)
            : this.putChanges(version, state, delta);
      } else if (state.type !== rowType.STRING && value.length > MAX_INLINE_BYTES) {
        flags |= headFlag.CELLS;
        const { count, meta, end } = readCollectionHead(value);
        this.putCells(version, new PackedElements(value, end).all());
        inline = headOfCells(packCollection(count, meta, []), value.length - end);
      } else if (standsApart(value.length)) {
        flags |= headFlag.APART;
        after.apartLength = value.length;
        putElement(batch, this.elementKey(), version.stamp, version.actor, value);
      } else inline = value;
    }
    // The element of a record under a mark goes too: nothing names it any more.
    const apartBefore = this.hasRecord && (before.flags & headFlag.APART) !== 0;
    if (apartBefore && (flags & headFlag.APART) === 0) batch.delete(this.elementKey());
    const hadCells = this.hasRecord && (before.flags & headFlag.CELLS) !== 0;
    const { generation } = before;
    const staysInCells = hadCells && changes !== undefined;
    if (hadCells && !staysInCells) batch.put(garbageKey(generation, key, keyLength), NOTHING);
    after.type = state === undefined ? rowType.DELETED : state.type;
    after.flags = flags;
    after.stamp = version.stamp;
    after.actor = version.actor;
    after.expiresAtMs = expiresAtMs;
    after.modifiedStamp = modified.stamp;
    after.modifiedActor = modified.actor;
    putHead(batch, key, keyLength, after, inline);
    const indexed = this.hasRecord ? before.expiresAtMs : 0;
    if (indexed !== expiresAtMs) {
      if (indexed !== 0) batch.delete(expiryKey(indexed, key, keyLength));
      if (expiresAtMs !== 0) batch.put(expiryKey(expiresAtMs, key, keyLength), NOTHING);
    }
    // A record that was put for the state before is dropped when its time has come (cluster-field-expiry.ts).
    const fieldsMs = live && state.type === rowType.HASH ? earliestDeadline(readCollectionHead(state.value).meta) : 0;
    if (fieldsMs !== 0) batch.put(fieldsRecord(fieldsMs, key, keyLength), NOTHING);
    if (along !== undefined) batch.put(along.key, along.value);
    this.noteForeign();
    const sequence = this.store.write(batch);
    if (hadCells && changes !== undefined) this.memory?.committed(key, keyLength, generation, changes);
    else if (hadCells) this.memory?.forget(key, keyLength, generation);
    this.remember(this.lookedUp, after, sequence);
    if (isCounted && live !== this.counted) this.state.counts.add(database, this.slot, live ? 1 : -1);
    return sequence;
  }

  /** Adds elements as cells of a new generation. */
  private putCells(version: Version, elements: Iterable<{ tag: number; key: Uint8Array; value: Uint8Array }>): void {
    const generation = this.newGeneration();
    this.after.generation = generation;
    const { key: head, keyLength: headLength } = this;
    const writer = { head, headLength, generation, stamp: version.stamp, actor: version.actor };
    for (const { tag, key, value } of elements) putCell(this.batch, writer, tag, key, value);
  }

  /** Adds changes of a collection in cells; returns what its head has then. */
  private putChanges(version: Version, { value, cells }: RowState, { staged, dropped }: Changes): Uint8Array {
    const { batch, key: head, keyLength: headLength } = this;
    const { generation } = this.before;
    this.after.generation = generation;
    for (const { tag, lower, upper } of dropped) {
      batch.deleteRange(
        cellKey(head, headLength, generation, tag, lower),
        cellKey(head, headLength, generation, tag, upper),
      );
    }
    const writer = { head, headLength, generation, stamp: version.stamp, actor: version.actor };
    for (const change of staged) {
      if (change.value !== undefined) putCell(batch, writer, change.tag, change.key, change.value);
      else batch.delete(cellKey(head, headLength, generation, change.tag, change.key));
    }
    return headOfCells(value.subarray(0, readCollectionHead(value).end), cells?.size ?? 0);
  }

  /** The same where the collection stands in its head: it goes into cells. */
  private putMerged(version: Version, { value, cells }: RowState, changes: Changes): Uint8Array {
    const { before } = this;
    const packed = (before.bytes as Uint8Array).subarray(before.valueStart, before.valueEnd);
    const base = new PackedElements(packed, readCollectionHead(packed).end);
    const { count, meta, end } = readCollectionHead(value);
    this.putCells(version, new Elements(new Row(0), base, count, meta, changes).merged());
    return headOfCells(value.subarray(0, end), cells?.size ?? 0);
  }

  private get slot(): number {
    return ((this.key[0] as number) << 8) | (this.key[1] as number);
  }

  private elementKey(): Uint8Array {
    const element = new Uint8Array(this.keyLength + 1);
    element.set(this.key.subarray(0, this.keyLength));
    element[this.keyLength] = STRING_ELEMENT;
    return element;
  }

  private writeKey(row: RowName): void {
    const { length } = row;
    if (length > this.key.length) this.key = new Uint8Array(2 * length);
    const { key } = this;
    if (length <= SHORT_NAME) for (let i = 0; i < length; i++) key[i] = row.charCodeAt(i);
    else Buffer.from(key.buffer, key.byteOffset, length).write(row, 'latin1');
    this.keyLength = length;
  }
}

/** What stands in front of cells, and their size. */
function headOfCells(front: Uint8Array, size: number): Uint8Array {
  const bytes = new Uint8Array(front.length + SIZE_BYTES);
  bytes.set(front);
  writeStamp(bytes, front.length, size);
  return bytes;
}
