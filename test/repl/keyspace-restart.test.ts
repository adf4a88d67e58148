/**
 * A keyspace over the real engine on the simulated disk, with memtables so small that they are frozen all the time,
 * through clean ends, kills and power cuts: the rows are those of a plain map, and the counts are exact.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '../../src/engine/engine.ts';
import { lookup } from '../../src/engine/store.ts';
import type { Log } from '../../src/env.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import type { View } from '../../src/repl/view.ts';
import { Miss } from '../../src/repl/view.ts';
import { SimDisk } from '../sim/disk.ts';
import { EventLoop, Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { SimThreads } from '../sim/threads.ts';

const SEEDS = 40;
const LIVES = 5;
const COMMANDS = 150;
const KEYS = 30;
const DATABASES = 3;

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

type Expected = Map<string, { readonly value: string; readonly expiresAtMs: number }>[];

class Run {
  readonly #loop = new EventLoop();
  readonly #random: Prng;
  readonly #sim: SimDisk;
  readonly #expected: Expected = Array.from({ length: DATABASES }, () => new Map());
  #ceiling = 0;

  constructor(seed: number) {
    this.#random = new Prng(seed);
    this.#sim = new SimDisk({ loop: this.#loop, random: this.#random.split('disk') });
  }

  async live(number: number): Promise<void> {
    const random = this.#random.split(`life ${number}`);
    this.#loop.restart();
    const life = this.#loop.life();
    const { engine, keyspace } = await this.#open(life, random);
    await this.#keepUp(engine, life);
    await this.#check(keyspace);
    for (let i = 0; i < COMMANDS; i++) {
      await this.#keepUp(engine, life);
      await this.#command(keyspace, random);
      if (random.chance(0.02)) {
        await this.#keepUp(engine, life);
        await this.#check(keyspace);
      }
    }
    await this.#keepUp(engine, life);
    await this.#check(keyspace);
    if (random.chance(0.4)) await this.#loop.settle(engine.close());
    else await this.#loop.settle(untilDurable(engine));
    life.kill();
    if (random.chance(0.5)) this.#sim.powerCut();
  }

  async #open(life: Life, random: Prng): Promise<{ engine: Engine; keyspace: Keyspace }> {
    const disk = this.#sim.mount(life);
    const state = new KeyspaceState();
    const opening = Engine.open({
      disk,
      threads: new SimThreads({ loop: this.#loop, life, disk, random: random.split('threads') }),
      clock: this.#loop.clock,
      timers: life,
      random: random.split('engine'),
      log: silent,
      directory: '/data',
      options: { memtableBytes: 4096, fsync: 'always' },
      hooks: state.hooks,
      onFatal: (error) => {
        throw error;
      },
    });
    const engine = await this.#loop.settle(opening);
    await this.#loop.settle(state.load(engine));
    const hlc = new Hlc({
      wallMs: () => this.#loop.clock.wallMs(),
      ceiling: this.#ceiling,
      persist: (ceiling) => {
        this.#ceiling = ceiling;
      },
    });
    return { engine, keyspace: new Keyspace({ store: engine, state, hlc, actor: 1 }) };
  }

  /** Waits as a client would while flush and compaction are behind. */
  async #keepUp(engine: Engine, life: Life): Promise<void> {
    while (engine.writeDelayMs > 0 || engine.refusal !== undefined) {
      await this.#loop.settle(new Promise<void>((resolve) => life.after(10, resolve)));
    }
  }

  async #command(keyspace: Keyspace, random: Prng): Promise<void> {
    const database = random.below(DATABASES);
    const rows = this.#expected[database] as Expected[number];
    const name = `key:${random.below(KEYS)}`;
    const dice = random.next();
    if (dice < 0.55) {
      const value = 'v'.repeat(random.chance(0.1) ? 1025 + random.below(3000) : random.below(60));
      const expiresAtMs = random.chance(0.3) ? this.#loop.clock.wallMs() + 1 + random.below(400) : 0;
      await this.#inView(keyspace, database, (view) =>
        view.setString(view.row(Buffer.from(name)), Buffer.from(value), expiresAtMs),
      );
      rows.set(name, { value, expiresAtMs });
    } else if (dice < 0.8) {
      await this.#inView(keyspace, database, (view) => view.remove(view.row(Buffer.from(name))));
      rows.delete(name);
    } else if (dice < 0.83) {
      await this.#inView(keyspace, database, (view) => view.flush(database));
      rows.clear();
    } else if (dice < 0.95) {
      this.#loop.elapse(random.below(100_000));
    } else {
      await this.#loop.settle(keyspace.sweepExpired(this.#loop.clock.wallMs()));
    }
  }

  async #inView(keyspace: Keyspace, database: number, run: (view: View) => void, nowMs?: number): Promise<void> {
    const view = keyspace.newView();
    for (;;) {
      view.begin(database, nowMs ?? this.#loop.clock.wallMs());
      try {
        run(view);
        keyspace.commit(view);
        return;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        await this.#loop.settle(thrown.load());
      }
    }
  }

  /** After a sweep nothing expired is left, so the counts are those of the map and of a walk. */
  async #check(keyspace: Keyspace): Promise<void> {
    const now = this.#loop.clock.wallMs();
    while (await this.#loop.settle(keyspace.sweepExpired(now)));
    for (const [database, rows] of this.#expected.entries()) {
      for (const [name, row] of rows) if (row.expiresAtMs !== 0 && row.expiresAtMs <= now) rows.delete(name);
      const found = new Map<string, string>();
      const view = keyspace.newView();
      view.begin(database, now);
      const scan = view.scan();
      for (let step = scan.next(); step !== lookup.ABSENT; step = scan.next()) {
        if (step === lookup.MISS) await this.#loop.settle(scan.load());
        else found.set(Buffer.from(scan.key).toString(), '');
      }
      scan.close();
      for (const name of found.keys()) {
        await this.#inView(
          keyspace,
          database,
          (again) => {
            const row = again.row(Buffer.from(name));
            assert.ok(row.live);
            assert.equal(row.expiresAtMs, rows.get(name)?.expiresAtMs);
            found.set(name, Buffer.from(again.string(row)).toString());
          },
          now,
        );
      }
      assert.deepEqual([...found].sort(), [...rows].map(([name, row]) => [name, row.value]).sort());
      assert.equal(keyspace.size(keyspace.physicalDatabase(database)), rows.size, `rows of database ${database}`);
    }
  }
}

async function untilDurable(engine: Engine): Promise<void> {
  if (engine.durableSequence >= engine.lastSequence) return;
  await new Promise<void>((resolve) => {
    const stop = engine.onDurable(() => {
      if (engine.durableSequence < engine.lastSequence) return;
      stop();
      resolve();
    });
  });
}

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`rows and counts survive every kind of end, seed ${seed}`, async () => {
    const run = new Run(seed);
    for (let life = 0; life < LIVES; life++) await run.live(life);
  });
}
