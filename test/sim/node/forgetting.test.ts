/** A machine that lost power under `appendfsync everysec`: it votes on nothing before it has got back what it forgot. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.ts';

const KEYS = Array.from({ length: 8 }, (_, i) => `k${i}`);

/** Indices of the machines other than these. */
function other(...indices: number[]): number {
  return [0, 1, 2].find((index) => !indices.includes(index)) as number;
}

void test('what one of two owners forgot in a power cut is not read as missing, and comes back', async () => {
  const stage = await Stage.open({ nodes: 3, seed: 7, appendfsync: 'everysec' });
  const { loop, network, machines } = stage;
  const [writer, forgets] = [0, 1];
  const late = other(writer, forgets);
  stage.isolate(late, 'both');
  await loop.advance(1_500);
  for (const key of KEYS) assert.equal(await stage.ask(writer, 'SET', key, 'v'), '+OK');
  const machine = machines[forgets];
  assert.ok(machine !== undefined);
  machine.end('power cut');
  network.mendAll();
  stage.isolate(writer, 'both');
  machine.start();
  await loop.advance(3_000);
  assert.ok(machine.node !== undefined);
  assert.equal(stage.suspectSlots(forgets), 16_384);
  // Two of three owners are there and talk with one another, but one of them may not vote.
  for (const key of KEYS) assert.match((await stage.ask(late, 'GET', key)) ?? '', /^-NOQUORUM/);
  const held = await Promise.all(KEYS.map((key) => stage.versionAt(forgets, key)));
  assert.ok(
    held.some((version) => version === '0.0'),
    `something was lost: ${held.join(' ')}`,
  );
  network.mendAll();
  await loop.advance(6_000);
  assert.equal(stage.suspectSlots(forgets), 0);
  stage.isolate(writer, 'both');
  await loop.advance(1_500);
  for (const key of KEYS) assert.equal(await stage.ask(late, 'GET', key), '$v');
  assert.deepEqual(stage.violations, []);
});

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
