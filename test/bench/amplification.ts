/**
 * Write amplification: bytes that the disk gets for each byte that is put, under overwrites at random. The key space is
 * filled in order first, which costs next to nothing; then only the overwrites and the compactions that they
 * cause are counted, until nothing is due any more. Each store runs in a process of its own, so that the kernel's count
 * of bytes written is its count.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { giveResult, progress, resident, runChild, writtenBytes } from './child.ts';
import { KvorumContender } from './contender-kvorum.ts';
import { LevelContender } from './contender-level.ts';
import { drawn, generator, inParts, KEY_BYTES, type Contender, type Sizes } from './engine-contenders.ts';
import { fixed, machine, markdownTable, rate } from './statistics.ts';
import { commandLine } from '../support/command-line.ts';

const HELP = `npm run bench -- amplification [options]
  --gb N           10^9 bytes of keys and values to overwrite (default 2)
  --keys N         size of the key space (default 20000000)
  --bytes N        size of a value (default 100)
  --buffer MIB     write buffer (default 64)
  --cache MIB      block cache (default 64)
  --directory D    where the stores go (default /tmp/kvorum-bench/amplification)
  --only NAME      kvorum or classic-level, in this process
`;

const BATCH = 1000;
/** Keys drawn at once. */
const DRAW = 1_000_000;
const VALUE_CHARACTER = 120;

interface Counted {
  readonly name: string;
  readonly putBytes: number;
  /** By the kernel's count, the WAL included. */
  readonly writtenBytes: number;
  /** Flushes and compactions, by the store's own count. */
  readonly tableBytes: number;
  /** Of the overwrites alone, and with all compaction that was due after them. */
  readonly putSeconds: number;
  readonly settledSeconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

interface Plan {
  readonly keys: number;
  readonly overwrites: number;
  readonly value: Uint8Array;
  readonly sizes: Sizes;
  readonly directory: string;
}

/** Bytes of flushes and compactions since the open. */
function tableBytes(contender: Contender): number {
  if (contender instanceof KvorumContender) {
    const metrics = contender.engine.metrics();
    return (metrics['flushed_bytes'] as number) + (metrics['compaction_written_bytes'] as number);
  }
  if (!(contender instanceof LevelContender)) return Number.NaN;
  // Rows of numbers: level, files, size, seconds, MB read, MB written.
  let megabytes = 0;
  for (const line of contender.database.getProperty('leveldb.stats').split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (fields.length === 6 && fields.every((field) => /^[\d.]+$/.test(field))) megabytes += Number(fields[5]);
  }
  return megabytes * 2 ** 20;
}

async function count(contender: Contender, plan: Plan): Promise<Counted> {
  const { keys, overwrites, value, sizes, directory } = plan;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  await contender.open(directory, sizes);
  const filled = progress(`${contender.name} fill`, keys);
  for (let from = 0; from < keys; from += DRAW) {
    const part = Uint32Array.from({ length: Math.min(DRAW, keys - from) }, (_, i) => from + i);
    await inParts(part.length, BATCH, (first, end) => contender.putBatch(part, first, end, value));
    filled(from);
  }
  await contender.settle();
  const random = generator(7);
  const before = { written: writtenBytes(), tables: tableBytes(contender), cpu: process.cpuUsage() };
  const start = performance.now();
  const put = progress(`${contender.name} overwrite`, overwrites);
  for (let done = 0; done < overwrites; done += DRAW) {
    const part = drawn(Math.min(DRAW, overwrites - done), keys, random);
    await inParts(part.length, BATCH, (first, end) => contender.putBatch(part, first, end, value));
    put(done);
  }
  const putSeconds = (performance.now() - start) / 1000;
  await contender.settle();
  const settledSeconds = (performance.now() - start) / 1000;
  const cpu = process.cpuUsage(before.cpu);
  const counted: Counted = {
    name: contender.name,
    putBytes: overwrites * (KEY_BYTES + value.length),
    writtenBytes: writtenBytes() - before.written,
    tableBytes: tableBytes(contender) - before.tables,
    putSeconds,
    settledSeconds,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    peakBytes: resident().peak,
  };
  await contender.close();
  rmSync(directory, { recursive: true, force: true });
  return counted;
}

function report(all: readonly Counted[], overwrites: number): string {
  const header = [
    '',
    'disk bytes / put bytes',
    'tables / put bytes',
    'put/s',
    'put/s until settled',
    'CPU µs/put',
    'peak MiB',
  ];
  return markdownTable(
    header,
    all.map((one) => [
      one.name,
      fixed(one.writtenBytes / one.putBytes, 2),
      fixed(one.tableBytes / one.putBytes, 2),
      rate(overwrites / one.putSeconds),
      rate(overwrites / one.settledSeconds),
      fixed((one.cpuSeconds * 1e6) / overwrites, 2),
      fixed(one.peakBytes / 2 ** 20, 0),
    ]),
  );
}

export async function run(words: readonly string[]): Promise<void> {
  const { values } = commandLine(HELP, {
    args: words,
    options: {
      gb: { type: 'string', default: '2' },
      keys: { type: 'string', default: '20000000' },
      bytes: { type: 'string', default: '100' },
      buffer: { type: 'string', default: '64' },
      cache: { type: 'string', default: '64' },
      directory: { type: 'string', default: '/tmp/kvorum-bench/amplification' },
      only: { type: 'string' },
    },
  });
  const value = new Uint8Array(Number(values.bytes)).fill(VALUE_CHARACTER);
  const overwrites = Math.ceil((Number(values.gb) * 1e9) / (KEY_BYTES + value.length));
  if (values.only !== undefined) {
    const contender = [new KvorumContender(), new LevelContender()].find(({ name }) => name === values.only);
    if (contender === undefined) throw new Error(`no such store: ${values.only}`);
    const sizes = { writeBufferBytes: Number(values.buffer) << 20, blockCacheBytes: Number(values.cache) << 20 };
    const directory = `${values.directory}/${contender.name}`;
    giveResult(await count(contender, { keys: Number(values.keys), overwrites, value, sizes, directory }));
    return;
  }
  console.log(`${await machine()}\n${overwrites} overwrites of ${values.keys} keys, values of ${value.length} bytes`);
  const all: Counted[] = [];
  for (const name of ['kvorum', 'classic-level']) {
    all.push(await runChild<Counted>(['amplification', ...words, '--only', name]));
    console.log(JSON.stringify(all.at(-1)));
  }
  console.log(report(all, overwrites));
}
