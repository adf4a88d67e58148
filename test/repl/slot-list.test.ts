/** The bytes of LIST and COUNT, and of row states and flush marks: round trips, and damage that is told. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import { SLOT_COUNT } from '../../src/cluster/slot.ts';
import type { RowType } from '../../src/repl/head.ts';
import { decodeRowState, encodeRowState } from '../../src/repl/row-state.ts';
import {
  decodeCountRequest,
  decodeCounts,
  decodeList,
  decodeListRequest,
  encodeCountRequest,
  encodeCounts,
  encodeList,
  encodeListRequest,
  MAX_LISTED,
  slotRanges,
} from '../../src/repl/slot-list.ts';
import {
  decodeMarkRecord,
  decodeMarks,
  encodeMarkRecord,
  encodeMarks,
  slotMarkKey,
  slotOfMarkKey,
} from '../../src/repl/slot-marks.ts';

/** Objects as literals make them. */
const PLAIN = { noNullPrototype: true } as const;

const name = fc.uint8Array({ minLength: 4, maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const version = fc.record({ stamp: fc.maxSafeNat(), actor: fc.nat(0xffff_ffff) }, PLAIN);
const slots = fc
  .uniqueArray(fc.nat(SLOT_COUNT - 1), { maxLength: 50 })
  .map((each) => slotRanges(each.sort((a, b) => a - b)));
const listRequest = fc.record(
  {
    slots,
    database: fc.nat(255),
    deleted: fc.boolean(),
    limit: fc.integer({ min: 1, max: MAX_LISTED }),
    after: fc.option(name, { nil: undefined }),
  },
  PLAIN,
);
const listed = fc.record(
  {
    name,
    type: fc.nat(6).map((type) => type as RowType),
    version,
    expiresAtMs: fc.maxSafeNat(),
  },
  PLAIN,
);
const countRequest = fc.record({ slots, database: fc.nat(255), bySlot: fc.boolean() }, PLAIN);
const mark = fc.record({ database: fc.nat(255), mark: version }, PLAIN);
const left = fc.record({ database: fc.nat(254), count: fc.nat(0xffff_ffff) }, PLAIN);
const state = fc.record(
  {
    type: fc.integer({ min: 1, max: 6 }).map((type) => type as RowType),
    expiresAtMs: fc.maxSafeNat(),
    modified: version,
    value: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  },
  PLAIN,
);

void test('what is written is read again', () => {
  fc.assert(
    fc.property(listRequest, fc.array(listed), fc.boolean(), countRequest, (request, rows, complete, counted) => {
      assert.deepEqual(decodeListRequest(encodeListRequest(request)), request);
      assert.deepEqual(decodeList(encodeList({ rows, complete })), { rows, complete });
      assert.deepEqual(decodeCountRequest(encodeCountRequest(counted)), counted);
    }),
  );
  fc.assert(
    fc.property(fc.array(mark), fc.array(left), state, (marks, rowsLeft, row) => {
      assert.deepEqual(decodeMarks(encodeMarks(marks)), marks);
      assert.deepEqual(decodeMarkRecord(encodeMarkRecord(marks, rowsLeft)), { marks, left: rowsLeft });
      const { value, ...rest } = decodeRowState(encodeRowState(row));
      assert.deepEqual({ ...rest, value: Buffer.from(value) }, row);
    }),
  );
  assert.deepEqual(decodeCounts(encodeCounts([1, 2, 3], true), true), [1, 2, 3]);
  assert.deepEqual(decodeCounts(encodeCounts([1, 2, 3], false), false), [6]);
  for (const slot of [0, 255, 256, SLOT_COUNT - 1]) assert.equal(slotOfMarkKey(slotMarkKey(slot)), slot);
});

void test('other bytes are damage, never anything worse', () => {
  const readers = [
    decodeListRequest,
    decodeList,
    decodeCountRequest,
    decodeRowState,
    decodeMarks,
    decodeMarkRecord,
    (bytes: Uint8Array) => decodeCounts(bytes, true),
    (bytes: Uint8Array) => decodeCounts(bytes, false),
  ];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(readers.length - 1), (bytes, which) => {
      try {
        readers[which]?.(bytes);
      } catch (error) {
        assert.ok(error instanceof DamagedError, String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});

void test('slots become ranges', () => {
  assert.deepEqual(slotRanges([0, 1, 2, 7, 9, 10]), [
    { from: 0, end: 3 },
    { from: 7, end: 8 },
    { from: 9, end: 11 },
  ]);
});
