/**
 * The engine in process beside LevelDB (classic-level), LMDB and RocksDB: every row is measured on each of them in turn, on
 * stores of their own, round by round, and the medians are printed with their ratios.
 */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { KvorumContender } from './contender-kvorum.ts';
import { LevelContender } from './contender-level.ts';
import { LmdbContender } from './contender-lmdb.ts';
import { RocksContender } from './contender-rocksdb.ts';
import { generator, type Contender, type Sizes } from './engine-contenders.ts';
import { freshly, rows, type Round, type Row } from './engine-rows.ts';
import { fixed, machine, markdownTable, median, rate, ratios } from './statistics.ts';
import { commandLine } from '../support/command-line.ts';

const HELP = `npm run bench -- engine [options]
  --keys LIST      sizes of the store in keys, one after the other (default 500000,3000000)
  --rounds N       rounds (default 3)
  --bytes N        size of a value (default 100)
  --buffer MIB     write buffer; RocksDB's is always 64 (default 64)
  --cache MIB      block cache (default 128)
  --directory D    where the stores go (default /tmp/kvorum-bench)
  --beside LIST    of classic-level, lmdb, rocksdb (default: all that are installed)
  --only LIST      rows by their names' beginnings
  --json FILE      all samples
`;

/** Row → store → operations a second, round by round. */
type Samples = Map<string, Map<string, number[]>>;

interface Plan {
  readonly directory: string;
  readonly count: number;
  readonly rounds: number;
  readonly sizes: Sizes;
  readonly value: Uint8Array;
  readonly rows: readonly Row[];
  readonly beside: readonly string[];
}

const makers: Readonly<Record<string, () => Contender>> = {
  'classic-level': () => new LevelContender(),
  lmdb: () => new LmdbContender(),
  rocksdb: () => new RocksContender(),
};

async function timed(row: Row, round: Round): Promise<number> {
  const close = row.fresh === true ? await freshly(round.contender, round.directory, round.sizes) : undefined;
  if (row.synced === true) execFileSync('sync');
  const start = performance.now();
  const operations = await row.run(round);
  const perSecond = operations / ((performance.now() - start) / 1000);
  if (row.settle === true) await round.contender.settle();
  await close?.();
  return perSecond;
}

/** One round: each row on each store, in an order that changes from row to row. */
async function measureRound(plan: Plan, number: number, samples: Samples): Promise<void> {
  const { directory, sizes, value, count } = plan;
  const makeAll = (): Contender[] =>
    [() => new KvorumContender(), ...plan.beside.map((name) => makers[name] as () => Contender)].map((make) => make());
  const stores = makeAll();
  const closes: (() => Promise<void>)[] = [];
  for (const store of stores) closes.push(await freshly(store, `${directory}/${store.name}`, sizes));
  for (const [at, row] of plan.rows.entries()) {
    const start = performance.now();
    const fresh = makeAll();
    for (let i = 0; i < stores.length; i++) {
      const turn = (i + at + number) % stores.length;
      const contender = (row.fresh === true ? fresh : stores)[turn] as Contender;
      const place = `${directory}/${contender.name}${row.fresh === true ? '-fresh' : ''}`;
      const random = generator(number * 100 + at + 1);
      const perSecond = await timed(row, { contender, directory: place, sizes, value, count, random });
      const series = samples.get(row.name) ?? new Map<string, number[]>();
      series.set(contender.name, [...(series.get(contender.name) ?? []), perSecond]);
      samples.set(row.name, series);
    }
    const figures = [...(samples.get(row.name) ?? [])].map(([name, series]) => `${name} ${rate(series.at(-1) ?? 0)}`);
    const tookMs = Math.round(performance.now() - start);
    process.stderr.write(`round ${number}, ${tookMs} ms: ${row.name}: ${figures.join(', ')}\n`);
  }
  for (const close of closes) await close();
}

function report(plan: Plan, samples: Samples): string {
  const lines = plan.rows.map(({ name }) => {
    const of = (store: string): number[] => samples.get(name)?.get(store) ?? [];
    const figure = (store: string): string => {
      const perSecond = median(of(store));
      return perSecond < 1000 ? fixed(perSecond, 1) : rate(perSecond);
    };
    return [
      name,
      figure('kvorum'),
      ...plan.beside.map(figure),
      ...plan.beside.map((store) => fixed(median(ratios(of('kvorum'), of(store))), 2)),
    ];
  });
  const header = ['operations a second', 'kvorum', ...plan.beside, ...plan.beside.map((name) => `÷ ${name}`)];
  return markdownTable(header, lines);
}

export async function run(words: readonly string[]): Promise<void> {
  const { values } = commandLine(HELP, {
    args: words,
    options: {
      keys: { type: 'string', default: '500000,3000000' },
      rounds: { type: 'string', default: '3' },
      bytes: { type: 'string', default: '100' },
      buffer: { type: 'string', default: '64' },
      cache: { type: 'string', default: '128' },
      directory: { type: 'string', default: '/tmp/kvorum-bench' },
      beside: { type: 'string' },
      only: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const prefixes = values.only?.split(',');
  const isChosen = ({ name }: Row): boolean => prefixes?.some((prefix) => name.startsWith(prefix)) ?? true;
  // The other rows work on what this one has filled.
  const filled = 'fill at random, batches of 1000';
  const installed = Object.keys(makers).filter((name) => name !== 'rocksdb' || RocksContender.isInstalled());
  const beside = values.beside?.split(',') ?? installed;
  const sizes = { writeBufferBytes: Number(values.buffer) << 20, blockCacheBytes: Number(values.cache) << 20 };
  const value = new Uint8Array(Number(values.bytes)).fill(120);
  const rounds = Number(values.rounds);
  const json: Record<string, unknown> = {};
  console.log(`${await machine()}\nkeys of 16 bytes, values of ${value.length} bytes, ${rounds} rounds`);
  for (const count of values.keys.split(',').map(Number)) {
    const chosen = rows.filter((row) => row.name === filled || isChosen(row));
    const plan = { directory: values.directory, count, rounds, sizes, value, rows: chosen, beside };
    const samples: Samples = new Map();
    for (let round = 0; round < rounds; round++) await measureRound(plan, round, samples);
    console.log(`\n${count.toLocaleString('en')} keys, ${Math.round((count * (16 + value.length)) / 1e6)} MB\n`);
    console.log(report(plan, samples));
    json[count] = Object.fromEntries([...samples].map(([row, series]) => [row, Object.fromEntries(series)]));
  }
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(json, undefined, 1));
}
