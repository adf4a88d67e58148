/** What a key is made of: OBJECT. */

import { msOfStamp } from '../repl/hlc.ts';
import { rowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { encodingOf } from './key-encoding.ts';
import { keyCommand, keyDoc, rowAt } from './key-row.ts';
import { parseInt64 } from './number.ts';
import { type Reply, SimpleString } from './reply.ts';

const SECOND_KEY = { first: 2, last: 2, step: 1 } as const;

/** Longest text of an integer. */
const INTEGER_TEXT_MAX = 20;

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
  objectCommand('encoding', 'Returns how Redis would represent a value.', '2.2.3', encodingOf),
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

function idleSeconds(view: View, row: Row): Reply {
  if (row.dirty) return 0;
  return Math.max(Math.floor((view.nowMs - msOfStamp(row.before.modifiedStamp)) / 1000), 0);
}

function references(view: View, row: Row): Reply {
  if (row.type !== rowType.STRING) return 1;
  const length = view.stringLength(row);
  const value = length <= INTEGER_TEXT_MAX ? parseInt64(view.string(row), 0, length) : undefined;
  return typeof value === 'number' && value >= 0 && value < SHARED_INTEGERS ? SHARED_REFERENCES : 1;
}
