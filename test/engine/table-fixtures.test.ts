/**
 * Tables and manifests as older builds wrote them: every later build must read them. Files are never rewritten; a new
 * version of a format adds files. `node dist/test/engine/table-fixtures.test.js --write` makes those that are missing.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { latin1, utf8 } from '../../src/bytes.ts';
import { FileManifest } from '../../src/engine/manifest-file.ts';
import { readTable, encodeTable } from '../../src/engine/manifest.ts';
import { RangeTombstones } from '../../src/engine/range-tombstones.ts';
import type { TableMeta } from '../../src/engine/sstable-format.ts';
import { tableName, tablePath } from '../../src/engine/sstable-format.ts';
import { TableScan, verifyTable } from '../../src/engine/table-scan.ts';
import { VarintReader } from '../../src/engine/varint.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { del, directory, put, rangeDelete, writeTable, type TestRecord } from './table-fixture.ts';
import type { TableFormat } from '../../src/engine/sstable-writer.ts';

/** Compiled tests stand in dist/test/engine, the files in test/engine/fixtures. */
const folder = new URL('../../../test/engine/fixtures/', import.meta.url);

interface Fixture {
  readonly name: string;
  readonly number: number;
  readonly records: readonly TestRecord[];
  readonly format: Partial<TableFormat>;
  readonly tombstones: ReturnType<typeof rangeDelete>[];
}

const mixed: TestRecord[] = Array.from({ length: 200 }, (_, i) =>
  i % 9 === 4
    ? del(`row/${i % 50}/${i}`, 1000 + i)
    : put(`row/${i % 50}/${i}`, i % 7 === 0 ? 0 : 1000 + i, `value ${i} `.repeat(5)),
);

/** What was written; never changed. */
const fixtures: readonly Fixture[] = [
  {
    name: 'table-v1-raw',
    number: 17,
    records: [...mixed, put('row/1/1', 5000, 'newer'), put('row/1/1', 4000, 'older')],
    format: { blockBytes: 512, compression: 'none', filterBitsPerKey: 10 },
    tombstones: [rangeDelete('row/2', 'row/3', 2000), rangeDelete('row/25', 'row/4', 3000)],
  },
  {
    name: 'table-v1-lz4',
    number: 18,
    records: mixed,
    format: { blockBytes: 1024, compression: 'lz4', filterBitsPerKey: 0 },
    tombstones: [],
  },
  {
    name: 'table-v1-two-level',
    number: 19,
    records: Array.from({ length: 2200 }, (_, i) => put(String(i).padStart(4, '0'), i, '')),
    format: { blockBytes: 8, compression: 'none', filterBitsPerKey: 6 },
    tombstones: [],
  },
];

function fileOf(name: string): URL {
  return new URL(name, folder);
}

function write(fixture: Fixture): void {
  const disk = new MemoryDisk();
  const meta = writeTable({ disk, ...fixture });
  writeFileSync(fileOf(`${fixture.name}.sst`), disk.bytes(tablePath(directory, fixture.number)));
  writeFileSync(fileOf(`${fixture.name}.record`), encodeTable({ level: 3, table: meta }));
}

async function writeManifest(): Promise<void> {
  const disk = new MemoryDisk();
  const manifest = FileManifest.open(disk, directory);
  const table: TableMeta = {
    number: 40,
    bytes: 5000,
    tailBytes: 400,
    lower: utf8('a'),
    upper: utf8('m'),
    records: 7,
    tombstones: 2,
    minSequence: 0,
    maxSequence: 2 ** 45,
    rangeTombstones: RangeTombstones.of([rangeDelete('b', 'c', 9)]),
    createdMs: 1_700_000_000_000,
  };
  await manifest.setValue('node', utf8('n1'));
  await manifest.commit({
    added: [{ level: 2, table }],
    removed: [],
    nextFileNumber: 41,
    oldestWal: 39,
    flushedSequence: 2 ** 45,
  });
  writeFileSync(fileOf('manifest-v1'), disk.bytes(`${directory}/manifest-0000000000000002`));
}

if (process.argv.includes('--write')) {
  for (const fixture of fixtures) if (!existsSync(fileOf(`${fixture.name}.sst`))) write(fixture);
  if (!existsSync(fileOf('manifest-v1'))) await writeManifest();
}

for (const { name, number, records, tombstones } of fixtures) {
  test(`${name} is read as it was written`, () => {
    const disk = new MemoryDisk();
    disk.put(tablePath(directory, number), readFileSync(fileOf(`${name}.sst`)));
    const { level, table } = readTable(new VarintReader(readFileSync(fileOf(`${name}.record`))));
    assert.equal(level, 3);
    assert.equal(tableName(table.number), tableName(number));
    verifyTable(disk, directory, table);
    const scan = new TableScan(disk, directory, table);
    const read: string[] = [];
    while (scan.next()) {
      const { keyBytes, keyStart, keyEnd, sequence, block, valueStart, valueEnd } = scan.cursor;
      const value = scan.cursor.kind === 1 ? latin1(block, valueStart, valueEnd) : undefined;
      read.push(`${latin1(keyBytes, keyStart, keyEnd)}@${sequence}=${value ?? '(deleted)'}`);
    }
    scan.close();
    const written = records.map(
      (record) => `${latin1(record.key)}@${record.sequence}=${record.kind === 1 ? latin1(record.value) : '(deleted)'}`,
    );
    assert.deepEqual(read.toSorted(), written.toSorted());
    assert.deepEqual(table.rangeTombstones.fragments, RangeTombstones.of(tombstones).fragments);
    assert.equal(scan.tail.twoLevel, name === 'table-v1-two-level');
  });
}

test('manifest-v1 is read as it was written', () => {
  const disk = new MemoryDisk();
  disk.put(`${directory}/manifest-0000000000000002`, readFileSync(fileOf('manifest-v1')));
  const { state, getValue } = ((manifest) => ({ state: manifest.state, getValue: manifest.getValue.bind(manifest) }))(
    FileManifest.open(disk, directory),
  );
  assert.deepEqual(getValue('node'), utf8('n1'));
  assert.deepEqual([state.nextFileNumber, state.oldestWal, state.flushedSequence], [41, 39, 2 ** 45]);
  const [placed] = state.version.placed();
  assert.equal(placed?.level, 2);
  assert.equal(placed?.table.number, 40);
  assert.equal(placed?.table.rangeTombstones.count, 1);
});
