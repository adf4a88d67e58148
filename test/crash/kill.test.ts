/** A short, fixed portion of the crash test; `node dist/test/crash/main.js` is the whole. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { crashTest } from './kill.ts';

for (const appendfsync of ['always', 'everysec'] as const) {
  test(`kills under load lose nothing acknowledged, appendfsync ${appendfsync}`, async (context) => {
    const seed = 20_001;
    const report = await crashTest({
      kills: 3,
      seed,
      appendfsync,
      writers: 4,
      pipeline: 16,
      loadMs: 400,
      flags: [],
      report: (line) => context.diagnostic(line),
    });
    assert.deepEqual(report.problems, [], `seed ${seed}`);
    assert.ok(report.acknowledged > 100, 'hardly anything was written');
  });
}
