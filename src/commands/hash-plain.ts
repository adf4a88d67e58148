/** Fields of a hash one by one and all together: HSET, HGET and their kin. A field is an element; its value the field's. */

import { copyOf } from '../bytes.ts';
import { ELEMENT } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import {
  commandsOf,
  docsOf,
  eachSliced,
  elementsAt,
  elementsToFill,
  isLarge,
  removeIfEmpty,
  typedRowAt,
} from './collection-row.ts';
import type { Command } from './command.ts';
import { CommandError, wrongArity } from './errors.ts';
import { MapReply, OK, type Reply } from './reply.ts';
import type { Slices } from './scan.ts';

const hashCommand = commandsOf('hash');
const hashDoc = docsOf('hash');

export const plainHashCommands: readonly Command[] = [
  hashCommand({
    name: 'hset',
    arity: -4,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: hashDoc('Sets fields of a hash.', '2.0.0', 'O(N) for N fields'),
    run: (view, args) => set(view, args, 'hset'),
  }),
  hashCommand({
    name: 'hget',
    arity: 3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: hashDoc('Returns the value of a field.', '2.0.0'),
    run: (view, args) => elementsAt(view, args, 1, rowType.HASH)?.get(ELEMENT, args.at(2)) ?? null,
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
    run: (view, args) => elementsAt(view, args, 1, rowType.HASH)?.count ?? 0,
  }),
  hashCommand({
    name: 'hgetall',
    arity: 2,
    flags: ['readonly'],
    access: 'read',
    doc: hashDoc('Returns all fields and values.', '2.0.0', 'O(N) for N fields'),
    run: getAll,
    isLong: (view, args) => isLarge(view, args, 1, rowType.HASH),
    runSliced: getAllSliced,
  }),
];

function set(view: View, args: Args, name: string): Reply {
  if (args.count % 2 !== 0) throw new CommandError(wrongArity(name));
  const fields = elementsToFill(view, args, 1, rowType.HASH);
  let added = 0;
  for (let i = 2; i < args.count; i += 2) if (fields.set(ELEMENT, args.at(i), args.at(i + 1))) added++;
  return name === 'hset' ? added : OK;
}

function remove(view: View, args: Args): Reply {
  const row = typedRowAt(view, args, 1, rowType.HASH);
  if (!row.live) return 0;
  const fields = view.elements(row);
  let removed = 0;
  for (let i = 2; i < args.count; i++) if (fields.delete(ELEMENT, args.at(i))) removed++;
  removeIfEmpty(view, row);
  return removed;
}

function getAll(view: View, args: Args): Reply {
  const fields = elementsAt(view, args, 1, rowType.HASH);
  const entries: [Reply, Reply][] = [];
  fields?.each(ELEMENT, {}, (field, value) => {
    entries.push([copyOf(field), copyOf(value)]);
  });
  return new MapReply(entries);
}

function* getAllSliced(view: View, args: Args): Slices {
  const entries: [Reply, Reply][] = [];
  const fields = elementsAt(view, args, 1, rowType.HASH);
  if (fields !== undefined) {
    yield* eachSliced(fields, {}, (field, value) => {
      entries.push([copyOf(field), copyOf(value)]);
    });
  }
  return new MapReply(entries);
}
