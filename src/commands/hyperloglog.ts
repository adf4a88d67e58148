/** The commands on HyperLogLogs: PFADD, PFCOUNT, PFMERGE, PFDEBUG, PFSELFTEST. */

import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, CommandDoc } from './command.ts';
import { CommandError } from './errors.ts';
import { cardinalityOf, cardinalityOfRanks, isSketch, REGISTERS, Sketch } from './hyperloglog-sketch.ts';
import { ALL_KEYS, FIRST_KEY } from './key-row.ts';
import { OK, type Reply, SimpleString } from './reply.ts';
import { stringRowAt } from './string-row.ts';

const NOT_A_SKETCH = 'WRONGTYPE Key is not a valid HyperLogLog string value.';

function sketchDoc(summary: string, since: string, complexity = 'O(1)'): CommandDoc {
  return { summary, since, group: 'hyperloglog', complexity };
}

export const hyperloglogCommands: readonly Command[] = [
  {
    name: 'pfadd',
    arity: -2,
    flags: ['write', 'denyoom', 'fast'],
    keys: FIRST_KEY,
    access: 'update',
    categories: ['hyperloglog'],
    doc: sketchDoc('Notes elements in a HyperLogLog.', '2.8.9', 'O(1) for each element'),
    run: add,
  },
  {
    name: 'pfcount',
    arity: -2,
    flags: ['readonly'],
    keys: ALL_KEYS,
    access: 'read',
    categories: ['hyperloglog'],
    doc: sketchDoc('Estimates how many different elements HyperLogLogs have noted together.', '2.8.9'),
    run: count,
  },
  {
    name: 'pfmerge',
    arity: -2,
    flags: ['write', 'denyoom'],
    keys: ALL_KEYS,
    access: 'transaction',
    categories: ['hyperloglog'],
    doc: sketchDoc('Notes in a HyperLogLog whatever others have noted.', '2.8.9', 'O(N) for N HyperLogLogs'),
    run: merge,
  },
  {
    name: 'pfdebug',
    arity: 3,
    flags: ['write', 'denyoom', 'admin'],
    keys: { first: 2, last: 2, step: 1 },
    access: 'update',
    categories: ['hyperloglog'],
    doc: sketchDoc('Shows how a HyperLogLog is kept.', '2.8.9', 'O(N) for N registers'),
    run: debug,
  },
  {
    name: 'pfselftest',
    arity: 1,
    flags: ['admin'],
    access: 'none',
    categories: ['hyperloglog'],
    doc: sketchDoc('Tries the registers of HyperLogLogs.', '2.8.9', 'O(N) for N registers'),
    run: selfTest,
  },
];

/** The sketch in a row; undefined: there is none. Throws `Miss`, `CommandError`. */
function sketchOf(view: View, row: Row): Sketch | undefined {
  if (!row.live) return undefined;
  const bytes = view.string(row);
  if (!isSketch(bytes)) throw new CommandError(NOT_A_SKETCH);
  return new Sketch(bytes);
}

/** The sketch at the key that word i names. */
function sketchAt(view: View, args: Args, i: number): Sketch | undefined {
  return sketchOf(view, stringRowAt(view, args, i));
}

function add(view: View, args: Args): Reply {
  const row = stringRowAt(view, args, 1);
  const known = sketchOf(view, row);
  const sketch = known ?? Sketch.empty();
  let changed = false;
  for (let i = 2; i < args.count; i++) if (sketch.add(args.at(i))) changed = true;
  if (changed) sketch.invalidate();
  else if (known !== undefined) return 0;
  view.setString(row, sketch.bytes, row.expiresAtMs);
  return 1;
}

/** Unlike Redis it leaves the number that stands in the string as it is: a read is not a write. */
function count(view: View, args: Args): Reply {
  if (args.count === 2) {
    const sketch = sketchAt(view, args, 1);
    return sketch === undefined ? 0 : (sketch.cached() ?? cardinalityOf(sketch));
  }
  const ranks = new Uint8Array(REGISTERS);
  for (let i = 1; i < args.count; i++) sketchAt(view, args, i)?.mergeInto(ranks);
  return cardinalityOfRanks(ranks);
}

function merge(view: View, args: Args): Reply {
  const ranks = new Uint8Array(REGISTERS);
  let isDense = false;
  for (let i = 1; i < args.count; i++) {
    const sketch = sketchAt(view, args, i);
    if (sketch?.isDense === true) isDense = true;
    sketch?.mergeInto(ranks);
  }
  const row = stringRowAt(view, args, 1);
  const target = sketchOf(view, row) ?? Sketch.empty();
  if (isDense) target.makeDense();
  for (let i = 0; i < REGISTERS; i++) if (ranks[i] !== 0) target.raise(i, ranks[i] as number);
  target.invalidate();
  view.setString(row, target.bytes, row.expiresAtMs);
  return OK;
}

function debug(view: View, args: Args): Reply {
  const row = stringRowAt(view, args, 2);
  const sketch = sketchOf(view, row);
  if (sketch === undefined) throw new CommandError('ERR The specified key does not exist');
  switch (args.upper(1)) {
    case 'GETREG': {
      toDense(view, row, sketch);
      const ranks = new Uint8Array(REGISTERS);
      sketch.mergeInto(ranks);
      return Array.from(ranks);
    }
    case 'DECODE':
      if (sketch.isDense) throw new CommandError('ERR HLL encoding is not sparse');
      return sketch.runsInWords();
    case 'ENCODING':
      return new SimpleString(sketch.isDense ? 'dense' : 'sparse');
    case 'TODENSE':
      return toDense(view, row, sketch) ? 1 : 0;
    default:
      throw new CommandError(`ERR Unknown PFDEBUG subcommand '${args.text(1)}'`);
  }
}

function toDense(view: View, row: Row, sketch: Sketch): boolean {
  if (sketch.isDense) return false;
  sketch.makeDense();
  view.setString(row, sketch.bytes, row.expiresAtMs);
  return true;
}

/** Registers of both forms hold what was put into them, and leave their neighbours alone. */
function selfTest(): Reply {
  for (const makes of ['sparse', 'dense']) {
    const sketch = Sketch.empty();
    if (makes === 'dense') sketch.makeDense();
    const expected = new Uint8Array(REGISTERS);
    for (let i = 0; i < REGISTERS; i += 61) {
      expected[i] = (i % 50) + 1;
      sketch.raise(i, expected[i] as number);
    }
    const ranks = new Uint8Array(REGISTERS);
    sketch.mergeInto(ranks);
    const wrong = ranks.findIndex((rank, i) => rank !== expected[i]);
    if (wrong >= 0)
      throw new CommandError(`ERR TESTFAILED Register ${wrong} should be ${expected[wrong]} but is ${ranks[wrong]}`);
  }
  return OK;
}
