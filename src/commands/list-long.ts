/** LREM and LINSERT of lists so long that they take turns (long-store.ts). */

import { equalBytes } from '../bytes.ts';
import type { CellsAhead } from '../repl/cells-ahead.ts';
import { ELEMENT } from '../repl/elements.ts';
import { LONG_ELEMENTS, LongChange } from '../repl/long-change.ts';
import { rowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import { eachSliced } from './collection-row.ts';
import { eachStepSliced, WRITTEN_ELEMENTS } from './collection-steps.ts';
import { addListed, List } from './list-row.ts';
import type { Sliced } from './sliced.ts';

/** What LREM and LINSERT look for: elements that equal `value`, `most` of them, the last ones when `reverse`. */
export interface ListSearch {
  readonly value: Uint8Array;
  readonly most: number;
  readonly reverse: boolean;
}

/** What is then done to the list. */
export interface ListEdit {
  /** How many elements are moved when the list is changed where it stands. */
  moves(list: List, indexes: readonly number[]): number;
  /** Changes it so. Indexes rise. */
  inPlace(list: List, indexes: readonly number[]): void;
  /** The element at an old index is left out. */
  isLeftOut(index: number): boolean;
  /** What comes before the element at an old index, or, at the length, behind all. */
  before(index: number): Uint8Array | undefined;
}

/**
 * Finds elements of a live list and, if there are any, changes it; returns their indexes, which rise. `edit` is asked only
 * once they are known. Throws `Miss`, `LongChange`.
 */
export function editList(
  view: View,
  row: Row,
  { value, most, reverse }: ListSearch,
  edit: (indexes: readonly number[]) => ListEdit,
): readonly number[] {
  const list = new List(view.elements(row));
  const made = view.made(row);
  if (made !== undefined) {
    const indexes = made.answer as readonly number[];
    const { cells } = made;
    if (!cells.isBegun) changeInPlace(list, indexes, edit);
    else view.setWritten(row, rowType.LIST, cells, row.expiresAtMs);
    return indexes;
  }
  if (!view.mayTakeTurns || list.length <= LONG_ELEMENTS) {
    return changeInPlace(list, list.indexesOf(value, most, reverse), edit);
  }
  // What is found near the end where the search begins needs no turns.
  const near = indexesNear(list, { value, most, reverse });
  if (near.length === most && edit(near).moves(list, near) <= LONG_ELEMENTS) return changeInPlace(list, near, edit);
  throw new LongChange(row, (cells) => edited(view, row, { value, most, reverse }, edit, cells));
}

function changeInPlace(
  list: List,
  indexes: readonly number[],
  edit: (indexes: readonly number[]) => ListEdit,
): readonly number[] {
  if (indexes.length > 0) edit(indexes).inPlace(list, indexes);
  return indexes;
}

function indexesNear(list: List, { value, most, reverse }: ListSearch): number[] {
  const { length } = list;
  const indexes: number[] = [];
  const [start, end] = reverse ? [length - LONG_ELEMENTS, length] : [0, LONG_ELEMENTS];
  list.each(
    start,
    end,
    (each, index) => {
      if (equalBytes(each, value)) indexes.push(index);
      return indexes.length < most;
    },
    reverse,
  );
  return reverse ? indexes.reverse() : indexes;
}

function* edited(
  view: View,
  row: Row,
  { value, most, reverse }: ListSearch,
  edit: (indexes: readonly number[]) => ListEdit,
  cells: CellsAhead,
): Sliced<readonly number[]> {
  const elements = view.lastingElements(row);
  const list = new List(elements);
  const { length } = list;
  const whole = list.range(0, length);
  // Opened at once, so that both see one moment.
  const rebuilding = elements.walk(ELEMENT, whole);
  const found: number[] = [];
  let index = reverse ? length - 1 : 0;
  yield* eachSliced(elements, { ...whole, reverse }, (_position, each) => {
    if (equalBytes(each, value)) found.push(index);
    index += reverse ? -1 : 1;
    return found.length < most;
  });
  const indexes = reverse ? found.reverse() : found;
  const change = edit(indexes);
  if (indexes.length === 0 || change.moves(list, indexes) <= LONG_ELEMENTS) {
    rebuilding.close();
    return indexes;
  }
  cells.begin();
  let at = 0;
  const put = (each: Uint8Array | undefined): void => {
    if (each !== undefined) addListed(cells, cells.count, each);
  };
  yield* eachStepSliced(
    rebuilding,
    (_position, each) => {
      put(change.before(at));
      if (!change.isLeftOut(at++)) put(each);
    },
    WRITTEN_ELEMENTS,
  );
  put(change.before(length));
  return indexes;
}
