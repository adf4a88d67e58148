/** The expiry sweeper goes past rows that a damaged table may hold. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineError } from '../../src/engine/engine-error.ts';
import type { Found, Lookup } from '../../src/engine/store.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Keyspace, KeyspaceState, SWEEP_BATCH_ROWS } from '../../src/repl/keyspace.ts';
import { headKey } from '../../src/repl/row-key.ts';
import { MemoryStore } from '../support/memory-store.ts';

const START_MS = 1_700_000_000_000;

/** A store in which some keys may be in a damaged table. */
class DamagedStore extends MemoryStore {
  readonly damaged = new Set<string>();

  override get(key: Uint8Array, keyLength: number, found: Found): Lookup {
    if (this.damaged.has(Buffer.from(key.subarray(0, keyLength)).toString('hex'))) {
      throw new EngineError('corruption', 'table 000001.sst is damaged at offset 0: test');
    }
    return super.get(key, keyLength, found);
  }
}

async function rig(rows: number): Promise<{ store: DamagedStore; keyspace: Keyspace }> {
  const store = new DamagedStore();
  const state = new KeyspaceState();
  await state.load(store);
  const hlc = new Hlc({ wallMs: () => START_MS, ceiling: 0, persist: () => undefined });
  const keyspace = new Keyspace({ store, state, hlc, actor: 1 });
  const view = keyspace.newView();
  view.begin(0, START_MS);
  for (let i = 0; i < rows; i++) view.setString(view.row(name(i)), Buffer.from('v'), START_MS + 1 + i);
  keyspace.commit(view);
  return { store, keyspace };
}

function name(index: number): Buffer {
  return Buffer.from(`row:${index}`);
}

function damage(store: DamagedStore, index: number): void {
  store.damaged.add(Buffer.from(headKey(0, name(index))).toString('hex'));
}

test('damaged rows among the first due are passed over, however many there are', async () => {
  const rows = 3 * SWEEP_BATCH_ROWS;
  const { store, keyspace } = await rig(rows);
  assert.equal(keyspace.size(0), rows);
  for (let i = 0; i < SWEEP_BATCH_ROWS + 5; i++) damage(store, i);
  let sweeps = 0;
  while (await keyspace.sweepExpired(START_MS + 10 * rows)) assert.ok(++sweeps < 10, 'a sweep comes to its end');
  assert.equal(keyspace.size(0), SWEEP_BATCH_ROWS + 5);
  assert.equal(keyspace.expiredRows, rows - SWEEP_BATCH_ROWS - 5);
  // Once they can be read again, the next sweep has them.
  store.damaged.clear();
  while (await keyspace.sweepExpired(START_MS + 10 * rows));
  assert.equal(keyspace.size(0), 0);
});

test('a disk that says no still stops the sweep', async () => {
  const { store, keyspace } = await rig(10);
  store.get = () => {
    throw new EngineError('io', 'the disk failed');
  };
  await assert.rejects(keyspace.sweepExpired(START_MS + 100), { code: 'io' });
});

test('a sweep after the clock was set back begins at the first deadline again', async () => {
  const rows = 2 * SWEEP_BATCH_ROWS;
  const { store, keyspace } = await rig(rows);
  damage(store, 0);
  assert.equal(await keyspace.sweepExpired(START_MS + 10 * rows), true);
  assert.equal(await keyspace.sweepExpired(START_MS + 10), false);
  assert.equal(keyspace.size(0), rows - SWEEP_BATCH_ROWS + 1);
});

test('rows that have become other nodes’ too while they were read are left alone', async () => {
  const { keyspace } = await rig(3);
  assert.equal(await keyspace.sweepExpired(START_MS + 100, () => false), false);
  assert.equal(keyspace.size(0), 3);
  await keyspace.sweepExpired(START_MS + 100, () => true);
  assert.equal(keyspace.size(0), 0);
});
