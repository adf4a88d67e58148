/** Numbers of the engine for INFO and metrics, by stable name: bytes, counts and microseconds. */

import type { Generation } from './flusher.ts';
import type { Memtable } from './memtable.ts';
import type { Tree } from './tree.ts';
import { LEVELS } from './version.ts';
import type { Wal } from './wal.ts';

export type MetricParts = {
  readonly tree: Tree;
  readonly wal: Wal;
  readonly frozen: readonly Generation[];
  readonly memtable: Memtable;
  /** Bytes of batches since the open. */
  readonly userBytes: number;
  readonly stallUs: number;
  readonly writeDelayMs: number;
  readonly pins: number;
  readonly lastSequence: number;
};

export function engineMetrics(parts: MetricParts): Readonly<Record<string, number>> {
  const { tree, wal, frozen, memtable, userBytes } = parts;
  const { blocks } = tree.cache;
  const levels: Record<string, number> = {};
  let tableBytes = 0;
  for (let level = 0; level < LEVELS; level++) {
    const bytes = tree.bytesIn(level);
    levels[`level${level}_bytes`] = bytes;
    tableBytes += bytes;
  }
  const deepest = Math.max(1, ...Object.values(levels));
  const tableWrites = tree.flushedBytes + tree.compactionWrittenBytes;
  return {
    memtable_bytes: memtable.arena.end,
    memtables_frozen: frozen.length,
    memtables_frozen_bytes: frozen.reduce((sum, each) => sum + each.memtable.arena.end, 0),
    memtable_unsorted_keys: memtable.pendingCount,
    user_bytes: userBytes,
    wal_bytes: wal.liveBytes,
    wal_written_bytes: wal.writtenBytes,
    wal_groups: wal.groupCount,
    wal_syncs: wal.syncCount,
    wal_sync_us: wal.syncMicroseconds,
    wal_sync_max_us: wal.syncMaxMicroseconds,
    wal_syncs_late: wal.lateSyncCount,
    level0_tables: tree.level0Tables,
    tables_bytes: tableBytes,
    ...levels,
    tables_damaged: tree.damagedTables,
    flushes: tree.flushCount,
    flushed_bytes: tree.flushedBytes,
    compactions: tree.compactionCount,
    compaction_running: tree.isCompacting ? 1 : 0,
    compaction_read_bytes: tree.compactionReadBytes,
    compaction_written_bytes: tree.compactionWrittenBytes,
    compaction_us: tree.compactionMicroseconds,
    compaction_moved_tables: tree.movedTables,
    compaction_debt_bytes: tree.debtBytes,
    // The WAL not counted, as LevelDB and RocksDB report it.
    write_amplification: userBytes === 0 ? 0 : tableWrites / userBytes,
    space_amplification: tableBytes / deepest,
    // Places a look-up may have to ask: tables of level 0 and levels.
    read_amplification:
      tree.level0Tables +
      Object.values(levels)
        .slice(1)
        .filter((bytes) => bytes > 0).length,
    stall_us: parts.stallUs,
    write_delay_ms: parts.writeDelayMs,
    block_cache_bytes: blocks.bytes,
    block_cache_hits: tree.cache.blockHits,
    block_cache_misses: blocks.misses,
    block_cache_reserved_bytes: blocks.reservedBytes,
    block_cache_evictions: blocks.evictions,
    block_reads_now: tree.cache.pace.count,
    tail_bytes: tree.cache.tailBytes,
    tail_loads: tree.cache.tailLoads,
    open_files: tree.cache.openFiles,
    snapshots: parts.pins,
    last_sequence: parts.lastSequence,
    durable_sequence: wal.durableSequence,
  };
}
