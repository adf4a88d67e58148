/**
 * Concurrent values side by side, for keys whose policy says `conflict siblings`: KV.GET, KV.SET, KV.DEL.
 *
 * A write replaces exactly what its context has seen; what it has not seen stays beside it. A plain SET, DEL or INCR has
 * seen what its coordinator has. GET shows one of the values, the same one everywhere.
 */

import { decodeContext, encodeContext } from '../repl/causal-context.ts';
import { rowType } from '../repl/head.ts';
import {
  joinVectors,
  liveValues,
  MAX_SIBLINGS,
  removeSiblings,
  type VersionVector,
  writeSibling,
} from '../repl/siblings.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError, WRONG_TYPE } from './errors.ts';
import { FIRST_KEY, keyCommand, keyDoc, rowAt } from './key-row.ts';
import { MapReply, type Reply } from './reply.ts';
import type { Server } from './server-state.ts';

const NO_SIBLINGS = 'ERR the policy of this key keeps one value: see KV.POLICY SET <prefix> CONFLICT siblings';
const NO_CONTEXT = 'ERR this is no context of this key';

export const siblingCommands: readonly Command[] = [
  keyCommand({
    name: 'kv.get',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: FIRST_KEY,
    access: 'read',
    doc: keyDoc('Returns all concurrent values of a key, the newest first, and their causal context.', '0.1.0'),
    run: getAll,
  }),
  keyCommand({
    name: 'kv.set',
    arity: 4,
    flags: ['write', 'denyoom', 'fast'],
    keys: FIRST_KEY,
    access: 'update',
    doc: keyDoc('Writes a value in place of those that the context has seen; returns the new context.', '0.1.0'),
    run: set,
  }),
  keyCommand({
    name: 'kv.del',
    arity: 3,
    flags: ['write', 'fast'],
    keys: FIRST_KEY,
    access: 'update',
    doc: keyDoc('Removes the values that the context has seen; returns how many stay.', '0.1.0'),
    run: remove,
  }),
];

function nameOf(row: Row): Uint8Array {
  return row.head.subarray(0, row.headLength);
}

function stringRow(view: View, args: Args): Row {
  const row = rowAt(view, args, 1);
  if (row.live && row.type !== rowType.STRING) throw new CommandError(WRONG_TYPE);
  return row;
}

/** The row of a key whose policy keeps siblings, and what the context in word 2 has seen. Throws `CommandError`. */
function siblingRow(view: View, args: Args, server: Server): { row: Row; context: VersionVector } {
  const row = stringRow(view, args);
  if (server.rows?.keepsSiblings(nameOf(row)) !== true) throw new CommandError(NO_SIBLINGS);
  const context = decodeContext(args.text(2), nameOf(row));
  if (context === undefined) throw new CommandError(NO_CONTEXT);
  return { row, context };
}

function getAll(view: View, args: Args): Reply {
  const row = stringRow(view, args);
  const { vector, values } = view.siblings(row);
  return new MapReply([
    ['context', values.length === 0 ? '' : encodeContext(vector, nameOf(row))],
    ['values', liveValues({ vector, values }, view.nowMs).map((sibling) => sibling.value)],
  ]);
}

function set(view: View, args: Args, { server }: Context): Reply {
  const { row, context } = siblingRow(view, args, server);
  const dot = (server.rows as NonNullable<Server['rows']>).levels.newVersion();
  const after = writeSibling(view.siblings(row), context, { dot, value: args.at(3).slice(), expiresAtMs: 0 });
  if (after.values.length > MAX_SIBLINGS) {
    throw new CommandError(
      `ERR this key has ${MAX_SIBLINGS} concurrent values: read them with KV.GET, write with its context`,
    );
  }
  view.setSiblings(row, after);
  return encodeContext(joinVectors(context, [dot]), nameOf(row));
}

function remove(view: View, args: Args, { server }: Context): Reply {
  const { row, context } = siblingRow(view, args, server);
  if (!row.live) return 0;
  const before = view.siblings(row);
  const after = removeSiblings(before, context);
  if (after.values.length === 0) view.remove(row);
  else if (after.values.length < before.values.length) view.setSiblings(row, after);
  return after.values.length;
}
