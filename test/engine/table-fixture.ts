/** What the tests of tables share: records, tables made of them, a model to compare with. */

import { compareBytes, utf8 } from '../../src/bytes.ts';
import { RangeTombstones, type RangeTombstone } from '../../src/engine/range-tombstones.ts';
import { kind, type Kind } from '../../src/engine/record.ts';
import type { Source } from '../../src/engine/source.ts';
import type { TableMeta } from '../../src/engine/sstable-format.ts';
import { defaultTableFormat, TableWriter, type KeyPrefix, type TableFormat } from '../../src/engine/sstable-writer.ts';
import { lookup, type Lookup } from '../../src/engine/store.ts';
import { TableCache } from '../../src/engine/table-cache.ts';
import type { MemoryDisk } from '../support/memory-disk.ts';

export interface TestRecord {
  readonly key: Uint8Array;
  readonly kind: Kind;
  readonly sequence: number;
  readonly value: Uint8Array;
}

export const directory = '/store';

export function put(key: string, sequence: number, value: string): TestRecord {
  return { key: utf8(key), kind: kind.PUT, sequence, value: utf8(value) };
}

export function del(key: string, sequence: number): TestRecord {
  return { key: utf8(key), kind: kind.DELETE, sequence, value: new Uint8Array(0) };
}

export function rangeDelete(start: string, end: string, sequence: number): RangeTombstone {
  return { start: utf8(start), end: utf8(end), sequence };
}

/** The order of tables. */
export function byKeyThenNewest(a: TestRecord, b: TestRecord): number {
  return compareBytes(a.key, b.key) || b.sequence - a.sequence;
}

export interface WrittenTable {
  readonly disk: MemoryDisk;
  readonly number: number;
  readonly records: readonly TestRecord[];
  readonly tombstones?: readonly RangeTombstone[];
  readonly format?: Partial<TableFormat>;
  readonly prefix?: KeyPrefix | undefined;
}

export function writeTable({ disk, number, records, tombstones, format, prefix }: WrittenTable): TableMeta {
  const writer = new TableWriter({
    disk,
    directory,
    number,
    format: { ...defaultTableFormat, blockBytes: 256, ...format },
    createdMs: 1_700_000_000_000,
    prefix,
  });
  for (const { key, kind: recordKind, sequence, value } of records.toSorted(byKeyThenNewest)) {
    writer.add(key, 0, key.length, recordKind, sequence, value, 0, value.length);
  }
  if (tombstones !== undefined) writer.setRangeTombstones(RangeTombstones.of(tombstones));
  return writer.finish();
}

/** Timers whose turns end when the test says so. */
export class TestTurns {
  #waiting: (() => void)[] = [];

  atTurnEnd(callback: () => void): void {
    this.#waiting.push(callback);
  }

  end(): void {
    for (const callback of this.#waiting.splice(0)) callback();
  }
}

export interface TestCache {
  readonly cache: TableCache;
  readonly turns: TestTurns;
  readonly damaged: string[];
}

export interface CacheBudgets {
  readonly blocks?: number;
  readonly tails?: number;
  readonly files?: number;
  readonly prefix?: KeyPrefix;
}

export function openCache(disk: MemoryDisk, budgets?: CacheBudgets): TestCache {
  const turns = new TestTurns();
  const damaged: string[] = [];
  const cache = new TableCache({
    disk,
    directory,
    timers: turns,
    blockCacheBytes: budgets?.blocks ?? 1 << 20,
    scrubBlocks: true,
    tailCacheBytes: budgets?.tails ?? 1 << 20,
    maxOpenFiles: budgets?.files ?? 16,
    prefix: budgets?.prefix,
    onDamage: (meta, error) => damaged.push(`${meta.number}: ${error.message}`),
  });
  return { cache, turns, damaged };
}

export async function settled(source: Source, step: () => Lookup): Promise<boolean> {
  for (;;) {
    const found = step();
    if (found !== lookup.MISS) return found === lookup.FOUND;
    await source.load();
  }
}

export function keyOf(source: Source): Uint8Array {
  return source.keyBytes.slice(source.keyStart, source.keyEnd);
}

export function valueOf(source: Source): Uint8Array {
  return source.valueBytes.slice(source.valueStart, source.valueEnd);
}

/** Walks a source from `from` to its end. */
export async function walk(source: Source, from?: Uint8Array): Promise<[string, string][]> {
  const shown: [string, string][] = [];
  let more = await settled(source, () => source.seek(from));
  while (more) {
    const value = source.kind === kind.PUT ? Buffer.from(valueOf(source)).toString('latin1') : '(tombstone)';
    shown.push([Buffer.from(keyOf(source)).toString('latin1'), value]);
    more = await settled(source, () => source.step());
  }
  return shown;
}
