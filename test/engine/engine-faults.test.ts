/**
 * One short life of the engine, again and again: with the power going at its first, second, … operation of the disk,
 * and with the first, second, … operation failing, until a life passes in which nothing happened (SQLite's method).
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { Found, lookup, type FsyncPolicy } from '../../src/engine/store.ts';
import { DiskError, type Log } from '../../src/env.ts';
import { SimDisk } from '../sim/disk.ts';
import { openSimEngine } from '../sim/engine-open.ts';
import { EventLoop, Halted, type Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { silent } from '../support/silent-log.ts';

const ROUNDS = 12;
/** More operations than the script below ever needs. */
const MOST_OPERATIONS = 1_500;

interface Machine {
  readonly loop: EventLoop;
  readonly sim: SimDisk;
  readonly random: Prng;
  readonly log: Log;
  memtableBytes: number;
  life: Life;
  fatal: EngineError | undefined;
  fatals: number;
}

function machine(seed: number, log = silent): Machine {
  const loop = new EventLoop();
  const random = new Prng(seed);
  const sim = new SimDisk({ loop, random: random.split('disk') });
  return { loop, sim, random, log, memtableBytes: 4096, life: loop.life(), fatal: undefined, fatals: 0 };
}

/** Opens in a new life. */
async function open(on: Machine, fsync: FsyncPolicy = 'always'): Promise<Engine> {
  on.life = on.loop.life();
  on.fatal = undefined;
  on.loop.restart();
  const disk = on.sim.mount(on.life);
  const opening = openSimEngine({
    loop: on.loop,
    life: on.life,
    disk,
    random: on.random,
    log: on.log,
    engine: { memtableBytes: on.memtableBytes, blockCacheBytes: 65_536, diskReserveBytes: 0, fsync },
    onFatal: (error) => {
      on.fatal ??= error;
      on.fatals++;
    },
  });
  return on.loop.settle(opening);
}

function fatalCode(on: Machine): string | undefined {
  return on.fatal?.code;
}

function refusalOf(engine: Engine): string | undefined {
  return engine.refusal?.code;
}

function key(index: number): Uint8Array {
  return Buffer.from(`key-${String(index).padStart(3, '0')}`);
}

/** Each batch writes its number under the key "counter" and under a key of its own. */
function writeRound(engine: Engine, round: number): number {
  const batch = engine.newBatch();
  const value = new Uint8Array(600).fill(round);
  batch.put(Buffer.from('counter'), value);
  batch.put(key(round), value);
  if (round >= 4) batch.delete(key(round - 4));
  return engine.write(batch);
}

async function get(on: Machine, engine: Engine, wanted: Uint8Array): Promise<number | undefined> {
  const found = new Found();
  for (;;) {
    const answer = engine.get(wanted, wanted.length, found);
    if (answer === lookup.ABSENT) return undefined;
    if (answer === lookup.FOUND) return found.bytes[found.start];
    await on.loop.settle(engine.fetch(wanted));
  }
}

/** Writes rounds until they are durable; `acknowledged` counts them. */
async function work(on: Machine, engine: Engine, progress: { acknowledged: number }): Promise<void> {
  for (let round = 1; round <= ROUNDS; round++) {
    const sequence = writeRound(engine, round);
    while (engine.durableSequence < sequence && on.fatal === undefined) {
      await new Promise<void>((resolve) => on.life.after(1, resolve));
    }
    if (on.fatal !== undefined) return;
    if (!on.sim.crashed) progress.acknowledged = round;
    if (round === 6) await engine.flush();
    if (round === 9) await engine.compact();
  }
  await engine.close();
}

/** The state is that after some whole round, no earlier than `least`. */
async function verify(on: Machine, engine: Engine, least: number): Promise<void> {
  const last = (await get(on, engine, Buffer.from('counter'))) ?? 0;
  assert.ok(last >= least, `round ${least} was acknowledged, round ${last} is the last`);
  for (let round = 1; round <= ROUNDS; round++) {
    const wanted = round <= last && round > last - 4 ? round : undefined;
    assert.equal(await get(on, engine, key(round)), wanted, `key of round ${round} after round ${last}`);
  }
}

function isNamed(error: unknown): boolean {
  return error instanceof EngineError || error instanceof DiskError;
}

for (const [ending, end] of [
  ['the power goes', (sim: SimDisk) => sim.powerCut()],
  ['the process dies', (sim: SimDisk) => sim.kill()],
] as const) {
  void test(`${ending} at every single operation: what was acknowledged is there, in whole batches`, async () => {
    let operation = 0;
    for (let crashed = true; crashed; operation++) {
      assert.ok(operation < MOST_OPERATIONS, 'the script ends');
      const on = machine(operation);
      const progress = { acknowledged: 0 };
      on.sim.crashAtOperation = operation;
      on.sim.onCrash = () => {
        on.life.kill();
        on.loop.halt();
      };
      try {
        await on.loop.settle(work(on, await open(on), progress));
      } catch (error) {
        if (!(error instanceof Halted)) throw error;
      }
      crashed = on.sim.crashed;
      end(on.sim);
      // Twice: what the first of them did to recover must itself be durable.
      for (const last of [false, true]) {
        const engine = await open(on);
        await verify(on, engine, progress.acknowledged);
        if (last) {
          await on.loop.settle(engine.close());
          continue;
        }
        on.life.kill();
        on.sim.powerCut();
      }
    }
    assert.ok(operation > 30, `the script has ${operation} operations`);
  });
}

void test('every single operation fails once: a named error or none, then nothing acknowledged is missing', async () => {
  let operation = 0;
  for (let failed = true; failed; operation++) {
    assert.ok(operation < MOST_OPERATIONS, 'the script ends');
    const on = machine(10_000 + operation);
    const progress = { acknowledged: 0 };
    on.sim.failAtOperation = operation;
    try {
      await on.loop.settle(work(on, await open(on), progress));
    } catch (error) {
      assert.ok(isNamed(error), `operation ${operation}: ${String(error)}`);
    }
    failed = on.sim.operations > operation;
    on.life.kill();
    on.sim.failAtOperation = Number.POSITIVE_INFINITY;
    if (on.random.chance(0.5)) on.sim.powerCut();
    else on.sim.kill();
    const engine = await open(on);
    await verify(on, engine, progress.acknowledged);
    writeRound(engine, ROUNDS);
    await on.loop.settle(engine.close());
    assert.equal(on.fatal, undefined);
  }
  assert.ok(operation > 30, `the script has ${operation} operations`);
});

void test('a WAL write that fails at once is told, and close ends', async () => {
  const on = machine(1);
  const engine = await open(on);
  // The first round makes room in the file for the second, which so fails at the end of its turn.
  writeRound(engine, 1);
  await on.loop.advance(10);
  writeRound(engine, 2);
  on.sim.faults.writeErrorChance = 1;
  await on.loop.advance(1);
  assert.equal(fatalCode(on), 'io');
  await assert.rejects(on.loop.settle(engine.close()), { code: 'io' });
});

void test('a named value that the disk refuses once is told as the end, once, and nothing is acknowledged after it', async () => {
  const on = machine(2);
  const engine = await open(on);
  await on.loop.settle(engine.setValue('name', Uint8Array.of(1)));
  on.sim.faults.nameErrorChance = 1;
  await assert.rejects(on.loop.settle(engine.setValue('name', Uint8Array.of(2))), { code: 'EIO' });
  assert.equal(fatalCode(on), 'io');
  on.sim.faults.nameErrorChance = 0;
  await assert.rejects(on.loop.settle(engine.setValue('name', Uint8Array.of(3))), { code: 'EIO' });
  const sequence = writeRound(engine, 1);
  await on.loop.advance(100);
  assert.ok(engine.durableSequence < sequence);
  await assert.rejects(on.loop.settle(engine.flush()), { code: 'io' });
  assert.equal(on.fatals, 1);
  on.life.kill();
  on.sim.kill();
  const next = await open(on);
  assert.deepEqual(next.getValue('name'), Uint8Array.of(1));
  await on.loop.settle(next.setValue('name', Uint8Array.of(4)));
  assert.deepEqual(next.getValue('name'), Uint8Array.of(4));
  await on.loop.settle(next.close());
  assert.equal(on.fatal, undefined);
});

void test('a named value that finds no room is no end, and may be set again', async () => {
  const on = machine(3);
  const engine = await open(on);
  on.sim.capacityBytes = on.sim.usedBytes;
  await assert.rejects(on.loop.settle(engine.setValue('name', new Uint8Array(500))), { code: 'ENOSPC' });
  on.sim.capacityBytes = Number.POSITIVE_INFINITY;
  await on.loop.settle(engine.setValue('name', new Uint8Array(500)));
  await on.loop.settle(engine.close());
  assert.equal(on.fatal, undefined);
});

void test('what a failed sync lost is not called durable by the next life, which read it from the cache', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const on = machine(seed);
    // Large enough for the WAL alone to hold it all.
    on.memtableBytes = 1 << 20;
    const first = await open(on, 'everysec');
    writeRound(first, 1);
    writeRound(first, 2);
    await on.loop.advance(1);
    on.sim.faults.syncErrorChance = 1;
    await on.loop.advance(3_000);
    assert.equal(fatalCode(on), 'io');
    on.sim.faults.syncErrorChance = 0;
    on.life.kill();
    on.sim.kill();
    const second = await open(on);
    await verify(on, second, 0);
    writeRound(second, 3);
    await on.loop.settle(second.close());
    on.sim.powerCut();
    await get(on, await open(on), Buffer.from('counter')).then((round) => assert.equal(round, 3));
  }
});

void test('damage right behind a clean close is not taken for the end of the WAL', async () => {
  const on = machine(1);
  on.memtableBytes = 1 << 20;
  for (const round of [1, 2, 3]) {
    const engine = await open(on);
    writeRound(engine, round);
    await on.loop.settle(engine.close());
  }
  const second = Buffer.alloc(600, 2);
  const path = on.sim.paths.find((each) => Buffer.from(on.sim.contentOf(each)).includes(second));
  assert.ok(path !== undefined && path.includes('wal'), `the second round is in a WAL: ${on.sim.paths.join(' ')}`);
  const at = Buffer.from(on.sim.contentOf(path)).indexOf(second);
  on.sim.corrupt(path, at, 1);
  await assert.rejects(open(on), (error: unknown) => {
    assert.ok(error instanceof EngineError && error.code === 'corruption');
    assert.match(error.message, /wal-0000\.log.*offset/);
    return true;
  });
});

void test('what recovery has cut does not come back behind a later group of the same length', async () => {
  const on = machine(1);
  on.memtableBytes = 1 << 20;
  const first = await open(on, 'no');
  for (const round of [1, 2]) {
    writeRound(first, round);
    await on.loop.advance(1);
  }
  on.life.kill();
  on.sim.kill();
  const [path] = on.sim.paths.filter((each) => each.includes('wal'));
  assert.ok(path !== undefined);
  on.sim.corrupt(path, Buffer.from(on.sim.contentOf(path)).indexOf(Buffer.alloc(600, 1)), 1);
  const second = await open(on, 'no');
  assert.equal(await get(on, second, Buffer.from('counter')), undefined);
  writeRound(second, 3);
  await on.loop.advance(1);
  on.life.kill();
  on.sim.kill();
  const third = await open(on, 'no');
  assert.equal(await get(on, third, Buffer.from('counter')), 3);
  assert.equal(await get(on, third, key(2)), undefined);
});

void test('everysec: a sync that hangs holds writers back until it is done, with a number and lines in the log', async () => {
  const lines: string[] = [];
  const on = machine(1, { ...silent, warn: (message) => lines.push(message) });
  on.memtableBytes = 1 << 20;
  const engine = await open(on, 'everysec');
  writeRound(engine, 1);
  await on.loop.advance(900);
  assert.equal(engine.refusal, undefined);
  // From the next second on a sync takes some ten seconds.
  on.sim.faults.slowness = 5_000;
  await on.loop.advance(2_000);
  writeRound(engine, 2);
  let heldMs = 0;
  let acceptedMs = 0;
  for (; heldMs < 60_000 && engine.refusal === undefined; heldMs += 10) {
    acceptedMs += 10;
    await on.loop.advance(10);
  }
  assert.ok(acceptedMs < 2_000, `writers were held back after ${acceptedMs} ms`);
  assert.match(String(refusalOf(engine)), /overloaded/);
  assert.throws(() => writeRound(engine, 3), { code: 'refused' });
  on.sim.faults.slowness = 1;
  for (heldMs = 0; heldMs < 60_000 && engine.refusal !== undefined; heldMs += 10) await on.loop.advance(10);
  assert.ok(heldMs > 10 && heldMs < 60_000, `held for ${heldMs} ms`);
  writeRound(engine, 3);
  assert.equal(engine.metrics()['wal_syncs_late'], 1);
  assert.ok((engine.metrics()['stall_us'] ?? 0) > 1000 * (heldMs - 20), `${engine.metrics()['stall_us']} us`);
  assert.deepEqual(lines, ['an fsync of the WAL takes long: writers wait until it is done', 'writers go on']);
  await on.loop.settle(engine.close());
});
