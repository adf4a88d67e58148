/** Fields of a hash one by one: HSET, HGET and their kin. A field is an element; its value the field's. */

import { ELEMENT } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import { LONG_ELEMENTS } from '../repl/long-change.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { commandsOf, docsOf, removeIfEmpty, typedRowAt } from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError, wrongArity } from './errors.ts';
import { fieldKeyAt, fieldsAt, fieldsOf, fieldsToFill } from './hash-fields.ts';
import { fillInTurns } from './long-store.ts';
import { OK, type Reply } from './reply.ts';

export const hashCommand = commandsOf('hash');
export const hashDoc = docsOf('hash');

export const plainHashCommands: readonly Command[] = [
  hashCommand({
    name: 'hset',
    arity: -4,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: hashDoc('Sets fields of a hash.', '2.0.0', 'O(N) for N fields'),
    takesTurns: true,
    run: (view, args) => set(view, args, 'hset'),
  }),
  hashCommand({
    name: 'hmset',
    arity: -4,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: hashDoc('Sets fields of a hash and says OK: HSET counts the new ones.', '2.0.0', 'O(N) for N fields'),
    takesTurns: true,
    run: (view, args) => {
      set(view, args, 'hmset');
      return OK;
    },
  }),
  hashCommand({
    name: 'hsetnx',
    arity: 4,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: hashDoc('Sets a field that is not there.', '2.0.0'),
    run: setIfAbsent,
  }),
  hashCommand({
    name: 'hget',
    arity: 3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: hashDoc('Returns the value of a field.', '2.0.0'),
    run: (view, args) => fieldsAt(view, args)?.get(fieldKeyAt(args, 2)) ?? null,
  }),
  hashCommand({
    name: 'hmget',
    arity: -3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: hashDoc('Returns the values of several fields.', '2.0.0', 'O(N) for N fields'),
    run: getMany,
  }),
  hashCommand({
    name: 'hdel',
    arity: -3,
    flags: ['write', 'fast'],
    access: 'update',
    doc: hashDoc('Deletes fields of a hash.', '2.0.0', 'O(N) for N fields'),
    run: remove,
  }),
  hashCommand({
    name: 'hlen',
    arity: 2,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: hashDoc('Returns the number of fields.', '2.0.0'),
    run: (view, args) => fieldsAt(view, args)?.count ?? 0,
  }),
  hashCommand({
    name: 'hstrlen',
    arity: 3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: hashDoc('Returns the length of the value of a field.', '3.2.0'),
    run: (view, args) => fieldsAt(view, args)?.get(fieldKeyAt(args, 2))?.length ?? 0,
  }),
  hashCommand({
    name: 'hexists',
    arity: 3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: hashDoc('Tells whether a field is there.', '2.0.0'),
    run: (view, args) => (fieldsAt(view, args)?.get(fieldKeyAt(args, 2)) === undefined ? 0 : 1),
  }),
];

/** Returns how many fields are new. */
function set(view: View, args: Args, name: string): Reply {
  if (args.count % 2 !== 0) throw new CommandError(wrongArity(name));
  if (args.count > LONG_ELEMENTS) {
    const row = typedRowAt(view, args, 1, rowType.HASH);
    const filled = row.live
      ? undefined
      : fillInTurns(view, row, { args, step: 2, type: rowType.HASH }, (cells, word) =>
          cells.add(ELEMENT, fieldKeyAt(args, word), args.at(word + 1)),
        );
    if (filled !== undefined) return filled;
  }
  const fields = fieldsToFill(view, args);
  let added = 0;
  for (let i = 2; i < args.count; i += 2) if (fields.set(fieldKeyAt(args, i), args.at(i + 1))) added++;
  return added;
}

function setIfAbsent(view: View, args: Args): Reply {
  const fields = fieldsToFill(view, args);
  const key = fieldKeyAt(args, 2);
  if (fields.get(key) !== undefined) return 0;
  fields.set(key, args.at(3));
  return 1;
}

function getMany(view: View, args: Args): Reply {
  const fields = fieldsAt(view, args);
  const values: Reply[] = [];
  for (let i = 2; i < args.count; i++) values.push(fields?.get(fieldKeyAt(args, i)) ?? null);
  return values;
}

function remove(view: View, args: Args): Reply {
  const row = typedRowAt(view, args, 1, rowType.HASH);
  if (!row.live) return 0;
  const fields = fieldsOf(view, row);
  let removed = 0;
  for (let i = 2; i < args.count; i++) if (fields.delete(fieldKeyAt(args, i))) removed++;
  removeIfEmpty(view, row);
  return removed;
}
