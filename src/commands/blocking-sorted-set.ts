/** Sorted sets that are waited for: BZPOPMIN BZPOPMAX BZMPOP. Each is its form that does not wait, and how it waits. */

import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import { Args } from './args.ts';
import { blocksOnKeys, blocksOnNumberedKeys, bytesOf, timeoutAt } from './blocking.ts';
import { typedRowAt } from './collection-row.ts';
import type { Command, KeyRange } from './command.ts';
import { doubleText } from './double-text.ts';
import { numberedKeys } from './numkeys.ts';
import { DoubleReply, NULL_ARRAY, type Reply } from './reply.ts';
import { popFirstScored, popScored, type ScoreEnd, scoredPopRequest } from './sorted-set-remove.ts';
import { sortedSetCommand, sortedSetDoc } from './sorted-set-row.ts';

const ALL_BUT_LAST: KeyRange = { first: 1, last: -2, step: 1 };

/** Members with their scores, put in again; a member that has come back meanwhile keeps its new score. */
function addAgain(key: Uint8Array, members: readonly (readonly [Reply, Reply])[]): Args {
  const words = members.flatMap(([member, score]) => [doubleText((score as DoubleReply).value), bytesOf(member)]);
  return Args.of('zadd', key, 'NX', ...words);
}

function undoPop(args: Args, i: number, reply: Reply): Args {
  const [, member, score] = reply as readonly [Reply, Reply, Reply];
  return addAgain(args.at(i), [[member, score]]);
}

function undoPopMany(args: Args, i: number, reply: Reply): Args {
  const [, members] = reply as readonly [Reply, readonly (readonly [Reply, Reply])[]];
  return addAgain(args.at(i), members);
}

function popAny(view: View, args: Args, from: ScoreEnd): Reply {
  timeoutAt(args, args.count - 1);
  for (let i = 1; i < args.count - 1; i++) {
    const row = typedRowAt(view, args, i, rowType.SORTED_SET);
    if (!row.live) continue;
    const [taken] = popScored(view, row, from, 1);
    if (taken !== undefined) return [args.at(i), taken.member, new DoubleReply(taken.score)];
  }
  return NULL_ARRAY;
}

function popMany(view: View, args: Args): Reply {
  const request = scoredPopRequest(args, 2);
  timeoutAt(args, 1);
  return popFirstScored(view, request) ?? NULL_ARRAY;
}

export const blockingSortedSetCommands: readonly Command[] = [
  sortedSetCommand({
    name: 'bzpopmin',
    arity: -3,
    flags: ['write', 'noscript', 'blocking', 'fast'],
    keys: ALL_BUT_LAST,
    access: 'transaction',
    doc: sortedSetDoc('Takes the member with the lowest score, waiting for one.', '5.0.0', 'O(log(N))'),
    run: (view, args) => popAny(view, args, 'min'),
    blocks: blocksOnKeys(rowType.SORTED_SET, undoPop),
  }),
  sortedSetCommand({
    name: 'bzpopmax',
    arity: -3,
    flags: ['write', 'noscript', 'blocking', 'fast'],
    keys: ALL_BUT_LAST,
    access: 'transaction',
    doc: sortedSetDoc('Takes the member with the highest score, waiting for one.', '5.0.0', 'O(log(N))'),
    run: (view, args) => popAny(view, args, 'max'),
    blocks: blocksOnKeys(rowType.SORTED_SET, undoPop),
  }),
  sortedSetCommand({
    name: 'bzmpop',
    arity: -5,
    flags: ['write', 'blocking', 'movablekeys'],
    keys: numberedKeys(2),
    access: 'transaction',
    doc: sortedSetDoc(
      'Takes members of the first sorted set that has any, waiting for them.',
      '7.0.0',
      'O(K)+O(M*log(N)) for K keys and M members taken',
    ),
    takesTurns: true,
    run: popMany,
    blocks: blocksOnNumberedKeys(rowType.SORTED_SET, undoPopMany),
  }),
];
