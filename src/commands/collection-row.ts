/** What handlers of collections share: checked access to a row of one type, and its end when it is empty. */

import { type Elements, type TagRange, ELEMENT } from '../repl/elements.ts';
import type { RowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { eachStepSliced } from './collection-steps.ts';
import type { Command, CommandDoc } from './command.ts';
import { CommandError, WRONG_TYPE } from './errors.ts';
import { FIRST_KEY, rowAt } from './key-row.ts';
import type { Sliced } from './sliced.ts';

/** Elements that a reply may have before it is made in slices, so that the loop is not held. */
export const SLICED_FROM = 2000;

/** The row of the key that word i names; a live row of another type is an error. Throws `Miss`, `CommandError`. */
export function typedRowAt(view: View, args: Args, i: number, type: RowType): Row {
  const row = rowAt(view, args, i);
  if (row.live && row.type !== type) throw new CommandError(WRONG_TYPE);
  return row;
}

/** The elements at the key that word i names; undefined: there is no such key. Throws `Miss`, `CommandError`. */
export function elementsAt(view: View, args: Args, i: number, type: RowType): Elements | undefined {
  const row = typedRowAt(view, args, i, type);
  return row.live ? view.elements(row) : undefined;
}

/** As `elementsAt`, for a reader that takes more than a turn. */
export function lastingElementsAt(view: View, args: Args, i: number, type: RowType): Elements | undefined {
  const row = typedRowAt(view, args, i, type);
  return row.live ? view.lastingElements(row) : undefined;
}

/** As `elementsAt`; a missing key becomes an empty collection, which the caller must fill. */
export function elementsToFill(view: View, args: Args, i: number, type: RowType): Elements {
  const row = typedRowAt(view, args, i, type);
  return row.live ? view.elements(row) : view.create(row, type);
}

/** Deletes the row of a collection that has lost its last element. */
export function removeIfEmpty(view: View, row: Row): void {
  if (row.live && row.elements?.count === 0) view.remove(row);
}

/** Whether the collection that word i names is so large that its reply is made in slices. Throws `Miss`. */
export function isLarge(view: View, args: Args, i: number, type: RowType): boolean {
  const row = rowAt(view, args, i);
  return row.live && row.type === type && view.elements(row).count > SLICED_FROM;
}

/** The frame of a type's rows of the table: categories, and the key positions that nearly all have. */
export function commandsOf(
  category: string,
): (row: Omit<Command, 'categories' | 'keys'> & Partial<Pick<Command, 'keys' | 'categories'>>) => Command {
  return (row) => ({ keys: FIRST_KEY, categories: [category], ...row });
}

/** The docs of a group: `group` as COMMAND DOCS writes it. */
export function docsOf(group: string): (summary: string, since: string, complexity?: string) => CommandDoc {
  return (summary, since, complexity = 'O(1)') => ({ summary, since, group, complexity });
}

/**
 * As `Elements.each`, of the elements with tag ELEMENT, in slices: for `runSliced`. It sees them as they were when it
 * began, and ends when `visit` returns false.
 */
export function eachSliced(
  elements: Elements,
  range: TagRange,
  visit: (key: Uint8Array, value: Uint8Array) => boolean | void,
): Sliced<void> {
  return eachStepSliced(elements.walk(ELEMENT, range), visit);
}
