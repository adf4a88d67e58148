/** Several strings at once: MGET, MSET, MSETNX, MSETEX. */

import { rowType } from '../repl/head.ts';
import { Miss } from '../repl/miss.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, KeyFinder, KeyRange } from './command.ts';
import { CommandError, wrongArity } from './errors.ts';
import { parseSafeInteger } from './number.ts';
import { OK, type Reply } from './reply.ts';
import { deadlineOfOptions, stringOptions } from './string-options.ts';
import { rowAt, setUnlessPast, stringCommand, stringDoc } from './string-row.ts';

const PAIRS: KeyRange = { first: 1, last: -1, step: 2 };

/** Largest number of keys that MSETEX may announce (a C int). */
const NUMKEYS_MAX = 2_147_483_647;

/** The keys of MSETEX: as many as word 1 says, each followed by its value. */
const COUNTED_PAIRS: KeyFinder = {
  range: { first: 0, last: 0, step: 0 },
  find(args) {
    const count = numkeysOf(args);
    const keys: number[] = [];
    for (let i = 2; keys.length < count && i < args.count; i += 2) keys.push(i);
    return keys;
  },
};

export const multiStringCommands: readonly Command[] = [
  stringCommand({
    name: 'mget',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: { first: 1, last: -1, step: 1 },
    access: 'read',
    doc: stringDoc('Returns the strings at several keys.', '1.0.0', 'O(N) for N keys'),
    run: getMany,
  }),
  stringCommand({
    name: 'mset',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: PAIRS,
    access: 'transaction',
    doc: stringDoc('Sets several keys to strings, all at once.', '1.0.1', 'O(N) for N keys'),
    run: setMany,
  }),
  stringCommand({
    name: 'msetnx',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: PAIRS,
    access: 'transaction',
    doc: stringDoc('Sets several keys to strings if none of them exists.', '1.0.1', 'O(N) for N keys'),
    run: setManyIfAbsent,
  }),
  stringCommand({
    name: 'msetex',
    arity: -4,
    flags: ['write', 'denyoom', 'movablekeys'],
    keys: COUNTED_PAIRS,
    access: 'transaction',
    doc: stringDoc('Sets several keys to strings with one expiry and one condition.', '8.4.0', 'O(N) for N keys'),
    run: setManyWithOptions,
  }),
];

/** Looks at every key before it misses, so that what is on disk is read at once and not one after another. */
function getMany(view: View, args: Args): Reply {
  view.expect(args, 1, 1);
  const values: Reply[] = [];
  let misses: Miss[] | undefined;
  for (let i = 1; i < args.count; i++) {
    try {
      const row = rowAt(view, args, i);
      values.push(row.live && row.type === rowType.STRING ? view.string(row) : null);
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      (misses ??= []).push(thrown);
    }
  }
  if (misses !== undefined) throw allOf(misses);
  return values;
}

function allOf(misses: readonly Miss[]): Miss {
  return new Miss(async () => {
    await Promise.all(misses.map((miss) => miss.load()));
  });
}

function setMany(view: View, args: Args): Reply {
  if (args.count % 2 === 0) throw new CommandError(wrongArity('mset'));
  view.expect(args, 1, 2);
  for (let i = 1; i < args.count; i += 2) view.setString(rowAt(view, args, i), args.at(i + 1), 0);
  return OK;
}

function setManyIfAbsent(view: View, args: Args): Reply {
  if (args.count % 2 === 0) throw new CommandError(wrongArity('msetnx'));
  const rows: Row[] = [];
  for (let i = 1; i < args.count; i += 2) {
    const row = rowAt(view, args, i);
    if (row.live) return 0;
    rows.push(row);
  }
  rows.forEach((row, i) => view.setString(row, args.at(2 + 2 * i), 0));
  return 1;
}

/** How many keys word 1 announces; 0 when it is no such number. */
function numkeysOf(args: Args): number {
  const count = parseSafeInteger(args.bytes, args.starts[1] as number, args.ends[1] as number);
  return count >= 1 && count <= NUMKEYS_MAX ? count : 0;
}

function setManyWithOptions(view: View, args: Args): Reply {
  const count = numkeysOf(args);
  if (count === 0) throw new CommandError('ERR invalid numkeys value');
  const end = 2 + 2 * count;
  if (end > args.count) throw new CommandError('ERR wrong number of key-value pairs');
  const options = stringOptions(args, end, 'msetex');
  const deadlineMs = deadlineOfOptions(view, args, options, 'msetex');
  const rows: Row[] = [];
  for (let i = 2; i < end; i += 2) {
    const row = rowAt(view, args, i);
    if (options.existence !== 'any' && row.live !== (options.existence === 'present')) return 0;
    rows.push(row);
  }
  rows.forEach((row, i) => {
    setUnlessPast(view, row, args.at(3 + 2 * i), options.expiry === 'keep' ? row.expiresAtMs : deadlineMs);
  });
  return 1;
}
