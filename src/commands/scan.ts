/**
 * SCAN and KEYS: walks over the keys of a database.
 *
 * A cursor of SCAN is a place in the physical order of rows, which never changes for a key; so every key that exists
 * from the first call of a walk to its last is returned, whatever is written meanwhile, and none comes twice unless a
 * token was forgotten (scan-tokens.ts). COUNT bounds the rows and cells looked at, not only those that match.
 */

import { SLOT_COUNT, slotOf } from '../cluster/slot.ts';
import { databaseOfHead, slotOfHead } from '../repl/row-key.ts';
import { type RowScan, type ScanOptions, scanStep } from '../repl/row-scan.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { globMatches, literalPrefix, matchesAll } from './glob.ts';
import { keyCommand, keyDoc, typeName } from './key-row.ts';
import { clampedIntegerOf } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import type { Reply } from './reply.ts';
import { cursorOfSlot, type ScanTokens, slotOfCursor } from './scan-tokens.ts';
import type { Sliced } from './sliced.ts';

/** COUNT when none is given, as in Redis. */
export const DEFAULT_SCAN_COUNT = 10;

/** Cells that a step of SCAN looks at for each row of COUNT, so that it ends where little is alive or ours. */
const CELLS_PER_COUNT = 10;

/** Keys in one reply of KEYS, about 150 bytes of memory each: beyond them SCAN is the way. */
export const KEYS_MAX = 2_000_000;

/** Cells after which a walk lets others run: about a millisecond. */
export const SLICE_CELLS = 1000;

/** The greatest number that Redis takes for a cursor, and the longest text of one. */
const CURSOR_MAX = '18446744073709551615';
const MAX_CURSOR_LENGTH = 64;

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

export const scanCommands: readonly Command[] = [
  keyCommand({
    name: 'scan',
    arity: -2,
    flags: ['readonly'],
    access: 'read',
    doc: keyDoc(
      'Walks over the keys of the database, a step for each call.',
      '2.8.0',
      'O(1) a call, O(N) a whole walk',
    ),
    runSliced: scan,
  }),
  keyCommand({
    name: 'keys',
    arity: 2,
    flags: ['readonly'],
    categories: ['keyspace', 'dangerous'],
    access: 'read',
    doc: keyDoc('Returns all keys that match a pattern.', '1.0.0', 'O(N) for N keys in the database'),
    runSliced: keys,
  }),
];

/** What a call of the SCAN family asks for. */
export interface ScanBounds {
  count: number;
  /** Undefined: every key or element. */
  pattern: Uint8Array | undefined;
}

export interface ScanFilter extends ScanBounds {
  type: string | undefined;
}

function* scan(view: View, args: Args, { server }: Context): Sliced<Reply> {
  const cursor = cursorOf(args);
  const filter = scanFilter(args);
  const options = scanStart(view, cursor, filter, server.scanTokens);
  if (options === undefined) return ['0', []];
  const limit = filter.count * CELLS_PER_COUNT;
  const budget = Math.min(limit, SLICE_CELLS);
  const rows = view.scan({ ...options, budget });
  try {
    return yield* scanRows(rows, filter, server.scanTokens, { budget, limit });
  } finally {
    rows.close();
  }
}

function* scanRows(
  rows: RowScan,
  filter: ScanFilter,
  tokens: ScanTokens,
  { budget, limit }: { budget: number; limit: number },
): Sliced<Reply> {
  const found: Reply[] = [];
  let seen = 0;
  let cells = 0;
  let last: Uint8Array | undefined;
  for (;;) {
    const step = rows.next();
    if (step === scanStep.MISS) yield rows.load();
    else if (step === scanStep.ABSENT) return ['0', found];
    else if (step === scanStep.PAUSE) {
      cells += budget;
      if (cells < limit) yield undefined;
      else {
        const position = rows.position();
        return [String(tokens.cursorAfter(slotOfHead(position), position)), found];
      }
    } else if (seen >= filter.count) {
      // One row more was looked up to see whether the slot goes on: where it does not, no token is needed.
      const slot = slotOfHead(last as Uint8Array);
      const next = rows.slot === slot ? tokens.cursorAfter(slot, last as Uint8Array) : cursorOfSlot(rows.slot);
      return [String(next), found];
    } else {
      if (++seen === filter.count) last = rows.physicalKey;
      if (isWanted(rows, filter)) found.push(rows.key);
    }
  }
}

/** Where the walk goes on, and where it ends; undefined when it is over. */
function scanStart(view: View, cursor: number, filter: ScanFilter, tokens: ScanTokens): ScanOptions | undefined {
  const slot = slotOfCursor(cursor);
  const only = filter.pattern === undefined ? undefined : slotOfPattern(filter.pattern);
  const endSlot = only === undefined ? SLOT_COUNT : only + 1;
  if (slot >= endSlot) return undefined;
  if (only !== undefined && slot < only) return { slot: only, endSlot };
  const after = tokens.keyOf(cursor);
  // A token of another slot or database says nothing about this walk.
  const isOurs =
    after !== undefined && slotOfHead(after) === slot && databaseOfHead(after) === view.physicalDatabase(view.database);
  return isOurs ? { slot, endSlot, after } : { slot, endSlot };
}

/** The cursor at word `at` as C's strtoul reads it; one that no server gave ends the walk. */
export function cursorOf(args: Args, at = 1): number {
  const match = args.length(at) > MAX_CURSOR_LENGTH ? null : /^(?:([+-]?)0*([0-9]{1,20}))?$/.exec(args.text(at));
  if (match === null) throw new CommandError('ERR invalid cursor');
  const [, sign, digits = '0'] = match;
  if (digits.length === CURSOR_MAX.length && digits > CURSOR_MAX) throw new CommandError('ERR invalid cursor');
  return sign === '-' && Number(digits) > 0 ? Number(CURSOR_MAX) : Number(digits);
}

export function scanFilter(args: Args): ScanFilter {
  const filter: ScanFilter = { count: DEFAULT_SCAN_COUNT, pattern: undefined, type: undefined };
  for (let i = 2; i < args.count; i += 2) {
    const name = optionName(args, i);
    if (readScanOption(filter, name, args, i)) continue;
    if (name !== 'TYPE') throw syntaxError();
    filter.type = args.text(i + 1).toLowerCase();
  }
  return filter;
}

/** Reads COUNT or MATCH at word `i`; false: `name` is neither. Throws `CommandError`, also when no word follows. */
export function readScanOption(bounds: ScanBounds, name: string, args: Args, i: number): boolean {
  if (i + 1 >= args.count) throw syntaxError();
  if (name === 'COUNT') {
    bounds.count = clampedIntegerOf(args, i + 1);
    if (bounds.count < 1) throw syntaxError();
    return true;
  }
  if (name !== 'MATCH') return false;
  const pattern = args.at(i + 1);
  bounds.pattern = matchesAll(pattern) ? undefined : pattern;
  return true;
}

function isWanted(rows: RowScan, filter: ScanFilter): boolean {
  if (filter.type !== undefined && typeName(rows.type) !== filter.type) return false;
  return filter.pattern === undefined || globMatches(filter.pattern, rows.key);
}

function* keys(view: View, args: Args): Sliced<Reply> {
  const pattern = args.at(1);
  const all = matchesAll(pattern);
  const only = slotOfPattern(pattern);
  const slots = only === undefined ? {} : { slot: only, endSlot: only + 1 };
  const rows = view.scan({ ...slots, budget: SLICE_CELLS });
  const found: Reply[] = [];
  try {
    for (;;) {
      const step = rows.next();
      if (step === scanStep.MISS) yield rows.load();
      else if (step === scanStep.PAUSE) yield undefined;
      else if (step === scanStep.ABSENT) return found;
      else {
        const key = rows.key;
        if (!all && !globMatches(pattern, key)) continue;
        if (found.length === KEYS_MAX) throw new CommandError(`ERR more than ${KEYS_MAX} keys match: use SCAN`);
        found.push(key);
      }
    }
  } finally {
    rows.close();
  }
}

/** The only slot that keys beginning with `prefix` can be in: that of its hash tag, if it has one. */
export function slotOfPrefix(prefix: Uint8Array): number | undefined {
  const open = prefix.indexOf(OPEN_BRACE);
  if (open < 0) return undefined;
  const close = prefix.indexOf(CLOSE_BRACE, open);
  return close > open + 1 ? slotOf(prefix, 0, prefix.length) : undefined;
}

/** The only slot that keys matching `pattern` can be in; undefined: any. */
export function slotOfPattern(pattern: Uint8Array): number | undefined {
  return slotOfPrefix(literalPrefix(pattern));
}
