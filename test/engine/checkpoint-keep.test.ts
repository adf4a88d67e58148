/** Rotation of checkpoints on the simulated disk: what is kept, what failures and crashes leave. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CheckpointKeep } from '../../src/engine/checkpoint-keep.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import type { Disk, Log } from '../../src/env.ts';
import { SimDisk } from '../sim/disk.ts';
import { openSimEngine } from '../sim/engine-open.ts';
import { EventLoop } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { silent } from '../support/silent-log.ts';

const DIRECTORY = '/data/checkpoints';
class Machine {
  readonly loop = new EventLoop();
  readonly random: Prng;
  readonly sim: SimDisk;
  disk: Disk;
  life = this.loop.life();
  readonly warnings: string[] = [];

  constructor(seed: number) {
    this.random = new Prng(seed);
    this.sim = new SimDisk({ loop: this.loop, random: this.random.split('disk') });
    this.disk = this.sim.mount(this.life);
  }

  /** A process starts on what is there. */
  boot(): void {
    this.life = this.loop.life();
    this.disk = this.sim.mount(this.life);
  }

  open(directory = '/data'): Promise<Engine> {
    return this.loop.settle(
      openSimEngine({
        loop: this.loop,
        life: this.life,
        disk: this.disk,
        random: this.random,
        log: silent,
        directory,
        engine: { memtableBytes: 8192, diskReserveBytes: 0, fsync: 'always' },
        onFatal: () => {},
      }),
    );
  }

  keep(store: Pick<Engine, 'checkpoint'>, owner = 'me'): CheckpointKeep {
    const log: Log = { ...silent, warn: (message) => this.warnings.push(message) };
    return new CheckpointKeep({ disk: this.disk, timers: this.life, log, store, directory: DIRECTORY, owner });
  }
}

async function put(on: Machine, engine: Engine, key: string, value: string): Promise<void> {
  const batch = engine.newBatch();
  batch.put(Buffer.from(key), Buffer.from(value));
  engine.write(batch);
  await on.loop.advance(50);
}

async function get(on: Machine, engine: Engine, key: string): Promise<string | undefined> {
  const found = new Found();
  const bytes = Buffer.from(key);
  let answer = engine.get(bytes, bytes.length, found);
  while (answer === lookup.MISS) {
    await on.loop.settle(engine.fetch(bytes));
    answer = engine.get(bytes, bytes.length, found);
  }
  return answer === lookup.FOUND ? Buffer.from(found.bytes.subarray(found.start, found.end)).toString() : undefined;
}

/** The value that a checkpoint has for `key`. */
async function valueIn(on: Machine, path: string, key: string): Promise<string | undefined> {
  const copy = await on.open(path);
  const value = await get(on, copy, key);
  await on.loop.settle(copy.close());
  return value;
}

void test('the newest are kept, each as the store was, and those of another owner are left alone', async () => {
  const on = new Machine(1);
  const engine = await on.open();
  const keep = on.keep(engine);
  const other = on.keep(engine, 'other');
  await on.loop.settle(other.take(1));
  for (let round = 1; round <= 4; round++) {
    await put(on, engine, 'k', `round ${round}`);
    const path = await on.loop.settle(keep.take(2));
    assert.equal(path, `${DIRECTORY}/checkpoint-me-00000${round}`);
  }
  assert.deepEqual(on.disk.list(DIRECTORY), [
    'checkpoint-me-000003',
    'checkpoint-me-000004',
    'checkpoint-other-000001',
  ]);
  await put(on, engine, 'k', 'later');
  await on.loop.settle(engine.compact());
  assert.equal(await valueIn(on, keep.path(3), 'k'), 'round 3');
  assert.equal(await valueIn(on, keep.path(4), 'k'), 'round 4');
  await on.loop.settle(keep.take(1));
  assert.deepEqual(keep.numbers(), [5]);
  assert.equal(await get(on, engine, 'k'), 'later');
  await on.loop.settle(engine.close());
  assert.deepEqual(on.warnings, []);
});

void test('the store opens next to its checkpoints and leaves them as they are', async () => {
  const on = new Machine(2);
  const engine = await on.open();
  await put(on, engine, 'k', 'v');
  const path = await on.loop.settle(on.keep(engine).take(1));
  await on.loop.settle(engine.close());
  on.boot();
  const again = await on.open();
  await put(on, again, 'k', 'w');
  await on.loop.settle(again.compact());
  await on.loop.settle(again.close());
  assert.equal(await valueIn(on, path, 'k'), 'v');
});

void test('an operation that fails, whichever it is, leaves the old checkpoint or the new one and nothing half-done', async () => {
  let failures = 0;
  for (let at = 0; ; at++) {
    const on = new Machine(100 + at);
    const engine = await on.open();
    await put(on, engine, 'k', 'old');
    await on.loop.settle(on.keep(engine).take(1));
    await put(on, engine, 'k', 'new');
    const from = on.sim.operations;
    on.sim.failAtOperation = from + at;
    const keep = on.keep(engine);
    const path = await on.loop.settle(keep.take(1).catch(() => undefined));
    const isDone = on.sim.operations <= from + at;
    on.sim.failAtOperation = Number.POSITIVE_INFINITY;
    if (path === undefined) failures++;
    await on.loop.settle(engine.close().catch(() => {}));
    on.sim.kill();
    on.boot();
    await on.loop.settle(on.keep(engine).removeHalfDone());
    const numbers = on.keep(engine).numbers();
    const names = on.disk.list(DIRECTORY);
    assert.equal(names.length, numbers.length, `operation ${at} leaves ${names.join(' ')}`);
    assert.equal(numbers.includes(1) || numbers.includes(2), true, `operation ${at} leaves no checkpoint`);
    assert.equal(numbers.includes(2), path !== undefined, `operation ${at} and the new checkpoint`);
    for (const number of numbers) {
      assert.equal(await valueIn(on, keep.path(number), 'k'), number === 1 ? 'old' : 'new', `operation ${at}`);
    }
    if (isDone) break;
  }
  assert.ok(failures > 10, `${failures} operations could fail`);
});

void test('a crash at any operation leaves whole checkpoints only, once the half-done ones are removed', async () => {
  let crashes = 0;
  for (let at = 0; ; at++) {
    const on = new Machine(500 + at);
    const engine = await on.open();
    await put(on, engine, 'k', 'old');
    await on.loop.settle(on.keep(engine).take(1));
    await put(on, engine, 'k', 'new');
    on.sim.crashAtOperation = on.sim.operations + at;
    const keep = on.keep(engine);
    await on.loop.settle(keep.take(1).catch(() => undefined));
    await on.loop.settle(engine.close().catch(() => {}));
    const hasCrashed = on.sim.crashed;
    if (hasCrashed) crashes++;
    on.sim.powerCut();
    on.boot();
    await on.loop.settle(on.keep(engine).removeHalfDone());
    const numbers = on.keep(engine).numbers();
    assert.equal(on.disk.list(DIRECTORY).length, numbers.length, `crash ${at} leaves something half-done`);
    assert.equal(numbers.length > 0, true, `crash ${at} leaves no checkpoint`);
    for (const number of numbers) {
      assert.equal(await valueIn(on, keep.path(number), 'k'), number === 1 ? 'old' : 'new', `crash ${at}`);
    }
    if (!hasCrashed) break;
  }
  assert.ok(crashes > 20, `${crashes} crashes`);
});
