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

import { compareBytes, copyOf } from '../bytes.ts';
import { Found, lookup, type Cursor, type Store } from '../engine/store.ts';
import { ELEMENT_HEADER, Head, headFlag, MAX_INLINE_BYTES, readHead, rowType, type RowType } from './head.ts';
import {
  databaseOfHead,
  databaseStart,
  headEnd,
  keyOfHead,
  maxHeadLength,
  slotOfHead,
  STRING_ELEMENT,
  writeHeadKeyOf,
} from './row-key.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import type { Keyspace } from './keyspace.ts';

/** Thrown by a read that needs the disk: await `load()`, then run the handler again. */
export class Miss {
  readonly load: () => Promise<void>;
  constructor(load: () => Promise<void>) {
    this.load = load;
  }
}

/** What WATCH remembers of a row: whether it was live, and its modification version. */
export interface RowMark {
  readonly live: boolean;
  readonly stamp: number;
  readonly actor: number;
}

/** One row as a view sees it. `type`, `expiresAtMs` and the value are what they are after the staged changes. */
export class Row {
  /** Physical key of the head. */
  readonly head: Uint8Array;
  readonly headLength: number;
  /** The head as the store has it; type DELETED when it has none. */
  readonly before: Head = new Head();
  /** Counted among the live rows before this view: there, not deleted and not flushed, though perhaps expired. */
  counted = false;
  /** There for the reader: not deleted, not expired, not flushed. */
  live = false;
  /** It was live, but its deadline has passed. */
  expired = false;
  type: RowType = rowType.DELETED;
  expiresAtMs = 0;
  /** The value that this view gave the row; undefined: as before. */
  value: Uint8Array | undefined = undefined;
  dirty = false;
  /** The value (or the existence) changed, not only the deadline. */
  replaced = false;

  constructor(head: Uint8Array, headLength: number) {
    this.head = head;
    this.headLength = headLength;
  }

  get mark(): RowMark {
    return { live: this.live, stamp: this.before.modifiedStamp, actor: this.before.modifiedActor };
  }
}

/** Rows beyond this are found by a map instead of a walk. */
const LINEAR_ROWS = 8;

export class View {
  readonly keyspace: Keyspace;
  private readonly store: Store;
  private readonly found = new Found();
  /** Logical database of the client. */
  database = 0;
  /** Wall clock of the command, in ms: one moment for all its keys. */
  nowMs = 0;
  /** Highest sequence of a record that was read or written; the reply waits for it. */
  sequenceSeen = 0;
  readonly rows: Row[] = [];
  private byHead: Map<string, Row> | undefined = undefined;
  /** Physical databases that this view flushes. */
  readonly flushes = new Set<number>();

  constructor(keyspace: Keyspace, store: Store) {
    this.keyspace = keyspace;
    this.store = store;
  }

  /** Forgets everything staged and starts over for a command at `nowMs` in `database`. */
  begin(database: number, nowMs: number): void {
    this.database = database;
    this.nowMs = nowMs;
    this.sequenceSeen = 0;
    if (this.rows.length > 0) this.rows.length = 0;
    this.byHead = undefined;
    if (this.flushes.size > 0) this.flushes.clear();
  }

  /** The row of `key`, live or not, in the client's database or in `database`. Throws `Miss`. */
  row(key: Uint8Array, database = this.database): Row {
    return this.rowIn(key, 0, key.length, database);
  }

  /** The row of the key bytes[start, end). Throws `Miss`. */
  rowIn(bytes: Uint8Array, start: number, end: number, database = this.database): Row {
    const head = new Uint8Array(maxHeadLength(end - start));
    const length = writeHeadKeyOf(head, 0, this.keyspace.physicalDatabase(database), bytes, start, end);
    return this.staged(head, length) ?? this.lookUp(head, length);
  }

  /** Length of a string row in bytes. Requires: row.live, type STRING. */
  stringLength(row: Row): number {
    if (row.value !== undefined) return row.value.length;
    const before = row.before;
    return (before.flags & headFlag.APART) !== 0 ? before.apartLength : before.valueEnd - before.valueStart;
  }

  /** Bytes of a string row, valid until the turn ends. Requires: row.live, type STRING. Throws `Miss`. */
  string(row: Row): Uint8Array {
    if (row.value !== undefined) return row.value;
    const before = row.before;
    if ((before.flags & headFlag.APART) === 0) {
      return (before.bytes as Uint8Array).subarray(before.valueStart, before.valueEnd);
    }
    const element = elementKey(row);
    const found = this.found;
    this.find(element, element.length);
    return found.bytes.subarray(found.start + ELEMENT_HEADER, found.end);
  }

  /** Makes the row a string with this value and deadline (0 = none), whatever it was. `value` is copied at commit. */
  setString(row: Row, value: Uint8Array, expiresAtMs: number): void {
    row.live = true;
    row.expired = false;
    row.type = rowType.STRING;
    row.value = value;
    row.expiresAtMs = expiresAtMs;
    row.replaced = true;
    row.dirty = true;
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
    row.expiresAtMs = 0;
    row.replaced = true;
    row.dirty = true;
    return true;
  }

  /** Makes `to` what `from` is, with its deadline. Requires: from.live. Throws `Miss`. */
  copyRow(from: Row, to: Row): void {
    this.setString(to, this.string(from), from.expiresAtMs);
  }

  /** Removes every row of a logical database when the view commits; later reads of the view see it empty. */
  flush(database: number): void {
    const physical = this.keyspace.physicalDatabase(database);
    this.flushes.add(physical);
    for (let i = this.rows.length - 1; i >= 0; i--) {
      if (databaseOfHead((this.rows[i] as Row).head) === physical) this.rows.splice(i, 1);
    }
    this.byHead = undefined;
  }

  /** Number of live rows of a logical database, expired ones that nobody has met yet included. */
  size(database = this.database): number {
    const physical = this.keyspace.physicalDatabase(database);
    let size = this.flushes.has(physical) ? 0 : this.keyspace.size(physical);
    for (const row of this.rows) {
      if (row.dirty && databaseOfHead(row.head) === physical) size += Number(row.live) - Number(row.counted);
    }
    return size;
  }

  /** A walk over the live rows of the client's database in physical order: by slot, then by key. Must be closed. */
  scan(from: ScanStart = { slot: 0 }): RowScan {
    return new RowScan(this, this.store, from);
  }

  private staged(head: Uint8Array, length: number): Row | undefined {
    const rows = this.rows;
    if (rows.length > LINEAR_ROWS) {
      this.byHead ??= new Map(rows.map((row) => [headText(row.head, row.headLength), row]));
      return this.byHead.get(headText(head, length));
    }
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as Row;
      if (row.headLength === length && sameBytes(row.head, head, length)) return row;
    }
    return undefined;
  }

  private lookUp(head: Uint8Array, length: number): Row {
    const row = new Row(head, length);
    const found = this.found;
    const outcome = this.store.get(head, length, found);
    if (outcome === lookup.MISS) throw new Miss(() => this.store.fetch(head.slice(0, length)));
    if (outcome === lookup.FOUND) {
      if (found.sequence > this.sequenceSeen) this.sequenceSeen = found.sequence;
      readHead(row.before, found.bytes, found.start, found.end);
      this.judge(row);
    }
    this.rows.push(row);
    this.byHead?.set(headText(head, length), row);
    return row;
  }

  private judge(row: Row): void {
    const before = row.before;
    const physical = databaseOfHead(row.head);
    if (before.type === rowType.DELETED || before.stamp <= this.keyspace.flushMark(physical)) return;
    if (this.flushes.has(physical)) return;
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
    if (outcome === lookup.ABSENT) throw new Error('a value that stands apart from its head is missing');
    if (this.found.sequence > this.sequenceSeen) this.sequenceSeen = this.found.sequence;
  }
}

/** Where a scan begins: at a slot, after a key of that slot when one is given. */
export interface ScanStart {
  readonly slot: number;
  /** Physical head key after which the walk goes on. */
  readonly after?: Uint8Array;
  /** Exclusive; default: all slots. */
  readonly endSlot?: number;
}

/** A walk over live rows. `next()` as a cursor's: FOUND, ABSENT at the end, or MISS (then await load() and go on). */
export class RowScan {
  private readonly view: View;
  private readonly cursor: Cursor;
  private readonly physical: number;
  private readonly endSlot: number;
  private readonly stagedRows: Row[];
  private target: Uint8Array | undefined;
  private skipTarget: boolean;
  private ahead = false;
  private readonly head = new Head();
  /** Physical head key of the current row, in memory of its own. */
  physicalKey: Uint8Array = new Uint8Array(0);
  type: RowType = rowType.DELETED;

  constructor(view: View, store: Store, from: ScanStart) {
    this.view = view;
    this.physical = view.keyspace.physicalDatabase(view.database);
    this.endSlot = from.endSlot ?? SLOT_COUNT;
    this.target = from.after ?? databaseStart(from.slot, this.physical);
    this.skipTarget = from.after !== undefined;
    this.cursor = store.cursor({ lower: this.target, upper: databaseStart(this.endSlot, 0) });
    const target = this.target;
    this.stagedRows = view.rows
      .filter((row) => row.dirty && databaseOfHead(row.head) === this.physical)
      .filter((row) => compareBytes(row.head.subarray(0, row.headLength), target) > (this.skipTarget ? 0 : -1))
      .filter((row) => slotOfHead(row.head) < this.endSlot)
      .sort((a, b) => compareBytes(a.head.subarray(0, a.headLength), b.head.subarray(0, b.headLength)));
  }

  /** The user's key of the current row. */
  get key(): Uint8Array {
    return keyOfHead(this.physicalKey);
  }

  get slot(): number {
    return slotOfHead(this.physicalKey);
  }

  next(): (typeof lookup)[keyof typeof lookup] {
    for (;;) {
      if (!this.ahead) {
        const step = this.step();
        if (step === lookup.MISS) return step;
        this.ahead = step === lookup.FOUND;
      }
      const staged = this.stagedRows[0];
      if (staged === undefined && !this.ahead) return lookup.ABSENT;
      const order =
        staged === undefined
          ? 1
          : !this.ahead
            ? -1
            : compareBytes(staged.head.subarray(0, staged.headLength), this.cursor.key);
      if (order > 0) {
        this.ahead = false;
        this.physicalKey = copyOf(this.cursor.key);
        this.type = this.head.type;
        return lookup.FOUND;
      }
      if (order === 0) this.ahead = false;
      this.stagedRows.shift();
      if (staged?.live === true) {
        this.physicalKey = staged.head.slice(0, staged.headLength);
        this.type = staged.type;
        return lookup.FOUND;
      }
    }
  }

  load(): Promise<void> {
    return this.cursor.load();
  }

  close(): void {
    this.cursor.close();
  }

  /** Moves the cursor to the next live head of this database; on FOUND it stands there. */
  private step(): (typeof lookup)[keyof typeof lookup] {
    for (;;) {
      const outcome = this.target === undefined ? this.cursor.next() : this.cursor.seek(this.target);
      if (outcome !== lookup.FOUND) return outcome;
      const reached = this.target;
      this.target = undefined;
      const key = this.cursor.key;
      const slot = slotOfHead(key);
      const database = databaseOfHead(key);
      if (database !== this.physical) {
        this.target = databaseStart(database < this.physical ? slot : slot + 1, this.physical);
        continue;
      }
      if (this.skipTarget && reached !== undefined && compareBytes(key, reached) === 0) continue;
      if (headEnd(key) !== key.length) continue;
      if (this.isLive(database)) return lookup.FOUND;
    }
  }

  private isLive(database: number): boolean {
    const { head, view } = this;
    const value = this.cursor.value;
    readHead(head, value, 0, value.length);
    if (head.type === rowType.DELETED || head.stamp <= view.keyspace.flushMark(database)) return false;
    if (view.flushes.has(database)) return false;
    return head.expiresAtMs === 0 || head.expiresAtMs > view.nowMs;
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

function headText(head: Uint8Array, length: number): string {
  return Buffer.from(head.buffer, head.byteOffset, length).toString('latin1');
}

function sameBytes(a: Uint8Array, b: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
}
