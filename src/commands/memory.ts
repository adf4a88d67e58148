/** MEMORY: what the process uses, and what one key takes. */

import { ELEMENT } from '../repl/elements.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { clientMemory } from './info-sections.ts';
import { headFlag, rowType } from '../repl/head.ts';
import { HEAD_OVERHEAD } from '../repl/row-key.ts';
import { DoubleReply, MapReply, OK, type Reply, VerbatimReply } from './reply.ts';
import { INT64_MIN } from './number.ts';
import { container, integerOf, plainRow, syntaxError } from './server-row.ts';
import { NOT_AN_INTEGER } from './errors.ts';

/** Bytes that a row, or an element in a cell of its own, takes beside its key and value: head, record and index entry of the memtable. */
const ROW_OVERHEAD_BYTES = 48;

/** Elements that are looked at without SAMPLES, as in Redis; and at most, whatever it says. */
const SAMPLES = 5;
const MAX_SAMPLES = 10_000;

function usage(view: View, args: Args): Reply {
  let samples = SAMPLES;
  if (args.count > 3) {
    if (args.count !== 5 || args.upper(3) !== 'SAMPLES') throw syntaxError();
    const wanted = integerOf(args, 4, NOT_AN_INTEGER, INT64_MIN);
    if (wanted < 0) throw syntaxError();
    samples = wanted === 0 ? MAX_SAMPLES : Math.min(wanted, MAX_SAMPLES);
  }
  const key = args.at(2);
  const row = view.row(key);
  if (!row.live) return null;
  const value = row.type === rowType.STRING ? view.stringLength(row) : collectionBytes(view, row, samples);
  return key.length + HEAD_OVERHEAD + ROW_OVERHEAD_BYTES + value;
}

/** Bytes of a collection, by what some of its elements take. */
function collectionBytes(view: View, row: Row, samples: number): number {
  const elements = view.elements(row);
  const inCells = (row.before.flags & headFlag.CELLS) !== 0;
  const apart = inCells ? row.headLength + ROW_OVERHEAD_BYTES : 0;
  let seen = 0;
  let bytes = 0;
  elements.each(ELEMENT, {}, (key, value) => {
    bytes += apart + key.length + value.length;
    return ++seen < samples;
  });
  const each = seen === 0 ? 0 : bytes / seen;
  // A member of a sorted set stands in two elements.
  const copies = row.type === rowType.SORTED_SET ? 2 : 1;
  return elements.meta.length + Math.round(each * elements.count * copies);
}

function stats(_view: View, _args: Args, { server }: Context): Reply {
  const { residentBytes, heapBytes, heapTotalBytes, externalBytes } = server.machine.memory();
  const used = heapBytes + externalBytes;
  const peak = server.notePeakMemory(used);
  let keys = 0;
  for (let i = 0; i < server.settings.databases; i++) keys += server.keyspace.size(server.keyspace.physicalDatabase(i));
  return new MapReply([
    ['peak.allocated', peak],
    ['total.allocated', used],
    ['startup.allocated', 0],
    ['replication.backlog', 0],
    ['clients.slaves', 0],
    ['clients.normal', clientMemory(server)],
    ['cluster.links', 0],
    ['aof.buffer', 0],
    ['lua.caches', 0],
    ['functions.caches', 0],
    ['overhead.total', heapBytes],
    ['keys.count', keys],
    ['keys.bytes-per-key', keys === 0 ? 0 : Math.floor(externalBytes / keys)],
    ['dataset.bytes', externalBytes],
    ['dataset.percentage', new DoubleReply(used === 0 ? 0 : (100 * externalBytes) / used)],
    ['peak.percentage', new DoubleReply(peak === 0 ? 0 : (100 * used) / peak)],
    ['allocator.allocated', used],
    ['allocator.active', heapTotalBytes + externalBytes],
    ['allocator.resident', residentBytes],
    ['fragmentation', new DoubleReply(used === 0 ? 0 : residentBytes / used)],
    ['fragmentation.bytes', residentBytes - used],
  ]);
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MiB`;
}

function doctor(_view: View, _args: Args, { server }: Context): Reply {
  const { residentBytes } = server.machine.memory();
  const bound = server.config.get('memtable-size') + server.config.get('block-cache-size');
  return new VerbatimReply(
    'txt',
    `The process uses ${mib(residentBytes)}. Data lives on disk: memtable-size and block-cache-size bound what is kept of it in memory (${mib(bound)} together).\n`,
  );
}

function mallocStats(_view: View, _args: Args, { server }: Context): Reply {
  const { residentBytes, heapBytes, heapTotalBytes, externalBytes } = server.machine.memory();
  return new VerbatimReply(
    'txt',
    `resident ${residentBytes}\nheap ${heapBytes} of ${heapTotalBytes}\nbuffers ${externalBytes}\n`,
  );
}

export const memoryCommands: readonly Command[] = [
  container({
    name: 'memory',
    group: 'server',
    since: '4.0.0',
    summary: 'What the process uses.',
    subcommands: [
      plainRow(
        'server',
        {
          name: 'usage',
          arity: -3,
          flags: ['readonly'],
          keys: { first: 2, last: 2, step: 1 },
          since: '4.0.0',
          summary: 'Bytes that a key takes.',
          run: usage,
        },
        'read',
      ),
      plainRow('server', { name: 'stats', arity: 2, flags: [], since: '4.0.0', summary: 'Numbers.', run: stats }),
      plainRow('server', {
        name: 'doctor',
        arity: 2,
        flags: [],
        since: '4.0.0',
        summary: 'The same in words.',
        run: doctor,
      }),
      plainRow('server', {
        name: 'malloc-stats',
        arity: 2,
        flags: [],
        since: '4.0.0',
        summary: 'Numbers of the runtime.',
        run: mallocStats,
      }),
      plainRow('server', {
        name: 'purge',
        arity: 2,
        flags: [],
        since: '4.0.0',
        summary: 'Accepted: the runtime collects by itself.',
        run: () => OK,
      }),
    ],
    help: [
      'USAGE <key> [SAMPLES <count>]',
      '    Return the bytes that a key and its value take.',
      'STATS | MALLOC-STATS | DOCTOR',
      '    Return the use of memory in numbers or in words.',
      'PURGE',
      '    Accepted, without effect.',
    ],
  }),
];
