/** Hints over a store in memory: kept, found again, delivered when the target is back, newest only, and what ends them. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Timers } from '../../src/env.ts';
import { Hints } from '../../src/repl/hints.ts';
import type { AcceptRequest, OwnerAnswer, RowName } from '../../src/repl/owner-message.ts';
import { applyChanges } from '../../src/cluster/topology.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { ballot, BenchView, rowOf, stringState, threeMembers } from './owner-bench.ts';
import { silent } from '../support/silent-log.ts';

/** Every slot is owned by members 1 and 2. */
function twoOwners() {
  const topology = threeMembers();
  const owners = { current: [1, 2], incoming: [] };
  return { ...topology, slots: topology.slots.map(({ since }) => ({ owners, since })) };
}

class HealthView extends BenchView {
  healthy = false;
  override isHealthy(): boolean {
    return this.healthy;
  }
}

class Bench {
  readonly store: MemoryStore;
  readonly view = new HealthView(twoOwners());
  readonly sent: {
    row: RowName;
    request: AcceptRequest<Uint8Array>;
    answered: (a: OwnerAnswer<Uint8Array>) => void;
  }[] = [];
  readonly settled: RowName[] = [];
  readonly hints: Hints;
  nowMs = 0;
  private due: { atMs: number; run: () => void }[] = [];

  constructor(store = new MemoryStore(), limits = {}) {
    this.store = store;
    const timers: Timers = {
      after: (delayMs, run) => {
        const entry = { atMs: this.nowMs + delayMs, run };
        this.due.push(entry);
        return {
          cancel: () => {
            this.due = this.due.filter((each) => each !== entry);
          },
        };
      },
      every: () => ({ cancel() {} }),
      atTurnEnd: (run) => {
        this.due.push({ atMs: this.nowMs, run });
      },
    };
    this.hints = new Hints({
      env: { clock: { wallMs: () => 0, monotonicUs: () => this.nowMs * 1000 }, timers, log: silent },
      store,
      view: this.view,
      send: (_to, request, answered) => this.sent.push({ row: request.row, request, answered }),
      settle: (row) => this.settled.push(row),
      limits,
    });
  }

  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      this.due.sort((a, b) => a.atMs - b.atMs);
      const next = this.due[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.due.shift();
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
    this.nowMs = untilMs;
  }
}

void test('a hint waits for its target, survives a restart, and goes away when it was taken', async () => {
  const store = new MemoryStore();
  const first = new Bench(store);
  const [a, b] = [rowOf('a'), rowOf('b')];
  first.hints.keep(2, a, ballot(1), stringState('old', ballot(1)));
  first.hints.keep(2, a, ballot(3), stringState('new', ballot(3)));
  first.hints.keep(2, a, ballot(2), stringState('late', ballot(2)));
  first.hints.keep(2, b, ballot(4), undefined);
  first.pass(1_000);
  assert.deepEqual(first.sent, []);
  first.hints.close();

  const bench = new Bench(store);
  await bench.hints.load();
  assert.equal(bench.hints.count(2), 2);
  bench.view.healthy = true;
  bench.pass(200);
  // After a restart they come in the order of their names.
  bench.sent.sort((x, y) => x.request.ballot.stamp - y.request.ballot.stamp);
  assert.deepEqual(
    bench.sent.map(({ request }) => request),
    [
      { kind: 'accept', row: a, ballot: ballot(3), value: stringState('new', ballot(3)), next: ballot(3) },
      { kind: 'accept', row: b, ballot: ballot(4), value: undefined, next: ballot(4) },
    ].map((request) => ({ ...request, value: request.value && new Uint8Array(request.value) })),
  );
  bench.sent[0]?.answered({ kind: 'accepted' });
  bench.sent[1]?.answered({ kind: 'conflict', max: ballot(9), held: ballot(4) });
  assert.equal(bench.hints.count(2), 0);
  assert.equal(store.size, 0);
  assert.deepEqual(bench.settled, []);
  bench.pass(1_000);
  assert.equal(bench.hints.metrics()['waiting'], 0);
});

void test('a target that promised more and lacks the version has the row settled', () => {
  const bench = new Bench();
  bench.view.healthy = true;
  bench.hints.keep(2, rowOf('a'), ballot(3), undefined);
  bench.pass(200);
  bench.sent[0]?.answered({ kind: 'conflict', max: ballot(9), held: ballot(1) });
  assert.deepEqual(bench.settled, [rowOf('a')]);
  assert.equal(bench.store.size, 0);
});

void test('what did not arrive is sent again when the target can be reached, what was refused after a while', () => {
  const bench = new Bench();
  bench.view.healthy = true;
  bench.hints.keep(2, rowOf('a'), ballot(3), undefined);
  bench.pass(200);
  bench.sent[0]?.answered({ kind: 'unsent' });
  bench.pass(5_000);
  assert.equal(bench.sent.length, 2);
  bench.sent[1]?.answered({ kind: 'unable', reason: 'refused' });
  bench.pass(900);
  assert.equal(bench.sent.length, 2);
  bench.pass(400);
  assert.equal(bench.sent.length, 3);
});

void test('hints for who owns the slot no longer, or is no member any more, go away', () => {
  const bench = new Bench();
  bench.hints.keep(2, rowOf('a'), ballot(3), undefined);
  bench.hints.keep(3, rowOf('a'), ballot(3), undefined);
  bench.view.healthy = true;
  bench.pass(300);
  assert.deepEqual(
    bench.sent.map(({ row }) => row),
    [rowOf('a')],
  );
  assert.equal(bench.hints.count(3), 0);
  const { topology } = bench.view;
  assert.ok(topology !== undefined);
  const slots = topology.slots.map(({ since }) => ({ owners: { current: [1], incoming: [] }, since }));
  bench.view.set(applyChanges({ ...topology, slots }, [{ kind: 'remove-member', id: 2 }]));
  assert.equal(bench.hints.count(2), 0);
  assert.equal(bench.store.size, 0);
});

void test('a loose hint goes to those who own the slot in the target’s place, through restarts, wherever the target is', async () => {
  const store = new MemoryStore();
  const first = new Bench(store);
  const row = rowOf('a');
  const state = stringState('counted', ballot(3));
  assert.ok(first.hints.keep(2, row, ballot(3), state, true));
  assert.ok(first.hints.keep(2, rowOf('b'), ballot(4), undefined));
  first.hints.close();

  const bench = new Bench(store);
  const { topology } = bench.view;
  assert.ok(topology !== undefined);
  const slots = topology.slots.map(({ since }) => ({ owners: { current: [3, 1], incoming: [] }, since }));
  const moved = applyChanges({ ...topology, slots }, [{ kind: 'remove-member', id: 2 }]);
  await bench.hints.load();
  bench.view.set({ ...topology, slots, epoch: moved.epoch });
  bench.pass(300);
  assert.deepEqual(
    [1, 2, 3].map((target) => bench.hints.count(target)),
    [1, 1, 1],
    'the one that is known to be chosen stays for its target, and goes with it',
  );
  bench.view.set({ ...moved, epoch: moved.epoch + 1 });
  assert.equal(bench.hints.count(2), 0);
  bench.view.healthy = true;
  bench.pass(300);
  const value = new Uint8Array(state);
  const wanted = { kind: 'accept', row, ballot: ballot(3), value, next: ballot(3) };
  assert.deepEqual(
    bench.sent.map(({ request }) => request),
    [wanted, wanted],
  );
  for (const { answered } of bench.sent) answered({ kind: 'accepted' });
  assert.equal(bench.hints.metrics()['waiting'], 0);
  assert.equal(store.size, 0);
});

void test('a loose hint of a member that is gone stays until there is room for it elsewhere', () => {
  const bench = new Bench();
  const { topology } = bench.view;
  assert.ok(topology !== undefined);
  assert.ok(bench.hints.keep(2, rowOf('a'), ballot(3), undefined, true));
  const slots = topology.slots.map(({ since }) => ({ owners: { current: [1], incoming: [] }, since }));
  bench.store.refusal = { code: 'disk-full', message: 'the disk is full' };
  bench.view.set(applyChanges({ ...topology, slots }, [{ kind: 'remove-member', id: 2 }]));
  bench.pass(2_000);
  assert.deepEqual([bench.hints.count(1), bench.hints.count(2)], [0, 1]);
  bench.store.refusal = undefined;
  bench.pass(2_000);
  assert.deepEqual([bench.hints.count(1), bench.hints.count(2)], [1, 0]);
});

void test('there is an end to what is kept, and nothing is kept on a full disk', () => {
  const bench = new Bench(new MemoryStore(), { maxTargetBytes: 1_000 });
  for (let i = 0; i < 10; i++) bench.hints.keep(2, rowOf(`key:${i}`), ballot(i), undefined);
  assert.equal(bench.hints.count(2), 5);
  assert.equal(bench.hints.metrics()['incompleteTargets'], 1);
  bench.store.refusal = { code: 'disk-full', message: 'the disk is full' };
  assert.equal(bench.hints.keep(1, rowOf('a'), ballot(1), undefined), false);
  assert.equal(bench.hints.count(1), 0);
  assert.equal(bench.hints.metrics()['dropped'], 1);
});

void test('hints on disk are fetched before they are sent, a bounded number at a time', async () => {
  const bench = new Bench(new MemoryStore(), { window: 3 });
  for (let i = 0; i < 10; i++) bench.hints.keep(2, rowOf(`key:${i}`), ballot(i), stringState(`v${i}`, ballot(i)));
  bench.store.chill();
  bench.view.healthy = true;
  bench.pass(200);
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(bench.sent.length <= i + 3);
    bench.sent[i]?.answered({ kind: 'accepted' });
  }
  assert.equal(bench.hints.count(2), 0);
  assert.equal(bench.hints.counts.delivered, 10);
});
