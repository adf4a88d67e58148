/** What repair makes of a lost manifest: the state that its copy tells of, whatever else lies about. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileManifest } from '../../src/engine/manifest-file.ts';
import { tableNumber } from '../../src/engine/sstable-format.ts';
import type { Disk } from '../../src/env.ts';
import { Halted } from '../sim/event-loop.ts';
import { DIRECTORY } from '../sim/engine-open.ts';
import {
  fill,
  key,
  machine,
  open,
  paths,
  tool,
  toolUntil,
  wrongKeys,
  type Expected,
  type Machine,
} from './tool-fixture.ts';

const MOST_OPERATIONS = 2_000;

/** The disk while no process runs. */
function mounted(on: Machine): Disk {
  on.life = on.loop.life();
  return on.sim.mount(on.life);
}

function write(disk: Disk, path: string, bytes: Uint8Array): void {
  const file = disk.open(path, 'create');
  file.writeSync(bytes, 0);
  file.syncSync();
  file.close();
  disk.syncDirectory(DIRECTORY);
}

function unlinkAll(disk: Disk, found: readonly string[]): void {
  for (const path of found) disk.unlink(path);
  disk.syncDirectory(DIRECTORY);
}

/** Deletes keys and compacts; then the tables that the compaction dropped are there again, as if nobody had removed them. */
async function fillWithLeftovers(on: Machine): Promise<Expected> {
  const expected = await fill(on);
  const before = new Map(paths(on, /\.sst$/).map((path) => [path, on.sim.contentOf(path)]));
  const engine = await open(on);
  const batch = engine.newBatch();
  for (let index = 100; index < 200; index++) {
    batch.delete(key(index));
    expected.delete(index);
  }
  engine.write(batch);
  await on.loop.settle(engine.compact());
  await on.loop.advance(100);
  await on.loop.settle(engine.close());
  const disk = mounted(on);
  let leftovers = 0;
  for (const [path, bytes] of before) {
    if (on.sim.paths.includes(path)) continue;
    write(disk, path, bytes);
    leftovers++;
  }
  assert.ok(leftovers > 0, 'compaction dropped tables');
  return expected;
}

async function loseManifest(on: Machine, how: 'missing' | 'damaged' | 'empty'): Promise<void> {
  const disk = mounted(on);
  const manifests = paths(on, /^\/manifest/);
  assert.ok(manifests.length > 0);
  if (how === 'damaged') for (const path of manifests) on.sim.corrupt(path, 20, 1);
  else unlinkAll(disk, manifests);
  // As a repair leaves it that ended right after it had made a new one, before the first commit.
  if (how === 'empty') write(disk, `${DIRECTORY}/manifest-0000000000000001`, await emptyManifest());
}

/** What `FileManifest` writes for a manifest that only has a named value. */
async function emptyManifest(): Promise<Uint8Array> {
  const on = machine(1);
  const manifest = FileManifest.open(mounted(on), '/other');
  await on.loop.settle(manifest.setValue('some', Uint8Array.of(1)));
  await on.loop.settle(manifest.close());
  return on.sim.contentOf('/other/manifest-0000000000000001');
}

for (const how of ['missing', 'damaged', 'empty'] as const) {
  void test(`a manifest that is ${how} is made anew from its copy; leftover tables do not bring deleted keys back`, async () => {
    for (let seed = 0; seed < 4; seed++) {
      const on = machine(400 + seed);
      const expected = await fillWithLeftovers(on);
      await loseManifest(on, how);
      const checked = await tool(on, 'check', DIRECTORY);
      assert.equal(checked.code, 1, checked.text);
      const repaired = await tool(on, 'repair', DIRECTORY);
      assert.equal(repaired.code, 0, repaired.text);
      assert.match(repaired.text, /the manifest is made anew from its copy: \d+ table/);
      const again = await tool(on, 'check', DIRECTORY);
      assert.equal(again.code, 0, again.text);
      assert.doesNotMatch(again.text, /note/);
      assert.equal(await wrongKeys(on, expected), 0, `seed ${seed}: ${repaired.text}`);
    }
  });
}

void test('one file of the copy is damaged too: what is there after repair is all there was, or more', async () => {
  let restored = 0;
  for (let seed = 0; seed < 12; seed++) {
    const on = machine(500 + seed);
    const expected = await fill(on);
    await loseManifest(on, 'missing');
    const path = paths(on, seed % 2 === 0 ? /^\/table-list-0/ : /^\/table-list-1/)[0];
    assert.ok(path !== undefined);
    on.sim.corrupt(path, on.random.below(on.sim.contentOf(path).length), 1);
    const repaired = await tool(on, 'repair', DIRECTORY);
    assert.equal(repaired.code, 0, repaired.text);
    if (/from its copy/.test(repaired.text)) restored++;
    assert.equal((await tool(on, 'check', DIRECTORY)).code, 0);
    assert.equal(await wrongKeys(on, expected), 0, `seed ${seed}: ${repaired.text}`);
  }
  assert.ok(restored > 0, `${restored} of 12 from the copy`);
});

void test('a copy that is one refused change ahead is not believed', async () => {
  const on = machine(600);
  const expected = await fill(on);
  const engine = await open(on);
  const batch = engine.newBatch();
  for (let index = 0; index < 100; index++) batch.delete(key(index));
  // The change is in the copy, then the manifest finds no room for it; its tables go again.
  const room = 60_000;
  on.sim.capacityBytes = on.sim.usedBytes + room;
  engine.write(batch);
  for (let index = 0; index < 100; index++) expected.delete(index);
  await on.loop.advance(5_000);
  on.life.kill();
  on.sim.kill();
  on.sim.capacityBytes = Number.POSITIVE_INFINITY;
  await loseManifest(on, 'missing');
  const repaired = await tool(on, 'repair', DIRECTORY);
  assert.equal(repaired.code, 0, repaired.text);
  assert.doesNotMatch(repaired.text, /^lost:/m);
  assert.equal(await wrongKeys(on, expected), 0, repaired.text);
});

const damages: Readonly<Record<string, (on: Machine) => void | Promise<void>>> = {
  'the manifest is lost': (on) => loseManifest(on, 'missing'),
  'the manifest and its copy are lost': async (on) => {
    await loseManifest(on, 'missing');
    unlinkAll(mounted(on), paths(on, /^\/(table-list|named-values)/));
  },
  'a table is damaged': (on) => {
    const [path] = paths(on, /\.sst$/);
    on.sim.corrupt(path as string, 100, 1);
  },
};

for (const [what, damage] of Object.entries(damages)) {
  void test(`${what}, and the power goes at every operation of the repair: the next repair finishes it`, async () => {
    let operation = 0;
    let wrong = -1;
    // The first run is not cut short: it says what repair should come to.
    for (let cut = true; cut; operation += 11) {
      assert.ok(operation < MOST_OPERATIONS, 'repair ends');
      const on = machine(700);
      const expected = await fillWithLeftovers(on);
      await damage(on);
      if (operation > 0) {
        cut = await cutShort(on, operation);
      }
      const repaired = await tool(on, 'repair', DIRECTORY);
      assert.equal(repaired.code, 0, `after operation ${operation}: ${repaired.text}`);
      const checked = await tool(on, 'check', DIRECTORY);
      assert.equal(checked.code, 0, `after operation ${operation}: ${checked.text}`);
      const now = await wrongKeys(on, expected);
      if (wrong < 0) wrong = now;
      assert.equal(now, wrong, `after operation ${operation}: ${repaired.text}`);
    }
    assert.ok(operation > 40, `repair has ${operation} operations`);
  });
}

/** Runs a repair that ends with the power at this operation; false: it ended before. */
async function cutShort(on: Machine, operation: number): Promise<boolean> {
  on.sim.onCrash = () => {
    on.life.kill();
    on.loop.halt();
  };
  try {
    await toolUntil(on, operation, 'repair', DIRECTORY);
  } catch (error) {
    if (!(error instanceof Halted)) throw error;
  }
  const { crashed } = on.sim;
  on.sim.powerCut();
  on.loop.restart();
  return crashed;
}

void test('repair takes tables that no manifest names out of the way and keeps them', async () => {
  const on = machine(800);
  await fillWithLeftovers(on);
  await loseManifest(on, 'missing');
  const before = paths(on, /^\/\d+\.sst$/).length;
  await tool(on, 'repair', DIRECTORY);
  const kept = paths(on, /^\/\d+\.sst$/).length;
  const out = on.sim.paths.filter(
    (path) => tableNumber(path.slice(path.lastIndexOf('/') + 1)) !== undefined && path.includes('/lost/'),
  );
  assert.ok(out.length > 0);
  assert.equal(kept + out.length, before);
});
