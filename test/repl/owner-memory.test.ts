/** What an owner remembers of the rows that it wrote, so that it need not ask the engine: when it does, and when not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Found, Lookup } from '../../src/engine/store.ts';
import { rowType } from '../../src/repl/head.ts';
import { encodeRowState } from '../../src/repl/row-state.ts';
import { ZERO_VERSION } from '../../src/repl/version.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { askNow, ballot, benchOwner, BenchView, rowOf, stringState, threeMembers } from './owner-bench.ts';

const ROW = rowOf('key');
const KEY = Buffer.from(ROW, 'latin1');

class CountedStore extends MemoryStore {
  looks = 0;
  override get(key: Uint8Array, keyLength: number, found: Found): Lookup {
    this.looks++;
    return super.get(key, keyLength, found);
  }
}

function scene() {
  const store = new CountedStore();
  const owner = benchOwner(store, new BenchView(threeMembers()));
  /** How often the store was looked at meanwhile. */
  const looks = (work: () => void): number => {
    const before = store.looks;
    work();
    return store.looks - before;
  };
  const accept = (count: number, value: Uint8Array | undefined): void => {
    const request = { kind: 'accept', row: ROW, ballot: ballot(count), value, next: ballot(count) } as const;
    assert.deepEqual(askNow(owner, request), { kind: 'accepted' });
  };
  const version = (): unknown => {
    const told = askNow(owner, { kind: 'read', row: ROW, digest: true });
    assert.equal(told.kind, 'held');
    return 'version' in told ? told.version : undefined;
  };
  return { store, owner, looks, accept, version };
}

void test('what was written last needs no look; its state does', () => {
  const { owner, looks, accept, version } = scene();
  accept(1, stringState('one', ballot(1)));
  assert.equal(
    looks(() => accept(2, stringState('two', ballot(2)))),
    0,
  );
  assert.equal(
    looks(() => assert.deepEqual(version(), ballot(2))),
    0,
  );
  const read = (): void => {
    const told = askNow(owner, { kind: 'read', row: ROW, digest: false });
    assert.deepEqual(told, { kind: 'held', version: ballot(2), value: stringState('two', ballot(2)) });
  };
  assert.equal(looks(read), 1);
});

void test('whatever else is written makes it look again', () => {
  const { store, looks, accept, version } = scene();
  accept(1, stringState('one', ballot(1)));
  const batch = store.newBatch();
  batch.delete(KEY);
  store.write(batch);
  assert.deepEqual(version(), ZERO_VERSION, 'somebody took it away');
  accept(2, stringState('two', ballot(2)));
  batch.clear();
  batch.put(Buffer.from('elsewhere'), Buffer.from('x'));
  store.write(batch);
  assert.equal(
    looks(() => assert.deepEqual(version(), ballot(2))),
    1,
  );
});

void test('a row with a deadline is looked at when it is overwritten', () => {
  const { store, looks, accept } = scene();
  const value = Buffer.from('one');
  const expiresAtMs = Number.MAX_SAFE_INTEGER - 1;
  accept(1, encodeRowState({ type: rowType.STRING, expiresAtMs, modified: ballot(1), value }));
  const before = store.size;
  assert.equal(
    looks(() => accept(2, stringState('two', ballot(2)))),
    1,
  );
  assert.equal(store.size, before - 1, 'its entry in the index of deadlines is gone');
});
