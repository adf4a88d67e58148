import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stripeOf } from '../../src/engine/record-sieve.ts';

test('a sequence belongs to the stripe that ends at the first snapshot which sees it', () => {
  const sequence = fc.integer({ min: 0, max: 40 });
  fc.assert(
    fc.property(fc.uniqueArray(sequence, { maxLength: 20 }), sequence, (snapshots, wanted) => {
      snapshots.sort((a, b) => a - b);
      const first = snapshots.findIndex((snapshot) => snapshot >= wanted);
      assert.equal(stripeOf(snapshots, wanted), first < 0 ? snapshots.length : first);
    }),
  );
});

test('a hundred thousand snapshots do not make every record a walk over them', () => {
  const snapshots = Array.from({ length: 100_000 }, (_, i) => 2 * i);
  // A walk would take 10^10 steps; the limit of the test runner is the judge.
  for (let sequence = 0; sequence < 1_000_000; sequence += 7) {
    assert.equal(stripeOf(snapshots, sequence), Math.min(snapshots.length, (sequence + 1) >> 1));
  }
});
