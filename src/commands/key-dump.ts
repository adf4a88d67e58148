/** Values as bytes, here and in Redis: DUMP and RESTORE. */

import type { CellsAhead } from '../repl/cells-ahead.ts';
import { type RowType, rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { SLICED_FROM } from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import { FIRST_KEY, keyCommand, keyDoc, rowAt } from './key-row.ts';
import { inTurns } from './long-store.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { dumpValue, isIntact, restoreValue } from './rdb.ts';
import { fillRow, valueOfRow } from './rdb-row.ts';
import { dumpSliced, dumpsSliced, isIntactSliced, restoreSliced, slicedTypeOf } from './rdb-sliced.ts';
import { OK, type Reply } from './reply.ts';
import type { Sliced } from './sliced.ts';

const BAD_DATA = 'ERR Bad data format';
const BAD_CHECKSUM = 'ERR DUMP payload version or checksum are wrong';

export const dumpCommands: readonly Command[] = [
  keyCommand({
    name: 'dump',
    arity: 2,
    flags: ['readonly'],
    keys: FIRST_KEY,
    access: 'read',
    doc: keyDoc('Returns a value as a payload for RESTORE, here or in Redis.', '2.6.0', 'O(N) for a value of N bytes'),
    run: dump,
    isLong: (view, args) => isLongDump(view, args),
    runSliced: (view, args) => dumpSliced(view, rowAt(view, args, 1)),
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
    takesTurns: true,
  }),
];

function dump(view: View, args: Args): Reply {
  const row = rowAt(view, args, 1);
  if (!row.live) return null;
  const value = valueOfRow(view, row);
  // Its fields may all be past their deadlines.
  if (row.type === rowType.HASH && value.kind === 'hash' && value.words.length === 0) return null;
  return dumpValue(value);
}

function isLongDump(view: View, args: Args): boolean {
  const row = rowAt(view, args, 1);
  return row.live && dumpsSliced(view, row, SLICED_FROM);
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
  const deadlineMs = ttl === 0 ? 0 : Math.min(ttl + (options.absolute ? 0 : view.nowMs), Number.MAX_SAFE_INTEGER);
  const type = slicedTypeOf(payload);
  if (type !== undefined) {
    const becoming = { type, expiresAtMs: deadlineMs, isLong: true };
    const stored = inTurns(view, row, becoming, (cells) => restoredSliced(payload, type, cells));
    if (stored !== undefined) {
      if (deadlineMs !== 0 && deadlineMs <= view.nowMs) view.remove(row);
      return stored;
    }
  }
  if (!isIntact(payload)) throw new CommandError(BAD_CHECKSUM);
  const value = restoreValue(payload);
  if (value === undefined || !fillRow(view, row, value)) throw new CommandError(BAD_DATA);
  if (ttl === 0) return OK;
  if (deadlineMs <= view.nowMs) view.remove(row);
  else view.setExpiry(row, deadlineMs);
  return OK;
}

function* restoredSliced(payload: Uint8Array, type: RowType, cells: CellsAhead): Sliced<Reply> {
  if (!(yield* isIntactSliced(payload))) throw new CommandError(BAD_CHECKSUM);
  if (!(yield* restoreSliced(payload, type, cells))) throw new CommandError(BAD_DATA);
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
