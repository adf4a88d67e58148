/**
 * Deleting entries with a word on what groups still know of them (Redis 8.2): XDELEX and XACKDEL, and the policies that
 * XADD and XTRIM trim by.
 */

import { compareBytes } from '../bytes.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { parseSafeInteger } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import type { Reply } from './reply.ts';
import { Group } from './stream-group.ts';
import { idAt, type StreamId } from './stream-id.ts';
import { type Stream, streamAt, streamCommand, streamDoc } from './stream-row.ts';

/**
 * What becomes of an entry that groups know: it goes and they keep it pending; it goes for them too; it stays until every
 * group was given it and has acknowledged it.
 */
export type DeletionPolicy = 'KEEPREF' | 'DELREF' | 'ACKED';

/** What is told of each id: there is no such entry; it was deleted; it is not deleted, since groups still need it. */
const NOTHING = -1;
const DELETED = 1;
const NEEDED = 2;

const BAD_COUNT = 'ERR Number of IDs must be a positive integer';
const OTHER_COUNT = 'ERR The `numids` parameter must match the number of arguments';

export const deletionStreamCommands: readonly Command[] = [
  streamCommand({
    name: 'xdelex',
    arity: -5,
    flags: ['write', 'fast'],
    access: 'update',
    doc: streamDoc('Deletes entries, with a word on what groups know of them.', '8.2.0', 'O(N) for N ids'),
    run: deleteEntries,
  }),
  streamCommand({
    name: 'xackdel',
    arity: -6,
    flags: ['write', 'fast'],
    access: 'update',
    doc: streamDoc('Acknowledges entries and deletes them.', '8.2.0', 'O(N) for N ids'),
    run: acknowledgeAndDelete,
  }),
];

/** The policy that an option names; undefined: none. */
export function policyOf(name: string): DeletionPolicy | undefined {
  return name === 'KEEPREF' || name === 'DELREF' || name === 'ACKED' ? name : undefined;
}

interface Deletion {
  readonly policy: DeletionPolicy;
  readonly ids: readonly StreamId[];
}

/** The words from `from` on: a policy, and IDS with their number, in any order. */
function deletionOf(args: Args, from: number): Deletion {
  let policy: DeletionPolicy | undefined;
  let ids: StreamId[] | undefined;
  for (let i = from; i < args.count; i++) {
    const name = optionName(args, i);
    const named = policyOf(name);
    if (named !== undefined && policy === undefined) policy = named;
    else if (name === 'IDS' && ids === undefined && i + 1 < args.count) {
      const count = parseSafeInteger(args.bytes, args.starts[i + 1] as number, args.ends[i + 1] as number);
      if (!(count >= 1)) throw new CommandError(BAD_COUNT);
      if (i + 2 + count > args.count) throw new CommandError(OTHER_COUNT);
      ids = Array.from({ length: count }, (_, n) => idAt(args, i + 2 + n));
      i += 1 + count;
    } else throw syntaxError();
  }
  if (ids === undefined) throw syntaxError();
  return { policy: policy ?? 'KEEPREF', ids };
}

function deleteEntries(view: View, args: Args): Reply {
  const { policy, ids } = deletionOf(args, 2);
  const stream = streamAt(view, args);
  if (stream === undefined) return ids.map(() => NOTHING);
  const groups = policy === 'KEEPREF' ? [] : Group.all(stream);
  const replies = ids.map((id) => deleteOne(stream, groups, id, policy));
  for (const group of groups) group.save();
  return replies;
}

function deleteOne(stream: Stream, groups: readonly Group[], id: StreamId, policy: DeletionPolicy): number {
  if (policy === 'DELREF') forget(groups, id);
  if (stream.entry(id) === undefined) return NOTHING;
  if (policy === 'ACKED' && isNeeded(groups, id)) return NEEDED;
  stream.delete(id);
  return DELETED;
}

function acknowledgeAndDelete(view: View, args: Args): Reply {
  const { policy, ids } = deletionOf(args, 3);
  const stream = streamAt(view, args);
  const groups = stream === undefined ? [] : Group.all(stream);
  const own = groups.find(({ name }) => compareBytes(name, args.at(2)) === 0);
  if (stream === undefined || own === undefined) return ids.map(() => NOTHING);
  const replies = ids.map((id) => {
    const pending = own.pendingAt(id);
    if (pending === undefined) return NOTHING;
    own.release(id, pending);
    // It may have been deleted before: then there is nothing more to do.
    return deleteOne(stream, groups, id, policy) === NEEDED ? NEEDED : DELETED;
  });
  for (const group of groups) group.save();
  return replies;
}

/** No group knows the entry any more. Throws `Miss`. */
export function forget(groups: readonly Group[], id: StreamId): void {
  for (const group of groups) {
    const pending = group.pendingAt(id);
    if (pending !== undefined) group.release(id, pending);
  }
}

/** Whether a group has yet to be given the entry, or to acknowledge it. Throws `Miss`. */
export function isNeeded(groups: readonly Group[], id: StreamId): boolean {
  return groups.some((group) => compareBytes(id, group.lastId) > 0 || group.pendingAt(id) !== undefined);
}
