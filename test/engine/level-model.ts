/**
 * A model of what tables hold: every record and range tombstone ever written, answered by looking at all of them. And a
 * store of tables in memory that is flushed and compacted as the engine does it.
 */

import { compareBytes } from '../../src/bytes.ts';
import type { Choice } from '../../src/engine/compaction-picker.ts';
import { compactionNumbers, runCompaction, type CompactJob, type CompactResult } from '../../src/engine/compaction.ts';
import type { Filter } from '../../src/engine/record-sieve.ts';
import type { RangeTombstone } from '../../src/engine/range-tombstones.ts';
import { kind } from '../../src/engine/record.ts';
import { defaultTableFormat, type KeyPrefix, type TableFormat } from '../../src/engine/sstable-writer.ts';
import { fromWire, toWire } from '../../src/engine/table-wire.ts';
import { Version } from '../../src/engine/version.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { directory, writeTable, type TestRecord } from './table-fixture.ts';

export class LevelModel {
  readonly records: TestRecord[] = [];
  readonly tombstones: RangeTombstone[] = [];

  /** The value of a key as of a sequence. */
  get(key: Uint8Array, sequence: number): Uint8Array | undefined {
    let newest: TestRecord | undefined;
    for (const record of this.records) {
      if (record.sequence > sequence || compareBytes(record.key, key) !== 0) continue;
      if (newest === undefined || record.sequence > newest.sequence) newest = record;
    }
    if (newest === undefined || newest.kind === kind.DELETE) return undefined;
    const { sequence: written, value } = newest;
    const dead = this.tombstones.some(
      (each) =>
        each.sequence <= sequence &&
        each.sequence > written &&
        compareBytes(each.start, key) <= 0 &&
        compareBytes(key, each.end) < 0,
    );
    return dead ? undefined : value;
  }

  keys(): Uint8Array[] {
    const sorted = this.records.map((record) => record.key).sort(compareBytes);
    return sorted.filter((key, i) => i === 0 || compareBytes(key, sorted[i - 1] as Uint8Array) !== 0);
  }

  /** The live pairs within [lower, upper), as text. */
  pairs(sequence: number, lower?: Uint8Array, upper?: Uint8Array): [string, string][] {
    const pairs: [string, string][] = [];
    for (const key of this.keys()) {
      if (lower !== undefined && compareBytes(key, lower) < 0) continue;
      if (upper !== undefined && compareBytes(key, upper) >= 0) continue;
      const value = this.get(key, sequence);
      if (value !== undefined) pairs.push([Buffer.from(key).toString('latin1'), Buffer.from(value).toString('latin1')]);
    }
    return pairs;
  }
}

/** Keys of the tests look like `key/xxx/7`; their prefixes go up to the second slash. */
export const slashPrefix: KeyPrefix = {
  name: 'two slashes',
  end: (key, start, end) => {
    let slashes = 0;
    for (let at = start; at < end; at++) if (key[at] === 0x2f && ++slashes === 2) return at + 1;
    return start;
  },
};

export interface CompactOptions {
  readonly snapshots?: readonly number[];
  readonly tableBytes?: number;
  readonly filter?: Filter;
  readonly format?: Partial<TableFormat>;
  readonly stopped?: () => boolean;
}

export class LevelStore {
  readonly disk = new MemoryDisk();
  readonly model = new LevelModel();
  version = Version.EMPTY;
  nextNumber = 1;

  /** Writes records and range tombstones into a table of level 0. */
  flush(records: readonly TestRecord[], tombstones: readonly RangeTombstone[], format?: Partial<TableFormat>): void {
    const number = this.nextNumber++;
    const table = writeTable({
      disk: this.disk,
      number,
      records,
      tombstones,
      prefix: slashPrefix,
      ...(format === undefined ? {} : { format }),
    });
    this.version = this.version.with({ added: [{ level: 0, table }], removed: [] });
    this.model.records.push(...records);
    this.model.tombstones.push(...tombstones);
  }

  /** The job for a choice. */
  job(choice: Choice, options: CompactOptions): CompactJob {
    const inputs = choice.runs.flat();
    const tableBytes = options.tableBytes ?? 1500;
    const bytes = inputs.reduce((sum, table) => sum + table.bytes, 0);
    const numbers = compactionNumbers(bytes, tableBytes, choice.grandparents.length);
    const firstNumber = this.nextNumber;
    this.nextNumber += numbers;
    return {
      kind: 'compact',
      directory,
      runs: choice.runs.map((run) => run.map(toWire)),
      bottommost: choice.bottommost,
      snapshots: options.snapshots ?? [],
      grandparents: choice.grandparents,
      grandparentBytes: 10 * tableBytes,
      tableBytes,
      firstNumber,
      numbers,
      format: { ...defaultTableFormat, blockBytes: 256, ...options.format },
      createdMs: 1_700_000_000_000,
      filterState: undefined,
      bytesPerSecond: 0,
      cancel: undefined,
    };
  }

  compact(choice: Choice, options: CompactOptions = {}): CompactResult {
    // The clone is what a thread would see.
    const job = structuredClone(this.job(choice, options));
    const result = structuredClone(
      runCompaction(job, this.disk, options.stopped ?? (() => false), options.filter, slashPrefix),
    );
    if (result.outcome !== 'done') return result;
    const removed = choice.runs.flat().map((table) => table.number);
    const added = result.added.map((table) => ({ level: choice.outputLevel, table: fromWire(table) }));
    this.version = this.version.with({ added, removed });
    return result;
  }
}
