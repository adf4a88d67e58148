import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes } from '../../src/bytes.ts';
import { RangeTombstones, type RangeTombstone } from '../../src/engine/range-tombstones.ts';

const bound = fc.integer({ min: 0, max: 30 });
const list = fc.array(fc.record({ from: bound, to: bound, sequence: fc.nat(20) }), { maxLength: 12 });

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

function tombstonesOf(ranges: readonly { from: number; to: number; sequence: number }[]): RangeTombstone[] {
  return ranges.map(({ from, to, sequence }) => ({ start: bytes(from), end: bytes(to), sequence }));
}

function newest(ranges: readonly { from: number; to: number; sequence: number }[], key: number, limit: number): number {
  let found = -1;
  for (const { from, to, sequence } of ranges) {
    if (from <= key && key < to && sequence <= limit) found = Math.max(found, sequence);
  }
  return found;
}

test('fragments answer as the tombstones they were cut from', () => {
  fc.assert(
    fc.property(list, fc.nat(21), (ranges, limit) => {
      const tombstones = RangeTombstones.of(tombstonesOf(ranges));
      for (let key = 0; key <= 31; key++) {
        assert.equal(tombstones.coveringSequence(bytes(key), 0, 1, limit), newest(ranges, key, limit));
        // A key between two bounds.
        assert.equal(tombstones.coveringSequence(bytes(key, 9), 0, 2, limit), newest(ranges, key, limit));
      }
      for (const [i, { start, end, sequences }] of tombstones.fragments.entries()) {
        assert.ok(compareBytes(start, end) < 0);
        assert.deepEqual(
          sequences,
          sequences.toSorted((a, b) => b - a),
        );
        const before = tombstones.fragments[i - 1];
        if (before !== undefined) assert.ok(compareBytes(before.end, start) <= 0);
      }
      assert.deepEqual(RangeTombstones.of(tombstones.list()).fragments, tombstones.fragments);
    }),
  );
});

test('clipping keeps what is within the bounds', () => {
  fc.assert(
    fc.property(list, bound, bound, (ranges, lower, upper) => {
      const tombstones = RangeTombstones.of(tombstonesOf(ranges));
      const clipped = tombstones.clip(bytes(lower), bytes(upper));
      for (let key = 0; key <= 31; key++) {
        const expected = key >= lower && key < upper ? newest(ranges, key, 99) : -1;
        assert.equal(clipped.coveringSequence(bytes(key), 0, 1, 99), expected);
      }
      assert.deepEqual(tombstones.clip(undefined, undefined).fragments, tombstones.fragments);
    }),
  );
});

test('covering all of a range means covering each key of it', () => {
  fc.assert(
    fc.property(list, bound, bound, fc.nat(20), fc.nat(20), (ranges, lower, upper, sequence, visibleAt) => {
      fc.pre(lower < upper);
      const covers = RangeTombstones.of(tombstonesOf(ranges)).coversAll(
        bytes(lower),
        bytes(upper),
        sequence,
        visibleAt,
      );
      const each = Array.from({ length: upper - lower }, (_, i) => newest(ranges, lower + i, visibleAt) > sequence);
      assert.equal(covers, each.every(Boolean));
    }),
  );
});
