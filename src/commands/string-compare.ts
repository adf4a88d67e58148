/**
 * Compare and set, compare and delete: IFEQ, IFNE, IFDEQ, IFDNE, DELEX and DIGEST as Redis 8.4 has them, DELIFEQ as
 * Valkey 9 (sources of the behaviour: redis.io/commands/set, /delex and /digest, valkey.io/commands/delifeq, redis
 * pull request 14502 on the form of digests).
 */

import { equalBytes } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { CommandError, WRONG_TYPE, wrongArity } from './errors.ts';
import { optionName } from './options.ts';
import type { Reply } from './reply.ts';
import { rowAt, stringCommand, stringDoc, stringRowAt } from './string-row.ts';
import { xxh3 } from './string-xxh3.ts';

export type Comparison = 'IFEQ' | 'IFNE' | 'IFDEQ' | 'IFDNE';

/** Hexadecimal digits of a digest: 64 bits. */
const DIGEST_LENGTH = 16;

const BAD_DIGEST = 'ERR must be exactly 16 hexadecimal characters';
const NOT_A_STRING = 'ERR Key should be of string type if conditions are specified';
const BAD_CONDITION = 'ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE';

export const compareCommands: readonly Command[] = [
  stringCommand({
    name: 'digest',
    arity: 2,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: stringDoc('Returns the XXH3 hash of a string, in hexadecimal.', '8.4.0', 'O(N) for a string of N bytes'),
    run: digest,
  }),
  stringCommand({
    name: 'delex',
    arity: -2,
    flags: ['write', 'fast'],
    access: 'update',
    doc: stringDoc('Deletes a key, if its value or digest compares as asked.', '8.4.0', 'O(N) for a digest of N bytes'),
    run: deleteIf,
  }),
  stringCommand({
    name: 'delifeq',
    arity: 3,
    flags: ['write', 'fast'],
    access: 'update',
    doc: stringDoc('Deletes a key if its value is the one given.', '9.0.0'),
    run: deleteIfEqual,
  }),
];

export function isComparison(name: string): name is Comparison {
  return name === 'IFEQ' || name === 'IFNE' || name === 'IFDEQ' || name === 'IFDNE';
}

/**
 * Whether the row compares with word `at` as asked; a row that is not there equals nothing.
 * Requires: the row is dead or a string. Throws `Miss`, `CommandError`.
 */
export function comparisonHolds(view: View, row: Row, comparison: Comparison, args: Args, at: number): boolean {
  const wantsEqual = comparison === 'IFEQ' || comparison === 'IFDEQ';
  if (!row.live) return !wantsEqual;
  const value = view.string(row);
  if (comparison === 'IFEQ' || comparison === 'IFNE') return equalBytes(value, args.at(at)) === wantsEqual;
  if (args.length(at) !== DIGEST_LENGTH) throw new CommandError(BAD_DIGEST);
  return (xxh3(value) === args.text(at).toLowerCase()) === wantsEqual;
}

function digest(view: View, args: Args): Reply {
  const row = stringRowAt(view, args, 1);
  return row.live ? xxh3(view.string(row)) : null;
}

function deleteIf(view: View, args: Args): Reply {
  if (args.count === 2) return Number(view.remove(rowAt(view, args, 1)));
  if (args.count !== 4) throw new CommandError(wrongArity('delex'));
  const row = rowAt(view, args, 1);
  if (!row.live) return 0;
  if (row.type !== rowType.STRING) throw new CommandError(NOT_A_STRING);
  const name = optionName(args, 2);
  if (!isComparison(name)) throw new CommandError(BAD_CONDITION);
  return comparisonHolds(view, row, name, args, 3) ? Number(view.remove(row)) : 0;
}

function deleteIfEqual(view: View, args: Args): Reply {
  const row = rowAt(view, args, 1);
  if (!row.live) return 0;
  if (row.type !== rowType.STRING) throw new CommandError(WRONG_TYPE);
  return equalBytes(view.string(row), args.at(2)) ? Number(view.remove(row)) : 0;
}
