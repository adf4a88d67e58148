/** Deadlines of fields in a shared cluster: the first healthy owner removes them, the others drop their records. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY } from '../../src/bytes.ts';
import { lookup } from '../../src/engine/store.ts';
import { ClusterFieldExpiry, withoutDueFields } from '../../src/repl/cluster-field-expiry.ts';
import { PackedElements, readCollectionHead } from '../../src/repl/element-pack.ts';
import { Elements, ELEMENT } from '../../src/repl/elements.ts';
import { DEADLINE, DUE, earliestDeadline, setFieldDeadline } from '../../src/repl/field-deadlines.ts';
import { fieldsRange } from '../../src/repl/field-sweep.ts';
import { rowType } from '../../src/repl/head.ts';
import { decodeRowState, encodeRowState } from '../../src/repl/row-state.ts';
import type { Version } from '../../src/repl/version.ts';
import { Row } from '../../src/repl/view.ts';
import { Prng } from '../sim/prng.ts';
import { BENCH_MS, rowOf, threeMembers } from './owner-bench.ts';
import { TestCluster, type TestNode } from './owner-cluster.ts';

/** The state of a hash with these fields; the number is a field's deadline, 0: none. */
function hashState(fields: Readonly<Record<string, number>>, modified: Version): Uint8Array {
  const elements = new Elements(new Row(0), PackedElements.NONE, 0, EMPTY);
  for (const [name, endsMs] of Object.entries(fields)) {
    elements.set(ELEMENT, Buffer.from(name), Buffer.from('v'));
    setFieldDeadline(elements, Buffer.from(name), endsMs);
  }
  return encodeRowState({ type: rowType.HASH, expiresAtMs: 0, modified, value: elements.packed() });
}

function namesOf(state: Uint8Array): string[] {
  const { value } = decodeRowState(state);
  const { end } = readCollectionHead(value);
  const elements = [...new PackedElements(value, end).all()];
  const names = (tag: number): string[] =>
    elements.filter((each) => each.tag === tag).map(({ key }) => String(Buffer.from(key)));
  const withDeadlines = names(DEADLINE);
  assert.equal(names(DUE).length, withDeadlines.length, 'as many are due as have deadlines');
  assert.ok(withDeadlines.every((name) => names(ELEMENT).includes(name)));
  return names(ELEMENT);
}

function recordsOf(node: TestNode, nowMs: number): number {
  const cursor = node.store.cursor(fieldsRange(undefined, nowMs));
  let records = 0;
  while (cursor.next() === lookup.FOUND) records++;
  cursor.close();
  return records;
}

const VERSION: Version = { stamp: BENCH_MS * 1000, actor: 1 };

void test('due fields leave a state, the last one ends it', () => {
  const state = hashState({ a: 100, b: 200, c: 0, d: 300 }, VERSION);
  assert.equal(withoutDueFields(state, 99), undefined);
  const some = withoutDueFields(state, 200) as Uint8Array;
  assert.deepEqual(namesOf(some), ['c', 'd']);
  assert.equal(earliestDeadline(readCollectionHead(decodeRowState(some).value).meta), 300);
  const one = withoutDueFields(some, 1000) as Uint8Array;
  assert.deepEqual(namesOf(one), ['c']);
  assert.equal(withoutDueFields(one, 1e6), undefined);
  const none = decodeRowState(withoutDueFields(hashState({ a: 1, b: 2 }, VERSION), 5) as Uint8Array);
  assert.equal(none.type, rowType.DELETED);
  assert.deepEqual(none.modified, VERSION);
});

void test('the first healthy owner removes fields whose deadline has passed', async () => {
  const topology = threeMembers();
  const owners = { current: [2, 3, 1], incoming: [] };
  const slots = topology.slots.map(({ since }) => ({ owners, since }));
  const cluster = new TestCluster({ members: 3, topology: { ...topology, slots }, random: new Prng(1) });
  const { kernel } = cluster;
  const submitters = new Set<number>();
  const nowMs = (): number => Math.floor(BENCH_MS + kernel.nowMs);
  const expiries = cluster.nodes.map(
    (node) =>
      new ClusterFieldExpiry({
        store: node.store,
        state: node.state,
        view: node.view,
        change: (row, change, timeoutMs, done) => {
          submitters.add(node.id);
          node.coordinator.change(row, change, kernel.nowMs + timeoutMs, done);
        },
        nowMs,
        onExpired: () => {},
      }),
  );
  const sweepAll = async (): Promise<void> => {
    for (const expiry of expiries) while (await expiry.sweep());
    await cluster.run(kernel.nowMs + 50);
  };
  const rows = Array.from({ length: 250 }, (_, i) => rowOf(`key:${i}`));
  for (const [i, row] of rows.entries()) {
    const fields = { a: BENCH_MS + 500, b: BENCH_MS + 9000, ...(i % 2 === 0 ? { c: 0 } : {}) };
    cluster.node(1).coordinator.change(
      row,
      (_state, ballot) => ({ state: hashState(fields, ballot), reply: 0 }),
      400,
      () => {},
    );
  }
  await cluster.run(100);
  await sweepAll();
  assert.equal(submitters.size, 0, 'nothing is due');
  await cluster.run(600);
  for (const node of cluster.nodes) assert.equal(recordsOf(node, nowMs()), rows.length);
  for (let i = 0; i < 4; i++) await sweepAll();
  assert.deepEqual([...submitters], [2]);
  for (const node of cluster.nodes) assert.equal(recordsOf(node, nowMs()), 0, 'no record is left that is due');
  for (const node of cluster.nodes) assert.equal(recordsOf(node, nowMs() + 20_000), rows.length);
  await cluster.run(9100);
  for (let i = 0; i < 4; i++) await sweepAll();
  for (const node of cluster.nodes) assert.equal(recordsOf(node, nowMs() + 20_000), 0, 'no record is left');
  const states: (Uint8Array | undefined)[] = [];
  for (const row of rows) {
    cluster.node(3).coordinator.change(
      row,
      (state) => {
        states.push(state);
        return { state, reply: 0 };
      },
      kernel.nowMs + 400,
      () => {},
    );
  }
  await cluster.run(kernel.nowMs + 200);
  const left = states.filter((state) => state !== undefined && decodeRowState(state).type !== rowType.DELETED);
  assert.equal(left.length, rows.length / 2);
  for (const state of left) assert.deepEqual(namesOf(state as Uint8Array), ['c']);
  cluster.close();
});
