/**
 * A keyspace over the real engine on the simulated disk, with memtables so small that they are frozen all the time and
 * compactions that drop what the rule for rows lets go, through clean ends, kills and power cuts: the rows are those of a
 * plain map, and the counts are exact. Under `everysec` a power cut may take the last commands, whole and from the end.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Engine } from '../../src/engine/engine.ts';
import { lookup } from '../../src/engine/store.ts';
import type { FsyncPolicy } from '../../src/engine/store.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import type { View } from '../../src/repl/view.ts';
import { Miss } from '../../src/repl/miss.ts';
import { SimDisk } from '../sim/disk.ts';
import { openSimEngine } from '../sim/engine-open.ts';
import { EventLoop, Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';

/** For each policy; a seed takes some 0.2 s. */
const SEEDS = Number(process.env['KVORUM_SIM_SEEDS'] ?? 12);
const LIVES = 5;
const COMMANDS = 150;
const KEYS = 30;
const DATABASES = 3;

/** The module that flushes and compacts, as the node has it. */
const ROW_THREAD = new URL('../../src/repl/row-thread.js', import.meta.url).href;

/** What a power cut under `everysec` may cost at most, in virtual time: a second of writes and the sync that is under way. */
const EVERYSEC_LOSS_MS = 3_000;

interface ExpectedRow {
  readonly value: string;
  readonly expiresAtMs: number;
}

/** Rows by name, for each database. */
type Expected = Map<string, ExpectedRow>[];

/** What was expected after a command, and when. */
interface Moment {
  readonly atMs: number;
  readonly expected: Expected;
}

class Run {
  readonly #loop = new EventLoop();
  readonly #random: Prng;
  readonly #sim: SimDisk;
  readonly #policy: FsyncPolicy;
  #expected: Expected = Array.from({ length: DATABASES }, () => new Map());
  /** The states that the last power cut may have led back to, oldest first; empty: the last one only. */
  #past: Moment[] = [];
  #ceiling = 0;
  compactions = 0;
  /** Power cuts that cost something. */
  losses = 0;

  constructor(seed: number, policy: FsyncPolicy) {
    this.#random = new Prng(seed);
    this.#policy = policy;
    this.#sim = new SimDisk({ loop: this.#loop, random: this.#random.split('disk') });
  }

  async live(number: number): Promise<void> {
    const random = this.#random.split(`life ${number}`);
    this.#loop.restart();
    const life = this.#loop.life();
    const { engine, keyspace } = await this.#open(life, random);
    await this.#keepUp(engine, life);
    await this.#goBack(keyspace);
    await this.#check(keyspace);
    this.#note();
    for (let i = 0; i < COMMANDS; i++) {
      await this.#keepUp(engine, life);
      await this.#command(keyspace, random);
      this.#note();
      if (random.chance(0.02)) {
        await this.#keepUp(engine, life);
        await this.#check(keyspace);
      }
    }
    await this.#keepUp(engine, life);
    await this.#check(keyspace);
    this.compactions += engine.metrics()['compactions'] ?? 0;
    let isSafe = this.#policy === 'always';
    if (random.chance(0.4)) {
      await this.#loop.settle(engine.close());
      isSafe = true;
    } else await this.#loop.settle(untilDurable(engine));
    life.kill();
    const isCut = random.chance(0.5);
    if (isCut) this.#sim.powerCut();
    else this.#sim.kill();
    const nowMs = this.#loop.clock.wallMs();
    const safe = this.#past.findLastIndex((moment) => moment.atMs <= nowMs - EVERYSEC_LOSS_MS);
    this.#past = isSafe || !isCut ? [] : this.#past.slice(Math.max(0, safe));
  }

  /** Takes note of what is expected now. */
  #note(): void {
    if (this.#policy === 'always') return;
    this.#past.push({ atMs: this.#loop.clock.wallMs(), expected: this.#expected.map((rows) => new Map(rows)) });
  }

  /** After a power cut under `everysec`: what is there must be what was expected at some moment, not too long ago. */
  async #goBack(keyspace: Keyspace): Promise<void> {
    const past = this.#past;
    this.#past = [];
    if (past.length === 0) return;
    const now = this.#loop.clock.wallMs();
    while (await this.#loop.settle(keyspace.sweepExpired(now)));
    const found: [string, string][][] = [];
    for (let database = 0; database < DATABASES; database++) found.push(await this.#rowsOf(keyspace, database, now));
    for (const moment of past.toReversed()) {
      for (const rows of moment.expected) dropExpired(rows, now);
      if (!isDeepStrictEqual(found, moment.expected.map(sortedRows))) continue;
      if (moment !== past.at(-1)) this.losses++;
      this.#expected = moment.expected;
      return;
    }
    assert.fail(`what is there was never so: ${JSON.stringify(found)}`);
  }

  async #open(life: Life, random: Prng): Promise<{ engine: Engine; keyspace: Keyspace }> {
    const disk = this.#sim.mount(life);
    const state = new KeyspaceState();
    const opening = openSimEngine({
      loop: this.#loop,
      life,
      disk,
      random,
      engine: { memtableBytes: 4096, fsync: this.#policy },
      hooks: state.hooks,
      rules: {
        moduleUrl: ROW_THREAD,
        filterState: () => ({ flushMarks: state.durableFlushMarks(), floor: Number.MAX_SAFE_INTEGER }),
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
      const length = random.chance(0.1) ? 1025 + random.below(3000) : random.below(60);
      const expiresAtMs = random.chance(0.3) ? this.#loop.clock.wallMs() + 1 + random.below(400) : 0;
      // Written again in its turn, the head takes its own place in the log.
      for (const letter of random.chance(0.3) ? 'uvw' : 'v') {
        const value = letter.repeat(length);
        await this.#inView(keyspace, database, (view) => {
          view.showsBytes = false;
          view.setString(view.row(Buffer.from(name)), Buffer.from(value), expiresAtMs);
        });
        rows.set(name, { value, expiresAtMs });
        if (letter !== 'w') this.#note();
      }
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
      dropExpired(rows, now);
      assert.deepEqual(await this.#rowsOf(keyspace, database, now), sortedRows(rows));
      assert.equal(keyspace.size(keyspace.physicalDatabase(database)), rows.size, `rows of database ${database}`);
    }
  }

  /** Names and values of a database, by name; deadlines stand behind the values. */
  async #rowsOf(keyspace: Keyspace, database: number, now: number): Promise<[string, string][]> {
    const names: string[] = [];
    const view = keyspace.newView();
    view.begin(database, now);
    const scan = view.scan();
    for (let step = scan.next(); step !== lookup.ABSENT; step = scan.next()) {
      if (step === lookup.MISS) await this.#loop.settle(scan.load());
      else names.push(Buffer.from(scan.key).toString());
    }
    scan.close();
    const found: [string, string][] = [];
    for (const name of names.sort()) {
      let text = '';
      await this.#inView(
        keyspace,
        database,
        (again) => {
          const row = again.row(Buffer.from(name));
          assert.ok(row.live);
          text = `${Buffer.from(again.string(row)).toString()} until ${row.expiresAtMs}`;
        },
        now,
      );
      found.push([name, text]);
    }
    return found;
  }
}

function dropExpired(rows: Map<string, ExpectedRow>, now: number): void {
  for (const [name, row] of rows) if (row.expiresAtMs !== 0 && row.expiresAtMs <= now) rows.delete(name);
}

function sortedRows(rows: ReadonlyMap<string, ExpectedRow>): [string, string][] {
  return [...rows].map(([name, row]): [string, string] => [name, `${row.value} until ${row.expiresAtMs}`]).sort();
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

for (const policy of ['always', 'everysec'] as const) {
  test(`rows and counts survive every kind of end, ${policy}, seeds 1 to ${SEEDS}`, async () => {
    let compactions = 0;
    let losses = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const run = new Run(seed, policy);
      try {
        for (let life = 0; life < LIVES; life++) await run.live(life);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
      compactions += run.compactions;
      losses += run.losses;
    }
    assert.ok(compactions > SEEDS, `${compactions} compactions`);
    assert.ok(policy === 'always' ? losses === 0 : losses > SEEDS / 10, `${losses} power cuts cost something`);
  });
}
