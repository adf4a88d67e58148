/**
 * The manifest: the durable word on which tables are the store, plus a few small named values (node identity, highest
 * stamp, clock ceiling, topology epoch). This file has the contract and the encoding of its records; where they stand
 * is told in manifest-lmdb.ts and manifest-file.ts. test/engine/manifest-contract.ts is the contract as a test suite.
 *
 * ```
 * table     level | number | bytes | tail bytes | records | tombstones | smallest, largest sequence | created ms |
 *           lower | upper | n, n × range tombstone { start | end | sequence }
 * counters  next file number | oldest WAL | flushed sequence | number of tables | sum of the checksums of the tables mod 2^32
 * ```
 *
 * Numbers are varints, byte strings have their length before them (varint.ts). The last two counters tell that no table
 * record is missing or left over.
 */

import { crc32c } from '@node-rs/crc32';
import { EngineError } from './engine-error.ts';
import { RangeTombstones } from './range-tombstones.ts';
import type { TableMeta } from './sstable-format.ts';
import { VarintReader, VarintWriter } from './varint.ts';
import { LEVELS, Version, type Placed, type VersionEdit } from './version.ts';

/** Version of the records; a manifest with another one is refused. */
export const MANIFEST_FORMAT = 1;

/** Largest named value: they are read at open and kept in memory. */
export const MAX_NAMED_VALUE_BYTES = 1 << 20;

export interface ManifestState {
  readonly version: Version;
  readonly nextFileNumber: number;
  readonly oldestWal: number;
  readonly flushedSequence: number;
}

export const emptyManifestState: ManifestState = {
  version: Version.EMPTY,
  nextFileNumber: 1,
  oldestWal: 0,
  flushedSequence: 0,
};

/**
 * Opening one rejects with `corruption` when what is there is damaged; an absent manifest is an empty one.
 */
export interface ManifestStore {
  /** As of the last commit that is durable. */
  readonly state: ManifestState;
  /**
   * Makes an edit durable as a whole; commits take effect in the order of their calls. Rejects with a `DiskError` ENOSPC
   * when the disk is full: then nothing has changed, and it may be tried again. After any other rejection it may or may
   * not have taken effect, and nothing can be changed any more: the caller must not go on writing.
   */
  commit(edit: VersionEdit): Promise<void>;
  /** All named values as of the last durable change. */
  readonly values: ReadonlyMap<string, Uint8Array>;
  /** A named value as of the last durable change. */
  getValue(name: string): Uint8Array | undefined;
  /** Sets a named value, durable once resolved; rejects as `commit` does. Requires: at most 1 MiB. */
  setValue(name: string, value: Uint8Array): Promise<void>;
  /** Waits for what is running. */
  close(): Promise<void>;
}

/** The state after an edit. */
export function applyEdit(state: ManifestState, edit: VersionEdit): ManifestState {
  return {
    version: state.version.with(edit),
    nextFileNumber: edit.nextFileNumber ?? state.nextFileNumber,
    oldestWal: edit.oldestWal ?? state.oldestWal,
    flushedSequence: edit.flushedSequence ?? state.flushedSequence,
  };
}

export function manifestDamage(path: string, what: string, cause?: unknown): EngineError {
  return new EngineError('corruption', `the manifest ${path} is damaged: ${what}`, cause);
}

/** What a change that was rejected for another reason than a full disk means to the store: it is final. */
export function manifestFailure(cause: unknown): EngineError {
  return new EngineError('io', `the manifest cannot be changed: ${String(cause)}`, cause);
}

export function writeTable(writer: VarintWriter, { level, table }: Placed): void {
  const tombstones = table.rangeTombstones.list();
  writer.number(level).number(table.number).number(table.bytes).number(table.tailBytes);
  writer.number(table.records).number(table.tombstones);
  writer.number(table.minSequence).number(table.maxSequence).number(table.createdMs);
  writer.string(table.lower).string(table.upper).number(tombstones.length);
  for (const { start, end, sequence } of tombstones) writer.string(start).string(end).number(sequence);
}

export function encodeTable(placed: Placed): Uint8Array {
  const writer = new VarintWriter();
  writeTable(writer, placed);
  return writer.finish();
}

/** Reads one table record. Throws when the bytes are none. */
export function readTable(reader: VarintReader): Placed {
  const level = reader.number();
  if (level >= LEVELS) throw new RangeError(`level ${level}`);
  const numbers = {
    number: reader.number(),
    bytes: reader.number(),
    tailBytes: reader.number(),
    records: reader.number(),
    tombstones: reader.number(),
    minSequence: reader.number(),
    maxSequence: reader.number(),
    createdMs: reader.number(),
  };
  const lower = reader.string();
  const upper = reader.string();
  const list = [];
  for (let count = reader.number(); count > 0; count--) {
    list.push({ start: reader.string(), end: reader.string(), sequence: reader.number() });
  }
  const table: TableMeta = { ...numbers, lower, upper, rangeTombstones: RangeTombstones.of(list) };
  return { level, table };
}

/** The part of the sum over table records that one record adds. */
export function tableWord(record: Uint8Array): number {
  return crc32c(record) >>> 0;
}

export interface Counters {
  readonly nextFileNumber: number;
  readonly oldestWal: number;
  readonly flushedSequence: number;
  readonly tables: number;
  readonly tableSum: number;
}

export function countersOf(state: ManifestState, tableSum: number): Counters {
  const { nextFileNumber, oldestWal, flushedSequence } = state;
  return { nextFileNumber, oldestWal, flushedSequence, tables: state.version.tableCount, tableSum };
}

export function encodeCounters(counters: Counters): Uint8Array {
  const { nextFileNumber, oldestWal, flushedSequence, tables, tableSum } = counters;
  const writer = new VarintWriter();
  return writer
    .number(nextFileNumber)
    .number(oldestWal)
    .number(flushedSequence)
    .number(tables)
    .number(tableSum)
    .finish();
}

export function readCounters(reader: VarintReader): Counters {
  return {
    nextFileNumber: reader.number(),
    oldestWal: reader.number(),
    flushedSequence: reader.number(),
    tables: reader.number(),
    tableSum: reader.number(),
  };
}

/** The state that counters and tables make up, or what is wrong with them. */
export function stateOf(counters: Counters, tables: readonly Placed[], tableSum: number): ManifestState | string {
  if (tables.length !== counters.tables) return `${tables.length} tables where ${counters.tables} were written`;
  if (tableSum !== counters.tableSum) return 'its tables are not those that were written';
  const { nextFileNumber, oldestWal, flushedSequence } = counters;
  return { version: Version.of(tables), nextFileNumber, oldestWal, flushedSequence };
}
