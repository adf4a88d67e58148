/** Expiry in a shared cluster: the first healthy owner submits the change, the others do nothing, the indexes follow. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineError } from '../../src/engine/engine-error.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import { ClusterExpiry } from '../../src/repl/cluster-expiry.ts';
import { EMPTY } from '../../src/bytes.ts';
import { packCollection } from '../../src/repl/element-pack.ts';
import { ELEMENT } from '../../src/repl/elements.ts';
import { rowType } from '../../src/repl/head.ts';
import { CELL_ELEMENT, expiryKey } from '../../src/repl/row-key.ts';
import { decodeRowState, encodeRowState } from '../../src/repl/row-state.ts';
import { Prng } from '../sim/prng.ts';
import { askNow, BENCH_MS, rowOf, stringState, threeMembers } from './owner-bench.ts';
import { TestCluster, type TestNode } from './owner-cluster.ts';

function threeOwners() {
  const topology = threeMembers();
  const owners = { current: [2, 3, 1], incoming: [] };
  return { ...topology, slots: topology.slots.map(({ since }) => ({ owners, since })) };
}

function isIndexed(node: TestNode, deadlineMs: number, row: string): boolean {
  const key = expiryKey(deadlineMs, Buffer.from(row, 'latin1'));
  return node.store.get(key, key.length, new Found()) === lookup.FOUND;
}

void test('the first healthy owner ends rows whose deadline has passed', async () => {
  const cluster = new TestCluster({ members: 3, topology: threeOwners(), random: new Prng(1) });
  const { kernel } = cluster;
  let submitted = 0;
  const ended = new Map<number, number>();
  const expiries = cluster.nodes.map(
    (node) =>
      new ClusterExpiry({
        store: node.store,
        state: node.state,
        view: node.view,
        change: (row, change, timeoutMs, done) => {
          submitted++;
          node.coordinator.changeHead(row, change, kernel.nowMs + timeoutMs, done);
        },
        nowMs: () => Math.floor(BENCH_MS + kernel.nowMs),
        onExpired: () => {
          ended.set(node.id, (ended.get(node.id) ?? 0) + 1);
        },
      }),
  );
  const sweepAll = async (): Promise<void> => {
    for (const expiry of expiries) while (await expiry.sweep());
    await cluster.run(kernel.nowMs + 50);
  };
  const rows = Array.from({ length: 300 }, (_, i) => rowOf(`key:${i}`));
  let done = 0;
  for (const row of rows) {
    cluster.node(1).coordinator.change(
      row,
      (_state, ballot) => ({ state: stringState('v', ballot, BENCH_MS + 500), reply: 0 }),
      400,
      () => done++,
    );
  }
  await cluster.run(100);
  assert.equal(done, rows.length);
  await sweepAll();
  assert.equal(submitted, 0);
  // One is given a longer life, one is deleted before.
  const [later, gone] = [rows[0] as string, rows[1] as string];
  const { coordinator } = cluster.node(3);
  coordinator.change(
    later,
    (_s, ballot) => ({ state: stringState('w', ballot, BENCH_MS + 9_000), reply: 0 }),
    1e6,
    () => 0,
  );
  coordinator.change(
    gone,
    () => ({ state: undefined, reply: 0 }),
    1e6,
    () => 0,
  );
  await cluster.run(600);
  const before = cluster.node(1).owner.held(rows[2] as string);
  for (let i = 0; i < 4; i++) await sweepAll();
  assert.equal(submitted, rows.length - 2);
  assert.deepEqual([...ended], [[2, rows.length - 2]]);
  for (const node of cluster.nodes) {
    assert.equal(node.state.counts.total(0), 1);
    assert.ok(isIndexed(node, BENCH_MS + 9_000, later));
    assert.ok(rows.every((row) => !isIndexed(node, BENCH_MS + 500, row)));
  }
  const after = cluster.node(1).owner.held(rows[2] as string);
  assert.deepEqual(
    decodeRowState(after?.value as Uint8Array).modified,
    decodeRowState(before?.value as Uint8Array).modified,
  );
  // With the first owner gone, the next one does it.
  cluster.node(2).up = false;
  await cluster.run(9_600);
  await sweepAll();
  assert.equal(ended.get(3), 1);
  cluster.close();
});

void test('a large collection whose cells were lost is ended like any other', async () => {
  const cluster = new TestCluster({ members: 3, topology: threeOwners(), random: new Prng(3) });
  const { kernel } = cluster;
  const row = rowOf('key');
  const elements = Array.from({ length: 100 }, (_, i) => ({
    tag: ELEMENT,
    key: Buffer.from(`field${i + 100}`),
    value: Buffer.alloc(20),
  }));
  const value = packCollection(elements.length, EMPTY, elements);
  const { store, state, view, coordinator, owner } = cluster.node(2);
  coordinator.change(
    row,
    (_state, modified) => ({
      state: encodeRowState({ type: rowType.HASH, expiresAtMs: BENCH_MS + 500, modified, value }),
      reply: 0,
    }),
    400,
    () => 0,
  );
  await cluster.run(1_000);
  const head = Buffer.from(row, 'latin1');
  const [lower, upper] = [Uint8Array.of(...head, CELL_ELEMENT), Uint8Array.of(...head, CELL_ELEMENT + 1)];
  const batch = store.newBatch();
  batch.deleteRange(lower, upper);
  store.write(batch);
  assert.deepEqual(askNow(owner, { kind: 'read', row, digest: false }), { kind: 'unable', reason: 'amnesia' });
  const ended: string[] = [];
  const expiry = new ClusterExpiry({
    store,
    state,
    view,
    change: (name, change, timeoutMs, done) => coordinator.changeHead(name, change, kernel.nowMs + timeoutMs, done),
    nowMs: () => Math.floor(BENCH_MS + kernel.nowMs),
    onExpired: (name) => ended.push(name),
  });
  assert.equal(await expiry.sweep(), false);
  await cluster.run(1_100);
  assert.deepEqual(ended, [row]);
  for (const each of cluster.nodes) {
    assert.equal(decodeRowState(each.owner.held(row)?.value as Uint8Array).type, rowType.DELETED);
    assert.ok(!isIndexed(each, BENCH_MS + 500, row));
  }
  cluster.close();
});

void test('a row that a damaged table may hold does not keep those behind it', async () => {
  const cluster = new TestCluster({ members: 3, topology: threeOwners(), random: new Prng(2) });
  const { kernel } = cluster;
  const rows = Array.from({ length: 3 }, (_, i) => rowOf(`key:${i}`)).sort();
  for (const [i, row] of rows.entries()) {
    cluster.node(2).coordinator.change(
      row,
      (_state, ballot) => ({ state: stringState('v', ballot, BENCH_MS + 500 + i), reply: 0 }),
      400,
      () => 0,
    );
  }
  await cluster.run(1_000);
  const { store, state, view, coordinator } = cluster.node(2);
  const damaged = Buffer.from(rows[0] as string, 'latin1');
  const ended: string[] = [];
  const expiry = new ClusterExpiry({
    store: new Proxy(store, {
      get(target, name) {
        if (name !== 'get') {
          const member: unknown = Reflect.get(target, name, target);
          return typeof member === 'function' ? (member.bind(target) as unknown) : member;
        }
        return (key: Uint8Array, length: number, found: Found) => {
          if (damaged.equals(key.subarray(0, length))) throw new EngineError('corruption', 'a damaged table');
          return target.get(key, length, found);
        };
      },
    }),
    state,
    view,
    change: (row, change, timeoutMs, done) => {
      ended.push(row);
      coordinator.changeHead(row, change, kernel.nowMs + timeoutMs, done);
    },
    nowMs: () => Math.floor(BENCH_MS + kernel.nowMs),
    onExpired: () => undefined,
  });
  assert.equal(await expiry.sweep(), false);
  assert.deepEqual(ended, rows.slice(1));
  cluster.close();
});
