/** What a key is made of: OBJECT, DUMP, RESTORE. */

import { msOfStamp } from '../repl/hlc.ts';
import { rowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { FIRST_KEY, keyCommand, keyDoc, rowAt } from './key-row.ts';
import { clampedIntegerOf, parseInt64 } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { dumpString, isIntact, restoreString } from './rdb.ts';
import { OK, type Reply, SimpleString } from './reply.ts';
import { setUnlessPast } from './string-row.ts';

const SECOND_KEY = { first: 2, last: 2, step: 1 } as const;

/** Longest text of an integer, and longest string that Redis keeps in one piece with its object. */
const INTEGER_TEXT_MAX = 20;
const EMBEDDED_MAX = 44;

/** Redis keeps one object for each of the integers 0 to 9999, and says so by this count of references. */
const SHARED_INTEGERS = 10_000;
const SHARED_REFERENCES = 2_147_483_647;

const HELP = [
  'OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'ENCODING <key>',
  '    Return how Redis would represent the value of <key>.',
  'FREQ <key>',
  '    Always an error: frequencies of access are not kept.',
  'IDLETIME <key>',
  '    Return the seconds since <key> was written; times of access are not kept.',
  'REFCOUNT <key>',
  '    Return the number of references that Redis would hold to the value of <key>.',
  'HELP',
  '    Print this help.',
];

const objectSubcommands: readonly Command[] = [
  objectCommand('encoding', 'Returns how Redis would represent a value.', '2.2.3', encoding),
  objectCommand('freq', 'Refuses: frequencies of access are not kept.', '4.0.0', () => {
    throw new CommandError(
      'ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.',
    );
  }),
  objectCommand('idletime', 'Returns the seconds since a key was written.', '2.2.3', idleSeconds),
  objectCommand('refcount', 'Returns the references that Redis would hold to a value.', '2.2.3', references),
  keyCommand({
    name: 'help',
    arity: 2,
    flags: ['loading', 'stale'],
    access: 'none',
    doc: keyDoc('Describes the subcommands of OBJECT.', '6.2.0'),
    run: () => HELP.map((line) => new SimpleString(line)),
  }),
];

export const objectCommands: readonly Command[] = [
  {
    name: 'object',
    arity: -2,
    flags: [],
    access: 'none',
    categories: [],
    doc: keyDoc('Tells what a key is made of.', '2.2.3', 'That of the subcommand'),
    subcommands: objectSubcommands,
  },
  keyCommand({
    name: 'dump',
    arity: 2,
    flags: ['readonly'],
    keys: FIRST_KEY,
    access: 'read',
    doc: keyDoc('Returns a value as a payload for RESTORE, here or in Redis.', '2.6.0', 'O(N) for a value of N bytes'),
    run: dump,
  }),
  keyCommand({
    name: 'restore',
    arity: -4,
    flags: ['write', 'denyoom'],
    keys: FIRST_KEY,
    access: 'update',
    categories: ['keyspace', 'dangerous'],
    doc: keyDoc('Creates a key from the payload of a DUMP.', '2.6.0', 'O(N) for a value of N bytes'),
    run: restore,
  }),
];

function objectCommand(name: string, summary: string, since: string, show: (view: View, row: Row) => Reply): Command {
  return keyCommand({
    name,
    arity: 3,
    flags: ['readonly'],
    keys: SECOND_KEY,
    access: 'read',
    doc: keyDoc(summary, since),
    run: (view, args) => {
      const row = rowAt(view, args, 2);
      return row.live ? show(view, row) : null;
    },
  });
}

/** Values have one form here; the answer is what Redis makes of such a value when SET writes it. */
function encoding(view: View, row: Row): Reply {
  const length = view.stringLength(row);
  if (length <= INTEGER_TEXT_MAX && parseInt64(view.string(row), 0, length) !== undefined) return 'int';
  return length <= EMBEDDED_MAX ? 'embstr' : 'raw';
}

function idleSeconds(view: View, row: Row): Reply {
  if (row.dirty) return 0;
  return Math.max(Math.floor((view.nowMs - msOfStamp(row.before.modifiedStamp)) / 1000), 0);
}

function references(view: View, row: Row): Reply {
  const length = view.stringLength(row);
  const value = length <= INTEGER_TEXT_MAX ? parseInt64(view.string(row), 0, length) : undefined;
  return typeof value === 'number' && value >= 0 && value < SHARED_INTEGERS ? SHARED_REFERENCES : 1;
}

function dump(view: View, args: Args): Reply {
  const row = rowAt(view, args, 1);
  if (!row.live) return null;
  if (row.type !== rowType.STRING) throw new CommandError('ERR this type cannot be dumped yet');
  return dumpString(view.string(row));
}

interface RestoreOptions {
  replace: boolean;
  absolute: boolean;
}

function restore(view: View, args: Args): Reply {
  const options = restoreOptions(args);
  const row = rowAt(view, args, 1);
  if (row.live && !options.replace) throw new CommandError('BUSYKEY Target key name already exists.');
  const ttl = clampedIntegerOf(args, 2);
  if (ttl < 0) throw new CommandError('ERR Invalid TTL value, must be >= 0');
  const payload = args.at(3);
  if (!isIntact(payload)) throw new CommandError('ERR DUMP payload version or checksum are wrong');
  const value = restoreString(payload);
  if (value === undefined) throw new CommandError('ERR Bad data format');
  const fromMs = options.absolute ? 0 : view.nowMs;
  setUnlessPast(view, row, value, ttl === 0 ? 0 : Math.min(ttl + fromMs, Number.MAX_SAFE_INTEGER));
  return OK;
}

/** IDLETIME and FREQ are checked as Redis checks them, and have no effect: neither is kept. */
function restoreOptions(args: Args): RestoreOptions {
  const options = { replace: false, absolute: false };
  let idle = false;
  let frequency = false;
  for (let i = 4; i < args.count; i++) {
    const name = optionName(args, i);
    const hasNext = i + 1 < args.count;
    if (name === 'REPLACE') options.replace = true;
    else if (name === 'ABSTTL') options.absolute = true;
    else if (name === 'IDLETIME' && hasNext && !frequency) {
      if (clampedIntegerOf(args, ++i) < 0) throw new CommandError('ERR Invalid IDLETIME value, must be >= 0');
      idle = true;
    } else if (name === 'FREQ' && hasNext && !idle) {
      const value = clampedIntegerOf(args, ++i);
      if (value < 0 || value > 255) throw new CommandError('ERR Invalid FREQ value, must be >= 0 and <= 255');
      frequency = true;
    } else throw syntaxError();
  }
  return options;
}
