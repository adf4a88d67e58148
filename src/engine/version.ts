/**
 * Versions: which tables make up the store, by level, as immutable values.
 *
 * Invariants of a `Version`, checked whenever one is made:
 * - Level 0 holds flushed memtables, newest first; their ranges may overlap, their sequences do not.
 * - In each deeper level tables ascend and do not overlap: `upper` of one ≤ `lower` of the next.
 * - For every key, what stands in a level is newer than what stands in a deeper one.
 * - No table stands in two places.
 */

import { assert } from '../assert.ts';
import { compareBytes } from '../bytes.ts';
import type { TableMeta } from './sstable-format.ts';

/** Level 6 holds 10^6 times level 0: more than a disk does. */
export const LEVELS = 7;

export interface Placed {
  readonly level: number;
  readonly table: TableMeta;
}

/** A change of the store, made durable as one. Absent numbers stay as they were. */
export interface VersionEdit {
  readonly added: readonly Placed[];
  /** Numbers of tables that leave their level; one that is in `added` too moves. */
  readonly removed: readonly number[];
  /** Files get numbers from here on. */
  readonly nextFileNumber?: number;
  /** WALs with smaller numbers are in tables. */
  readonly oldestWal?: number;
  /** All records up to here are in tables (or dead). */
  readonly flushedSequence?: number;
}

export class Version {
  static readonly EMPTY = new Version(Array.from({ length: LEVELS }, () => []));
  readonly levels: readonly (readonly TableMeta[])[];

  private constructor(levels: readonly (readonly TableMeta[])[]) {
    this.levels = levels;
  }

  /** The version of these tables, in any order. Throws an assertion error when they make up none. */
  static of(placed: readonly Placed[]): Version {
    return Version.EMPTY.with({ added: placed, removed: [] });
  }

  /** The version after `edit`. Throws an assertion error when that would break an invariant. */
  with(edit: Pick<VersionEdit, 'added' | 'removed'>): Version {
    const leaving = new Set(edit.removed);
    const levels = this.levels.map((tables, level) => {
      const arriving = edit.added.filter((each) => each.level === level).map((each) => each.table);
      const staying = tables.filter((table) => !leaving.has(table.number));
      if (arriving.length === 0 && staying.length === tables.length) return tables;
      return [...staying, ...arriving].sort(level === 0 ? newestFirst : ascending);
    });
    const before = this.tableCount;
    const version = new Version(levels);
    version.#check();
    assert(version.tableCount === before - leaving.size + edit.added.length, 'what leaves a version was in it');
    return version;
  }

  get tableCount(): number {
    let count = 0;
    for (const tables of this.levels) count += tables.length;
    return count;
  }

  /** Every table with its level. */
  placed(): Placed[] {
    return this.levels.flatMap((tables, level) => tables.map((table) => ({ level, table })));
  }

  bytesIn(level: number): number {
    return totalBytes(this.levels[level] ?? []);
  }

  /** The tables of a level that overlap [lower, upper). */
  overlapping(level: number, lower: Uint8Array, upper: Uint8Array): TableMeta[] {
    return (this.levels[level] ?? []).filter((table) => overlaps(table, lower, upper));
  }

  /** Whether no level deeper than `level` has a table that overlaps [lower, upper). */
  isBottommost(level: number, lower: Uint8Array, upper: Uint8Array): boolean {
    for (let deeper = level + 1; deeper < LEVELS; deeper++) {
      if ((this.levels[deeper] ?? []).some((table) => overlaps(table, lower, upper))) return false;
    }
    return true;
  }

  #check(): void {
    const numbers = new Set<number>();
    for (const [level, tables] of this.levels.entries()) {
      for (const [i, table] of tables.entries()) {
        assert(!numbers.has(table.number), `table ${table.number} stands in one place`);
        numbers.add(table.number);
        const before = tables[i - 1];
        if (level === 0 || before === undefined) continue;
        assert(compareBytes(before.upper, table.lower) <= 0, `tables of level ${level} do not overlap`);
      }
    }
  }
}

function newestFirst(a: TableMeta, b: TableMeta): number {
  return b.maxSequence - a.maxSequence || b.number - a.number;
}

function ascending(a: TableMeta, b: TableMeta): number {
  return compareBytes(a.lower, b.lower);
}

export function overlaps(table: TableMeta, lower: Uint8Array, upper: Uint8Array): boolean {
  return compareBytes(table.lower, upper) < 0 && compareBytes(lower, table.upper) < 0;
}

export function totalBytes(tables: readonly TableMeta[]): number {
  let sum = 0;
  for (const table of tables) sum += table.bytes;
  return sum;
}
