/**
 * LMDB (lmdb-js) as a contender of the engine's bench. It has neither a write buffer nor a block cache: its pages are the
 * operating system's. `noSync` stands for what the others do when a write is not to be durable, although it
 * promises less: after a crash of the machine such a store may be damaged.
 */

import { open, type RootDatabase } from 'lmdb';
import { KEY_BYTES, keyOf, writeKey, type Contender } from './engine-contenders.ts';

const MAP_BYTES = 64 * 2 ** 30;

export class LmdbContender implements Contender {
  readonly name = 'lmdb';
  #database: RootDatabase<Uint8Array, Uint8Array> | undefined;
  #directory = '';
  #durable = false;

  get database(): RootDatabase<Uint8Array, Uint8Array> {
    if (this.#database === undefined) throw new Error('the store is open');
    return this.#database;
  }

  open(directory: string): Promise<void> {
    this.#directory = directory;
    this.#database = open<Uint8Array, Uint8Array>({
      path: directory,
      keyEncoding: 'binary',
      encoding: 'binary',
      compression: false,
      mapSize: MAP_BYTES,
      noSync: !this.#durable,
    });
    return Promise.resolve();
  }

  async close(): Promise<void> {
    await this.database.close();
  }

  async putBatch(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void> {
    await this.database.batch(() => {
      for (let i = from; i < to; i++) void this.database.put(keyOf(keys[i] as number), value);
    });
  }

  async putSingles(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void> {
    const running: Promise<boolean>[] = [];
    for (let i = from; i < to; i++) running.push(this.database.put(keyOf(keys[i] as number), value));
    await Promise.all(running);
  }

  async becomeDurable(): Promise<void> {
    if (this.#durable) return;
    this.#durable = true;
    await this.close();
    await this.open(this.#directory);
  }

  async putDurably(key: number, value: Uint8Array): Promise<void> {
    await this.database.put(keyOf(key), value);
    await this.database.flushed;
  }

  getAll(keys: Uint32Array, from: number, to: number): Promise<number> {
    const key = new Uint8Array(KEY_BYTES);
    let hits = 0;
    for (let i = from; i < to; i++) {
      writeKey(key, 0, keys[i] as number);
      const value = this.database.getBinaryFast(key);
      if (value !== undefined && value.length > 0) hits++;
    }
    return Promise.resolve(hits);
  }

  scan(from: number, count: number, reverse: boolean): Promise<number> {
    let seen = 0;
    for (const { key, value } of this.database.getRange({ start: keyOf(from), limit: count, reverse })) {
      if (key.length + value.length > 0) seen++;
    }
    return Promise.resolve(seen);
  }

  async settle(): Promise<void> {
    await this.database.committed;
  }
}
