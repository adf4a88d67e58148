/**
 * `npm run sim:engine -- --seeds N --seed S`: runs seeds S, S + 1, … of the engine's simulation and stops at a failure,
 * unless told to `--keep` on; `--seconds T` ends it after that time.
 */

import { parseArgs } from 'node:util';
import { runEngineSeed } from './engine-model.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: 'Infinity' },
    keep: { type: 'boolean', default: false },
  },
});

const first = Number(values.seed);
const count = Number(values.seeds);
let failures = 0;
let runs = 0;
let batches = 0;
let crashes = 0;
const startMs = performance.now();
for (let seed = first; seed < first + count; seed++) {
  if (performance.now() - startMs > Number(values.seconds) * 1000) break;
  runs++;
  try {
    const report = await runEngineSeed(seed);
    batches += report.batches;
    crashes += report.crashes;
    if (count === 1) console.log(report);
  } catch (error) {
    failures++;
    console.error(error instanceof Error ? error.message : error);
    console.error(`replay: npm run sim:engine -- --seeds 1 --seed ${seed}`);
    if (!values.keep) break;
  }
}
const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
console.log(`${runs} seeds from ${first}: ${failures} failed; ${batches} batches, ${crashes} crashes, ${seconds} s`);
process.exitCode = failures === 0 ? 0 : 1;
