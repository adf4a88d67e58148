/** A disk that is full takes deletions all the same, and FLUSHALL brings its space back. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { Miss } from '../../src/repl/miss.ts';
import type { View } from '../../src/repl/view.ts';
import { SimDisk } from '../sim/disk.ts';
import { openSimEngine } from '../sim/engine-open.ts';
import { EventLoop } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';

const MEMTABLE_BYTES = 16_384;
const RESERVE_BYTES = 3 * MEMTABLE_BYTES;

class FullDisk {
  readonly loop = new EventLoop();
  readonly sim = new SimDisk({ loop: this.loop, random: new Prng(1) });
  engine!: Engine;
  keyspace!: Keyspace;

  async open(): Promise<void> {
    const life = this.loop.life();
    const disk = this.sim.mount(life);
    const random = new Prng(2);
    const state = new KeyspaceState();
    const opening = openSimEngine({
      loop: this.loop,
      life,
      disk,
      random,
      engine: { memtableBytes: MEMTABLE_BYTES, diskReserveBytes: RESERVE_BYTES, fsync: 'no' },
      hooks: state.hooks,
    });
    this.engine = await this.loop.settle(opening);
    await this.loop.settle(state.load(this.engine));
    const hlc = new Hlc({ wallMs: () => this.loop.clock.wallMs(), ceiling: 0, persist: () => undefined });
    this.keyspace = new Keyspace({ store: this.engine, state, hlc, actor: 1 });
  }

  async run(body: (view: View) => void): Promise<void> {
    const view = this.keyspace.newView();
    for (;;) {
      view.begin(0, this.loop.clock.wallMs());
      try {
        body(view);
        this.keyspace.commit(view);
        return;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        await this.loop.settle(thrown.load());
      }
    }
  }

  set(name: string): Promise<void> {
    return this.run((view) => view.setString(view.row(Buffer.from(name)), Buffer.alloc(500, 7), 0));
  }

  delete(name: string): Promise<void> {
    return this.run((view) => void view.remove(view.row(Buffer.from(name))));
  }

  /** Writes until a little more than the reserve is left, then somebody else takes that. */
  async fill(): Promise<number> {
    await this.open();
    let rows = 0;
    for (; rows < 600; rows++) {
      while (this.engine.writeDelayMs > 0 || this.engine.refusal !== undefined) await this.loop.advance(10);
      await this.set(`key:${rows}`);
      if (rows % 10 === 0) await this.loop.advance(5);
    }
    await this.loop.settle(this.engine.flush());
    await this.loop.advance(2_000);
    this.sim.capacityBytes = this.sim.usedBytes + RESERVE_BYTES - 1;
    await this.loop.advance(2_000);
    assert.equal(this.engine.refusal?.code, 'disk-full');
    return rows;
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof EngineError && error.code === 'refused' && /full/.test(error.message);
}

test('on a full disk writes are refused, deletions are taken up to a share of the reserve', async () => {
  const on = new FullDisk();
  const rows = await on.fill();
  await assert.rejects(on.set('another'), isRefused);
  await assert.rejects(
    on.run((view) => {
      view.remove(view.row(Buffer.from('key:0')));
      view.setString(view.row(Buffer.from('key:1')), Buffer.from('x'), 0);
    }),
    isRefused,
  );
  let deleted = 0;
  await assert.rejects(async () => {
    for (; deleted < rows; deleted++) await on.delete(`key:${deleted}`);
  }, isRefused);
  assert.ok(deleted > 20 && deleted < rows, `${deleted} deletions`);
  assert.equal(on.keyspace.size(0), rows - deleted);
  // With space the whole share is there again.
  on.sim.capacityBytes = Number.POSITIVE_INFINITY;
  await on.loop.advance(2_000);
  await on.set('another');
  await on.loop.settle(on.engine.close());
});

test('FLUSHALL on a full disk gives its space back without anybody’s help', async () => {
  const on = new FullDisk();
  await on.fill();
  const before = on.sim.usedBytes;
  await on.run((view) => view.flush(0));
  assert.equal(on.keyspace.size(0), 0);
  await on.loop.advance(20_000);
  assert.equal(on.engine.refusal, undefined, `${before} bytes, then ${on.sim.usedBytes}`);
  assert.ok(on.sim.usedBytes < before - 300_000, `${before} bytes, then ${on.sim.usedBytes}`);
  await on.set('another');
  assert.equal(on.keyspace.size(0), 1);
  await on.loop.settle(on.engine.close());
});
