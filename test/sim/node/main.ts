/**
 * `npm run sim -- --nodes 5 --seed S --seeds N [--seconds T] [--keep] [--trace]`: whole nodes of the product under
 * virtual time. Prints, for each violation, the seed, all that was drawn from it and what happened last.
 */

import type { Mutant } from './mutants.ts';
import { runScene, type SceneResult } from './scene.ts';
import { schedules } from './schedules.ts';

export interface NodeRunOptions {
  readonly nodes: number;
  readonly seed: number;
  readonly seeds: number;
  readonly seconds: number;
  /** Goes on after a failure. */
  readonly keep: boolean;
  /** Prints every event. */
  readonly trace: boolean;
}

const PROGRESS_MS = 10_000;

/** True: no violation. */
export async function runNodeSeeds(options: NodeRunOptions): Promise<boolean> {
  const { nodes, seed: first, seeds, seconds, keep, trace } = options;
  const startMs = performance.now();
  let shownMs = startMs;
  let failures = 0;
  const results: SceneResult[] = [];
  for (let seed = first; seed < first + seeds && performance.now() - startMs < seconds * 1000; seed++) {
    const result = await runScene({ seed, nodes, ...(trace ? { onNote: (line: string) => console.log(line) } : {}) });
    results.push({ ...result, notes: [] });
    if (result.violations.length > 0) {
      failures++;
      printFailure(result, nodes);
      if (!keep) break;
    } else if (seeds === 1) console.log({ ...result, notes: result.notes.length });
    if (performance.now() - shownMs > PROGRESS_MS) {
      shownMs = performance.now();
      console.log(`… ${results.length} seeds, ${failures} failed`);
    }
  }
  printSummary(results, { nodes, first, failures, seconds: (performance.now() - startMs) / 1000 });
  return failures === 0;
}

/** Runs seeds against a broken product until one notices. True: one did. */
export async function huntSeeds(options: {
  readonly seed: number;
  readonly seeds: number;
  readonly seconds: number;
  readonly mutant: Mutant | undefined;
  readonly trace: boolean;
}): Promise<boolean> {
  const { seed: first, seeds, seconds, mutant, trace } = options;
  if (mutant === undefined) return false;
  const startMs = performance.now();
  let seed = first;
  for (; seed < first + seeds && performance.now() - startMs < seconds * 1000; seed++) {
    const wrong = await runSchedule(mutant, seed);
    if (wrong === 'none') continue;
    if (wrong !== undefined) {
      console.log(`caught by seed ${seed}: ${wrong}`);
      return true;
    }
    const onNote = trace ? { onNote: (line: string) => console.log(line) } : {};
    const { violations } = await runScene({ seed, nodes: mutant.nodes, swarm: mutant.swarm, ...onNote });
    if (violations.length === 0) continue;
    console.log(`caught by seed ${seed}: ${violations[0]?.split('\n')[0]}`);
    return true;
  }
  console.log(`not caught by seeds ${first} to ${seed - 1}`);
  return false;
}

/** What the mutant's directed schedule found, `none` for nothing; undefined: it has no schedule. */
async function runSchedule(mutant: Mutant, seed: number): Promise<string | undefined> {
  if (mutant.schedule === undefined) return undefined;
  return (await schedules[mutant.schedule](seed)) ?? 'none';
}

function printFailure(result: SceneResult, nodes: number): void {
  console.log(`seed ${result.seed}: ${JSON.stringify(result.swarm)}`);
  for (const line of result.notes) console.log(line);
  for (const violation of result.violations) console.log(`VIOLATION ${violation}`);
  console.log(`replay: npm run sim -- --nodes ${nodes} --seeds 1 --seed ${result.seed} --trace`);
}

function printSummary(
  results: readonly SceneResult[],
  run: { nodes: number; first: number; failures: number; seconds: number },
): void {
  const total = (pick: (result: SceneResult) => number): number =>
    results.reduce((sum, result) => sum + pick(result), 0);
  const { nodes, first, failures, seconds } = run;
  console.log(
    `${results.length} seeds of ${nodes} nodes from ${first}: ${failures} failed; ` +
      `${total((r) => r.operations)} operations and ${total((r) => r.sessionOperations)} of sessions, ${total((r) => r.answered)} answered, ${total((r) => r.unknown)} unknown, ` +
      `${total((r) => r.togetherOperations)} on several keys, ${total((r) => r.togetherAnswered)} answered, ` +
      `${total((r) => r.undecided)} keys undecided, ${total((r) => r.repaired)} repaired; ${total((r) => r.crashes)} crashes, ${total((r) => r.pauses)} pauses, ` +
      `${total((r) => r.cuts)} cuts, ${total((r) => r.fatals)} failed disks, ${total((r) => r.injected)} faults; ` +
      `${total((r) => r.virtualMs)} ms virtual, ${total((r) => r.events)} events in ${seconds.toFixed(1)} s, ` +
      `${cpuSeconds().toFixed(1)} s of CPU`,
  );
}

/** Of this process so far: what a run costs, however busy the machine is. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
