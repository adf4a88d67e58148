/** An owner over a store in memory: what it says, what it writes, when it says it, and what becomes of slots that move. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Found, lookup, type Batch } from '../../src/engine/store.ts';
import { Head, headFlag, readHead } from '../../src/repl/head.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { expiryKey, headKey, slotOfHead } from '../../src/repl/row-key.ts';
import { decodeRowState, deletedRowState } from '../../src/repl/row-state.ts';
import { ZERO_VERSION } from '../../src/repl/version.ts';
import { MemoryStore } from '../support/memory-store.ts';
import {
  ask,
  askNow,
  ballot,
  BENCH_MS,
  benchClock,
  benchOwner,
  BenchView,
  memberOf,
  rowOf,
  stringState,
  threeMembers,
} from './owner-bench.ts';

const ROW = rowOf('key');
const SLOT = slotOfHead(Buffer.from(ROW, 'latin1'));

/** A store whose writes become durable when it is told so. */
class LazyStore extends MemoryStore {
  private durable = 0;
  override write(batch: Batch): number {
    const before = this.durable;
    const sequence = super.write(batch);
    this.durable = before;
    this.durableSequence = before;
    return sequence;
  }
  sync(): void {
    this.durable = this.lastSequence;
    this.durableSequence = this.lastSequence;
    super.write(this.newBatch());
  }
}

function accept(count: number, value: Uint8Array | undefined, row = ROW) {
  return { kind: 'accept', row, ballot: ballot(count), value, next: ballot(count) } as const;
}

void test('a row that was never written is promised, accepted and read', () => {
  const owner = benchOwner(new MemoryStore(), new BenchView(threeMembers()));
  assert.deepEqual(askNow(owner, { kind: 'read', row: ROW, digest: false }), {
    kind: 'held',
    version: ZERO_VERSION,
    value: undefined,
  });
  const prepare = { kind: 'prepare', row: ROW, ballot: ballot(1), have: ZERO_VERSION } as const;
  assert.deepEqual(askNow(owner, prepare), { kind: 'promised', version: ZERO_VERSION, value: undefined });
  assert.deepEqual(askNow(owner, prepare), { kind: 'conflict', max: ballot(1), held: ZERO_VERSION });
  const state = stringState('value', ballot(1));
  assert.deepEqual(askNow(owner, accept(1, state)), { kind: 'accepted' });
  assert.deepEqual(askNow(owner, accept(1, state)), { kind: 'accepted' });
  assert.deepEqual(askNow(owner, accept(0, state)), { kind: 'conflict', max: ballot(1), held: ballot(1) });
  const read = askNow(owner, { kind: 'read', row: ROW, digest: false });
  assert.deepEqual(read, { kind: 'held', version: ballot(1), value: state });
  assert.deepEqual(askNow(owner, { kind: 'read', row: ROW, digest: true }), {
    kind: 'held',
    version: ballot(1),
    value: undefined,
  });
  assert.deepEqual(owner.held(ROW), { version: ballot(1), value: state });
  const again = { kind: 'prepare', row: ROW, ballot: ballot(5), have: ballot(1) } as const;
  assert.deepEqual(askNow(owner, again), { kind: 'promised', version: ballot(1), value: undefined });
});

void test('a row that is settled without ever having been written keeps no state', () => {
  const owner = benchOwner(new MemoryStore(), new BenchView(threeMembers()));
  askNow(owner, accept(1, undefined));
  assert.deepEqual(owner.held(ROW), { version: ballot(1), value: undefined });
  askNow(owner, accept(2, deletedRowState(ballot(2))));
  assert.deepEqual(owner.held(ROW), { version: ballot(2), value: deletedRowState(ballot(2)) });
});

void test('what a single node wrote reads as a state with that version, and the other way round', () => {
  const store = new MemoryStore();
  const state = new KeyspaceState();
  const hlc = benchClock();
  const keyspace = new Keyspace({ store, state, hlc, actor: 77 });
  const view = keyspace.newView();
  const long = 'x'.repeat(5_000);
  for (const value of ['short', long]) {
    view.begin(0, BENCH_MS);
    view.setString(view.row(Buffer.from('key')), Buffer.from(value), BENCH_MS + 50);
    keyspace.commit(view);
    const owner = benchOwner(store, new BenchView(threeMembers()), state, hlc);
    const held = owner.held(ROW);
    const told = decodeRowState(held?.value as Uint8Array);
    assert.equal(Buffer.from(told.value).toString(), value);
    assert.equal(told.expiresAtMs, BENCH_MS + 50);
    assert.deepEqual(told.modified, held?.version);
    assert.equal(held?.version.actor, 77);
  }
  const owner = benchOwner(store, new BenchView(threeMembers()), state, hlc);
  for (const value of ['again', long, 'short']) {
    const held = owner.held(ROW);
    const next = { stamp: hlc.next(), actor: 3 };
    assert.ok((held?.version.stamp ?? 0) < next.stamp);
    const request = {
      kind: 'accept',
      row: ROW,
      ballot: next,
      value: stringState(value, next, BENCH_MS + 90),
      next,
    } as const;
    assert.deepEqual(askNow(owner, request), { kind: 'accepted' });
    view.begin(0, BENCH_MS);
    const row = view.row(Buffer.from('key'));
    assert.equal(Buffer.from(view.string(row)).toString(), value);
    assert.equal(row.expiresAtMs, BENCH_MS + 90);
    assert.equal(keyspace.size(0), 1);
  }
});

void test('heads carry what was born and died, the expiry index follows, and elements go with their heads', () => {
  const store = new MemoryStore();
  const state = new KeyspaceState();
  const owner = benchOwner(store, new BenchView(threeMembers()), state);
  const flagsAfter = (): number => {
    const found = new Found();
    const key = Buffer.from(ROW, 'latin1');
    assert.equal(store.get(key, key.length, found), lookup.FOUND);
    const head = new Head();
    readHead(head, found.bytes, found.start, found.end);
    return head.flags & (headFlag.BORN | headFlag.DIED);
  };
  const isIndexed = (deadlineMs: number): boolean => {
    const key = expiryKey(deadlineMs, Buffer.from(ROW, 'latin1'));
    return store.get(key, key.length, new Found()) === lookup.FOUND;
  };
  const before = store.size;
  askNow(owner, accept(1, stringState('a', ballot(1), 5_000)));
  assert.equal(flagsAfter(), headFlag.BORN);
  assert.ok(isIndexed(5_000));
  askNow(owner, accept(2, stringState('b'.repeat(2_000), ballot(2), 6_000)));
  assert.equal(flagsAfter(), 0);
  assert.ok(!isIndexed(5_000) && isIndexed(6_000));
  assert.equal(state.counts.inSlot(0, SLOT), 1);
  assert.equal(store.size - before, 3);
  askNow(owner, accept(3, deletedRowState(ballot(3))));
  assert.equal(flagsAfter(), headFlag.DIED);
  assert.ok(!isIndexed(6_000));
  assert.equal(state.counts.inSlot(0, SLOT), 0);
  assert.equal(store.size - before, 1);
});

void test('rows on disk are fetched, and the request is taken up again with bytes of its own', async () => {
  const store = new MemoryStore();
  const owner = benchOwner(store, new BenchView(threeMembers()));
  askNow(owner, accept(1, stringState('c'.repeat(3_000), ballot(1))));
  store.chill();
  assert.equal(owner.held(ROW), undefined);
  const read = await ask(owner, { kind: 'read', row: ROW, digest: false });
  assert.equal(read.kind === 'held' && read.value?.length, 3_015);
  store.chill();
  assert.equal(owner.held(rowOf('other'))?.value, undefined);
  const value = stringState('new', ballot(2));
  const answer = ask(owner, accept(2, value));
  value.fill(0);
  assert.deepEqual(await answer, { kind: 'accepted' });
  assert.deepEqual(owner.held(ROW)?.value, stringState('new', ballot(2)));
  assert.ok(owner.counts.fetches >= 3);
});

void test('nothing that shows a version leaves before the version is durable', () => {
  const store = new LazyStore();
  const owner = benchOwner(store, new BenchView(threeMembers()));
  store.sync();
  const told: string[] = [];
  const say = (name: string) => (answer: { kind: string }) => told.push(`${name} ${answer.kind}`);
  owner.ask(accept(1, stringState('a', ballot(1))), 1_000, say('accept'));
  owner.ask({ kind: 'read', row: ROW, digest: true }, 1_000, say('read'));
  owner.ask({ kind: 'prepare', row: ROW, ballot: ballot(2), have: ZERO_VERSION }, 1_000, say('prepare'));
  owner.ask({ kind: 'read', row: rowOf('other'), digest: true }, 1_000, say('other'));
  owner.ask({ kind: 'prepare', row: ROW, ballot: ballot(1), have: ZERO_VERSION }, 1_000, say('late'));
  assert.deepEqual(told, ['other held', 'late conflict']);
  assert.equal(owner.waiting, 3);
  store.sync();
  assert.deepEqual(told.slice(2), ['accept accepted', 'read held', 'prepare promised']);
  assert.equal(owner.waiting, 0);
});

void test('what is not to be answered here is refused', async () => {
  const store = new MemoryStore();
  const view = new BenchView(undefined);
  const owner = benchOwner(store, view);
  const read = { kind: 'read', row: ROW, digest: true } as const;
  assert.deepEqual(askNow(owner, read), { kind: 'unable', reason: 'refused' });
  view.set(threeMembers());
  assert.equal(askNow(owner, read, 1).kind, 'held');
  view.change({ kind: 'start-moves', moves: [{ slot: SLOT, to: [2, 3] }] });
  assert.deepEqual(askNow(owner, read, 2), { kind: 'stale', epoch: 3 });
  assert.equal(askNow(owner, read, 3).kind, 'held');
  view.change({ kind: 'finish-moves', slots: [SLOT] });
  assert.deepEqual(askNow(owner, read, 4), { kind: 'unable', reason: 'refused' });
  assert.equal(owner.held(ROW), undefined);
  await owner.close();
});

void test('a full disk refuses what writes, and what would lead to a write', () => {
  const store = new MemoryStore();
  const owner = benchOwner(store, new BenchView(threeMembers()));
  store.refusal = { code: 'disk-full', message: 'the disk is full' };
  const refused = { kind: 'unable', reason: 'refused' };
  assert.deepEqual(askNow(owner, accept(1, stringState('a', ballot(1)))), refused);
  assert.deepEqual(askNow(owner, { kind: 'prepare', row: ROW, ballot: ballot(2), have: ZERO_VERSION }), refused);
  assert.equal(askNow(owner, { kind: 'read', row: ROW, digest: false }).kind, 'held');
});

void test('what is no state is refused before anything is decided', () => {
  const owner = benchOwner(new MemoryStore(), new BenchView(threeMembers()));
  assert.deepEqual(askNow(owner, accept(3, Buffer.from('nonsense'))), { kind: 'unable', reason: 'refused' });
  assert.equal(askNow(owner, { kind: 'prepare', row: ROW, ballot: ballot(1), have: ZERO_VERSION }).kind, 'promised');
});

void test('own versions from before the cluster are below what counts as promised in it', () => {
  const store = new MemoryStore();
  const state = new KeyspaceState();
  const hlc = benchClock();
  const keyspace = new Keyspace({ store, state, hlc, actor: 9 });
  const view = keyspace.newView();
  view.begin(0, BENCH_MS);
  view.setString(view.row(Buffer.from('key')), Buffer.from('v'), 0);
  keyspace.commit(view);
  const owner = benchOwner(store, new BenchView(threeMembers()), state, hlc);
  const held = owner.held(ROW)?.version;
  const low = { stamp: (held?.stamp ?? 0) - 1, actor: 5 };
  const answer = askNow(owner, { kind: 'prepare', row: rowOf('never'), ballot: low, have: ZERO_VERSION });
  assert.equal(answer.kind, 'conflict');
});

void test('a flush from before the cluster keeps new versions above it', () => {
  const store = new MemoryStore();
  const state = new KeyspaceState();
  const hlc = benchClock();
  const keyspace = new Keyspace({ store, state, hlc, actor: 9 });
  const view = keyspace.newView();
  view.begin(0, BENCH_MS);
  view.setString(view.row(Buffer.from('key')), Buffer.from('v'), 0);
  view.setString(view.row(Buffer.from('k2'), 1), Buffer.from('v'), 0);
  keyspace.commit(view);
  view.begin(0, BENCH_MS);
  view.flush(0);
  keyspace.commit(view);
  const mark = state.flushMarks[0] as number;
  const owner = benchOwner(store, new BenchView(threeMembers()), state, hlc);
  assert.deepEqual(owner.held(ROW), { version: ZERO_VERSION, value: undefined });
  const low = { stamp: mark, actor: 1 };
  const answer = askNow(owner, { kind: 'accept', row: ROW, ballot: low, value: undefined, next: low });
  assert.equal(answer.kind, 'conflict');
});

void test('a slot that comes back is emptied before it is spoken for', async () => {
  const store = new MemoryStore();
  const state = new KeyspaceState();
  const view = new BenchView(threeMembers());
  const owner = benchOwner(store, view, state);
  for (let i = 0; i < 200; i++) {
    askNow(owner, accept(10 + i, stringState('v', ballot(10 + i)), rowOf(`{key}${i}`)));
  }
  askNow(owner, accept(500, stringState('v', ballot(500)), rowOf('other')));
  assert.equal(state.counts.inSlot(0, SLOT), 200);
  view.change({ kind: 'start-moves', moves: [{ slot: SLOT, to: [2] }] });
  view.change({ kind: 'finish-moves', slots: [SLOT] });
  view.change({ kind: 'start-moves', moves: [{ slot: SLOT, to: [1] }] });
  const row = rowOf('{key}1');
  assert.deepEqual(askNow(owner, { kind: 'read', row, digest: true }), { kind: 'unable', reason: 'refused' });
  await owner.settled();
  assert.deepEqual(askNow(owner, { kind: 'read', row, digest: true }), {
    kind: 'held',
    version: ZERO_VERSION,
    value: undefined,
  });
  assert.equal(state.counts.inSlot(0, SLOT), 0);
  assert.equal(state.counts.total(0), 1);
  // What it takes now survives a restart in the middle of the move.
  askNow(owner, accept(600, stringState('copied', ballot(600)), row));
  const restarted = benchOwner(store, view, state);
  assert.deepEqual(restarted.held(row)?.version, ballot(600));
});

void test('a node that joins a cluster brings nothing along, not even its tombstones and flush marks', async () => {
  const store = new MemoryStore();
  const state = new KeyspaceState();
  const own = new BenchView(threeMembers());
  const before = benchOwner(store, own, state);
  askNow(before, accept(1, deletedRowState(ballot(1))));
  state.flushMarks[0] = 5;
  await before.close();
  const joined = threeMembers();
  const view = new BenchView({ ...joined, clusterId: 'd'.repeat(32) }, 4);
  view.change({ kind: 'add-member', member: memberOf(4) });
  const owner = benchOwner(store, view, state);
  view.change({ kind: 'start-moves', moves: [{ slot: SLOT, to: [4] }] });
  await owner.settled();
  assert.deepEqual(owner.held(ROW), { version: ZERO_VERSION, value: undefined });
  assert.equal(state.flushMarks[0], 0);
  const key = headKey(0, Buffer.from('key'));
  assert.equal(store.get(key, key.length, new Found()), lookup.ABSENT);
});
