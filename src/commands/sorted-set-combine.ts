/**
 * Sorted sets made of sorted sets and sets: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD. Members of a set have
 * score 1.
 *
 * The smallest is taken first, as in Redis: the order in which scores are added shows in their last digits.
 */

import { compareBytes } from '../bytes.ts';
import { ELEMENT, type Elements, type ElementSteps } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import { Miss } from '../repl/miss.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { BulksReply } from './bulks-reply.ts';
import { SLICED_FROM } from './collection-row.ts';
import { eachStepSliced } from './collection-steps.ts';
import type { Command, Context } from './command.ts';
import { CommandError, WRONG_TYPE } from './errors.ts';
import { rowAt } from './key-row.ts';
import { inTurns } from './long-store.ts';
import { memberCopy } from './member-key.ts';
import { clampedIntegerOf, clampToSafe, parseInt64 } from './number.ts';
import { numberedKeys } from './numkeys.ts';
import { optionName, syntaxError } from './options.ts';
import { sortSliced } from './sort-sliced.ts';
import { DoubleReply, PairsReply, type Reply } from './reply.ts';
import { MembershipSteps, MOST_PASSED, SideBySide } from './set-steps.ts';
import { inOneGo, type Sliced } from './sliced.ts';
import {
  compareScored,
  scoreBulk,
  scoreOf,
  type Scored,
  sortedSetCommand,
  sortedSetDoc,
  storeScoredSliced,
  storeSortedSet,
} from './sorted-set-row.ts';
import { scoreAt } from './sorted-set-words.ts';

type Operation = 'union' | 'inter' | 'diff';
type Aggregate = 'SUM' | 'MIN' | 'MAX';

/** Members written into a long reply between two rests: about a millisecond. */
const WRITTEN_BETWEEN_RESTS = 3000;

/** Members united between two rests: about a millisecond. */
const UNITED_BETWEEN_RESTS = 1000;

const UNION_COST = 'O(N)+O(M*log(M)) for N members of all sets and M of the result';
const INTER_COST = 'O(N*K)+O(M*log(M)) for N members of the smallest of K sets and M of the result';
const DIFF_COST = 'O(L+(N-K)log(N)) for L members of all sets, N of the first and K of the result';

export const sortedSetCombineCommands: readonly Command[] = [
  ...both('union', 'the members that any of several sorted sets has', UNION_COST, '2.0.0'),
  ...both('inter', 'the members that all of several sorted sets have', INTER_COST, '2.0.0'),
  ...both('diff', 'the members that the first sorted set has and the others have not', DIFF_COST, '6.2.0'),
  sortedSetCommand({
    name: 'zintercard',
    arity: -3,
    flags: ['readonly', 'movablekeys'],
    keys: numberedKeys(1),
    access: 'read',
    doc: sortedSetDoc('Counts the members that all of several sorted sets have.', '7.0.0', INTER_COST),
    run: countIntersection,
    isLong: (view, args) => isLong(view, args, 'inter'),
    runSliced: countSliced,
  }),
];

/** The row that returns what an operation makes, and the one that stores it. */
function both(operation: Operation, what: string, complexity: string, storeSince: string): readonly Command[] {
  return [
    sortedSetCommand({
      name: `z${operation}`,
      arity: -3,
      flags: ['readonly', 'movablekeys'],
      keys: numberedKeys(1),
      access: 'read',
      doc: sortedSetDoc(`Returns ${what}.`, '6.2.0', complexity),
      run: (view, args) => inOneGo(combined(view, args, operation)),
      isLong: (view, args) => isLong(view, args, operation),
      runSliced: (view, args, context) => combinedSliced(view, args, context, operation),
    }),
    sortedSetCommand({
      name: `z${operation}store`,
      arity: -4,
      flags: ['write', 'denyoom', 'movablekeys'],
      keys: numberedKeys(2, true),
      access: 'transaction',
      takesTurns: true,
      doc: sortedSetDoc(`Stores ${what}.`, storeSince, complexity),
      run: (view, args) => store(view, args, operation),
    }),
  ];
}

/** One of the sets that are combined. */
interface Source {
  /** Undefined: there is no such key. */
  readonly elements: Elements | undefined;
  readonly count: number;
  readonly isSet: boolean;
  weight: number;
}

interface Request {
  readonly sources: readonly Source[];
  readonly aggregate: Aggregate;
  readonly withScores: boolean;
  /** ZINTERCARD; 0: none. */
  readonly limit: number;
}

/** What options a command takes. */
type Form = 'reply' | 'store' | 'count';

interface Words {
  /** The word of the number of keys. */
  readonly at: number;
  readonly operation: Operation;
  readonly form: Form;
  /** All is read before anything else runs. */
  readonly inOneTurn: boolean;
}

/** The keys of the forms that do not store. */
const KEYS = numberedKeys(1);

/** Reads the words from the number of keys, at word `at`, on. Throws `Miss`, `CommandError`. */
function requestOf(view: View, args: Args, { at, operation, form, inOneTurn }: Words): Request {
  const keys = clampedIntegerOf(args, at);
  if (keys < 1) {
    const name = args.text(0).toLowerCase();
    throw new CommandError(`ERR at least 1 input key is needed for '${name}' command`);
  }
  const end = at + 1 + keys;
  if (end > args.count) throw syntaxError();
  const sources: Source[] = [];
  for (let i = at + 1; i < end; i++) sources.push(sourceAt(view, args, i, inOneTurn));
  let aggregate: Aggregate = 'SUM';
  let withScores = false;
  let limit = 0;
  const mayWeigh = operation !== 'diff' && form !== 'count';
  for (let i = end; i < args.count; i++) {
    const name = optionName(args, i);
    if (name === 'WEIGHTS' && mayWeigh && i + keys < args.count) {
      for (const source of sources) source.weight = scoreAt(args, ++i, 'ERR weight value is not a float');
    } else if (name === 'AGGREGATE' && mayWeigh && i + 1 < args.count) aggregate = aggregateAt(args, ++i);
    else if (name === 'WITHSCORES' && form === 'reply') withScores = true;
    else if (name === 'LIMIT' && form === 'count' && i + 1 < args.count) limit = limitAt(args, ++i);
    else throw syntaxError();
  }
  return { sources, aggregate, withScores, limit };
}

function sourceAt(view: View, args: Args, i: number, inOneTurn: boolean): Source {
  const row = rowAt(view, args, i);
  if (!row.live) return { elements: undefined, count: 0, isSet: false, weight: 1 };
  if (row.type !== rowType.SORTED_SET && row.type !== rowType.SET) throw new CommandError(WRONG_TYPE);
  const elements = inOneTurn ? view.elements(row) : view.lastingElements(row);
  return { elements, count: elements.count, isSet: row.type === rowType.SET, weight: 1 };
}

function aggregateAt(args: Args, i: number): Aggregate {
  const name = optionName(args, i);
  if (name !== 'SUM' && name !== 'MIN' && name !== 'MAX') throw syntaxError();
  return name;
}

function limitAt(args: Args, i: number): number {
  const limit = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (limit === undefined || limit < 0) throw new CommandError("ERR LIMIT can't be negative");
  return clampToSafe(limit);
}

function* combined(view: View, args: Args, operation: Operation): Sliced<Reply> {
  const request = requestOf(view, args, { at: 1, operation, form: 'reply', inOneTurn: true });
  const members = yield* sortSliced(yield* combine(request, operation), compareScored);
  if (!request.withScores) return members.map(({ member }) => member);
  return new PairsReply(members.map(({ member, score }) => [member, new DoubleReply(score)]));
}

/** As `combined`, over several turns: also what is returned is written down as it is made. */
function* combinedSliced(view: View, args: Args, { client }: Context, operation: Operation): Sliced<Reply> {
  const request = requestOf(view, args, { at: 1, operation, form: 'reply', inOneTurn: false });
  const { withScores } = request;
  const members = yield* sortSliced(yield* combineSliced(request, operation), compareScored);
  if (withScores && client.protocol === 3) {
    return new PairsReply(members.map(({ member, score }) => [member, new DoubleReply(score)]));
  }
  const reply = new BulksReply('array');
  for (const [i, { member, score }] of members.entries()) {
    reply.add(member);
    if (withScores) reply.add(scoreBulk(score));
    if (i % WRITTEN_BETWEEN_RESTS === WRITTEN_BETWEEN_RESTS - 1) yield undefined;
  }
  return reply;
}

/** Whether so many members are gone through that it is done in slices. Throws `Miss`. */
function isLong(view: View, args: Args, operation: Operation): boolean {
  const counts = KEYS.find(args).map((i) => {
    const row = rowAt(view, args, i);
    const isOne = row.live && (row.type === rowType.SORTED_SET || row.type === rowType.SET);
    return isOne ? view.elements(row).count : 0;
  });
  return isLongWork(counts, operation);
}

function isLongWork(counts: readonly number[], operation: Operation): boolean {
  if (operation === 'inter') return Math.min(...counts) > SLICED_FROM;
  if (operation === 'diff') return (counts[0] ?? 0) > SLICED_FROM;
  return counts.reduce((sum, count) => sum + count, 0) > SLICED_FROM;
}

function store(view: View, args: Args, operation: Operation): Reply {
  const words = { at: 2, operation, form: 'store' } as const;
  const request = requestOf(view, args, { ...words, inOneTurn: true });
  const target = rowAt(view, args, 1);
  const counts = request.sources.map(({ count }) => count);
  const becoming = { type: rowType.SORTED_SET, expiresAtMs: 0, isLong: isLongWork(counts, operation) };
  const stored = inTurns(view, target, becoming, function* (cells) {
    const lasting = requestOf(view, args, { ...words, inOneTurn: false });
    return yield* storeScoredSliced(cells, yield* combineSliced(lasting, operation));
  });
  if (stored !== undefined) return stored;
  return storeSortedSet(view, target, inOneGo(combine(request, operation)));
}

function countIntersection(view: View, args: Args): Reply {
  const { sources, limit } = requestOf(view, args, { at: 1, operation: 'inter', form: 'count', inOneTurn: true });
  let count = 0;
  eachInAll(bySize(sources), () => ++count !== limit);
  return count;
}

function* countSliced(view: View, args: Args): Sliced<Reply> {
  const { sources, limit } = requestOf(view, args, { at: 1, operation: 'inter', form: 'count', inOneTurn: false });
  let count = 0;
  yield* eachInAllSliced(bySize(sources), () => ++count !== limit);
  return count;
}

/** The members of the result, in no order, in memory of their own. */
function* combine({ sources, aggregate }: Request, operation: Operation): Sliced<Scored[]> {
  if (operation === 'union') return yield* union(sources, aggregate);
  const members: Scored[] = [];
  if (operation === 'diff') difference(sources, members);
  else {
    const sorted = bySize(sources);
    eachInAll(sorted, (key, scores) => {
      members.push({ member: memberCopy(key), score: total(sorted, aggregate, scores) });
      return true;
    });
  }
  return members;
}

/**
 * As `combine`, over several turns: what looks into other sets than the one it walks over goes through them side by side
 * instead, by walks that were opened together and so see one moment.
 */
function* combineSliced(request: Request, operation: Operation): Sliced<Scored[]> {
  const { sources, aggregate } = request;
  if (operation === 'union') return yield* union(sources, aggregate);
  const members: Scored[] = [];
  if (operation === 'diff') yield* differenceSliced(sources, members);
  else {
    const sorted = bySize(sources);
    yield* eachInAllSliced(sorted, (key, scores) => {
      members.push({ member: memberCopy(key), score: total(sorted, aggregate, scores) });
      return true;
    });
  }
  return members;
}

/** The score of a member that each of the sources has. */
function total(sources: readonly Source[], aggregate: Aggregate, scores: readonly number[]): number {
  let score = 0;
  scores.forEach((each, i) => {
    const weighted = weigh(sources[i] as Source, each);
    score = i === 0 ? weighted : aggregated(aggregate, score, weighted);
  });
  return score;
}

function bySize(sources: readonly Source[]): Source[] {
  return sources.toSorted((a, b) => a.count - b.count);
}

/** A walk over one of the sets that are united. */
interface UnitedWalk {
  readonly source: Source;
  readonly steps: ElementSteps;
  /** It stands on an element that is not in the result yet. */
  ahead: boolean;
  ended: boolean;
}

/** Members stand in one order in all sets, so the walks go side by side; opened together they see one moment. */
function* union(sources: readonly Source[], aggregate: Aggregate): Sliced<Scored[]> {
  const all: Scored[] = [];
  const walks: UnitedWalk[] = [];
  for (const source of bySize(sources)) {
    const steps = source.elements?.walk(ELEMENT);
    if (steps !== undefined) walks.push({ source, steps, ahead: false, ended: false });
  }
  try {
    for (;;) {
      try {
        for (const walk of walks) stepAhead(walk);
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        yield thrown.load();
        continue;
      }
      const member = takeLeast(walks, aggregate);
      if (member === undefined) return all;
      if (all.push(member) % UNITED_BETWEEN_RESTS === 0) yield undefined;
    }
  } finally {
    for (const { steps } of walks) steps.close();
  }
}

/** Throws `Miss`; then it is called again. */
function stepAhead(walk: UnitedWalk): void {
  if (walk.ahead || walk.ended) return;
  walk.ahead = walk.steps.next();
  walk.ended = !walk.ahead;
}

/** The first member on which any of the walks stands; undefined: all have ended. */
function takeLeast(walks: readonly UnitedWalk[], aggregate: Aggregate): Scored | undefined {
  let least: Uint8Array | undefined;
  for (const { ahead, steps } of walks) {
    if (ahead && (least === undefined || compareBytes(steps.key, least) < 0)) least = steps.key;
  }
  if (least === undefined) return undefined;
  let score: number | undefined;
  for (const walk of walks) {
    const { source, steps } = walk;
    if (!walk.ahead || compareBytes(steps.key, least) !== 0) continue;
    const weighed = weigh(source, scoreIn(source, steps.value));
    score = score === undefined ? weighed : aggregated(aggregate, score, weighed);
    walk.ahead = false;
  }
  return { member: memberCopy(least), score: score ?? 0 };
}

/** Calls `visit` with each member that all sources have, and its score in each, until it returns false. Throws `Miss`. */
function eachInAll(sources: readonly Source[], visit: (key: Uint8Array, scores: readonly number[]) => boolean): void {
  const [smallest, ...others] = sources;
  if (smallest?.elements === undefined) return;
  smallest.elements.each(ELEMENT, {}, (key, value) => {
    const scores = [scoreIn(smallest, value)];
    for (const other of others) {
      const found = other.elements?.get(ELEMENT, key);
      if (found === undefined) return true;
      scores.push(scoreIn(other, found));
    }
    return visit(key, scores);
  });
}

/** As `eachInAll`, over several turns. */
function* eachInAllSliced(
  sources: readonly Source[],
  visit: (key: Uint8Array, scores: readonly number[]) => boolean,
): Sliced<void> {
  const [smallest, ...others] = sources;
  if (smallest?.elements === undefined || others.some(({ elements }) => elements === undefined)) return;
  let steps = smallest.elements.walk(ELEMENT);
  const walks = others.map(({ elements }) => new SideBySide(elements as Elements, MOST_PASSED));
  for (const walk of walks) steps = new MembershipSteps(steps, walk, true, MOST_PASSED);
  yield* eachStepSliced(steps, (key, value) => {
    const scores = [scoreIn(smallest, value)];
    for (const [i, walk] of walks.entries()) scores.push(scoreIn(others[i] as Source, walk.value));
    return visit(key, scores);
  });
}

function* differenceSliced([first, ...others]: readonly Source[], members: Scored[]): Sliced<void> {
  if (first?.elements === undefined) return;
  let steps = first.elements.walk(ELEMENT);
  for (const { elements } of others) {
    if (elements === undefined) continue;
    steps = new MembershipSteps(steps, new SideBySide(elements, MOST_PASSED), false, MOST_PASSED);
  }
  yield* eachStepSliced(steps, (key, value) => {
    members.push({ member: memberCopy(key), score: scoreIn(first, value) });
  });
}

function difference([first, ...others]: readonly Source[], members: Scored[]): void {
  first?.elements?.each(ELEMENT, {}, (key, value) => {
    if (others.some(({ elements }) => elements?.has(ELEMENT, key) === true)) return;
    members.push({ member: memberCopy(key), score: scoreIn(first, value) });
  });
}

function scoreIn({ isSet }: Source, value: Uint8Array): number {
  return isSet ? 1 : scoreOf(value);
}

function weigh({ weight }: Source, score: number): number {
  const weighted = weight * score;
  return Number.isNaN(weighted) ? 0 : weighted;
}

function aggregated(aggregate: Aggregate, a: number, b: number): number {
  if (aggregate === 'MIN') return Math.min(a, b);
  if (aggregate === 'MAX') return Math.max(a, b);
  const sum = a + b;
  // Infinity and minus infinity make 0, as in Redis.
  return Number.isNaN(sum) ? 0 : sum;
}
