/** Who takes itself for one that may have forgotten something: who lost its power unclean, and whose repair has lost records. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileManifest } from '../../../src/engine/manifest-file.ts';
import { noProgress } from '../../../src/tools/progress.ts';
import { repair } from '../../../src/tools/repair.ts';
import { NOW_MS } from '../../tools/tool-fixture.ts';
import type { Machine } from './machine.ts';
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

/** What `kvorum repair` prints on the machine's disk. */
async function repaired(stage: Stage, machine: Machine): Promise<string> {
  const life = stage.loop.life();
  const disk = machine.disk.mount(life);
  const lines: string[] = [];
  const openManifest = (directory: string): FileManifest => FileManifest.open(disk, directory);
  const parts = { disk, openManifest, print: (line: string) => void lines.push(line), progress: noProgress };
  assert.equal(await stage.loop.settle(repair(parts, '/data', { nowMs: NOW_MS })), 0);
  life.kill();
  return lines.join('\n');
}

void test('a repair that has lost records makes an owner suspect until it has them back, whatever the heads say', async () => {
  const stage = await Stage.open({ nodes: 3, seed: 9 });
  const { loop, machines } = stage;
  const machine = machines[1] as Machine;
  const fields = Array.from({ length: 1_000 }, (_, i) => [`field${i + 1_000}`, 'v'.repeat(100)]).flat();
  const keys = Array.from({ length: 15 }, (_, i) => `hash${i}`);
  for (const key of keys) assert.equal(await stage.ask(0, 'HSET', key, ...fields), ':1000');
  const expected = await stage.ask(1, 'HGETALL', 'hash0');
  await loop.advance(1_000);
  await loop.settle(machine.node?.close(0) ?? Promise.reject(new Error('it serves')));
  machine.end('killed');
  const tables = machine.disk.paths.filter((path) => /^\/data\/\d+\.sst$/.test(path));
  for (const path of tables) {
    const { length } = machine.disk.contentOf(path);
    for (let at = 1 / 8; at < 0.7; at += 1 / 8) machine.disk.corrupt(path, Math.floor(length * at), 1);
  }
  assert.match(await repaired(stage, machine), /lost: /);
  machine.start();
  await stage.until(() => machine.node !== undefined, 'it serves', 1);
  assert.equal(stage.suspectSlots(1), 16_384);
  machine.end('killed');
  machine.start();
  await stage.until(() => machine.node !== undefined, 'it serves again', 1);
  assert.equal(stage.suspectSlots(1), 16_384, 'the mark stays until all is back');
  await stage.until(() => stage.suspectSlots(1) === 0, 'all is back', 10);
  for (const key of keys) assert.equal(await stage.ask(1, 'HGETALL', key), expected, key);
  await loop.advance(1_000);
  machine.end('killed');
  machine.start();
  await stage.until(() => machine.node !== undefined, 'it serves once more', 1);
  assert.equal(stage.suspectSlots(1), 0, 'nothing is missing any more');
  assert.deepEqual(stage.violations, []);
});
