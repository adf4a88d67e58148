/** What was delivered and not acknowledged: XPENDING, XCLAIM, XAUTOCLAIM. */

import { compareBytes } from '../bytes.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf, clampToSafe, parseInt64 } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { NULL_ARRAY, type Reply } from './reply.ts';
import { Group, type Pending } from './stream-group.ts';
import {
  GREATEST_ID,
  idAt,
  intervalEndAt,
  intervalStartAt,
  LEAST_ID,
  type StreamId,
  textOfId,
  tryIdAt,
} from './stream-id.ts';
import { entryReply } from './stream-plain.ts';
import { quoted, streamAt, streamCommand, streamDoc } from './stream-row.ts';

/** What XAUTOCLAIM claims without a COUNT, and how many it looks at for each of them, as in Redis. */
const CLAIM_COUNT = 100;
const LOOKED_AT_FACTOR = 10;
/** A COUNT beyond this is refused, as in Redis. */
const MAX_CLAIM_COUNT = 2 ** 59 - 1;

export const pendingStreamCommands: readonly Command[] = [
  streamCommand({
    name: 'xpending',
    arity: -3,
    flags: ['readonly'],
    access: 'read',
    doc: streamDoc('Shows what was delivered and not acknowledged.', '5.0.0', 'O(N) for N entries'),
    run: pending,
  }),
  streamCommand({
    name: 'xclaim',
    arity: -6,
    flags: ['write', 'fast'],
    access: 'update',
    doc: streamDoc('Takes pending entries over to another consumer.', '5.0.0', 'O(N) for N ids'),
    run: claim,
  }),
  streamCommand({
    name: 'xautoclaim',
    arity: -6,
    flags: ['write', 'fast'],
    access: 'update',
    doc: streamDoc('Takes over what is pending for long, wherever it is.', '6.2.0', 'O(N) for N entries'),
    run: claimIdle,
  }),
];

/** The group that words 1 and 2 name, which must be there. Throws `Miss`, `CommandError`. */
function groupAt(view: View, args: Args): Group {
  const stream = streamAt(view, args);
  const group = stream === undefined ? undefined : Group.find(stream, args.at(2));
  if (group !== undefined) return group;
  throw new CommandError(`NOGROUP No such key '${quoted(args, 1)}' or consumer group '${quoted(args, 2)}'`);
}

function pending(view: View, args: Args): Reply {
  if (args.count === 3) return pendingSummary(groupAt(view, args));
  if (args.count < 6 || args.count > 9) throw syntaxError();
  let at = 3;
  let minIdleMs = 0;
  if (optionName(args, 3) === 'IDLE') {
    minIdleMs = clampedIntegerOf(args, 4);
    if (args.count < 8) throw syntaxError();
    at = 5;
  }
  const count = Math.max(clampedIntegerOf(args, at + 2), 0);
  const first = intervalStartAt(args, at);
  const last = intervalEndAt(args, at + 1);
  const group = groupAt(view, args);
  const ofConsumer = at + 3 < args.count ? args.at(at + 3) : undefined;
  return pendingEntries(view, group, { first, last, count, minIdleMs, ofConsumer });
}

function pendingSummary(group: Group): Reply {
  if (group.pending === 0) return [0, null, null, NULL_ARRAY];
  const edges = [false, true].map((reverse) => {
    let edge: Reply = null;
    group.eachPending(
      LEAST_ID,
      GREATEST_ID,
      (id) => {
        edge = textOfId(id);
        return false;
      },
      reverse,
    );
    return edge;
  });
  const consumers = group.allConsumers().filter((consumer) => consumer.pending > 0);
  return [group.pending, ...edges, consumers.map(({ name, pending }) => [name, String(pending)])];
}

interface PendingQuery {
  readonly first: StreamId;
  readonly last: StreamId;
  readonly count: number;
  readonly minIdleMs: number;
  readonly ofConsumer: Uint8Array | undefined;
}

function pendingEntries(view: View, group: Group, query: PendingQuery): Reply {
  const { first, last, count, minIdleMs, ofConsumer } = query;
  const entries: Reply[] = [];
  if (count === 0 || compareBytes(first, last) > 0) return entries;
  const show = (id: StreamId, { consumer, deliveredMs, deliveries }: Pending): boolean => {
    const idleMs = Math.max(view.nowMs - deliveredMs, 0);
    if (idleMs >= minIdleMs) entries.push([textOfId(id), consumer, idleMs, deliveries]);
    return entries.length < count;
  };
  if (ofConsumer === undefined) {
    group.eachPending(first, last, show);
    return entries;
  }
  if (group.consumer(ofConsumer) === undefined) return entries;
  group.eachPendingOf(ofConsumer, first, (id) => {
    if (compareBytes(id, last) > 0) return false;
    const known = group.pendingAt(id);
    return known === undefined || show(id, known);
  });
  return entries;
}

interface ClaimOptions {
  minIdleMs: number;
  /** When the claimed entries count as delivered. */
  deliveredMs: number;
  /** Their number of deliveries from now on; undefined: one more. */
  deliveries: number | undefined;
  force: boolean;
  justId: boolean;
}

function integerAt(args: Args, i: number, refusal: string): number {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined) throw new CommandError(refusal);
  return clampToSafe(value);
}

function claim(view: View, args: Args): Reply {
  const group = groupAt(view, args);
  const minIdleMs = Math.max(integerAt(args, 4, 'ERR Invalid min-idle-time argument for XCLAIM'), 0);
  const ids: StreamId[] = [];
  let at = 5;
  for (; at < args.count; at++) {
    const id = tryIdAt(args, at);
    if (id === undefined) break;
    ids.push(id);
  }
  const options = claimOptions(view, args, at, group);
  options.minIdleMs = minIdleMs;
  const claimed: Reply[] = [];
  for (const id of ids) {
    const before = group.pendingAt(id);
    const reply = claimOne(view, group, id, args.at(3), options, before);
    if (reply !== undefined && reply !== null) claimed.push(reply);
  }
  group.save();
  return claimed;
}

function claimOptions(view: View, args: Args, from: number, group: Group): ClaimOptions {
  const options: ClaimOptions = { minIdleMs: 0, deliveredMs: -1, deliveries: undefined, force: false, justId: false };
  let lastId = LEAST_ID;
  for (let i = from; i < args.count; i++) {
    const name = optionName(args, i);
    const hasNext = i + 1 < args.count;
    if (name === 'FORCE') options.force = true;
    else if (name === 'JUSTID') options.justId = true;
    else if (name === 'IDLE' && hasNext) {
      options.deliveredMs = view.nowMs - integerAt(args, ++i, 'ERR Invalid IDLE option argument for XCLAIM');
    } else if (name === 'TIME' && hasNext) {
      options.deliveredMs = integerAt(args, ++i, 'ERR Invalid TIME option argument for XCLAIM');
    } else if (name === 'RETRYCOUNT' && hasNext) {
      const deliveries = integerAt(args, ++i, 'ERR Invalid RETRYCOUNT option argument for XCLAIM');
      options.deliveries = deliveries < 0 ? undefined : deliveries;
    } else if (name === 'LASTID' && hasNext) lastId = idAt(args, ++i);
    else throw new CommandError(`ERR Unrecognized XCLAIM option '${quoted(args, i)}'`);
  }
  if (compareBytes(lastId, group.lastId) > 0) group.lastId = lastId;
  if (options.deliveredMs < 0 || options.deliveredMs > view.nowMs) options.deliveredMs = view.nowMs;
  return options;
}

/** The reply for a claimed entry; undefined: it is not claimed; null: there is no such entry any more. */
function claimOne(
  view: View,
  group: Group,
  id: StreamId,
  name: Uint8Array,
  options: ClaimOptions,
  before: Pending | undefined,
): Reply | undefined {
  const { deliveredMs, minIdleMs, justId } = options;
  const entry = group.stream.entry(id);
  if (entry === undefined) {
    if (before !== undefined) group.release(id, before);
    return null;
  }
  if (before === undefined && !options.force) return undefined;
  if (before !== undefined && minIdleMs > 0 && view.nowMs - before.deliveredMs < minIdleMs) return undefined;
  const consumer = group.seenConsumer(name, view.nowMs);
  const counted = (before?.deliveries ?? 1) + (justId ? 0 : 1);
  group.assign(id, consumer, deliveredMs, options.deliveries ?? counted, before);
  return justId ? textOfId(id) : entryReply(id, entry);
}

function claimCount(args: Args, i: number): number {
  const value = parseInt64(args.bytes, args.starts[i] as number, args.ends[i] as number);
  if (value === undefined || value < 1 || value > MAX_CLAIM_COUNT) throw new CommandError('ERR COUNT must be > 0');
  return clampToSafe(value);
}

function claimIdle(view: View, args: Args): Reply {
  const minIdleMs = Math.max(integerAt(args, 4, 'ERR Invalid min-idle-time argument for XAUTOCLAIM'), 0);
  const first = intervalStartAt(args, 5);
  let count = CLAIM_COUNT;
  let justId = false;
  for (let i = 6; i < args.count; i++) {
    const name = optionName(args, i);
    if (name === 'COUNT' && i + 1 < args.count) {
      count = claimCount(args, ++i);
    } else if (name === 'JUSTID') justId = true;
    else throw syntaxError();
  }
  const group = groupAt(view, args);
  const options: ClaimOptions = { minIdleMs, deliveredMs: view.nowMs, deliveries: undefined, force: false, justId };
  const claimed: Reply[] = [];
  const deleted: Reply[] = [];
  let next = '0-0';
  let looks = count * LOOKED_AT_FACTOR;
  group.eachPending(first, GREATEST_ID, (id, before) => {
    if (looks === 0 || claimed.length + deleted.length >= count) {
      next = textOfId(id);
      return false;
    }
    looks--;
    const reply = claimOne(view, group, id, args.at(3), options, before);
    if (reply === null) deleted.push(textOfId(id));
    else if (reply !== undefined) claimed.push(reply);
    return true;
  });
  group.save();
  return [next, claimed, deleted];
}
