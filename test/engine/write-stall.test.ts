import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultStallLimits, stallOf } from '../../src/engine/write-stall.ts';

test('delays begin at the slow mark, grow with each step and reach a second before writes stop', () => {
  const { slowFrozen, stopFrozen, slowLevel0, stopLevel0 } = defaultStallLimits;
  assert.deepEqual(stallOf(slowFrozen - 1, slowLevel0 - 1, 0, defaultStallLimits), { delayMs: 0, stop: false });
  let before = 0;
  for (let frozen = slowFrozen; frozen < stopFrozen; frozen++) {
    const { delayMs, stop } = stallOf(frozen, 0, 0, defaultStallLimits);
    assert.equal(stop, false);
    assert.ok(delayMs > before, `${frozen} frozen: ${delayMs} ms after ${before} ms`);
    before = delayMs;
  }
  assert.equal(before, 1000);
  assert.equal(stallOf(0, stopLevel0 - 1, 0, defaultStallLimits).delayMs, 1000);
  assert.equal(stallOf(stopFrozen, 0, 0, defaultStallLimits).stop, true);
  assert.equal(stallOf(0, stopLevel0, 0, defaultStallLimits).stop, true);
});

test('the larger of the two signals counts', () => {
  const { slowFrozen, slowLevel0, stopLevel0 } = defaultStallLimits;
  const both = stallOf(slowFrozen, stopLevel0 - 1, 0, defaultStallLimits);
  assert.equal(both.delayMs, stallOf(0, stopLevel0 - 1, 0, defaultStallLimits).delayMs);
  assert.ok(both.delayMs > stallOf(slowFrozen, slowLevel0, 0, defaultStallLimits).delayMs);
});

test('debt delays writers ever more, and never stops them', () => {
  const { slowDebtBytes } = defaultStallLimits;
  const delays = [0.99, 1, 1.5, 2, 3, 4, 100].map((part) => stallOf(0, 0, part * slowDebtBytes, defaultStallLimits));
  assert.ok(delays.every(({ stop }) => !stop));
  const delaysMs = delays.map(({ delayMs }) => delayMs);
  assert.equal(delaysMs[0], 0);
  assert.ok((delaysMs[1] as number) > 0);
  assert.deepEqual(delaysMs.slice(-2), [1000, 1000]);
  assert.deepEqual(
    delaysMs.toSorted((a, b) => a - b),
    delaysMs,
  );
});
