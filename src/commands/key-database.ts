/** Whole databases: DBSIZE FLUSHDB FLUSHALL SWAPDB RANDOMKEY. */

import { SLOT_COUNT } from '../cluster/slot.ts';
import { DATABASE_LIMIT } from '../repl/keyspace.ts';
import { scanStep } from '../repl/row-scan.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError, INDEX_OUT_OF_RANGE } from './errors.ts';
import { int32Of, keyCommand, keyDoc } from './key-row.ts';
import { optionName, syntaxError } from './options.ts';
import { OK, type Reply } from './reply.ts';
import { SLICE_CELLS, type Slices } from './scan.ts';

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
function checkFlushOption(args: Args): void {
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

/** Rows of a slot that RANDOMKEY walks over at most; all but the first so many of a fuller slot come less often. */
const RANDOM_WALK_ROWS = 1000;

/**
 * Draws a row number below the size of the database, goes to the slot that the counts say it is in, and there to that
 * row: every key is as likely as any other while no slot has more than RANDOM_WALK_ROWS keys.
 */
function* randomKey(view: View, _args: Args, { server }: Context): Slices {
  const size = view.size();
  if (size <= 0) return null;
  const drawn = view.keyspace.slotOfRow(
    view.physicalDatabase(view.database),
    Math.floor(server.env.random.next() * size),
  );
  const skip = drawn.row % RANDOM_WALK_ROWS;
  return (yield* rowAfter(view, drawn.slot, skip)) ?? (yield* rowAfter(view, 0, 0)) ?? null;
}

/** The live row after `skip` others from the slot on, or the last before the end; undefined when there is none. */
function* rowAfter(
  view: View,
  slot: number,
  skip: number,
): Generator<Promise<void> | undefined, Uint8Array | undefined> {
  const rows = view.scan({ slot, endSlot: SLOT_COUNT, budget: SLICE_CELLS });
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
