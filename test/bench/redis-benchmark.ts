/** One run of redis-benchmark, the users' own tool, and what the server used meanwhile. */

import { runProgram } from '../support/redis-process.ts';
import type { ServerProcess } from '../support/server-process.ts';
import { cpuUs } from './process-cpu.ts';

export const WORKLOADS = ['ping', 'set', 'get', 'incr', 'mset'] as const;
export type Workload = (typeof WORKLOADS)[number];

export interface Load {
  readonly workload: Workload;
  readonly pipeline: number;
  readonly clients: number;
  readonly requests: number;
  readonly keys: number;
  readonly valueBytes: number;
}

export interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Processor time of the server for one operation, in microseconds. */
  readonly cpuUs: number;
}

/** Throws with redis-benchmark's own words when it fails or reports an error. */
export async function measure(server: ServerProcess, load: Load): Promise<Measured> {
  const cpuBefore = cpuUs(server.pid);
  const test = load.workload === 'ping' ? 'ping_mbulk' : load.workload;
  const words = `-t ${test} -n ${load.requests} -c ${load.clients} -P ${load.pipeline} -r ${load.keys} --csv`;
  const finished = await runProgram(
    'redis-benchmark',
    ['-p', String(server.port), '-d', String(load.valueBytes), ...words.split(' ')],
    { timeoutMs: 600_000 },
  );
  const usedUs = cpuUs(server.pid) - cpuBefore;
  const row = finished.stdout.split('\n').find((line) => line.startsWith('"') && !line.startsWith('"test"'));
  const [, perSecond, , , p50, , p99] = (row ?? '').split(',').map((cell) => Number(cell.replaceAll('"', '')));
  if (finished.code !== 0 || perSecond === undefined || p50 === undefined || p99 === undefined)
    throw new Error(`redis-benchmark failed (${String(finished.code)}): ${finished.stdout}${finished.stderr}`);
  return { perSecond, p50Ms: p50, p99Ms: p99, cpuUs: usedUs / load.requests };
}
