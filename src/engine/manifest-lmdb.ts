/**
 * The manifest in LMDB.
 *
 * ```
 * file               manifest.mdb (and manifest.mdb-lock)
 * key                value
 * counters           counters
 * format             version of the format, a varint
 * table/<16 digits>  table
 * value/<name>       a named value
 * ```
 *
 * Each value is followed by 4 bytes: CRC32C of key and value, little-endian, since LMDB's pages have no checksum. The
 * records are specified in manifest.ts. Every change is one transaction, durable before it is answered: lmdb-js
 * acknowledges before the sync unless `overlappingSync` is off. Before LMDB sees the file, lmdb-check.ts looks over its
 * pages. A manifest is valid if and only if every checksum
 * holds and the counters agree with the tables; anything else stops the open.
 */

import { crc32c } from '@node-rs/crc32';
import { open, type RootDatabase } from 'lmdb';
import { assert } from '../assert.ts';
import { concatBytes, copyOf, utf8 } from '../bytes.ts';
import type { Disk } from '../env.ts';
import { lmdbDamage } from './lmdb-check.ts';
import {
  applyEdit,
  countersOf,
  emptyManifestState,
  encodeCounters,
  encodeTable,
  manifestDamage,
  MANIFEST_FORMAT,
  MAX_NAMED_VALUE_BYTES,
  readCounters,
  readTable,
  stateOf,
  tableWord,
  type ManifestState,
  type ManifestStore,
} from './manifest.ts';
import { VarintReader, VarintWriter } from './varint.ts';
import type { Placed, VersionEdit } from './version.ts';

const COUNTERS = 'counters';
const FORMAT = 'format';
const TABLE = 'table/';
const VALUE = 'value/';
const TWO_32 = 0x1_0000_0000;

type Database = RootDatabase<Buffer, string>;

export class LmdbManifest implements ManifestStore {
  readonly #database: Database;
  #state: ManifestState;
  /** The state after the commits that are under way. */
  #coming: ManifestState;
  #comingSum: number;
  /** What each table's record adds to the sum. */
  readonly #words = new Map<number, number>();
  readonly #values: Map<string, Uint8Array>;
  #failure: unknown;

  /** Opens the manifest in `directory`, which must be there. `disk` must be the real one: LMDB goes to it by itself. */
  static open(disk: Disk, directory: string): LmdbManifest {
    const path = `${directory}/manifest.mdb`;
    const shape = disk.exists(path) ? lmdbDamage(readWhole(disk, path)) : undefined;
    if (shape !== undefined) throw manifestDamage(path, shape);
    let database: Database;
    try {
      database = open<Buffer, string>({ path, encoding: 'binary', overlappingSync: false, noSync: false });
    } catch (error) {
      throw manifestDamage(
        path,
        `LMDB cannot open it (${error instanceof Error ? error.message : String(error)})`,
        error,
      );
    }
    try {
      return new LmdbManifest(database, path);
    } catch (error) {
      void database.close();
      throw error;
    }
  }

  private constructor(database: Database, path: string) {
    this.#database = database;
    const records = readRecords(database, path);
    this.#values = records.values;
    for (const [number, word] of records.words) this.#words.set(number, word);
    this.#state = records.state;
    this.#coming = records.state;
    this.#comingSum = sumOf(this.#words);
  }

  get state(): ManifestState {
    return this.#state;
  }

  async commit(edit: VersionEdit): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const after = applyEdit(this.#coming, edit);
    const added = edit.added.map((placed) => ({ placed, record: encodeTable(placed) }));
    for (const number of edit.removed) {
      this.#comingSum = (this.#comingSum + TWO_32 - (this.#words.get(number) ?? 0)) % TWO_32;
      this.#words.delete(number);
    }
    for (const { placed, record } of added) {
      const word = tableWord(record);
      this.#words.set(placed.table.number, word);
      this.#comingSum = (this.#comingSum + word) % TWO_32;
    }
    this.#coming = after;
    const counters = encodeCounters(countersOf(after, this.#comingSum));
    await this.#transact(() => {
      for (const number of edit.removed) void this.#database.remove(tableKey(number));
      for (const { placed, record } of added) this.#put(tableKey(placed.table.number), record);
      this.#put(COUNTERS, counters);
      this.#put(FORMAT, new VarintWriter().number(MANIFEST_FORMAT).finish());
    });
    this.#state = after;
  }

  getValue(name: string): Uint8Array | undefined {
    return this.#values.get(name);
  }

  async setValue(name: string, value: Uint8Array): Promise<void> {
    assert(value.length <= MAX_NAMED_VALUE_BYTES, 'a named value is small');
    const own = copyOf(value);
    await this.#transact(() => this.#put(`${VALUE}${name}`, own));
    this.#values.set(name, own);
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  /** Runs `change` in a transaction of its own and waits until it is durable. */
  async #transact(change: () => void): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      await this.#database.transaction(change);
      await this.#database.flushed;
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  #put(key: string, value: Uint8Array): void {
    const sum = new Uint8Array(4);
    new DataView(sum.buffer).setUint32(0, checksumOf(key, value), true);
    void this.#database.put(key, Buffer.from(concatBytes(value, sum)));
  }
}

function readWhole(disk: Disk, path: string): Uint8Array {
  const file = disk.open(path, 'read');
  try {
    const bytes = new Uint8Array(file.size());
    return bytes.subarray(0, file.readSync(bytes, 0));
  } finally {
    file.close();
  }
}

function tableKey(number: number): string {
  return `${TABLE}${String(number).padStart(16, '0')}`;
}

function checksumOf(key: string, value: Uint8Array): number {
  return crc32c(value, crc32c(utf8(key)));
}

function sumOf(words: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const word of words.values()) sum = (sum + word) % TWO_32;
  return sum;
}

interface Records {
  readonly state: ManifestState;
  readonly values: Map<string, Uint8Array>;
  readonly words: Map<number, number>;
}

function readRecords(database: Database, path: string): Records {
  const values = new Map<string, Uint8Array>();
  const words = new Map<number, number>();
  const tables: Placed[] = [];
  let counters: Uint8Array | undefined;
  let format: number | undefined;
  for (const { key, value } of database.getRange()) {
    const record = checkedRecord(key, value, path);
    if (key === COUNTERS) counters = record;
    else if (key === FORMAT) format = new VarintReader(record).number();
    else if (key.startsWith(VALUE)) values.set(key.slice(VALUE.length), record);
    else if (key.startsWith(TABLE)) {
      const placed = readTable(new VarintReader(record));
      tables.push(placed);
      words.set(placed.table.number, tableWord(record));
    } else throw manifestDamage(path, `unknown record ${key}`);
  }
  if (counters === undefined && tables.length === 0) return { state: emptyManifestState, values, words };
  if (counters === undefined) throw manifestDamage(path, 'its counters are missing');
  if (format !== MANIFEST_FORMAT) throw manifestDamage(path, `unknown format version ${format}`);
  const state = stateOf(readCounters(new VarintReader(counters)), tables, sumOf(words));
  if (typeof state === 'string') throw manifestDamage(path, state);
  return { state, values, words };
}

/** The value without its checksum, in memory of its own. */
function checkedRecord(key: string, stored: Uint8Array, path: string): Uint8Array {
  const end = stored.length - 4;
  const record = new Uint8Array(Math.max(0, end));
  if (end >= 0) record.set(stored.subarray(0, end));
  const view = new DataView(stored.buffer, stored.byteOffset, stored.length);
  if (end < 0 || view.getUint32(end, true) !== checksumOf(key, record)) {
    throw manifestDamage(path, `the checksum of ${key} does not hold`);
  }
  return record;
}
