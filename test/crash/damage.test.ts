/** A short, fixed portion of the damage test; `node dist/test/crash/damage-main.js` is the whole. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { damageTest, isBad } from './damage.ts';

for (const [ending, seed] of [
  ['kill', 31],
  ['stop', 32],
] as const) {
  test(`damaged files give an error or a reported cut, never wrong values, after a ${ending}`, async (context) => {
    const trials = await damageTest({
      trials: 3,
      seed,
      writes: 8_000,
      ending,
      flags: ['--memtable-size', '1mb'],
      report: (line) => context.diagnostic(line.slice(0, 300)),
    });
    assert.deepEqual(trials.filter(isBad), []);
  });
}
