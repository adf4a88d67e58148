/**
 * KV.RANGE min max [LIMIT n] [REV] [WITHVALUES]: keys of the database in order, from min to max.
 *
 * The bounds are written as those of ZRANGEBYLEX: `[key` inclusive, `(key` exclusive, `-` below and `+` above all.
 * The reply is an array of keys; with WITHVALUES each key is followed by its value, in RESP3 as pairs (a map would
 * lose the order in most clients). With REV the greatest come first.
 *
 * Rows are in key order within a slot only. So the walk visits the range of every slot that has rows; with a LIMIT it
 * keeps the best n so far, and leaves a slot at the first key that cannot be among them. When both bounds begin with
 * the same hash tag, only its slot is visited.
 */

import { compareBytes, copyOf } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import { boundAt, type RowScan, type ScanOptions, scanStep } from '../repl/row-scan.ts';
import { Miss } from '../repl/miss.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { keyCommand, keyDoc } from './key-row.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import type { Reply } from './reply.ts';
import { SLICE_CELLS, slotOfPrefix } from './scan.ts';
import type { Sliced } from './sliced.ts';

/** Keys that one reply may have, and bytes of keys and values: beyond them it must be asked for in parts. */
export const RANGE_KEYS_MAX = 1_000_000;
export const RANGE_BYTES_MAX = 256 * 1024 * 1024;

/** Values read between two rests. */
const SLICE_VALUES = 200;

const OPEN_PARENTHESIS = 0x28;
const OPEN_BRACKET = 0x5b;
const PLUS = 0x2b;
const MINUS = 0x2d;

const BAD_BOUND = 'ERR min or max not valid string range item';

export const rangeCommands: readonly Command[] = [
  keyCommand({
    name: 'kv.range',
    arity: -3,
    flags: ['readonly'],
    access: 'read',
    doc: keyDoc(
      'Returns the keys from one to another in order.',
      '0.1.0',
      'O(S+N) for S slots and N keys in the range',
    ),
    runSliced: range,
  }),
];

export interface RangeOptions {
  readonly limit: number;
  readonly reverse: boolean;
  readonly withValues: boolean;
}

/** One end of the range; `key` undefined: below or above all keys. */
export interface End {
  readonly key: Uint8Array | undefined;
  readonly inclusive: boolean;
  readonly infinite: -1 | 0 | 1;
}

function* range(view: View, args: Args, { client }: Context): Sliced<Reply> {
  const min = endOf(args, 1);
  const max = endOf(args, 2);
  const options = rangeOptions(args);
  if (options.limit === 0 || min.infinite > 0 || max.infinite < 0) return [];
  const rows = view.scan({ ...scanOptions(min, max), reverse: options.reverse, budget: SLICE_CELLS });
  let keys: Uint8Array[];
  try {
    keys = yield* bestKeys(rows, options);
  } finally {
    rows.close();
  }
  return options.withValues ? yield* withValues(view, keys, client.protocol) : keys;
}

/** Word i as one end. Throws `CommandError`. */
export function endOf(args: Args, i: number): End {
  const word = args.at(i);
  const sign = word[0];
  if (word.length === 1 && (sign === MINUS || sign === PLUS)) {
    return { key: undefined, inclusive: true, infinite: sign === MINUS ? -1 : 1 };
  }
  if (sign !== OPEN_BRACKET && sign !== OPEN_PARENTHESIS) throw new CommandError(BAD_BOUND);
  return { key: word.subarray(1), inclusive: sign === OPEN_BRACKET, infinite: 0 };
}

/** The words after the ends. Throws `CommandError`. */
export function rangeOptions(args: Args): RangeOptions {
  let limit = Number.POSITIVE_INFINITY;
  let reverse = false;
  let wantsValues = false;
  for (let i = 3; i < args.count; i++) {
    const name = optionName(args, i);
    if (name === 'REV') reverse = true;
    else if (name === 'WITHVALUES') wantsValues = true;
    else if (name === 'LIMIT' && i + 1 < args.count) {
      limit = clampedIntegerOf(args, ++i);
      if (limit < 0) throw new CommandError('ERR LIMIT must not be negative');
    } else throw syntaxError();
  }
  return { limit, reverse, withValues: wantsValues };
}

function scanOptions(min: End, max: End): ScanOptions {
  const bounds = {
    ...(min.key && { lower: boundAt(min.key, min.inclusive) }),
    ...(max.key && { upper: boundAt(max.key, max.inclusive) }),
  };
  const only = slotOfRange(min, max);
  return only === undefined ? bounds : { ...bounds, slot: only, endSlot: only + 1 };
}

/** The only slot that keys of the range can be in; undefined: any. */
export function slotOfRange(min: End, max: End): number | undefined {
  return min.key && max.key && slotOfPrefix(commonPrefix(min.key, max.key));
}

/** Whether a key is between the ends. */
export function isWithin(key: Uint8Array, min: End, max: End): boolean {
  if (min.key !== undefined) {
    const order = compareBytes(key, min.key);
    if (order < 0 || (order === 0 && !min.inclusive)) return false;
  }
  if (max.key === undefined) return true;
  const order = compareBytes(key, max.key);
  return order < 0 || (order === 0 && max.inclusive);
}

function commonPrefix(a: Uint8Array, b: Uint8Array): Uint8Array {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return a.subarray(0, length);
}

/** The first keys of the range in the order asked for. */
function* bestKeys(rows: RowScan, { limit, reverse }: RangeOptions): Sliced<Uint8Array[]> {
  const order = (a: Uint8Array, b: Uint8Array): number => (reverse ? compareBytes(b, a) : compareBytes(a, b));
  let keys: Uint8Array[] = [];
  /** The last of the best so far, once there are enough. */
  let worst: Uint8Array | undefined;
  for (;;) {
    const step = rows.next();
    if (step === scanStep.MISS) yield rows.load();
    else if (step === scanStep.PAUSE) yield undefined;
    else if (step === scanStep.ABSENT) break;
    else {
      const key = rows.key;
      if (worst !== undefined && order(key, worst) >= 0) {
        rows.skipSlot();
        continue;
      }
      keys.push(key);
      if (keys.length > RANGE_KEYS_MAX && limit >= RANGE_KEYS_MAX) throw tooMuch(`${RANGE_KEYS_MAX} keys`);
      if (keys.length >= 2 * limit) {
        keys = keys.sort(order).slice(0, limit);
        worst = keys[limit - 1];
      }
    }
  }
  keys.sort(order);
  return keys.length > limit ? keys.slice(0, limit) : keys;
}

function* withValues(view: View, keys: readonly Uint8Array[], protocol: 2 | 3): Sliced<Reply> {
  const reply: Reply[] = [];
  let bytes = 0;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as Uint8Array;
    const value = yield* valueOf(view, key);
    // Deleted since the walk passed it.
    if (value === undefined) continue;
    bytes += key.length + (value?.length ?? 0);
    if (bytes > RANGE_BYTES_MAX) throw tooMuch(`${RANGE_BYTES_MAX} bytes`);
    if (protocol === 3) reply.push([key, value]);
    else reply.push(key, value);
    if ((i + 1) % SLICE_VALUES === 0) {
      view.forgetUnchanged();
      yield undefined;
    }
  }
  return reply;
}

/** A copy of the value; null for another type than string, undefined when the key is gone. */
function* valueOf(view: View, key: Uint8Array): Sliced<Uint8Array | null | undefined> {
  for (;;) {
    try {
      const row = view.row(key);
      if (!row.live) return undefined;
      return row.type === rowType.STRING ? copyOf(view.string(row)) : null;
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      yield thrown.load();
    }
  }
}

function tooMuch(what: string): CommandError {
  return new CommandError(`ERR the range holds more than ${what}: ask for a part of it with LIMIT`);
}
