/** Numbers in strings: INCR and its kin. Integers have 64 bits; INCRBYFLOAT counts as Redis's long double does. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { CommandError, NOT_A_FLOAT, NOT_AN_INTEGER, OVERFLOW } from './errors.ts';
import { addInt64, int64Of, integerBytes, negateInt64, parseInt64 } from './number.ts';
import type { Reply } from './reply.ts';
import { addLongDouble, formatLongDouble, isFinite, type LongDouble, parseLongDouble } from './string-long-double.ts';
import { stringCommand, stringDoc, stringRowAt } from './string-row.ts';

export const counterCommands: readonly Command[] = [
  stringCommand({
    name: 'incr',
    arity: 2,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: stringDoc('Adds one to the integer at a key; a missing key counts as 0.', '1.0.0'),
    run: (view, args) => add(view, args, 1),
  }),
  stringCommand({
    name: 'incrby',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: stringDoc('Adds an integer to the one at a key; a missing key counts as 0.', '1.0.0'),
    run: (view, args) => add(view, args, int64Of(args, 2)),
  }),
  stringCommand({
    name: 'decr',
    arity: 2,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: stringDoc('Takes one from the integer at a key; a missing key counts as 0.', '1.0.0'),
    run: (view, args) => add(view, args, -1),
  }),
  stringCommand({
    name: 'decrby',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: stringDoc('Takes an integer from the one at a key; a missing key counts as 0.', '1.0.0'),
    run: subtract,
  }),
  stringCommand({
    name: 'incrbyfloat',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: stringDoc('Adds a decimal number to the one at a key; a missing key counts as 0.', '2.6.0'),
    run: addFloat,
  }),
];

function add(view: View, args: Args, increment: number | bigint): Reply {
  const row = stringRowAt(view, args, 1);
  let current: number | bigint | undefined = 0;
  if (row.live) {
    const value = view.string(row);
    current = parseInt64(value, 0, value.length);
    if (current === undefined) throw new CommandError(NOT_AN_INTEGER);
  }
  const sum = addInt64(current, increment);
  if (sum === undefined) throw new CommandError(OVERFLOW);
  view.setString(row, integerBytes(sum), row.expiresAtMs);
  return sum;
}

function subtract(view: View, args: Args): Reply {
  const decrement = negateInt64(int64Of(args, 2));
  if (decrement === undefined) throw new CommandError('ERR decrement would overflow');
  return add(view, args, decrement);
}

function addFloat(view: View, args: Args): Reply {
  const row = stringRowAt(view, args, 1);
  const current = row.live ? longDouble(view.string(row)) : parseLongDouble('0');
  const increment = longDouble(args.at(2));
  const sum = current === undefined ? undefined : addLongDouble(current, increment);
  if (sum === undefined || !isFinite(sum)) throw new CommandError('ERR increment would produce NaN or Infinity');
  const text = formatLongDouble(sum);
  view.setString(row, Buffer.from(text, 'latin1'), row.expiresAtMs);
  return text;
}

function longDouble(bytes: Uint8Array): LongDouble {
  const value = parseLongDouble(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'));
  if (value === undefined) throw new CommandError(NOT_A_FLOAT);
  return value;
}
