/** The real redis-server, redis-cli and redis-benchmark: the oracle, the users' tools, the yardstick. */

import { spawn, spawnSync } from 'node:child_process';

import { type ServerProcess, type StartOptions, startServer } from './server-process.ts';

/** Version of the installed redis-server, as `7.0.15`; undefined when there is none. */
export function redisServerVersion(): string | undefined {
  const answer = spawnSync('redis-server', ['--version'], { encoding: 'utf8' });
  return / v=(\S+)/.exec(answer.stdout ?? '')?.[1];
}

/** What tests say when there is no redis-server. */
export const REDIS_MISSING =
  'redis-server 7 is not installed: the compatibility tests compare with it (Debian: apt-get install redis-server)';

/** Starts redis-server without snapshots on disk. Throws `REDIS_MISSING` when it is not installed. */
export function startRedis(options: StartOptions = {}): Promise<ServerProcess> {
  if (redisServerVersion() === undefined) throw new Error(REDIS_MISSING);
  return startServer('redis-server', ['--save', '', '--daemonize', 'no'], options);
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end with `input` on its standard input. Killed after `timeoutMs`; its code is then null. */
export function runProgram(
  command: string,
  words: readonly string[],
  options: { input?: string | Uint8Array; timeoutMs?: number } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { stdio: ['pipe', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString('latin1')));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('latin1')));
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}
