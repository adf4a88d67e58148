/**
 * Changes that take longer than a turn of the event loop may, on a node whose rows are its own.
 *
 * ```
 * handler ── throws LongChange ─▶ its rows are held ─▶ slices write a new generation of cells (cells-ahead.ts)
 * handler, run again ◀── `View.made` ─────────────────── done
 *    └─▶ stages the head that names them ─▶ commit: one small batch ─▶ the rows are released
 * ```
 *
 * While rows are held whoever wants to change them waits (`View.lookUp` misses), and so do EXEC and scripts; readers see
 * them as they were. What does not ask for rows by their names (FLUSHALL, SWAPDB, the sweep of what has expired) does not
 * wait: the handler that runs again finds the rows changed, throws what was made away and begins anew.
 *
 * Invariants: the rows of one change are held all at once, in the turn in which the handler looked at them, so nobody waits
 * for one row while it holds another; a run that finds other rows in their place (SWAPDB) releases its own before it waits.
 * What was made is installed only if each row is as it was and nothing was flushed.
 */

import { latin1 } from '../bytes.ts';
import type { CellsAhead } from './cells-ahead.ts';
import type { Head } from './head.ts';
import type { Keyspace } from './keyspace.ts';
import { databaseOfHead } from './row-key.ts';
import type { Row, View } from './view.ts';

/** Elements that are changed or copied in one turn; more are in slices: about five milliseconds on a busy machine. */
export const LONG_ELEMENTS = 1000;

/** One change in so many elements is made where they stand rather than by writing all of them anew. */
const REWRITTEN_SHARE = 64;

/** How many of `count` elements may be removed in one turn. `cells`: of an element. */
export function mostInPlace(count: number, cells = 1): number {
  return Math.floor(Math.max(LONG_ELEMENTS, count / REWRITTEN_SHARE) / cells);
}

/** Cells that one slice writes: one to two milliseconds. */
export const CELLS_PER_SLICE = 500;

/** Work in slices: yields a promise to wait for, or `undefined` to let others run. */
export type Slices<T> = Generator<Promise<void> | undefined, T>;

/** Makes what a row is to become; its result is for the handler. Rows of the view that threw are as they were. */
export type Make = (cells: CellsAhead) => Slices<unknown>;

/** Thrown by a handler, which has staged nothing: run the slices, then the handler again. Only while `view.mayTakeTurns`. */
export class LongChange {
  readonly row: Row;
  readonly make: Make;

  /** `row`: the one that gets new cells. */
  constructor(row: Row, make: Make) {
    this.row = row;
    this.make = make;
  }
}

/** What the slices have made. */
export interface Made {
  /** Not begun: the row stays as it is. */
  readonly cells: CellsAhead;
  /** What `make` returned. */
  readonly answer: unknown;
}

/** Who lends a change its turns. */
export interface TurnHost {
  /** Resolves when others have run and the store takes writes. */
  rest(): Promise<void>;
}

/** A row as it was when it was held. */
interface HeldRow {
  readonly name: string;
  readonly isLive: boolean;
  readonly stamp: number;
  readonly actor: number;
}

/** One long change under way. */
export class LongRun {
  /** Settles when the rows are released. */
  readonly over: Promise<void>;
  private readonly keyspace: Keyspace;
  private readonly cells: CellsAhead;
  private readonly slices: Slices<unknown>;
  private readonly held: readonly HeldRow[];
  private readonly flushMarks: ReadonlyMap<number, number>;
  private answer: unknown = undefined;
  private isDone = false;
  private release: () => void = () => {};

  /** Holds every row that the view has looked up. The view is the change's from now on. Throws `EngineError`. */
  constructor(keyspace: Keyspace, view: View, { row, make }: LongChange) {
    this.keyspace = keyspace;
    this.over = new Promise((resolve) => {
      this.release = resolve;
    });
    const rows = view.rows.slice(0, view.rowCount);
    this.cells = keyspace.cellsAhead(row);
    this.held = rows.map(heldRow);
    const databases = rows.map(({ head }) => databaseOfHead(head));
    this.flushMarks = new Map(databases.map((database) => [database, keyspace.flushMark(database)]));
    for (const { name } of this.held) keyspace.held.set(name, this);
    this.slices = make(this.cells);
  }

  /** Runs the slices, the first one at once. */
  async run(host: TurnHost): Promise<void> {
    const { slices, cells } = this;
    for (;;) {
      const step = slices.next();
      cells.write();
      if (step.done === true) {
        this.answer = step.value;
        this.isDone = true;
        return;
      }
      if (step.value !== undefined) await step.value;
      else await host.rest();
    }
  }

  /** What was made for this row of a view; undefined: none, or it no longer holds. */
  madeFor(view: View, row: Row): Made | undefined {
    const { cells, held, flushMarks, keyspace } = this;
    if (!this.isDone || latin1(row.head, 0, row.headLength) !== latin1(cells.head)) return undefined;
    for (const [database, mark] of flushMarks) if (keyspace.flushMark(database) !== mark) return undefined;
    const now = new Map(view.rows.slice(0, view.rowCount).map((each) => [nameOf(each), each]));
    const isSame = held.every(({ name, isLive, stamp, actor }) => {
      const found = now.get(name);
      return found?.live === isLive && found.before.stamp === stamp && found.before.actor === actor;
    });
    return isSame ? { cells, answer: this.answer } : undefined;
  }

  /** Releases the rows; may be called again. What was not installed is garbage, and no row is made of it any more. */
  end(): void {
    const { keyspace, held, cells } = this;
    this.isDone = false;
    this.slices.return(undefined);
    for (const { name } of held) if (keyspace.held.get(name) === this) keyspace.held.delete(name);
    keyspace.endCellsAhead(cells);
    this.release();
  }
}

function nameOf({ head, headLength }: { head: Uint8Array; headLength: number }): string {
  return latin1(head, 0, headLength);
}

function heldRow(row: Row): HeldRow {
  const before: Head = row.before;
  return { name: nameOf(row), isLive: row.live, stamp: before.stamp, actor: before.actor };
}
