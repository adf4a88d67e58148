/**
 * One node of Kvorum beside the real redis-server, in one run: for every workload the two servers take turns, round by
 * round, and the medians are printed with their ratios. Both keep their data on the same disk; redis-server has its
 * append-only file on and does not rewrite it.
 */

import { writeFileSync } from 'node:fs';

import { commandLine } from '../support/command-line.ts';
import { redisServerVersion, startRedis } from '../support/redis-process.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';
import { residentBytes } from './process-cpu.ts';
import { type Load, measure, type Measured, type Workload, WORKLOADS } from './redis-benchmark.ts';
import { fixed, machine, markdownTable, median, rate, ratios } from './statistics.ts';

const HELP = `npm run bench -- single [options]
  --rounds N       rounds of each row (default 5)
  --requests N     operations of one round at P1; at P16 four times as many (default 100000)
  --clients N      connections (default 50)
  --keys N         size of the key space (default 100000)
  --bytes N        size of a value (default 100)
  --only LIST      rows, as set,get,p1,p16,everysec,always (default all)
  --json FILE      also writes every single measurement
`;

type Fsync = 'everysec' | 'always';

interface BenchRow {
  readonly workload: Workload;
  readonly pipeline: number;
  readonly fsync: Fsync;
}

interface Samples {
  readonly row: BenchRow;
  readonly redis: Measured[];
  readonly kvorum: Measured[];
}

interface Pair {
  readonly redis: ServerProcess;
  readonly kvorum: ServerProcess;
}

/** Ratios of throughput that shared/design.md and issue 2 ask for. */
function goal(row: BenchRow): number | undefined {
  if (row.workload !== 'set' && row.workload !== 'get') return undefined;
  if (row.fsync === 'always') return 0.9;
  if (row.pipeline === 1) return 0.7;
  return row.workload === 'set' ? 0.8 : 0.55;
}

function chosenRows(only: string | undefined): BenchRow[] {
  const chosen = new Set((only ?? '').split(',').filter((word) => word !== ''));
  const wants = (values: readonly string[], value: string): boolean =>
    !values.some((candidate) => chosen.has(candidate)) || chosen.has(value);
  const rows: BenchRow[] = [];
  for (const fsync of ['everysec', 'always'] as const)
    for (const pipeline of [1, 16])
      for (const workload of WORKLOADS) {
        // Reads and PING do not meet fsync.
        if (fsync === 'always' && (workload === 'ping' || workload === 'get')) continue;
        const wanted =
          wants(WORKLOADS, workload) && wants(['p1', 'p16'], `p${pipeline}`) && wants(['everysec', 'always'], fsync);
        if (wanted) rows.push({ workload, pipeline, fsync });
      }
  return rows;
}

async function startPair(fsync: Fsync): Promise<Pair> {
  const flags = ['--appendfsync', fsync];
  const redis = await startRedis({ flags: ['--appendonly', 'yes', '--auto-aof-rewrite-percentage', '0', ...flags] });
  try {
    return { redis, kvorum: await startKvorum({ flags }) };
  } catch (error) {
    await redis.stop();
    throw error;
  }
}

export async function run(words: readonly string[]): Promise<void> {
  const { values } = commandLine(HELP, {
    args: words,
    options: {
      rounds: { type: 'string', default: '5' },
      requests: { type: 'string', default: '100000' },
      clients: { type: 'string', default: '50' },
      keys: { type: 'string', default: '100000' },
      bytes: { type: 'string', default: '100' },
      only: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const load = {
    clients: Number(values.clients),
    keys: Number(values.keys),
    valueBytes: Number(values.bytes),
  };
  const rows = chosenRows(values.only);
  const all: Samples[] = [];
  console.log(`${await machine()}; redis-server ${redisServerVersion() ?? 'missing'}`);
  console.log(`${load.clients} clients, ${load.keys} keys, ${load.valueBytes}-byte values, ${values.rounds} rounds\n`);
  for (const fsync of ['everysec', 'always'] as const) {
    const chosen = rows.filter((row) => row.fsync === fsync);
    if (chosen.length === 0) continue;
    const pair = await startPair(fsync);
    try {
      await fill(pair, load);
      for (const row of chosen) {
        const requests = Number(values.requests) * (row.pipeline === 1 ? 1 : 4);
        all.push(await sample(pair, row, { ...row, ...load, requests }, Number(values.rounds)));
      }
      const memory = [pair.redis, pair.kvorum].map((server) => (residentBytes(server.pid) / 2 ** 20).toFixed(0));
      console.log(`${fsync}: resident memory at the end: redis ${memory[0]} MiB, kvorum ${memory[1]} MiB`);
    } finally {
      await Promise.all([pair.redis.stop(), pair.kvorum.stop()]);
    }
  }
  console.log(`\n${report(all)}`);
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(all, undefined, 1));
}

/** Writes the key space once, so that GET finds what it asks for. */
async function fill(pair: Pair, load: Omit<Load, 'workload' | 'pipeline' | 'requests'>): Promise<void> {
  for (const server of [pair.redis, pair.kvorum])
    await measure(server, { ...load, workload: 'set', pipeline: 16, requests: load.keys * 3 });
}

async function sample(pair: Pair, row: BenchRow, load: Load, rounds: number): Promise<Samples> {
  const samples: Samples = { row, redis: [], kvorum: [] };
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? (['redis', 'kvorum'] as const) : (['kvorum', 'redis'] as const);
    for (const name of order) samples[name].push(await measure(pair[name], load));
  }
  return samples;
}

function report(all: readonly Samples[]): string {
  const header = [
    'row',
    'redis op/s',
    'kvorum op/s',
    'ratio',
    'reach',
    'p50 ms',
    'p99 ms',
    'CPU µs/op redis',
    'kvorum',
    'ratio',
  ];
  const lines = all.map(({ row, redis, kvorum }) => {
    const of = (samples: readonly Measured[], field: keyof Measured): number[] => samples.map((one) => one[field]);
    const middle = (field: keyof Measured, digits: number): string =>
      `${fixed(median(of(redis, field)), digits)} / ${fixed(median(of(kvorum, field)), digits)}`;
    const ratio = median(ratios(of(kvorum, 'perSecond'), of(redis, 'perSecond')));
    const wanted = goal(row);
    return [
      `${row.workload.toUpperCase()} P${row.pipeline} ${row.fsync}`,
      rate(median(of(redis, 'perSecond'))),
      rate(median(of(kvorum, 'perSecond'))),
      fixed(ratio, 2),
      wanted === undefined ? '' : `${wanted} ${ratio >= wanted ? 'yes' : 'NO'}`,
      middle('p50Ms', 2),
      middle('p99Ms', 2),
      fixed(median(of(redis, 'cpuUs')), 2),
      fixed(median(of(kvorum, 'cpuUs')), 2),
      fixed(median(ratios(of(kvorum, 'cpuUs'), of(redis, 'cpuUs'))), 2),
    ];
  });
  const notes = 'p50 and p99: redis / kvorum; reach: the ratio of throughput to reach. Medians of interleaved rounds.';
  return `${markdownTable(header, lines)}\n\n${notes}`;
}
