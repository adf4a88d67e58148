/** Who is asked by an owner that has forgotten something, and the bytes of the questions; the rest: sim/node/forgetting. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyspaceState } from '../../src/repl/keyspace.ts';
import { answerMove, encodeMoveRequest } from '../../src/repl/slot-move.ts';
import { decodeRecall, encodeRecall, isEnough } from '../../src/repl/slot-recovery.ts';
import { Owner } from '../../src/repl/owner.ts';
import { ZERO_VERSION } from '../../src/repl/version.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { askNow, ballot, benchClock, BenchView, realTimers, rowOf, stringState, threeMembers } from './owner-bench.ts';
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
  assert.deepEqual(await owner.recall.heldVersion(row), ballot(7));
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
