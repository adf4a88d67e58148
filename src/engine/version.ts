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
    const arriving = new Set(edit.added.map(({ table }) => table.number));
    assert(arriving.size === edit.added.length, 'a table stands in one place');
    let left = 0;
    const levels = this.levels.map((tables, level) => {
      const staying = tables.filter(({ number }) => !leaving.has(number));
      left += tables.length - staying.length;
      for (const { number } of staying) assert(!arriving.has(number), `table ${number} stands in one place`);
      const added = edit.added.filter((each) => each.level === level).map((each) => each.table);
      if (added.length === 0 && staying.length === tables.length) return tables;
      // Both parts are in order already, or nearly so: sorting merges them.
      const all = [...staying, ...added].sort(level === 0 ? newestFirst : ascending);
      if (level > 0) checkDisjoint(all, level);
      return all;
    });
    assert(left === leaving.size, 'what leaves a version was in it');
    return new Version(levels);
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
}

function checkDisjoint(tables: readonly TableMeta[], level: number): void {
  for (let i = 1; i < tables.length; i++) {
    const [before, table] = [tables[i - 1] as TableMeta, tables[i] as TableMeta];
    assert(compareBytes(before.upper, table.lower) <= 0, `tables of level ${level} do not overlap`);
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
