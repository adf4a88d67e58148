/**
 * XREAD and XREADGROUP without their waiting. What waits (BLOCK) calls the same functions again: `readOptions` once,
 * `startsOf` once, so that `$` is the last id of the moment of the call, then `readStreams` until it returns a reply.
 */

import { compareBytes, copyOf } from '../bytes.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, KeyFinder } from './command.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf, clampToSafe, parseInt64 } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { EntriesReply, NULL_ARRAY, type Reply } from './reply.ts';
import { Group, hasGaps, entriesUpTo } from './stream-group.ts';
import { GREATEST_ID, idAfter, idAt, idBefore, LEAST_ID, type StreamId, textOfId } from './stream-id.ts';
import { entriesBetween, entryReply } from './stream-plain.ts';
import { quoted, type Stream, streamAt, streamCommand, streamDoc } from './stream-row.ts';

/** What the words before STREAMS say, and where the keys are. */
export interface ReadOptions {
  /** Entries of each stream at most. */
  readonly count: number;
  /** How long to wait for one, in ms, 0 for ever; undefined: not at all. */
  readonly blockMs: number | undefined;
  /** Of XREADGROUP: the words that name group and consumer. */
  readonly group: { readonly nameAt: number; readonly consumerAt: number } | undefined;
  readonly noAck: boolean;
  /** Word of the first key. */
  readonly keysAt: number;
  readonly keyCount: number;
}

/** Where to read on: entries behind this id; undefined: what the group has delivered to nobody (`>`). */
export type ReadStart = StreamId | undefined;

/** Keys of XREAD and XREADGROUP: the first half of the words behind STREAMS. */
const READ_KEYS: KeyFinder = {
  range: { first: 0, last: 0, step: 0 },
  find(args) {
    // Names of groups and consumers may be STREAMS too.
    let at = optionName(args, 0) === 'XREADGROUP' ? 4 : 1;
    while (at < args.count && optionName(args, at) !== 'STREAMS') at++;
    const words = args.count - at - 1;
    if (words < 2 || words % 2 !== 0) return [];
    return Array.from({ length: words / 2 }, (_, i) => at + 1 + i);
  },
};

export const readStreamCommands: readonly Command[] = [
  streamCommand({
    name: 'xread',
    arity: -4,
    flags: ['readonly', 'blocking', 'movablekeys'],
    keys: READ_KEYS,
    access: 'read',
    categories: ['stream', 'blocking'],
    doc: streamDoc('Returns the entries behind ids of several streams.', '5.0.0', 'O(N) for N entries'),
    run: read,
  }),
  streamCommand({
    name: 'xreadgroup',
    arity: -7,
    flags: ['write', 'blocking', 'movablekeys'],
    keys: READ_KEYS,
    access: 'transaction',
    categories: ['stream', 'blocking'],
    doc: streamDoc('Delivers entries of several streams to a consumer of a group.', '5.0.0', 'O(N) for N entries'),
    run: read,
  }),
];

/** Reads once; nothing to read is an empty answer. */
function read(view: View, args: Args): Reply {
  const options = readOptions(args);
  return readStreams(view, args, options, startsOf(view, args, options)) ?? NULL_ARRAY;
}

/** The words of XREAD or XREADGROUP. Throws `CommandError`. */
export function readOptions(args: Args): ReadOptions {
  const isGroup = optionName(args, 0) === 'XREADGROUP';
  let count = 0;
  let blockMs: number | undefined;
  let group: ReadOptions['group'];
  let noAck = false;
  for (let i = 1; i < args.count; i++) {
    const name = optionName(args, i);
    const left = args.count - i - 1;
    if (name === 'BLOCK' && left >= 1) blockMs = waitOf(args, ++i);
    else if (name === 'COUNT' && left >= 1) count = Math.max(clampedIntegerOf(args, ++i), 0);
    else if (name === 'STREAMS' && left >= 1) {
      if (left % 2 !== 0) {
        throw new CommandError(
          "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
        );
      }
      if (isGroup && group === undefined) throw new CommandError('ERR Missing GROUP option for XREADGROUP');
      const most = count === 0 ? Number.MAX_SAFE_INTEGER : count;
      return { count: most, blockMs, group, noAck, keysAt: i + 1, keyCount: left / 2 };
    } else if (name === 'GROUP' && left >= 2) {
      if (!isGroup) throw onlyOfGroups('GROUP');
      group = { nameAt: i + 1, consumerAt: i + 2 };
      i += 2;
    } else if (name === 'NOACK') {
      if (!isGroup) throw onlyOfGroups('NOACK');
      noAck = true;
    } else throw syntaxError();
  }
  throw syntaxError();
}

function onlyOfGroups(option: string): CommandError {
  return new CommandError(`ERR The ${option} option is only supported by XREADGROUP. You called XREAD instead.`);
}

function waitOf(args: Args, i: number): number {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined) throw new CommandError('ERR timeout is not an integer or out of range');
  if (value < 0) throw new CommandError('ERR timeout is negative');
  return clampToSafe(value);
}

/** Where to read each stream on, as things are now. Throws `Miss`, `CommandError`. */
export function startsOf(view: View, args: Args, options: ReadOptions): ReadStart[] {
  const { group, keysAt, keyCount } = options;
  const starts: ReadStart[] = [];
  for (let i = keysAt; i < keysAt + keyCount; i++) {
    const stream = streamAt(view, args, i);
    if (group !== undefined) groupOf(args, i, stream, group.nameAt);
    starts.push(startOf(args, i + keyCount, stream, group !== undefined));
  }
  return starts;
}

function startOf(args: Args, i: number, stream: Stream | undefined, inGroup: boolean): ReadStart {
  const word = args.length(i) === 1 ? args.text(i) : '';
  if (word === '$') {
    if (!inGroup) return stream === undefined ? LEAST_ID : copyOf(stream.lastId);
    throw new CommandError(
      'ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.',
    );
  }
  if (word === '+' && !inGroup) return beforeLast(stream);
  if (word !== '>') return idAt(args, i);
  if (inGroup) return undefined;
  throw new CommandError(
    'ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.',
  );
}

/** Where to read on to get the last entry (`+`, Redis 7.4). */
function beforeLast(stream: Stream | undefined): StreamId {
  const last = stream?.lastEntryId();
  return last === undefined ? (stream?.lastId ?? LEAST_ID) : (idBefore(last) ?? LEAST_ID);
}

function groupOf(args: Args, i: number, stream: Stream | undefined, groupAt: number): Group {
  const group = stream === undefined ? undefined : Group.find(stream, args.at(groupAt));
  if (group !== undefined) return group;
  throw new CommandError(
    `NOGROUP No such key '${quoted(args, i)}' or consumer group '${quoted(args, groupAt)}' in XREADGROUP with GROUP option`,
  );
}

/** What there is to read of the streams; undefined: of none anything. Throws `Miss`, `CommandError`. */
export function readStreams(
  view: View,
  args: Args,
  options: ReadOptions,
  starts: readonly ReadStart[],
): Reply | undefined {
  const { group, keysAt, keyCount } = options;
  const streams: [Reply, Reply][] = [];
  for (let n = 0; n < keyCount; n++) {
    const at = keysAt + n;
    const stream = streamAt(view, args, at);
    const start = starts[n];
    const entries =
      group === undefined
        ? behind(stream, start as StreamId, options.count)
        : ofGroup(view, args, groupOf(args, at, stream, group.nameAt), start, options);
    if (entries !== undefined) streams.push([copyOf(args.at(at)), entries]);
  }
  return streams.length === 0 ? undefined : new EntriesReply(streams);
}

/** The entries behind an id; undefined: there are none. */
function behind(stream: Stream | undefined, start: StreamId, count: number): Reply[] | undefined {
  if (stream === undefined || stream.length === 0 || compareBytes(start, stream.lastId) >= 0) return undefined;
  const first = idAfter(start);
  const entries = first === undefined ? [] : entriesBetween(stream, first, GREATEST_ID, count);
  return entries.length === 0 ? undefined : entries;
}

function ofGroup(view: View, args: Args, group: Group, start: ReadStart, options: ReadOptions): Reply[] | undefined {
  const name = args.at((options.group as { consumerAt: number }).consumerAt);
  if (start === undefined) return deliver(view, group, name, options);
  const consumer = group.seenConsumer(name, view.nowMs);
  const entries = history(view, group, consumer, idAfter(start), options.count);
  group.save();
  return entries;
}

type SeenConsumer = ReturnType<Group['seenConsumer']>;

/** Delivers what the group has delivered to nobody; undefined: there is nothing. */
function deliver(view: View, group: Group, name: Uint8Array, { count, noAck }: ReadOptions): Reply[] | undefined {
  const { stream } = group;
  const first = idAfter(group.lastId);
  if (first === undefined || stream.length === 0 || compareBytes(first, stream.lastId) > 0) return undefined;
  const entries: Reply[] = [];
  const delivered: StreamId[] = [];
  stream.each(first, GREATEST_ID, (id, entry) => {
    entries.push(entryReply(id, entry));
    delivered.push(copyOf(id));
    return entries.length < count;
  });
  if (entries.length === 0) return undefined;
  const consumer = group.seenConsumer(name, view.nowMs);
  for (const id of delivered) {
    moveOn(group, id);
    if (!noAck) group.assign(id, consumer, view.nowMs, 1, group.pendingAt(id));
  }
  group.save();
  return entries;
}

/** The group's last id becomes `id`. */
function moveOn(group: Group, id: StreamId): void {
  const { stream } = group;
  if (group.entriesRead !== undefined && !hasGaps(stream, id)) group.entriesRead++;
  else if (stream.added > 0) group.entriesRead = entriesUpTo(stream, id);
  group.lastId = id;
}

/** What is pending at a consumer, once more. */
function history(
  view: View,
  group: Group,
  consumer: SeenConsumer,
  first: StreamId | undefined,
  count: number,
): Reply[] {
  if (first === undefined) return [];
  return group.pendingIdsOf(consumer.name, first, count).map((id) => {
    const entry = group.stream.entry(id);
    if (entry === undefined) return [textOfId(id), NULL_ARRAY];
    const before = group.pendingAt(id);
    if (before !== undefined) group.assign(id, consumer, view.nowMs, before.deliveries + 1, before);
    return entryReply(id, entry);
  });
}
