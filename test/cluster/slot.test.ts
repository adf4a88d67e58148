import assert from 'node:assert/strict';
import { test } from 'node:test';
import keySlot from 'cluster-key-slot';
import fc from 'fast-check';
import { slotOf } from '../../src/cluster/slot.ts';

function slotOfText(key: string): number {
  const bytes = Buffer.from(key, 'latin1');
  return slotOf(bytes, 0, bytes.length);
}

test('slots of the cluster specification and of keys with an empty hash tag, as redis-server 7.0 CLUSTER KEYSLOT says', () => {
  assert.equal(slotOfText('123456789'), 12739);
  assert.equal(slotOfText('foo{}{bar}'), 8363);
  assert.equal(slotOfText('{user1000}.following'), slotOfText('{user1000}.followers'));
  assert.equal(slotOfText('foo{{bar}}zap'), slotOfText('{bar'));
  assert.equal(slotOfText('foo{bar}{zap}'), slotOfText('bar'));
  assert.equal(slotOfText(''), 0);
});

test('cluster-key-slot agrees on every key without an empty hash tag', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const key = Buffer.from(bytes);
      fc.pre(!key.includes('{}'));
      assert.equal(slotOf(key, 0, key.length), keySlot(key));
    }),
  );
});

test('only the range counts, not what stands around it', () => {
  const around = Buffer.from('}{xkey{y}{');
  assert.equal(slotOf(around, 3, 6), slotOfText('key'));
});
