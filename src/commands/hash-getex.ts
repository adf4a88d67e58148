/** Fields read or written together with their deadlines or their end (Redis 8): HGETDEL, HGETEX, HSETEX. */

import { copyOf } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { removeIfEmpty, typedRowAt } from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError, wrongArity } from './errors.ts';
import { endAt, fieldDeadlineOf, firstFieldAfter, NUMBER_OF_FIELDS } from './hash-expiry.ts';
import { fieldKeyAt, fieldsOf, fieldsToFill, type HashFields } from './hash-fields.ts';
import { hashCommand, hashDoc } from './hash-plain.ts';
import { int32Of } from './key-row.ts';
import { expiryUnit, optionName } from './options.ts';
import type { Reply } from './reply.ts';

export const getexHashCommands: readonly Command[] = [
  hashCommand({
    name: 'hgetdel',
    arity: -5,
    flags: ['write', 'fast'],
    access: 'update',
    doc: hashDoc('Returns the values of fields and deletes them.', '8.0.0', 'O(N) for N fields'),
    run: getAndDelete,
  }),
  hashCommand({
    name: 'hgetex',
    arity: -5,
    flags: ['write', 'fast'],
    access: 'update',
    doc: hashDoc('Returns the values of fields and sets their deadlines.', '8.0.0', 'O(N) for N fields'),
    run: getAndExpire,
  }),
  hashCommand({
    name: 'hsetex',
    arity: -6,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: hashDoc('Sets fields with a condition and a deadline.', '8.0.0', 'O(N) for N fields'),
    run: setWithOptions,
  }),
];

/** The values of the fields from word `first` on; `then` is told each field that is there. Throws `Miss`. */
function takeEach(view: View, args: Args, first: number, then: (fields: HashFields, key: Uint8Array) => void): Reply {
  const row = typedRowAt(view, args, 1, rowType.HASH);
  const fields = row.live ? fieldsOf(view, row) : undefined;
  const values: Reply[] = [];
  for (let i = first; i < args.count; i++) {
    const key = fieldKeyAt(args, i);
    const value = fields?.get(key);
    values.push(value === undefined ? null : copyOf(value));
    if (fields !== undefined && value !== undefined) then(fields, key);
  }
  removeIfEmpty(view, row);
  return values;
}

function getAndDelete(view: View, args: Args): Reply {
  typedRowAt(view, args, 1, rowType.HASH);
  const first = firstFieldAfter(args, 2, NUMBER_OF_FIELDS);
  return takeEach(view, args, first, (fields, key) => fields.delete(key));
}

function getAndExpire(view: View, args: Args): Reply {
  typedRowAt(view, args, 1, rowType.HASH);
  const option = optionName(args, 2);
  const unit = expiryUnit(option);
  if (unit !== undefined) {
    const deadlineMs = fieldDeadlineOf(args, 3, unit, view.nowMs, 'hgetex');
    const first = firstFieldAfter(args, 4, NUMBER_OF_FIELDS);
    return takeEach(view, args, first, (fields, key) => void endAt(fields, key, deadlineMs, view.nowMs));
  }
  const isPersist = option === 'PERSIST';
  const first = firstFieldAfter(args, isPersist ? 3 : 2, NUMBER_OF_FIELDS);
  return takeEach(view, args, first, (fields, key) => {
    if (isPersist) fields.setDeadline(key, 0);
  });
}

interface SetOptions {
  condition: 'FNX' | 'FXX' | undefined;
  deadlineMs: number | undefined;
  keepsDeadline: boolean;
  first: number;
}

/** Throws `CommandError`. */
function setOptions(view: View, args: Args): SetOptions {
  const options: SetOptions = { condition: undefined, deadlineMs: undefined, keepsDeadline: false, first: 0 };
  for (let i = 2; i < args.count; i++) {
    const name = optionName(args, i);
    const unit = expiryUnit(name);
    if (name === 'FIELDS') {
      options.first = firstPairAfter(args, i);
      return options;
    }
    if (unit !== undefined || name === 'KEEPTTL') {
      if (options.deadlineMs !== undefined || options.keepsDeadline) {
        throw new CommandError('ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified');
      }
      if (unit === undefined) options.keepsDeadline = true;
      else if (++i >= args.count) throw new CommandError('ERR missing expire time');
      else options.deadlineMs = fieldDeadlineOf(args, i, unit, view.nowMs, 'hsetex');
    } else if (name === 'FNX' || name === 'FXX') {
      if (options.condition !== undefined) {
        throw new CommandError('ERR Only one of FXX or FNX arguments can be specified');
      }
      options.condition = name;
    } else throw new CommandError(`ERR unknown argument: ${args.text(i)}`);
  }
  // Redis demands that there are fields, and lets nothing stand behind them.
  throw new CommandError(wrongArity('hsetex'));
}

/** The word of the first field, where FIELDS stands at word `at`. Throws `CommandError`. */
function firstPairAfter(args: Args, at: number): number {
  if (at >= args.count - 3) throw new CommandError(wrongArity('hsetex'));
  const count = int32Of(args, at + 1);
  if (count === undefined || count < 1) throw new CommandError('ERR invalid number of fields');
  if (2 * count !== args.count - at - 2) throw new CommandError(wrongArity('hsetex'));
  return at + 2;
}

function setWithOptions(view: View, args: Args): Reply {
  const { condition, deadlineMs, keepsDeadline, first } = setOptions(view, args);
  const row = typedRowAt(view, args, 1, rowType.HASH);
  if (!row.live && condition === 'FXX') return 0;
  const fields = fieldsToFill(view, args);
  if (!meets(fields, args, first, condition)) {
    removeIfEmpty(view, row);
    return 0;
  }
  for (let i = first; i < args.count; i += 2) {
    const key = fieldKeyAt(args, i);
    if (keepsDeadline) fields.change(key, args.at(i + 1));
    else fields.set(key, args.at(i + 1));
    if (deadlineMs !== undefined) endAt(fields, key, deadlineMs, view.nowMs);
  }
  removeIfEmpty(view, row);
  return 1;
}

/** Whether all of the fields from word `first` on are there, or none of them. Throws `Miss`. */
function meets(fields: HashFields, args: Args, first: number, condition: SetOptions['condition']): boolean {
  if (condition === undefined) return true;
  for (let i = first; i < args.count; i += 2) {
    if ((fields.get(fieldKeyAt(args, i)) !== undefined) !== (condition === 'FXX')) return false;
  }
  return true;
}
