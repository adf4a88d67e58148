/** One run of redis-benchmark, the users' own tool, and what the server used meanwhile. */

import { runProgram } from '../support/redis-process.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { cpuUs } from './process-cpu.ts';

export const WORKLOADS = ['ping', 'set', 'get', 'incr', 'mset'] as const;
export type Workload = (typeof WORKLOADS)[number];

/** Of redis-benchmark, whatever it sends. */
export interface Shape {
  readonly pipeline: number;
  readonly clients: number;
  readonly requests: number;
  /** Numbers that stand for `__rand_int__`; 0: it stays as it is. */
  readonly keys: number;
  readonly valueBytes: number;
}

export interface Load extends Shape {
  readonly workload: Workload;
}

export interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor time of the server for one operation, in microseconds. */
  readonly cpuUs: number;
}

export function measure(server: ServerProcess, load: Load): Promise<Measured> {
  return measureWords(server, load, ['-t', load.workload === 'ping' ? 'ping_mbulk' : load.workload]);
}

/** `words`: one of its tests (`-t`, name) or a command. Throws with redis-benchmark's own words when it fails or reports an error. */
export async function measureWords(server: ServerProcess, shape: Shape, words: readonly string[]): Promise<Measured> {
  const cpuBefore = cpuUs(server.pid);
  const options = `-n ${shape.requests} -c ${shape.clients} -P ${shape.pipeline} -d ${shape.valueBytes} --csv`;
  const keys = shape.keys > 0 ? ['-r', String(shape.keys)] : [];
  const finished = await runProgram(
    'redis-benchmark',
    ['-p', String(server.port), ...options.split(' '), ...keys, ...words],
    { timeoutMs: 600_000 },
  );
  const usedUs = cpuUs(server.pid) - cpuBefore;
  const row = finished.stdout.split('\n').find((line) => line.startsWith('"') && !line.startsWith('"test"'));
  // The name stands in front and may hold commas; then rate, average, least, p50, p95, p99, greatest.
  const cells = (row ?? '').split(',').slice(-7);
  const [perSecond, , , p50, , p99] = cells.map((cell) => Number(cell.replaceAll('"', '')));
  if (finished.code !== 0 || perSecond === undefined || p50 === undefined || p99 === undefined)
    throw new Error(`redis-benchmark failed (${String(finished.code)}): ${finished.stdout}${finished.stderr}`);
  return { perSecond, p50Ms: p50, p99Ms: p99, cpuUs: usedUs / shape.requests };
}
