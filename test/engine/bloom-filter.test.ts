import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { utf8 } from '../../src/bytes.ts';
import { buildFilter, hashKey, isFilter, mayContain } from '../../src/engine/bloom-filter.ts';

function filterOf(keys: readonly Uint8Array[], bitsPerKey: number): Uint8Array {
  return buildFilter(
    Uint32Array.from(keys, (key) => hashKey(key, 0, key.length)),
    keys.length,
    bitsPerKey,
  );
}

test('a filter never denies a key that it holds', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1 }),
      fc.nat(20),
      (keys, bits) => {
        const filter = filterOf(keys, bits + 1);
        assert.ok(isFilter(0, filter.length));
        const moved = new Uint8Array(filter.length + 3);
        moved.set(filter, 3);
        for (const key of keys) assert.ok(mayContain(moved, 3, moved.length, hashKey(key, 0, key.length)));
      },
    ),
  );
});

for (const [bits, most] of [
  [6, 0.07],
  [10, 0.015],
  [16, 0.003],
] as const) {
  test(`with ${bits} bits a key at most a part of ${most} of absent keys passes`, () => {
    const present = Array.from({ length: 20_000 }, (_, i) => utf8(`user:${i}`));
    const filter = filterOf(present, bits);
    let passed = 0;
    for (let i = 0; i < 50_000; i++) {
      const absent = utf8(`user:${i + 20_000}`);
      if (mayContain(filter, 0, filter.length, hashKey(absent, 0, absent.length))) passed++;
    }
    assert.ok(passed / 50_000 <= most, `${passed} of 50000 passed`);
    assert.ok(passed > 0, 'the measurement measures something');
  });
}

test('the hash of the format does not change', () => {
  const hashes = ['', 'a', 'ab', 'abc', 'abcd', 'abcde', 'a longer key, of 29 bytes...'].map((text) => {
    const bytes = utf8(`xx${text}y`);
    return hashKey(bytes, 2, bytes.length - 1);
  });
  assert.deepEqual(hashes, HASHES);
});

/** As written by the first version of the format. */
const HASHES = [544492261, 1639357968, 2453452174, 2510563731, 3073771201, 2172252563, 2185772836];
