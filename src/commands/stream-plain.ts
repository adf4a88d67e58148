/** Entries of streams: XADD, XLEN, XRANGE, XREVRANGE, XDEL, XTRIM, XSETID. */

import { compareBytes } from '../bytes.ts';

import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { eachSliced, isLarge, lastingElementsAt, SLICED_FROM, typedRowAt } from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError, NO_SUCH_KEY, wrongArity } from './errors.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { NULL_ARRAY, OK, type Reply } from './reply.ts';
import type { Sliced } from './sliced.ts';
import {
  GREATEST_ID,
  idAfter,
  idAt,
  idOf,
  intervalEndAt,
  intervalStartAt,
  isLeast,
  isSameMs,
  msOfId,
  sequenceAfter,
  type StreamId,
  textOfId,
  type WantedId,
} from './stream-id.ts';
import { entryOfWords, Stream, streamAt, streamCommand, streamDoc, streamToFill, wordsOfEntry } from './stream-row.ts';
import { addOrTrimOptions, trim, trimInTurns, trims } from './stream-trim.ts';

export const plainStreamCommands: readonly Command[] = [
  streamCommand({
    name: 'xadd',
    arity: -5,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: streamDoc('Adds an entry to a stream, and may trim it.', '5.0.0', 'O(1), and O(N) for N trimmed entries'),
    run: add,
  }),
  streamCommand({
    name: 'xlen',
    arity: 2,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: streamDoc('Returns the number of entries.', '5.0.0'),
    run: (view, args) => streamAt(view, args)?.length ?? 0,
  }),
  streamCommand({
    name: 'xrange',
    arity: -4,
    flags: ['readonly'],
    access: 'read',
    doc: streamDoc('Returns the entries with ids in an interval.', '5.0.0', 'O(N) for N entries'),
    run: (view, args) => range(view, args, false),
    isLong: isLongRange,
    runSliced: (view, args) => rangeSliced(view, args, false),
  }),
  streamCommand({
    name: 'xrevrange',
    arity: -4,
    flags: ['readonly'],
    access: 'read',
    doc: streamDoc('Returns the entries with ids in an interval, the last first.', '5.0.0', 'O(N) for N entries'),
    run: (view, args) => range(view, args, true),
    isLong: isLongRange,
    runSliced: (view, args) => rangeSliced(view, args, true),
  }),
  streamCommand({
    name: 'xdel',
    arity: -3,
    flags: ['write', 'fast'],
    access: 'update',
    doc: streamDoc('Deletes entries by their ids.', '5.0.0', 'O(N) for N ids'),
    run: remove,
  }),
  streamCommand({
    name: 'xtrim',
    arity: -4,
    flags: ['write'],
    access: 'update',
    doc: streamDoc('Deletes the oldest entries of a stream.', '5.0.0', 'O(N) for N trimmed entries'),
    run: trimNow,
    takesTurns: true,
  }),
  streamCommand({
    name: 'xsetid',
    arity: -3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: streamDoc('Sets the last id of a stream.', '5.0.0'),
    run: setId,
  }),
];

/** An entry as replies show it, in memory of its own. */
export function entryReply(id: Uint8Array, entry: Uint8Array): Reply {
  return [textOfId(id), wordsOfEntry(entry)];
}

function add(view: View, args: Args): Reply {
  const options = addOrTrimOptions(args, true);
  const { wanted, end } = options;
  if (args.count - end < 2 || (args.count - end) % 2 === 1) throw new CommandError(wrongArity('xadd'));
  if (wanted?.sequenceGiven === true && isLeast(wanted.id)) {
    throw new CommandError('ERR The ID specified in XADD must be greater than 0-0');
  }
  if (options.noMakeStream && !typedRowAt(view, args, 1, rowType.STREAM).live) return null;
  const stream = streamToFill(view, args);
  if (compareBytes(stream.lastId, GREATEST_ID) === 0) {
    throw new CommandError('ERR The stream has exhausted the last possible ID, unable to add more items');
  }
  const id = newId(stream.lastId, wanted, view.nowMs);
  if (id === undefined || compareBytes(id, stream.lastId) <= 0) {
    throw new CommandError('ERR The ID specified in XADD is equal or smaller than the target stream top item');
  }
  stream.append(id, entryOfWords(args, end, args.count));
  if (trims(options)) trim(stream, options);
  return textOfId(id);
}

/** The id of a new entry behind the last one; undefined: there is none with these milliseconds. */
function newId(lastId: StreamId, wanted: WantedId | undefined, nowMs: number): StreamId | undefined {
  if (wanted === undefined) return nowMs > msOfId(lastId) ? idOf(nowMs, 0) : idAfter(lastId);
  if (wanted.sequenceGiven || !isSameMs(wanted.id, lastId)) return wanted.id;
  return sequenceAfter(lastId);
}

interface Interval {
  readonly first: StreamId;
  readonly last: StreamId;
  /** Entries at most; undefined: all. */
  readonly count: number | undefined;
}

function intervalOf(args: Args, reverse: boolean): Interval {
  const first = intervalStartAt(args, reverse ? 3 : 2);
  const last = intervalEndAt(args, reverse ? 2 : 3);
  let count: number | undefined;
  for (let i = 4; i < args.count; i += 2) {
    if (optionName(args, i) !== 'COUNT' || i + 1 >= args.count) throw syntaxError();
    count = Math.max(clampedIntegerOf(args, i + 1), 0);
  }
  return { first, last, count };
}

function range(view: View, args: Args, reverse: boolean): Reply {
  const { first, last, count } = intervalOf(args, reverse);
  const stream = streamAt(view, args);
  if (stream === undefined) return [];
  return count === 0 ? NULL_ARRAY : entriesBetween(stream, first, last, count, reverse);
}

/** The entries from `first` to `last`, `count` at most. Throws `Miss`. */
export function entriesBetween(
  stream: Stream,
  first: StreamId,
  last: StreamId,
  count = Number.MAX_SAFE_INTEGER,
  reverse = false,
): Reply[] {
  const entries: Reply[] = [];
  if (compareBytes(first, last) > 0) return entries;
  stream.each(
    first,
    last,
    (id, entry) => {
      entries.push(entryReply(id, entry));
      return entries.length < count;
    },
    reverse,
  );
  return entries;
}

/** Only whoever asks for many entries can get many. */
function isLongRange(view: View, args: Args): boolean {
  if (args.count === 6 && Number(args.text(5)) <= SLICED_FROM) return false;
  return isLarge(view, args, 1, rowType.STREAM);
}

function* rangeSliced(view: View, args: Args, reverse: boolean): Sliced<Reply> {
  const { first, last, count } = intervalOf(args, reverse);
  const elements = lastingElementsAt(view, args, 1, rowType.STREAM);
  if (elements === undefined) return [];
  if (count === 0) return NULL_ARRAY;
  const stream = new Stream(elements);
  const entries: Reply[] = [];
  if (compareBytes(first, last) > 0) return entries;
  yield* eachSliced(stream.elements, stream.range(first, last, reverse), (id, entry) => {
    entries.push(entryReply(id, entry));
    return entries.length !== count;
  });
  return entries;
}

function remove(view: View, args: Args): Reply {
  const stream = streamAt(view, args);
  if (stream === undefined) return 0;
  const ids: StreamId[] = [];
  for (let i = 2; i < args.count; i++) ids.push(idAt(args, i));
  let removed = 0;
  for (const id of ids) if (stream.delete(id)) removed++;
  return removed;
}

function trimNow(view: View, args: Args): Reply {
  const options = addOrTrimOptions(args, false);
  const row = typedRowAt(view, args, 1, rowType.STREAM);
  return row.live ? trimInTurns(view, row, options) : 0;
}

function setId(view: View, args: Args): Reply {
  const id = idAt(args, 2);
  let added: number | undefined;
  let maxDeletedId: StreamId | undefined;
  for (let i = 3; i < args.count; i += 2) {
    const name = i + 1 < args.count ? optionName(args, i) : '';
    if (name === 'ENTRIESADDED') {
      added = clampedIntegerOf(args, i + 1);
      if (added < 0) throw new CommandError('ERR entries_added must be positive');
    } else if (name === 'MAXDELETEDID') {
      maxDeletedId = idAt(args, i + 1);
      if (compareBytes(id, maxDeletedId) < 0) {
        throw new CommandError('ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id');
      }
    } else throw syntaxError();
  }
  const stream = streamAt(view, args);
  if (stream === undefined) throw new CommandError(NO_SUCH_KEY);
  checkNewLastId(stream, id, added);
  stream.setId(id, added, maxDeletedId === undefined || isLeast(maxDeletedId) ? undefined : maxDeletedId);
  return OK;
}

function checkNewLastId(stream: Stream, id: StreamId, added: number | undefined): void {
  const last = stream.lastEntryId();
  if (last === undefined) return;
  if (compareBytes(id, last) < 0) {
    throw new CommandError('ERR The ID specified in XSETID is smaller than the target stream top item');
  }
  if (added !== undefined && stream.length > added) {
    throw new CommandError('ERR The entries_added specified in XSETID is smaller than the target stream length');
  }
}
