/** Numbers in the fields of a hash: HINCRBY, HINCRBYFLOAT. A field keeps its deadline. */

import { latin1 } from '../bytes.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import { CommandError, NOT_A_FLOAT, OVERFLOW } from './errors.ts';
import { fieldKeyAt, fieldsToFill } from './hash-fields.ts';
import { hashCommand, hashDoc } from './hash-plain.ts';
import { addInt64, int64Of, integerBytes, parseInt64 } from './number.ts';
import type { Reply } from './reply.ts';
import { addLongDouble, formatLongDouble, isFinite, parseLongDouble } from './string-long-double.ts';

export const counterHashCommands: readonly Command[] = [
  hashCommand({
    name: 'hincrby',
    arity: 4,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: hashDoc('Adds an integer to the one in a field; a missing field counts as 0.', '2.0.0'),
    run: add,
  }),
  hashCommand({
    name: 'hincrbyfloat',
    arity: 4,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: hashDoc('Adds a decimal number to the one in a field; a missing field counts as 0.', '2.6.0'),
    run: addFloat,
  }),
];

function add(view: View, args: Args): Reply {
  const increment = int64Of(args, 3);
  const fields = fieldsToFill(view, args);
  const key = fieldKeyAt(args, 2);
  const value = fields.get(key);
  const current = value === undefined ? 0 : parseInt64(value, 0, value.length);
  if (current === undefined) throw new CommandError('ERR hash value is not an integer');
  const sum = addInt64(current, increment);
  if (sum === undefined) throw new CommandError(OVERFLOW);
  fields.change(key, integerBytes(sum));
  return sum;
}

function addFloat(view: View, args: Args): Reply {
  const increment = parseLongDouble(args.text(3));
  if (increment === undefined) throw new CommandError(NOT_A_FLOAT);
  if (!isFinite(increment)) throw new CommandError('ERR value is NaN or Infinity');
  const fields = fieldsToFill(view, args);
  const key = fieldKeyAt(args, 2);
  const value = fields.get(key);
  const current = parseLongDouble(value === undefined ? '0' : latin1(value));
  if (current === undefined) throw new CommandError('ERR hash value is not a float');
  const sum = addLongDouble(current, increment);
  if (sum === undefined || !isFinite(sum)) throw new CommandError('ERR increment would produce NaN or Infinity');
  const text = formatLongDouble(sum);
  fields.change(key, Buffer.from(text, 'latin1'));
  return text;
}
