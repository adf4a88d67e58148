import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BusQueue } from '../../src/cluster/bus-queue.ts';

void test('a queue behaves as an array, at any length', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 6_000 }) }) },
    { weight: 3, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 6_000 }) }) },
    { weight: 1, arbitrary: fc.record({ every: fc.integer({ min: 1, max: 5 }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const queue = new BusQueue<number>();
      let model: number[] = [];
      let next = 0;
      for (const each of steps) {
        if ('push' in each) {
          for (let i = 0; i < each.push; i++) {
            queue.push(next);
            model.push(next++);
          }
        } else if ('shift' in each) {
          const taken = Array.from({ length: each.shift }, () => queue.shift()).filter((item) => item !== undefined);
          assert.deepEqual(taken, model.slice(0, each.shift));
          model = model.slice(each.shift);
        } else {
          const isWanted = (item: number): boolean => item % each.every === 0;
          assert.deepEqual(queue.take(isWanted), model.filter(isWanted));
          model = model.filter((item) => !isWanted(item));
        }
        assert.equal(queue.length, model.length);
      }
      assert.deepEqual(
        queue.take(() => true),
        model,
      );
      assert.equal(queue.shift(), undefined);
    }),
    { numRuns: 60 },
  );
});
