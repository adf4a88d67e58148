/** Whole databases: DBSIZE FLUSHDB FLUSHALL SWAPDB RANDOMKEY. */

import { DATABASE_LIMIT } from '../repl/keyspace.ts';
import { boundAt, type KeyBound, type ScanOptions, scanStep } from '../repl/row-scan.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError, INDEX_OUT_OF_RANGE } from './errors.ts';
import { int32Of, keyCommand, keyDoc } from './key-row.ts';
import { optionName, syntaxError } from './options.ts';
import { OK, type Reply } from './reply.ts';
import { SLICE_CELLS } from './scan.ts';
import type { Sliced } from './sliced.ts';

type Walk = Sliced<Uint8Array | undefined>;

export const databaseCommands: readonly Command[] = [
  keyCommand({
    name: 'dbsize',
    arity: 1,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: { ...keyDoc('Returns the number of keys in the database.', '1.0.0'), group: 'server' },
    run: (view) => view.size(),
  }),
  keyCommand({
    name: 'flushdb',
    arity: -1,
    flags: ['write'],
    categories: ['keyspace', 'dangerous'],
    access: 'transaction',
    doc: { ...keyDoc('Deletes all keys of the database.', '1.0.0'), group: 'server' },
    run: flushDatabase,
  }),
  keyCommand({
    name: 'flushall',
    arity: -1,
    flags: ['write'],
    categories: ['keyspace', 'dangerous'],
    access: 'transaction',
    doc: { ...keyDoc('Deletes all keys of all databases.', '1.0.0'), group: 'server' },
    run: flushAll,
  }),
  keyCommand({
    name: 'swapdb',
    arity: 3,
    flags: ['write', 'fast'],
    categories: ['keyspace', 'dangerous'],
    access: 'transaction',
    doc: { ...keyDoc('Exchanges two databases for every client at once.', '4.0.0'), group: 'server' },
    run: swapDatabases,
  }),
  keyCommand({
    name: 'randomkey',
    arity: 1,
    flags: ['readonly'],
    access: 'read',
    doc: keyDoc('Returns a random key of the database.', '1.0.0', 'O(N) for N keys in a slot'),
    runSliced: randomKey,
  }),
];

/** ASYNC and SYNC are the same here: a flush writes a mark, and the space comes back in the background. */
export function checkFlushOption(args: Args): void {
  if (args.count === 1) return;
  const name = args.count === 2 ? optionName(args, 1) : '';
  if (name !== 'ASYNC' && name !== 'SYNC') throw syntaxError();
}

function flushDatabase(view: View, args: Args): Reply {
  checkFlushOption(args);
  view.flush(view.database);
  return OK;
}

function flushAll(view: View, args: Args): Reply {
  checkFlushOption(args);
  for (let database = 0; database < DATABASE_LIMIT; database++) view.flush(database);
  return OK;
}

function swapDatabases(view: View, args: Args, { server }: Context): Reply {
  const first = int32Of(args, 1);
  if (first === undefined) throw new CommandError('ERR invalid first DB index');
  const second = int32Of(args, 2);
  if (second === undefined) throw new CommandError('ERR invalid second DB index');
  const { databases } = server.settings;
  if (first < 0 || first >= databases || second < 0 || second >= databases) throw new CommandError(INDEX_OUT_OF_RANGE);
  if (first !== second) view.swapDatabases(first, second);
  return OK;
}

/** Rows that RANDOMKEY walks over at most. */
const RANDOM_WALK_ROWS = 1000;

/** Bytes after the common prefix that a random place between two keys is drawn in: below 2^48, so exact. */
const DRAWN_BYTES = 6;

/**
 * Draws a row number below the size of the database, goes to the slot that the counts say it is in, and there to that
 * row: every key is as likely as any other while no slot has more than RANDOM_WALK_ROWS keys. In a fuller slot the walk
 * starts at a random place between its first and its last key.
 */
function* randomKey(view: View, _args: Args, { server }: Context): Sliced<Reply> {
  const size = view.size();
  if (size <= 0) return null;
  const { random } = server.env;
  const physical = view.physicalDatabase(view.database);
  const { slot, row } = view.keyspace.slotOfRow(physical, Math.floor(random.next() * size));
  if (row >= RANDOM_WALK_ROWS || view.keyspace.sizeOfSlot(view.database, slot) > RANDOM_WALK_ROWS) {
    const lower = yield* randomPlace(view, slot, random.next());
    const found = yield* rowAfter(view, { slot, endSlot: slot + 1, ...lower }, row % RANDOM_WALK_ROWS);
    if (found !== undefined) return found;
  }
  return (yield* rowAfter(view, { slot }, row % RANDOM_WALK_ROWS)) ?? (yield* rowAfter(view, {}, 0)) ?? null;
}

/** The live row after `skip` others, or the last of the walk; undefined when there is none. */
function* rowAfter(view: View, options: ScanOptions, skip: number): Walk {
  const rows = view.scan({ ...options, budget: SLICE_CELLS });
  try {
    let found: Uint8Array | undefined;
    for (let seen = 0; seen <= skip;) {
      const step = rows.next();
      if (step === scanStep.MISS) yield rows.load();
      else if (step === scanStep.PAUSE) yield undefined;
      else if (step === scanStep.ABSENT) break;
      else {
        found = rows.key;
        seen++;
      }
    }
    return found;
  } finally {
    rows.close();
  }
}

/** A bound at a random place between the first and the last key of a slot; `random` in [0, 1). */
function* randomPlace(view: View, slot: number, random: number): Sliced<{ readonly lower?: KeyBound }> {
  const first = yield* rowAfter(view, { slot, endSlot: slot + 1 }, 0);
  const last = yield* rowAfter(view, { slot, endSlot: slot + 1, reverse: true }, 0);
  if (first === undefined || last === undefined) return {};
  let common = 0;
  while (common < first.length && first[common] === last[common]) common++;
  const low = numberAt(first, common);
  const drawn = Math.floor(low + random * (numberAt(last, common) - low));
  const key = new Uint8Array(common + DRAWN_BYTES);
  key.set(first.subarray(0, common));
  for (let i = 0; i < DRAWN_BYTES; i++) key[common + i] = Math.floor(drawn / 256 ** (DRAWN_BYTES - 1 - i));
  return { lower: boundAt(key, true) };
}

/** The DRAWN_BYTES bytes from `at` on as a number, zero bytes where the key is shorter. */
function numberAt(key: Uint8Array, at: number): number {
  let value = 0;
  for (let i = 0; i < DRAWN_BYTES; i++) value = value * 256 + (key[at + i] ?? 0);
  return value;
}
