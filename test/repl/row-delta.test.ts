/** Large collections in a cluster: told against a version they are the same states as whole, at every owner. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Found, lookup, type Store } from '../../src/engine/store.ts';
import { EMPTY } from '../../src/bytes.ts';
import type { RowTask } from '../../src/repl/coordinator.ts';
import { CellElements, cellKey } from '../../src/repl/element-cells.ts';
import { ELEMENT, type Elements } from '../../src/repl/elements.ts';
import { GivenRows, stateAfter } from '../../src/repl/given-rows.ts';
import { Head, headFlag, readHead, rowType } from '../../src/repl/head.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import type { Topology } from '../../src/cluster/topology.ts';
import type { Owner } from '../../src/repl/owner.ts';
import { Ledger } from '../../src/repl/ledger.ts';
import { type Level, levelNamed } from '../../src/repl/level.ts';
import { LevelRun } from '../../src/repl/level-run.ts';
import { markRowOf, slotOfRow } from '../../src/repl/owner-message.ts';
import { createFilter } from '../../src/repl/row-filter.ts';
import { rowFilterState } from '../../src/repl/row-filter-state.ts';
import { Miss } from '../../src/repl/miss.ts';
import { wholeLength } from '../../src/repl/row-delta.ts';
import { applyRowOp } from '../../src/repl/row-op.ts';
import { encodeRowState, isDelta, isLockedState, unlockedState } from '../../src/repl/row-state.ts';
import { type DatabaseMark, encodeMarks, slotMarkKey } from '../../src/repl/slot-marks.ts';
import { type Version, ZERO_VERSION } from '../../src/repl/version.ts';
import { View } from '../../src/repl/view.ts';
import { Prng } from '../sim/prng.ts';
import { MemoryStore } from '../support/memory-store.ts';
import {
  ask,
  askNow,
  ballot,
  BENCH_MS,
  benchClock,
  benchOwner,
  BenchView,
  rowOf,
  threeMembers,
} from './owner-bench.ts';
import { TestCluster } from './owner-cluster.ts';

const KEY = Buffer.from('key');
const ROW = rowOf('key');

type Edit = (elements: Elements) => void;

function keyspaceOf(store: Store): Keyspace {
  return new Keyspace({ store, state: new KeyspaceState(), hlc: benchClock(), actor: 1 });
}

/** Runs edits as a handler would, on whatever form of the state it is given. */
function edited(
  store: Store,
  state: Uint8Array | undefined,
  version: Version,
  edit: Edit,
  keyspace = keyspaceOf(store),
): Uint8Array | undefined {
  const given = new GivenRows();
  given.give(ROW, state);
  const view = new View(keyspace, store, given);
  view.begin(0, BENCH_MS);
  const row = view.row(KEY);
  const elements = row.live ? view.elements(row) : view.create(row, rowType.HASH);
  edit(elements);
  if (elements.count === 0) view.remove(row);
  return stateAfter(view, row, state, version);
}

function put(key: string, value: string): Edit {
  return (elements) => void elements.set(ELEMENT, Buffer.from(key), Buffer.from(value));
}

const fill: Edit = (elements) => {
  for (let i = 100; i < 200; i++) elements.set(ELEMENT, Buffer.from(`field${i}`), Buffer.from('x'.repeat(20)));
};

function newOwner(): { store: MemoryStore; owner: Owner } {
  const store = new MemoryStore();
  return { store, owner: benchOwner(store, new BenchView(threeMembers())) };
}

function accept(owner: Owner, version: Version, value: Uint8Array | undefined): string {
  return askNow(owner, { kind: 'accept', row: ROW, ballot: version, value, next: version }).kind;
}

function whole(owner: Owner): Uint8Array | undefined {
  const told = askNow(owner, { kind: 'read', row: ROW, digest: false });
  assert.ok(told.kind === 'held');
  return told.value;
}

function headOf(store: Store): Head {
  const found = new Found();
  const key = Buffer.from(ROW, 'latin1');
  assert.equal(store.get(key, key.length, found), lookup.FOUND);
  const head = new Head();
  readHead(head, found.bytes, found.start, found.end);
  return head;
}

void test('a large collection stands in cells; whole it is the bytes that were sent, here it names its own copy', () => {
  const { store, owner } = newOwner();
  const state = edited(store, undefined, ballot(1), fill) as Uint8Array;
  assert.equal(accept(owner, ballot(1), state), 'accepted');
  assert.notEqual(headOf(store).flags & headFlag.CELLS, 0);
  assert.deepEqual(whole(owner), state);
  const held = owner.held(ROW);
  assert.deepEqual(held?.version, ballot(1));
  assert.ok(isDelta(held?.value) && held.value.length < 100);
  assert.deepEqual(owner.whole(ROW, held.value), state);
  const light = askNow(owner, { kind: 'read', row: ROW, digest: false, light: true });
  assert.deepEqual(light, { kind: 'held', version: ballot(1), value: held.value });
});

void test('a change against a version is taken by who holds that version; others change nothing and want it whole', () => {
  const [a, b] = [newOwner(), newOwner()];
  const first = edited(a.store, undefined, ballot(1), fill) as Uint8Array;
  for (const { owner } of [a, b]) accept(owner, ballot(1), first);
  const second = edited(a.store, a.owner.held(ROW)?.value, ballot(2), put('new', '1')) as Uint8Array;
  assert.ok(isDelta(second) && second.length < 150);
  assert.equal(accept(a.owner, ballot(2), second), 'accepted');
  assert.equal(accept(a.owner, ballot(2), second), 'accepted', 'a repetition');
  const third = edited(a.store, a.owner.held(ROW)?.value, ballot(3), put('field100', 'y')) as Uint8Array;
  assert.equal(accept(a.owner, ballot(3), third), 'accepted');
  // b missed the second one.
  assert.equal(accept(b.owner, ballot(3), third), 'need');
  assert.deepEqual(b.owner.held(ROW)?.version, ballot(1));
  assert.deepEqual(whole(b.owner), first);
  const prepare = { kind: 'prepare', row: ROW, ballot: ballot(2, 1), have: ballot(1) } as const;
  assert.equal(askNow(b.owner, prepare).kind, 'promised', 'it has promised nothing by it');
  assert.equal(accept(b.owner, ballot(2), second), 'accepted');
  assert.equal(accept(b.owner, ballot(1), second), 'conflict');
  assert.equal(accept(b.owner, ballot(3), third), 'accepted');
  assert.deepEqual(whole(b.owner), whole(a.owner));
  const next = edited(a.store, a.owner.held(ROW)?.value, ballot(9), put('k', 'v')) as Uint8Array;
  assert.equal(accept(newOwner().owner, ballot(9), next), 'need', 'a row that was never written');
});

void test('changes of one ACCEPT build on one another; a lock and a deadline touch only the head', () => {
  const { store, owner } = newOwner();
  accept(owner, ballot(1), edited(store, undefined, ballot(1), fill));
  const here = owner.held(ROW)?.value;
  const one = edited(store, here, ballot(2), put('a', '1'));
  const two = edited(store, one, ballot(2), (elements) => {
    assert.equal(elements.count, 101);
    assert.equal(Buffer.from(elements.get(ELEMENT, Buffer.from('a')) as Uint8Array).toString(), '1');
    elements.delete(ELEMENT, Buffer.from('a'));
    elements.delete(ELEMENT, Buffer.from('field150'));
    elements.set(ELEMENT, Buffer.from('b'), Buffer.from('2'));
  });
  const expected = edited(store, whole(owner), ballot(2), (elements) => {
    elements.delete(ELEMENT, Buffer.from('field150'));
    elements.set(ELEMENT, Buffer.from('b'), Buffer.from('2'));
  });
  assert.deepEqual(owner.whole(ROW, two as Uint8Array), expected);
  assert.equal(accept(owner, ballot(2), two), 'accepted');
  assert.deepEqual(whole(owner), expected);
});

void test('what a transaction told against one copy with its lock says the same against any other with it', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = new Prng(seed);
    const [a, b, c] = [newOwner(), newOwner(), newOwner()];
    const first = edited(a.store, undefined, ballot(1), fill);
    for (const { owner } of [a, b, c]) accept(owner, ballot(1), first);
    // Told by changes here, whole there: the cells are the same, of other generations.
    const more = edited(a.store, a.owner.held(ROW)?.value, ballot(2), put('more', 'x'.repeat(random.below(2_000))));
    for (const { owner } of [a, b]) accept(owner, ballot(2), more);
    accept(c.owner, ballot(2), whole(a.owner));
    const lock = { id: ballot(3), slot: 1, lane: 1, deadlineMs: 1e9 };
    const op = { kind: 'lock', lock, marks: [], waits: false, light: true } as const;
    const locked = applyRowOp(op, a.owner.held(ROW)?.value, ballot(4), 0);
    assert.ok(isDelta(locked.state) && locked.result.kind === 'locked' && isDelta(locked.result.state));
    for (const { owner } of [a, b, c]) assert.equal(accept(owner, ballot(4), locked.state), 'accepted');
    // Settled since, at those who coordinate it.
    const settled = b.owner.held(ROW)?.value;
    for (const { owner } of [b, c]) assert.equal(accept(owner, ballot(5), settled), 'accepted');
    const edit: Edit = (elements) => {
      if (random.chance(0.3)) {
        elements.dropRange({ tag: ELEMENT, lower: Buffer.from('field12'), upper: Buffer.from('field14') }, 20);
      }
      for (let i = 0; i < 5; i++) put(`field${random.between(140, 220)}`, 'y'.repeat(random.below(50)))(elements);
      elements.delete(ELEMENT, Buffer.from(`field${random.between(150, 160)}`));
      if (random.chance(0.2)) for (let i = 100; i < 220; i++) elements.delete(ELEMENT, Buffer.from(`field${i}`));
    };
    const write = edited(a.store, unlockedState(a.owner.held(ROW)?.value as Uint8Array), ZERO_VERSION, edit);
    const apply = { kind: 'apply', lock, write: { state: write } } as const;
    const wholeNow = whole(b.owner) as Uint8Array;
    const byWhole = applyRowOp(apply, wholeNow, ballot(6), 0).state as Uint8Array;
    assert.deepEqual([isDelta(byWhole), isLockedState(byWhole)], [false, false]);
    for (const { owner } of [b, c]) {
      const { state } = applyRowOp(apply, owner.held(ROW)?.value, ballot(6), 0, (told) => owner.whole(ROW, told));
      assert.equal(accept(owner, ballot(6), state), 'accepted');
      assert.deepEqual(whole(owner), byWhole);
      const size = wholeLength(owner.held(ROW)?.value as Uint8Array);
      assert.equal(size, byWhole.length, 'as its head says');
    }
    assert.equal(applyRowOp(apply, byWhole, ballot(7), 0).state, byWhole, 'the lock has gone');
  }
});

void test('changes of one ACCEPT may be more than fit on a stack', () => {
  const { store, owner } = newOwner();
  accept(owner, ballot(1), edited(store, undefined, ballot(1), fill));
  const one = edited(store, owner.held(ROW)?.value, ballot(2), (elements) => {
    for (let i = 0; i < 150_000; i++) elements.add(ELEMENT, Buffer.from(`m${i}`), EMPTY);
  });
  const two = edited(store, one, ballot(2), put('a', '1'));
  assert.ok(isDelta(two));
  assert.equal(accept(owner, ballot(2), two), 'accepted');
});

void test('a collection of which cells were lost is not told whole: others would take it for the state of its version', () => {
  const { store, owner } = newOwner();
  accept(owner, ballot(1), edited(store, undefined, ballot(1), fill));
  const here = owner.held(ROW)?.value as Uint8Array;
  const head = Buffer.from(ROW, 'latin1');
  const batch = store.newBatch();
  batch.delete(cellKey(head, head.length, headOf(store).generation, ELEMENT, Buffer.from('field150')));
  store.write(batch);
  const amnesia = { kind: 'unable', reason: 'amnesia' };
  assert.deepEqual(askNow(owner, { kind: 'read', row: ROW, digest: false }), amnesia);
  assert.deepEqual(
    askNow(owner, { kind: 'prepare', row: ROW, ballot: ballot(5), have: ZERO_VERSION }),
    amnesia,
    'nor promised',
  );
  assert.throws(() => owner.whole(ROW, here), { code: 'corruption' });
  assert.equal(accept(owner, ballot(6), edited(store, undefined, ballot(6), fill)), 'accepted', 'whole it heals');
  assert.equal(askNow(owner, { kind: 'read', row: ROW, digest: false }).kind, 'held');
});

void test('walks over cells that nobody waits for are ended', async () => {
  const store = new MemoryStore();
  const state = new KeyspaceState();
  const hlc = benchClock();
  const keyspace = new Keyspace({ store, state, hlc, actor: 77 });
  const view = keyspace.newView();
  view.begin(0, BENCH_MS);
  fill(view.create(view.row(KEY), rowType.HASH));
  keyspace.commit(view);
  const owner = benchOwner(store, new BenchView(threeMembers()), state, hlc);
  for (let i = 0; i < 5; i++) {
    store.chill((key) => key.length > ROW.length + 10);
    assert.equal(owner.held(ROW), undefined, 'it has no size yet, and is not in memory as a whole');
  }
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(store.openCursors <= 1, `${store.openCursors} cursors`);
  const told = await ask(owner, { kind: 'read', row: ROW, digest: false });
  assert.equal(told.kind, 'held');
  assert.equal(store.openCursors, 0);
});

void test('a flush mark that comes late takes no cells from a newer collection', async () => {
  const store = new MemoryStore();
  const state = new KeyspaceState();
  await state.load(store);
  const owner = benchOwner(store, new BenchView(threeMembers()), state);
  const slot = slotOfRow(ROW);
  const mark = (version: Version, marks: readonly DatabaseMark[]): string => {
    const value = encodeRowState({
      type: rowType.STRING,
      expiresAtMs: 0,
      modified: version,
      value: encodeMarks(marks),
    });
    return askNow(owner, { kind: 'accept', row: markRowOf(slot), ballot: version, value, next: version }).kind;
  };
  /** Cells of the row that compaction would drop. */
  const dropped = (by: KeyspaceState): number => {
    store.chill((key) => Buffer.compare(key, slotMarkKey(slot)) === 0);
    const filter = createFilter(rowFilterState(by, true));
    void store.fetch(slotMarkKey(slot));
    const cursor = store.cursor({});
    let count = 0;
    while (cursor.next() === lookup.FOUND) if (filter(cursor.key, cursor.value, false) === 'drop') count++;
    cursor.close();
    return count;
  };
  accept(owner, ballot(5), edited(store, undefined, ballot(5), fill));
  // A mark between the two was taken by another owner alone.
  accept(owner, ballot(10), edited(store, owner.held(ROW)?.value, ballot(10), put('new', '1')));
  const before = whole(owner);
  const old = { database: 0, mark: ballot(7) };
  assert.equal(mark(ballot(20), [old]), 'accepted');
  assert.deepEqual(whole(owner), before);
  assert.equal(dropped(state), 0);
  // The record of the marks is written again, and read by the next life.
  assert.equal(mark(ballot(21), [old, { database: 1, mark: ballot(21) }]), 'accepted');
  assert.equal(dropped(state), 0);
  const next = new KeyspaceState();
  await next.load(store);
  assert.equal(dropped(next), 0);
  assert.equal(mark(ballot(30), [{ database: 0, mark: ballot(30) }]), 'accepted');
  assert.ok(dropped(state) > 100);
});

void test('a collection is as large as what is left of it, where ranges went too', () => {
  const { store, owner } = newOwner();
  const mixed: Edit = (elements) => {
    for (let i = 0; i < 1_000; i++) elements.set(ELEMENT, Buffer.from(`a${i}`), EMPTY);
    for (let i = 0; i < 10; i++) elements.set(ELEMENT, Buffer.from(`b${i}`), Buffer.alloc(100_000));
  };
  accept(owner, ballot(1), edited(store, undefined, ballot(1), mixed));
  const told = edited(store, owner.held(ROW)?.value, ballot(2), (elements) =>
    elements.dropRange({ tag: ELEMENT, lower: Buffer.from('a'), upper: Buffer.from('b') }, 1_000),
  ) as Uint8Array;
  assert.ok(isDelta(told));
  assert.equal(accept(owner, ballot(2), told), 'accepted');
  assert.equal(wholeLength(told), whole(owner)?.length);
  assert.equal(wholeLength(owner.held(ROW)?.value as Uint8Array), whole(owner)?.length, 'as its head says');
});

void test('what a long range took is found in slices, and once', async () => {
  const { store, owner } = newOwner();
  const many: Edit = (elements) => {
    for (let i = 10_000; i < 30_000; i++) elements.add(ELEMENT, Buffer.from(`k${i}`), Buffer.alloc(i % 300));
  };
  accept(owner, ballot(1), edited(store, undefined, ballot(1), many));
  const keyspace = keyspaceOf(store);
  let rests = 0;
  keyspace.cells.rest = () => {
    rests++;
    return Promise.resolve();
  };
  const drop: Edit = (elements) =>
    elements.dropRange({ tag: ELEMENT, lower: Buffer.from('k12'), upper: Buffer.from('k28') }, 16_000);
  const here = owner.held(ROW)?.value;
  let told: Uint8Array | undefined;
  for (let runs = 0; told === undefined; runs++) {
    assert.ok(runs < 2);
    try {
      told = edited(store, here, ballot(2), drop, keyspace);
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      await thrown.load();
    }
  }
  assert.equal(rests, 10);
  assert.equal(accept(owner, ballot(2), told), 'accepted');
  assert.equal(wholeLength(told), whole(owner)?.length);
  assert.equal(store.openCursors, 0);
});

void test('random changes: told against versions, told whole, and by turns, owners have the same bytes', () => {
  let [deltas, cells, heads] = [0, 0, 0];
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Prng(seed);
    const [a, b, c] = [newOwner(), newOwner(), newOwner()];
    for (let step = 1; step <= 60; step++) {
      const version = ballot(step);
      const isGrowing = random.chance(0.6);
      const from = Buffer.from(`k${random.between(10, 99)}`);
      const ranges = random.chance(0.1) ? random.between(1, 2) : 0;
      const upper = Buffer.from(random.chance(0.5) ? 'k99' : `k${random.between(10, 99)}`);
      const keys = Array.from({ length: random.between(1, 8) }, () => `k${random.between(10, 99)}`);
      const value = 'v'.repeat(random.between(0, 80));
      const edit: Edit = (elements) => {
        for (let range = 0; range < ranges; range++) {
          const lower = range === 0 ? from : Buffer.from('k30');
          const gone: Uint8Array[] = [];
          elements.each(ELEMENT, { lower, upper }, (key) => void gone.push(Buffer.from(key)));
          // As commands do it: ranges only of what stands in cells.
          if (elements.base instanceof CellElements) {
            elements.dropRange({ tag: ELEMENT, lower, upper }, gone.length);
          } else for (const key of gone) elements.delete(ELEMENT, key);
        }
        for (const key of keys) {
          if (isGrowing) elements.set(ELEMENT, Buffer.from(key), Buffer.from(value));
          else elements.delete(ELEMENT, Buffer.from(key));
        }
        elements.meta = from;
      };
      const more = put(`k${random.between(10, 99)}`, value);
      const isTwofold = random.chance(0.3);
      const made = (store: Store, state: Uint8Array | undefined): Uint8Array | undefined => {
        const once = edited(store, state, version, edit);
        return isTwofold ? edited(store, edited(store, once, version, more), version, edit) : once;
      };
      const told = made(a.store, a.owner.held(ROW)?.value);
      const full = made(b.store, whole(b.owner));
      if (isDelta(told)) {
        deltas++;
        assert.equal(wholeLength(told), Math.max(told.length, full?.length ?? 0), `seed ${seed} step ${step}`);
      }
      assert.equal(accept(a.owner, version, told), 'accepted');
      assert.equal(accept(b.owner, version, full), 'accepted');
      // By turns, whatever form its copy has.
      assert.equal(accept(c.owner, version, step % 3 === 0 ? full : told), 'accepted', `seed ${seed} step ${step}`);
      for (const { owner } of [a, b, c]) assert.deepEqual(whole(owner), full, `seed ${seed} step ${step}`);
      if ((headOf(a.store).flags & headFlag.CELLS) === 0) heads++;
      else cells++;
    }
  }
  assert.ok(deltas > 300 && cells > 300 && heads > 100, `${deltas} ${cells} ${heads}`);
});

function threeOwning(): Topology {
  const topology = threeMembers();
  const owners = { current: [1, 2, 3], incoming: [] };
  return { ...topology, slots: topology.slots.map(({ since }) => ({ owners, since })) };
}

class Editing implements RowTask {
  readonly takesDelta = true;
  outcome = '';
  private readonly store: Store;
  private readonly edit: Edit;

  constructor(store: Store, edit: Edit) {
    this.store = store;
    this.edit = edit;
  }

  run(state: Uint8Array | undefined, version: Version): Uint8Array | undefined {
    return edited(this.store, state, version, this.edit);
  }

  done(outcome: { kind: string }): void {
    this.outcome = outcome.kind;
  }
}

void test('an owner that was away is brought up to date whole, while the row is changed, and follows again', async () => {
  const cluster = new TestCluster({ members: 3, topology: threeOwning(), random: new Prng(5) });
  const [first, , third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  const tasks: Editing[] = [];
  const change = (edit: Edit): void => {
    const task = new Editing(first.store, edit);
    tasks.push(task);
    first.coordinator.submit(ROW, task, cluster.kernel.nowMs + 3_000);
  };
  change(fill);
  await cluster.run(100);
  third.up = false;
  for (let i = 0; i < 20; i++) {
    change(put(`away${i}`, 'v'));
    await cluster.run(cluster.kernel.nowMs + 5);
  }
  assert.equal(first.hints.count(3), 1);
  third.up = true;
  for (let i = 0; i < 200; i++) {
    change(put(`back${i}`, 'v'));
    await cluster.run(cluster.kernel.nowMs + 3);
  }
  await cluster.run(cluster.kernel.nowMs + 2_000);
  assert.deepEqual([...new Set(tasks.map(({ outcome }) => outcome))], ['done']);
  assert.equal(first.hints.count(3), 0);
  const states = cluster.nodes.map(({ owner }) => whole(owner));
  assert.deepEqual(states[1], states[0]);
  assert.deepEqual(states[2], states[0]);
  const accepts = third.owner.counts.accepts;
  for (let i = 0; i < 10; i++) {
    change(put(`again${i}`, 'v'));
    await cluster.run(cluster.kernel.nowMs + 20);
  }
  assert.equal(third.owner.counts.accepts, accepts + 10);
  assert.deepEqual(whole(third.owner), whole(first.owner));
  cluster.close();
});

void test('with two owners left, one of them behind, changes go through: the proposal is sent whole', async () => {
  const cluster = new TestCluster({ members: 3, topology: threeOwning(), random: new Prng(6) });
  const [first, second, third] = [cluster.node(1), cluster.node(2), cluster.node(3)];
  const state = edited(first.store, undefined, ballot(1), fill);
  for (const { owner } of [first, second]) accept(owner, ballot(1), state);
  // The third one has another version of the row than the majority.
  accept(third.owner, ballot(0), edited(third.store, undefined, ballot(0), put('other', 'v')));
  second.up = false;
  const task = new Editing(first.store, put('new', 'v'));
  first.coordinator.submit(ROW, task, 3_000);
  await cluster.run(500);
  assert.equal(task.outcome, 'done');
  assert.deepEqual(whole(third.owner), whole(first.owner));
  assert.notDeepEqual(third.owner.held(ROW)?.version, ZERO_VERSION);
  cluster.close();
});

void test('while an owner is brought up to date owners may disagree: what settles that does not wait for it', async () => {
  const cluster = new TestCluster({ members: 3, topology: threeOwning(), random: new Prng(7) });
  const states = [1, 2, 3].map((count) => edited(cluster.node(1).store, undefined, ballot(count), fill) as Uint8Array);
  for (const { id, owner } of cluster.nodes) accept(owner, ballot(4 - id), states[3 - id]);
  const first = cluster.node(1);
  const marker = first.owner.held(ROW)?.value;
  assert.ok(isDelta(marker));
  const answers: string[] = [];
  const request = { kind: 'accept', row: ROW, ballot: ballot(3), value: marker, next: ballot(3) } as const;
  first.coordinator.deliverHint(3, request, ({ kind }) => answers.push(kind));
  const task = new Editing(first.store, put('new', 'v'));
  first.coordinator.submit(ROW, task, 3_000);
  await cluster.run(1_000);
  assert.deepEqual(answers, ['accepted']);
  assert.equal(task.outcome, 'done');
  assert.deepEqual(whole(cluster.node(3).owner), whole(first.owner));
  cluster.close();
});

void test('at level all a quorum decides what a large collection is where its owners differ', async () => {
  const cluster = new TestCluster({ members: 3, topology: threeOwning(), random: new Prng(8) });
  const first = cluster.node(1);
  const state = edited(first.store, undefined, ballot(1), fill);
  for (const { owner } of cluster.nodes) accept(owner, ballot(1), state);
  // Nobody else has it: it may never be chosen.
  accept(first.owner, ballot(2), edited(first.store, first.owner.held(ROW)?.value, ballot(2), put('new', 'v')));
  const { env, view, coordinator, hlc } = first;
  const ledger = new Ledger();
  const levels = new LevelRun({ env, view, coordinator, hlc, actor: 9, ledger, centreOf: () => '' });
  const holders: number[] = [];
  const task = {
    light: { again: () => assert.fail('it is in memory'), elsewhere: () => assert.fail('it is here') },
    found: (version: Version) => {
      const holding = cluster.nodes.filter(({ owner }) => isSame(owner.held(ROW)?.version, version));
      holders.push(holding.length);
    },
    failed: () => assert.fail('a quorum is there'),
  };
  levels.read(ROW, levelNamed('all') as Level, task, 3_000);
  await cluster.run(1_000);
  assert.equal(holders.length, 1);
  assert.ok((holders[0] as number) >= 2, 'what is shown is chosen');
  cluster.close();
});

function isSame(a: Version | undefined, b: Version): boolean {
  return a !== undefined && a.stamp === b.stamp && a.actor === b.actor;
}
