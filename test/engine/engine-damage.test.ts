/** Life with a damaged table: what it may hold answers an error, and everything else goes on. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPickerOptions } from '../../src/engine/compaction-picker.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import { SimDisk } from '../sim/disk.ts';
import { openSimEngine } from '../sim/engine-open.ts';
import { EventLoop, type Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { silent } from '../support/silent-log.ts';

const KEYS = 400;

interface Machine {
  readonly loop: EventLoop;
  readonly sim: SimDisk;
  readonly random: Prng;
  life: Life;
}

function machine(seed: number): Machine {
  const loop = new EventLoop();
  const random = new Prng(seed);
  return { loop, random, sim: new SimDisk({ loop, random: random.split('disk') }), life: loop.life() };
}

function open(on: Machine): Promise<Engine> {
  on.life = on.loop.life();
  on.loop.restart();
  const opening = openSimEngine({
    loop: on.loop,
    life: on.life,
    disk: on.sim.mount(on.life),
    random: on.random,
    log: silent,
    engine: {
      memtableBytes: 8192,
      blockCacheBytes: 1 << 20,
      diskReserveBytes: 0,
      fsync: 'no',
      closeFlushBytes: 0,
      picker: { ...defaultPickerOptions, level1Bytes: 16_384, tableBytes: 4096 },
    },
    onFatal: (error) => assert.fail(error),
  });
  return on.loop.settle(opening);
}

function key(index: number): Uint8Array {
  return Buffer.from(`key-${String(index).padStart(5, '0')}`);
}

function value(index: number, round: number): Buffer {
  return Buffer.from(`${round}:${index}:${'x'.repeat(60)}`);
}

async function put(on: Machine, engine: Engine, index: number, round: number): Promise<void> {
  while (engine.writeDelayMs > 0 || engine.refusal !== undefined) await on.loop.advance(10);
  const batch = engine.newBatch();
  batch.put(key(index), value(index, round));
  engine.write(batch);
  if (index % 20 === 0) await on.loop.advance(1);
}

async function get(on: Machine, engine: Engine, index: number): Promise<string | undefined> {
  const found = new Found();
  const wanted = key(index);
  for (;;) {
    const answer = engine.get(wanted, wanted.length, found);
    if (answer === lookup.ABSENT) return undefined;
    if (answer === lookup.FOUND) return Buffer.from(found.bytes.subarray(found.start, found.end)).toString();
    await on.loop.settle(engine.fetch(wanted));
  }
}

/** An engine with all keys in tables, of which one, in the middle of the deepest level, turns out to be damaged. */
async function withDamage(on: Machine): Promise<Engine> {
  const first = await open(on);
  for (let index = 0; index < KEYS; index++) await put(on, first, index, 0);
  await on.loop.settle(first.compact());
  await on.loop.settle(first.close());
  on.life.kill();
  const engine = await open(on);
  const tables = on.sim.paths.filter((path) => path.endsWith('.sst'));
  const damaged = tables.find((path) => Buffer.from(on.sim.contentOf(path)).includes(value(KEYS / 2, 0)));
  assert.ok(damaged !== undefined, 'the key in the middle is in a table');
  on.sim.corrupt(damaged, Buffer.from(on.sim.contentOf(damaged)).indexOf(value(KEYS / 2, 0)), 1);
  await assert.rejects(get(on, engine, KEYS / 2), isDamage);
  assert.equal(engine.metrics()['tables_damaged'], 1);
  return engine;
}

function isDamage(error: unknown): boolean {
  return (
    error instanceof EngineError &&
    error.code === 'corruption' &&
    /sst is damaged at.*kvorum repair/.test(error.message)
  );
}

void test('level 0 does not grow without bound while a table is damaged, and what was written is there', async () => {
  const on = machine(1);
  const engine = await withDamage(on);
  const latest = new Map<number, number>();
  let most = 0;
  for (let round = 1; round <= 40; round++) {
    for (let index = round % 3; index < KEYS; index += 3) {
      await put(on, engine, index, round);
      latest.set(index, round);
    }
    await on.loop.advance(200);
    most = Math.max(most, engine.metrics()['level0_tables'] ?? 0);
  }
  assert.ok((engine.metrics()['flushes'] ?? 0) > 40, 'memtables become tables');
  assert.ok(most <= 12, `${most} tables in level 0`);
  for (const [index, round] of latest)
    assert.equal(await get(on, engine, index), Buffer.from(value(index, round)).toString());
  await on.loop.settle(engine.close());
});

void test('keys that the damaged table may hold answer an error that says what helps; the others go on', async () => {
  const on = machine(2);
  const engine = await withDamage(on);
  let errors = 0;
  for (let index = 0; index < KEYS; index++) {
    try {
      assert.equal(await get(on, engine, index), Buffer.from(value(index, 0)).toString());
    } catch (error) {
      assert.ok(isDamage(error), String(error));
      errors++;
    }
  }
  assert.ok(errors > 5 && errors < KEYS / 4, `${errors} of ${KEYS} keys`);
  await on.loop.settle(engine.close());
});

void test('a range delete over all of it makes an end of the damage', async () => {
  const on = machine(3);
  const engine = await withDamage(on);
  const batch = engine.newBatch();
  batch.deleteRange(key(0), Buffer.from('l'));
  engine.write(batch);
  assert.equal(await get(on, engine, KEYS / 2), undefined);
  await put(on, engine, KEYS / 2, 1);
  await on.loop.settle(engine.flush());
  await on.loop.advance(3_000);
  assert.equal(engine.metrics()['tables_damaged'], 0);
  assert.equal(await get(on, engine, KEYS / 2), Buffer.from(value(KEYS / 2, 1)).toString());
  assert.equal(await get(on, engine, KEYS / 2 + 1), undefined);
  await on.loop.settle(engine.compact());
  await on.loop.settle(engine.close());
});
