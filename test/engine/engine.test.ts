import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { textOf, utf8 } from '../../src/bytes.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { EngineOpen } from '../../src/engine/engine-options.ts';
import type { FsyncPolicy, Store } from '../../src/engine/store.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import { createNodeEnv } from '../../src/env-node.ts';
import { silent } from '../support/silent-log.ts';

async function withDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'kvorum-engine-'));
  try {
    await run(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function opening(directory: string, options: EngineOpen['options'] = {}): EngineOpen {
  return { ...createNodeEnv({ log: silent }), directory, options: { memtableBytes: 1 << 16, ...options } };
}

function put(store: Store, key: string, value: string): number {
  const batch = store.newBatch();
  batch.put(utf8(key), utf8(value));
  return store.write(batch);
}

async function read(store: Store, key: string): Promise<string | undefined> {
  const found = new Found();
  const bytes = utf8(key);
  for (;;) {
    const said = store.get(bytes, bytes.length, found);
    if (said === lookup.ABSENT) return undefined;
    if (said === lookup.FOUND) return textOf(found.bytes.slice(found.start, found.end));
    await store.fetch(bytes);
  }
}

async function durable(store: Store, sequence: number): Promise<void> {
  while (store.durableSequence < sequence) {
    await new Promise<void>((resolve) => {
      const off = store.onDurable(() => {
        off();
        resolve();
      });
    });
  }
}

async function keysOf(store: Store, options: Parameters<Store['cursor']>[0] = {}): Promise<string[]> {
  const cursor = store.cursor(options);
  const keys: string[] = [];
  for (;;) {
    const said = cursor.next();
    if (said === lookup.MISS) await cursor.load();
    else if (said === lookup.ABSENT) break;
    else keys.push(textOf(cursor.key.slice()));
  }
  cursor.close();
  return keys;
}

for (const fsync of ['always', 'everysec', 'no'] satisfies FsyncPolicy[]) {
  test(`what was acknowledged is there after a reopen (fsync ${fsync})`, async () => {
    await withDirectory(async (directory) => {
      const first = await Engine.open(opening(directory, { fsync }));
      for (let i = 0; i < 3000; i++) put(first, `key-${i % 1000}`, `value ${i} ${'x'.repeat(i % 200)}`);
      const last = put(first, 'last', 'one');
      await durable(first, last);
      await first.close();
      const second = await Engine.open(opening(directory, { fsync }));
      assert.equal(second.lastSequence, last);
      assert.equal(await read(second, 'last'), 'one');
      for (let i = 2000; i < 3000; i++) {
        assert.equal(await read(second, `key-${i % 1000}`), `value ${i} ${'x'.repeat(i % 200)}`);
      }
      assert.equal((await keysOf(second)).length, 1001);
      await second.close();
    });
  });
}

test('cursors walk both ways within their bounds and do not see later writes', async () => {
  await withDirectory(async (directory) => {
    const store = await Engine.open(opening(directory));
    for (const key of ['b', 'd', 'a', 'c', 'e']) put(store, key, key);
    const snapshot = store.snapshot();
    put(store, 'bb', 'later');
    const batch = store.newBatch();
    batch.delete(utf8('c'));
    store.write(batch);
    assert.deepEqual(await keysOf(store), ['a', 'b', 'bb', 'd', 'e']);
    assert.deepEqual(await keysOf(store, { reverse: true }), ['e', 'd', 'bb', 'b', 'a']);
    assert.deepEqual(await keysOf(store, { snapshot }), ['a', 'b', 'c', 'd', 'e']);
    const bounds = { lower: utf8('b'), upper: utf8('d') };
    assert.deepEqual(await keysOf(store, bounds), ['b', 'bb']);
    assert.deepEqual(await keysOf(store, { ...bounds, reverse: true, snapshot }), ['c', 'b']);
    snapshot.release();
    await store.close();
  });
});

test('a range delete hides what came before it and nothing after', async () => {
  await withDirectory(async (directory) => {
    const store = await Engine.open(opening(directory));
    for (const key of ['a', 'b', 'c', 'd']) put(store, key, key);
    const batch = store.newBatch();
    batch.deleteRange(utf8('b'), utf8('d'));
    store.write(batch);
    put(store, 'c', 'again');
    assert.deepEqual(await keysOf(store), ['a', 'c', 'd']);
    assert.equal(await read(store, 'b'), undefined);
    assert.equal(await read(store, 'c'), 'again');
    await store.close();
  });
});

test('the memtable that was flushed last still answers look-ups, as tables would', async () => {
  await withDirectory(async (directory) => {
    const store = await Engine.open(opening(directory));
    const metric = (name: string): number => store.metrics()[name] as number;
    for (let i = 0; i < 100; i++) put(store, `key-${i}`, `old ${i}`);
    await store.flush();
    const batch = store.newBatch();
    batch.delete(utf8('key-7'));
    batch.deleteRange(utf8('key-2'), utf8('key-3'));
    batch.put(utf8('key-25'), utf8('new'));
    store.write(batch);
    // The memtable fills up and is frozen and flushed; the next one is not yet where it wants the memory.
    for (let i = 0; metric('memtables_frozen') === 0; i++) put(store, `filler-${i}`, 'x'.repeat(1000));
    while (metric('memtables_frozen') > 0) await new Promise((resolve) => setImmediate(resolve));
    const found = new Found();
    const looksUp = (key: string): number => store.get(utf8(key), key.length, found);
    assert.equal(looksUp('key-25'), lookup.FOUND);
    assert.equal(textOf(found.bytes.slice(found.start, found.end)), 'new');
    assert.equal(found.sequence, 0, 'what is in tables is durable');
    assert.equal(looksUp('key-7'), lookup.ABSENT);
    assert.equal(looksUp('key-22'), lookup.ABSENT);
    assert.equal(found.sequence, 0);
    assert.equal(await read(store, 'key-1'), 'old 1');
    await store.close();
  });
});

test('random look-ups while memtables fill up and are flushed one after another', async () => {
  await withDirectory(async (directory) => {
    const store = await Engine.open(opening(directory));
    const metric = (name: string): number => store.metrics()[name] as number;
    const model = new Map<string, string>();
    const found = new Found();
    let state = 20_261_121;
    const below = (limit: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % limit;
    };
    for (let step = 0; metric('flushes') < 12; step++) {
      assert.ok(step < 100_000, 'memtables are flushed');
      const key = `key-${below(300)}`;
      const batch = store.newBatch();
      if (below(40) === 0) {
        const to = `${key}9`;
        batch.deleteRange(utf8(key), utf8(to));
        for (const each of model.keys()) if (each >= key && each < to) model.delete(each);
      } else if (below(8) === 0) {
        batch.delete(utf8(key));
        model.delete(key);
      } else {
        const value = `${step} ${'x'.repeat(below(600))}`;
        batch.put(utf8(key), utf8(value));
        model.set(key, value);
      }
      store.write(batch);
      for (let i = 0; i < 4; i++) {
        const asked = `key-${below(310)}`;
        const said = store.get(utf8(asked), asked.length, found);
        const value = said === lookup.FOUND ? textOf(found.bytes.slice(found.start, found.end)) : undefined;
        if (said !== lookup.MISS) assert.equal(value, model.get(asked), `${asked} at step ${step}`);
      }
      // Flushes end now and then before the next memtable is full, and none waits behind many.
      const wait = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
      if (below(4) === 0) await wait();
      while (metric('memtables_frozen') > 1) await wait();
    }
    for (const [key, value] of model) assert.equal(await read(store, key), value);
    await store.close();
  });
});
