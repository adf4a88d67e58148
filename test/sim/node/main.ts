/**
 * `npm run sim -- --nodes 5 --seed S --seeds N [--seconds T] [--keep] [--trace]`: whole nodes of the product under
 * virtual time. Prints, for each violation, the seed, all that was drawn from it and what happened last.
 */

import { runScene, type SceneResult } from './scene.ts';

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
      `${total((r) => r.operations)} operations, ${total((r) => r.answered)} answered, ${total((r) => r.unknown)} unknown, ` +
      `${total((r) => r.undecided)} keys undecided, ${total((r) => r.repaired)} repaired; ${total((r) => r.crashes)} crashes, ${total((r) => r.pauses)} pauses, ` +
      `${total((r) => r.cuts)} cuts, ${total((r) => r.fatals)} failed disks, ${total((r) => r.injected)} faults; ` +
      `${total((r) => r.virtualMs)} ms virtual, ${total((r) => r.events)} events in ${seconds.toFixed(1)} s: ` +
      `${(results.length / seconds).toFixed(1)} seeds/s`,
  );
}
