/**
 * `npm run bench [-- MODE …]`
 *
 *     single (default)   one node beside the real redis-server, driven by redis-benchmark
 *     engine             the engine in process beside classic-level (LevelDB) and lmdb
 *     stalls             how long the engine holds the event loop under a mixed load
 *     amplification      bytes written for each byte put, beside classic-level
 *     growth             cost of an operation, memory and open time as the data grows
 *     types              all data types: redis-benchmark's default run and EVAL; with --nodes 3 updates and transactions
 *     million            collections of a million elements: cost of a step, longest turn of the event loop
 *     cluster            three nodes beside one redis-server and beside three
 *     load               many keys on one node, read and checked meanwhile: throughput, latency, memory, restart
 *     bus                what a request between two nodes costs
 *
 * Each mode has its own options: `-- single --help`.
 */

import { refuse } from '../support/command-line.ts';

const MODES: Readonly<Record<string, () => Promise<{ run(words: readonly string[]): Promise<void> }>>> = {
  single: () => import('./single.ts'),
  types: () => import('./types.ts'),
  million: () => import('./million.ts'),
  cluster: () => import('./cluster.ts'),
  load: () => import('./load.ts'),
  engine: () => import('./engine.ts'),
  stalls: () => import('./stalls.ts'),
  amplification: () => import('./amplification.ts'),
  growth: () => import('./growth.ts'),
  bus: () => import('./bus.ts'),
};

const HELP = `npm run bench -- [MODE] [options]
  single (default)   one node beside the real redis-server
  types              all data types: redis-benchmark's default run and EVAL
  million            collections of a million elements
  cluster            three nodes beside one redis-server and beside three
  load               many keys on one node, read and checked meanwhile
  engine             the engine beside classic-level (LevelDB), lmdb and rocksdb
  stalls             how long the engine holds the event loop
  amplification      bytes written for each byte put
  growth             cost, memory and open time as the data grows
  bus                what a request between two nodes costs
Each mode has options of its own: -- single --help
`;

const words = process.argv.slice(2);
const named = words[0] !== undefined && !words[0].startsWith('-');
const mode = MODES[named ? (words[0] as string) : 'single'];
if (words[0] === '--help' || words[0] === '-h') console.log(HELP.trimEnd());
else if (mode === undefined) refuse(`no such bench: ${words[0]}`);
else {
  const { run } = await mode();
  await run(named ? words.slice(1) : words);
}
