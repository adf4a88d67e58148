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
 * pages. A manifest is valid if and only if every checksum holds and the counters agree with the tables; anything else
 * stops the open.
 *
 * On a full disk LMDB gives its transaction up before it touches a meta page, and takes the next one (tried on a full
 * tmpfs): the change is refused with ENOSPC once a look has shown that the old record still stands.
 */

import { crc32c } from '@node-rs/crc32';
import { open, type RootDatabase } from 'lmdb';
import { assert } from '../assert.ts';
import { concatBytes, copyOf, utf8 } from '../bytes.ts';
import { DiskError, type Disk } from '../env.ts';
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

/**
 * A transaction is durable when its promise settles. Batching by turn would make a promise of its own for each turn's
 * writes, which fails with them and which nobody can listen to.
 */
const DURABLY = { overlappingSync: false, noSync: false, eventTurnBatching: false } as const;

type Database = RootDatabase<Buffer, string>;

export class LmdbManifest implements ManifestStore {
  readonly #database: Database;
  readonly #path: string;
  #state: ManifestState;
  /** What each table's record adds to the sum of the counters. */
  readonly #words = new Map<number, number>();
  readonly #values: Map<string, Uint8Array>;
  /** The change that is being made; the next one waits for it. */
  #running: Promise<void> = Promise.resolve();
  #failure: unknown;

  /** Opens the manifest in `directory`, which must be there. `disk` must be the real one: LMDB goes to it by itself. */
  static open(disk: Disk, directory: string): LmdbManifest {
    const path = `${directory}/manifest.mdb`;
    const shape = disk.exists(path) ? lmdbDamage(readWhole(disk, path)) : undefined;
    if (shape !== undefined) throw manifestDamage(path, shape);
    let database: Database;
    try {
      database = open<Buffer, string>({ path, encoding: 'binary', ...DURABLY });
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
    this.#path = path;
    const records = readRecords(database, path);
    this.#values = records.values;
    for (const [number, word] of records.words) this.#words.set(number, word);
    this.#state = records.state;
  }

  get state(): ManifestState {
    return this.#state;
  }

  get values(): ReadonlyMap<string, Uint8Array> {
    return this.#values;
  }

  commit(edit: VersionEdit): Promise<void> {
    return this.#next(async () => {
      const after = applyEdit(this.#state, edit);
      const added = edit.added.map((placed) => ({ number: placed.table.number, record: encodeTable(placed) }));
      const words = new Map(this.#words);
      for (const number of edit.removed) words.delete(number);
      for (const { number, record } of added) words.set(number, tableWord(record));
      const counters = encodeCounters(countersOf(after, sumOf(words)));
      await this.#transact(COUNTERS, () => {
        const format = new VarintWriter().number(MANIFEST_FORMAT).finish();
        return [
          ...edit.removed.map((number) => this.#database.remove(tableKey(number))),
          ...added.map(({ number, record }) => this.#put(tableKey(number), record)),
          this.#put(COUNTERS, counters),
          this.#put(FORMAT, format),
        ];
      });
      for (const number of edit.removed) this.#words.delete(number);
      for (const { number } of added) this.#words.set(number, words.get(number) as number);
      this.#state = after;
    });
  }

  getValue(name: string): Uint8Array | undefined {
    return this.#values.get(name);
  }

  setValue(name: string, value: Uint8Array): Promise<void> {
    assert(value.length <= MAX_NAMED_VALUE_BYTES, 'a named value is small');
    const own = copyOf(value);
    return this.#next(async () => {
      const key = `${VALUE}${name}`;
      await this.#transact(key, () => [this.#put(key, own)]);
      this.#values.set(name, own);
    });
  }

  async close(): Promise<void> {
    await this.#running;
    await this.#database.close();
  }

  /** Runs one change after the other. */
  #next(change: () => Promise<void>): Promise<void> {
    const run = this.#running.then(change);
    this.#running = run.catch(() => {});
    return run;
  }

  /**
   * Runs `change`, which gives `key` another value among other things, in a transaction of its own and waits until it is
   * durable.
   */
  async #transact(key: string, change: () => readonly Promise<boolean>[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const before = this.#stored(key);
    try {
      await this.#database.transaction(() => {
        // Each write has a promise of its own that fails with the transaction, and nobody else listens to it.
        for (const write of change()) write.catch(() => {});
      });
      await this.#database.flushed;
    } catch (error) {
      const cause = await causeOf(error);
      const isFull = isErrno(cause, ENOSPC_ERRNO) && this.#isUnchanged(key, before);
      if (isFull) throw new DiskError('ENOSPC', this.#path, `cannot write ${this.#path}: no space left on the disk`);
      this.#failure = cause;
      throw cause;
    }
  }

  #isUnchanged(key: string, before: string): boolean {
    try {
      return this.#stored(key) === before;
    } catch {
      return false;
    }
  }

  #stored(key: string): string {
    return this.#database.get(key)?.toString('latin1') ?? '';
  }

  #put(key: string, value: Uint8Array): Promise<boolean> {
    const sum = new Uint8Array(4);
    new DataView(sum.buffer).setUint32(0, checksumOf(key, value), true);
    return this.#database.put(key, Buffer.from(concatBytes(value, sum)));
  }
}

/** Error numbers of Linux and macOS alike. */
const ENOSPC_ERRNO = 28;

function isErrno(error: unknown, errno: number): boolean {
  return error instanceof Error && 'code' in error && error.code === errno;
}

/** What lmdb-js means: the error of a failed commit has its reason in a promise that has failed as well. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (cause) {
    return cause;
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
