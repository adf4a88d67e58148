/**
 * All data types beside the real redis-server: each line of redis-benchmark's default run and EVAL at one node, or with
 * `--nodes 3` updates and transactions at three. The servers take turns, round by round; medians and their ratios are printed.
 */

import { writeFileSync } from 'node:fs';

import { commandLine } from '../support/command-line.ts';
import { startCluster } from '../support/cluster-process.ts';
import { RawClient } from '../support/raw-client.ts';
import { redisServerVersion, startRedis } from '../support/redis-process.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';
import { cpuUs } from './process-cpu.ts';
import { type Measured, measureWords, type Shape } from './redis-benchmark.ts';
import { fixed, machine, markdownTable, median, rate, ratios } from './statistics.ts';
import { measureTransactions } from './transaction-load.ts';
import { CLUSTER_LINES, type Line, ONE_NODE_LINES } from './types-lines.ts';

const HELP = `npm run bench -- types [options]
  --nodes N        1: the default run of redis-benchmark; 3: updates and transactions at three nodes (default 1)
  --rounds N       rounds of each line (default 3)
  --requests N     operations of one round at P1; at P16 four times as many (default 50000; with nodes 20000)
  --clients N      connections (default 50)
  --keys N         random keys and members below N, as redis-benchmark's -r (default 0: none; with nodes 10000)
  --bytes N        size of a value (default 3, as redis-benchmark's)
  --only LIST      lines, as lpush,zadd,p1,p16 (default all)
  --json FILE      also writes every single measurement
`;

/** The ratio that every line is to reach, and EVAL. */
const REACH = 0.5;
const REACH_EVAL = 0.3;
const REACH_MEDIAN = 0.7;

/** Commands sent together when a collection is filled. */
const FILL_PIPELINE = 50;

/** Who is measured: `asked` get the clients, `servers` use the processor. */
interface Contender {
  readonly name: string;
  readonly asked: readonly ServerProcess[];
  readonly servers: readonly ServerProcess[];
}

interface Samples {
  readonly line: Line;
  readonly pipeline: number;
  readonly redis: Measured[];
  readonly kvorum: Measured[];
}

export async function run(words: readonly string[]): Promise<void> {
  const { values } = commandLine(HELP, {
    args: words,
    options: {
      nodes: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '3' },
      requests: { type: 'string' },
      clients: { type: 'string', default: '50' },
      keys: { type: 'string' },
      bytes: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      json: { type: 'string' },
    },
  });
  const nodes = Number(values.nodes);
  const isCluster = nodes > 1;
  const shape = {
    clients: Number(values.clients),
    keys: Number(values.keys ?? (isCluster ? 10_000 : 0)),
    valueBytes: Number(values.bytes),
  };
  const requests = Number(values.requests ?? (isCluster ? 20_000 : 50_000));
  console.log(`${await machine()}; redis-server ${redisServerVersion() ?? 'missing'}`);
  console.log(
    `${nodes} node(s), ${shape.clients} clients, -r ${shape.keys}, -d ${shape.valueBytes}, ${values.rounds} rounds\n`,
  );
  const all: Samples[] = [];
  const started: { stop(): Promise<unknown> }[] = [];
  try {
    const contenders = await startContenders(nodes, started);
    for (const { line, pipeline } of chosen(isCluster ? CLUSTER_LINES : ONE_NODE_LINES, values.only)) {
      const count = Math.ceil((requests * (pipeline === 1 ? 1 : 4) * (line.share ?? 100)) / 100);
      const samples = await sample(contenders, line, { ...shape, pipeline, requests: count }, Number(values.rounds));
      all.push(samples);
      console.error(cellsOf(samples).join('  '));
    }
  } finally {
    await Promise.all(started.map((server) => server.stop()));
  }
  console.log(report(all));
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(all, undefined, 1));
}

async function startContenders(
  nodes: number,
  started: { stop(): Promise<unknown> }[],
): Promise<readonly [Contender, Contender]> {
  const flags = ['--appendfsync', 'everysec'];
  const redis = await startRedis({ flags: ['--appendonly', 'yes', '--auto-aof-rewrite-percentage', '0', ...flags] });
  started.push(redis);
  const name = 'kvorum';
  const reference = { name: 'redis', asked: [redis], servers: [redis] };
  if (nodes > 1) {
    const cluster = await startCluster({ nodes, flags });
    started.push(cluster);
    return [reference, { name, asked: cluster.nodes, servers: cluster.nodes }];
  }
  const kvorum = await startKvorum({ flags });
  started.push(kvorum);
  return [reference, { name, asked: [kvorum], servers: [kvorum] }];
}

function chosen(lines: readonly Line[], only: string): { readonly line: Line; readonly pipeline: number }[] {
  const wanted = only
    .toLowerCase()
    .split(',')
    .filter((word) => word !== '');
  const depths = [1, 16].filter((depth) => wanted.includes(`p${depth}`) || !wanted.some((word) => /^p\d/.test(word)));
  const names = wanted.filter((word) => !/^p\d/.test(word));
  return lines
    .filter(({ name }) => names.length === 0 || names.some((word) => name.toLowerCase().startsWith(word)))
    .flatMap((line) => depths.map((pipeline) => ({ line, pipeline })));
}

async function sample(
  contenders: readonly [Contender, Contender],
  line: Line,
  shape: Shape,
  rounds: number,
): Promise<Samples> {
  const [redis, kvorum] = contenders;
  const samples: Samples = { line, pipeline: shape.pipeline, redis: [], kvorum: [] };
  for (let round = 0; round < rounds; round++) {
    for (const contender of round % 2 === 0 ? [redis, kvorum] : [kvorum, redis]) {
      await prepare(contender, line.before?.(shape.requests) ?? []);
      const measured = await measureLine(contender, line, shape);
      (contender === redis ? samples.redis : samples.kvorum).push(measured);
    }
  }
  return samples;
}

async function prepare({ asked }: Contender, commands: readonly (readonly string[])[]): Promise<void> {
  if (commands.length === 0) return;
  const client = await RawClient.connect({ port: (asked[0] as ServerProcess).port });
  for (let from = 0; from < commands.length; from += FILL_PIPELINE) {
    await client.pipeline(commands.slice(from, from + FILL_PIPELINE));
  }
  await client.close();
}

/** The clients are spread over who is asked: rates add up, the slowest part's percentiles are shown. */
async function measureLine({ asked, servers }: Contender, line: Line, shape: Shape): Promise<Measured> {
  const { transaction, words } = line;
  if (transaction !== undefined) return measureTransactions(asked, servers, shape, transaction);
  const cpu = (): number => servers.reduce((sum, server) => sum + cpuUs(server.pid), 0);
  const part = {
    ...shape,
    clients: Math.ceil(shape.clients / asked.length),
    requests: Math.ceil(shape.requests / asked.length),
  };
  const before = cpu();
  const parts = await Promise.all(asked.map((server) => measureWords(server, part, words ?? [])));
  const used = cpu() - before;
  return {
    perSecond: parts.reduce((sum, one) => sum + one.perSecond, 0),
    p50Ms: Math.max(...parts.map((one) => one.p50Ms)),
    p99Ms: Math.max(...parts.map((one) => one.p99Ms)),
    cpuUs: used / (part.requests * asked.length),
  };
}

const HEADER = ['line', 'redis op/s', 'kvorum op/s', 'ratio', 'p50 ms', 'p99 ms', 'CPU µs/op redis', 'kvorum', 'ratio'];

function of(samples: readonly Measured[], field: keyof Measured): number[] {
  return samples.map((one) => one[field]);
}

function ratioOf({ redis, kvorum }: Samples): number {
  return median(ratios(of(kvorum, 'perSecond'), of(redis, 'perSecond')));
}

function cellsOf(samples: Samples): string[] {
  const { line, pipeline, redis, kvorum } = samples;
  const both = (field: keyof Measured): string =>
    `${fixed(median(of(redis, field)), 2)} / ${fixed(median(of(kvorum, field)), 2)}`;
  return [
    `${line.name} P${pipeline}`,
    rate(median(of(redis, 'perSecond'))),
    rate(median(of(kvorum, 'perSecond'))),
    fixed(ratioOf(samples), 2),
    both('p50Ms'),
    both('p99Ms'),
    fixed(median(of(redis, 'cpuUs')), 2),
    fixed(median(of(kvorum, 'cpuUs')), 2),
    fixed(median(ratios(of(kvorum, 'cpuUs'), of(redis, 'cpuUs'))), 2),
  ];
}

function report(all: readonly Samples[]): string {
  const table = markdownTable(HEADER, all.map(cellsOf));
  const isEval = ({ line }: Samples): boolean => line.name === 'EVAL';
  const short = all.filter((samples) => ratioOf(samples) < (isEval(samples) ? REACH_EVAL : REACH));
  const names = short.map(({ line, pipeline }) => `${line.name} P${pipeline}`).join(', ');
  const middle = median(all.filter((samples) => !isEval(samples)).map(ratioOf));
  return `${table}

p50 and p99: redis / kvorum; the first ratio is of throughput. Medians of interleaved rounds.
Median of the ratios ${fixed(middle, 2)} (to reach on one node: ${REACH_MEDIAN}); below ${REACH} (EVAL ${REACH_EVAL}): ${names === '' ? 'none' : names}`;
}
