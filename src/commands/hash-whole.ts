/** Hashes as wholes: HGETALL, HKEYS, HVALS, HSCAN. */

import { copyOf } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import { eachStep } from '../repl/elements.ts';
import type { Args } from './args.ts';
import { BulksReply } from './bulks-reply.ts';
import { isLarge } from './collection-row.ts';
import { scanRow } from './collection-scan.ts';
import { eachStepSliced } from './collection-steps.ts';
import type { Command } from './command.ts';
import { fieldsAt, HashFields, lastingFieldsAt } from './hash-fields.ts';
import { hashCommand, hashDoc } from './hash-plain.ts';
import { memberCopy, memberOf } from './member-key.ts';
import { MapReply, type Reply } from './reply.ts';
import type { Sliced } from './sliced.ts';

/** What a command returns of each field. */
interface Whole {
  readonly names: boolean;
  readonly values: boolean;
}

const ENTRIES: Whole = { names: true, values: true };
const NAMES: Whole = { names: true, values: false };
const VALUES: Whole = { names: false, values: true };

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

function whole(name: string, summary: string, parts: Whole): Command {
  return hashCommand({
    name,
    arity: 2,
    flags: ['readonly'],
    access: 'read',
    doc: hashDoc(summary, '2.0.0', 'O(N) for N fields'),
    run: (view, args) => (parts.names && parts.values ? entries(view, args) : parted(view, args, parts)),
    isLong: (view, args) => isLarge(view, args, 1, rowType.HASH),
    runSliced: (view, args) => sliced(view, args, parts),
  });
}

function entries(view: View, args: Args): Reply {
  const found: [Reply, Reply][] = [];
  const fields = fieldsAt(view, args);
  if (fields !== undefined)
    eachStep(fields.walk({}), (key, value) => void found.push([memberCopy(key), copyOf(value)]));
  return new MapReply(found);
}

function parted(view: View, args: Args, { names }: Whole): Reply {
  const found: Reply[] = [];
  const fields = fieldsAt(view, args);
  if (fields !== undefined)
    eachStep(fields.walk({}), (key, value) => void found.push(names ? memberCopy(key) : copyOf(value)));
  return found;
}

function* sliced(view: View, args: Args, { names, values }: Whole): Sliced<Reply> {
  const found = new BulksReply(names && values ? 'map' : 'array');
  const fields = lastingFieldsAt(view, args);
  if (fields === undefined) return found;
  yield* eachStepSliced(fields.walk({}), (key, value) => {
    if (names) found.add(memberOf(key));
    if (values) found.add(value);
  });
  return found;
}
