/**
 * A walk over the live rows of one database in physical order: by slot, within a slot by key.
 *
 * The walk sees the store as it was when it began, with the rows that its view has staged since. It jumps over slots
 * that the counts say are empty, over other databases and over the elements of rows.
 *
 * Invariant: rows come in strictly rising (with `reverse`: falling) order, so that a walk which goes on after any
 * physical key misses no row that was there all the time. Used by: SCAN, KEYS, RANDOMKEY, KV.RANGE.
 */

import { compareBytes, compareRanges, copyOf } from '../bytes.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import { type Cursor, lookup, type Store } from '../engine/store.ts';
import { Head, readHead, rowType, type RowType } from './head.ts';
import {
  databaseEnd,
  databaseOfHead,
  databaseStart,
  headEnd,
  headKey,
  keyOfHead,
  rowEnd,
  slotOfHead,
} from './row-key.ts';
import type { Row, View } from './view.ts';

/** What a step of a walk says; the first three as `lookup`. PAUSE: the budget is spent, step again to go on. */
export const scanStep = { ...lookup, PAUSE: 3 } as const;
export type ScanStep = (typeof scanStep)[keyof typeof scanStep];

/** Keys from (or up to) here: `boundAt` makes one. */
export interface KeyBound {
  /** The key as it stands in a head key, behind slot and database. */
  readonly suffix: Uint8Array;
  readonly inclusive: boolean;
}

export function boundAt(key: Uint8Array, inclusive: boolean): KeyBound {
  return { suffix: headKey(0, key).subarray(3), inclusive };
}

export interface ScanOptions {
  /** First slot; default 0. */
  readonly slot?: number;
  /** Exclusive; default: all slots. */
  readonly endSlot?: number;
  /** Physical key after which the walk goes on; in slot `slot`. Not with `reverse`. */
  readonly after?: Uint8Array;
  /** Keys at least this, in every slot. */
  readonly lower?: KeyBound;
  /** Keys at most this, in every slot. */
  readonly upper?: KeyBound;
  /** Within each slot from the greatest key to the least; slots still rise. */
  readonly reverse?: boolean;
  /** Cells that the walk looks at before `next` says PAUSE; default: no end. */
  readonly budget?: number;
}

/** Consecutive cells of one row that are stepped over before the walk seeks past the row. */
const ELEMENTS_STEPPED = 2;

const NO_ROWS: readonly Row[] = [];

export class RowScan {
  private readonly view: View;
  private readonly store: Store;
  private readonly physical: number;
  private readonly endSlot: number;
  private readonly options: ScanOptions;
  private readonly reverse: boolean;
  private readonly budget: number;
  private readonly head = new Head();
  private cursor: Cursor;
  private spent = 0;
  private elements = 0;
  /** Slot that the walk is in; endSlot when it is over. */
  private current: number;
  /** Where to seek before the next step. */
  private target: Uint8Array | undefined = undefined;
  /** A row with exactly this key is not wanted: the walk goes on after it, or a bound excludes it. */
  private excluded: Uint8Array | undefined = undefined;
  /** The store's row that comes next, while a staged row of the same slot comes first. */
  private ahead = false;
  private stagedRows: readonly Row[];
  private stagedAt = 0;
  private row: Uint8Array = new Uint8Array(0);
  type: RowType = rowType.DELETED;

  constructor(view: View, store: Store, options: ScanOptions) {
    this.view = view;
    this.store = store;
    this.options = options;
    this.physical = view.physicalDatabase(view.database);
    this.endSlot = options.endSlot ?? SLOT_COUNT;
    this.reverse = options.reverse === true;
    this.budget = options.budget ?? Number.POSITIVE_INFINITY;
    this.current = options.slot ?? 0;
    this.stagedRows = this.staged();
    this.cursor = this.openCursor();
    if (store.lastSequence > view.sequenceSeen) view.sequenceSeen = store.lastSequence;
    if (options.after === undefined) this.enterSlot(this.current);
    else {
      this.target = options.after;
      this.excluded = options.after;
    }
  }

  /** Physical key of the head of the current row, in memory of its own. */
  get physicalKey(): Uint8Array {
    return copyOf(this.row);
  }

  /** The user's key of the current row, in memory of its own. Valid to ask for until the next step. */
  get key(): Uint8Array {
    return keyOfHead(this.row);
  }

  get slot(): number {
    return slotOfHead(this.row);
  }

  /** After PAUSE: a physical key that everything seen so far stands before, in memory of its own. */
  position(): Uint8Array {
    return this.target ?? copyOf(this.cursor.key);
  }

  /** Goes to the next row. After MISS: `await load()`, then step again. */
  next(): ScanStep {
    for (;;) {
      if (!this.ahead && this.current < this.endSlot) {
        const step = this.step();
        if (step === scanStep.MISS || step === scanStep.PAUSE) return step;
        this.ahead = step === scanStep.FOUND;
      }
      const staged = this.stagedRows[this.stagedAt];
      if (staged === undefined) return this.takeStored();
      const order = this.ahead ? this.compare(staged) : -1;
      if (order > 0) return this.takeStored();
      if (order === 0) this.ahead = false;
      this.stagedAt++;
      if (!staged.live) continue;
      this.row = headOf(staged);
      this.type = staged.type;
      return scanStep.FOUND;
    }
  }

  /** Leaves the slot of the current row: the next row is of a later one. */
  skipSlot(): void {
    const slot = this.slot;
    const staged = this.stagedRows;
    while (this.stagedAt < staged.length && slotOfHead((staged[this.stagedAt] as Row).head) <= slot) this.stagedAt++;
    if (this.ahead && slotOfHead(this.cursor.key) > slot) return;
    this.ahead = false;
    if (this.current <= slot) this.enterSlot(slot + 1);
  }

  load(): Promise<void> {
    return this.cursor.load();
  }

  close(): void {
    this.cursor.close();
  }

  private takeStored(): ScanStep {
    if (!this.ahead) return scanStep.ABSENT;
    this.ahead = false;
    this.row = this.cursor.key;
    this.type = this.head.type;
    return scanStep.FOUND;
  }

  private compare(staged: Row): number {
    const stored = this.cursor.key;
    const slots = slotOfHead(staged.head) - slotOfHead(stored);
    if (slots !== 0) return slots;
    const order = compareRanges(staged.head, 0, staged.headLength, stored, 0, stored.length);
    return this.reverse ? -order : order;
  }

  /** Moves the cursor to the next live head; on FOUND it stands there. */
  private step(): ScanStep {
    for (;;) {
      if (this.current >= this.endSlot) return scanStep.ABSENT;
      if (this.spent >= this.budget) {
        this.spent = 0;
        return scanStep.PAUSE;
      }
      this.spent++;
      const outcome = this.target === undefined ? this.cursor.next() : this.cursor.seek(this.target);
      if (outcome === lookup.MISS) return scanStep.MISS;
      this.target = undefined;
      if (outcome === lookup.ABSENT) {
        if (!this.reverse) this.current = this.endSlot;
        else this.enterSlot(this.current + 1);
        continue;
      }
      if (this.isWanted(this.cursor.key)) return scanStep.FOUND;
    }
  }

  /** Whether the cursor stands on a live head of this walk; if it is beyond the slot's rows, sets out for the next. */
  private isWanted(key: Uint8Array): boolean {
    const slot = slotOfHead(key);
    const database = databaseOfHead(key);
    if (slot !== this.current || database !== this.physical) {
      const arrived = !this.reverse && slot > this.current && database === this.physical && slot < this.endSlot;
      if (!arrived || this.options.lower !== undefined) {
        this.enterSlot(this.current + 1);
        return false;
      }
      this.current = slot;
    }
    const end = headEnd(key);
    if (end !== key.length) return this.passElement(key, end);
    this.elements = 0;
    if (this.isBeyond(key)) {
      this.enterSlot(this.current + 1);
      return false;
    }
    const { excluded } = this;
    if (excluded !== undefined) {
      this.excluded = undefined;
      if (compareBytes(excluded, key) === 0) return false;
    }
    return this.isLive();
  }

  private passElement(key: Uint8Array, end: number): false {
    if (++this.elements <= ELEMENTS_STEPPED) return false;
    this.elements = 0;
    const head = copyOf(key.subarray(0, end));
    this.target = this.reverse ? head : rowEnd(head);
    return false;
  }

  /** Whether a head of the current slot is past the far bound. */
  private isBeyond(key: Uint8Array): boolean {
    const bound = this.reverse ? this.options.lower : this.options.upper;
    if (bound === undefined) return false;
    const order = compareRanges(key, 3, key.length, bound.suffix, 0, bound.suffix.length);
    if (order === 0) return !bound.inclusive;
    return this.reverse ? order < 0 : order > 0;
  }

  private isLive(): boolean {
    const { head, view } = this;
    const value = this.cursor.value;
    readHead(head, value, 0, value.length);
    if (head.type === rowType.DELETED) return false;
    if (view.keyspace.isFlushed(this.physical, this.current, head.stamp, head.actor)) return false;
    return head.expiresAtMs === 0 || head.expiresAtMs > view.nowMs;
  }

  /** Sets out for the first slot from `from` on that has rows. */
  private enterSlot(from: number): void {
    const { physical, view } = this;
    const slot = view.flushes.has(physical)
      ? this.endSlot
      : view.keyspace.nextSlotWithRows(physical, from, this.endSlot);
    this.current = slot;
    if (slot >= this.endSlot) return;
    const bound = this.reverse ? this.options.upper : this.options.lower;
    this.excluded = undefined;
    if (bound === undefined) {
      this.target = this.reverse ? databaseEnd(slot, physical) : databaseStart(slot, physical);
      return;
    }
    const head = new Uint8Array(3 + bound.suffix.length);
    head.set(databaseStart(slot, physical));
    head.set(bound.suffix, 3);
    if (!bound.inclusive) this.excluded = head;
    this.target = this.reverse && bound.inclusive ? rowEnd(head) : head;
  }

  private openCursor(): Cursor {
    const lower = this.options.after ?? databaseStart(this.current, 0);
    return this.store.cursor({ lower, upper: databaseStart(this.endSlot, 0), reverse: this.reverse });
  }

  /** The staged rows of this walk, in its order. */
  private staged(): readonly Row[] {
    const rows = this.view.staged().filter((row) => this.isInside(row));
    if (rows.length === 0) return NO_ROWS;
    return rows.sort((a, b) => {
      const slots = slotOfHead(a.head) - slotOfHead(b.head);
      if (slots !== 0) return slots;
      const order = compareBytes(headOf(a), headOf(b));
      return this.reverse ? -order : order;
    });
  }

  private isInside(row: Row): boolean {
    const head = headOf(row);
    const slot = slotOfHead(head);
    const { after, lower, upper } = this.options;
    if (databaseOfHead(head) !== this.physical || slot < this.current || slot >= this.endSlot) return false;
    if (after !== undefined && compareBytes(head, after) <= 0) return false;
    return isWithin(head, lower, 1) && isWithin(head, upper, -1);
  }
}

/** Whether a head is on the right side of a bound: 1 above it, −1 below it. */
function isWithin(head: Uint8Array, bound: KeyBound | undefined, side: 1 | -1): boolean {
  if (bound === undefined) return true;
  const order = compareRanges(head, 3, head.length, bound.suffix, 0, bound.suffix.length) * side;
  return order > 0 || (order === 0 && bound.inclusive);
}

function headOf(row: Row): Uint8Array {
  return row.head.subarray(0, row.headLength);
}
