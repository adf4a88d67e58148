/** What an engine is opened with, and the limits of the engine with their defaults. */

import type { Clock, Disk, Log, Random, Threads, Timers } from '../env.ts';
import { defaultPickerOptions } from './compaction-picker.ts';
import type { PickerOptions } from './compaction-picker.ts';
import type { EngineError } from './engine-error.ts';
import type { ManifestStore } from './manifest.ts';
import { defaultTableFormat } from './sstable-writer.ts';
import type { KeyPrefix, TableFormat } from './sstable-writer.ts';
import type { FsyncPolicy, StoreHooks } from './store.ts';
import { defaultTableCacheOptions } from './table-cache.ts';
import { defaultStallLimits } from './write-stall.ts';
import type { StallLimits } from './write-stall.ts';

export type EngineOptions = {
  /** Bytes of records after which a memtable is frozen and written out. */
  readonly memtableBytes: number;
  readonly fsync: FsyncPolicy;
  readonly format: TableFormat;
  readonly picker: PickerOptions;
  readonly stall: StallLimits;
  /** Bytes a second that compaction writes at most; 0: no limit. */
  readonly compactionBytesPerSecond: number;
  readonly blockCacheBytes: number;
  /** Filters and indexes of tables in memory. */
  readonly tailCacheBytes: number;
  readonly maxOpenFiles: number;
  /** For tests: memory of dropped blocks is overwritten, so that who still reads it is found out. */
  readonly scrubBlocks?: boolean;
  /** Free bytes on the disk below which writes are refused; they are what flush and compaction go on with. */
  readonly diskReserveBytes: number;
  /** A memtable with more than this is written out on close, so that the next open has little to replay. */
  readonly closeFlushBytes: number;
};

const DEFAULT_MEMTABLE_BYTES = 64 << 20;

/** The options with what was left out, which partly follows from the size of a memtable. */
export function engineOptions(given: Partial<EngineOptions> = {}): EngineOptions {
  const memtableBytes = given.memtableBytes ?? DEFAULT_MEMTABLE_BYTES;
  return {
    memtableBytes,
    fsync: 'everysec',
    format: defaultTableFormat,
    // Level 1 takes about what level 0 has when it is due.
    picker: { ...defaultPickerOptions, level1Bytes: defaultPickerOptions.level0Tables * memtableBytes },
    stall: defaultStallLimits,
    compactionBytesPerSecond: 0,
    ...defaultTableCacheOptions,
    diskReserveBytes: 3 * memtableBytes,
    closeFlushBytes: memtableBytes / 8,
    ...given,
  };
}

/** Rules of the owner that run in the engine's threads. */
export type ThreadRules = {
  /** Module that default-exports `engineThread({ createFilter, prefix })`. */
  readonly moduleUrl: string;
  /** The same as in the thread. */
  readonly prefix?: KeyPrefix;
  /** State for `createFilter`, structured-cloneable, asked for before each compaction; undefined: do not filter. */
  readonly filterState?: () => unknown;
};

export type EngineOpen = {
  readonly disk: Disk;
  readonly threads: Threads;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Made when it is not there. */
  readonly directory: string;
  readonly options?: Partial<EngineOptions>;
  readonly hooks?: StoreHooks;
  readonly rules?: ThreadRules;
  /** Names of the values that belong to the data and so go along with a checkpoint; the others stay behind. */
  readonly copiedValues?: readonly string[];
  /** Opens the manifest in a directory; without it, the one in plain files (manifest-file.ts). */
  readonly openManifest?: (directory: string) => ManifestStore | Promise<ManifestStore>;
  /** Called once when the disk has failed for good: nothing is acknowledged any more, the process should end. */
  readonly onFatal?: (error: EngineError) => void;
};
