/** FLUSHDB and compaction: what compaction drops must not come before the flush itself is durable. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { lookup } from '../../src/engine/store.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { SimDisk } from '../sim/disk.ts';
import { openSimEngine } from '../sim/engine-open.ts';
import { EventLoop, type Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';

const SEEDS = 10;
/** Tables of level 0 at which it is compacted. */
const TABLES = 4;
const ROWS = 20;
const ROW_THREAD = import.meta.url.replace(/test\/repl\/.*(\.\w+)$/, 'src/repl/row-thread$1');

async function open(
  loop: EventLoop,
  sim: SimDisk,
  random: Prng,
): Promise<{ life: Life; engine: Engine; keyspace: Keyspace }> {
  loop.restart();
  const life = loop.life();
  const disk = sim.mount(life);
  const state = new KeyspaceState();
  const opening = openSimEngine({
    loop,
    life,
    disk,
    random,
    engine: { memtableBytes: 1 << 20, diskReserveBytes: 0, fsync: 'no' },
    hooks: state.hooks,
    rules: {
      moduleUrl: ROW_THREAD,
      filterState: () => ({ flushMarks: state.durableFlushMarks(), floor: Number.MAX_SAFE_INTEGER }),
    },
  });
  const engine = await loop.settle(opening);
  await loop.settle(state.load(engine));
  const hlc = new Hlc({ wallMs: () => loop.clock.wallMs(), ceiling: 0, persist: () => undefined });
  return { life, engine, keyspace: new Keyspace({ store: engine, state, hlc, actor: 1 }) };
}

function writeRows(keyspace: Keyspace, database: number, from: number): void {
  const view = keyspace.newView();
  view.begin(database, 1);
  for (let i = from; i < from + ROWS; i++) view.setString(view.row(Buffer.from(`key:${i}`)), Buffer.from('value'), 0);
  keyspace.commit(view);
}

async function rowsOf(loop: EventLoop, keyspace: Keyspace): Promise<number> {
  const view = keyspace.newView();
  view.begin(0, 1);
  const scan = view.scan();
  let rows = 0;
  for (let step = scan.next(); step !== lookup.ABSENT; step = scan.next()) {
    if (step === lookup.MISS) await loop.settle(scan.load());
    else rows++;
  }
  scan.close();
  return rows;
}

async function compacted(loop: EventLoop, engine: Engine, life: Life): Promise<void> {
  while (engine.metrics()['compactions'] === 0) {
    await loop.settle(new Promise<void>((resolve) => life.after(10, resolve)));
  }
}

/** Once a flush is durable its rows do go. */
async function assertSpaceComesBack(loop: EventLoop, engine: Engine, keyspace: Keyspace): Promise<void> {
  const before = Number(engine.metrics()['tables_bytes']);
  const view = keyspace.newView();
  view.begin(0, 1);
  view.flush(0);
  keyspace.commit(view);
  await loop.settle(engine.flush());
  await loop.settle(engine.compact());
  assert.ok(Number(engine.metrics()['tables_bytes']) < before);
}

test('rows that a flush has killed stay on the disk until the flush itself is durable', async () => {
  let lost = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const loop = new EventLoop();
    const random = new Prng(seed);
    const sim = new SimDisk({ loop, random: random.split('disk') });
    const { life, engine, keyspace } = await open(loop, sim, random);
    writeRows(keyspace, 1, 0);
    for (let i = 0; i < TABLES; i++) {
      writeRows(keyspace, 0, i * ROWS);
      const flushing = engine.flush();
      if (i === TABLES - 1) {
        const view = keyspace.newView();
        view.begin(0, 1);
        view.flush(0);
        keyspace.commit(view);
      }
      await loop.settle(flushing);
    }
    await compacted(loop, engine, life);
    life.kill();
    sim.powerCut();
    const again = await open(loop, sim, random);
    const rows = await rowsOf(loop, again.keyspace);
    assert.equal(again.keyspace.size(0), rows, `seed ${seed}: the count is that of the rows`);
    assert.ok(rows === 0 || rows === TABLES * ROWS, `seed ${seed}: ${rows} rows are left`);
    if (rows > 0) {
      lost++;
      await assertSpaceComesBack(loop, again.engine, again.keyspace);
    }
    again.life.kill();
  }
  assert.ok(lost > 0, 'the power cut took a flush at least once');
});
