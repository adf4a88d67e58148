/** Lists that are waited for: BLPOP BRPOP BLMPOP BLMOVE BRPOPLPUSH. Each is its form that does not wait, and how it waits. */

import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import { Args } from './args.ts';
import { blocksOnKeys, blocksOnNumberedKeys, bytesOf, timeoutAt } from './blocking.ts';
import { typedRowAt } from './collection-row.ts';
import type { Blocking, Command, KeyRange } from './command.ts';
import { TWO_KEYS } from './key-row.ts';
import { endOf, moveElement, popFirst, popOne, popRequest } from './list-ends.ts';
import { type End, listCommand, listDoc } from './list-row.ts';
import { numberedKeys } from './numkeys.ts';
import { NULL_ARRAY, type Reply } from './reply.ts';

/** All words but the name and the timeout. */
const ALL_BUT_LAST: KeyRange = { first: 1, last: -2, step: 1 };

/** Pushes back what was popped, at the end where it was. */
function pushBack(key: Uint8Array, end: End, elements: readonly Uint8Array[]): Args {
  return Args.of(end === 'head' ? 'lpush' : 'rpush', key, ...elements.toReversed());
}

function undoPop(end: End): NonNullable<Blocking['undo']> {
  return (args, i, reply) => pushBack(args.at(i), end, [bytesOf((reply as readonly Reply[])[1])]);
}

function undoPopMany(args: Args, i: number, reply: Reply): Args {
  const [, elements] = reply as readonly [Reply, readonly Reply[]];
  return pushBack(args.at(i), popRequest(args, 2).from, elements.map(bytesOf));
}

/** BLMOVE and BRPOPLPUSH wait for their first key; an element that was moved is not lost with its client. */
function blocksOnSource(timeoutWord: number): Blocking {
  return {
    type: rowType.LIST,
    timeoutMs: (args) => timeoutAt(args, timeoutWord),
    rows: () => [1],
    target: 2,
    only: (args) => args,
  };
}

function popAny(view: View, args: Args, end: End): Reply {
  timeoutAt(args, args.count - 1);
  for (let i = 1; i < args.count - 1; i++) {
    const row = typedRowAt(view, args, i, rowType.LIST);
    if (row.live) return [args.at(i), popOne(view, row, end)];
  }
  return NULL_ARRAY;
}

function popMany(view: View, args: Args): Reply {
  const request = popRequest(args, 2);
  timeoutAt(args, 1);
  return popFirst(view, request) ?? NULL_ARRAY;
}

function moveBetween(view: View, args: Args): Reply {
  const from = endOf(args, 3);
  const to = endOf(args, 4);
  timeoutAt(args, 5);
  return moveElement(view, args, from, to) ?? null;
}

function moveLast(view: View, args: Args): Reply {
  timeoutAt(args, 3);
  return moveElement(view, args, 'tail', 'head') ?? null;
}

export const blockingListCommands: readonly Command[] = [
  listCommand({
    name: 'blpop',
    arity: -3,
    flags: ['write', 'noscript', 'blocking'],
    keys: ALL_BUT_LAST,
    access: 'transaction',
    doc: listDoc('Takes the first element of a list, waiting for one.', '2.0.0', 'O(N) for N keys'),
    run: (view, args) => popAny(view, args, 'head'),
    blocks: blocksOnKeys(rowType.LIST, undoPop('head')),
  }),
  listCommand({
    name: 'brpop',
    arity: -3,
    flags: ['write', 'noscript', 'blocking'],
    keys: ALL_BUT_LAST,
    access: 'transaction',
    doc: listDoc('Takes the last element of a list, waiting for one.', '2.0.0', 'O(N) for N keys'),
    run: (view, args) => popAny(view, args, 'tail'),
    blocks: blocksOnKeys(rowType.LIST, undoPop('tail')),
  }),
  listCommand({
    name: 'blmpop',
    arity: -5,
    flags: ['write', 'blocking', 'movablekeys'],
    keys: numberedKeys(2),
    access: 'transaction',
    doc: listDoc('Takes elements of the first list that has any, waiting for them.', '7.0.0', 'O(N+M)'),
    takesTurns: true,
    run: popMany,
    blocks: blocksOnNumberedKeys(rowType.LIST, undoPopMany),
  }),
  listCommand({
    name: 'blmove',
    arity: 6,
    flags: ['write', 'denyoom', 'noscript', 'blocking'],
    keys: TWO_KEYS,
    access: 'transaction',
    doc: listDoc('Takes an element of a list and puts it into another, waiting for one.', '6.2.0'),
    run: moveBetween,
    blocks: blocksOnSource(5),
  }),
  listCommand({
    name: 'brpoplpush',
    arity: 4,
    flags: ['write', 'denyoom', 'noscript', 'blocking'],
    keys: TWO_KEYS,
    access: 'transaction',
    doc: listDoc('Takes the last element of a list and puts it in front of another, waiting for one.', '2.2.0'),
    run: moveLast,
    blocks: blocksOnSource(3),
  }),
];
