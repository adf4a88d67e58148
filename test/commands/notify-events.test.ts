/** The flags of keyspace notifications as bits. Which events commands have is compared with redis-server (notify-events.txt). */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventClass, eventMask } from '../../src/commands/notify-events.ts';

void test('nothing is asked for without K or E', () => {
  assert.equal(eventMask(''), 0);
  assert.equal(eventMask('A'), 0);
  assert.equal(eventMask('g$lshzxetdmn'), 0);
});

void test('A stands for all classes but those of missing and new keys', () => {
  const all = eventMask('AKE');
  assert.equal(all, eventMask('g$lshzxetdKE'));
  assert.equal(all & (eventClass.m | eventClass.n), 0);
  assert.equal(eventMask('AKmn'), (all & ~eventClass.E) | eventClass.m | eventClass.n);
});

void test('every letter has a bit of its own', () => {
  const bits = Object.values(eventClass);
  assert.equal(new Set(bits).size, bits.length);
  assert.equal(
    bits.reduce((sum, bit) => sum + bit, 0),
    2 ** bits.length - 1,
  );
});
