/**
 * How the cost of an operation, memory and the time of an open grow with the data. A store is filled in random order; at
 * each size a checkpoint of it is kept, and measured in a process of its own: the open after a clean stop, reads that
 * hit and that miss, scans, writes.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { giveResult, progress, resident, runChild, writtenBytes } from './child.ts';
import { KvorumContender } from './contender-kvorum.ts';
import { drawn, generator, inParts, KEY_BYTES, type Sizes } from './engine-contenders.ts';
import { fixed, machine, markdownTable } from './statistics.ts';
import { commandLine } from '../support/command-line.ts';

const HELP = `npm run bench -- growth [options]
  --gb LIST        sizes in 10^9 bytes of keys and values, ascending (default 0.1,0.4,1.6)
  --bytes N        size of a value (default 100)
  --buffer MIB     write buffer (default 64)
  --cache MIB      block cache (default 256)
  --reads N        gets of each kind (default 300000)
  --directory D    where the stores go (default /tmp/kvorum-bench/growth)
  --keep           leave the stores behind
  --reuse          measure the stores that --keep has left behind
`;

const BATCH = 100;
/** What one turn of a busy server brings. */
const TURN = 50;
const HOT_KEYS = 20_000;
const SCANS = 2000;
const SCAN_KEYS = 100;
const WRITES = 400_000;
/** Numbers from here on are never written. */
const ABSENT_FROM = 2 ** 31;
/** The part of a fill whose cost is told: its last so many bytes, or a quarter of it. */
const LAST_BYTES = 1e9;
const VALUE_CHARACTER = 120;

/** Number → key: a bijection of the 32-bit numbers, so that keys in order of their numbers are in random order (murmur3). */
function scrambled(number: number): number {
  let mixed = number;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85_eb_ca_6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2_b2_ae_35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

interface Filled {
  /** Of the last part of the fill, whose length is `lastPuts`. */
  readonly lastPuts: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly amplification: number;
  readonly peakBytes: number;
}

interface Measured {
  readonly openMs: number;
  readonly openResidentBytes: number;
  readonly putUs: number;
  readonly hitUs: number;
  readonly hotUs: number;
  readonly missUs: number;
  readonly scanUs: number;
  readonly residentBytes: number;
  readonly metrics: Readonly<Record<string, number>>;
}

interface Plan {
  readonly directory: string;
  readonly sizes: Sizes;
  readonly value: Uint8Array;
  readonly reads: number;
}

/** Fills keys [from, to) and keeps a checkpoint. */
async function fill(plan: Plan, from: number, to: number, checkpoint: string): Promise<Filled> {
  const { directory, sizes, value } = plan;
  const recordBytes = KEY_BYTES + value.length;
  const lastPuts = Math.min(Math.ceil(LAST_BYTES / recordBytes), to - from, Math.ceil(to / 4));
  const contender = new KvorumContender();
  await contender.open(directory, sizes);
  const keys = new Uint32Array(BATCH);
  const told = progress(`fill ${((to * recordBytes) / 1e9).toFixed(1)} GB`, to - from);
  const put = async (first: number, end: number): Promise<void> => {
    for (let at = first; at < end; at += BATCH) {
      const count = Math.min(BATCH, end - at);
      for (let i = 0; i < count; i++) keys[i] = scrambled(at + i);
      await contender.putBatch(keys, 0, count, value);
      told(at - from);
    }
  };
  await put(from, to - lastPuts);
  // What is counted begins and ends without compaction that is due.
  await contender.settle();
  const before = { written: writtenBytes(), cpu: process.cpuUsage() };
  const start = performance.now();
  await put(to - lastPuts, to);
  await contender.settle();
  const cpu = process.cpuUsage(before.cpu);
  const filled: Filled = {
    lastPuts,
    seconds: (performance.now() - start) / 1000,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    amplification: (writtenBytes() - before.written) / (lastPuts * recordBytes),
    peakBytes: resident().peak,
  };
  await contender.engine.checkpoint(checkpoint);
  await contender.close();
  return filled;
}

/** Mean wall-clock time of one operation, in µs. */
async function timed(operations: number, work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return ((performance.now() - start) * 1000) / operations;
}

async function measure(plan: Plan, count: number): Promise<Measured> {
  const { directory, sizes, value, reads } = plan;
  const contender = new KvorumContender();
  const start = performance.now();
  await contender.open(directory, sizes);
  const openMs = performance.now() - start;
  const openResidentBytes = resident().now;
  const random = generator(11);
  const gets = (keys: Uint32Array): Promise<number> =>
    timed(keys.length, () => inParts(keys.length, TURN, (from, to) => contender.getAll(keys, from, to)));
  const present = (drawnCount: number): Uint32Array => drawn(drawnCount, count, random).map(scrambled);
  // Filters and indexes come in, as in a server that has run for a while.
  await gets(present(reads));
  const hitUs = await gets(present(reads));
  const missUs = await gets(drawn(reads, count, random).map((number) => scrambled(number + ABSENT_FROM)));
  const hot = present(HOT_KEYS);
  await gets(hot);
  const hotUs = await gets(Uint32Array.from({ length: reads }, () => hot[Math.floor(random() * HOT_KEYS)] as number));
  const scanUs = await timed(SCANS, async () => {
    for (const key of present(SCANS)) await contender.scan(key, SCAN_KEYS, false);
  });
  const overwritten = present(WRITES);
  const putUs = await timed(WRITES, () =>
    inParts(WRITES, TURN, (from, to) => contender.putSingles(overwritten, from, to, value)),
  );
  const residentBytes = resident().now;
  const metrics = contender.engine.metrics();
  await contender.close();
  return { openMs, openResidentBytes, putUs, hitUs, hotUs, missUs, scanUs, residentBytes, metrics };
}

const mebibytes = (bytes: number): string => fixed(bytes / 2 ** 20, 0);

function report(gbs: readonly number[], measured: readonly Measured[], filled: readonly Filled[]): string {
  const row = (name: string, cell: (one: Measured) => string): string[] => [name, ...measured.map(cell)];
  const fillRow = (name: string, cell: (one: Filled) => string): string[] => [name, ...filled.map(cell)];
  const lines = [
    row('open, ms', (one) => fixed(one.openMs, 0)),
    row('resident after the open, MiB', (one) => mebibytes(one.openResidentBytes)),
    row('get, any key, µs', (one) => fixed(one.hitUs, 2)),
    row('get, 20,000 hot keys, µs', (one) => fixed(one.hotUs, 2)),
    row('get, absent key, µs', (one) => fixed(one.missUs, 2)),
    row('scan of 100 keys, µs', (one) => fixed(one.scanUs, 0)),
    row('put, µs', (one) => fixed(one.putUs, 2)),
    row('resident at the end, MiB', (one) => mebibytes(one.residentBytes)),
    row('filters and indexes in memory, MiB', (one) => mebibytes(one.metrics['tail_bytes'] as number)),
    row('levels and tables of level 0', (one) => String(one.metrics['read_amplification'])),
    row('bytes of tables, MiB', (one) => mebibytes(one.metrics['tables_bytes'] as number)),
  ];
  if (filled.length === measured.length) {
    lines.push(
      fillRow('fill, last part, put/s until settled', (one) => fixed(one.lastPuts / one.seconds, 0)),
      fillRow('fill, last part, CPU µs/put', (one) => fixed((one.cpuSeconds * 1e6) / one.lastPuts, 2)),
      fillRow('fill, last part, disk bytes / put bytes', (one) => fixed(one.amplification, 2)),
      fillRow('fill, peak resident, MiB', (one) => mebibytes(one.peakBytes)),
    );
  }
  return markdownTable(['', ...gbs.map((gb) => `${gb} GB`)], lines);
}

export async function run(words: readonly string[]): Promise<void> {
  const { values } = commandLine(HELP, {
    args: words,
    options: {
      gb: { type: 'string', default: '0.1,0.4,1.6' },
      bytes: { type: 'string', default: '100' },
      buffer: { type: 'string', default: '64' },
      cache: { type: 'string', default: '256' },
      reads: { type: 'string', default: '300000' },
      directory: { type: 'string', default: '/tmp/kvorum-bench/growth' },
      keep: { type: 'boolean', default: false },
      reuse: { type: 'boolean', default: false },
      fill: { type: 'string' },
      measure: { type: 'string' },
    },
  });
  const value = new Uint8Array(Number(values.bytes)).fill(VALUE_CHARACTER);
  const sizes = { writeBufferBytes: Number(values.buffer) << 20, blockCacheBytes: Number(values.cache) << 20 };
  const reads = Number(values.reads);
  const keysOf = (gb: number): number => Math.ceil((gb * 1e9) / (KEY_BYTES + value.length));
  const at = (gb: number): string => `${values.directory}/${gb}`;
  const growing = `${values.directory}/growing`;
  if (values.fill !== undefined) {
    const [from, to] = values.fill.split('-').map(Number) as [number, number];
    giveResult(await fill({ directory: growing, sizes, value, reads }, keysOf(from), keysOf(to), at(to)));
    return;
  }
  if (values.measure !== undefined) {
    const gb = Number(values.measure);
    giveResult(await measure({ directory: at(gb), sizes, value, reads }, keysOf(gb)));
    return;
  }
  const gbs = values.gb.split(',').map(Number);
  console.log(`${await machine()}\nkeys of 16 bytes, values of ${value.length} bytes, block cache ${values.cache} MiB`);
  const filled: Filled[] = [];
  if (!values.reuse) {
    rmSync(values.directory, { recursive: true, force: true });
    mkdirSync(growing, { recursive: true });
    for (const [i, gb] of gbs.entries()) {
      filled.push(await runChild<Filled>(['growth', ...words, '--fill', `${gbs[i - 1] ?? 0}-${gb}`]));
      console.log(JSON.stringify(filled.at(-1)));
    }
    rmSync(growing, { recursive: true, force: true });
  }
  const measured: Measured[] = [];
  for (const gb of gbs) {
    measured.push(await runChild<Measured>(['growth', ...words, '--measure', String(gb)]));
    console.log(JSON.stringify(measured.at(-1)));
  }
  console.log(report(gbs, measured, filled));
  if (!values.keep && !values.reuse) rmSync(values.directory, { recursive: true, force: true });
}
