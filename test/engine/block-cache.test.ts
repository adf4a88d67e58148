import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BlockCache, type CachedBlock } from '../../src/engine/block-cache.ts';
import { TestTurns } from './table-fixture.ts';

const BLOCK_BYTES = 1000;

interface Rig {
  readonly cache: BlockCache;
  readonly turns: TestTurns;
  readonly slots: (CachedBlock | undefined)[];
  /** Reads a block as a table does: true, it was there. */
  readonly read: (slot: number) => boolean;
}

function rig(budgetBlocks: number, slotCount = 10_000): Rig {
  const turns = new TestTurns();
  const cache = new BlockCache(budgetBlocks * (BLOCK_BYTES + 200), turns);
  const slots = Array.from<CachedBlock | undefined>({ length: slotCount });
  const read = (slot: number): boolean => {
    const block = slots[slot];
    if (block?.bytes !== undefined) {
      block.touch();
      return true;
    }
    cache.insert(slots, slot, new Uint8Array(BLOCK_BYTES).fill(slot));
    for (let turn = 0; turn < 3; turn++) turns.end();
    return false;
  };
  return { cache, turns, slots, read };
}

test('the cache keeps to its budget and holds what it says', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(60), { maxLength: 400 }), fc.integer({ min: 1, max: 30 }), (reads, budget) => {
      const { cache, slots, read } = rig(budget);
      for (const slot of reads) {
        read(slot);
        assert.ok(cache.bytes <= cache.budgetBytes);
        const held = slots.filter((block) => block?.bytes !== undefined);
        assert.equal(cache.bytes, held.length * (BLOCK_BYTES + 200));
        for (const [at, block] of slots.entries())
          if (block?.bytes !== undefined) assert.equal(block.bytes[0], at % 256);
      }
    }),
  );
});

test('blocks that are used again and again survive a long scan', () => {
  const { slots, read } = rig(100);
  for (let round = 0; round < 5; round++) for (let slot = 0; slot < 50; slot++) read(slot);
  for (let slot = 1000; slot < 6000; slot++) {
    read(slot);
    // The reader that waited for the block runs again: that is no reason to keep it.
    read(slot);
    if (slot % 20 === 0) for (let hot = 0; hot < 50; hot++) read(hot);
  }
  const kept = slots.slice(0, 50).filter((block) => block?.bytes !== undefined).length;
  assert.ok(kept >= 45, `${kept} of 50 kept`);
});

test('a block that comes back soon after it was dropped is kept longer', () => {
  const { slots, read } = rig(50);
  read(7);
  for (let slot = 100; slot < 160; slot++) read(slot);
  assert.equal(slots[7]?.bytes, undefined);
  read(7);
  for (let slot = 200; slot < 240; slot++) read(slot);
  assert.ok(slots[7]?.bytes !== undefined);
});

test('blocks stay until the second turn end after their load, whatever the budget', () => {
  const { cache, turns, slots } = rig(1);
  for (let slot = 0; slot < 10; slot++) cache.insert(slots, slot, new Uint8Array(BLOCK_BYTES));
  const held = (): number => slots.filter((block) => block?.bytes !== undefined).length;
  assert.equal(held(), 10);
  turns.end();
  assert.equal(held(), 10);
  turns.end();
  turns.end();
  assert.ok(held() <= 1);
  assert.ok(cache.bytes <= cache.budgetBytes);
});

test('a block larger than the budget is held while it is pinned and then goes', () => {
  const { cache, turns, slots } = rig(2);
  cache.insert(slots, 3, new Uint8Array(1_000_000));
  assert.ok(slots[3]?.bytes !== undefined);
  for (let turn = 0; turn < 3; turn++) turns.end();
  assert.equal(slots[3]?.bytes, undefined);
  assert.equal(cache.bytes, 0);
});

test('memory of dropped blocks serves new ones, after the turn in which somebody may have found something in it', () => {
  const { cache, turns, slots } = rig(40);
  const load = (slot: number): CachedBlock => {
    const frame = cache.frameFor(BLOCK_BYTES);
    assert.ok(frame !== undefined);
    frame.bytes.fill(slot);
    cache.insert(slots, slot, frame.bytes, frame);
    return slots[slot] as CachedBlock;
  };
  const isIntact = ({ bytes, slot }: CachedBlock): boolean => bytes?.every((byte) => byte === slot % 256) ?? true;
  const seen = new Map<number, Uint8Array>();
  for (let slot = 0; slot < 200; slot++) {
    const block = load(slot);
    seen.set(slot, block.bytes as Uint8Array);
    if (slot % 4 === 0) turns.end();
    // What was in the cache in this turn or the last one can still be read.
    for (const earlier of [slot, slot - 1, slot - 4]) {
      assert.ok(earlier < 0 || seen.get(earlier)?.every((byte) => byte === earlier % 256));
    }
    for (const each of slots) assert.ok(each === undefined || isIntact(each));
  }
  for (let turn = 0; turn < 4; turn++) turns.end();
  assert.ok(cache.evictions >= 150);
  const buffers = new Set([...seen.values()].map((bytes) => bytes.buffer));
  assert.ok(buffers.size <= 2, `${buffers.size} pieces of memory for 200 blocks`);
  assert.ok(cache.reservedBytes <= 2 * 128 * 1024 + 40 * 200);
});

test('a block that somebody stands in stays, and goes when he has left', () => {
  const { cache, turns, slots, read } = rig(5);
  const frame = cache.frameFor(BLOCK_BYTES);
  assert.ok(frame !== undefined);
  cache.insert(slots, 9000, frame.bytes.fill(7), frame);
  const block = slots[9000] as CachedBlock;
  cache.hold(block);
  for (let slot = 0; slot < 50; slot++) read(slot);
  assert.ok(block.bytes?.every((byte) => byte === 7));
  cache.leave(block);
  for (let slot = 50; slot < 100; slot++) read(slot);
  for (let turn = 0; turn < 3; turn++) turns.end();
  assert.equal(block.bytes, undefined);
});

test('the blocks of a table that is gone are not counted any more', () => {
  const { cache, slots, read } = rig(20);
  const others: (CachedBlock | undefined)[] = [undefined, undefined];
  for (let slot = 0; slot < 10; slot++) read(slot);
  cache.insert(others, 1, new Uint8Array(BLOCK_BYTES));
  cache.drop(slots);
  assert.equal(cache.bytes, BLOCK_BYTES + 200);
  assert.equal(slots.length, 0);
  const more = rig(20);
  for (let slot = 0; slot < 60; slot++) more.read(slot);
  more.cache.drop(more.slots);
  assert.equal(more.cache.bytes, 0);
  more.slots.length = 100;
  for (let slot = 0; slot < 60; slot++) more.read(slot);
  assert.ok(more.cache.bytes > 0 && more.cache.bytes <= more.cache.budgetBytes);
});
