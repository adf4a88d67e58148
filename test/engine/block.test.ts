import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes } from '../../src/bytes.ts';
import { BlockCursor, BlockHit, findInBlock } from '../../src/engine/block-reader.ts';
import { BlockBuilder } from '../../src/engine/block.ts';
import { kind } from '../../src/engine/record.ts';
import { varintBytes, VarintReader, VarintWriter } from '../../src/engine/varint.ts';
import { byKeyThenNewest, type TestRecord } from './table-fixture.ts';

const key = fc.uint8Array({ minLength: 1, maxLength: 12, max: 4 });
const sequence = fc.oneof(fc.nat(20), fc.maxSafeNat());
const value = fc.uint8Array({ maxLength: 200 });

/** Records in the order of tables; of each key and sequence one. */
const block: fc.Arbitrary<TestRecord[]> = fc
  .array(fc.record({ key, kind: fc.constantFrom(kind.PUT, kind.DELETE), sequence, value }), {
    minLength: 1,
    maxLength: 80,
  })
  .map((records) =>
    records
      .map((record) => ({ ...record, value: record.kind === kind.DELETE ? new Uint8Array(0) : record.value }))
      .toSorted(byKeyThenNewest)
      .filter((record, i, all) => i === 0 || byKeyThenNewest(all[i - 1] as TestRecord, record) !== 0),
  );

function build(records: readonly TestRecord[], restartInterval: number): Uint8Array {
  const builder = new BlockBuilder(restartInterval);
  for (const each of records) {
    // Somewhere within larger memory, as records of an arena are.
    const bytes = new Uint8Array(each.key.length + each.value.length + 2);
    bytes.set(each.key, 1);
    bytes.set(each.value, 1 + each.key.length);
    const keyEnd = 1 + each.key.length;
    builder.add(bytes, 1, keyEnd, each.kind, each.sequence, bytes, keyEnd, keyEnd + each.value.length);
  }
  assert.equal(builder.byteLength, builder.finish().length);
  return builder.finish().slice();
}

function current(cursor: BlockCursor): TestRecord {
  return {
    key: cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd),
    kind: cursor.kind,
    sequence: cursor.sequence,
    value: cursor.block.slice(cursor.valueStart, cursor.valueEnd),
  };
}

function rest(cursor: BlockCursor, first: boolean): TestRecord[] {
  const records: TestRecord[] = [];
  for (let more = first; more; more = cursor.next()) records.push(current(cursor));
  return records;
}

test('a block gives back its records, from its start and from every key on', () => {
  fc.assert(
    fc.property(block, fc.constantFrom(1, 2, 16), key, (records, interval, other) => {
      const cursor = new BlockCursor();
      cursor.open(build(records, interval));
      assert.deepEqual(rest(cursor, cursor.next()), records);
      for (const target of [other, ...records.map((record) => record.key)]) {
        const expected = records.filter((record) => compareBytes(record.key, target) >= 0);
        assert.deepEqual(rest(cursor, cursor.seek(target, 0, target.length)), expected);
      }
    }),
  );
});

test('a search finds the newest record that a sequence may see', () => {
  fc.assert(
    fc.property(block, fc.constantFrom(1, 3, 16), key, sequence, (records, interval, other, limit) => {
      const bytes = build(records, interval);
      const hit = new BlockHit();
      for (const target of [other, ...records.map((record) => record.key)]) {
        const expected = records.find((record) => compareBytes(record.key, target) === 0 && record.sequence <= limit);
        const found = findInBlock(bytes, target, target.length, limit, hit);
        assert.equal(found, expected !== undefined);
        if (expected === undefined) continue;
        assert.equal(hit.kind, expected.kind);
        assert.equal(hit.sequence, expected.sequence);
        assert.deepEqual(bytes.slice(hit.valueStart, hit.valueEnd), expected.value);
      }
    }),
  );
});

test('a walk backwards shows the newest visible record of each key', () => {
  fc.assert(
    fc.property(block, fc.constantFrom(1, 2, 16), key, sequence, (records, interval, other, limit) => {
      const cursor = new BlockCursor();
      cursor.open(build(records, interval));
      const visible = records
        .filter((record) => record.sequence <= limit)
        .filter((record, i, all) => i === 0 || compareBytes((all[i - 1] as TestRecord).key, record.key) !== 0);
      const walkBack = (first: boolean): TestRecord[] => {
        const shown: TestRecord[] = [];
        for (let more = first; more; more = cursor.previous()) {
          if (cursor.newestOfKey(limit)) shown.push(current(cursor));
        }
        return shown;
      };
      assert.deepEqual(walkBack(cursor.last()), visible.toReversed());
      for (const target of [other, ...records.map((record) => record.key)]) {
        const expected = visible.filter((record) => compareBytes(record.key, target) <= 0).toReversed();
        assert.deepEqual(walkBack(cursor.seekBack(target, 0, target.length)), expected);
      }
    }),
  );
});

function long(length: number, last: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(7);
  bytes[length - 1] = last;
  return bytes;
}

test('long keys and values survive', () => {
  const records: TestRecord[] = [1, 2, 3].map((i) => ({
    key: long(70_000, i),
    kind: kind.PUT,
    sequence: Number.MAX_SAFE_INTEGER - i,
    value: long(3_000_000, i),
  }));
  const cursor = new BlockCursor();
  const bytes = build(records, 2);
  cursor.open(bytes);
  assert.deepEqual(rest(cursor, cursor.next()), records);
  assert.ok(findInBlock(bytes, long(70_000, 3), 70_000, Number.MAX_SAFE_INTEGER, new BlockHit()));
  assert.ok(!findInBlock(bytes, long(70_000, 4), 70_000, Number.MAX_SAFE_INTEGER, new BlockHit()));
});

test('varints keep every safe integer', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(300), fc.maxSafeNat())), (numbers) => {
      const writer = new VarintWriter();
      for (const each of numbers) writer.number(each);
      const bytes = writer.finish();
      assert.equal(
        bytes.length,
        numbers.reduce((sum, each) => sum + varintBytes(each), 0),
      );
      const reader = new VarintReader(bytes);
      assert.deepEqual(
        numbers.map(() => reader.number()),
        numbers,
      );
      assert.throws(() => reader.number(), /varint within its bytes/);
    }),
  );
});
