/** The simulation's own parts: chance, time, and a disk that is as bad as it says. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiskError, type Disk } from '../../src/env.ts';
import { SimDisk } from './disk.ts';
import { EventLoop, Halted, type Life } from './event-loop.ts';
import { Prng } from './prng.ts';
import { SimThreads } from './threads.ts';

function machine(seed: number): { loop: EventLoop; life: Life; sim: SimDisk; disk: Disk } {
  const loop = new EventLoop();
  const life = loop.life();
  const sim = new SimDisk({ loop, random: new Prng(seed) });
  const disk = sim.mount(life);
  disk.makeDirectory('/d');
  return { loop, life, sim, disk };
}

function fill(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function isDiskError(code: DiskError['code']): (error: unknown) => boolean {
  return (error) => error instanceof DiskError && error.code === code;
}

void test('chance: the same seed gives the same draws, a split does not depend on earlier draws', () => {
  const one = new Prng(42);
  const two = new Prng(42);
  assert.deepEqual([...one.bytes(64)], [...two.bytes(64)]);
  assert.equal(one.split('disk').word(), new Prng(42).split('disk').word());
  assert.notEqual(one.split('disk').word(), one.split('network').word());
  assert.notEqual(new Prng(1).word(), new Prng(2).word());
  let sum = 0;
  for (let i = 0; i < 10_000; i++) {
    const value = one.below(10);
    assert.ok(value >= 0 && value < 10);
    sum += value;
  }
  assert.ok(sum > 44_000 && sum < 46_000, `mean of 10,000 draws below 10: ${sum / 10_000}`);
});

void test('time: events by moment and order, microtasks between them, the end of the turn after what is ready', async () => {
  const loop = new EventLoop();
  const life = loop.life();
  const seen: string[] = [];
  life.after(2, () => seen.push('late'));
  life.after(1, () => {
    seen.push('a');
    life.atTurnEnd(() => seen.push('end'));
    void Promise.resolve()
      .then(() => Promise.resolve())
      .then(() => seen.push('microtask'));
  });
  life.after(1, () => seen.push('b'));
  const cancelled = life.after(1, () => seen.push('cancelled'));
  cancelled.cancel();
  await loop.advance(1);
  assert.deepEqual(seen, ['a', 'microtask', 'b', 'end']);
  assert.equal(loop.clock.monotonicUs(), 1000);
  await loop.runUntilIdle();
  assert.equal(seen.at(-1), 'late');
  assert.equal(loop.nowUs, 2000);
});

void test('time: a repeating timer is not work that is left; settle drives it; a dead life is silent', async () => {
  const loop = new EventLoop();
  const life = loop.life();
  let ticks = 0;
  const timer = life.every(10, () => ticks++);
  await loop.runUntilIdle();
  assert.equal(ticks, 0);
  await loop.settle(new Promise<void>((resolve) => life.after(35, resolve)));
  assert.equal(ticks, 3);
  timer.cancel();
  await assert.rejects(loop.settle(new Promise(() => {})), /never comes/);
  life.after(1, () => ticks++);
  life.kill();
  await loop.advance(10);
  assert.equal(ticks, 3);
  life.atTurnEnd(() => ticks++);
  await loop.runUntilIdle();
  assert.equal(ticks, 3);
});

void test('disk: what was synced under a synced name survives every power cut', () => {
  for (let seed = 0; seed < 200; seed++) {
    const { sim, disk } = machine(seed);
    const file = disk.open('/d/a', 'create');
    file.writeSync(fill(3000, 1), 0);
    file.syncSync();
    disk.syncDirectory('/d');
    file.writeSync(fill(2000, 2), 2500);
    sim.powerCut();
    const after = sim.contentOf('/d/a');
    assert.deepEqual(after.subarray(0, 2500), fill(2500, 1), `seed ${seed}`);
    for (const byte of after.subarray(2500, 3000)) assert.ok(byte === 1 || byte === 2);
    for (const byte of after.subarray(3000)) assert.ok(byte === 0 || byte === 2);
  }
});

void test('disk: over the seeds every outcome of an unsynced write and of an unsynced name happens', () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 300; seed++) {
    const { sim, disk } = machine(seed);
    const file = disk.open('/d/a', 'create');
    file.writeSync(fill(2048, 1), 0);
    file.syncSync();
    disk.syncDirectory('/d');
    file.writeSync(fill(2048, 2), 0);
    disk.open('/d/b', 'create');
    disk.rename('/d/b', '/d/c');
    sim.powerCut();
    const after = sim.contentOf('/d/a');
    const twos = [0, 512, 1024, 1536].filter((sector) => after[sector] === 2);
    for (const sector of twos) assert.deepEqual(after.subarray(sector, sector + 512), fill(512, 2));
    outcomes.add(twos.length === 0 ? 'lost' : twos.length === 4 ? 'kept' : twos[0] === 0 ? 'torn' : 'reordered');
    outcomes.add(sim.paths.join());
  }
  for (const outcome of ['lost', 'kept', 'torn', 'reordered', '/d/a', '/d/a,/d/b', '/d/a,/d/c']) {
    assert.ok(outcomes.has(outcome), `${outcome} never happened; seen: ${[...outcomes].join(' ')}`);
  }
});

void test('disk: a failed sync loses data that reads still show, and a second sync does not bring it back', () => {
  let lost = 0;
  for (let seed = 0; seed < 50; seed++) {
    const { sim, disk } = machine(seed);
    const file = disk.open('/d/a', 'create');
    disk.syncDirectory('/d');
    file.writeSync(fill(1024, 1), 0);
    sim.faults.syncErrorChance = 1;
    assert.throws(() => file.syncSync(), isDiskError('EIO'));
    sim.faults.syncErrorChance = 0;
    assert.deepEqual(sim.contentOf('/d/a'), fill(1024, 1));
    file.syncSync();
    sim.powerCut();
    if (sim.contentOf('/d/a').some((byte) => byte !== 1) || sim.contentOf('/d/a').length < 1024) lost++;
  }
  assert.ok(lost > 10 && lost < 50, `${lost} of 50 lost something`);
});

void test('disk: a full disk takes what fits, says so, and takes more when space returns', () => {
  const { sim, disk } = machine(1);
  sim.capacityBytes = 1000;
  const file = disk.open('/d/a', 'create');
  file.writeSync(fill(600, 1), 0);
  assert.equal(disk.freeBytes('/d'), 400);
  assert.throws(() => file.writeSync(fill(600, 2), 600), isDiskError('ENOSPC'));
  assert.equal(file.size(), 1000);
  file.writeSync(fill(600, 3), 0);
  file.truncate(100);
  file.writeSync(fill(600, 4), 100);
  assert.equal(sim.usedBytes, 700);
  disk.rename('/d/a', '/d/b');
  assert.equal(sim.usedBytes, 700);
  disk.link('/d/b', '/d/c');
  disk.unlink('/d/b');
  assert.equal(sim.usedBytes, 700);
  disk.open('/d/e', 'create').writeSync(fill(100, 5), 0);
  disk.rename('/d/e', '/d/c');
  assert.equal(sim.usedBytes, 100);
  disk.unlink('/d/c');
  assert.equal(sim.usedBytes, 0);
});

void test('disk: the n-th operation fails and only it; too many open files are refused', () => {
  const { sim, disk } = machine(1);
  const file = disk.open('/d/a', 'create');
  sim.failAtOperation = sim.operations + 1;
  file.writeSync(fill(1, 1), 0);
  assert.throws(() => file.writeSync(fill(1, 1), 1), isDiskError('EIO'));
  file.writeSync(fill(1, 1), 1);
  sim.faults.maxOpenFiles = 1;
  assert.throws(() => disk.open('/d/a', 'read'), isDiskError('EMFILE'));
  file.close();
  disk.open('/d/a', 'read').close();
  assert.equal(sim.openFiles, 0);
});

void test('disk: the power goes in the middle of a run; what ends after it does not count', async () => {
  const { loop, life, sim, disk } = machine(3);
  const file = disk.open('/d/a', 'create');
  disk.syncDirectory('/d');
  file.writeSync(fill(512, 1), 0);
  file.syncSync();
  sim.onCrash = () => {
    life.kill();
    loop.halt();
  };
  sim.crashAtOperation = sim.operations + 2;
  const writing = (async () => {
    for (let round = 1; round < 50; round++) {
      await file.write(fill(512, round), round * 512);
      await file.sync();
    }
  })();
  await assert.rejects(loop.settle(writing), Halted);
  assert.equal(sim.crashed, true);
  sim.powerCut();
  loop.restart();
  const second = sim.mount(loop.life());
  assert.throws(() => file.readSync(new Uint8Array(1), 0), /dead process/);
  assert.ok(sim.contentOf('/d/a').length <= 3 * 512);
  assert.deepEqual(sim.contentOf('/d/a').subarray(0, 512), fill(512, 1));
  second.open('/d/a', 'read').close();
});

void test('disk: slow operations take virtual time only', async () => {
  const { loop, sim, disk } = machine(5);
  sim.faults.slowness = 1000;
  const file = disk.open('/d/a', 'create');
  const startMs = performance.now();
  await loop.settle(file.sync());
  assert.ok(loop.nowUs > 300_000);
  assert.ok(performance.now() - startMs < 5_000);
});

void test('threads: jobs run one after another, errors keep their code, a close stops what waits', async () => {
  const { loop, life, disk } = machine(9);
  const threads = new SimThreads({ loop, life, disk, random: new Prng(9) });
  const thread = threads.start<{ path: string }, string>(new URL('./echo-job.js', import.meta.url).href, 'echo');
  const first = thread.run({ path: '/d' });
  const second = thread.run({ path: '/none' });
  assert.equal(await loop.settle(first), '0 files, not stopped');
  await assert.rejects(loop.settle(second), isDiskError('ENOENT'));
  const third = thread.run({ path: '/d' });
  const refused = assert.rejects(third, { code: 'THREAD_CLOSED' });
  await loop.settle(thread.close());
  await refused;
});
