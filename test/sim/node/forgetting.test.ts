/** Who takes itself for one that may have forgotten something, under `appendfsync everysec`: who lost its power unclean. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.ts';

void test('a process that is killed, and a machine that stopped cleanly, have forgotten nothing', async () => {
  const stage = await Stage.open({ nodes: 3, seed: 8, appendfsync: 'everysec' });
  const { loop, machines } = stage;
  const machine = machines[1];
  assert.ok(machine !== undefined);
  machine.end('killed');
  machine.start();
  await loop.advance(500);
  assert.equal(stage.suspectSlots(1), 0);
  await loop.settle(machine.node?.close(0) ?? Promise.reject(new Error('it serves')));
  machine.end('power cut');
  machine.start();
  await loop.advance(500);
  assert.equal(stage.suspectSlots(1), 0);
  machine.end('power cut');
  machine.start();
  await loop.advance(20);
  assert.equal(stage.suspectSlots(1), 16_384);
  // Each quick start has put the clock's ceiling three seconds further; the others promise it when their clocks are there.
  await loop.advance(12_000);
  assert.equal(stage.suspectSlots(1), 0);
  assert.deepEqual(stage.violations, []);
});
