/** Making and changing consumer groups: XGROUP, XACK. */

import { copyOf } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { typedRowAt } from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName } from './options.ts';
import { OK, type Reply, SimpleString } from './reply.ts';
import { Group } from './stream-group.ts';
import { idAt, idOrEdgeAt, LEAST_ID, type StreamId } from './stream-id.ts';
import { quoted, type Stream, streamAt, streamCommand, streamDoc, streamToFill } from './stream-row.ts';

const SECOND_KEY = { first: 2, last: 2, step: 1 } as const;

const NO_KEY =
  'ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.';

const HELP = [
  'XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'CREATE <key> <groupname> <id|$> [option]',
  '    Create a new consumer group. Options are:',
  '    * MKSTREAM',
  '      Create the empty stream if it does not exist.',
  '    * ENTRIESREAD entries_read',
  "      Set the group's entries_read counter (internal use).",
  'CREATECONSUMER <key> <groupname> <consumer>',
  '    Create a new consumer in the specified group.',
  'DELCONSUMER <key> <groupname> <consumer>',
  '    Remove the specified consumer.',
  'DESTROY <key> <groupname>',
  '    Remove the specified group.',
  'SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]',
  '    Set the current group ID and entries_read counter.',
  'HELP',
  '    Prints this help.',
];

const groupSubcommands: readonly Command[] = [
  streamCommand({
    name: 'create',
    arity: -5,
    flags: ['write', 'denyoom'],
    keys: SECOND_KEY,
    access: 'update',
    doc: streamDoc('Makes a group.', '5.0.0'),
    run: create,
  }),
  streamCommand({
    name: 'setid',
    arity: -5,
    flags: ['write'],
    keys: SECOND_KEY,
    access: 'update',
    doc: streamDoc('Sets the id up to which a group has delivered.', '5.0.0'),
    run: setId,
  }),
  streamCommand({
    name: 'destroy',
    arity: 4,
    flags: ['write'],
    keys: SECOND_KEY,
    access: 'update',
    doc: streamDoc('Deletes a group.', '5.0.0', 'O(N) for N pending entries'),
    run: destroy,
  }),
  streamCommand({
    name: 'createconsumer',
    arity: 5,
    flags: ['write', 'denyoom'],
    keys: SECOND_KEY,
    access: 'update',
    doc: streamDoc('Makes a consumer.', '6.2.0'),
    run: createConsumer,
  }),
  streamCommand({
    name: 'delconsumer',
    arity: 5,
    flags: ['write'],
    keys: SECOND_KEY,
    access: 'update',
    doc: streamDoc('Deletes a consumer with what is pending at it.', '5.0.0', 'O(N) for N pending entries'),
    run: removeConsumer,
  }),
  {
    name: 'help',
    arity: 2,
    flags: ['loading', 'stale'],
    access: 'none',
    categories: ['stream'],
    doc: streamDoc('Describes the subcommands of XGROUP.', '5.0.0'),
    run: () => HELP.map((line) => new SimpleString(line)),
  },
];

export const streamGroupCommands: readonly Command[] = [
  {
    name: 'xgroup',
    arity: -2,
    flags: [],
    access: 'none',
    categories: [],
    doc: streamDoc('Makes, changes and deletes consumer groups.', '5.0.0', 'That of the subcommand'),
    subcommands: groupSubcommands,
  },
  streamCommand({
    name: 'xack',
    arity: -4,
    flags: ['write', 'fast'],
    access: 'update',
    doc: streamDoc('Acknowledges entries: they are pending no more.', '5.0.0', 'O(N) for N ids'),
    run: acknowledge,
  }),
];

interface GroupOptions {
  readonly makeStream: boolean;
  readonly entriesRead: number | undefined;
}

function groupOptions(args: Args, takesMakeStream: boolean): GroupOptions {
  let makeStream = false;
  let entriesRead: number | undefined;
  for (let i = 5; i < args.count; i++) {
    const name = optionName(args, i);
    if (takesMakeStream && name === 'MKSTREAM') makeStream = true;
    else if (name === 'ENTRIESREAD' && i + 1 < args.count) {
      const value = clampedIntegerOf(args, ++i);
      if (value < -1) throw new CommandError('ERR value for ENTRIESREAD must be positive or -1');
      entriesRead = value === -1 ? undefined : value;
    } else {
      const subcommand = args.text(1).slice(0, 128);
      throw new CommandError(
        `ERR unknown subcommand or wrong number of arguments for '${subcommand}'. Try XGROUP HELP.`,
      );
    }
  }
  return { makeStream, entriesRead };
}

/** The stream that word 2 names, which must be there. */
function streamOf(view: View, args: Args): Stream {
  const stream = streamAt(view, args, 2);
  if (stream === undefined) throw new CommandError(NO_KEY);
  return stream;
}

/** The group that words 2 and 3 name, which must be there. Throws `Miss`, `CommandError`. */
export function groupAt(view: View, args: Args): Group {
  const group = Group.find(streamOf(view, args), args.at(3));
  if (group !== undefined) return group;
  throw new CommandError(`NOGROUP No such consumer group '${quoted(args, 3)}' for key name '${quoted(args, 2)}'`);
}

/** Word 4 as an id; `$` is the stream's last. */
function groupStart(args: Args, stream: Stream | undefined, isStrict: boolean): StreamId {
  if (args.text(4) === '$') return stream === undefined ? LEAST_ID : copyOf(stream.lastId);
  return isStrict ? idAt(args, 4) : idOrEdgeAt(args, 4);
}

function create(view: View, args: Args): Reply {
  const { makeStream, entriesRead } = groupOptions(args, true);
  const isThere = typedRowAt(view, args, 2, rowType.STREAM).live;
  if (!isThere && !makeStream) throw new CommandError(NO_KEY);
  const id = groupStart(args, streamAt(view, args, 2), true);
  const stream = streamToFill(view, args, 2);
  if (Group.find(stream, args.at(3)) !== undefined) {
    throw new CommandError('BUSYGROUP Consumer Group name already exists');
  }
  Group.create(stream, args.at(3), id, entriesRead);
  return OK;
}

function setId(view: View, args: Args): Reply {
  const { entriesRead } = groupOptions(args, false);
  const group = groupAt(view, args);
  group.lastId = groupStart(args, group.stream, false);
  group.entriesRead = entriesRead;
  group.save();
  return OK;
}

function destroy(view: View, args: Args): Reply {
  const group = Group.find(streamOf(view, args), args.at(3));
  group?.destroy();
  return group === undefined ? 0 : 1;
}

function createConsumer(view: View, args: Args): Reply {
  const group = groupAt(view, args);
  if (group.consumer(args.at(4)) !== undefined) return 0;
  group.createConsumer(args.at(4), view.nowMs);
  group.save();
  return 1;
}

function removeConsumer(view: View, args: Args): Reply {
  const group = groupAt(view, args);
  const consumer = group.consumer(args.at(4));
  if (consumer === undefined) return 0;
  group.removeConsumer(consumer);
  group.save();
  return consumer.pending;
}

function acknowledge(view: View, args: Args): Reply {
  const stream = streamAt(view, args);
  const group = stream === undefined ? undefined : Group.find(stream, args.at(2));
  if (group === undefined) return 0;
  const ids: StreamId[] = [];
  for (let i = 3; i < args.count; i++) ids.push(idAt(args, i));
  let acknowledged = 0;
  for (const id of ids) {
    const pending = group.pendingAt(id);
    if (pending === undefined) continue;
    group.release(id, pending);
    acknowledged++;
  }
  if (acknowledged > 0) group.save();
  return acknowledged;
}
