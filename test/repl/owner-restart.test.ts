/**
 * An owner over the real engine on the simulated disk, with memtables so small that they are frozen all the time, through
 * clean ends, kills and power cuts: what was answered is there, versions and promises never go down, and the counts, the
 * expiry index and the lists are those of the rows that are there.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { lookup } from '../../src/engine/store.ts';
import { raiseMarks } from '../../src/repl/flush-core.ts';
import { rowType } from '../../src/repl/head.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { KeyspaceState } from '../../src/repl/keyspace.ts';
import {
  isMarkRow,
  markRowOf,
  slotOfRow,
  type OwnerAnswer,
  type OwnerRequest,
  type RowName,
} from '../../src/repl/owner-message.ts';
import { Owner } from '../../src/repl/owner.ts';
import { createFilter } from '../../src/repl/row-filter.ts';
import { rowFilterState } from '../../src/repl/row-filter-state.ts';
import { deadlineOfExpiryKey, expiryKey } from '../../src/repl/row-key.ts';
import { decodeRowState, deletedRowState, encodeRowState } from '../../src/repl/row-state.ts';
import { ANY_DATABASE } from '../../src/repl/slot-list.ts';
import { encodeMarks, EVERY_DATABASE, type DatabaseMark } from '../../src/repl/slot-marks.ts';
import { listRows } from '../../src/repl/slot-walk.ts';
import { ceilingVersion, compareVersions, maxVersion, ZERO_VERSION, type Version } from '../../src/repl/version.ts';
import { SimDisk } from '../sim/disk.ts';
import { openSimEngine } from '../sim/engine-open.ts';
import { EventLoop, type Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { askNow, ballot, benchClock, BenchView, realTimers, rowOf, stringState, threeMembers } from './owner-bench.ts';
import { silent } from '../support/silent-log.ts';

const SEEDS = Number(process.env['OWNER_SEEDS'] ?? 8);
const LIVES = 4;
const REQUESTS = 120;
const TAGS = 3;
const KEYS = 8;

interface Expected {
  version: Version;
  state: Uint8Array | undefined;
}

class Run {
  readonly #loop = new EventLoop();
  readonly #random: Prng;
  readonly #sim: SimDisk;
  readonly #view: BenchView;
  readonly #rows = new Map<RowName, Expected>();
  readonly #marks = new Map<number, DatabaseMark[]>();
  #ceiling = 0;
  #clock = 0;
  #actor = 0;

  constructor(seed: number) {
    this.#random = new Prng(seed);
    this.#sim = new SimDisk({ loop: this.#loop, random: this.#random.split('disk') });
    this.#view = new BenchView(threeMembers());
  }

  async live(number: number): Promise<void> {
    const random = this.#random.split(`life ${number}`);
    this.#loop.restart();
    const life = this.#loop.life();
    const { engine, state, owner, disk } = await this.#open(life, random);
    void disk;
    await this.#check(engine, state, owner, life);
    for (let i = 0; i < REQUESTS; i++) {
      while (engine.writeDelayMs > 0 || engine.refusal !== undefined) await this.#pass(life, 10);
      await this.#request(owner, random);
      if (random.chance(0.03)) await this.#check(engine, state, owner, life);
    }
    await this.#check(engine, state, owner, life);
    if (random.chance(0.4)) {
      await this.#loop.settle(owner.close());
      await this.#loop.settle(engine.close());
    }
    life.kill();
    if (random.chance(0.5)) this.#sim.powerCut();
  }

  async #open(life: Life, random: Prng) {
    const disk = this.#sim.mount(life);
    const state = new KeyspaceState();
    const opening = openSimEngine({
      loop: this.#loop,
      life,
      disk,
      random,
      engine: { memtableBytes: 4096, fsync: 'always' },
      hooks: state.hooks,
    });
    const engine = await this.#loop.settle(opening);
    await this.#loop.settle(state.load(engine));
    const before = this.#ceiling;
    const hlc = new Hlc({
      wallMs: () => this.#loop.clock.wallMs(),
      ceiling: this.#ceiling,
      persist: (ceiling) => {
        this.#ceiling = ceiling;
      },
      ceilingStepMs: 40,
      ceilingMarginMs: 20,
      maxAheadMs: 1_000_000,
    });
    const owner = new Owner({
      env: { timers: life, log: silent },
      store: engine,
      state,
      hlc,
      promisedBefore: ceilingVersion(before),
      view: this.#view,
    });
    this.#clock = Math.max(this.#clock, hlc.next() + 1);
    return { engine, state, owner, disk };
  }

  #pass(life: Life, ms: number): Promise<void> {
    return this.#loop.settle(new Promise<void>((resolve) => life.after(ms, resolve)));
  }

  #ask(owner: Owner, request: OwnerRequest<Uint8Array>): Promise<OwnerAnswer<Uint8Array>> {
    return this.#loop.settle(new Promise((resolve) => owner.ask(request, 1_000, resolve)));
  }

  #next(): Version {
    this.#clock += 1 + this.#random.below(5);
    return { stamp: this.#clock, actor: ++this.#actor };
  }

  #effective(row: RowName): Expected {
    const known = this.#rows.get(row) ?? { version: ZERO_VERSION, state: undefined };
    if (isMarkRow(row)) return known;
    let mark = ZERO_VERSION;
    for (const each of this.#marks.get(slotOfRow(row)) ?? []) {
      if (each.database === EVERY_DATABASE || each.database === row.charCodeAt(2)) mark = maxVersion(mark, each.mark);
    }
    if (compareVersions(known.version, mark) >= 0) return known;
    return { version: mark, state: deletedRowState(mark) };
  }

  async #request(owner: Owner, random: Prng): Promise<void> {
    if (random.chance(0.1)) this.#loop.elapse(random.below(50_000));
    const tag = `{t${random.below(TAGS)}}`;
    const dice = random.next();
    if (dice < 0.04) {
      await this.#flush(owner, random, slotOfRow(rowOf(tag)));
      return;
    }
    const row = rowOf(`${tag}${random.below(KEYS)}`, random.below(2));
    const expected = this.#effective(row);
    if (dice < 0.2) {
      const answer = await this.#ask(owner, { kind: 'prepare', row, ballot: this.#next(), have: ZERO_VERSION });
      assert.equal(answer.kind, 'promised');
      if (answer.kind === 'promised') this.#same(row, answer.version, answer.value);
    } else if (dice < 0.35) {
      const answer = await this.#ask(owner, { kind: 'read', row, digest: false });
      assert.equal(answer.kind, 'held');
      if (answer.kind === 'held') this.#same(row, answer.version, answer.value);
    } else if (dice < 0.42) {
      // Old news: whatever is held is newer.
      const old = { stamp: Math.max(1, expected.version.stamp - 1), actor: 1 };
      const answer = await this.#ask(owner, { kind: 'accept', row, ballot: old, value: undefined, next: old });
      assert.equal(answer.kind, 'conflict');
    } else {
      const version = this.#next();
      const state = this.#stateFor(version, expected, random);
      const answer = await this.#ask(owner, { kind: 'accept', row, ballot: version, value: state, next: version });
      assert.equal(answer.kind, 'accepted');
      this.#rows.set(row, { version, state });
    }
  }

  #stateFor(version: Version, before: Expected, random: Prng): Uint8Array | undefined {
    const dice = random.next();
    if (dice < 0.1) return before.state;
    if (dice < 0.35) return deletedRowState(version);
    const length = random.chance(0.15) ? 1025 + random.below(3000) : random.below(60);
    const expiresAtMs = random.chance(0.3) ? this.#loop.clock.wallMs() + 1 + random.below(400) : 0;
    return encodeRowState({ type: rowType.STRING, expiresAtMs, modified: version, value: Buffer.alloc(length, 'v') });
  }

  async #flush(owner: Owner, random: Prng, slot: number): Promise<void> {
    const row = markRowOf(slot);
    const version = this.#next();
    const answer = await this.#ask(owner, { kind: 'prepare', row, ballot: version, have: ZERO_VERSION });
    assert.equal(answer.kind, 'promised');
    if (random.chance(0.2)) return;
    const database = random.chance(0.5) ? EVERY_DATABASE : random.below(2);
    const known = this.#marks.get(slot) ?? [];
    const marks = [...known.filter((each) => each.database !== database), { database, mark: version }];
    const value = encodeMarks(marks);
    const state = encodeRowState({ type: rowType.STRING, expiresAtMs: 0, modified: version, value });
    const accepted = await this.#ask(owner, { kind: 'accept', row, ballot: version, value: state, next: version });
    assert.equal(accepted.kind, 'accepted');
    this.#rows.set(row, { version, state });
    this.#marks.set(slot, marks);
  }

  #same(row: RowName, version: Version, state: Uint8Array | undefined): void {
    const expected = this.#effective(row);
    assert.deepEqual(version, expected.version);
    assert.deepEqual(
      state === undefined ? undefined : Buffer.from(state),
      expected.state && Buffer.from(expected.state),
    );
  }

  async #check(engine: Engine, state: KeyspaceState, owner: Owner, life: Life): Promise<void> {
    let live = 0;
    const deadlines = new Map<RowName, number>();
    const names: RowName[] = [];
    for (const row of this.#rows.keys()) {
      const answer = await this.#ask(owner, { kind: 'read', row, digest: false });
      assert.equal(answer.kind, 'held');
      if (answer.kind === 'held') this.#same(row, answer.version, answer.value);
      const { state: bytes } = this.#effective(row);
      const isFlushed = this.#effective(row).version !== this.#rows.get(row)?.version;
      if (!isFlushed) names.push(row);
      if (bytes === undefined || isMarkRow(row)) continue;
      const told = decodeRowState(bytes);
      if (told.type === rowType.DELETED) continue;
      live++;
      if (told.expiresAtMs !== 0) deadlines.set(row, told.expiresAtMs);
    }
    assert.equal(state.counts.total(0) + state.counts.total(1), live);
    const list = await this.#loop.settle(
      listRows(
        { store: engine, state, timers: life },
        { slots: [{ from: 0, end: 16_384 }], database: ANY_DATABASE, deleted: true, limit: 4_096, after: undefined },
      ),
    );
    assert.deepEqual(
      list.rows.map((row) => row.name),
      names.sort(),
    );
    for (const { name, version } of list.rows) assert.deepEqual(version, this.#rows.get(name)?.version);
    await this.#checkIndex(engine, deadlines);
  }

  async #checkIndex(engine: Engine, deadlines: Map<RowName, number>): Promise<void> {
    const nothing = new Uint8Array(0);
    const cursor = engine.cursor({ lower: expiryKey(0, nothing), upper: expiryKey(2 ** 50, nothing) });
    const indexed = new Set<string>();
    for (let step = cursor.next(); step !== lookup.ABSENT; step = cursor.next()) {
      if (step === lookup.MISS) await this.#loop.settle(cursor.load());
      else indexed.add(`${Buffer.from(cursor.key.subarray(10)).toString('latin1')} ${deadlineOfExpiryKey(cursor.key)}`);
    }
    cursor.close();
    for (const [row, deadline] of deadlines) assert.ok(indexed.has(`${row} ${deadline}`));
  }
}

for (let seed = 1; seed <= SEEDS; seed++) {
  void test(`an owner's rows survive every kind of end, seed ${seed}`, async () => {
    const run = new Run(seed);
    for (let life = 0; life < LIVES; life++) await run.live(life);
  });
}

void test('slots that were flushed in a row lose their rows at once, and nothing else', async () => {
  const store = new MemoryStore();
  const state = new KeyspaceState();
  const due: (() => void)[] = [];
  const timers = {
    ...realTimers,
    after: (_delayMs: number, run: () => void) => {
      due.push(run);
      return { cancel: () => due.splice(0) };
    },
  };
  const view = new BenchView(threeMembers());
  const owner = new Owner({
    env: { timers, log: silent },
    store,
    state,
    hlc: benchClock(),
    promisedBefore: ZERO_VERSION,
    view,
  });
  const accept = (row: RowName, version: Version, value: Uint8Array): void => {
    assert.equal(askNow(owner, { kind: 'accept', row, ballot: version, value, next: version }).kind, 'accepted');
  };
  for (let i = 0; i < 3_000; i++) accept(rowOf(`key:${i}`), ballot(i), stringState('v'.repeat(1_500), ballot(i)));
  const slots = Array.from({ length: 1_000 }, (_, slot) => slot);
  const inside = [...Array(3_000).keys()].filter((i) => slotOfRow(rowOf(`key:${i}`)) < 1_000).length;
  for (const slot of slots)
    accept(markRowOf(slot), ballot(5_000), raiseMarks(undefined, EVERY_DATABASE, ballot(5_000)));
  // One slot among them is written again before the space is given back.
  const written = [...Array(3_000).keys()].map((i) => rowOf(`key:${i}`)).find((row) => slotOfRow(row) < 1_000) ?? '';
  accept(written, ballot(6_000), stringState('w', ballot(6_000)));
  const before = store.size;
  for (const run of due.splice(0)) run();
  assert.ok(before - store.size >= 2 * (inside - 5), `${before} ${store.size} ${inside}`);
  assert.deepEqual(owner.held(written)?.version, ballot(6_000));
  for (let i = 0; i < 3_000; i++) {
    const row = rowOf(`key:${i}`);
    if (row === written) continue;
    const flushed = slotOfRow(row) < 1_000;
    assert.deepEqual(owner.held(row)?.version, flushed ? ballot(5_000) : ballot(i));
  }
  assert.deepEqual(owner.held(markRowOf(7))?.version, ballot(5_000));
  await owner.close();
});

void test('compaction drops what its slot’s mark covers, and nothing dead in a shared cluster', () => {
  const state = new KeyspaceState();
  const shared = createFilter(rowFilterState(state, true));
  const alone = createFilter(rowFilterState(state, false));
  const key = Buffer.from(rowOf('a'), 'latin1');
  const head = Buffer.alloc(15);
  head[0] = 1;
  head.writeBigUInt64BE(50n, 3);
  assert.equal(shared(key, head, true), 'keep');
  assert.equal(alone(key, head, true), 'drop');
  for (const [database, fate] of [
    [EVERY_DATABASE, 'drop'],
    [0, 'drop'],
    [1, 'keep'],
  ] as const) {
    const slotMarks = new Map([[database, new Float64Array(16_384).fill(51)]]);
    assert.equal(createFilter({ ...rowFilterState(state, true), slotMarks })(key, head, false), fate);
  }
});
