import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes, concatBytes } from '../../src/bytes.ts';
import {
  databaseEnd,
  databaseOfHead,
  databaseStart,
  deadlineOfExpiryKey,
  expiryKey,
  headEnd,
  headKey,
  keyOfHead,
  readStamp,
  rowEnd,
  slotOfHead,
  writeStamp,
} from '../../src/repl/row-key.ts';

// Zero bytes and 0xff are what the escaping is about, so they come often.
const keys = fc
  .array(fc.oneof({ weight: 2, arbitrary: fc.constantFrom(0, 1, 0xfe, 0xff) }, fc.nat(255)), { maxLength: 12 })
  .map((bytes) => Uint8Array.from(bytes));

test('a head key gives back its key, database and slot', () => {
  fc.assert(
    fc.property(keys, fc.nat(254), (key, database) => {
      const head = headKey(database, key);
      assert.deepEqual(keyOfHead(head), key);
      assert.equal(databaseOfHead(head), database);
      assert.equal(headEnd(head), head.length);
      const slot = slotOfHead(head);
      assert.ok(compareBytes(databaseStart(slot, database), head) < 0);
      assert.ok(compareBytes(head, databaseEnd(slot, database)) < 0);
    }),
  );
});

test('rows of a slot are in key order, and the cells of a row stand together', () => {
  fc.assert(
    fc.property(keys, keys, fc.integer({ min: 1, max: 0xfe }), keys, (a, b, tag, element) => {
      // The same hash tag puts both into one slot.
      const x = concatBytes(Buffer.from('{t}'), a);
      const y = concatBytes(Buffer.from('{t}'), b);
      const order = Math.sign(compareBytes(x, y));
      const headX = headKey(0, x);
      const headY = headKey(0, y);
      assert.equal(Math.sign(compareBytes(headX, headY)), order);
      const cell = concatBytes(headX, Uint8Array.of(tag), element);
      assert.ok(compareBytes(headX, cell) < 0);
      assert.ok(compareBytes(cell, rowEnd(headX)) < 0);
      assert.equal(headEnd(cell), headX.length);
      if (order !== 0) assert.equal(Math.sign(compareBytes(cell, headY)), order);
    }),
  );
});

test('the expiry index is in order of deadlines', () => {
  const moments = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(moments, moments, keys, keys, (early, late, a, b) => {
      fc.pre(early < late);
      const first = expiryKey(early, headKey(0, a));
      assert.ok(compareBytes(first, expiryKey(late, headKey(0, b))) < 0);
      assert.equal(deadlineOfExpiryKey(first), early);
      assert.deepEqual(first.subarray(10), headKey(0, a));
    }),
  );
});

test('stamps round-trip up to the largest safe integer', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), (stamp) => {
      const bytes = new Uint8Array(9);
      writeStamp(bytes, 1, stamp);
      assert.equal(readStamp(bytes, 1), stamp);
    }),
  );
});
