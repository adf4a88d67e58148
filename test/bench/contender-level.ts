/** LevelDB (classic-level) as a contender of the engine's bench. */

import { ClassicLevel } from 'classic-level';
import { KEY_BYTES, keyOf, writeKey, type Contender, type Sizes } from './engine-contenders.ts';

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

  becomeDurable(): Promise<void> {
    return Promise.resolve();
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
