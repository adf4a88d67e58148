/** Handlers that make large collections: their slices (repl/long-change.ts), and what is put in when those are done. */

import type { CellsAhead } from '../repl/cells-ahead.ts';
import { ELEMENT } from '../repl/elements.ts';
import type { RowType } from '../repl/head.ts';
import { CELLS_PER_SLICE, LONG_ELEMENTS, LongChange } from '../repl/long-change.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { eachStepSliced } from './collection-steps.ts';
import type { Reply } from './reply.ts';
import type { Sliced } from './sliced.ts';

/** What a row is to become. */
export interface Becoming {
  readonly type: RowType;
  /** 0: none. */
  readonly expiresAtMs: number;
  /** So much is to be done that it takes turns, where it may. */
  readonly isLong: boolean;
}

/** Makes the cells and returns the reply in memory of its own. Without cells begun the row stays as it is. */
export type MakeReply = (cells: CellsAhead) => Sliced<Reply>;

/**
 * Makes a row what `make` makes, which may be nothing, and returns its reply; undefined: it is to be done in this turn.
 * `make` must see the view's rows through walks that it opens, and copies that it makes, in its first slice. Throws
 * `LongChange`.
 */
export function inTurns(
  view: View,
  row: Row,
  { type, expiresAtMs, isLong }: Becoming,
  make: MakeReply,
): Reply | undefined {
  const made = view.made(row);
  if (made !== undefined) {
    const { cells } = made;
    if (cells.isBegun) view.setWritten(row, type, cells, expiresAtMs);
    // What `make` has returned.
    return made.answer as Reply;
  }
  if (isLong && view.mayTakeTurns) throw new LongChange(row, make);
  return undefined;
}

/**
 * Makes the row of word 1, which is not there, of very many words, each `step`th from word 2 on, and returns how many elements
 * that were; undefined: as `inTurns`. `put` may be told the same element again: the last one stays.
 */
export function fillInTurns(
  view: View,
  row: Row,
  { args, step, type }: { args: Args; step: number; type: RowType },
  put: (cells: CellsAhead, word: number) => void,
): Reply | undefined {
  const isLong = args.count > step * LONG_ELEMENTS;
  return inTurns(view, row, { type, expiresAtMs: 0, isLong }, (cells) => filled(cells, { args, step }, put));
}

function* filled(
  cells: CellsAhead,
  { args, step }: { args: Args; step: number },
  put: (cells: CellsAhead, word: number) => void,
): Sliced<Reply> {
  for (let word = 2; word < args.count; word += step) {
    put(cells, word);
    if (cells.count % CELLS_PER_SLICE === 0) yield undefined;
  }
  cells.write();
  let count = 0;
  yield* eachStepSliced(cells.walk(ELEMENT), () => void count++);
  cells.count = count;
  return count;
}

/** Puts items into cells, slice by slice. `width`: cells of an item. */
export function* putSliced<T>(items: Iterable<T>, width: number, put: (item: T, index: number) => void): Sliced<void> {
  let index = 0;
  for (const item of items) {
    put(item, index);
    if (++index % Math.ceil(CELLS_PER_SLICE / width) === 0) yield undefined;
  }
}
