import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes, concatBytes } from '../../src/bytes.ts';
import { Arena } from '../../src/engine/arena.ts';
import { recordAt } from '../../src/engine/record.ts';
import { orderRecords } from '../../src/engine/record-order.ts';
import { Memtable } from '../../src/engine/memtable.ts';
import { WriteBatch } from '../../src/engine/write-batch.ts';

/** Keys that share long prefixes, are prefixes of each other, and hold zero bytes. */
const key = fc
  .tuple(fc.constantFrom('', 'aaaaaaaaaaaa', 'aaaa', 'b'), fc.uint8Array({ maxLength: 9, max: 3 }))
  .map(([prefix, rest]) => concatBytes(Buffer.from(prefix), rest, new Uint8Array(1)));

test('records come out by key, of one key newest first', () => {
  fc.assert(
    fc.property(fc.array(key, { maxLength: 200 }), (keys) => {
      const arena = new Arena(1 << 16, 1, 1, 1);
      const memtable = new Memtable(arena, 1 << 16, { seed: 1, multiplier: 3 });
      for (const each of keys) {
        const batch = new WriteBatch();
        batch.put(each, each);
        memtable.append(batch);
        arena.closeGroup(0, 0);
      }
      const { words, bytes, offsets } = orderRecords(arena.buffer, arena.end, keys.length);
      const got = Array.from(offsets, (offset) => {
        const { keyStart, keyEnd } = recordAt(words, offset);
        return { key: bytes.slice(keyStart, keyEnd), sequence: words[(offset >> 2) + 2] as number };
      });
      const wanted = keys
        .map((each, sequence) => ({ key: each, sequence }))
        .sort((a, b) => compareBytes(a.key, b.key) || b.sequence - a.sequence);
      assert.deepEqual(
        got.map((each) => [Buffer.from(each.key).toString('hex'), each.sequence]),
        wanted.map((each) => [Buffer.from(each.key).toString('hex'), each.sequence]),
      );
    }),
  );
});
