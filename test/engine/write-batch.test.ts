import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../../src/bytes.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { kind, MAX_BATCH_BYTES, MAX_KEY_BYTES, recordAt } from '../../src/engine/record.ts';
import { WriteBatch } from '../../src/engine/write-batch.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('a record stands as the format says, byte by byte: old WALs stay readable', () => {
  const batch = new WriteBatch();
  batch.put(utf8('key'), utf8('v'));
  batch.delete(utf8('gone!'));
  batch.deleteRange(utf8('a'), utf8('bc'));
  assert.equal(
    hex(batch.bytes.subarray(0, batch.byteLength)),
    [
      '03000040',
      '01000000',
      '00000000',
      '00000000',
      hex(utf8('keyv')),
      '05000000',
      '00000000',
      '00000000',
      '00000000',
      hex(utf8('gone!')),
      '000000',
      '01000080',
      '02000000',
      '00000000',
      '00000000',
      hex(utf8('abc')),
      '00',
    ].join(''),
  );
  assert.equal(batch.count, 3);
});

const change = fc.oneof(
  fc.record({ what: fc.constant('put' as const), key: fc.uint8Array({ minLength: 1 }), value: fc.uint8Array() }),
  fc.record({ what: fc.constant('reserve' as const), key: fc.uint8Array({ minLength: 1 }), value: fc.uint8Array() }),
  fc.record({ what: fc.constant('delete' as const), key: fc.uint8Array({ minLength: 1 }) }),
);

test('what was put into a batch is in it, also when it is used again', () => {
  const batch = new WriteBatch();
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      batch.clear();
      for (const each of changes) {
        if (each.what === 'put') batch.put(each.key, each.value);
        else if (each.what === 'delete') batch.delete(each.key);
        else {
          const at = batch.reservePut(each.key.length, each.value.length);
          batch.bytes.set(each.key, at);
          batch.bytes.set(each.value, at + each.key.length);
        }
      }
      let at = 0;
      for (const each of changes) {
        const record = recordAt(batch.words, at);
        const { keyStart, keyEnd, valueEnd, end } = record;
        assert.equal(record.kind, each.what === 'delete' ? kind.DELETE : kind.PUT);
        assert.equal(hex(batch.bytes.subarray(keyStart, keyEnd)), hex(each.key));
        if (each.what !== 'delete') assert.equal(hex(batch.bytes.subarray(keyEnd, valueEnd)), hex(each.value));
        assert.ok(
          batch.bytes.subarray(valueEnd, end).every((byte) => byte === 0),
          'padding is zero',
        );
        at = end;
      }
      assert.equal(at, batch.byteLength);
      assert.equal(batch.count, changes.length);
    }),
  );
});

test('an empty or reversed range adds nothing', () => {
  const batch = new WriteBatch();
  batch.deleteRange(utf8('b'), utf8('b'));
  batch.deleteRange(utf8('c'), utf8('b'));
  assert.equal(batch.count, 0);
});

test('lengths beyond the limits are refused and leave the batch as it was', () => {
  const batch = new WriteBatch();
  batch.put(utf8('a'), utf8('b'));
  const { byteLength } = batch;
  const isTooLarge = (error: unknown): boolean => error instanceof EngineError && error.code === 'too-large';
  assert.throws(() => batch.reservePut(1, MAX_BATCH_BYTES), isTooLarge);
  assert.throws(() => batch.reservePut(MAX_KEY_BYTES + 1, 0), isTooLarge);
  assert.throws(() => batch.reservePut(MAX_KEY_BYTES, 0xffff_ffff), isTooLarge);
  assert.equal(batch.byteLength, byteLength);
  assert.equal(batch.count, 1);
});

test('a batch that was large gives its memory back', () => {
  const batch = new WriteBatch();
  batch.reservePut(3, 4 << 20);
  assert.ok(batch.bytes.length > 4 << 20);
  batch.clear();
  assert.ok(batch.bytes.length < 1 << 20);
});
