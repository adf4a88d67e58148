/** What handlers of keys of any type share. */

import { rowType, type RowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, CommandDoc, KeyRange } from './command.ts';
import { CommandError, INDEX_OUT_OF_RANGE, NOT_32_BITS, NOT_AN_INTEGER } from './errors.ts';
import { parseInt64, parseSafeInteger } from './number.ts';

export const FIRST_KEY: KeyRange = { first: 1, last: 1, step: 1 };
export const ALL_KEYS: KeyRange = { first: 1, last: -1, step: 1 };
export const TWO_KEYS: KeyRange = { first: 1, last: 2, step: 1 };

const INT32_MAX = 2_147_483_647;

export function keyDoc(summary: string, since: string, complexity = 'O(1)'): CommandDoc {
  return { summary, since, group: 'generic', complexity };
}

export function keyCommand(row: Omit<Command, 'categories'> & Partial<Pick<Command, 'categories'>>): Command {
  return { categories: ['keyspace'], ...row };
}

/** The row of the key that word i names, in the client's database or another. Throws `Miss`. */
export function rowAt(view: View, args: Args, i: number, database = view.database): Row {
  return view.rowIn(args.bytes, args.starts[i] as number, args.ends[i] as number, database);
}

/** Word i as a C int, else undefined. */
export function int32Of(args: Args, i: number): number | undefined {
  const value = parseSafeInteger(args.bytes, args.starts[i] as number, args.ends[i] as number);
  return value >= -INT32_MAX - 1 && value <= INT32_MAX ? value : undefined;
}

/** Word i as the index of a database. Throws `CommandError`. */
export function databaseAt(args: Args, i: number, databases: number): number {
  const index = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (index === undefined) throw new CommandError(NOT_AN_INTEGER);
  if (index < -(2 ** 31) || index > INT32_MAX) throw new CommandError(NOT_32_BITS);
  if (index < 0 || index >= databases) throw new CommandError(INDEX_OUT_OF_RANGE);
  return Number(index);
}

const TYPE_NAMES: Readonly<Record<RowType, string>> = {
  [rowType.DELETED]: 'none',
  [rowType.STRING]: 'string',
  [rowType.HASH]: 'hash',
  [rowType.LIST]: 'list',
  [rowType.SET]: 'set',
  [rowType.SORTED_SET]: 'zset',
  [rowType.STREAM]: 'stream',
};

/** The name of a type as TYPE and SCAN's TYPE write it. */
export function typeName(type: RowType): string {
  return TYPE_NAMES[type];
}
