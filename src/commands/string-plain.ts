/** Setting and getting whole strings: SET, GET and their kin. */

import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { EX, PX, type ExpiryUnit, positiveDeadlineOf } from './options.ts';
import { OK, type Reply } from './reply.ts';
import { comparisonHolds } from './string-compare.ts';
import { deadlineOfOptions, stringOptions, type StringOptions } from './string-options.ts';
import { rowAt, setUnlessPast, stringCommand, stringDoc, stringRowAt } from './string-row.ts';

export const plainStringCommands: readonly Command[] = [
  stringCommand({
    name: 'set',
    arity: -3,
    flags: ['write', 'denyoom'],
    access: 'overwrite',
    doc: stringDoc('Gives a key a string value, whatever it held; options make it conditional or expiring.', '1.0.0'),
    run: set,
  }),
  stringCommand({
    name: 'get',
    arity: 2,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: stringDoc('Returns the string at a key.', '1.0.0'),
    run: get,
  }),
  stringCommand({
    name: 'getex',
    arity: -2,
    flags: ['write', 'fast'],
    access: 'update',
    doc: stringDoc('Returns the string at a key and gives the key another expiry, or none.', '6.2.0'),
    run: getAndExpire,
  }),
  stringCommand({
    name: 'getdel',
    arity: 2,
    flags: ['write', 'fast'],
    access: 'update',
    doc: stringDoc('Returns the string at a key and deletes the key.', '6.2.0'),
    run: getAndDelete,
  }),
  stringCommand({
    name: 'getset',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: stringDoc('Sets a key to a string and returns the one that it had.', '1.0.0'),
    run: getAndSet,
  }),
  stringCommand({
    name: 'setnx',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: stringDoc('Sets a key to a string if the key does not exist.', '1.0.0'),
    run: setIfAbsent,
  }),
  stringCommand({
    name: 'setex',
    arity: 4,
    flags: ['write', 'denyoom'],
    access: 'overwrite',
    doc: stringDoc('Sets a key to a string that expires after some seconds.', '2.0.0'),
    run: (view, args) => setExpiring(view, args, EX, 'setex'),
  }),
  stringCommand({
    name: 'psetex',
    arity: 4,
    flags: ['write', 'denyoom'],
    access: 'overwrite',
    doc: stringDoc('Sets a key to a string that expires after some milliseconds.', '2.6.0'),
    run: (view, args) => setExpiring(view, args, PX, 'psetex'),
  }),
  stringCommand({
    name: 'strlen',
    arity: 2,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: stringDoc('Returns the length of a string in bytes.', '2.2.0'),
    run: length,
  }),
];

function set(view: View, args: Args): Reply {
  if (args.count > 3) return setWithOptions(view, args, stringOptions(args, 3, 'set'));
  view.setString(rowAt(view, args, 1), args.at(2), 0);
  return OK;
}

function setWithOptions(view: View, args: Args, options: StringOptions): Reply {
  const deadlineMs = deadlineOfOptions(view, args, options, 'set');
  const looksAtValue = options.get || options.comparison !== undefined;
  const row = looksAtValue ? stringRowAt(view, args, 1) : rowAt(view, args, 1);
  const old = options.get && row.live ? view.string(row) : null;
  if (!conditionHolds(view, row, args, options)) return old;
  setUnlessPast(view, row, args.at(2), options.expiry === 'keep' ? row.expiresAtMs : deadlineMs);
  return options.get ? old : OK;
}

function conditionHolds(view: View, row: Row, args: Args, options: StringOptions): boolean {
  if (options.existence === 'absent') return !row.live;
  if (options.existence === 'present') return row.live;
  const { comparison } = options;
  return comparison === undefined || comparisonHolds(view, row, comparison, args, options.comparisonAt);
}

function get(view: View, args: Args): Reply {
  const row = stringRowAt(view, args, 1);
  return row.live ? view.string(row) : null;
}

function getAndExpire(view: View, args: Args): Reply {
  const options = stringOptions(args, 2, 'getex');
  const row = stringRowAt(view, args, 1);
  if (!row.live) return null;
  const deadlineMs = deadlineOfOptions(view, args, options, 'getex');
  const value = view.string(row);
  if (options.expiry === 'timed') expireAt(view, row, deadlineMs);
  if (options.expiry === 'persist' && row.expiresAtMs !== 0) view.setExpiry(row, 0);
  return value;
}

function expireAt(view: View, row: Row, deadlineMs: number): void {
  if (deadlineMs <= view.nowMs) view.remove(row);
  else view.setExpiry(row, deadlineMs);
}

function getAndDelete(view: View, args: Args): Reply {
  const row = stringRowAt(view, args, 1);
  if (!row.live) return null;
  const value = view.string(row);
  view.remove(row);
  return value;
}

function getAndSet(view: View, args: Args): Reply {
  const row = stringRowAt(view, args, 1);
  const old = row.live ? view.string(row) : null;
  view.setString(row, args.at(2), 0);
  return old;
}

function setIfAbsent(view: View, args: Args): Reply {
  const row = rowAt(view, args, 1);
  if (row.live) return 0;
  view.setString(row, args.at(2), 0);
  return 1;
}

function setExpiring(view: View, args: Args, unit: ExpiryUnit, command: string): Reply {
  const deadlineMs = positiveDeadlineOf(args, 2, unit, view.nowMs, command);
  view.setString(rowAt(view, args, 1), args.at(3), deadlineMs);
  return OK;
}

function length(view: View, args: Args): Reply {
  const row = stringRowAt(view, args, 1);
  return row.live ? view.stringLength(row) : 0;
}
