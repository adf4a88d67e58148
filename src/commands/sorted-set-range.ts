/** Ranges of members: ZRANGE and its older forms, ZRANGESTORE. */

import { copyOf } from '../bytes.ts';
import type { CellsAhead } from '../repl/cells-ahead.ts';
import type { TagRange } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { BulksReply } from './bulks-reply.ts';
import { SLICED_FROM } from './collection-row.ts';
import { eachStepSliced, WRITTEN_ELEMENTS } from './collection-steps.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { rowAt, TWO_KEYS } from './key-row.ts';
import { boundsOf } from './list-row.ts';
import { inTurns } from './long-store.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { DoubleReply, PairsReply, type Reply } from './reply.ts';
import { inOneGo, type Sliced } from './sliced.ts';
import {
  addScored,
  memberOfOrder,
  scoreBulk,
  scoreOfOrder,
  lastingSortedSetAt,
  type Scored,
  type SortedSet,
  sortedSetAt,
  sortedSetCommand,
  sortedSetDoc,
  storeSortedSet,
} from './sorted-set-row.ts';
import { lexRangeAt, type LexRange, scoreRangeAt, type ScoreRange } from './sorted-set-words.ts';

const LOG_AND_M = 'O(log(N)+M) for M members returned';

/** Where the words of a range command stand, and what its name says already. */
interface Form {
  /** The word of the key; the bounds follow. */
  readonly key: number;
  readonly by: By | undefined;
  readonly reverse: boolean | undefined;
  readonly store: boolean;
}

type By = 'rank' | 'score' | 'lex';

function form(by: By | undefined, reverse: boolean | undefined): Form {
  return { key: 1, by, reverse, store: false };
}

const STORE: Form = { key: 2, by: undefined, reverse: undefined, store: true };

export const sortedSetRangeCommands: readonly Command[] = [
  rangeCommand('zrange', 'Returns a range of members.', '1.2.0', form(undefined, undefined)),
  rangeCommand('zrevrange', 'Returns a range of members, the last first.', '1.2.0', form('rank', true)),
  rangeCommand('zrangebyscore', 'Returns the members between two scores.', '1.0.5', form('score', false)),
  rangeCommand('zrevrangebyscore', 'As ZRANGEBYSCORE, the last first.', '2.2.0', form('score', true)),
  rangeCommand('zrangebylex', 'Returns the members between two strings.', '2.8.9', form('lex', false)),
  rangeCommand('zrevrangebylex', 'As ZRANGEBYLEX, the last first.', '2.8.9', form('lex', true)),
  sortedSetCommand({
    name: 'zrangestore',
    arity: -5,
    flags: ['write', 'denyoom'],
    keys: TWO_KEYS,
    access: 'transaction',
    takesTurns: true,
    doc: sortedSetDoc('Stores a range of members as another sorted set.', '6.2.0', 'O(log(N)+M) for M members stored'),
    run: store,
  }),
];

function rangeCommand(name: string, summary: string, since: string, words: Form): Command {
  return sortedSetCommand({
    name,
    arity: -4,
    flags: ['readonly'],
    access: 'read',
    doc: sortedSetDoc(summary, since, LOG_AND_M),
    run: (view, args) => inOneGo(range(view, args, words)),
    isLong: (view, args) => isLong(view, args, words),
    runSliced: (view, args, context) => range(view, args, words, context.client.protocol),
  });
}

/** What a range command asks for. */
interface Request {
  readonly bounds:
    | { readonly by: 'rank'; readonly start: number; readonly stop: number }
    | { readonly by: 'score'; readonly range: ScoreRange }
    | { readonly by: 'lex'; readonly range: LexRange };
  readonly reverse: boolean;
  readonly withScores: boolean;
  /** Members passed over first; negative: then there are none. */
  readonly offset: number;
  /** Negative: all. */
  readonly limit: number;
}

/** Options of a range command as they are read. */
interface Options {
  by: By | undefined;
  reverse: boolean | undefined;
  withScores: boolean;
  offset: number;
  limit: number;
}

function optionsOf(args: Args, words: Form): Options {
  const options: Options = { by: words.by, reverse: words.reverse, withScores: false, offset: 0, limit: -1 };
  for (let i = words.key + 3; i < args.count; i++) {
    const name = optionName(args, i);
    if (name === 'WITHSCORES' && !words.store) options.withScores = true;
    else if (name === 'LIMIT' && i + 2 < args.count) {
      options.offset = clampedIntegerOf(args, i + 1);
      options.limit = clampedIntegerOf(args, i + 2);
      i += 2;
    } else if (name === 'REV' && options.reverse === undefined) options.reverse = true;
    else if (name === 'BYLEX' && options.by === undefined) options.by = 'lex';
    else if (name === 'BYSCORE' && options.by === undefined) options.by = 'score';
    else throw syntaxError();
  }
  return options;
}

/** Throws `CommandError`. */
function requestOf(args: Args, words: Form): Request {
  const { by = 'rank', reverse = false, withScores, offset, limit } = optionsOf(args, words);
  if (limit !== -1 && by === 'rank') {
    throw new CommandError('ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX');
  }
  if (withScores && by === 'lex') {
    throw new CommandError('ERR syntax error, WITHSCORES not supported in combination with BYLEX');
  }
  const first = words.key + 1;
  const [min, max] = reverse && by !== 'rank' ? [first + 1, first] : [first, first + 1];
  const rest = { reverse, withScores, offset, limit };
  if (by === 'score') return { bounds: { by, range: scoreRangeAt(args, min, max) }, ...rest };
  if (by === 'lex') return { bounds: { by, range: lexRangeAt(args, min, max) }, ...rest };
  return { bounds: { by, start: clampedIntegerOf(args, min), stop: clampedIntegerOf(args, max) }, ...rest };
}

/** Members [skip, skip + most) of a walk over a range. */
interface Selection {
  readonly range: TagRange;
  readonly skip: number;
  readonly most: number;
}

/** Undefined: there can be none. Throws `Miss`. */
function selectionOf(set: SortedSet, { bounds, reverse, offset, limit }: Request): Selection | undefined {
  if (bounds.by === 'rank') {
    const [start, end] = boundsOf(bounds.start, bounds.stop, set.count);
    if (start === end) return undefined;
    const place = reverse ? set.count - 1 - start : start;
    return { ...set.startAt(place, reverse), most: end - start };
  }
  if (offset < 0 || limit === 0) return undefined;
  const range = bounds.by === 'score' ? set.scoreRange(bounds.range, reverse) : set.lexRange(bounds.range, reverse);
  return range === undefined ? undefined : { range, skip: offset, most: limit < 0 ? Infinity : limit };
}

function isLong(view: View, args: Args, words: Form): boolean {
  const request = requestOf(args, words);
  const set = sortedSetAt(view, args, words.key);
  if (set === undefined || set.count <= SLICED_FROM) return false;
  const selection = selectionOf(set, request);
  return selection !== undefined && isLongSelection(set, selection);
}

function isLongSelection({ count }: SortedSet, { skip, most }: Selection): boolean {
  return Math.min(skip + most, count) > SLICED_FROM;
}

/** `protocol`: of a client to whom it is written down as it is made, over several turns. */
function* range(view: View, args: Args, words: Form, protocol?: 2 | 3): Sliced<Reply> {
  const request = requestOf(args, words);
  const { withScores } = request;
  const set = (protocol === undefined ? sortedSetAt : lastingSortedSetAt)(view, args, words.key);
  const selection = set === undefined ? undefined : selectionOf(set, request);
  const members: Reply[] = [];
  // Only RESP3 puts each member with its score into an array of its own.
  const isFlat = protocol !== undefined && !(withScores && protocol === 3);
  const bulks = isFlat ? new BulksReply('array') : undefined;
  const pairs: [Reply, Reply][] = [];
  if (set !== undefined && selection !== undefined) {
    let { skip } = selection;
    let left = selection.most;
    yield* eachStepSliced(set.walk(selection.range), (key) => {
      if (skip > 0) {
        skip--;
        return true;
      }
      const member = memberOfOrder(key);
      if (bulks !== undefined) {
        bulks.add(member);
        if (withScores) bulks.add(scoreBulk(scoreOfOrder(key)));
      } else if (withScores) pairs.push([copyOf(member), new DoubleReply(scoreOfOrder(key))]);
      else members.push(copyOf(member));
      return --left > 0;
    });
  }
  return bulks ?? (withScores ? new PairsReply(pairs) : members);
}

function store(view: View, args: Args): Reply {
  const request = requestOf(args, STORE);
  const set = sortedSetAt(view, args, STORE.key);
  const selection = set === undefined ? undefined : selectionOf(set, request);
  const target = rowAt(view, args, 1);
  const isLong = set !== undefined && selection !== undefined && isLongSelection(set, selection);
  const becoming = { type: rowType.SORTED_SET, expiresAtMs: 0, isLong };
  const stored = inTurns(view, target, becoming, function* (cells) {
    cells.begin();
    if (set !== undefined && selection !== undefined) yield* storeRange(set, selection, cells);
    return cells.count;
  });
  if (stored !== undefined) return stored;
  const members: Scored[] =
    set === undefined || selection === undefined ? [] : set.list(selection.range, selection.most, selection.skip);
  return storeSortedSet(view, target, members);
}

function* storeRange(set: SortedSet, { range, skip, most }: Selection, cells: CellsAhead): Sliced<void> {
  let toSkip = skip;
  let left = most;
  const steps = set.walk(range);
  yield* eachStepSliced(
    steps,
    (key) => {
      if (toSkip-- > 0) return true;
      addScored(cells, memberOfOrder(key), scoreOfOrder(key));
      return --left > 0;
    },
    WRITTEN_ELEMENTS,
  );
}
