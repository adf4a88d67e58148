/**
 * Trimming streams: the options that XADD and XTRIM share, and what goes.
 *
 * Redis keeps entries in nodes of 100 and trims whole nodes where `~` allows it. There are no nodes here, but the same
 * count: entries go by hundreds of those ever added, so that most XADDs with `MAXLEN ~` delete nothing, and replies are
 * Redis's as long as XDEL has made no gaps and entries are small (Redis also ends a node at 4 KiB).
 */

import { compareBytes, copyOf } from '../bytes.ts';
import type { Elements } from '../repl/elements.ts';
import { LongChange } from '../repl/long-change.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { eachSliced } from './collection-row.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { GREATEST_ID, idAfter, idAt, LEAST_ID, type StreamId, type WantedId, wantedIdAt } from './stream-id.ts';
import { type DeletionPolicy, forget, isNeeded, policyOf } from './stream-deletion.ts';
import { Group } from './stream-group.ts';
import type { Sliced } from './sliced.ts';
import { Stream } from './stream-row.ts';

/** Redis's default of stream-node-max-entries. */
const NODE_ENTRIES = 100;

/** Entries that `~` deletes at most without a LIMIT, as in Redis. */
const DEFAULT_LIMIT = 100 * NODE_ENTRIES;

/** Up to so many entries a stream is trimmed in one turn. */
const LOOKED_THROUGH = 2000;

const TWO_STRATEGIES = 'ERR syntax error, MAXLEN and MINID options at the same time are not compatible';
const LIMIT_ALONE = 'ERR syntax error, LIMIT cannot be used without specifying a trimming strategy';
const NO_STRATEGY = 'ERR syntax error, XTRIM must be called with a trimming strategy';
const LIMIT_EXACT = 'ERR syntax error, LIMIT cannot be used without the special ~ option';

export interface TrimOptions {
  maxLength: number | undefined;
  minId: StreamId | undefined;
  approximate: boolean;
  /** Entries deleted at most; 0: no limit. */
  limit: number;
  policy: DeletionPolicy;
}

export interface AddOptions extends TrimOptions {
  noMakeStream: boolean;
  /** undefined: the next one. */
  wanted: WantedId | undefined;
  /** The first word behind the id. */
  end: number;
}

/** The words of XADD from word 2 to the id, or those of XTRIM to the end. Throws `CommandError`. */
export function addOrTrimOptions(args: Args, isAdd: boolean): AddOptions {
  const options: AddOptions = {
    maxLength: undefined,
    minId: undefined,
    approximate: false,
    limit: 0,
    policy: 'KEEPREF',
    noMakeStream: false,
    wanted: undefined,
    end: args.count,
  };
  let limitGiven = false;
  for (let i = 2; i < args.count; i++) {
    const name = optionName(args, i);
    const hasNext = i + 1 < args.count;
    if (isAdd && name === '*') {
      options.end = i + 1;
      break;
    }
    if ((name === 'MAXLEN' || name === 'MINID') && hasNext) i = strategyAt(args, i, name, options);
    else if (name === 'LIMIT' && hasNext) {
      options.limit = clampedIntegerOf(args, ++i);
      if (options.limit < 0) throw new CommandError('ERR The LIMIT argument must be >= 0.');
      limitGiven = true;
    } else if (isAdd && name === 'NOMKSTREAM') options.noMakeStream = true;
    else if (policyOf(name) !== undefined) options.policy = policyOf(name) as DeletionPolicy;
    else if (isAdd) {
      options.wanted = wantedIdAt(args, i);
      options.end = i + 1;
      break;
    } else throw syntaxError();
  }
  checkLimit(options, limitGiven, isAdd);
  return options;
}

/** Reads MAXLEN or MINID at word i; returns the index of its last word. */
function strategyAt(args: Args, i: number, name: 'MAXLEN' | 'MINID', options: AddOptions): number {
  if (trims(options)) throw new CommandError(TWO_STRATEGIES);
  const sign = i + 2 < args.count ? args.text(i + 1) : '';
  const hasSign = sign === '~' || sign === '=';
  options.approximate = sign === '~';
  const at = i + (hasSign ? 2 : 1);
  if (name === 'MINID') options.minId = idAt(args, at);
  else {
    options.maxLength = clampedIntegerOf(args, at);
    if (options.maxLength < 0) throw new CommandError('ERR The MAXLEN argument must be >= 0.');
  }
  return at;
}

function checkLimit(options: AddOptions, limitGiven: boolean, isAdd: boolean): void {
  if (options.limit !== 0 && !trims(options)) throw new CommandError(LIMIT_ALONE);
  if (!isAdd && !trims(options)) throw new CommandError(NO_STRATEGY);
  if (limitGiven && !options.approximate) throw new CommandError(LIMIT_EXACT);
  if (!limitGiven && options.approximate) options.limit = DEFAULT_LIMIT;
}

export function trims({ maxLength, minId }: TrimOptions): boolean {
  return maxLength !== undefined || minId !== undefined;
}

/** Deletes what the options say and returns how many entries that were. Throws `Miss`. */
export function trim(stream: Stream, options: TrimOptions): number {
  const { maxLength, minId, approximate, policy } = options;
  if (policy !== 'KEEPREF') return trimReferenced(stream, options);
  if (maxLength !== undefined) {
    const surplus = Math.max(stream.length - maxLength, 0);
    return dropFirst(stream, approximate ? wholeNodes(stream, surplus, options.limit) : surplus);
  }
  const old = idsBefore(stream, minId as StreamId, options);
  if (stream.dropsAsRange(old.length)) stream.dropBefore(idAfter(old.at(-1) as StreamId) ?? GREATEST_ID, old.length);
  else stream.dropFirst(old);
  return old.length;
}

/** Entries that go from the beginning of a stream. */
interface Surplus {
  readonly count: number;
  /** Where those begin that stay. */
  readonly left: StreamId;
}

/** As `trim`, of a live row; looking for where a large stream is cut may take turns. Throws `Miss`, `LongChange`. */
export function trimInTurns(view: View, row: Row, options: TrimOptions): number {
  const stream = new Stream(view.elements(row));
  const made = view.made(row);
  if (made !== undefined) {
    // What `surplusOf` has returned.
    const { count, left } = made.answer as Surplus;
    if (stream.dropsAsRange(count)) stream.dropBefore(left, count);
    else if (count > 0) stream.dropFirst(firstIds(stream, count));
    return count;
  }
  const { policy, limit, approximate } = options;
  // With a limit there is not much to look for.
  const isShort = approximate && limit > 0 && limit <= DEFAULT_LIMIT;
  if (!view.mayTakeTurns || policy !== 'KEEPREF' || isShort || stream.length <= LOOKED_THROUGH)
    return trim(stream, options);
  throw new LongChange(row, () => surplusOf(view.lastingElements(row), options));
}

function* surplusOf(elements: Elements, options: TrimOptions): Sliced<Surplus> {
  const stream = new Stream(elements);
  const { length, lastId } = stream;
  const { maxLength, minId, approximate, limit } = options;
  const past = idAfter(lastId) ?? GREATEST_ID;
  const { lower = LEAST_ID, upper = past } = stream.range(LEAST_ID, GREATEST_ID);
  const whole = { lower: copyOf(lower), upper: copyOf(upper) };
  let count = maxLength === undefined ? length : Math.max(length - maxLength, 0);
  if (maxLength === undefined) {
    let old = 0;
    yield* eachSliced(elements, whole, (id) => compareBytes(id, minId as StreamId) < 0 && ++old !== limit);
    count = old;
  }
  if (approximate) count = wholeNodes(stream, count, limit);
  if (count === 0 || count === length) return { count, left: past };
  const reverse = length - count < count;
  let steps = reverse ? length - count : count + 1;
  let left = past;
  yield* eachSliced(elements, { ...whole, reverse }, (id) => {
    if (--steps === 0) left = copyOf(id);
    return steps > 0;
  });
  return { count, left };
}

/** Deletes the first `count` entries, and returns their number. */
function dropFirst(stream: Stream, count: number): number {
  if (count === 0) return 0;
  if (stream.dropsAsRange(count)) stream.dropBefore(firstLeft(stream, count), count);
  else stream.dropFirst(firstIds(stream, count));
  return count;
}

/** Where the entries behind the first `count` begin, found from the nearer end. */
function firstLeft(stream: Stream, count: number): StreamId {
  const left = stream.length - count;
  if (left === 0) return idAfter(stream.lastId) ?? GREATEST_ID;
  const reverse = left < count;
  let steps = reverse ? left : count + 1;
  let id: StreamId = GREATEST_ID;
  const visit = (each: Uint8Array): boolean => {
    if (--steps === 0) id = copyOf(each);
    return steps > 0;
  };
  stream.each(LEAST_ID, GREATEST_ID, visit, reverse);
  return id;
}

/** As `trim`, where it matters what groups know: every group forgets what goes, or what one of them needs stays. */
function trimReferenced(stream: Stream, options: TrimOptions): number {
  const { maxLength, minId, policy, limit } = options;
  const groups = Group.all(stream);
  const most = maxLength === undefined ? stream.length : stream.length - maxLength;
  const ids: StreamId[] = [];
  if (policy === 'DELREF') {
    const surplus = options.approximate ? wholeNodes(stream, most, limit) : most;
    ids.push(...(minId === undefined ? firstIds(stream, surplus) : idsBefore(stream, minId, options)));
  } else {
    for (const id of firstIds(stream, stream.length, minId)) {
      if (ids.length >= most || (limit > 0 && ids.length >= limit)) break;
      if (!isNeeded(groups, id)) ids.push(id);
    }
  }
  for (const id of ids) {
    if (policy === 'DELREF') forget(groups, id);
    stream.remove(id);
  }
  for (const group of groups) group.save();
  return ids.length;
}

/** The first entries, `most` at most, and only those before `minId` if there is one. */
function firstIds(stream: Stream, most: number, minId?: StreamId): StreamId[] {
  const ids: StreamId[] = [];
  if (most <= 0 || stream.length === 0) return ids;
  stream.each(LEAST_ID, GREATEST_ID, (id) => {
    if (minId !== undefined && compareBytes(id, minId) >= 0) return false;
    ids.push(copyOf(id));
    return ids.length < most;
  });
  return ids;
}

/** The entries before an id, as far as the options let them go. */
function idsBefore(stream: Stream, minId: StreamId, { approximate, limit }: TrimOptions): StreamId[] {
  const { length } = stream;
  if (!approximate) return firstIds(stream, length, minId);
  const old = firstIds(stream, limit === 0 ? length : Math.min(limit, length), minId);
  return old.slice(0, wholeNodes(stream, old.length, limit));
}

/** How many of the first `surplus` entries stand in nodes that can go as a whole. */
function wholeNodes(stream: Stream, surplus: number, limit: number): number {
  const { length } = stream;
  const passed = (stream.added - length) % NODE_ENTRIES;
  const inNodes = (nodes: number): number => Math.min(nodes * NODE_ENTRIES - passed, length);
  const most = limit === 0 ? surplus : Math.min(surplus, limit);
  let nodes = Math.floor((most + passed) / NODE_ENTRIES);
  // The last node may be shorter than the others.
  if (inNodes(nodes + 1) <= most) nodes++;
  return nodes === 0 ? 0 : inNodes(nodes);
}
