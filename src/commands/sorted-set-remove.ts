/** Members that go by where they stand: ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX, ZPOPMIN, ZPOPMAX, ZMPOP. */

import { rowType } from '../repl/head.ts';
import type { TagRange } from '../repl/elements.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { typedRowAt } from './collection-row.ts';
import { BulksReply } from './bulks-reply.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { boundsOf } from './list-row.ts';
import { clampedIntegerOf, clampToSafe, parseInt64 } from './number.ts';
import { numberedKeys } from './numkeys.ts';
import { optionName, syntaxError } from './options.ts';
import { DoubleReply, NULL_ARRAY, PairsReply, type Reply } from './reply.ts';
import { type Scored, SortedSet, sortedSetCommand, sortedSetDoc } from './sorted-set-row.ts';
import { removeScored, type Selection, takeScored, takeScoredBulks } from './sorted-set-take.ts';
import { lexRangeAt, scoreRangeAt } from './sorted-set-words.ts';

const LOG_AND_M = 'O(log(N)+M) for M members removed';

export const sortedSetRemoveCommands: readonly Command[] = [
  sortedSetCommand({
    name: 'zremrangebyrank',
    arity: 4,
    flags: ['write'],
    access: 'update',
    doc: sortedSetDoc('Deletes the members between two places.', '2.0.0', LOG_AND_M),
    takesTurns: true,
    run: removeByRank,
  }),
  sortedSetCommand({
    name: 'zremrangebyscore',
    arity: 4,
    flags: ['write'],
    access: 'update',
    doc: sortedSetDoc('Deletes the members between two scores.', '1.2.0', LOG_AND_M),
    takesTurns: true,
    run: removeByScore,
  }),
  sortedSetCommand({
    name: 'zremrangebylex',
    arity: 4,
    flags: ['write'],
    access: 'update',
    doc: sortedSetDoc('Deletes the members between two strings.', '2.8.9', LOG_AND_M),
    takesTurns: true,
    run: removeByLex,
  }),
  sortedSetCommand({
    name: 'zpopmin',
    arity: -2,
    flags: ['write', 'fast'],
    access: 'update',
    doc: sortedSetDoc('Takes the members with the least scores.', '5.0.0', 'O(log(N)*M) for M members taken'),
    takesTurns: true,
    run: (view, args, context) => pop(view, args, 'min', context),
  }),
  sortedSetCommand({
    name: 'zpopmax',
    arity: -2,
    flags: ['write', 'fast'],
    access: 'update',
    doc: sortedSetDoc('Takes the members with the greatest scores.', '5.0.0', 'O(log(N)*M) for M members taken'),
    takesTurns: true,
    run: (view, args, context) => pop(view, args, 'max', context),
  }),
  sortedSetCommand({
    name: 'zmpop',
    arity: -4,
    flags: ['write', 'movablekeys'],
    keys: numberedKeys(1),
    access: 'transaction',
    doc: sortedSetDoc(
      'Takes members of the first sorted set that has any.',
      '7.0.0',
      'O(K)+O(M*log(N)) for K keys and M members taken',
    ),
    takesTurns: true,
    run: (view, args) => popFirstScored(view, scoredPopRequest(args, 1)) ?? NULL_ARRAY,
  }),
];

/** Which end of a sorted set. */
export type ScoreEnd = 'min' | 'max';

function removeByRank(view: View, args: Args): Reply {
  const from = clampedIntegerOf(args, 2);
  const to = clampedIntegerOf(args, 3);
  return removeFrom(view, args, (set) => {
    const [start, end] = boundsOf(from, to, set.count);
    if (start === end) return undefined;
    return { ...set.startAt(start, false), most: end - start };
  });
}

function removeByScore(view: View, args: Args): Reply {
  const range = scoreRangeAt(args, 2, 3);
  return removeFrom(view, args, (set) => allOf(set.scoreRange(range)));
}

function removeByLex(view: View, args: Args): Reply {
  const range = lexRangeAt(args, 2, 3);
  return removeFrom(view, args, (set) => allOf(set.lexRange(range)));
}

function allOf(range: TagRange | undefined): Selection | undefined {
  return range === undefined ? undefined : { range, skip: 0, most: Infinity };
}

function removeFrom(view: View, args: Args, choose: (set: SortedSet) => Selection | undefined): number {
  const row = typedRowAt(view, args, 1, rowType.SORTED_SET);
  if (!row.live) return 0;
  const selection = choose(new SortedSet(view.elements(row)));
  return selection === undefined ? 0 : removeScored(view, row, selection);
}

function pop(view: View, args: Args, from: ScoreEnd, { client }: Context): Reply {
  if (args.count > 3) throw syntaxError();
  const most = args.count === 3 ? positiveOf(args, 2) : undefined;
  const row = typedRowAt(view, args, 1, rowType.SORTED_SET);
  if (!row.live || most === 0) return [];
  // Only RESP3 puts each member with its score into an array of its own.
  const selection = { range: { reverse: from === 'max' }, skip: 0, most: most ?? 1 };
  const taken = client.protocol === 3 ? takeScored(view, row, selection) : takeScoredBulks(view, row, selection);
  if (taken instanceof BulksReply) return taken;
  const pairs = taken.map(({ member, score }): [Reply, Reply] => [member, new DoubleReply(score)]);
  return most === undefined ? (pairs[0] as [Reply, Reply]) : new PairsReply(pairs);
}

function positiveOf(args: Args, i: number): number {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined || value < 0) throw new CommandError('ERR value is out of range, must be positive');
  return clampToSafe(value);
}

/** Takes up to `most` members, in memory of their own, from an end of a live sorted set. Throws `Miss`, `LongChange`. */
export function popScored(view: View, row: Row, from: ScoreEnd, most: number): readonly Scored[] {
  return takeScored(view, row, { range: { reverse: from === 'max' }, skip: 0, most });
}

/** What ZMPOP and BZMPOP ask for: words [first, end) are the keys. */
export interface ScoredPopRequest {
  readonly args: Args;
  readonly first: number;
  readonly end: number;
  readonly from: ScoreEnd;
  readonly most: number;
}

/** Reads `numkeys key … MIN|MAX [COUNT count]` from word `at` on. Throws `CommandError`. */
export function scoredPopRequest(args: Args, at: number): ScoredPopRequest {
  const keys = countAt(args, at, 'ERR numkeys should be greater than 0');
  const first = at + 1;
  const end = first + keys;
  if (end >= args.count) throw syntaxError();
  const where = optionName(args, end);
  if (where !== 'MIN' && where !== 'MAX') throw syntaxError();
  let most: number | undefined;
  for (let i = end + 1; i < args.count; i += 2) {
    if (most !== undefined || optionName(args, i) !== 'COUNT' || i + 1 >= args.count) throw syntaxError();
    most = countAt(args, i + 1, 'ERR count should be greater than 0');
  }
  return { args, first, end, from: where === 'MIN' ? 'min' : 'max', most: most ?? 1 };
}

/**
 * Takes members of the first of the sorted sets that has any, and answers its key and them with their scores; undefined:
 * all are empty. A key of another type before that is an error. Throws `Miss`, `CommandError`.
 */
export function popFirstScored(view: View, { args, first, end, from, most }: ScoredPopRequest): Reply | undefined {
  for (let i = first; i < end; i++) {
    const row = typedRowAt(view, args, i, rowType.SORTED_SET);
    if (!row.live) continue;
    const taken = popScored(view, row, from, most);
    return [args.at(i), taken.map(({ member, score }) => [member, new DoubleReply(score)])];
  }
  return undefined;
}

function countAt(args: Args, i: number, message: string): number {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined || value < 1) throw new CommandError(message);
  return clampToSafe(value);
}
