/** The ends of lists: LPUSH, RPUSH, LPUSHX, RPUSHX, LPOP, RPOP, LMPOP, LMOVE, RPOPLPUSH. */

import { copyOf } from '../bytes.ts';
import type { Elements, TagRange } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import { LONG_ELEMENTS, LongChange } from '../repl/long-change.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { eachSliced, removeIfEmpty, typedRowAt } from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { TWO_KEYS } from './key-row.ts';
import { fillInTurns } from './long-store.ts';
import { addListed, type End, List, listCommand, listDoc, listOf, listToFill } from './list-row.ts';
import { clampToSafe, parseInt64 } from './number.ts';
import { numberedKeys } from './numkeys.ts';
import { optionName, syntaxError } from './options.ts';
import { NULL_ARRAY, type Reply } from './reply.ts';
import { inOneGo, type Sliced } from './sliced.ts';

const MUST_BE_POSITIVE = 'ERR value is out of range, must be positive';
const EACH_PUSHED = 'O(1) for each element';

export const listEndCommands: readonly Command[] = [
  listCommand({
    name: 'lpush',
    arity: -3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: listDoc('Puts elements in front of a list.', '1.0.0', EACH_PUSHED),
    takesTurns: true,
    run: (view, args) => push(view, args, 'head'),
  }),
  listCommand({
    name: 'rpush',
    arity: -3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: listDoc('Puts elements at the end of a list.', '1.0.0', EACH_PUSHED),
    takesTurns: true,
    run: (view, args) => push(view, args, 'tail'),
  }),
  listCommand({
    name: 'lpushx',
    arity: -3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: listDoc('Puts elements in front of a list if there is one.', '2.2.0', EACH_PUSHED),
    run: (view, args) => pushIfPresent(view, args, 'head'),
  }),
  listCommand({
    name: 'rpushx',
    arity: -3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: listDoc('Puts elements at the end of a list if there is one.', '2.2.0', EACH_PUSHED),
    run: (view, args) => pushIfPresent(view, args, 'tail'),
  }),
  listCommand({
    name: 'lpop',
    arity: -2,
    flags: ['write', 'fast'],
    access: 'update',
    doc: listDoc('Takes the first elements of a list.', '1.0.0', 'O(N) for N elements taken'),
    takesTurns: true,
    run: (view, args) => pop(view, args, 'head'),
  }),
  listCommand({
    name: 'rpop',
    arity: -2,
    flags: ['write', 'fast'],
    access: 'update',
    doc: listDoc('Takes the last elements of a list.', '1.0.0', 'O(N) for N elements taken'),
    takesTurns: true,
    run: (view, args) => pop(view, args, 'tail'),
  }),
  listCommand({
    name: 'lmpop',
    arity: -4,
    flags: ['write', 'movablekeys'],
    keys: numberedKeys(1),
    access: 'transaction',
    doc: listDoc('Takes elements of the first list that has any.', '7.0.0', 'O(N+M) for N keys and M elements taken'),
    takesTurns: true,
    run: (view, args) => popFirst(view, popRequest(args, 1)) ?? NULL_ARRAY,
  }),
  listCommand({
    name: 'lmove',
    arity: 5,
    flags: ['write', 'denyoom'],
    keys: TWO_KEYS,
    access: 'transaction',
    doc: listDoc('Takes an element of a list and puts it into another.', '6.2.0'),
    run: (view, args) => moveElement(view, args, endOf(args, 3), endOf(args, 4)) ?? null,
  }),
  listCommand({
    name: 'rpoplpush',
    arity: 3,
    flags: ['write', 'denyoom'],
    keys: TWO_KEYS,
    access: 'transaction',
    doc: listDoc('Takes the last element of a list and puts it in front of another.', '1.2.0'),
    run: (view, args) => moveElement(view, args, 'tail', 'head') ?? null,
  }),
];

function push(view: View, args: Args, end: End): Reply {
  const row = typedRowAt(view, args, 1, rowType.LIST);
  if (args.count > LONG_ELEMENTS && !row.live) {
    const words = args.count - 2;
    const filled = fillInTurns(view, row, { args, step: 1, type: rowType.LIST }, (cells, word) =>
      addListed(cells, end === 'tail' ? word - 2 : words - (word - 2) - 1, args.at(word)),
    );
    if (filled !== undefined) return filled;
  }
  const list = listToFill(view, row);
  for (let i = 2; i < args.count; i++) list.push(end, args.at(i));
  return list.length;
}

function pushIfPresent(view: View, args: Args, end: End): Reply {
  return typedRowAt(view, args, 1, rowType.LIST).live ? push(view, args, end) : 0;
}

function pop(view: View, args: Args, end: End): Reply {
  if (args.count > 3) throw wrongPopArity(args);
  const most = args.count === 3 ? positiveOf(args, 2) : undefined;
  const row = typedRowAt(view, args, 1, rowType.LIST);
  if (!row.live) return most === undefined ? null : NULL_ARRAY;
  return most === undefined ? popOne(view, row, end) : popSome(view, row, end, most);
}

function wrongPopArity(args: Args): CommandError {
  return new CommandError(`ERR wrong number of arguments for '${args.text(0).toLowerCase()}' command`);
}

/** Takes the element at an end of a live list; the bytes are valid until the turn ends. Throws `Miss`. */
export function popOne(view: View, row: Row, end: End): Uint8Array {
  const value = listOf(view, row).pop(end);
  removeIfEmpty(view, row);
  return value;
}

/** Takes up to `most` elements from an end of a live list. Throws `Miss`, `LongChange`. */
export function popSome(view: View, row: Row, end: End, most: number): Uint8Array[] {
  const list = listOf(view, row);
  const count = Math.min(most, list.length);
  let values: Uint8Array[] = [];
  if (count <= LONG_ELEMENTS) for (let left = count; left > 0; left--) values.push(list.pop(end));
  else {
    values = (view.made(row)?.answer as Uint8Array[] | undefined) ?? copyEnd(view, row, end, count);
    if (end === 'head') list.dropHead(count);
    else list.dropTail(count);
  }
  removeIfEmpty(view, row);
  return values;
}

/** The first so many elements that pops from an end would take, in memory of their own. Throws `Miss`, `LongChange`. */
function copyEnd(view: View, row: Row, end: End, count: number): Uint8Array[] {
  const elements = view.elements(row);
  const list = new List(elements);
  const range = end === 'head' ? list.range(0, count) : list.range(list.length - count, list.length, true);
  if (view.mayTakeTurns) throw new LongChange(row, () => copySliced(elements, range));
  return inOneGo(copySliced(elements, range));
}

function* copySliced(elements: Elements, range: TagRange): Sliced<Uint8Array[]> {
  const values: Uint8Array[] = [];
  yield* eachSliced(elements, range, (_position, value) => void values.push(copyOf(value)));
  return values;
}

/** What LMPOP and BLMPOP ask for: words [first, end) are the keys. */
export interface PopRequest {
  readonly args: Args;
  readonly first: number;
  readonly end: number;
  readonly from: End;
  readonly most: number;
}

/** Reads `numkeys key … LEFT|RIGHT [COUNT count]` from word `at` on. Throws `CommandError`. */
export function popRequest(args: Args, at: number): PopRequest {
  const keys = countAt(args, at, 'ERR numkeys should be greater than 0');
  const first = at + 1;
  const end = first + keys;
  if (end >= args.count) throw syntaxError();
  const from = endOf(args, end);
  let most: number | undefined;
  for (let i = end + 1; i < args.count; i += 2) {
    if (most !== undefined || optionName(args, i) !== 'COUNT' || i + 1 >= args.count) throw syntaxError();
    most = countAt(args, i + 1, 'ERR count should be greater than 0');
  }
  return { args, first, end, from, most: most ?? 1 };
}

/**
 * Takes elements of the first of the lists that has any, and answers its key and them; undefined: all are empty.
 * A key of another type before that is an error. Throws `Miss`, `CommandError`.
 */
export function popFirst(view: View, { args, first, end, from, most }: PopRequest): Reply | undefined {
  for (let i = first; i < end; i++) {
    const row = typedRowAt(view, args, i, rowType.LIST);
    if (row.live) return [args.at(i), popSome(view, row, from, most)];
  }
  return undefined;
}

/** Word i, LEFT or RIGHT. Throws `CommandError`. */
export function endOf(args: Args, i: number): End {
  const name = optionName(args, i);
  if (name === 'LEFT') return 'head';
  if (name === 'RIGHT') return 'tail';
  throw syntaxError();
}

/**
 * Takes an element from one end of the list at word 1 and puts it at one end of the list at word 2, which may be the same
 * one; undefined: there is nothing to take. Throws `Miss`, `CommandError`.
 */
export function moveElement(view: View, args: Args, from: End, to: End): Uint8Array | undefined {
  const source = typedRowAt(view, args, 1, rowType.LIST);
  if (!source.live) return undefined;
  const target = typedRowAt(view, args, 2, rowType.LIST);
  const value = copyOf(listOf(view, source).pop(from));
  listToFill(view, target).push(to, value);
  removeIfEmpty(view, source);
  return value;
}

function positiveOf(args: Args, i: number): number {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined || value < 0) throw new CommandError(MUST_BE_POSITIVE);
  return clampToSafe(value);
}

/** Word i as a number of at least 1. Throws `CommandError` with `message`. */
function countAt(args: Args, i: number, message: string): number {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined || value < 1) throw new CommandError(message);
  return clampToSafe(value);
}
