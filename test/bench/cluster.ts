/**
 * Three nodes of Kvorum (N=3, quorum) on this machine beside one redis-server and beside three that know nothing of one
 * another, driven by redis-benchmark in turns. `spread`: a third of the clients at each node; `one`: all at one node,
 * which forwards what others coordinate.
 */

import { writeFileSync } from 'node:fs';

import { commandLine } from '../support/command-line.ts';
import { startCluster } from '../support/cluster-process.ts';
import { redisServerVersion, startRedis } from '../support/redis-process.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { cpuUs, residentBytes } from './process-cpu.ts';
import { type Load, measure, type Measured, type Workload } from './redis-benchmark.ts';
import { fixed, machine, markdownTable, median, rate } from './statistics.ts';

const HELP = `npm run bench -- cluster [options]
  --rounds N       rounds of each row (default 3)
  --requests N     operations of one round at P1; at P16 four times as many (default 60000)
  --clients N      connections in all (default 50)
  --keys N         size of the key space (default 100000)
  --bytes N        size of a value (default 100)
  --nodes N        nodes (default 3)
  --appendfsync P  always, everysec or no, for everybody (default everysec)
  --only LIST      rows, as set,get,incr,p1,p16 (default all)
  --json FILE      also writes every single measurement
`;

interface BenchRow {
  readonly name: string;
  readonly workload: Workload;
  readonly pipeline: number;
  /** All operations on one key. */
  readonly hot: boolean;
}

interface Contender {
  readonly name: string;
  /** Who is asked; each gets the same part of the clients. */
  readonly asked: readonly ServerProcess[];
  /** Whose processor time counts. */
  readonly servers: readonly ServerProcess[];
}

const ROWS: readonly BenchRow[] = [1, 16].flatMap((pipeline) => [
  { name: `SET P${pipeline}`, workload: 'set' as const, pipeline, hot: false },
  { name: `GET P${pipeline}`, workload: 'get' as const, pipeline, hot: false },
  { name: `INCR P${pipeline}`, workload: 'incr' as const, pipeline, hot: false },
  { name: `INCR P${pipeline} one key`, workload: 'incr' as const, pipeline, hot: true },
]);

function chosenRows(only: string | undefined): readonly BenchRow[] {
  const chosen = (only ?? '').split(',').filter((word) => word !== '');
  const wants = (of: readonly string[], value: string): boolean =>
    !of.some((word) => chosen.includes(word)) || chosen.includes(value);
  return ROWS.filter((row) => wants(['set', 'get', 'incr'], row.workload) && wants(['p1', 'p16'], `p${row.pipeline}`));
}

export async function run(words: readonly string[]): Promise<void> {
  const { values } = commandLine(HELP, {
    args: words,
    options: {
      rounds: { type: 'string', default: '3' },
      requests: { type: 'string', default: '60000' },
      clients: { type: 'string', default: '50' },
      keys: { type: 'string', default: '100000' },
      bytes: { type: 'string', default: '100' },
      nodes: { type: 'string', default: '3' },
      appendfsync: { type: 'string', default: 'everysec' },
      only: { type: 'string' },
      json: { type: 'string' },
    },
  });
  const count = Number(values.nodes);
  const flags = ['--appendfsync', values.appendfsync];
  const redisFlags = ['--appendonly', 'yes', '--auto-aof-rewrite-percentage', '0', ...flags];
  console.log(`${await machine()}; redis-server ${redisServerVersion() ?? 'missing'}`);
  console.log(`${values.clients} clients, ${values.keys} keys, ${values.bytes}-byte values, ${flags.join(' ')}\n`);
  const started: { stop(): Promise<unknown> }[] = [];
  try {
    const redis: ServerProcess[] = [];
    for (let i = 0; i < count; i++) started.push((redis[i] = await startRedis({ flags: redisFlags })));
    const cluster = await startCluster({ nodes: count, flags });
    started.push(cluster);
    const { nodes } = cluster;
    const first = nodes.slice(0, 1);
    const contenders: Contender[] = [
      { name: 'redis', asked: redis.slice(0, 1), servers: redis.slice(0, 1) },
      { name: `${count} redis`, asked: redis, servers: redis },
      { name: 'kvorum spread', asked: nodes, servers: nodes },
      { name: 'kvorum one', asked: first, servers: nodes },
    ];
    const load = { clients: Number(values.clients), keys: Number(values.keys), valueBytes: Number(values.bytes) };
    for (const asked of [...redis, ...first]) {
      await measure(asked, { ...load, workload: 'set', pipeline: 16, requests: load.keys * 3 });
    }
    const lines: string[][] = [];
    const all: unknown[] = [];
    for (const row of chosenRows(values.only)) {
      const requests = Number(values.requests) * (row.pipeline === 1 ? 1 : 4);
      const wanted = { ...row, ...load, keys: row.hot ? 1 : load.keys, requests };
      const samples = contenders.map((): Measured[] => []);
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const [i, contender] of contenders.entries()) samples[i]?.push(await measureAll(contender, wanted));
      }
      all.push({ row, samples });
      for (const [i, contender] of contenders.entries()) lines.push(lineOf(row.name, contender.name, samples[i] ?? []));
    }
    const memory = nodes.map((node) => (residentBytes(node.pid) / 2 ** 20).toFixed(0));
    console.log(markdownTable(['row', 'who', 'op/s', 'p50 ms', 'p99 ms', 'CPU µs/op, all servers'], lines));
    console.log(`\nMedians of interleaved rounds. Resident memory of the nodes at the end: ${memory.join(', ')} MiB`);
    if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(all, undefined, 1));
  } finally {
    await Promise.all(started.map((server) => server.stop()));
  }
}

/** The parts of a load run side by side: rates add up, the slowest part's percentiles are shown. */
async function measureAll({ asked, servers }: Contender, load: Load): Promise<Measured> {
  const cpu = (): number => servers.reduce((sum, server) => sum + cpuUs(server.pid), 0);
  const clients = Math.ceil(load.clients / asked.length);
  const requests = Math.ceil(load.requests / asked.length);
  const before = cpu();
  const parts = await Promise.all(asked.map((server) => measure(server, { ...load, clients, requests })));
  const used = cpu() - before;
  return {
    perSecond: parts.reduce((sum, part) => sum + part.perSecond, 0),
    p50Ms: Math.max(...parts.map((part) => part.p50Ms)),
    p99Ms: Math.max(...parts.map((part) => part.p99Ms)),
    cpuUs: used / (requests * asked.length),
  };
}

function lineOf(row: string, who: string, samples: readonly Measured[]): string[] {
  const middle = (field: keyof Measured): number => median(samples.map((sample) => sample[field]));
  return [
    row,
    who,
    rate(middle('perSecond')),
    fixed(middle('p50Ms'), 2),
    fixed(middle('p99Ms'), 2),
    fixed(middle('cpuUs'), 1),
  ];
}
