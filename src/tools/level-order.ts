/**
 * Checks what reads rely on and no single table shows: for each key, what stands in a level is newer than what stands
 * below it. All runs are walked side by side, in the order of their keys.
 */

import { compareRanges } from '../bytes.ts';
import { tableName, type TableMeta } from '../engine/sstable-format.ts';
import { TableScan } from '../engine/table-scan.ts';
import type { Version } from '../engine/version.ts';
import type { Disk } from '../env.ts';
import { printable } from './tool.ts';

export interface LevelOrderOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly version: Version;
  /** Told of tables that are done, in bytes. */
  readonly advance: (bytes: number) => void;
}

/** One table of level 0, or a whole deeper level. */
class Run {
  readonly #options: LevelOrderOptions;
  readonly #tables: readonly TableMeta[];
  #next = 0;
  #scan: TableScan | undefined;

  constructor(options: LevelOrderOptions, tables: readonly TableMeta[]) {
    this.#options = options;
    this.#tables = tables;
  }

  get table(): TableMeta {
    return this.#tables[this.#next - 1] as TableMeta;
  }

  get cursor(): TableScan['cursor'] {
    return (this.#scan as TableScan).cursor;
  }

  next(): boolean {
    for (;;) {
      if (this.#scan?.next() === true) return true;
      if (this.#scan !== undefined) this.#options.advance(this.table.bytes);
      this.close();
      const table = this.#tables[this.#next];
      if (table === undefined) return false;
      this.#next++;
      this.#scan = new TableScan(this.#options.disk, this.#options.directory, table);
    }
  }

  close(): void {
    this.#scan?.close();
    this.#scan = undefined;
  }
}

/** The first thing that is out of order, in words; undefined: nothing is. Requires: the tables themselves are sound. */
export function checkLevelOrder(options: LevelOrderOptions): string | undefined {
  const [level0 = [], ...deeper] = options.version.levels;
  const runs = [...level0.map((table) => [table]), ...deeper.filter((tables) => tables.length > 0)];
  const all = runs.map((tables) => new Run(options, tables));
  try {
    return walk(all.filter((run) => run.next()));
  } finally {
    for (const run of all) run.close();
  }
}

/** `live` stands newest first, each on its first record. */
function walk(live: Run[]): string | undefined {
  while (live.length > 1) {
    let first = live[0] as Run;
    for (const run of live) if (compareKeys(run, first) < 0) first = run;
    const { keyBytes, keyStart, keyEnd } = first.cursor;
    const key = keyBytes.slice(keyStart, keyEnd);
    // The oldest record of the key in the newer runs, and where it stands.
    let oldest = Number.POSITIVE_INFINITY;
    let holder: Run | undefined;
    const ended = new Set<Run>();
    for (const run of live) {
      let newest = -1;
      let last = -1;
      while (!ended.has(run) && isAt(run, key)) {
        if (newest < 0) newest = run.cursor.sequence;
        last = run.cursor.sequence;
        if (!run.next()) ended.add(run);
      }
      if (newest < 0) continue;
      if (holder !== undefined && newest >= oldest) {
        const above = tableName(holder.table.number);
        return `key ${printable(key)} has sequence ${newest} below ${oldest} (table ${above}): levels are out of order`;
      }
      oldest = last;
      holder = run;
    }
    if (ended.size > 0) live = live.filter((run) => !ended.has(run));
  }
  return undefined;
}

function isAt(run: Run, key: Uint8Array): boolean {
  const { keyBytes, keyStart, keyEnd } = run.cursor;
  return compareRanges(keyBytes, keyStart, keyEnd, key, 0, key.length) === 0;
}

function compareKeys(a: Run, b: Run): number {
  const x = a.cursor;
  const y = b.cursor;
  return compareRanges(x.keyBytes, x.keyStart, x.keyEnd, y.keyBytes, y.keyStart, y.keyEnd);
}
