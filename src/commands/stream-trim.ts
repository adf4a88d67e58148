/**
 * Trimming streams: the options that XADD and XTRIM share, and what goes.
 *
 * Redis keeps entries in nodes of 100 and trims whole nodes where `~` allows it. There are no nodes here, but the same
 * count: entries go by hundreds of those ever added, so that most XADDs with `MAXLEN ~` delete nothing, and replies are
 * Redis's as long as XDEL has made no gaps and entries are small (Redis also ends a node at 4 KiB).
 */

import { compareBytes, copyOf } from '../bytes.ts';
import type { Args } from './args.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { GREATEST_ID, idAt, LEAST_ID, type StreamId, type WantedId, wantedIdAt } from './stream-id.ts';
import { type DeletionPolicy, forget, isNeeded, policyOf } from './stream-deletion.ts';
import { Group } from './stream-group.ts';
import type { Stream } from './stream-row.ts';

/** Redis's default of stream-node-max-entries. */
const NODE_ENTRIES = 100;

/** Entries that `~` deletes at most without a LIMIT, as in Redis. */
const DEFAULT_LIMIT = 100 * NODE_ENTRIES;

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
  if (options.policy !== 'KEEPREF') return trimReferenced(stream, options);
  const ids = options.approximate ? wholeNodes(stream, options) : surplus(stream, options);
  stream.dropFirst(ids);
  return ids.length;
}

/** As `trim`, where it matters what groups know: every group forgets what goes, or what one of them needs stays. */
function trimReferenced(stream: Stream, options: TrimOptions): number {
  const { maxLength, minId, policy, limit } = options;
  const groups = Group.all(stream);
  const most = maxLength === undefined ? stream.length : stream.length - maxLength;
  const ids: StreamId[] = [];
  if (policy === 'DELREF') ids.push(...(options.approximate ? wholeNodes(stream, options) : surplus(stream, options)));
  else {
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

/** Exactly those that are too many or too old. */
function surplus(stream: Stream, { maxLength, minId }: TrimOptions): StreamId[] {
  const most = maxLength === undefined ? Number.MAX_SAFE_INTEGER : stream.length - maxLength;
  return firstIds(stream, most, minId);
}

/** The first entries, `most` at most, and only those before `minId`. */
function firstIds(stream: Stream, most: number, minId: StreamId | undefined): StreamId[] {
  const ids: StreamId[] = [];
  if (most <= 0 || stream.length === 0) return ids;
  stream.each(LEAST_ID, GREATEST_ID, (id) => {
    if (minId !== undefined && compareBytes(id, minId) >= 0) return false;
    ids.push(copyOf(id));
    return ids.length < most;
  });
  return ids;
}

/** Those of the first nodes that can go as a whole. */
function wholeNodes(stream: Stream, { maxLength, minId, limit }: TrimOptions): StreamId[] {
  const { length } = stream;
  const passed = (stream.added - length) % NODE_ENTRIES;
  const mostOf = (nodes: number): number => Math.min(nodes * NODE_ENTRIES - passed, length);
  const fits = (nodes: number): boolean => limit === 0 || mostOf(nodes) <= limit;
  const nodesInAll = Math.ceil((length + passed) / NODE_ENTRIES);
  if (maxLength !== undefined) {
    let nodes = 0;
    while (nodes < nodesInAll && length - mostOf(nodes + 1) >= maxLength && fits(nodes + 1)) nodes++;
    return nodes === 0 ? [] : firstIds(stream, mostOf(nodes), undefined);
  }
  const old = firstIds(stream, limit === 0 ? length : Math.min(limit, length), minId);
  let nodes = 0;
  while (nodes < nodesInAll && mostOf(nodes + 1) <= old.length) nodes++;
  return nodes === 0 ? [] : old.slice(0, mostOf(nodes));
}
