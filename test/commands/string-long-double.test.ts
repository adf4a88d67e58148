/** The same numbers as redis-server 7.0.15 on x86-64 printed; more of them are in scripts/counter.txt. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addLongDouble, formatLongDouble, parseLongDouble } from '../../src/commands/string-long-double.ts';

function sum(a: string, b: string): string | undefined {
  const left = parseLongDouble(a);
  const right = parseLongDouble(b);
  const added = left === undefined || right === undefined ? undefined : addLongDouble(left, right);
  return added === undefined ? undefined : formatLongDouble(added);
}

test('sums print as in Redis', () => {
  assert.equal(sum('0.1', '0.2'), '0.3');
  assert.equal(sum('100000000000000000', '0.1'), '100000000000000000.1015625');
  assert.equal(sum('3.0e3', '200'), '3200');
  assert.equal(sum('1', '-1'), '0');
  assert.equal(sum('-0', '0'), '0');
  assert.equal(sum('0', '-0.00000000000000000001'), '0');
  assert.equal(sum('0x10', '0x.8p1'), '17');
});

test('what is no number, or too large, or vanishes, is refused', () => {
  for (const text of ['', ' 1', '1 ', 'x', '1e', '.', 'nan', '1e5000', '1e-5000', '0x', '1_0', '++1', '1e400x']) {
    assert.equal(parseLongDouble(text), undefined, text);
  }
  assert.equal(parseLongDouble('0'.repeat(5119))?.mantissa, 0n);
  assert.equal(parseLongDouble('0'.repeat(5120)), undefined);
  assert.equal(sum('inf', '-infinity'), undefined);
});

test('the greatest number and the least above zero are numbers', () => {
  assert.notEqual(parseLongDouble('1.18973149535723176502e+4932'), undefined);
  assert.equal(parseLongDouble('1.18973149535723176509e+4932'), undefined);
  assert.equal(parseLongDouble('3.64519953188247460253e-4951')?.mantissa, 1n);
  assert.equal(parseLongDouble('1e-4951'), undefined);
});

test('integers of 64 bits are exact', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.integer(), (a, b) => {
      assert.equal(sum(String(a), '0'), String(a));
      const exact = a + BigInt(b);
      if (exact < 2n ** 63n && exact >= -(2n ** 63n)) assert.equal(sum(String(a), String(b)), String(exact));
    }),
  );
});

test('small decimals survive', () => {
  fc.assert(
    fc.property(fc.nat(7), fc.nat(99_999_999), (whole, fraction) => {
      const text = `${whole}.${String(fraction).padStart(8, '0')}`;
      assert.equal(sum(text, '0'), text.replace(/\.?0+$/, ''));
    }),
  );
});
