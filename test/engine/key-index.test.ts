import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes } from '../../src/bytes.ts';
import { KeyIndex, KeyIndexBuilder } from '../../src/engine/key-index.ts';

const key = fc.uint8Array({ minLength: 1, maxLength: 6, max: 3 });
const keys = fc
  .uniqueArray(key, { minLength: 1, maxLength: 60, selector: (each) => each.join() })
  .map((list) => list.toSorted(compareBytes));

/** What bisection must answer. */
function expectedAt(list: readonly Uint8Array[], target: Uint8Array, above: boolean): number {
  const at = list.findIndex((each) => (above ? compareBytes(each, target) > 0 : compareBytes(each, target) >= 0));
  return at < 0 ? list.length : at;
}

test('an index leads to the first key that is not below, and to where its piece stands', () => {
  fc.assert(
    fc.property(keys, fc.array(key), fc.nat(0xffff_ffff), (list, others, far) => {
      const builder = new KeyIndexBuilder();
      // Beyond 2^32, so that offsets need their upper part.
      const offset = (i: number): number => far * 10 + i * 1000;
      for (const [i, each] of list.entries()) builder.add(each, each.length, offset(i));
      const index = KeyIndex.parse(builder.finish(offset(list.length)));
      for (const target of [...list, ...others]) {
        assert.equal(index.firstNotBelow(target, 0, target.length), expectedAt(list, target, false));
        assert.equal(index.firstAbove(target, 0, target.length), expectedAt(list, target, true));
      }
      for (let i = 0; i <= list.length; i++) assert.equal(index.offset(i), offset(i));
      for (const [i, each] of list.entries()) assert.deepEqual(index.key(i), each);
    }),
  );
});

test('a part of an index is an index', () => {
  fc.assert(
    fc.property(keys, fc.nat(), fc.nat(), (list, a, b) => {
      const builder = new KeyIndexBuilder();
      for (const [i, each] of list.entries()) builder.add(each, each.length, i * 7);
      const from = a % list.length;
      const to = from + 1 + (b % (list.length - from));
      const part = KeyIndex.parse(builder.finish(list.length * 7, from, to));
      assert.equal(part.count, to - from);
      for (let i = from; i < to; i++) {
        assert.deepEqual(part.key(i - from), list[i]);
        assert.equal(part.offset(i - from), i * 7);
      }
      assert.equal(part.offset(to - from), to * 7);
    }),
  );
});

test('keys alone make an index too', () => {
  fc.assert(
    fc.property(keys, key, (list, target) => {
      const index = KeyIndex.ofKeys(list);
      assert.equal(index.firstAbove(target, 0, target.length), expectedAt(list, target, true));
      for (const [i, each] of list.entries()) assert.deepEqual(index.key(i), each);
    }),
  );
});

test('bytes that are no index are refused', () => {
  assert.throws(() => KeyIndex.parse(new Uint8Array(3)), /holds its count/);
  assert.throws(() => KeyIndex.parse(new Uint8Array(20).fill(255)), /holds its entries/);
});
