/** Copies of stores (backup, restore) that the power cuts short, at every operation: no store, or the whole one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileManifest } from '../../src/engine/manifest-file.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { copyStore, isEmptyDirectory } from '../../src/tools/copy-store.ts';
import { noProgress } from '../../src/tools/progress.ts';
import { Halted } from '../sim/event-loop.ts';
import { DIRECTORY } from '../sim/engine-open.ts';
import { fill, KEYS, key, machine, openAt, type Machine } from './tool-fixture.ts';

const TARGET = '/restored';
const MOST_OPERATIONS = 3_000;

function contents(on: Machine, directory: string): Map<string, string> {
  const paths = on.sim.paths.filter((path) => path.startsWith(`${directory}/`));
  return new Map(paths.map((path) => [path, Buffer.from(on.sim.contentOf(path)).toString('base64')]));
}

/** Copies the store; false: the power went at that operation. */
async function copy(on: Machine, crashAtOperation: number): Promise<boolean> {
  on.life = on.loop.life();
  const disk = on.sim.mount(on.life);
  on.sim.crashAtOperation = crashAtOperation;
  on.sim.onCrash = () => {
    on.life.kill();
    on.loop.halt();
  };
  const parts = {
    disk,
    openManifest: (directory: string) => FileManifest.open(disk, directory),
    print: () => {},
    progress: noProgress,
  };
  try {
    disk.makeDirectory(TARGET);
    await on.loop.settle(copyStore({ parts, source: DIRECTORY, target: TARGET, link: false }));
  } catch (error) {
    if (!(error instanceof Halted)) throw error;
  }
  const { crashed } = on.sim;
  on.sim.powerCut();
  on.loop.restart();
  return !crashed;
}

async function all(on: Machine, engine: Engine): Promise<Map<number, string>> {
  const found = new Found();
  const state = new Map<number, string>();
  for (let index = 0; index < KEYS; index++) {
    const wanted = key(index);
    let answer = engine.get(wanted, wanted.length, found);
    for (; answer === lookup.MISS; answer = engine.get(wanted, wanted.length, found)) {
      await on.loop.settle(engine.fetch(wanted));
    }
    if (answer === lookup.FOUND) {
      state.set(index, Buffer.from(found.bytes.subarray(found.start, found.end)).toString());
    }
  }
  return state;
}

void test('a copy that the power cuts short is no store, not even an empty one; a whole one has everything', async () => {
  let refused = 0;
  let whole = 0;
  for (let operation = 0, done = false; !done; operation += 9) {
    assert.ok(operation < MOST_OPERATIONS, 'the copy ends');
    const on = machine(900);
    const expected = await fill(on);
    // What the engine has removed comes back unless the directory is synced.
    on.sim.mount(on.loop.life()).syncDirectory(DIRECTORY);
    const before = contents(on, DIRECTORY);
    done = await copy(on, operation);
    assert.deepEqual(contents(on, DIRECTORY), before, 'nothing changes in the source');
    const isEmpty = isEmptyDirectory(on.sim.mount(on.loop.life()), TARGET);
    let engine: Engine;
    try {
      engine = await openAt(on, TARGET);
    } catch (error) {
      assert.match(String(error), /copy into .* was cut short|manifest is missing or empty|is damaged/);
      assert.ok(!done);
      refused++;
      continue;
    }
    const state = await all(on, engine);
    await on.loop.settle(engine.close());
    if (isEmpty) {
      assert.ok(!done && state.size === 0, 'nothing was copied yet');
      continue;
    }
    whole++;
    assert.equal(state.size, expected.size, `after operation ${operation}`);
    for (const [index, value] of expected) assert.equal(state.get(index), Buffer.from(value).toString());
  }
  assert.ok(refused > 5 && whole > 0, `${refused} refused, ${whole} whole`);
});
