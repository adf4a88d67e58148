/** Rows too large to be shared are found, whatever they are made of; deleted, flushed and small ones are not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findLargeRow } from '../../src/repl/large-rows.ts';
import { Keyspace, KeyspaceState } from '../../src/repl/keyspace.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { BENCH_MS, benchClock, realTimers } from './owner-bench.ts';

const LIMIT = 20_000;

class Bench {
  readonly store = new MemoryStore();
  readonly keyspace = new Keyspace({ store: this.store, state: new KeyspaceState(), hlc: benchClock(), actor: 1 });
  private readonly view = this.keyspace.newView();

  set(database: number, key: string, bytes: number): void {
    this.view.begin(database, BENCH_MS);
    this.view.setString(this.view.row(Buffer.from(key)), Buffer.alloc(bytes, 1), 0);
    this.keyspace.commit(this.view);
  }

  delete(key: string): void {
    this.view.begin(0, BENCH_MS);
    this.view.remove(this.view.row(Buffer.from(key)));
    this.keyspace.commit(this.view);
  }

  find() {
    return findLargeRow({ store: this.store, timers: realTimers, keyspace: this.keyspace }, LIMIT);
  }
}

void test('the row, its database and size are told', async () => {
  const bench = new Bench();
  for (let i = 0; i < 3_000; i++) bench.set(i % 3, `key:${i}`, i % 100);
  bench.set(0, 'nearly', LIMIT - 100);
  assert.equal(await bench.find(), undefined);
  bench.set(2, 'large', LIMIT + 1);
  const large = await bench.find();
  assert.equal(large?.key, 'large');
  assert.equal(large?.database, 2);
  assert.ok(large !== undefined && large.bytes > LIMIT && large.bytes < LIMIT + 100);
});

void test('rows that are gone, or were shortened, do not count', async () => {
  const bench = new Bench();
  bench.set(0, 'deleted', 2 * LIMIT);
  bench.set(0, 'shortened', 2 * LIMIT);
  assert.notEqual(await bench.find(), undefined);
  bench.delete('deleted');
  bench.set(0, 'shortened', 5);
  assert.equal(await bench.find(), undefined);
});

void test('what is on disk is fetched', async () => {
  const bench = new Bench();
  bench.set(0, 'large', LIMIT + 1);
  bench.store.chill();
  assert.equal((await bench.find())?.key, 'large');
});
