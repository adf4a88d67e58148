import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes, equalBytes, utf8 } from '../../src/bytes.ts';
import { defaultTableFormat, formatOfLevel } from '../../src/engine/sstable-writer.ts';
import { BlockHit } from '../../src/engine/block-reader.ts';
import { hashKey } from '../../src/engine/bloom-filter.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { kind } from '../../src/engine/record.ts';
import { openPiece, tableName, tableNumber, tablePath, type TableMeta } from '../../src/engine/sstable-format.ts';
import { tableAnswer } from '../../src/engine/sstable-reader.ts';
import { describeTable } from '../../src/engine/table-describe.ts';
import { TableScan, verifyTable } from '../../src/engine/table-scan.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import {
  byKeyThenNewest,
  del,
  directory,
  openCache,
  put,
  rangeDelete,
  writeTable,
  type TestRecord,
} from './table-fixture.ts';

const key = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 10, max: 3 }),
  fc.uint8Array({ minLength: 1, maxLength: 30 }),
);
const records = fc
  .array(
    fc.record({ key, kind: fc.constantFrom(kind.PUT, kind.DELETE), sequence: fc.nat(50), value: fc.uint8Array() }),
    {
      minLength: 1,
      maxLength: 200,
    },
  )
  .map((list) =>
    list
      .map((record) => ({ ...record, value: record.kind === kind.DELETE ? new Uint8Array(0) : record.value }))
      .toSorted(byKeyThenNewest)
      .filter((record, i, all) => i === 0 || byKeyThenNewest(all[i - 1] as TestRecord, record) !== 0),
  );

function scan(disk: MemoryDisk, meta: TableMeta): TestRecord[] {
  const table = new TableScan(disk, directory, meta);
  const found: TestRecord[] = [];
  while (table.next()) {
    const { keyBytes, keyStart, keyEnd, sequence, block, valueStart, valueEnd } = table.cursor;
    found.push({
      key: keyBytes.slice(keyStart, keyEnd),
      kind: table.cursor.kind,
      sequence,
      value: block.slice(valueStart, valueEnd),
    });
  }
  table.close();
  return found;
}

test('a table gives back its records, one by one and key by key', async () => {
  await fc.assert(
    fc.asyncProperty(
      records,
      fc.constantFrom('none', 'lz4'),
      fc.nat(2),
      fc.nat(50),
      async (list, compression, bits, limit) => {
        const disk = new MemoryDisk();
        const format = { compression, filterBitsPerKey: bits * 5 };
        const meta = writeTable({ disk, number: 7, records: list, format });
        assert.deepEqual(scan(disk, meta), list);
        verifyTable(disk, directory, meta);
        assert.deepEqual(disk.list(directory), ['000007.sst']);
        assert.equal(meta.bytes, disk.bytes(tablePath(directory, 7)).length);
        assert.deepEqual(meta.lower, list[0]?.key);
        assert.ok(equalBytes(meta.upper, Uint8Array.from([...(list.at(-1)?.key ?? []), 0])));
        assert.equal(meta.tombstones, list.filter((record) => record.kind === kind.DELETE).length);
        const { cache } = openCache(disk, { blocks: 600 });
        const table = cache.table(meta);
        const hit = new BlockHit();
        for (const target of list.flatMap((record) => [record.key, Uint8Array.from([...record.key, 1])])) {
          const hash = hashKey(target, 0, target.length);
          let answer = table.get(target, target.length, hash, limit, hit);
          while (answer === tableAnswer.MISS) {
            await cache.load(table, table.missing);
            answer = table.get(target, target.length, hash, limit, hit);
          }
          const expected = list.find((record) => compareBytes(record.key, target) === 0 && record.sequence <= limit);
          if (expected === undefined) assert.equal(answer, tableAnswer.ABSENT);
          else if (expected.kind === kind.DELETE) assert.equal(answer, tableAnswer.DELETED);
          else {
            assert.equal(answer, tableAnswer.FOUND);
            assert.deepEqual(table.hitBlock.slice(hit.valueStart, hit.valueEnd), expected.value);
          }
        }
        cache.close();
        assert.equal(disk.openFiles, 0);
      },
    ),
    { numRuns: 60 },
  );
});

/** Enough blocks for an index of two levels. */
function manyRecords(): TestRecord[] {
  return Array.from({ length: 5000 }, (_, i) => put(`key:${String(i).padStart(6, '0')}`, i + 1, `value ${i}`));
}

test('a table with many blocks has an index of two levels', async () => {
  const disk = new MemoryDisk();
  const list = manyRecords();
  const meta = writeTable({ disk, number: 1, records: list, format: { blockBytes: 48 } });
  verifyTable(disk, directory, meta);
  assert.equal(scan(disk, meta).length, list.length);
  const { cache } = openCache(disk);
  const table = cache.table(meta);
  const hit = new BlockHit();
  for (let i = 0; i < list.length; i += 97) {
    const target = (list[i] as TestRecord).key;
    const hash = hashKey(target, 0, target.length);
    let misses = 0;
    while (table.get(target, target.length, hash, 1e9, hit) === tableAnswer.MISS) {
      misses++;
      await cache.load(table, table.missing);
    }
    assert.ok(misses <= 3, 'a look-up misses at most tail, partition and block');
    assert.deepEqual(table.hitBlock.slice(hit.valueStart, hit.valueEnd), list[i]?.value);
  }
  assert.ok(table.tail?.twoLevel === true && table.partitions.length >= 4);
  const beyond = utf8('zzz');
  assert.equal(table.locate(table.tail, beyond, 0, beyond.length), table.tail.blockCount);
});

test('range tombstones widen the bounds and come back', () => {
  const disk = new MemoryDisk();
  const tombstones = [rangeDelete('a', 'm', 5), rangeDelete('f', 'z', 9)];
  const meta = writeTable({ disk, number: 3, records: [put('g', 7, 'x')], tombstones });
  assert.deepEqual([meta.lower, meta.upper], [utf8('a'), utf8('z')]);
  assert.deepEqual([meta.minSequence, meta.maxSequence], [5, 9]);
  const { tail } = new TableScan(disk, directory, meta);
  assert.equal(Buffer.from(tail.properties.get('range-tombstones') ?? '').toString(), '4');
  const only = writeTable({ disk, number: 4, records: [], tombstones });
  assert.equal(only.records, 0);
  verifyTable(disk, directory, only);
});

test('one flipped bit anywhere in a table is noticed', () => {
  const disk = new MemoryDisk();
  const list = Array.from({ length: 40 }, (_, i) => (i % 7 === 0 ? del(`k${i}`, i + 1) : put(`k${i}`, i + 1, `v${i}`)));
  const meta = writeTable({ disk, number: 9, records: list, tombstones: [rangeDelete('a', 'b', 99)] });
  const bytes = disk.bytes(tablePath(directory, 9));
  const unchecked: number[] = [];
  for (let at = 0; at < bytes.length; at++) {
    bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
    try {
      verifyTable(disk, directory, meta);
      unchecked.push(at - bytes.length);
    } catch (error) {
      assert.ok(error instanceof EngineError && error.code === 'corruption', String(error));
      assert.match(error.message, /table 000009\.sst is damaged at offset \d+/);
    }
    bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
  }
  assert.deepEqual(unchecked, []);
  verifyTable(disk, directory, meta);
});

test('a table that is cut, longer, another table, or has blocks of another place is refused', () => {
  const disk = new MemoryDisk();
  const list = Array.from({ length: 100 }, (_, i) => put(`key${i + 100}`, 1, 'the same length'));
  const meta = writeTable({ disk, number: 5, records: list, format: { blockBytes: 128 } });
  const path = tablePath(directory, 5);
  const whole = disk.bytes(path).slice();
  const refused = (bytes: Uint8Array, what: RegExp): void => {
    disk.put(path, bytes);
    assert.throws(() => verifyTable(disk, directory, meta), what);
  };
  refused(whole.slice(0, -1), /file ends after/);
  refused(whole.slice(0, whole.length / 2), /is damaged/);
  refused(whole.slice(0, 20), /is damaged/);
  refused(new Uint8Array(whole.length), /wrong magic/);
  // Two blocks of one length change places; either one's bytes are as they were written.
  const lengths = blockLengths(whole, meta, 6);
  const at = lengths.findIndex((length, i) => length === lengths[i + 1]);
  const offset = lengths.slice(0, at).reduce((sum, length) => sum + length, 0);
  const length = lengths[at] ?? assert.fail('two neighbours are of one length');
  const swapped = whole.slice();
  swapped.set(whole.slice(offset + length, offset + 2 * length), offset);
  swapped.set(whole.slice(offset, offset + length), offset + length);
  refused(swapped, /the checksum of/);
  disk.put(path, whole);
  verifyTable(disk, directory, meta);
  disk.put(tablePath(directory, 6), whole);
  assert.throws(() => verifyTable(disk, directory, { ...meta, number: 6 }), /the footer is that of table 5/);
  assert.throws(() => verifyTable(disk, directory, { ...meta, number: 8 }), /the file is not there/);
});

/** Lengths of the first blocks, found by their checksums. */
function blockLengths(bytes: Uint8Array, meta: TableMeta, count: number): number[] {
  const lengths: number[] = [];
  let offset = 0;
  for (let end = offset + 6; end < bytes.length && lengths.length < count; end++) {
    try {
      openPiece(bytes, offset, end, meta.number, offset);
    } catch {
      continue;
    }
    lengths.push(end - offset);
    offset = end;
  }
  return lengths;
}

test('a table that says other than its description is refused', () => {
  const disk = new MemoryDisk();
  const meta = writeTable({ disk, number: 2, records: [put('b', 1, 'x'), put('c', 2, 'y')] });
  const says = (changed: Partial<TableMeta>, what: RegExp): void =>
    assert.throws(() => verifyTable(disk, directory, { ...meta, ...changed }), what);
  says({ records: 3 }, /2 records where 3/);
  says({ maxSequence: 3 }, /sequences/);
  says({ lower: utf8('bb') }, /outside of the bounds/);
  says({ upper: utf8('c') }, /outside of the bounds/);
});

test('a value of many blocks stands alone, so that its neighbours are read without it', async () => {
  const disk = new MemoryDisk();
  const list = [put('a', 1, 'small'), put('b', 2, 'L'.repeat(100_000)), put('c', 3, 'small')];
  const meta = writeTable({ disk, number: 1, records: list, format: { blockBytes: 8192 } });
  const { cache } = openCache(disk);
  const table = cache.table(meta);
  await cache.load(table, table.missing);
  assert.equal(table.tail?.blockCount, 3);
  await cache.load(table, 0);
  assert.ok(cache.blocks.bytes < 1000);
});

test('a table describes itself, range tombstones and all', () => {
  const disk = new MemoryDisk();
  const tombstones = [rangeDelete('a', 'm', 5), rangeDelete('f', 'z', 9)];
  const metas = [
    writeTable({ disk, number: 3, records: [put('g', 7, 'x'), del('h', 0)], tombstones }),
    writeTable({ disk, number: 4, records: [], tombstones }),
    writeTable({ disk, number: 5, records: manyRecords(), format: { blockBytes: 48, compression: 'lz4' } }),
  ];
  for (const meta of metas) assert.deepEqual(describeTable(disk, directory, meta.number), meta);
  assert.equal(disk.openFiles, 0);
  disk.put(tablePath(directory, 3), new Uint8Array(20));
  assert.throws(() => describeTable(disk, directory, 3), /000003\.sst is damaged/);
});

test('names of tables', () => {
  assert.equal(tableName(42), '000042.sst');
  assert.equal(tableNumber('000042.sst'), 42);
  assert.equal(tableNumber(tableName(12_345_678)), 12_345_678);
  for (const other of ['42.sst', '000042.sst.tmp', '000042.wal', 'manifest.mdb'])
    assert.equal(tableNumber(other), undefined);
});

test('blocks that do not get smaller are not tried for long, those that do are, and upper levels never', () => {
  const disk = new MemoryDisk();
  let state = 1;
  const noise = (): string =>
    Array.from({ length: 300 }, () => String.fromCharCode((state = (state * 48_271) % 0x7fff_ffff) % 256)).join('');
  const list = Array.from({ length: 1200 }, (_, i) => put(`k${10_000 + i}`, 1, i < 600 ? noise() : 'same'.repeat(75)));
  const format = { ...defaultTableFormat, compression: 'lz4' as const };
  const plain = writeTable({ disk, number: 1, records: list, format: formatOfLevel(format, 1) });
  const packed = writeTable({ disk, number: 2, records: list, format: formatOfLevel(format, 2) });
  assert.ok(packed.bytes < plain.bytes * 0.75, `${packed.bytes} of ${plain.bytes}`);
  verifyTable(disk, directory, packed);
});
