/**
 * Writing a run of tables: records come in order, tables are cut between keys when they are full, range tombstones are
 * shared out among them, and every table is read back before it counts.
 *
 * Invariants: the tables do not overlap; each range tombstone stands, clipped, in every table whose part of the key space
 * it touches; a key's records are in one table.
 */

import { assert } from '../assert.ts';
import { copyOf } from '../bytes.ts';
import type { Disk } from '../env.ts';
import type { RangeTombstones } from './range-tombstones.ts';
import type { Kind } from './record.ts';
import { tablePath, type TableMeta } from './sstable-format.ts';
import { TableWriter, type KeyPrefix, type TableFormat } from './sstable-writer.ts';
import { verifyTable } from './table-scan.ts';

export interface OutputOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** File numbers that may be used: `numbers` of them from here on. */
  readonly firstNumber: number;
  readonly numbers: number;
  /** A table is closed at the first new key after this size. */
  readonly tableBytes: number;
  readonly format: TableFormat;
  readonly createdMs: number;
  readonly tombstones: RangeTombstones;
  readonly prefix: KeyPrefix | undefined;
}

export class TableOutput {
  readonly tables: TableMeta[] = [];
  readonly #options: OutputOptions;
  #writer: TableWriter | undefined;
  /** First key of the table that is being written; undefined for the first one. */
  #from: Uint8Array | undefined;
  #used = 0;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  /** Bytes written so far. */
  get byteLength(): number {
    let sum = this.#writer?.byteLength ?? 0;
    for (const table of this.tables) sum += table.bytes;
    return sum;
  }

  /** Whether the table should be closed before the next new key. */
  get isFull(): boolean {
    return this.#writer !== undefined && this.#writer.byteLength >= this.#options.tableBytes;
  }

  /**
   * Closes the table that is being written, if any; the next one begins with keyBytes[keyStart, keyEnd). The last table
   * for which there is a number takes all that is left: inputs that were compressed may make more than was reckoned.
   */
  cutBefore(keyBytes: Uint8Array, keyStart: number, keyEnd: number): void {
    if (this.#writer === undefined || this.#used === this.#options.numbers) return;
    const key = copyOf(keyBytes.subarray(keyStart, keyEnd));
    this.#finish(key);
    this.#from = key;
  }

  add(
    keyBytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    recordKind: Kind,
    sequence: number,
    valueBytes: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    this.#writer ??= this.#open();
    this.#writer.add(keyBytes, keyStart, keyEnd, recordKind, sequence, valueBytes, valueStart, valueEnd);
  }

  /** Closes the last table and reads all of them back. Throws `corruption` when one is not what was written. */
  finish(stopped: () => boolean): readonly TableMeta[] {
    const { disk, directory, tombstones } = this.#options;
    if (this.#writer !== undefined || tombstones.clip(this.#from, undefined).count > 0) {
      this.#writer ??= this.#open();
      this.#finish(undefined);
    }
    for (const table of this.tables) verifyTable(disk, directory, table, stopped);
    return this.tables;
  }

  /** Removes all that was written. */
  abandon(): void {
    const { disk, directory } = this.#options;
    this.#writer?.abandon();
    this.#writer = undefined;
    for (const { number } of this.tables.splice(0)) {
      const path = tablePath(directory, number);
      if (disk.exists(path)) disk.unlink(path);
    }
  }

  #open(): TableWriter {
    const { disk, directory, firstNumber, numbers, format, createdMs, prefix } = this.#options;
    assert(this.#used < numbers, 'file numbers suffice');
    return new TableWriter({ disk, directory, number: firstNumber + this.#used++, format, createdMs, prefix });
  }

  #finish(next: Uint8Array | undefined): void {
    const writer = this.#writer;
    assert(writer !== undefined, 'a table is being written');
    writer.setRangeTombstones(this.#options.tombstones.clip(this.#from, next));
    this.tables.push(writer.finish());
    this.#writer = undefined;
  }
}
