/** Parts of strings: APPEND, SETRANGE, GETRANGE, SUBSTR. */

import { EMPTY } from '../bytes.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf } from './number.ts';
import type { Reply } from './reply.ts';
import { stringCommand, stringDoc, stringOrEmpty, stringRowAt } from './string-row.ts';

const TOO_LONG = 'ERR string exceeds maximum allowed size (proto-max-bulk-len)';

export const stringRangeCommands: readonly Command[] = [
  stringCommand({
    name: 'append',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: stringDoc('Adds bytes to the end of a string; a missing key counts as empty.', '2.0.0'),
    run: append,
  }),
  stringCommand({
    name: 'setrange',
    arity: 4,
    flags: ['write', 'denyoom'],
    access: 'update',
    doc: stringDoc(
      'Overwrites part of a string from an offset on, padding it with zero bytes.',
      '2.2.0',
      'O(N) for N bytes',
    ),
    run: setRange,
  }),
  stringCommand({
    name: 'getrange',
    arity: 4,
    flags: ['readonly'],
    access: 'read',
    doc: stringDoc('Returns part of a string by the offsets of its first and last byte.', '2.4.0', 'O(N) for N bytes'),
    run: getRange,
  }),
  stringCommand({
    name: 'substr',
    arity: 4,
    flags: ['readonly'],
    access: 'read',
    doc: stringDoc('The old name of GETRANGE.', '1.0.0', 'O(N) for N bytes'),
    run: getRange,
  }),
];

function append(view: View, args: Args, { server }: Context): Reply {
  const row = stringRowAt(view, args, 1);
  const tail = args.at(2);
  if (!row.live) {
    view.setString(row, tail, 0);
    return tail.length;
  }
  const before = view.string(row);
  const length = before.length + tail.length;
  if (length > server.settings.maxBulkBytes) throw new CommandError(TOO_LONG);
  const whole = new Uint8Array(length);
  whole.set(before);
  whole.set(tail, before.length);
  view.setString(row, whole, row.expiresAtMs);
  return length;
}

function setRange(view: View, args: Args, { server }: Context): Reply {
  const offset = clampedIntegerOf(args, 2);
  if (offset < 0) throw new CommandError('ERR offset is out of range');
  const row = stringRowAt(view, args, 1);
  const part = args.at(3);
  if (part.length === 0) return row.live ? view.stringLength(row) : 0;
  if (offset + part.length > server.settings.maxBulkBytes) throw new CommandError(TOO_LONG);
  return overwrite(view, row, offset, part);
}

function overwrite(view: View, row: Row, offset: number, part: Uint8Array): number {
  const before = stringOrEmpty(view, row);
  const whole = new Uint8Array(Math.max(before.length, offset + part.length));
  whole.set(before);
  whole.set(part, offset);
  view.setString(row, whole, row.expiresAtMs);
  return whole.length;
}

function getRange(view: View, args: Args): Reply {
  const first = clampedIntegerOf(args, 2);
  const last = clampedIntegerOf(args, 3);
  const row = stringRowAt(view, args, 1);
  if (!row.live || (first < 0 && last < 0 && first > last)) return EMPTY;
  const length = view.stringLength(row);
  const start = Math.max(first < 0 ? length + first : first, 0);
  const end = Math.min(Math.max(last < 0 ? length + last : last, 0), length - 1);
  return start > end ? EMPTY : view.string(row).subarray(start, end + 1);
}
