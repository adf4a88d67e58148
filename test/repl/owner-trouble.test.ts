/** An owner in trouble: stamps used up, a disk that does not give what it needs, more requests than it can keep. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foundTopology } from '../../src/cluster/topology.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { type Found, lookup, type Lookup } from '../../src/engine/store.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { KeyspaceState } from '../../src/repl/keyspace.ts';
import { MAX_KEPT_BYTES, MissedWrites } from '../../src/repl/missed-writes.ts';
import { Owner } from '../../src/repl/owner.ts';
import type { AcceptRequest, OwnerAnswer } from '../../src/repl/owner-message.ts';
import { compareVersions, ZERO_VERSION } from '../../src/repl/version.ts';
import { WaitingRoom } from '../../src/repl/waiting-room.ts';
import { MemoryStore } from '../support/memory-store.ts';
import {
  ask,
  askNow,
  ballot,
  BENCH_MS,
  benchClock,
  BenchView,
  memberOf,
  realTimers,
  rowOf,
  stringState,
  threeMembers,
} from './owner-bench.ts';
import { silent } from '../support/silent-log.ts';

const ROW = rowOf('key');

function newOwner(parts: { store?: MemoryStore; view?: BenchView; hlc?: Hlc; limits?: { requests?: number } }): Owner {
  const { store = new MemoryStore(), view = new BenchView(threeMembers()), hlc = benchClock(), limits = {} } = parts;
  const env = { timers: realTimers, log: silent };
  return new Owner({ env, store, state: new KeyspaceState(), hlc, promisedBefore: ZERO_VERSION, view, limits });
}

void test('rows become shared though no stamps are left: all that were given count as promised', () => {
  const alone = foundTopology('c'.repeat(32), memberOf(1), 3);
  const view = new BenchView(alone);
  let isFirst = true;
  const persist = (): undefined | Promise<void> => {
    if (!isFirst) return new Promise(() => undefined);
    isFirst = false;
    return undefined;
  };
  const hlc = new Hlc({ wallMs: () => BENCH_MS, ceiling: 0, persist, ceilingStepMs: 10, ceilingMarginMs: 1 });
  let given = 0;
  assert.throws(() => {
    for (;;) given = hlc.next();
  }, EngineError);
  const owner = newOwner({ view, hlc });
  view.change({ kind: 'add-member', member: memberOf(2) });
  const answer = askNow(owner, { kind: 'prepare', row: ROW, ballot: ballot(1), have: ZERO_VERSION });
  assert.equal(answer.kind, 'conflict');
  assert.ok(answer.kind === 'conflict' && compareVersions(answer.max, { stamp: given, actor: 0 }) > 0);
});

/** Says of one key that its block is on disk, and cannot fetch it for a while. */
class SickStore extends MemoryStore {
  failures = 3;
  private isAway = true;
  override get(key: Uint8Array, keyLength: number, found: Found): Lookup {
    if (this.isAway && Buffer.from(key).includes('cluster')) {
      if (this.failures === 1) throw new EngineError('corruption', 'a damaged block');
      return lookup.MISS;
    }
    return super.get(key, keyLength, found);
  }
  override fetch(key: Uint8Array): Promise<void> {
    if (this.failures-- > 0) return Promise.reject(new EngineError('refused', 'the disk does not answer'));
    this.isAway = false;
    return super.fetch(key);
  }
  heal(): void {
    this.failures = 0;
  }
}

void test('an owner that cannot read which slots are new to it says nothing, and tries again until it can', async () => {
  const store = new SickStore();
  const owner = newOwner({ store });
  const read = { kind: 'read', row: ROW, digest: false } as const;
  assert.deepEqual(askNow(owner, read), { kind: 'unable', reason: 'refused' });
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(askNow(owner, read), { kind: 'unable', reason: 'refused' });
  store.heal();
  let answer: OwnerAnswer<Uint8Array> = { kind: 'unsent' };
  for (let i = 0; i < 100 && answer.kind !== 'held'; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    answer = await ask(owner, read);
  }
  assert.equal(answer.kind, 'held');
});

void test('requests that wait are bounded in number and bytes; those that find no room are refused', async () => {
  const store = new MemoryStore();
  const owner = newOwner({ store, limits: { requests: 2 } });
  const accept = {
    kind: 'accept',
    row: ROW,
    ballot: ballot(1),
    value: stringState('v', ballot(1)),
    next: ballot(1),
  } as const;
  const rows = [1, 2, 3].map((i) => rowOf(`key:${i}`));
  for (const row of rows) assert.equal((await ask(owner, { ...accept, row })).kind, 'accepted');
  store.chill();
  const asked = rows.map((row) => ask(owner, { kind: 'read', row, digest: false }));
  assert.equal(owner.waiting, 2);
  const kinds = (await Promise.all(asked)).map(({ kind }) => kind);
  assert.deepEqual(kinds, ['held', 'held', 'unable']);
  assert.equal(owner.waiting, 0);

  const room = new WaitingRoom({ bytes: 1_000 });
  const large: AcceptRequest<Uint8Array> = { ...accept, value: new Uint8Array(600) };
  const kept = room.enter(large);
  assert.ok(kept !== undefined && kept.value !== large.value);
  assert.equal(room.enter(large), undefined);
  assert.notEqual(room.enter(accept), undefined);
  room.leave(kept);
  assert.notEqual(room.enter(large), undefined);
});

void test('writes kept back until they are known to be chosen are bounded in bytes', () => {
  const hints: number[] = [];
  const missed = new MissedWrites({ keepHint: (target) => hints.push(target) > 0, read: () => undefined });
  const half = new Uint8Array(MAX_KEPT_BYTES / 2 - 100);
  const requests = [1, 2, 3].map((count): AcceptRequest<Uint8Array> => {
    return { kind: 'accept', row: ROW, ballot: ballot(count), value: half, next: ballot(count) };
  });
  for (const [i, request] of requests.entries()) missed.undecided(i + 1, request, 0);
  for (const request of requests) missed.chosen(request.ballot);
  assert.deepEqual(hints, [1, 2], 'there was no room for the third');
  missed.undecided(4, requests[2] as AcceptRequest<Uint8Array>, 0);
  missed.sweep(60_000);
  missed.undecided(5, requests[0] as AcceptRequest<Uint8Array>, 60_000);
  missed.undecided(6, requests[1] as AcceptRequest<Uint8Array>, 60_000);
  for (const request of requests) missed.chosen(request.ballot);
  assert.deepEqual(hints, [1, 2, 5, 6], 'what is forgotten or kept for good makes room');
});
