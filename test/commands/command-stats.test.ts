import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bucketOf, bucketTop, CommandStat, ErrorStats, MAX_ERROR_CODES } from '../../src/commands/command-stats.ts';

test('a bucket holds times that differ by at most an eighth', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 35 }), (us) => {
      const bucket = bucketOf(us);
      const top = bucketTop(bucket);
      assert.ok(us <= top && top <= us + us / 8, `${us} in a bucket up to ${top}`);
      assert.equal(bucketOf(top), bucket);
      assert.equal(bucketOf(top + 1), bucket + 1);
    }),
  );
});

test('percentiles stay within a bucket of the exact ones', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 1e7 }), { minLength: 1, maxLength: 200 }), (times) => {
      const stat = new CommandStat('get');
      for (const us of times) stat.record(us, false, true);
      const sorted = [...times].sort((a, b) => a - b);
      for (const percentile of [0, 50, 99, 99.9, 100]) {
        const rank = Math.max(1, Math.ceil((percentile / 100) * sorted.length));
        const exact = sorted[rank - 1] as number;
        assert.equal(stat.percentileUs(percentile), bucketTop(bucketOf(exact)));
      }
      const pairs = stat.cumulative();
      assert.equal(pairs.at(-1)?.[1], times.length);
      for (const [upTo, count] of pairs) {
        assert.ok(count <= times.filter((us) => us <= upTo).length);
      }
    }),
  );
});

test('times are not kept while tracking is off, and a reset forgets all', () => {
  const stat = new CommandStat('config|get');
  stat.record(5, true, false);
  assert.deepEqual([stat.calls, stat.failed, stat.totalUs, stat.hasTimes], [1, 1, 5, false]);
  stat.record(7, false, true);
  assert.equal(stat.percentileUs(50), 7);
  stat.reset();
  assert.deepEqual([stat.calls, stat.failed, stat.totalUs, stat.hasTimes, stat.percentileUs(50)], [0, 0, 0, false, 0]);
});

test('errors are counted by code, and codes have an end', () => {
  const stats = new ErrorStats();
  stats.count('ERR syntax error');
  stats.count('ERR no such key');
  stats.count('WRONGTYPE');
  for (let i = 0; i < 2 * MAX_ERROR_CODES; i++) stats.count(`E${i} x`);
  const counts = new Map(stats.entries());
  assert.equal(counts.get('ERR'), 2);
  assert.equal(counts.get('WRONGTYPE'), 1);
  assert.equal(counts.size, MAX_ERROR_CODES + 1);
  assert.equal(stats.total, 3 + 2 * MAX_ERROR_CODES);
});
