/**
 * What the engine's bench drives: our engine and LevelDB (classic-level) behind one face. Both get the same write buffer
 * and the same block cache, 10 bits of filter a key and no compression.
 */

import { ClassicLevel } from 'classic-level';
import { Engine } from '../../src/engine/engine.ts';
import { LmdbManifest } from '../../src/engine/manifest-lmdb.ts';
import { Found, lookup, type Batch } from '../../src/engine/store.ts';
import { createNodeEnv } from '../../src/env-node.ts';

export const KEY_BYTES = 16;

export interface Sizes {
  readonly writeBufferBytes: number;
  readonly blockCacheBytes: number;
}

/** Keys are numbers in 16 decimal digits. */
export interface Contender {
  readonly name: string;
  open(directory: string, sizes: Sizes): Promise<void>;
  close(): Promise<void>;
  /** One atomic batch. */
  putBatch(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void>;
  /** `to - from` separate writes, as many at a time as one turn of a server brings. */
  putSingles(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void>;
  putDurably(key: number, value: Uint8Array): Promise<void>;
  /** Number of keys that were there. */
  getAll(keys: Uint32Array, from: number, to: number): Promise<number>;
  /** Number of pairs seen. */
  scan(from: number, count: number, reverse: boolean): Promise<number>;
  /** Waits until nothing is compacted any more. */
  settle(): Promise<void>;
}

/** Writes `number` as 16 digits at target[at…]. */
export function writeKey(target: Uint8Array, at: number, number: number): void {
  let rest = number;
  for (let i = at + KEY_BYTES - 1; i >= at; i--) {
    target[i] = 48 + (rest % 10);
    rest = (rest / 10) | 0;
  }
}

function keyOf(number: number): Uint8Array {
  const key = new Uint8Array(KEY_BYTES);
  writeKey(key, 0, number);
  return key;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class KvorumContender implements Contender {
  readonly name = 'kvorum';
  #engine: Engine | undefined;
  #batch: Batch | undefined;
  #waiting: { readonly sequence: number; readonly resolve: () => void }[] = [];
  readonly #found = new Found();
  readonly #key = new Uint8Array(KEY_BYTES);

  get engine(): Engine {
    if (this.#engine === undefined) throw new Error('the store is open');
    return this.#engine;
  }

  async open(directory: string, { writeBufferBytes, blockCacheBytes }: Sizes): Promise<void> {
    const log = { debug() {}, info() {}, warn: console.warn, error: console.error };
    const env = createNodeEnv({ log });
    const engine = await Engine.open({
      ...env,
      directory,
      openManifest: (path) => LmdbManifest.open(env.disk, path),
      options: { memtableBytes: writeBufferBytes, blockCacheBytes, fsync: 'no' },
      onFatal: (error) => {
        throw error;
      },
    });
    engine.onDurable(() => this.#wake());
    this.#engine = engine;
    this.#batch = engine.newBatch();
  }

  async close(): Promise<void> {
    await this.engine.close();
  }

  #wake(): void {
    const durable = this.engine.durableSequence;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) {
      if (each.sequence <= durable) each.resolve();
      else this.#waiting.push(each);
    }
  }

  async #slowDown(): Promise<void> {
    for (let delayMs = this.engine.writeDelayMs; delayMs > 0; delayMs = this.engine.writeDelayMs) {
      const wait = delayMs;
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (wait < 100) break;
    }
  }

  #add(key: number, value: Uint8Array): void {
    const batch = this.#batch as Batch;
    const at = batch.reservePut(KEY_BYTES, value.length);
    writeKey(batch.bytes, at, key);
    batch.bytes.set(value, at + KEY_BYTES);
  }

  async putBatch(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void> {
    const batch = this.#batch as Batch;
    batch.clear();
    for (let i = from; i < to; i++) this.#add(keys[i] as number, value);
    this.engine.write(batch);
    await turn();
    await this.#slowDown();
  }

  async putSingles(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void> {
    const batch = this.#batch as Batch;
    for (let i = from; i < to; i++) {
      batch.clear();
      this.#add(keys[i] as number, value);
      this.engine.write(batch);
    }
    await turn();
    await this.#slowDown();
  }

  putDurably(key: number, value: Uint8Array): Promise<void> {
    this.engine.setFsyncPolicy('always');
    const batch = this.#batch as Batch;
    batch.clear();
    this.#add(key, value);
    const sequence = this.engine.write(batch);
    return new Promise((resolve) => this.#waiting.push({ sequence, resolve }));
  }

  async getAll(keys: Uint32Array, from: number, to: number): Promise<number> {
    const { engine } = this;
    const key = this.#key;
    const found = this.#found;
    let hits = 0;
    for (let i = from; i < to; i++) {
      writeKey(key, 0, keys[i] as number);
      let said = engine.get(key, KEY_BYTES, found);
      while (said === lookup.MISS) {
        await engine.fetch(key);
        said = engine.get(key, KEY_BYTES, found);
      }
      if (said === lookup.FOUND) hits += found.bytes.slice(found.start, found.end).length > 0 ? 1 : 0;
    }
    return hits;
  }

  async scan(from: number, count: number, reverse: boolean): Promise<number> {
    const cursor = this.engine.cursor({ reverse });
    let seen = 0;
    let said = cursor.seek(keyOf(from));
    while (seen < count) {
      if (said === lookup.ABSENT) break;
      if (said === lookup.MISS) {
        await cursor.load();
        said = seen === 0 ? cursor.seek(keyOf(from)) : cursor.next();
        continue;
      }
      if (cursor.key.length + cursor.value.length > 0) seen++;
      said = cursor.next();
    }
    cursor.close();
    return seen;
  }

  async settle(): Promise<void> {
    await this.engine.flush();
    while (this.engine.metrics()['compaction_running'] === 1) await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export class LevelContender implements Contender {
  readonly name = 'classic-level';
  #database: ClassicLevel<Uint8Array, Uint8Array> | undefined;

  get database(): ClassicLevel<Uint8Array, Uint8Array> {
    if (this.#database === undefined) throw new Error('the store is open');
    return this.#database;
  }

  async open(directory: string, { writeBufferBytes, blockCacheBytes }: Sizes): Promise<void> {
    const database = new ClassicLevel<Uint8Array, Uint8Array>(directory, {
      keyEncoding: 'view',
      valueEncoding: 'view',
    });
    await database.open({ writeBufferSize: writeBufferBytes, cacheSize: blockCacheBytes, compression: false });
    this.#database = database;
  }

  async close(): Promise<void> {
    await this.database.close();
  }

  async putBatch(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void> {
    const batch = this.database.batch();
    for (let i = from; i < to; i++) batch.put(keyOf(keys[i] as number), value);
    await batch.write();
  }

  async putSingles(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void> {
    const running: Promise<void>[] = [];
    for (let i = from; i < to; i++) running.push(this.database.put(keyOf(keys[i] as number), value));
    await Promise.all(running);
  }

  putDurably(key: number, value: Uint8Array): Promise<void> {
    return this.database.put(keyOf(key), value, { sync: true });
  }

  getAll(keys: Uint32Array, from: number, to: number): Promise<number> {
    const key = new Uint8Array(KEY_BYTES);
    let hits = 0;
    for (let i = from; i < to; i++) {
      writeKey(key, 0, keys[i] as number);
      const value = this.database.getSync(key);
      if (value !== undefined && value.length > 0) hits++;
    }
    return Promise.resolve(hits);
  }

  async scan(from: number, count: number, reverse: boolean): Promise<number> {
    const bound = reverse ? { lte: keyOf(from) } : { gte: keyOf(from) };
    const iterator = this.database.iterator({ ...bound, reverse, limit: count, highWaterMarkBytes: 1 << 20 });
    let seen = 0;
    for (;;) {
      const pairs = await iterator.nextv(1000);
      if (pairs.length === 0) break;
      seen += pairs.length;
    }
    await iterator.close();
    return seen;
  }

  async settle(): Promise<void> {
    // LevelDB does not tell; it compacts in one thread, which is idle once the files stop changing.
    const bytes = async (): Promise<string> => this.database.getProperty('leveldb.stats');
    for (let before = await bytes(), same = 0; same < 4;) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      const after = await bytes();
      same = after === before ? same + 1 : 0;
      before = after;
    }
  }
}
