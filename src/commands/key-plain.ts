/** Whole keys: DEL UNLINK EXISTS TYPE TOUCH RENAME RENAMENX COPY MOVE. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError, NO_SUCH_KEY, SAME_OBJECT } from './errors.ts';
import { ALL_KEYS, databaseAt, FIRST_KEY, keyCommand, keyDoc, rowAt, TWO_KEYS, typeName } from './key-row.ts';
import { optionName, syntaxError } from './options.ts';
import { OK, type Reply, SimpleString } from './reply.ts';

export const plainKeyCommands: readonly Command[] = [
  keyCommand({
    name: 'del',
    arity: -2,
    flags: ['write'],
    keys: ALL_KEYS,
    access: 'transaction',
    doc: keyDoc('Deletes keys.', '1.0.0', 'O(N) for N keys'),
    run: remove,
  }),
  keyCommand({
    name: 'unlink',
    arity: -2,
    flags: ['write', 'fast'],
    keys: ALL_KEYS,
    access: 'transaction',
    doc: keyDoc(
      'Deletes keys; the same as DEL here, where deleting never waits for memory.',
      '4.0.0',
      'O(N) for N keys',
    ),
    run: remove,
  }),
  keyCommand({
    name: 'exists',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: ALL_KEYS,
    access: 'read',
    doc: keyDoc('Counts those of the keys that exist.', '1.0.0', 'O(N) for N keys'),
    run: countLive,
  }),
  keyCommand({
    name: 'touch',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: ALL_KEYS,
    access: 'read',
    doc: keyDoc('Counts those of the keys that exist; times of access are not kept.', '3.2.1', 'O(N) for N keys'),
    run: countLive,
  }),
  keyCommand({
    name: 'type',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: FIRST_KEY,
    access: 'read',
    doc: keyDoc('Returns the name of the type of a key.', '1.0.0'),
    run: type,
  }),
  keyCommand({
    name: 'rename',
    arity: 3,
    flags: ['write'],
    keys: TWO_KEYS,
    access: 'transaction',
    doc: keyDoc('Gives a key another name, replacing the key of that name.', '1.0.0'),
    takesTurns: true,
    run: rename,
  }),
  keyCommand({
    name: 'renamenx',
    arity: 3,
    flags: ['write', 'fast'],
    keys: TWO_KEYS,
    access: 'transaction',
    doc: keyDoc('Gives a key another name if no key has that name.', '1.0.0'),
    takesTurns: true,
    run: renameIfFree,
  }),
  keyCommand({
    name: 'copy',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: TWO_KEYS,
    access: 'transaction',
    doc: keyDoc('Copies a key with its expiry to another name or database.', '6.2.0', 'O(N) for a value of N bytes'),
    takesTurns: true,
    run: copy,
  }),
  keyCommand({
    name: 'move',
    arity: 3,
    flags: ['write', 'fast'],
    keys: FIRST_KEY,
    access: 'transaction',
    mayMeetOtherRows: true,
    doc: keyDoc('Moves a key to another database if it has none of that name.', '1.0.0'),
    takesTurns: true,
    run: move,
  }),
];

function remove(view: View, args: Args): Reply {
  let removed = 0;
  for (let i = 1; i < args.count; i++) if (view.remove(rowAt(view, args, i))) removed++;
  return removed;
}

function countLive(view: View, args: Args): Reply {
  let live = 0;
  for (let i = 1; i < args.count; i++) if (rowAt(view, args, i).live) live++;
  return live;
}

function type(view: View, args: Args): Reply {
  return new SimpleString(typeName(rowAt(view, args, 1).type));
}

function rename(view: View, args: Args): Reply {
  const from = rowAt(view, args, 1);
  if (!from.live) throw new CommandError(NO_SUCH_KEY);
  const to = rowAt(view, args, 2);
  if (from === to) return OK;
  view.copyRow(from, to);
  view.remove(from);
  return OK;
}

function renameIfFree(view: View, args: Args): Reply {
  const from = rowAt(view, args, 1);
  if (!from.live) throw new CommandError(NO_SUCH_KEY);
  const to = rowAt(view, args, 2);
  if (to.live) return 0;
  view.copyRow(from, to);
  view.remove(from);
  return 1;
}

function copy(view: View, args: Args, { server }: Context): Reply {
  let { database } = view;
  let replace = false;
  for (let i = 3; i < args.count; i++) {
    const name = optionName(args, i);
    if (name === 'REPLACE') replace = true;
    else if (name === 'DB' && i + 1 < args.count) database = databaseAt(args, ++i, server.settings.databases);
    else throw syntaxError();
  }
  const from = rowAt(view, args, 1);
  const to = rowAt(view, args, 2, database);
  if (from === to) throw new CommandError(SAME_OBJECT);
  if (!from.live || (to.live && !replace)) return 0;
  view.copyRow(from, to);
  return 1;
}

function move(view: View, args: Args, { server }: Context): Reply {
  const database = databaseAt(args, 2, server.settings.databases);
  if (database === view.database) throw new CommandError(SAME_OBJECT);
  const from = rowAt(view, args, 1);
  if (!from.live) return 0;
  const to = rowAt(view, args, 1, database);
  if (to.live) return 0;
  view.copyRow(from, to);
  view.remove(from);
  return 1;
}
