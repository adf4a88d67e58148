/**
 * The engine's simulation (`npm run sim -- --seeds N --seed S`): runs seeds S, S + 1, … and stops at a failure, unless
 * told to `--keep` on; `--seconds T` ends it after that time.
 */

import { runEngineSeed } from './engine-model.ts';

export interface EngineRunOptions {
  readonly seed: number;
  readonly seeds: number;
  readonly seconds: number;
  readonly keep: boolean;
}

/** True: no seed failed. */
export async function runEngineSeeds(options: EngineRunOptions): Promise<boolean> {
  const { seed: first, seeds: count, keep } = options;
  let failures = 0;
  let runs = 0;
  let batches = 0;
  let crashes = 0;
  const startMs = performance.now();
  for (let seed = first; seed < first + count; seed++) {
    if (performance.now() - startMs > options.seconds * 1000) break;
    runs++;
    try {
      const report = await runEngineSeed(seed);
      batches += report.batches;
      crashes += report.crashes;
      if (count === 1) console.log(report);
    } catch (error) {
      failures++;
      console.error(error instanceof Error ? error.message : error);
      console.error(`replay: npm run sim -- --seeds 1 --seed ${seed}`);
      if (!keep) break;
    }
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`${runs} seeds from ${first}: ${failures} failed; ${batches} batches, ${crashes} crashes, ${seconds} s`);
  return failures === 0;
}
