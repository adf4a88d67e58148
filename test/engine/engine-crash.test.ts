/**
 * A fixed portion of the engine's simulation (test/sim/engine-model.ts). More of it: `npm run sim:engine -- --seeds N`,
 * or KVORUM_SIM_SEEDS=N here.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runEngineSeed, type EngineRunReport } from '../sim/engine-model.ts';

const FIRST_SEED = 1;
const seedCount = Number(process.env['KVORUM_SIM_SEEDS'] ?? 25);

void test(`the engine equals an ordered map after any crash: seeds ${FIRST_SEED} to ${seedCount}`, async (context) => {
  const total = { batches: 0, crashes: 0, injected: 0, refusedOpens: 0 };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + seedCount; seed++) {
    const report = await runEngineSeed(seed);
    for (const name of ['batches', 'crashes', 'injected', 'refusedOpens'] as const) total[name] += report[name];
  }
  context.diagnostic(JSON.stringify(total));
  assert.ok(total.batches > 20 * seedCount && total.crashes > seedCount && total.injected > seedCount / 2);
});

void test('a seed replays exactly', async () => {
  const runs: EngineRunReport[] = [];
  for (const seed of [7, 7, 8]) runs.push(await runEngineSeed(seed));
  assert.deepEqual(runs[0], runs[1]);
  assert.notEqual(runs[0]?.digest, runs[2]?.digest);
});
