/**
 * Who is asked by an owner that has forgotten something, the bytes of the questions, what is brought after a repair; the
 * rest: sim/node/forgetting.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY } from '../../src/bytes.ts';
import { lookup } from '../../src/engine/store.ts';
import { packCollection } from '../../src/repl/element-pack.ts';
import { ELEMENT, keyPastPrefix } from '../../src/repl/elements.ts';
import { ELEMENT_HEADER, rowType } from '../../src/repl/head.ts';
import { KeyspaceState } from '../../src/repl/keyspace.ts';
import { answerMove, encodeMoveRequest } from '../../src/repl/slot-move.ts';
import { decodeRecall, encodeRecall, isEnough, SlotRecovery } from '../../src/repl/slot-recovery.ts';
import { Owner } from '../../src/repl/owner.ts';
import { markRowOf, slotOfRow } from '../../src/repl/owner-message.ts';
import { encodeRowState } from '../../src/repl/row-state.ts';
import { encodeMarks, slotMarkKey } from '../../src/repl/slot-marks.ts';
import { type Version, ZERO_VERSION } from '../../src/repl/version.ts';
import { Prng } from '../sim/prng.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { TestCluster, type TestNode } from './owner-cluster.ts';
import {
  ask,
  askNow,
  ballot,
  benchClock,
  BenchView,
  realTimers,
  rowOf,
  stringState,
  threeMembers,
} from './owner-bench.ts';
import { silent } from '../support/silent-log.ts';

void test('each quorum that the owner was part of must have somebody who answers', () => {
  const told = (answers: Readonly<Record<number, boolean>>) => (id: number) => answers[id];
  assert.ok(isEnough([1], 1, told({})));
  assert.ok(!isEnough([1, 2, 3], 1, told({ 2: true })));
  assert.ok(isEnough([1, 2, 3], 1, told({ 2: true, 3: true })));
  assert.ok(isEnough([1, 2, 3], 1, told({ 2: false, 3: false })), 'nobody else is left to be asked');
  assert.ok(!isEnough([1, 2, 3, 4, 5], 1, told({ 2: true, 3: true })));
  assert.ok(isEnough([1, 2, 3, 4, 5], 1, told({ 2: true, 3: true, 4: true })));
  assert.ok(
    !isEnough([1, 2, 3, 4, 5], 1, told({ 2: true, 3: true, 4: false })),
    'who is suspect itself does not count',
  );
  assert.ok(isEnough([1, 2, 3, 4, 5], 1, told({ 2: true, 3: true, 4: false, 5: false })));
});

void test('the bytes of RECALL', () => {
  const slots = [{ from: 3, end: 9 }];
  const raise = { kind: 'raise', version: { stamp: 77, actor: 5 }, slots } as const;
  assert.deepEqual(decodeRecall(encodeRecall(raise)), raise);
  const read = { kind: 'read', row: rowOf('key') } as const;
  assert.deepEqual(decodeRecall(encodeRecall(read)), read);
  const request = Uint8Array.of(1, 2, 3);
  assert.deepEqual(decodeRecall(encodeRecall({ kind: 'list', request })), { kind: 'list', request });
  for (const bytes of [[], [4], [1, 0]]) {
    assert.throws(() => decodeRecall(Uint8Array.from(bytes)), { name: 'DamagedError' });
  }
});

void test('a suspect owner votes on nothing, moves nothing, takes what others hold, and then votes again', async () => {
  const store = new MemoryStore();
  const view = new BenchView(threeMembers());
  const env = { timers: realTimers, log: silent };
  const parts = { env, store, state: new KeyspaceState(), hlc: benchClock(), view, mayHaveForgotten: true };
  const owner = new Owner({ ...parts, promisedBefore: { stamp: ballot(50).stamp, actor: 9 } });
  const row = rowOf('key');
  const amnesia = { kind: 'unable', reason: 'amnesia' } as const;
  assert.equal(owner.recall.suspectSlots, 16_384);
  assert.deepEqual(askNow(owner, { kind: 'read', row, digest: false }), amnesia);
  assert.deepEqual(askNow(owner, { kind: 'prepare', row, ballot: ballot(99), have: ZERO_VERSION }), amnesia);
  const late = {
    kind: 'accept',
    row,
    ballot: ballot(99),
    value: stringState('late', ballot(99)),
    next: ballot(99),
  } as const;
  assert.deepEqual(askNow(owner, late), amnesia);
  assert.equal(owner.held(row), undefined);
  const fence = encodeMoveRequest({ kind: 'fence', slots: [{ from: 0, end: 16_384 }] });
  assert.deepEqual([...answerMove(fence, 1, 9, owner)], [0]);
  // Below what it promised, as what others took from coordinators of before.
  const state = stringState('value', ballot(7));
  assert.ok(await owner.recall.restore(row, ballot(7), state));
  assert.ok(await owner.recall.restore(row, ballot(3), stringState('older', ballot(3))));
  assert.deepEqual((await owner.recall.held(row))?.version, ballot(7));
  owner.recall.trust(Array.from({ length: 16_384 }, (_, slot) => slot));
  assert.equal(owner.recall.suspectSlots, 0);
  const held = askNow(owner, { kind: 'read', row, digest: false });
  assert.ok(held.kind === 'held');
  assert.deepEqual(held.version, ballot(7));
  assert.equal(Buffer.compare(held.value ?? new Uint8Array(), state), 0);
  const conflict = askNow(owner, { kind: 'prepare', row, ballot: ballot(40), have: ZERO_VERSION });
  assert.equal(conflict.kind, 'conflict', 'it promised that no more');
  assert.notDeepEqual([...answerMove(fence, 1, 9, owner)], [0]);
});

function collection(count: number, modified: Version): Uint8Array {
  const elements = Array.from({ length: count }, (_, i) => ({
    tag: ELEMENT,
    key: Buffer.from(`field${i + 1_000}`),
    value: Buffer.alloc(20, 'v'),
  }));
  const value = packCollection(count, EMPTY, elements);
  return encodeRowState({ type: rowType.HASH, expiresAtMs: 0, modified, value });
}

/** A node that owns all slots with two others, started anew on its store after a repair that has lost records. */
class Repaired {
  readonly cluster: TestCluster;
  readonly owner: Owner;
  readonly recovery: SlotRecovery;
  private isOver = false;

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
    const { env, store, view, hlc } = cluster.node(1);
    const promisedBefore = { stamp: ballot(50).stamp, actor: 9 };
    const parts = { env, store, state: new KeyspaceState(), hlc, view, promisedBefore };
    this.owner = new Owner({ ...parts, mayHaveForgotten: true });
    this.recovery = new SlotRecovery({
      env,
      view,
      owner: this.owner,
      promisedBefore,
      hasLostRecords: true,
      ask: (to, request, answered) => cluster.node(1).askMember(to, request, answered),
    });
    void this.recovery.run().then(() => (this.isOver = true));
  }

  async run(): Promise<void> {
    await this.cluster.run(20_000, () => this.isOver);
    assert.ok(this.isOver && this.owner.recall.suspectSlots === 0);
  }
}

function newCluster(): TestCluster {
  const topology = threeMembers();
  const owners = { current: [1, 2, 3], incoming: [] };
  const slots = topology.slots.map(({ since }) => ({ owners, since }));
  return new TestCluster({ members: 3, topology: { ...topology, slots }, random: new Prng(1) });
}

/** Changes a record of a row at a node as a lossy repair may: value undefined: it is gone. */
function damage({ store }: TestNode, row: string, suffix: RegExp, value: Uint8Array | undefined): void {
  const head = Buffer.from(row, 'latin1');
  const cursor = store.cursor({ lower: Buffer.concat([head, Buffer.of(0)]), upper: keyPastPrefix(head) as Uint8Array });
  const batch = store.newBatch();
  for (let step = cursor.next(); step === lookup.FOUND; step = cursor.next()) {
    const key = Buffer.from(cursor.key);
    if (!suffix.test(key.subarray(head.length).toString('latin1'))) continue;
    if (value === undefined) batch.delete(key);
    else batch.put(key, Buffer.concat([cursor.value.subarray(0, ELEMENT_HEADER), value]));
  }
  cursor.close();
  assert.ok(batch.count > 0);
  store.write(batch);
}

void test('after a repair what stands apart from its head is brought anew: it may be gone, or older, and nothing tells', async () => {
  const cluster = newCluster();
  const [first, second] = [cluster.node(1), cluster.node(2)];
  const [gone, older, string] = [rowOf('gone'), rowOf('older'), rowOf('string')];
  const long = stringState('v'.repeat(5_000), ballot(1));
  for (const { owner } of cluster.nodes) {
    const accept = (row: string, value: Uint8Array): void =>
      assert.equal(askNow(owner, { kind: 'accept', row, ballot: ballot(1), value, next: ballot(1) }).kind, 'accepted');
    for (const row of [gone, older]) accept(row, collection(100, ballot(1)));
    accept(string, long);
  }
  damage(first, gone, /field101\d$/, undefined);
  // The second one has lost some too: it cannot tell, the third one can.
  damage(second, gone, /field1000$/, undefined);
  damage(first, older, /field1001$/, Buffer.alloc(20, 'o'));
  damage(first, string, /^.$/s, Buffer.alloc(5_000, 'o'));
  const repaired = new Repaired(cluster);
  const { owner } = repaired;
  assert.equal(owner.held(gone), undefined, 'it runs no handler on its own copy');
  const light = askNow(owner, { kind: 'read', row: gone, digest: false, light: true });
  assert.deepEqual(light, { kind: 'unable', reason: 'amnesia' });
  await repaired.run();
  for (const row of [gone, older, string]) {
    const told = askNow(owner, { kind: 'read', row, digest: false });
    assert.ok(told.kind === 'held');
    assert.deepEqual(told.version, ballot(1));
    assert.deepEqual(told.value, row === string ? long : collection(100, ballot(1)));
  }
  cluster.close();
});

void test('a row that nobody has whole any more does not keep the others from being got back', async () => {
  const cluster = newCluster();
  const row = rowOf('key');
  for (const node of cluster.nodes) {
    const request = { kind: 'accept', row, ballot: ballot(1), next: ballot(1) } as const;
    askNow(node.owner, { ...request, value: collection(100, ballot(1)) });
    damage(node, row, /field1000$/, undefined);
  }
  await new Repaired(cluster).run();
  cluster.close();
});

void test('after a repair a flush mark is set anew where its row is there and what was derived from it is not', async () => {
  const cluster = newCluster();
  const row = rowOf('key');
  const mark = markRowOf(slotOfRow(row));
  for (const { owner } of cluster.nodes) {
    const key = {
      kind: 'accept',
      row,
      ballot: ballot(1),
      value: stringState('v', ballot(1)),
      next: ballot(1),
    } as const;
    assert.equal(askNow(owner, key).kind, 'accepted');
    const value = encodeRowState({
      type: rowType.STRING,
      expiresAtMs: 0,
      modified: ballot(2),
      value: encodeMarks([{ database: 0, mark: ballot(2) }]),
    });
    assert.equal(
      (await ask(owner, { kind: 'accept', row: mark, ballot: ballot(2), value, next: ballot(2) })).kind,
      'accepted',
    );
  }
  const { store } = cluster.node(1);
  const batch = store.newBatch();
  batch.delete(slotMarkKey(slotOfRow(row)));
  store.write(batch);
  const repaired = new Repaired(cluster);
  await repaired.run();
  const told = askNow(repaired.owner, { kind: 'read', row, digest: true });
  assert.deepEqual(told, { kind: 'held', version: ballot(2), value: undefined });
  cluster.close();
});
