/** After a repair that has lost records, counts and walks are right again, whatever was lost. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { FileManifest } from '../../src/engine/manifest-file.ts';
import { lookup } from '../../src/engine/store.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { RECOUNT, recountRows } from '../../src/repl/recount.ts';
import { Miss } from '../../src/repl/miss.ts';
import type { View } from '../../src/repl/view.ts';
import { noProgress } from '../../src/tools/progress.ts';
import { repair } from '../../src/tools/repair.ts';
import { SimDisk } from '../sim/disk.ts';
import { openSimEngine } from '../sim/engine-open.ts';
import { EventLoop } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';

const DIRECTORY = '/data';
const ROWS = 300;
const SEEDS = 12;

class Machine {
  readonly loop = new EventLoop();
  readonly random: Prng;
  readonly sim: SimDisk;
  engine!: Engine;
  keyspace!: Keyspace;
  #life = this.loop.life();
  #ceiling = 0;

  constructor(seed: number) {
    this.random = new Prng(seed);
    this.sim = new SimDisk({ loop: this.loop, random: this.random.split('disk') });
  }

  /** As the node does it; true: the rows were counted anew. */
  async open(): Promise<boolean> {
    this.#life = this.loop.life();
    const life = this.#life;
    const disk = this.sim.mount(life);
    const state = new KeyspaceState();
    this.engine = await this.loop.settle(
      openSimEngine({
        loop: this.loop,
        life,
        disk,
        random: this.random,
        engine: { memtableBytes: 8192, fsync: 'no', diskReserveBytes: 0 },
        hooks: state.hooks,
      }),
    );
    const isMarked = (this.engine.getValue(RECOUNT)?.length ?? 0) > 0;
    await this.loop.settle(state.load(this.engine, !isMarked));
    const wallMs = (): number => this.loop.clock.wallMs();
    const persist = (ceiling: number): void => {
      this.#ceiling = ceiling;
    };
    const hlc = new Hlc({ wallMs, ceiling: this.#ceiling, persist });
    this.keyspace = new Keyspace({ store: this.engine, state, hlc, actor: 1 });
    if (!isMarked) return false;
    const { isDurable } = await this.loop.settle(recountRows(this.engine, state, this.keyspace));
    assert.ok(isDurable);
    await this.loop.settle(this.engine.setValue(RECOUNT, new Uint8Array(0)));
    return true;
  }

  async close(): Promise<void> {
    await this.loop.settle(this.engine.close());
    this.#life.kill();
  }

  async run<T>(body: (view: View) => T): Promise<T> {
    const view = this.keyspace.newView();
    for (;;) {
      view.begin(0, this.loop.clock.wallMs());
      try {
        const result = body(view);
        this.keyspace.commit(view);
        return result;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        await this.loop.settle(thrown.load());
      }
    }
  }

  async repair(): Promise<string> {
    const life = this.loop.life();
    const disk = this.sim.mount(life);
    const lines: string[] = [];
    const parts = {
      disk,
      openManifest: (directory: string) => FileManifest.open(disk, directory),
      print: (line: string) => void lines.push(line),
      progress: noProgress,
    };
    assert.equal(await this.loop.settle(repair(parts, DIRECTORY, { nowMs: this.loop.clock.wallMs() })), 0);
    life.kill();
    return lines.join('\n');
  }

  /** Rows that a walk meets. */
  async names(): Promise<string[]> {
    const view = this.keyspace.newView();
    view.begin(0, this.loop.clock.wallMs());
    const scan = view.scan();
    const names: string[] = [];
    for (let step = scan.next(); step !== lookup.ABSENT; step = scan.next()) {
      if (step === lookup.MISS) await this.loop.settle(scan.load());
      else names.push(Buffer.from(scan.key).toString());
    }
    scan.close();
    return names;
  }
}

/** Rows of all kinds, rewritten and deleted, in several levels. */
async function fill(on: Machine): Promise<void> {
  await on.open();
  for (let i = 0; i < 3 * ROWS; i++) {
    while (on.engine.writeDelayMs > 0 || on.engine.refusal !== undefined) await on.loop.advance(10);
    const name = Buffer.from(`row:${i % ROWS}`);
    const length = i % 7 === 0 ? 1500 : 40;
    const deadline = i % 5 === 0 ? on.loop.clock.wallMs() + 1_000_000 : 0;
    await on.run((view) => {
      if (i % 11 === 0) view.remove(view.row(name));
      else view.setString(view.row(name), Buffer.alloc(length, i), deadline);
    });
    if (i % 20 === 0) await on.loop.advance(2);
  }
  await on.loop.settle(on.engine.flush());
  await on.loop.advance(1_000);
  await on.close();
}

test('whatever table or WAL is damaged: after repair counts equal walks, every row can be written, a restart agrees', async () => {
  let recounts = 0;
  let lostValues = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const on = new Machine(seed);
    await fill(on);
    const tables = on.sim.paths.filter((path) => /^\/data\/\d+\.sst$/.test(path));
    for (let flips = on.random.between(1, 6); flips > 0; flips--) {
      const path = on.random.pick(tables);
      on.sim.corrupt(path, on.random.below(on.sim.contentOf(path).length), 1);
    }
    const text = await on.repair();
    const didRecount = await on.open();
    assert.equal(didRecount, /^lost:/m.test(text), text);
    if (didRecount) recounts++;
    const names = await on.names();
    assert.equal(names.length, on.keyspace.size(0), `seed ${seed}: ${text}`);
    const unreadable: string[] = [];
    for (const name of names) {
      try {
        await on.run((view) => view.string(view.row(Buffer.from(name))));
      } catch (error) {
        assert.ok(error instanceof EngineError && /was lost/.test(error.message), String(error));
        unreadable.push(name);
      }
    }
    lostValues += unreadable.length;
    for (const name of unreadable) {
      await on.run((view) => view.setString(view.row(Buffer.from(name)), Buffer.from('again'), 0));
      assert.equal(await on.run((view) => Buffer.from(view.string(view.row(Buffer.from(name)))).toString()), 'again');
    }
    await on.close();
    assert.equal(await on.open(), false, 'one recount is enough');
    assert.equal(on.keyspace.size(0), names.length);
    for (const name of names) await on.run((view) => void view.remove(view.row(Buffer.from(name))));
    assert.equal(on.keyspace.size(0), 0);
    await on.close();
    await on.open();
    assert.equal(on.keyspace.size(0), 0);
    assert.deepEqual(await on.names(), []);
    await on.close();
  }
  assert.ok(recounts > SEEDS / 2 && lostValues > 0, `${recounts} recounts, ${lostValues} lost values`);
});

test('rows whose entry in the expiry index was lost are swept after a recount', async () => {
  const on = new Machine(99);
  await fill(on);
  const tables = on.sim.paths.filter((path) => /^\/data\/\d+\.sst$/.test(path));
  // The index stands behind all rows: its blocks are the last of each table.
  for (const path of tables) {
    const content = Buffer.from(on.sim.contentOf(path));
    const at = content.indexOf(Buffer.from([0x40, 0x00]));
    if (at > 0) on.sim.corrupt(path, at, 0x80);
  }
  const text = await on.repair();
  assert.match(text, /^lost:/m);
  await on.open();
  const now = on.loop.clock.wallMs() + 2_000_000;
  while (await on.loop.settle(on.keyspace.sweepExpired(now)));
  const view = on.keyspace.newView();
  view.begin(0, on.loop.clock.wallMs());
  for (const name of await on.names()) {
    const expiresAtMs = await on.run((again) => again.row(Buffer.from(name)).expiresAtMs);
    assert.equal(expiresAtMs, 0, `${name} has a deadline that has passed`);
  }
  await on.close();
});
