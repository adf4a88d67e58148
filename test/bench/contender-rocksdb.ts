/**
 * RocksDB (@nxtedition/rocksdb) as a contender of the engine's bench, by the calls of that binding that cost least: it
 * writes and reads in the event loop, fsync included. Its write buffer is RocksDB's default (64 MiB); the binding cannot
 * change it alone.
 */

import { createRequire } from 'node:module';
import { KEY_BYTES, keyOf, turn, writeKey, type Contender, type Sizes } from './engine-contenders.ts';

/** What of the binding is used here; it comes without types. */
interface RocksBatch {
  _put(key: Uint8Array, value: Uint8Array, options: object): void;
  _writeSync(options: { readonly sync?: boolean }): void;
  _closeSync(): void;
}

interface RocksIterator {
  /** Rows: keys and values in turns. */
  _nextvSync(size: number, options: object): { readonly rows: readonly Uint8Array[]; readonly finished: boolean };
  _closeSync(): void;
}

interface RocksDatabase {
  open(options: object): Promise<void>;
  close(): Promise<void>;
  _chainedBatch(): RocksBatch;
  _iterator(options: object): RocksIterator;
  _getManySync(keys: readonly Uint8Array[], options: object): readonly (Uint8Array | undefined)[];
  getProperty(name: string): string;
}

const PAIRS_AT_ONCE = 1000;
const NOTHING = {};

function binding(): new (location: string, options: object) => RocksDatabase {
  const loaded = createRequire(import.meta.url)('@nxtedition/rocksdb') as {
    readonly RocksLevel: new (location: string, options: object) => RocksDatabase;
  };
  return loaded.RocksLevel;
}

export class RocksContender implements Contender {
  readonly name = 'rocksdb';
  #database: RocksDatabase | undefined;

  /** Whether the binding's binary loads here. */
  static isInstalled(): boolean {
    try {
      binding();
      return true;
    } catch {
      return false;
    }
  }

  get database(): RocksDatabase {
    if (this.#database === undefined) throw new Error('the store is open');
    return this.#database;
  }

  async open(directory: string, { blockCacheBytes }: Sizes): Promise<void> {
    const RocksLevel = binding();
    const database = new RocksLevel(directory, { keyEncoding: 'buffer', valueEncoding: 'buffer' });
    await database.open({
      createIfMissing: true,
      cacheSize: blockCacheBytes,
      compression: false,
      walCompression: false,
      // Flushes and compactions in one thread each, as everyone else here.
      parallelism: 2,
    });
    this.#database = database;
  }

  async close(): Promise<void> {
    await this.database.close();
  }

  #put(keys: Uint32Array, from: number, to: number, value: Uint8Array): void {
    const batch = this.database._chainedBatch();
    for (let i = from; i < to; i++) batch._put(keyOf(keys[i] as number), value, NOTHING);
    batch._writeSync(NOTHING);
    batch._closeSync();
  }

  async putBatch(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void> {
    this.#put(keys, from, to, value);
    await turn();
  }

  async putSingles(keys: Uint32Array, from: number, to: number, value: Uint8Array): Promise<void> {
    for (let i = from; i < to; i++) this.#put(keys, i, i + 1, value);
    await turn();
  }

  becomeDurable(): Promise<void> {
    return Promise.resolve();
  }

  async putDurably(key: number, value: Uint8Array): Promise<void> {
    const batch = this.database._chainedBatch();
    batch._put(keyOf(key), value, NOTHING);
    batch._writeSync({ sync: true });
    batch._closeSync();
    await turn();
  }

  getAll(keys: Uint32Array, from: number, to: number): Promise<number> {
    const key = new Uint8Array(KEY_BYTES);
    const asked = [key];
    let hits = 0;
    for (let i = from; i < to; i++) {
      writeKey(key, 0, keys[i] as number);
      const value = this.database._getManySync(asked, NOTHING)[0];
      if (value !== undefined && value.length > 0) hits++;
    }
    return Promise.resolve(hits);
  }

  scan(from: number, count: number, reverse: boolean): Promise<number> {
    const bound = reverse ? { lte: keyOf(from) } : { gte: keyOf(from) };
    const encoding = { keyEncoding: 'buffer', valueEncoding: 'buffer', keys: true, values: true };
    const limits = { reverse, limit: count, highWaterMarkBytes: 1 << 20 };
    const iterator = this.database._iterator({ ...bound, ...encoding, ...limits });
    let seen = 0;
    for (let finished = false; !finished;) {
      const page = iterator._nextvSync(Math.min(PAIRS_AT_ONCE, count), NOTHING);
      seen += page.rows.length / 2;
      finished = page.finished || page.rows.length === 0;
    }
    iterator._closeSync();
    return Promise.resolve(seen);
  }

  async settle(): Promise<void> {
    const busy = (): boolean =>
      ['rocksdb.num-running-flushes', 'rocksdb.num-running-compactions', 'rocksdb.compaction-pending'].some(
        (name) => Number(this.database.getProperty(name)) > 0,
      );
    for (let idle = 0; idle < 4;) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      idle = busy() ? 0 : idle + 1;
    }
  }
}
