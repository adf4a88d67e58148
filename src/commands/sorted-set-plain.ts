/** Members of a sorted set one by one: ZADD, ZINCRBY, ZREM, ZSCORE, ZMSCORE, ZCARD. */

import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { removeIfEmpty, typedRowAt } from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { optionName, syntaxError } from './options.ts';
import { DoubleReply, type Reply } from './reply.ts';
import { SortedSet, sortedSetAt, sortedSetCommand, sortedSetDoc, sortedSetToFill } from './sorted-set-row.ts';
import { scoreAt } from './sorted-set-words.ts';

export const plainSortedSetCommands: readonly Command[] = [
  sortedSetCommand({
    name: 'zadd',
    arity: -4,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: sortedSetDoc('Gives members scores.', '1.2.0', 'O(log(N)) for each member'),
    run: (view, args) => add(view, args, false),
  }),
  sortedSetCommand({
    name: 'zincrby',
    arity: 4,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: sortedSetDoc('Adds to the score of a member.', '1.2.0', 'O(log(N))'),
    run: (view, args) => add(view, args, true),
  }),
  sortedSetCommand({
    name: 'zrem',
    arity: -3,
    flags: ['write', 'fast'],
    access: 'update',
    doc: sortedSetDoc('Deletes members.', '1.2.0', 'O(M*log(N)) for M members'),
    run: remove,
  }),
  sortedSetCommand({
    name: 'zscore',
    arity: 3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: sortedSetDoc('Returns the score of a member.', '1.2.0'),
    run: (view, args) => scoreReply(sortedSetAt(view, args, 1)?.score(args.at(2))),
  }),
  sortedSetCommand({
    name: 'zmscore',
    arity: -3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: sortedSetDoc('Returns the scores of several members.', '6.2.0', 'O(N) for N members'),
    run: scores,
  }),
  sortedSetCommand({
    name: 'zcard',
    arity: 2,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: sortedSetDoc('Returns the number of members.', '1.2.0'),
    run: (view, args) => sortedSetAt(view, args, 1)?.count ?? 0,
  }),
];

function scoreReply(score: number | undefined): Reply {
  return score === undefined ? null : new DoubleReply(score);
}

function scores(view: View, args: Args): Reply {
  const set = sortedSetAt(view, args, 1);
  const replies: Reply[] = [];
  for (let i = 2; i < args.count; i++) replies.push(scoreReply(set?.score(args.at(i))));
  return replies;
}

function remove(view: View, args: Args): Reply {
  const row = typedRowAt(view, args, 1, rowType.SORTED_SET);
  if (!row.live) return 0;
  const set = new SortedSet(view.elements(row));
  let removed = 0;
  for (let i = 2; i < args.count; i++) if (set.remove(args.at(i))) removed++;
  removeIfEmpty(view, row);
  return removed;
}

/** What ZADD is told besides members and scores. */
export interface AddOptions {
  /** `absent`: only new members; `present`: only those that are there. */
  readonly only: 'any' | 'absent' | 'present';
  /** A score changes only to a greater one, or a smaller one. */
  readonly direction: 'any' | 'greater' | 'less';
  /** The reply counts changed members too. */
  readonly countChanged: boolean;
  readonly increment: boolean;
  /** The word of the first score. */
  readonly first: number;
}

/** Bits of the options. */
const option = { NX: 1, XX: 2, GT: 4, LT: 8, CH: 16, INCR: 32 } as const;

const LETTERS = 0x41;

/** The bit of the option that word i names; 0: it is none, so the scores begin. */
function optionAt(args: Args, i: number): number {
  // Most scores begin with a digit.
  if (args.length(i) === 0 || (args.bytes[args.starts[i] as number] as number) < LETTERS) return 0;
  const name = optionName(args, i);
  return name in option ? option[name as keyof typeof option] : 0;
}

const PLAIN: AddOptions = { only: 'any', direction: 'any', countChanged: false, increment: false, first: 2 };

function addOptions(args: Args, increment: boolean): AddOptions {
  let given = increment ? option.INCR : 0;
  let first = 2;
  for (; first < args.count; first++) {
    const bit = optionAt(args, first);
    if (bit === 0) break;
    given |= bit;
  }
  const words = args.count - first;
  if (words === 0 || words % 2 !== 0) throw syntaxError();
  if (given === 0) return PLAIN;
  const [isAbsent, isGreater, isLess] = [has(given, option.NX), has(given, option.GT), has(given, option.LT)];
  if (isAbsent && has(given, option.XX)) {
    throw new CommandError('ERR XX and NX options at the same time are not compatible');
  }
  if (Number(isGreater) + Number(isLess) + Number(isAbsent) > 1) {
    throw new CommandError('ERR GT, LT, and/or NX options at the same time are not compatible');
  }
  if (has(given, option.INCR) && words > 2) {
    throw new CommandError('ERR INCR option supports a single increment-element pair');
  }
  return {
    only: isAbsent ? 'absent' : has(given, option.XX) ? 'present' : 'any',
    direction: isGreater ? 'greater' : isLess ? 'less' : 'any',
    countChanged: has(given, option.CH),
    increment: has(given, option.INCR),
    first,
  };
}

function has(given: number, bit: number): boolean {
  return (given & bit) !== 0;
}

function add(view: View, args: Args, increment: boolean): Reply {
  const options = addOptions(args, increment);
  const { first } = options;
  const firstScore = scoreAt(args, first);
  // All scores are read before anything is looked up, for the order of errors.
  const others: number[] = [];
  for (let i = first + 2; i < args.count; i += 2) others.push(scoreAt(args, i));
  const row = typedRowAt(view, args, 1, rowType.SORTED_SET);
  if (!row.live && options.only === 'present') return options.increment ? null : 0;
  const set = sortedSetToFill(view, row);
  if (options.increment) return scoreReply(addTo(set, args.at(first + 1), firstScore, options));
  let added = 0;
  let changed = 0;
  for (let i = first; i < args.count; i += 2) {
    const score = i === first ? firstScore : (others[(i - first) / 2 - 1] as number);
    const put = putScore(set, args.at(i + 1), score, options);
    if (put === 'added') added++;
    else if (put === 'changed') changed++;
  }
  return options.countChanged ? added + changed : added;
}

/** Undefined: the options keep the member from it. Throws `Miss`. */
export function putScore(
  set: SortedSet,
  member: Uint8Array,
  score: number,
  options: Pick<AddOptions, 'only' | 'direction'>,
): 'added' | 'changed' | 'same' | undefined {
  if (options.only === 'any' && options.direction === 'any') return set.put(member, score);
  const before = set.score(member);
  if (before === undefined) return options.only === 'present' ? undefined : set.put(member, score);
  return mayChange(before, score, options) ? set.put(member, score) : undefined;
}

function mayChange(
  before: number,
  score: number,
  { only, direction }: Pick<AddOptions, 'only' | 'direction'>,
): boolean {
  if (only === 'absent') return false;
  return direction === 'any' || (direction === 'greater' ? score > before : score < before);
}

/** The new score; undefined: the options keep the member from it. Throws `Miss`, `CommandError`. */
function addTo(set: SortedSet, member: Uint8Array, by: number, options: AddOptions): number | undefined {
  const before = set.score(member);
  if (before === undefined) {
    if (options.only === 'present') return undefined;
    set.add(member, by);
    return by;
  }
  if (options.only === 'absent') return undefined;
  const score = before + by;
  if (Number.isNaN(score)) throw new CommandError('ERR resulting score is not a number (NaN)');
  if (!mayChange(before, score, options)) return undefined;
  set.put(member, score);
  return score;
}
