/** Our engine as a contender of the engine's bench. */

import { Engine } from '../../src/engine/engine.ts';
import { LmdbManifest } from '../../src/engine/manifest-lmdb.ts';
import { Found, lookup, type Batch, type Lookup } from '../../src/engine/store.ts';
import { createNodeEnv } from '../../src/env-node.ts';
import { KEY_BYTES, keyOf, turn, writeKey, type Contender, type Sizes } from './engine-contenders.ts';

const MAX_VALUE_BYTES = 1 << 20;

/** Reads that wait for their blocks side by side. */
const READS_AT_ONCE = 8;

export class KvorumContender implements Contender {
  readonly name = 'kvorum';
  #engine: Engine | undefined;
  #batch: Batch | undefined;
  #waiting: { readonly sequence: number; readonly resolve: () => void }[] = [];
  readonly #found = new Found();
  readonly #reply = new Uint8Array(MAX_VALUE_BYTES);
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

  becomeDurable(): Promise<void> {
    this.engine.setFsyncPolicy('always');
    return Promise.resolve();
  }

  putDurably(key: number, value: Uint8Array): Promise<void> {
    const batch = this.#batch as Batch;
    batch.clear();
    this.#add(key, value);
    const sequence = this.engine.write(batch);
    return new Promise((resolve) => this.#waiting.push({ sequence, resolve }));
  }

  async getAll(keys: Uint32Array, from: number, to: number): Promise<number> {
    const waiting: Uint8Array[] = [];
    let hits = 0;
    for (let i = from; i < to; i++) {
      writeKey(this.#key, 0, keys[i] as number);
      const said = this.#getOne(this.#key);
      if (said === lookup.FOUND) hits++;
      if (said !== lookup.MISS) continue;
      waiting.push(this.#key.slice());
      if (waiting.length === READS_AT_ONCE) hits += await this.#fetchAll(waiting.splice(0));
    }
    return hits + (await this.#fetchAll(waiting));
  }

  #getOne(key: Uint8Array): Lookup {
    const found = this.#found;
    const said = this.engine.get(key, KEY_BYTES, found);
    // As the server does: the value is copied into the reply.
    if (said === lookup.FOUND) this.#reply.set(found.bytes.subarray(found.start, found.end));
    return said;
  }

  /** Reads that could not be answered at once wait side by side, as those of a server's clients do. */
  async #fetchAll(keys: readonly Uint8Array[]): Promise<number> {
    let hits = 0;
    await Promise.all(
      keys.map(async (key) => {
        let said: Lookup = lookup.MISS;
        while (said === lookup.MISS) {
          await this.engine.fetch(key);
          said = this.#getOne(key);
        }
        if (said === lookup.FOUND) hits++;
      }),
    );
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
