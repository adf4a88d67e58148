/**
 * The engine in process beside LevelDB (classic-level): rows are measured in turns, round by round, on stores of their
 * own, and the medians are printed with their ratio.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { KvorumContender } from './contender-kvorum.ts';
import { LevelContender } from './contender-level.ts';
import { drawn, generator, inParts, shuffled, type Contender, type Sizes } from './engine-contenders.ts';
import { fixed, machine, markdownTable, median, rate, ratios } from './statistics.ts';

const HELP = `npm run bench -- engine [options]
  --keys N         keys of the store (default 1000000)
  --rounds N       rounds (default 3)
  --bytes N        size of a value (default 100)
  --buffer MIB     write buffer (default 64)
  --cache MIB      block cache (default 128)
  --directory D    where the stores go (default /tmp/kvorum-bench)
  --only LIST      rows by their names' beginnings
`;

const BATCH = 1000;
/** Writes that one turn of a busy server brings. */
const TURN = 50;

interface Round {
  readonly contender: Contender;
  readonly directory: string;
  readonly sizes: Sizes;
  readonly value: Uint8Array;
  readonly count: number;
  readonly random: () => number;
}

/** A row: does its work and says how many operations it was. The rows of a round run in order on one store. */
interface Row {
  readonly name: string;
  readonly run: (round: Round) => Promise<number>;
  /** Between this row and the next one the store may do what it has put off. */
  readonly settle?: boolean;
}

async function durableWriters(round: Round, writers: number, each: number): Promise<number> {
  const { contender, count, random, value } = round;
  await contender.becomeDurable();
  const writer = async (): Promise<void> => {
    for (let i = 0; i < each; i++) await contender.putDurably(Math.floor(random() * count), value);
  };
  await Promise.all(Array.from({ length: writers }, writer));
  return writers * each;
}

const rows: readonly Row[] = [
  {
    name: 'fill at random, batches of 1000',
    run: async ({ contender, count, random, value }) => {
      const keys = shuffled(count, random);
      await inParts(keys.length, BATCH, (from, to) => contender.putBatch(keys, from, to, value));
      return count;
    },
    settle: true,
  },
  {
    name: 'overwrite at random, one by one',
    run: async ({ contender, count, random, value }) => {
      const keys = drawn(count, count, random);
      await inParts(keys.length, TURN, (from, to) => contender.putSingles(keys, from, to, value));
      return count;
    },
    settle: true,
  },
  {
    name: 'get, any key',
    run: async ({ contender, count, random }) => {
      const keys = drawn(Math.min(count, 400_000), count, random);
      await inParts(keys.length, BATCH, (from, to) => contender.getAll(keys, from, to));
      return keys.length;
    },
  },
  {
    name: 'get, 20,000 hot keys',
    run: async ({ contender, count, random }) => {
      const hot = drawn(20_000, count, random);
      const keys = Uint32Array.from({ length: 400_000 }, () => hot[Math.floor(random() * hot.length)] as number);
      await inParts(hot.length, BATCH, (from, to) => contender.getAll(hot, from, to));
      await inParts(keys.length, BATCH, (from, to) => contender.getAll(keys, from, to));
      return keys.length;
    },
  },
  {
    name: 'get, absent key',
    run: async ({ contender, count, random }) => {
      const keys = drawn(400_000, count, random).map((key) => key + count);
      await inParts(keys.length, BATCH, (from, to) => contender.getAll(keys, from, to));
      return keys.length;
    },
  },
  { name: 'scan forwards', run: ({ contender, count }) => contender.scan(0, count, false) },
  { name: 'scan backwards', run: ({ contender, count }) => contender.scan(count, count, true) },
  {
    name: 'scans of 100 keys',
    run: async ({ contender, count, random }) => {
      let seen = 0;
      for (let i = 0; i < 2000; i++) seen += await contender.scan(Math.floor(random() * count), 100, false);
      return seen;
    },
  },
  { name: 'durable put, 1 writer', run: (round) => durableWriters(round, 1, 1000) },
  { name: 'durable put, 64 writers', run: (round) => durableWriters(round, 64, 300) },
  {
    name: 'reopen (per second)',
    run: async ({ contender, directory, sizes }) => {
      await contender.close();
      await contender.open(directory, sizes);
      return 1;
    },
  },
  {
    name: 'fill in order, batches of 1000',
    run: async ({ contender, count, value }) => {
      const keys = Uint32Array.from({ length: count }, (_, i) => i + 2 * count);
      await inParts(keys.length, BATCH, (from, to) => contender.putBatch(keys, from, to, value));
      return count;
    },
  },
];

export async function run(words: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      keys: { type: 'string', default: '1000000' },
      rounds: { type: 'string', default: '3' },
      bytes: { type: 'string', default: '100' },
      buffer: { type: 'string', default: '64' },
      cache: { type: 'string', default: '128' },
      directory: { type: 'string', default: '/tmp/kvorum-bench' },
      only: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return;
  }
  const prefixes = values.only?.split(',');
  const chosen = rows.filter((row, i) => i === 0 || (prefixes?.some((prefix) => row.name.startsWith(prefix)) ?? true));
  const sizes = { writeBufferBytes: Number(values.buffer) << 20, blockCacheBytes: Number(values.cache) << 20 };
  const count = Number(values.keys);
  const value = new Uint8Array(Number(values.bytes)).fill(120);
  const measured = new Map<string, Map<string, number[]>>();
  console.log(
    `${await machine()}\n${count} keys of 16 bytes, values of ${value.length} bytes, ${values.rounds} rounds`,
  );
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const make of [() => new KvorumContender(), () => new LevelContender()]) {
      const contender = make();
      const directory = `${values.directory}/${contender.name}`;
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory, { recursive: true });
      const random = generator(round + 1);
      await contender.open(directory, sizes);
      for (const row of chosen) {
        const start = performance.now();
        const operations = await row.run({ contender, directory, sizes, value, count, random });
        const perSecond = operations / ((performance.now() - start) / 1000);
        const series = measured.get(row.name) ?? new Map<string, number[]>();
        series.set(contender.name, [...(series.get(contender.name) ?? []), perSecond]);
        measured.set(row.name, series);
        if (row.settle === true) await contender.settle();
      }
      await contender.close();
      rmSync(directory, { recursive: true, force: true });
    }
  }
  const lines = chosen.map(({ name }) => {
    const ours = measured.get(name)?.get('kvorum') ?? [];
    const theirs = measured.get(name)?.get('classic-level') ?? [];
    return [name, rate(median(ours)), rate(median(theirs)), fixed(median(ratios(ours, theirs)), 2)];
  });
  console.log(markdownTable(['operations a second', 'kvorum', 'classic-level', 'ratio'], lines));
}
