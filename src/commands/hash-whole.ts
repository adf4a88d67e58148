/** Hashes as wholes: HGETALL, HKEYS, HVALS, HSCAN. */

import { copyOf } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { isLarge } from './collection-row.ts';
import { scanRow } from './collection-scan.ts';
import { eachStep, eachStepSliced } from './collection-steps.ts';
import type { Command } from './command.ts';
import { fieldsAt, HashFields, lastingFieldsAt } from './hash-fields.ts';
import { hashCommand, hashDoc } from './hash-plain.ts';
import { memberCopy } from './member-key.ts';
import { MapReply, type Reply } from './reply.ts';
import type { Slices } from './scan.ts';

/** What a walk over all fields makes of each, and of all together. */
interface Whole<T> {
  of(field: Uint8Array, value: Uint8Array): T;
  reply(items: T[]): Reply;
}

const ENTRIES: Whole<[Reply, Reply]> = {
  of: (key, value) => [memberCopy(key), copyOf(value)],
  reply: (entries) => new MapReply(entries),
};

const NAMES: Whole<Reply> = { of: memberCopy, reply: (names) => names };

const VALUES: Whole<Reply> = { of: (_, value) => copyOf(value), reply: (values) => values };

export const wholeHashCommands: readonly Command[] = [
  whole('hgetall', 'Returns all fields and values.', ENTRIES),
  whole('hkeys', 'Returns the names of all fields.', NAMES),
  whole('hvals', 'Returns the values of all fields.', VALUES),
  scanRow({
    name: 'hscan',
    type: rowType.HASH,
    category: 'hash',
    summary: 'Walks over the fields of a hash, a step for each call.',
    open: (elements, view) => new HashFields(elements, view.nowMs),
    show: (items, key, value, withValues) => {
      items.push(memberCopy(key));
      if (withValues) items.push(copyOf(value));
    },
    mayOmitValues: true,
  }),
];

function whole<T>(name: string, summary: string, each: Whole<T>): Command {
  return hashCommand({
    name,
    arity: 2,
    flags: ['readonly'],
    access: 'read',
    doc: hashDoc(summary, '2.0.0', 'O(N) for N fields'),
    run: (view, args) => readWhole(view, args, each),
    isLong: (view, args) => isLarge(view, args, 1, rowType.HASH),
    runSliced: (view, args) => readWholeSliced(view, args, each),
  });
}

function readWhole<T>(view: View, args: Args, each: Whole<T>): Reply {
  const items: T[] = [];
  const fields = fieldsAt(view, args);
  if (fields !== undefined) eachStep(fields.walk({}), (key, value) => void items.push(each.of(key, value)));
  return each.reply(items);
}

function* readWholeSliced<T>(view: View, args: Args, each: Whole<T>): Slices {
  const items: T[] = [];
  const fields = lastingFieldsAt(view, args);
  if (fields !== undefined) {
    yield* eachStepSliced(fields.walk({}), (key, value) => void items.push(each.of(key, value)));
  }
  return each.reply(items);
}
