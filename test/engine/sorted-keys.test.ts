import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes, concatBytes } from '../../src/bytes.ts';
import { Arena } from '../../src/engine/arena.ts';
import { Memtable } from '../../src/engine/memtable.ts';
import { recordAt } from '../../src/engine/record.ts';
import { WriteBatch } from '../../src/engine/write-batch.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function keysIn(memtable: Memtable): string[] {
  const { sorted, arena } = memtable;
  const keys: string[] = [];
  for (let block = 0; block < sorted.blockCount; block++) {
    for (let i = 0; i < sorted.countIn(block); i++) {
      const { keyStart, keyEnd } = recordAt(arena.words, sorted.offsetAt(block, i));
      keys.push(hex(arena.bytes.subarray(keyStart, keyEnd)));
    }
  }
  return keys;
}

/** Long shared prefixes, keys that are prefixes of each other, few different bytes. */
const key = fc
  .tuple(
    fc.constantFrom('', 'a', 'aaaaaaaaaaaaaaaaaaaa', 'aaaaaaaaaaaaaaaaaaab', 'zz'),
    fc.uint8Array({ minLength: 1, maxLength: 12, max: 2 }),
  )
  .map(([prefix, rest]) => concatBytes(Buffer.from(prefix), rest));

test('keys that come in slices stand in order and are found', () => {
  fc.assert(
    fc.property(fc.array(fc.array(key, { maxLength: 300 }), { maxLength: 6 }), key, (slices, probe) => {
      const arena = new Arena(1 << 18, 1, 1, 1);
      const memtable = new Memtable(arena, 1 << 18, { seed: 7, multiplier: 9 });
      const all = new Map<string, Uint8Array>();
      for (const slice of slices) {
        for (const each of slice) {
          const batch = new WriteBatch();
          batch.put(each, new Uint8Array(0));
          memtable.append(batch);
          all.set(hex(each), each);
        }
        assert.ok(memtable.sortPending(0, 0xffff, Infinity));
        const wanted = [...all.values()].sort(compareBytes).map(hex);
        assert.deepEqual(keysIn(memtable), wanted);
      }
      const { sorted } = memtable;
      if (sorted.blockCount === 0) return;
      const block = sorted.blockFor(probe, 0, probe.length);
      let place = sorted.indexIn(block, probe, 0, probe.length);
      for (let i = 0; i < block; i++) place += sorted.countIn(i);
      const below = [...all.values()].filter((each) => compareBytes(each, probe) < 0).length;
      assert.equal(place, below);
    }),
    { numRuns: 60 },
  );
});

test('many keys make many blocks, whatever order they come in', () => {
  for (const order of ['up', 'down', 'mixed'] as const) {
    const arena = new Arena(1 << 20, 1, 1, 1);
    const memtable = new Memtable(arena, 1 << 20, { seed: 7, multiplier: 9 });
    const count = 5000;
    for (let i = 0; i < count; i++) {
      const number = order === 'up' ? i : order === 'down' ? count - i : (i * 7919) % count;
      const batch = new WriteBatch();
      batch.put(Buffer.from(`row:${String(number).padStart(8, '0')}`), new Uint8Array(3));
      memtable.append(batch);
      if (i % 50 === 0) memtable.sortPending(0, 0xffff, Infinity);
    }
    memtable.sortPending(0, 0xffff, Infinity);
    const keys = keysIn(memtable);
    assert.equal(keys.length, count);
    assert.deepEqual(keys, [...keys].sort());
    assert.ok(memtable.sorted.blockCount > 15);
  }
});
