/**
 * A view: what one command (or one EXEC) sees of the rows, and what it wants to change.
 *
 * Handlers are synchronous. Reads go to the staged rows first, then to the store. A read that would need the disk
 * throws a `Miss`; the runtime fetches the block and runs the handler again from the start, which is safe because
 * nothing is written before `Keyspace.commit(view)`.
 *
 * Invariants: a row is looked up at most once in a view; a staged change is visible to every later read of the view;
 * `sequenceSeen` is at least the sequence of every record that was read.
 */

import { copyOf, EMPTY, latin1 } from '../bytes.ts';
import { EngineError } from '../engine/engine-error.ts';
import { Found, lookup, type Store } from '../engine/store.ts';
import type { CellsAhead } from './cells-ahead.ts';
import { CellElements } from './element-cells.ts';
import { PackedElements, readCollectionHead } from './element-pack.ts';
import { Elements } from './elements.ts';
import type { Ranges } from './expected-rows.ts';
import { ELEMENT_HEADER, Head, headFlag, MAX_INLINE_BYTES, readHead, rowType, type RowType } from './head.ts';
import type { Keyspace } from './keyspace.ts';
import { CELLS_PER_SLICE, LONG_ELEMENTS, LongChange, type LongRun, type Made, type Slices } from './long-change.ts';
import { Miss } from './miss.ts';
import { readDelta } from './row-delta.ts';
import { databaseOfHead, maxHeadLength, slotOfHead, STRING_ELEMENT, writeHeadKeyOf } from './row-key.ts';
import { RowScan, type ScanOptions } from './row-scan.ts';
import { decodeSiblings, visibleSibling } from './sibling-codec.ts';
import { EMPTY_ROW, type Sibling, type SiblingRow } from './siblings.ts';

/** Where a view finds rows, if not in the store. */
export interface RowSource {
  /** Fills `before` with the row head[0, headLength); leaves it alone when there is none. Throws `Miss`. */
  fill(head: Uint8Array, headLength: number, before: Head): void;
}

/** Thrown where a handler over rows that were given to it asks for a whole database. */
export class WholeDatabase extends Error {
  override readonly name = 'WholeDatabase';
}

/** What WATCH remembers of a row: whether it was live, and its modification version. */
export interface RowMark {
  readonly live: boolean;
  readonly stamp: number;
  readonly actor: number;
}

/** Whether a row that had the mark `then` has changed since. */
export function isRowChanged(then: RowMark, now: RowMark): boolean {
  if (now.live !== then.live) return true;
  // A tombstone may have been purged since: a row that was absent and is unknown now has not changed.
  if (!now.live && now.stamp === 0) return false;
  return now.stamp !== then.stamp || now.actor !== then.actor;
}

/** One row as a view sees it. `type`, `expiresAtMs` and the value are what they are after the staged changes. */
export class Row {
  /** Physical key of the head: head[0, headLength). */
  readonly head: Uint8Array;
  headLength = 0;
  /** The head as the store has it; type DELETED when it has none. */
  readonly before: Head = new Head();
  /** Counted among the live rows before this view: there, not deleted and not flushed, though perhaps expired. */
  counted = false;
  /** There for the reader: not deleted, not expired, not flushed. */
  live = false;
  /** It was live, but its deadline has passed. */
  expired = false;
  /** What the store has of it was flushed: for a reader it was never there. */
  flushed = false;
  type: RowType = rowType.DELETED;
  expiresAtMs = 0;
  /** The string that this view gave the row; undefined: as before. */
  value: Uint8Array | undefined = undefined;
  /** The elements of a collection, once this view has looked at them. */
  elements: Elements | undefined = undefined;
  /** The concurrent values that this view gave the row, `value` among them. */
  siblings: SiblingRow | undefined = undefined;
  dirty = false;
  /** The value (or the existence) changed, not only the deadline. */
  replaced = false;
  /** Its elements are in the store already (cells-ahead.ts), and no head names them. */
  isWrittenAhead = false;

  constructor(capacity: number) {
    this.head = new Uint8Array(capacity);
  }

  /** As new, but for the key. */
  reset(): void {
    this.before.reset();
    this.counted = false;
    this.live = false;
    this.expired = false;
    this.flushed = false;
    this.type = rowType.DELETED;
    this.expiresAtMs = 0;
    this.value = undefined;
    this.elements = undefined;
    this.siblings = undefined;
    this.dirty = false;
    this.replaced = false;
    this.isWrittenAhead = false;
  }

  get mark(): RowMark {
    if (this.flushed) return NEVER_THERE;
    return { live: this.live, stamp: this.before.modifiedStamp, actor: this.before.modifiedActor };
  }
}

const NEVER_THERE: RowMark = { live: false, stamp: 0, actor: 0 };

/** Of a head whose long value is not there, or another one: `kvorum repair` has lost it. */
const LOST_VALUE = 'the value of this key was lost with a damaged table; set or delete the key';

/**
 * Rows beyond this are found by a map instead of a walk. Keys mostly differ in their slot, the first two bytes, so a
 * walk over a hundred rows costs less than making the text that a map looks up.
 */
const LINEAR_ROWS = 128;

/**
 * Rows that a view keeps for its next command, and bytes of their keys, so that a small command makes no objects.
 * Nobody may hold a row beyond the command that asked for it.
 */
const POOLED_ROWS = 16;
const POOLED_HEAD_BYTES = 256;

export class View {
  readonly keyspace: Keyspace;
  private readonly store: Store;
  private readonly source: RowSource | undefined;
  private readonly found = new Found();
  /** Logical database of the client. */
  database = 0;
  /** Wall clock of the command, in ms: one moment for all its keys. */
  nowMs = 0;
  /** Highest sequence of a record that was read or written; the reply waits for it. */
  sequenceSeen = 0;
  /** Somebody may go on reading bytes of the rows' values, as they were found, when it has been committed. */
  showsBytes = true;
  /** The rows that it has looked up: rows[0, rowCount). What stands behind them is of commands before. */
  readonly rows: Row[] = [];
  rowCount = 0;
  private readonly pool: Row[] = [];
  /** Rows of the pool that are in use: pool[0, taken). */
  private taken = 0;
  private byHead: Map<string, Row> | undefined = undefined;
  /** Physical databases that this view flushes. */
  readonly flushes = new Set<number>();
  /** The map of databases after this view's SWAPDBs; undefined: as before. */
  databases: Uint8Array | undefined = undefined;
  /** Rows that a long change holds are missed until it is over; who only reads need not wait. */
  waitsForHeld = true;
  /** A handler may throw `LongChange`. */
  mayTakeTurns = false;
  /** The long change of this view's command, when that has run. */
  long: LongRun | undefined = undefined;

  /** With a `source` its rows come from there, and only walks and counts look at the store. */
  constructor(keyspace: Keyspace, store: Store, source?: RowSource) {
    this.keyspace = keyspace;
    this.store = store;
    this.source = source;
  }

  private readonly saw = (sequence: number): void => {
    if (sequence > this.sequenceSeen) this.sequenceSeen = sequence;
  };

  /** Forgets everything staged and starts over for a command at `nowMs` in `database`. */
  begin(database: number, nowMs: number): void {
    this.database = database;
    this.nowMs = nowMs;
    this.sequenceSeen = 0;
    this.showsBytes = true;
    // Emptying the array instead would give its memory away, for each command anew.
    this.rowCount = 0;
    if (this.rows.length > POOLED_ROWS) this.rows.length = 0;
    for (let i = 0; i < this.taken; i++) (this.pool[i] as Row).reset();
    this.taken = 0;
    this.byHead = undefined;
    if (this.flushes.size > 0) this.flushes.clear();
    this.databases = undefined;
  }

  /** Physical database of a logical one, as this view sees it. */
  physicalDatabase(logical: number): number {
    return this.databases === undefined ? this.keyspace.physicalDatabase(logical) : (this.databases[logical] as number);
  }

  /** Its rows were given to it: others are missed. */
  get isGiven(): boolean {
    return this.source !== undefined;
  }

  /** The row of `key`, live or not, in the client's database or in `database`. Throws `Miss`. */
  row(key: Uint8Array, database = this.database): Row {
    return this.rowIn(key, 0, key.length, database);
  }

  /** The row of the key bytes[start, end). Throws `Miss`. */
  rowIn(bytes: Uint8Array, start: number, end: number, database = this.database): Row {
    const row = this.blank(end - start);
    row.headLength = writeHeadKeyOf(row.head, 0, this.physicalDatabase(database), bytes, start, end);
    const known = this.known(row);
    if (known !== undefined) return known;
    this.lookUp(row);
    this.add(row);
    this.byHead?.set(headText(row), row);
    if (row === this.pool[this.taken]) this.taken++;
    return row;
  }

  /** The rows of these keys, each `step`th from `first` on, will be looked up next. */
  expect(keys: Ranges, first: number, step: number): void {
    if (this.source !== undefined) return;
    this.keyspace.expected.expect(this.physicalDatabase(this.database), keys, first, step);
  }

  /** Length of a string row in bytes. Requires: row.live, type STRING. */
  stringLength(row: Row): number {
    if (row.value !== undefined) return row.value.length;
    const before = row.before;
    if ((before.flags & headFlag.SIBLINGS) !== 0) return this.string(row).length;
    return (before.flags & headFlag.APART) !== 0 ? before.apartLength : before.valueEnd - before.valueStart;
  }

  /** Bytes of a string row, valid until the turn ends. Requires: row.live, type STRING. Throws `Miss`. */
  string(row: Row): Uint8Array {
    if (row.value !== undefined) return row.value;
    const bytes = this.stored(row);
    return (row.before.flags & headFlag.SIBLINGS) === 0 ? bytes : visibleSibling(bytes);
  }

  /** The concurrent values of a string row; of one without siblings its value. Throws `Miss`. */
  siblings(row: Row): SiblingRow {
    if (row.siblings !== undefined) return row.siblings;
    if (!row.live) return EMPTY_ROW;
    const { before } = row;
    if ((before.flags & headFlag.SIBLINGS) !== 0) return decodeSiblings(this.stored(row));
    const dot = { stamp: before.modifiedStamp, actor: before.modifiedActor };
    return { vector: [dot], values: [{ dot, value: this.string(row), expiresAtMs: 0 }] };
  }

  /** Gives a row concurrent values, at least one; its deadline stays. */
  setSiblings(row: Row, siblings: SiblingRow): void {
    this.setString(row, (siblings.values.at(-1) as Sibling).value, row.expiresAtMs);
    row.siblings = siblings;
  }

  /** The elements of a collection. Requires: row.live, not a string. Throws `Miss`. */
  elements(row: Row): Elements {
    if (row.elements !== undefined) return row.elements;
    const { before } = row;
    const { flags, generation } = before;
    const stands = flags & (headFlag.CELLS | headFlag.APART);
    if (this.source === undefined && stands === headFlag.CELLS) return this.elementsInCells(row);
    const value = this.stored(row);
    const { count, meta, end } = readCollectionHead(value);
    const base =
      (flags & headFlag.CELLS) === 0
        ? new PackedElements(value, end)
        : new CellElements(this.store, row.head, row.headLength, generation, this.saw, this.keyspace.cells);
    // Of a row that was given, what commands before have changed and is not written yet.
    const isDelta = this.source !== undefined && base instanceof CellElements;
    row.elements = new Elements(row, base, count, meta, isDelta ? readDelta(value, end) : undefined);
    return row.elements;
  }

  /** As `elements`, without a view of all that stands in the head. */
  private elementsInCells(row: Row): Elements {
    const { head, headLength, before } = row;
    const { count, meta } = readCollectionHead(before.bytes as Uint8Array, before.valueStart, before.valueEnd);
    const base = new CellElements(this.store, head, headLength, before.generation, this.saw, this.keyspace.cells);
    return (row.elements = new Elements(row, base, count, meta));
  }

  /**
   * As `elements`, for walks that take more than a turn; nothing may be changed in them. Where something has been, by the
   * same EXEC or script, all is over within the turn. Throws `Miss`.
   */
  lastingElements(row: Row): Elements {
    const elements = this.elements(row);
    const { base, count, meta, staged, dropped } = elements;
    if (row.dirty || staged.length > 0 || dropped.length > 0) return elements;
    return new Elements(row, base instanceof PackedElements ? base.copy() : base, count, copyOf(meta));
  }

  /** Makes the row an empty collection without a deadline, whatever it was. */
  create(row: Row, type: RowType): Elements {
    this.setString(row, EMPTY, 0);
    row.type = type;
    row.value = undefined;
    row.elements = new Elements(row, PackedElements.NONE, 0, EMPTY);
    return row.elements;
  }

  /** The value as it is stored. Requires: row.live. Throws `Miss`. */
  stored(row: Row): Uint8Array {
    const before = row.before;
    if ((before.flags & headFlag.APART) === 0) {
      return (before.bytes as Uint8Array).subarray(before.valueStart, before.valueEnd);
    }
    const element = elementKey(row);
    const found = this.found;
    this.find(element, element.length);
    const length = found.end - found.start - ELEMENT_HEADER;
    if (length !== before.apartLength) throw new EngineError('corruption', LOST_VALUE);
    return found.bytes.subarray(found.start + ELEMENT_HEADER, found.end);
  }

  /** Makes the row a string with this value and deadline (0 = none), whatever it was. `value` is copied at commit. */
  setString(row: Row, value: Uint8Array, expiresAtMs: number): void {
    row.live = true;
    row.expired = false;
    row.type = rowType.STRING;
    row.value = value;
    row.elements = undefined;
    row.siblings = undefined;
    row.expiresAtMs = expiresAtMs;
    row.replaced = true;
    row.dirty = true;
    row.isWrittenAhead = false;
  }

  /** Gives a live row another deadline in ms since 1970; 0 = none. */
  setExpiry(row: Row, expiresAtMs: number): void {
    row.expiresAtMs = expiresAtMs;
    row.dirty = true;
  }

  /** Deletes the row; true when it was live. */
  remove(row: Row): boolean {
    if (!row.live) return false;
    row.live = false;
    row.type = rowType.DELETED;
    row.value = undefined;
    row.elements = undefined;
    row.expiresAtMs = 0;
    row.replaced = true;
    row.dirty = true;
    return true;
  }

  /** Makes `to` what `from` is, with its deadline. Requires: from.live. Throws `Miss`, `LongChange`. */
  copyRow(from: Row, to: Row): void {
    if (from.type === rowType.STRING) {
      this.setString(to, this.string(from), from.expiresAtMs);
      return;
    }
    const source = this.elements(from);
    const made = this.made(to);
    if (made !== undefined) {
      this.setWritten(to, from.type, made.cells, from.expiresAtMs);
      return;
    }
    const { base } = source;
    if (this.mayTakeTurns && source.count > LONG_ELEMENTS && base instanceof CellElements) {
      throw new LongChange(to, (cells) => copyCells(base, source.meta, cells));
    }
    const elements = source.merged();
    const target = this.create(to, from.type);
    target.meta = source.meta;
    for (const { tag, key, value } of elements) target.add(tag, key, value);
    to.expiresAtMs = from.expiresAtMs;
  }

  /** What the long change of this command has made for the row; undefined: nothing, or rows have changed since. */
  made(row: Row): Made | undefined {
    return this.long?.madeFor(this, row);
  }

  /** Makes the row the collection of these elements, whatever it was; of none it is removed. */
  setWritten(row: Row, type: RowType, cells: CellsAhead, expiresAtMs: number): void {
    if (cells.count === 0) {
      this.remove(row);
      return;
    }
    this.setString(row, EMPTY, expiresAtMs);
    row.type = type;
    row.value = undefined;
    row.isWrittenAhead = true;
    const base = new CellElements(
      this.store,
      row.head,
      row.headLength,
      cells.generation,
      this.saw,
      this.keyspace.cells,
    );
    row.elements = new Elements(row, base, cells.count, EMPTY);
    if (cells.meta.length > 0) row.elements.meta = cells.meta;
  }

  /** Forgets the rows that it has only looked at: for walks over many. */
  forgetUnchanged(): void {
    this.keepRows((row) => row.dirty);
  }

  /** Removes every row of a logical database when the view commits; later reads of the view see it empty. Throws `WholeDatabase`. */
  flush(database: number): void {
    if (this.source !== undefined) throw new WholeDatabase();
    const physical = this.physicalDatabase(database);
    this.flushes.add(physical);
    this.keepRows((row) => databaseOfHead(row.head) !== physical);
  }

  /** Exchanges two logical databases for every client when the view commits. */
  swapDatabases(a: number, b: number): void {
    if (this.source !== undefined) throw new WholeDatabase();
    const databases = this.databases ?? this.keyspace.copyDatabases();
    const first = databases[a] as number;
    databases[a] = databases[b] as number;
    databases[b] = first;
    this.databases = databases;
  }

  /** Number of live rows of a logical database, expired ones that nobody has met yet included. Throws `WholeDatabase`. */
  size(database = this.database): number {
    if (this.source !== undefined) throw new WholeDatabase();
    const physical = this.physicalDatabase(database);
    let size = this.flushes.has(physical) ? 0 : this.keyspace.size(physical);
    for (const row of this.staged()) {
      if (databaseOfHead(row.head) === physical) size += Number(row.live) - Number(row.counted);
    }
    return size;
  }

  /** A walk over the live rows of the client's database. Must be closed. Throws `WholeDatabase`. */
  scan(options: ScanOptions = {}): RowScan {
    if (this.source !== undefined) throw new WholeDatabase();
    return new RowScan(this, this.store, options);
  }

  /** The rows that it changes. */
  staged(): Row[] {
    return this.rows.filter((row, i) => i < this.rowCount && row.dirty);
  }

  private add(row: Row): void {
    if (this.rowCount < this.rows.length) this.rows[this.rowCount] = row;
    else this.rows.push(row);
    this.rowCount++;
  }

  private keepRows(stays: (row: Row) => boolean): void {
    const { rows, rowCount } = this;
    this.rowCount = 0;
    for (let i = 0; i < rowCount; i++) {
      const row = rows[i] as Row;
      if (stays(row)) rows[this.rowCount++] = row;
    }
    this.byHead = undefined;
  }

  /** A row with room for a key of `keyLength` bytes: the pool's next, or one of its own. */
  private blank(keyLength: number): Row {
    const capacity = maxHeadLength(keyLength);
    if (capacity > POOLED_HEAD_BYTES || this.taken >= POOLED_ROWS) return new Row(capacity);
    let row = this.pool[this.taken];
    if (row === undefined) this.pool.push((row = new Row(POOLED_HEAD_BYTES)));
    return row;
  }

  /** The row with the same key that this view has looked up before. */
  private known(row: Row): Row | undefined {
    const { rows, rowCount } = this;
    if (rowCount > LINEAR_ROWS) {
      this.byHead ??= new Map(rows.slice(0, rowCount).map((each) => [headText(each), each]));
      return this.byHead.get(headText(row));
    }
    for (let i = 0; i < rowCount; i++) {
      const each = rows[i] as Row;
      if (each.headLength === row.headLength && sameBytes(each.head, row.head, row.headLength)) return each;
    }
    return undefined;
  }

  private lookUp(row: Row): void {
    const { head, headLength } = row;
    if (this.source !== undefined) {
      this.source.fill(head, headLength, row.before);
      if (row.before.type !== rowType.DELETED) this.show(row);
      return;
    }
    if (this.waitsForHeld && this.keyspace.held.size > 0) this.missHeld(row);
    const found = this.found;
    const outcome = this.store.get(head, headLength, found);
    if (outcome === lookup.ABSENT) return;
    if (outcome === lookup.MISS) {
      const key = head.slice(0, headLength);
      throw new Miss(() => this.store.fetch(key));
    }
    if (found.sequence > this.sequenceSeen) this.sequenceSeen = found.sequence;
    readHead(row.before, found.bytes, found.start, found.end);
    this.judge(row);
  }

  private missHeld(row: Row): void {
    const run = this.keyspace.held.get(headText(row));
    const { long } = this;
    if (run === undefined || run === long) return;
    throw new Miss(() => {
      // After SWAPDB a long change that begins anew has other rows: it must not hold its own while it waits for them.
      long?.end();
      return run.over;
    });
  }

  private judge(row: Row): void {
    const before = row.before;
    const physical = databaseOfHead(row.head);
    row.flushed = this.keyspace.isFlushed(physical, slotOfHead(row.head), before.stamp, before.actor);
    if (before.type === rowType.DELETED || row.flushed) return;
    if (this.flushes.has(physical)) return;
    this.show(row);
  }

  /** The row is there, unless its deadline has passed. */
  private show(row: Row): void {
    const before = row.before;
    row.counted = true;
    row.expired = before.expiresAtMs !== 0 && before.expiresAtMs <= this.nowMs;
    if (row.expired) return;
    row.live = true;
    row.type = before.type;
    row.expiresAtMs = before.expiresAtMs;
  }

  private find(key: Uint8Array, length: number): void {
    const outcome = this.store.get(key, length, this.found);
    if (outcome === lookup.MISS) throw new Miss(() => this.store.fetch(key.slice(0, length)));
    if (outcome === lookup.ABSENT) throw new EngineError('corruption', LOST_VALUE);
    if (this.found.sequence > this.sequenceSeen) this.sequenceSeen = this.found.sequence;
  }
}

/** Copies every element. */
function* copyCells(base: CellElements, meta: Uint8Array, cells: CellsAhead): Slices<void> {
  cells.begin();
  cells.meta = copyOf(meta);
  const steps = base.everyStep();
  try {
    for (let made = 0; ;) {
      try {
        if (!steps.next()) return;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        yield thrown.load();
        continue;
      }
      cells.add(steps.tag, steps.key, steps.value);
      if (++made % CELLS_PER_SLICE === 0) yield undefined;
    }
  } finally {
    steps.close();
  }
}

/** Physical key of the element that holds a long string. */
export function elementKey(row: Row): Uint8Array {
  const key = new Uint8Array(row.headLength + 1);
  key.set(row.head.subarray(0, row.headLength));
  key[row.headLength] = STRING_ELEMENT;
  return key;
}

/** Whether a string of this length stands apart from its head. */
export function standsApart(length: number): boolean {
  return length > MAX_INLINE_BYTES;
}

function headText(row: Row): string {
  return latin1(row.head, 0, row.headLength);
}

function sameBytes(a: Uint8Array, b: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
}
