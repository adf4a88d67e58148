/** Places and counts: ZRANK, ZREVRANK, ZCOUNT, ZLEXCOUNT. */

import type { TagRange } from '../repl/elements.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { optionName, syntaxError } from './options.ts';
import { DoubleReply, NULL_ARRAY, type Reply } from './reply.ts';
import { orderKey, type SortedSet, sortedSetAt, sortedSetCommand, sortedSetDoc } from './sorted-set-row.ts';
import { lexRangeAt, scoreRangeAt } from './sorted-set-words.ts';

export const sortedSetRankCommands: readonly Command[] = [
  sortedSetCommand({
    name: 'zrank',
    arity: -3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: sortedSetDoc('Returns the place of a member in the order of scores.', '2.0.0', 'O(log(N))'),
    run: (view, args) => rank(view, args, false),
  }),
  sortedSetCommand({
    name: 'zrevrank',
    arity: -3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: sortedSetDoc('Returns the place of a member, counted from the greatest score.', '2.0.0', 'O(log(N))'),
    run: (view, args) => rank(view, args, true),
  }),
  sortedSetCommand({
    name: 'zcount',
    arity: 4,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: sortedSetDoc('Counts the members between two scores.', '2.0.0', 'O(log(N))'),
    run: countByScore,
  }),
  sortedSetCommand({
    name: 'zlexcount',
    arity: 4,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: sortedSetDoc('Counts the members between two strings.', '2.8.9', 'O(log(N))'),
    run: countByLex,
  }),
];

function rank(view: View, args: Args, reverse: boolean): Reply {
  const withScore = args.count > 3;
  if (args.count > 4 || (withScore && optionName(args, 3) !== 'WITHSCORE')) throw syntaxError();
  const set = sortedSetAt(view, args, 1);
  const member = args.at(2);
  const score = set?.score(member);
  if (set === undefined || score === undefined) return withScore ? NULL_ARRAY : null;
  const before = set.countIn({ upper: orderKey(score, member) });
  const place = reverse ? set.count - 1 - before : before;
  return withScore ? [place, new DoubleReply(score)] : place;
}

function countIn(set: SortedSet, range: TagRange | undefined): number {
  return range === undefined ? 0 : set.countIn(range);
}

function countByScore(view: View, args: Args): Reply {
  const range = scoreRangeAt(args, 2, 3);
  const set = sortedSetAt(view, args, 1);
  return set === undefined ? 0 : countIn(set, set.scoreRange(range));
}

function countByLex(view: View, args: Args): Reply {
  const range = lexRangeAt(args, 2, 3);
  const set = sortedSetAt(view, args, 1);
  return set === undefined ? 0 : countIn(set, set.lexRange(range));
}
