/**
 * The crash test: a server under load is killed at random moments, again and again over the same data, and after every
 * restart each acknowledged write must be there, nothing invented, no half of a transaction.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type ServerProcess, startKvorum } from '../support/server-process.ts';
import { readContents } from './inspect.ts';
import { SharedCounters, Writer } from './load.ts';
import { OperationSource, SHARED } from './operations.ts';
import { SeededRandom } from './seeded-random.ts';
import type { State } from './expected-state.ts';

export interface CrashOptions {
  readonly kills: number;
  readonly seed: number;
  readonly appendfsync: 'always' | 'everysec' | 'no';
  readonly writers: number;
  readonly pipeline: number;
  /** Longest time under load before a kill, in milliseconds. */
  readonly loadMs: number;
  /** Further words for the server. */
  readonly flags: readonly string[];
  /** Other servers than Kvorum, to test the test. */
  readonly start?: typeof startKvorum;
  report(line: string): void;
}

export interface CrashReport {
  readonly problems: readonly string[];
  readonly acknowledged: number;
  readonly restartsMs: readonly number[];
}

/** How the server ends in one round. */
type Ending = 'kill' | 'kill twice' | 'terminate';

/** Runs the whole test. Stops at the first round with problems and leaves the data where the report says. */
export async function crashTest(options: CrashOptions): Promise<CrashReport> {
  const random = new SeededRandom(options.seed);
  const directory = mkdtempSync(join(tmpdir(), 'kvorum-crash-'));
  const start = options.start ?? startKvorum;
  const flags = ['--appendfsync', options.appendfsync, ...options.flags];
  const shared = new SharedCounters();
  const writers = Array.from(
    { length: options.writers },
    (_, number) => new Writer({ number, seed: random.below(2 ** 32), pipeline: options.pipeline, shared }),
  );
  const restartsMs: number[] = [];
  const problems: string[] = [];
  const acknowledged = (): number => writers.reduce((sum, writer) => sum + writer.answeredTotal, 0);
  let server = await start({ directory, flags });
  for (let round = 1; round <= options.kills && problems.length === 0; round++) {
    const ending: Ending = random.pick(['kill', 'kill', 'kill', 'kill', 'kill twice', 'terminate']);
    await loadAndEnd(server, writers, ending, 20 + random.below(options.loadMs));
    if (ending === 'kill twice') await killWhileStarting(start, directory, flags, random.below(150));
    server = await start({ directory, flags });
    restartsMs.push(server.startMs);
    const inFlight = await verify(server, writers, shared, problems);
    options.report(
      `round ${round}: ${ending}, ${acknowledged()} operations acknowledged so far, ${inFlight} in flight had taken ` +
        `effect, restart ${server.startMs.toFixed(0)} ms${problems.length > 0 ? `, ${problems.length} PROBLEMS` : ''}`,
    );
  }
  if (problems.length > 0) problems.push(`data left in ${directory}; the server's last words:\n${server.output}`);
  await server.stop();
  if (problems.length === 0) rmSync(directory, { recursive: true, force: true });
  return { problems, acknowledged: acknowledged(), restartsMs };
}

async function loadAndEnd(
  server: ServerProcess,
  writers: readonly Writer[],
  ending: Ending,
  loadMs: number,
): Promise<void> {
  const running = writers.map((writer) => writer.run(server.port, () => false));
  await new Promise((resolve) => setTimeout(resolve, loadMs));
  if (ending === 'terminate') server.signal('SIGTERM');
  else server.signal('SIGKILL');
  await server.exited;
  await Promise.all(running);
}

/** Starts a server and kills it after a moment, likely during recovery. */
async function killWhileStarting(
  start: typeof startKvorum,
  directory: string,
  flags: readonly string[],
  afterMs: number,
): Promise<void> {
  await start({ directory, flags, killAfterMs: afterMs }).then(
    (server) => server.kill(),
    () => undefined,
  );
}

/** Collects problems; returns how many operations in flight had taken effect. */
async function verify(
  server: ServerProcess,
  writers: readonly Writer[],
  shared: SharedCounters,
  problems: string[],
): Promise<number> {
  const contents = await readContents(server.port);
  problems.push(...contents.problems);
  let inFlight = 0;
  const rest: State = new Map(contents.keys);
  for (const [number, writer] of writers.entries()) {
    problems.push(...writer.problems.splice(0));
    const own: State = new Map([...rest].filter(([key]) => key.startsWith(OperationSource.prefix(number))));
    for (const key of own.keys()) rest.delete(key);
    const settled = writer.model.settle(own, contents.beforeMs, contents.afterMs);
    if (typeof settled === 'string') problems.push(`writer ${number}: ${settled}`);
    else inFlight += settled;
  }
  const counters = new Map(Object.values(SHARED).map((key) => [key, Number(rest.get(key)?.value ?? 0)]));
  for (const key of counters.keys()) rest.delete(key);
  problems.push(...shared.settle(counters));
  for (const key of rest.keys()) problems.push(`a key that nobody wrote: ${key}`);
  return inFlight;
}
