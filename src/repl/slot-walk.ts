/**
 * An owner's walk over the rows of some slots, for LIST: in the order of their names, a bounded number of cells in a turn.
 *
 * Invariant: the walk sees the rows as they were when it began; it is closed when its answer is given.
 */

import { latin1 } from '../bytes.ts';
import { lookup, type Cursor, type Store } from '../engine/store.ts';
import type { Timers } from '../env.ts';
import { Head, readHead, rowType } from './head.ts';
import type { KeyspaceState } from './keyspace.ts';
import { databaseOfHead, databaseStart, headEnd, rowEnd, slotOfHead, SYSTEM_DATABASE } from './row-key.ts';
import { ANY_DATABASE, type ListedRow, type ListRequest, type RowList } from './slot-list.ts';

/** Cells looked at in one turn: about a millisecond. */
export const WALK_TURN_CELLS = 1_000;

/** Cells of one row that are stepped over before the walk seeks past it. */
const CELLS_STEPPED = 2;

export interface WalkWorld {
  readonly store: Store;
  readonly state: KeyspaceState;
  readonly timers: Pick<Timers, 'atTurnEnd'>;
}

/** The rows that the request asks for. Rejects with an `EngineError`. */
export async function listRows(world: WalkWorld, request: ListRequest): Promise<RowList> {
  const walk = new Walk(world, request);
  try {
    return await walk.run();
  } finally {
    walk.close();
  }
}

class Walk {
  private readonly world: WalkWorld;
  private readonly request: ListRequest;
  private readonly cursor: Cursor;
  private readonly head = new Head();
  private readonly rows: ListedRow[] = [];
  /** The range of slots that the walk is in. */
  private range = 0;
  private target: Uint8Array | undefined;
  private stepped = 0;

  constructor(world: WalkWorld, request: ListRequest) {
    this.world = world;
    this.request = request;
    const { slots, after } = request;
    const first = slots[0];
    const last = slots.at(-1);
    const begin = first === undefined ? databaseStart(0, 0) : this.startOf(first.from);
    this.target = after === undefined ? begin : rowEnd(Buffer.from(after, 'latin1'));
    this.cursor = world.store.cursor({
      lower: begin,
      upper: last === undefined ? begin : databaseStart(last.end, 0),
    });
  }

  close(): void {
    this.cursor.close();
  }

  async run(): Promise<RowList> {
    const { limit } = this.request;
    for (let cells = 1; this.rows.length < limit; cells++) {
      const step = this.target === undefined ? this.cursor.next() : this.cursor.seek(this.target);
      if (step === lookup.MISS) {
        await this.cursor.load();
        continue;
      }
      this.target = undefined;
      if (step === lookup.ABSENT || !this.look(this.cursor.key)) return { rows: this.rows, complete: true };
      if (cells % WALK_TURN_CELLS === 0) {
        // The place is kept by name: the slices of the cursor are valid for this turn only.
        await new Promise<void>((resolve) => this.world.timers.atTurnEnd(resolve));
      }
    }
    return { rows: this.rows, complete: false };
  }

  /** Takes the row that the cursor stands on, or sets out for the next that is wanted. False: there is none. */
  private look(key: Uint8Array): boolean {
    const { database, slots } = this.request;
    const slot = slotOfHead(key);
    while ((slots[this.range]?.end ?? Infinity) <= slot) this.range++;
    const range = slots[this.range];
    if (range === undefined) return false;
    if (slot < range.from) {
      this.target = this.startOf(range.from);
      return true;
    }
    if (database !== ANY_DATABASE && databaseOfHead(key) !== database) {
      this.target = this.startOf(databaseOfHead(key) < database ? slot : slot + 1);
      return true;
    }
    if (this.isEmpty(slot)) {
      this.target = this.startOf(slot + 1);
      return true;
    }
    const end = headEnd(key);
    if (end === key.length) this.take(key, slot);
    else if (++this.stepped > CELLS_STEPPED) {
      this.stepped = 0;
      this.target = rowEnd(key.slice(0, end));
    }
    return true;
  }

  /** Nothing of the slot can be wanted: what is there is deleted, or under a flush mark. */
  private isEmpty(slot: number): boolean {
    const { database, deleted } = this.request;
    return !deleted && database !== ANY_DATABASE && this.world.state.counts.inSlot(database, slot) === 0;
  }

  private take(key: Uint8Array, slot: number): void {
    const { head } = this;
    const { flushMarks, slotMarks } = this.world.state;
    const value = this.cursor.value;
    this.stepped = 0;
    readHead(head, value, 0, value.length);
    if (head.type === rowType.DELETED && !this.request.deleted) return;
    const database = databaseOfHead(key);
    const isFlushed =
      head.stamp <= (flushMarks[database] as number) || slotMarks.covers(slot, database, head.stamp, head.actor);
    if (isFlushed && database !== SYSTEM_DATABASE) return;
    this.rows.push({
      name: latin1(key),
      type: head.type,
      version: { stamp: head.stamp, actor: head.actor },
      expiresAtMs: head.expiresAtMs,
    });
  }

  private startOf(slot: number): Uint8Array {
    const { database } = this.request;
    return databaseStart(slot, database === ANY_DATABASE ? 0 : database);
  }
}
