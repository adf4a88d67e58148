/**
 * Reading whole tables in order with synchronous calls: for compaction, verification and tools, in a thread. Nothing goes
 * through the caches, and every checksum is checked.
 */

import { compareBytes, compareRanges, EMPTY } from '../bytes.ts';
import type { Disk, DiskFile } from '../env.ts';
import { DiskError } from '../env.ts';
import { BlockCursor } from './block-reader.ts';
import { hashKey, mayContain } from './bloom-filter.ts';
import { KeyIndex } from './key-index.ts';
import { kind } from './record.ts';
import { decodeRangeTombstones, openPiece, tableDamage, tablePath, type TableMeta } from './sstable-format.ts';
import { parseTail, type TableTail } from './sstable-reader.ts';

/** Bytes read at a time; a larger block is read alone. */
const READ_BYTES = 1 << 20;

/**
 * Memory of closed scans, for the next ones: a compaction opens dozens of tables in one job, and a thread that is busy
 * is slow to collect what they would leave behind.
 */
const spareChunks: Uint8Array[] = [];
const MAX_SPARE_CHUNKS = 4;

/** What is known of a table that is to be read. */
export type ScannedTable = Pick<TableMeta, 'number' | 'bytes' | 'tailBytes'>;

/** A walk over all records of one table; what it shows is valid until it steps on or is closed. Throws `corruption` naming the table, or a `DiskError`. */
export class TableScan {
  readonly cursor = new BlockCursor();
  readonly tail: TableTail;
  /** Ordinal of the current block and its key in the index. */
  ordinal = -1;
  readonly #table: ScannedTable;
  readonly #file: DiskFile;
  /** The flat index, or the current partition and its number. */
  #index: KeyIndex;
  #partition = 0;
  /** Position of the next block in `#index`. */
  #next = 0;
  /** Bytes of the file from `#chunkOffset` on, in memory that is used again and again. */
  #chunk: Uint8Array = EMPTY;
  #memory: Uint8Array = EMPTY;
  #chunkOffset = 0;

  constructor(disk: Disk, directory: string, table: ScannedTable) {
    this.#table = table;
    this.#file = openTable(disk, directory, table.number);
    try {
      const { bytes, tailBytes, number } = table;
      this.tail = parseTail(this.#readBytes(bytes - tailBytes, tailBytes), number, bytes);
      this.#index = this.tail.twoLevel ? this.#readPartition(0) : this.tail.index;
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Steps to the next record: `cursor` describes it. */
  next(): boolean {
    while (this.ordinal < 0 || !this.cursor.next()) if (!this.#nextBlock()) return false;
    return true;
  }

  close(): void {
    this.#file.close();
    if (this.#memory.length === READ_BYTES && spareChunks.length < MAX_SPARE_CHUNKS) spareChunks.push(this.#memory);
    this.#memory = EMPTY;
    this.#chunk = EMPTY;
  }

  /** Key of the current block in the index. */
  indexKey(): Uint8Array {
    return this.#index.key(this.#next - 1);
  }

  #nextBlock(): boolean {
    if (this.#next === this.#index.count) {
      if (!this.tail.twoLevel || this.#partition + 1 >= this.tail.index.count) return false;
      this.#index = this.#readPartition(++this.#partition);
      this.#next = 0;
    }
    const offset = this.#index.offset(this.#next);
    const end = this.#index.offset(this.#next + 1);
    if (offset < this.#chunkOffset || end > this.#chunkOffset + this.#chunk.length) this.#readChunk(offset, end);
    const start = offset - this.#chunkOffset;
    this.cursor.open(openPiece(this.#chunk, start, start + end - offset, this.#table.number, offset));
    this.#next++;
    this.ordinal++;
    return true;
  }

  #readPartition(partition: number): KeyIndex {
    const offset = this.tail.index.offset(partition);
    const length = this.tail.index.offset(partition + 1) - offset;
    return KeyIndex.parse(openPiece(this.#readBytes(offset, length), 0, length, this.#table.number, offset));
  }

  #readChunk(offset: number, end: number): void {
    const limit = this.#table.bytes - this.#table.tailBytes;
    const length = Math.min(Math.max(end - offset, READ_BYTES), limit - offset);
    if (length <= 0) throw tableDamage(this.#table.number, offset, 'lengths do not agree');
    if (length > this.#memory.length) {
      this.#memory = length > READ_BYTES ? new Uint8Array(length) : (spareChunks.pop() ?? new Uint8Array(READ_BYTES));
    }
    this.#chunk = this.#readInto(this.#memory.subarray(0, length), offset);
    this.#chunkOffset = offset;
    if (offset + this.#chunk.length < end) throw tableDamage(this.#table.number, offset, 'a block goes past the end');
  }

  #readBytes(offset: number, length: number): Uint8Array {
    if (offset < 0 || length < 0) throw tableDamage(this.#table.number, offset, 'lengths do not agree');
    return this.#readInto(new Uint8Array(length), offset);
  }

  #readInto(bytes: Uint8Array, offset: number): Uint8Array {
    const count = this.#file.readSync(bytes, offset);
    if (count === bytes.length) return bytes;
    throw tableDamage(this.#table.number, offset, `the file ends after ${count} of ${bytes.length} bytes`);
  }
}

function openTable(disk: Disk, directory: string, number: number): DiskFile {
  try {
    return disk.open(tablePath(directory, number), 'read');
  } catch (error) {
    if (error instanceof DiskError && error.code === 'ENOENT') throw tableDamage(number, 0, 'the file is not there');
    throw error;
  }
}

/**
 * Reads a table from end to end and checks all that can be checked of it: every checksum, the order of its records,
 * that index and filter lead to them, and that they are what `meta` says. Throws `corruption` with the first thing wrong.
 */
export function verifyTable(disk: Disk, directory: string, meta: TableMeta, stopped?: () => boolean): void {
  const scan = new TableScan(disk, directory, meta);
  try {
    new Verification(meta, scan).run(stopped ?? (() => false));
  } finally {
    scan.close();
  }
}

class Verification {
  readonly #meta: TableMeta;
  readonly #scan: TableScan;
  #lastKey = new Uint8Array(256);
  #lastLength = 0;
  #lastSequence = 0;
  #records = 0;
  #tombstones = 0;
  #minSequence = Number.MAX_SAFE_INTEGER;
  #maxSequence = 0;

  constructor(meta: TableMeta, scan: TableScan) {
    this.#meta = meta;
    this.#scan = scan;
  }

  run(stopped: () => boolean): void {
    const scan = this.#scan;
    let ordinal = -1;
    let indexKey: Uint8Array = EMPTY;
    while (scan.next()) {
      if (scan.ordinal !== ordinal) {
        if (stopped()) return;
        ordinal = scan.ordinal;
        indexKey = scan.indexKey();
      }
      this.#checkRecord(indexKey);
    }
    this.#checkTotals(ordinal + 1);
  }

  #checkRecord(indexKey: Uint8Array): void {
    const { keyBytes, keyStart, keyEnd, sequence } = this.#scan.cursor;
    const order =
      this.#records === 0 ? 1 : compareRanges(keyBytes, keyStart, keyEnd, this.#lastKey, 0, this.#lastLength);
    if (order < 0 || (order === 0 && sequence >= this.#lastSequence)) throw this.#damage('records are out of order');
    if (order > 0) {
      if (compareRanges(keyBytes, keyStart, keyEnd, indexKey, 0, indexKey.length) > 0) {
        throw this.#damage('the index does not lead to a record');
      }
      const { bytes, filterStart, filterEnd } = this.#scan.tail;
      if (filterEnd > 0 && !mayContain(bytes, filterStart, filterEnd, hashKey(keyBytes, keyStart, keyEnd))) {
        throw this.#damage('the filter denies a record');
      }
      this.#checkBounds(keyBytes, keyStart, keyEnd);
      this.#remember(keyBytes, keyStart, keyEnd);
    }
    this.#lastSequence = sequence;
    this.#minSequence = Math.min(this.#minSequence, sequence);
    this.#maxSequence = Math.max(this.#maxSequence, sequence);
    this.#records++;
    if (this.#scan.cursor.kind === kind.DELETE) this.#tombstones++;
  }

  #checkBounds(keyBytes: Uint8Array, keyStart: number, keyEnd: number): void {
    const { lower, upper } = this.#meta;
    const below = compareRanges(keyBytes, keyStart, keyEnd, lower, 0, lower.length) < 0;
    if (below || compareRanges(keyBytes, keyStart, keyEnd, upper, 0, upper.length) >= 0) {
      throw this.#damage('a record is outside of the bounds of the table');
    }
  }

  #checkTotals(blocks: number): void {
    const meta = this.#meta;
    this.#checkRangeTombstones();
    if (blocks !== this.#scan.tail.blockCount) throw this.#damage('the number of blocks is wrong');
    if (this.#records !== meta.records || this.#tombstones !== meta.tombstones) {
      throw this.#damage(`it has ${this.#records} records where ${meta.records} were written`);
    }
    if (this.#minSequence !== meta.minSequence || this.#maxSequence !== meta.maxSequence) {
      throw this.#damage('its sequences are not those that were written');
    }
  }

  #checkRangeTombstones(): void {
    const { rangeTombstones } = this.#scan.tail;
    const written = rangeTombstones === undefined ? [] : decodeRangeTombstones(rangeTombstones).list();
    const expected = this.#meta.rangeTombstones.list();
    const same = written.every((each, i) => {
      const other = expected[i];
      if (other === undefined || other.sequence !== each.sequence) return false;
      return compareBytes(other.start, each.start) === 0 && compareBytes(other.end, each.end) === 0;
    });
    if (!same || written.length !== expected.length)
      throw this.#damage('its range tombstones are not those that were written');
    for (const { sequence } of written) {
      this.#minSequence = Math.min(this.#minSequence, sequence);
      this.#maxSequence = Math.max(this.#maxSequence, sequence);
    }
  }

  #remember(keyBytes: Uint8Array, keyStart: number, keyEnd: number): void {
    const length = keyEnd - keyStart;
    if (length > this.#lastKey.length) this.#lastKey = new Uint8Array(length * 2);
    for (let i = 0; i < length; i++) this.#lastKey[i] = keyBytes[keyStart + i] as number;
    this.#lastLength = length;
  }

  #damage(what: string): Error {
    return tableDamage(this.#meta.number, 0, `${what} (block ${this.#scan.ordinal})`);
  }
}
