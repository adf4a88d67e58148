/** What handlers of strings share: checked access to a string row, and the frame of a row of the table. */

import { EMPTY } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, CommandDoc, KeyRange } from './command.ts';
import { CommandError, WRONG_TYPE } from './errors.ts';

export const ONE_KEY: KeyRange = { first: 1, last: 1, step: 1 };

export function stringDoc(summary: string, since: string, complexity = 'O(1)'): CommandDoc {
  return { summary, since, group: 'string', complexity };
}

/** The row of the key that word i names. Throws `Miss`. */
export function rowAt(view: View, args: Args, i: number): Row {
  return view.rowIn(args.bytes, args.starts[i] as number, args.ends[i] as number);
}

/** As `rowAt`; a live row of another type is an error. Throws `Miss`, `CommandError`. */
export function stringRowAt(view: View, args: Args, i: number): Row {
  const row = rowAt(view, args, i);
  if (row.live && row.type !== rowType.STRING) throw new CommandError(WRONG_TYPE);
  return row;
}

/** The value of a string row, empty when there is none. Throws `Miss`. */
export function stringOrEmpty(view: View, row: Row): Uint8Array {
  return row.live ? view.string(row) : EMPTY;
}

/** Sets a string whose deadline may have passed already: then the row goes. */
export function setUnlessPast(view: View, row: Row, value: Uint8Array, deadlineMs: number): void {
  if (deadlineMs !== 0 && deadlineMs <= view.nowMs) view.remove(row);
  else view.setString(row, value, deadlineMs);
}

/** Shape of the rows in this group: categories and key positions are the same for nearly all. */
export function stringCommand(row: Omit<Command, 'categories' | 'keys'> & Partial<Pick<Command, 'keys'>>): Command {
  return { keys: ONE_KEY, categories: ['string'], ...row };
}
