/** XINFO: what a stream, its groups and their consumers are. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { CommandError, NO_SUCH_KEY } from './errors.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName } from './options.ts';
import { MapReply, type Reply, SimpleString } from './reply.ts';
import { entriesUpTo, Group, hasGaps } from './stream-group.ts';
import { GREATEST_ID, LEAST_ID, textOfId } from './stream-id.ts';
import { entriesBetween } from './stream-plain.ts';
import { quoted, type Stream, streamAt, streamCommand, streamDoc } from './stream-row.ts';

const SECOND_KEY = { first: 2, last: 2, step: 1 } as const;

/** Entries, and pending entries of each group and consumer, that FULL shows without a COUNT. */
const FULL_COUNT = 10;

/** Redis keeps so many entries in a node of its radix tree. */
const NODE_ENTRIES = 100;

const HELP = [
  'XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'CONSUMERS <key> <groupname>',
  '    Show consumers of <groupname>.',
  'GROUPS <key>',
  '    Show the stream consumer groups.',
  'STREAM <key> [FULL [COUNT <count>]',
  '    Show information about the stream.',
  'HELP',
  '    Prints this help.',
];

export const streamInfoCommands: readonly Command[] = [
  {
    name: 'xinfo',
    arity: -2,
    flags: [],
    access: 'none',
    categories: [],
    doc: streamDoc('Shows what a stream is made of.', '5.0.0', 'That of the subcommand'),
    subcommands: [
      streamCommand({
        name: 'stream',
        arity: -3,
        flags: ['readonly'],
        keys: SECOND_KEY,
        access: 'read',
        doc: streamDoc('Shows numbers of a stream; FULL its groups too.', '5.0.0', 'O(1), O(N) with FULL'),
        run: streamInfo,
      }),
      streamCommand({
        name: 'groups',
        arity: 3,
        flags: ['readonly'],
        keys: SECOND_KEY,
        access: 'read',
        doc: streamDoc('Shows the groups of a stream.', '5.0.0', 'O(N) for N groups'),
        run: (view, args) => Group.all(existing(view, args)).map(groupInfo),
      }),
      streamCommand({
        name: 'consumers',
        arity: 4,
        flags: ['readonly'],
        keys: SECOND_KEY,
        access: 'read',
        doc: streamDoc('Shows the consumers of a group.', '5.0.0', 'O(N) for N consumers'),
        run: consumers,
      }),
      {
        name: 'help',
        arity: 2,
        flags: ['loading', 'stale'],
        access: 'none',
        categories: ['stream'],
        doc: streamDoc('Describes the subcommands of XINFO.', '5.0.0'),
        run: () => HELP.map((line) => new SimpleString(line)),
      },
    ],
  },
];

function existing(view: View, args: Args): Stream {
  const stream = streamAt(view, args, 2);
  if (stream === undefined) throw new CommandError(NO_SUCH_KEY);
  return stream;
}

function streamInfo(view: View, args: Args): Reply {
  const stream = existing(view, args);
  const count = args.count > 3 ? fullCount(args) : undefined;
  return count === undefined ? shortInfo(stream) : fullInfo(stream, count);
}

function fullCount(args: Args): number {
  const isFull = optionName(args, 3) === 'FULL' && (args.count === 4 || args.count === 6);
  if (!isFull || (args.count === 6 && optionName(args, 4) !== 'COUNT')) {
    throw new CommandError(
      `ERR unknown subcommand or wrong number of arguments for '${quoted(args, 1)}'. Try XINFO HELP.`,
    );
  }
  const count = args.count === 6 ? clampedIntegerOf(args, 5) : FULL_COUNT;
  return count === 0 ? Number.MAX_SAFE_INTEGER : count < 0 ? FULL_COUNT : count;
}

/** What both forms show; nodes are those that Redis would have for small entries. */
function numbers(stream: Stream): [Reply, Reply][] {
  const nodes = Math.ceil(stream.length / NODE_ENTRIES);
  return [
    ['length', stream.length],
    ['radix-tree-keys', nodes],
    ['radix-tree-nodes', nodes + 1],
    ['last-generated-id', textOfId(stream.lastId)],
    ['max-deleted-entry-id', textOfId(stream.maxDeletedId)],
    ['entries-added', stream.added],
    ['recorded-first-entry-id', textOfId(stream.firstId())],
  ];
}

function shortInfo(stream: Stream): Reply {
  const edge = (reverse: boolean): Reply => entriesBetween(stream, LEAST_ID, GREATEST_ID, 1, reverse)[0] ?? null;
  return new MapReply([
    ...numbers(stream),
    ['groups', Group.all(stream).length],
    ['first-entry', edge(false)],
    ['last-entry', edge(true)],
  ]);
}

function fullInfo(stream: Stream, count: number): Reply {
  return new MapReply([
    ...numbers(stream),
    ['entries', entriesBetween(stream, LEAST_ID, GREATEST_ID, count)],
    ['groups', Group.all(stream).map((group) => fullGroup(group, count))],
  ]);
}

/** Entries that the group has not delivered; null: nobody knows. */
function lagOf({ stream, entriesRead, lastId }: Group): Reply {
  if (stream.added === 0) return 0;
  const read = entriesRead !== undefined && !hasGaps(stream, lastId) ? entriesRead : entriesUpTo(stream, lastId);
  return read === undefined ? null : stream.added - read;
}

function groupInfo(group: Group): Reply {
  return new MapReply([
    ['name', group.name],
    ['consumers', group.consumers],
    ['pending', group.pending],
    ['last-delivered-id', textOfId(group.lastId)],
    ['entries-read', group.entriesRead ?? null],
    ['lag', lagOf(group)],
  ]);
}

function fullGroup(group: Group, count: number): Reply {
  const pending: Reply[] = [];
  group.eachPending(LEAST_ID, GREATEST_ID, (id, { consumer, deliveredMs, deliveries }) => {
    pending.push([textOfId(id), consumer, deliveredMs, deliveries]);
    return pending.length < count;
  });
  return new MapReply([
    ['name', group.name],
    ['last-delivered-id', textOfId(group.lastId)],
    ['entries-read', group.entriesRead ?? null],
    ['lag', lagOf(group)],
    ['pel-count', group.pending],
    ['pending', pending],
    ['consumers', group.allConsumers().map((consumer) => fullConsumer(group, consumer, count))],
  ]);
}

function fullConsumer(group: Group, consumer: ReturnType<Group['allConsumers']>[number], count: number): Reply {
  const { name, seenMs, pending } = consumer;
  const ids = group.pendingIdsOf(name, LEAST_ID, count);
  return new MapReply([
    ['name', name],
    ['seen-time', seenMs],
    ['pel-count', pending],
    [
      'pending',
      ids.map((id) => {
        const known = group.pendingAt(id);
        return [textOfId(id), known?.deliveredMs ?? 0, known?.deliveries ?? 0];
      }),
    ],
  ]);
}

function consumers(view: View, args: Args): Reply {
  const group = Group.find(existing(view, args), args.at(3));
  if (group === undefined) {
    throw new CommandError(`NOGROUP No such consumer group '${quoted(args, 3)}' for key name '${quoted(args, 2)}'`);
  }
  return group.allConsumers().map(
    ({ name, seenMs, pending }) =>
      new MapReply([
        ['name', name],
        ['pending', pending],
        ['idle', Math.max(view.nowMs - seenMs, 0)],
      ]),
  );
}
