/** What stands inside lists: LLEN, LINDEX, LSET, LRANGE, LINSERT, LREM, LTRIM, LPOS. */

import { equalBytes } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { BulksReply } from './bulks-reply.ts';
import {
  eachSliced,
  elementsAt,
  isLarge,
  lastingElementsAt,
  removeIfEmpty,
  SLICED_FROM,
  typedRowAt,
} from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError, NO_SUCH_KEY } from './errors.ts';
import { rowAt } from './key-row.ts';
import { editList } from './list-long.ts';
import { boundsOf, indexOf, List, listAt, listCommand, listDoc, listOf } from './list-row.ts';
import { clampedIntegerOf, clampToSafe, parseInt64 } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { OK, type Reply } from './reply.ts';
import { inOneGo, type Sliced } from './sliced.ts';

export const listPlainCommands: readonly Command[] = [
  listCommand({
    name: 'llen',
    arity: 2,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: listDoc('Returns the length of a list.', '1.0.0'),
    run: (view, args) => listAt(view, args, 1)?.length ?? 0,
  }),
  listCommand({
    name: 'lindex',
    arity: 3,
    flags: ['readonly'],
    access: 'read',
    doc: listDoc('Returns the element at an index.', '1.0.0'),
    run: at,
  }),
  listCommand({
    name: 'lset',
    arity: 4,
    flags: ['write', 'denyoom'],
    access: 'update',
    doc: listDoc('Sets the element at an index.', '1.0.0'),
    run: setAt,
  }),
  listCommand({
    name: 'lrange',
    arity: 4,
    flags: ['readonly'],
    access: 'read',
    doc: listDoc('Returns a range of elements.', '1.0.0', 'O(N) for N elements returned'),
    run: range,
    isLong: isLongRange,
    runSliced: rangeSliced,
  }),
  listCommand({
    name: 'linsert',
    arity: 5,
    flags: ['write', 'denyoom'],
    access: 'update',
    doc: listDoc('Puts an element before or after another one.', '2.2.0', 'O(N) for N elements before the pivot'),
    run: insert,
    takesTurns: true,
  }),
  listCommand({
    name: 'lrem',
    arity: 4,
    flags: ['write'],
    access: 'update',
    doc: listDoc('Deletes elements that equal a value.', '1.0.0', 'O(N) for N elements'),
    run: removeEqual,
    takesTurns: true,
  }),
  listCommand({
    name: 'ltrim',
    arity: 4,
    flags: ['write'],
    access: 'update',
    doc: listDoc('Deletes all elements but those of a range.', '1.0.0', 'O(N) for N elements deleted'),
    run: trim,
  }),
  listCommand({
    name: 'lpos',
    arity: -3,
    flags: ['readonly'],
    access: 'read',
    doc: listDoc('Returns the indexes of elements that equal a value.', '6.0.6', 'O(N) for N elements'),
    run: (view, args) => inOneGo(findEqual(view, args, true)),
    isLong: (view, args) => isLarge(view, args, 1, rowType.LIST),
    runSliced: (view, args) => findEqual(view, args, false),
  }),
];

function at(view: View, args: Args): Reply {
  const list = listAt(view, args, 1);
  if (list === undefined) return null;
  const index = indexOf(clampedIntegerOf(args, 2), list.length);
  return index === undefined ? null : list.at(index);
}

function setAt(view: View, args: Args): Reply {
  const list = listAt(view, args, 1);
  if (list === undefined) throw new CommandError(NO_SUCH_KEY);
  const index = indexOf(clampedIntegerOf(args, 2), list.length);
  if (index === undefined) throw new CommandError('ERR index out of range');
  list.set(index, args.at(3));
  return OK;
}

function range(view: View, args: Args): Reply {
  const start = clampedIntegerOf(args, 2);
  const stop = clampedIntegerOf(args, 3);
  const list = listAt(view, args, 1);
  return list === undefined ? [] : list.values(...boundsOf(start, stop, list.length));
}

function isLongRange(view: View, args: Args): boolean {
  const row = rowAt(view, args, 1);
  if (!row.live || row.type !== rowType.LIST) return false;
  const { count } = view.elements(row);
  if (count <= SLICED_FROM) return false;
  const [start, end] = boundsOf(clampedIntegerOf(args, 2), clampedIntegerOf(args, 3), count);
  return end - start > SLICED_FROM;
}

function* rangeSliced(view: View, args: Args): Sliced<Reply> {
  const values = new BulksReply('array');
  const elements = lastingElementsAt(view, args, 1, rowType.LIST);
  if (elements === undefined) return values;
  const list = new List(elements);
  const [start, end] = boundsOf(clampedIntegerOf(args, 2), clampedIntegerOf(args, 3), list.length);
  if (start === end) return values;
  yield* eachSliced(elements, list.range(start, end), (_position, value) => values.add(value));
  return values;
}

function insert(view: View, args: Args): Reply {
  const where = optionName(args, 2);
  if (where !== 'BEFORE' && where !== 'AFTER') throw syntaxError();
  const list = listAt(view, args, 1);
  if (list === undefined) return 0;
  const value = args.at(4);
  const placeOf = (pivot: number): number => (where === 'BEFORE' ? pivot : pivot + 1);
  const { length } = list;
  const search = { value: args.at(3), most: 1, reverse: false };
  const found = editList(view, rowAt(view, args, 1), search, ([pivot = 0]) => ({
    moves: (on) => on.movesOfInsert(placeOf(pivot)),
    inPlace: (on) => on.insert(placeOf(pivot), value),
    isLeftOut: () => false,
    before: (index) => (index === placeOf(pivot) ? value : undefined),
  }));
  return found.length === 0 ? -1 : length + 1;
}

function removeEqual(view: View, args: Args): Reply {
  const count = clampedIntegerOf(args, 2);
  const row = typedRowAt(view, args, 1, rowType.LIST);
  if (!row.live) return 0;
  const search = { value: args.at(3), most: count === 0 ? Infinity : Math.abs(count), reverse: count < 0 };
  const found = editList(view, row, search, (indexes) => {
    let next = 0;
    return {
      moves: (list) => list.movesOfRemove(indexes),
      inPlace: (list) => list.remove(indexes),
      isLeftOut: (index) => index === indexes[next] && ++next > 0,
      before: () => undefined,
    };
  });
  removeIfEmpty(view, row);
  return found.length;
}

function trim(view: View, args: Args): Reply {
  const from = clampedIntegerOf(args, 2);
  const to = clampedIntegerOf(args, 3);
  const row = typedRowAt(view, args, 1, rowType.LIST);
  if (!row.live) return OK;
  const list = listOf(view, row);
  const [start, end] = boundsOf(from, to, list.length);
  if (start === end) view.remove(row);
  else {
    list.dropTail(list.length - end);
    list.dropHead(start);
  }
  return OK;
}

/** What LPOS asks for. */
interface Search {
  /** Which of the matches is the first to be answered, from 1; negative: counted from the tail. */
  rank: number;
  /** How many are answered, 0 for all; undefined: one, as an integer. */
  count: number | undefined;
  /** How many elements are looked at, 0 for all. */
  limit: number;
}

function searchOf(args: Args): Search {
  const search: Search = { rank: 1, count: undefined, limit: 0 };
  for (let i = 3; i < args.count; i += 2) {
    const name = optionName(args, i);
    if (i + 1 >= args.count) throw syntaxError();
    if (name === 'RANK') search.rank = rankOf(args, i + 1);
    else if (name === 'COUNT') search.count = notNegative(args, i + 1, 'COUNT');
    else if (name === 'MAXLEN') search.limit = notNegative(args, i + 1, 'MAXLEN');
    else throw syntaxError();
  }
  return search;
}

function rankOf(args: Args, i: number): number {
  const rank = clampedIntegerOf(args, i);
  if (rank !== 0) return rank;
  throw new CommandError(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... " +
      'or use negative to start from the end of the list',
  );
}

function notNegative(args: Args, i: number, name: string): number {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined || value < 0) throw new CommandError(`ERR ${name} can't be negative`);
  return clampToSafe(value);
}

function* findEqual(view: View, args: Args, inOneTurn: boolean): Sliced<Reply> {
  const { rank, count, limit } = searchOf(args);
  const elements = inOneTurn ? elementsAt(view, args, 1, rowType.LIST) : lastingElementsAt(view, args, 1, rowType.LIST);
  if (elements === undefined) return count === undefined ? null : [];
  const list = new List(elements);
  const { length } = list;
  const value = args.at(2);
  const most = count === undefined ? 1 : count === 0 ? Infinity : count;
  const looked = limit === 0 ? length : Math.min(limit, length);
  const reverse = rank < 0;
  const [start, end] = reverse ? [length - looked, length] : [0, looked];
  const found: number[] = [];
  let toSkip = Math.abs(rank) - 1;
  let index = reverse ? end - 1 : start;
  yield* eachSliced(elements, list.range(start, end, reverse), (_position, each) => {
    const at = index;
    index += reverse ? -1 : 1;
    if (!equalBytes(each, value)) return true;
    if (toSkip > 0) toSkip--;
    else found.push(at);
    return found.length < most;
  });
  return count === undefined ? (found[0] ?? null) : found;
}
