/**
 * `kvorum demo`: several nodes on this machine, formed and ready with one command. This file is what it decides: which
 * processes with which flags, when they are ready, what to say; main-demo.ts starts and ends them.
 */

import { BUS_PORT_OFFSET } from './config-cluster.ts';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

export const demoHelp = `kvorum demo [--nodes N] [--port PORT] [--dir DIR] [-- --directive value ...]
    Starts N nodes (3) as processes of their own on this machine, from PORT (7001) upwards, as one cluster; prints what to
    try; Ctrl-C stops them all.

--nodes N    1 to 9
--port PORT  of the first node; the others follow. The nodes talk to one another 10000 above
--dir DIR    where their data is, and stays; without it, in a directory that is removed at the end
--           what follows goes to every node: -- --appendfsync always

Exit codes: 0 stopped by Ctrl-C, 1 the cluster did not come up, 2 wrong command line.`;

export const MAX_DEMO_NODES = 9;
const DEFAULT_NODES = 3;
const DEFAULT_PORT = 7001;

/** Copies of the data: as many as there are nodes, up to the default of a cluster. */
const REPLICAS = 3;

/** A command line that makes no sense. */
export class DemoMistake extends Error {
  override readonly name = 'DemoMistake';
}

export interface DemoLine {
  readonly help: boolean;
  readonly nodes: number;
  readonly port: number;
  /** Undefined: a temporary one. */
  readonly dir: string | undefined;
  /** Flags for every node. */
  readonly extra: readonly string[];
}

export interface DemoNode {
  /** From 1. */
  readonly number: number;
  readonly port: number;
  readonly dir: string;
  readonly logfile: string;
  /** Arguments of the program. */
  readonly args: readonly string[];
}

/** Reads what stands behind `kvorum demo`. Throws `DemoMistake`. */
export function parseDemo(argv: readonly string[]): DemoLine {
  const end = argv.indexOf('--');
  const args = end < 0 ? argv : argv.slice(0, end);
  const extra = end < 0 ? [] : argv.slice(end + 1);
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', short: 'h' },
        nodes: { type: 'string' },
        port: { type: 'string' },
        dir: { type: 'string' },
      },
      strict: true,
    }));
  } catch (error) {
    throw new DemoMistake(error instanceof Error ? error.message : String(error), { cause: error });
  }
  const nodes = numberOf('--nodes', values.nodes, DEFAULT_NODES, MAX_DEMO_NODES);
  const port = numberOf('--port', values.port, DEFAULT_PORT, 65_535 - BUS_PORT_OFFSET - nodes + 1);
  if (values.dir === '') throw new DemoMistake('--dir: the name of a directory');
  return { help: values.help === true, nodes, port, dir: values.dir, extra };
}

function numberOf(name: string, word: string | undefined, initial: number, max: number): number {
  if (word === undefined) return initial;
  const value = Number(word);
  if (!/^\d{1,5}$/.test(word) || value < 1 || value > max) throw new DemoMistake(`${name}: a number from 1 to ${max}`);
  return value;
}

/** The nodes to start, their data in `dir`. The first one founds the cluster, the others join it. */
export function demoNodes({ nodes, port, extra }: DemoLine, dir: string): DemoNode[] {
  return Array.from({ length: nodes }, (_, i) => {
    const number = i + 1;
    const home = join(dir, `node-${number}`);
    const logfile = join(dir, `node-${number}.log`);
    const cluster = i === 0 ? ['--cluster-enabled', 'yes'] : ['--join', `127.0.0.1:${port}`];
    const args = ['--port', String(port + i), '--bind', '127.0.0.1', '--dir', home, '--logfile', logfile, ...cluster];
    return { number, port: port + i, dir: home, logfile, args: [...args, ...extra] };
  });
}

/** Whether the CLUSTER INFO of a node says that all `nodes` own their shares. */
export function isFormed(info: string, nodes: number): boolean {
  const fields = new Map(info.split('\r\n').map((line) => line.split(':', 2) as [string, string | undefined]));
  const says = (name: string, value: number | string): boolean => fields.get(name) === String(value);
  if (!says('cluster_state', 'ok') || !says('cluster_known_nodes', nodes) || !says('cluster_size', nodes)) return false;
  return nodes === 1 || (says('cluster_slots_moving', 0) && says('cluster_slots_short_of_replicas', 0));
}

/** What is printed once the cluster is ready. */
export function readyText(
  nodes: readonly (DemoNode & { readonly processId: number })[],
  seconds: number,
  isKept: boolean,
): string {
  const [first, second, third] = [nodes[0], nodes[1] ?? nodes[0], nodes.at(-1)];
  if (first === undefined || second === undefined || third === undefined) return '';
  const copies = Math.min(REPLICAS, nodes.length);
  const lines = nodes.map(
    (node) => `  node ${node.number}   port ${node.port}   process ${node.processId}   log ${node.logfile}`,
  );
  const tries: readonly (readonly [string, string])[] = [
    [`redis-cli -p ${first.port} set greeting hello`, 'write at one node'],
    [`redis-cli -p ${third.port} get greeting`, 'read at another: any node takes any command'],
    [`redis-cli -p ${second.port} incr visits`, 'a majority of the copies decides'],
    [`redis-cli -c -p ${first.port}`, 'clients of Redis Cluster go straight to the owners'],
    [`redis-cli -p ${first.port} kv.members`, 'who is there, and what each owns'],
    ...(nodes.length < 3
      ? []
      : ([
          [`kill -9 ${second.processId}`, 'one node less: reads and writes go on'],
          [`redis-cli -p ${first.port} get greeting`, 'see'],
        ] as const)),
    [`redis-benchmark -p ${first.port} -t set,get -n 100000 -q`, ''],
  ];
  const width = Math.max(...tries.map(([command]) => command.length)) + 3;
  return [
    `${nodes.length === 1 ? 'one node is' : `${nodes.length} nodes are`} one cluster after ${seconds.toFixed(1)} s; each key is kept ${copies === 1 ? 'once' : `${copies} times`}:`,
    '',
    ...lines,
    '',
    'Try:',
    '',
    ...tries.map(([command, what]) => `  ${command.padEnd(what === '' ? 0 : width)}${what}`),
    '',
    `Ctrl-C stops them all${isKept ? '; the data stays, and the same command goes on with it' : ' and removes their data'}.`,
  ].join('\n');
}

/** What is printed when a node has ended while the others go on. */
export function goneText(node: DemoNode, how: string, program: string): string {
  return [`node ${node.number} has ended (${how}). To bring it back:`, `  ${program} ${node.args.join(' ')} &`].join(
    '\n',
  );
}
