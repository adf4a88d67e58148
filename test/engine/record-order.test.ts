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

const FIRST_SEQUENCE = 100;

type Ordered = [key: string, sequence: number][];

/** What comes out of an arena with a put of each key, and the same keys with their sequences, ordered the simple way. */
function ordered(keys: readonly Uint8Array[], snapshots: readonly number[]): { got: Ordered; all: Ordered } {
  const arena = new Arena(1 << 16, 1, 1, FIRST_SEQUENCE);
  const memtable = new Memtable(arena, 1 << 16, { seed: 1, multiplier: 3 });
  for (const each of keys) {
    const batch = new WriteBatch();
    batch.put(each, each);
    memtable.append(batch);
    arena.closeGroup(0, 0);
  }
  const { buffer, end } = arena;
  const { words, bytes, offsets } = orderRecords({
    buffer,
    end,
    recordCount: keys.length,
    firstSequence: FIRST_SEQUENCE,
    snapshots,
  });
  const got = Array.from(offsets, (offset): [string, number] => {
    const { keyStart, keyEnd } = recordAt(words, offset);
    return [
      Buffer.from(bytes.slice(keyStart, keyEnd)).toString('hex'),
      FIRST_SEQUENCE + (words[(offset >> 2) + 2] as number),
    ];
  });
  const all = keys
    .map((each, i) => ({ key: each, sequence: FIRST_SEQUENCE + i }))
    .sort((a, b) => compareBytes(a.key, b.key) || b.sequence - a.sequence)
    .map((each): [string, number] => [Buffer.from(each.key).toString('hex'), each.sequence]);
  return { got, all };
}

test('records come out by key, of one key newest first', () => {
  fc.assert(
    fc.property(fc.array(key, { maxLength: 200 }), (keys) => {
      // With a snapshot at every sequence nothing is shadowed.
      const { got, all } = ordered(
        keys,
        keys.map((_, i) => FIRST_SEQUENCE + i),
      );
      assert.deepEqual(got, all);
    }),
  );
});

test('a record that no snapshot sees behind a newer one of its key is left out, and no other', () => {
  fc.assert(
    fc.property(fc.array(key, { maxLength: 100 }), fc.array(fc.nat(100), { maxLength: 4 }), (keys, cuts) => {
      const snapshots = [...new Set(cuts)].sort((a, b) => a - b).map((cut) => FIRST_SEQUENCE + cut);
      const { got, all } = ordered(keys, snapshots);
      const limits = [...snapshots, Infinity];
      // Every reader sees the newest record up to its limit: those, each once, are what must come out.
      const seen = all.filter(([name, sequence]) =>
        limits.some((limit) => all.find(([other, at]) => other === name && at <= limit)?.[1] === sequence),
      );
      assert.deepEqual(got, seen);
    }),
  );
});
