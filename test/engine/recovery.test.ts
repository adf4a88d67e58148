import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readWals } from '../../src/engine/recovery.ts';
import { Arena, FILE_HEADER_BYTES } from '../../src/engine/arena.ts';
import { Memtable } from '../../src/engine/memtable.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { WriteBatch } from '../../src/engine/write-batch.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { silent } from '../support/silent-log.ts';

const ARENA_BYTES = 4096;

/** A WAL file with one group of one record, as a process leaves it that dies after its first acknowledged write. */
function walOfOneGroup(): Uint8Array {
  const arena = new Arena(ARENA_BYTES, 1, 12_345, 1);
  arena.writeHeader();
  const memtable = new Memtable(arena, ARENA_BYTES, { seed: 1, multiplier: 3 });
  const batch = new WriteBatch();
  batch.put(Uint8Array.of(1), Uint8Array.of(2));
  memtable.append(batch);
  arena.closeGroup(0, 0);
  return arena.bytes.slice(0, arena.end);
}

function replay(wal: Uint8Array): ReturnType<typeof readWals> {
  const disk = new MemoryDisk();
  const file = disk.open('data/wal-0000.log', 'create');
  const whole = new Uint8Array(ARENA_BYTES);
  whole.set(wal);
  file.writeSync(whole, 0);
  const options = { disk, log: silent, directory: 'data', oldestNumber: 1, firstSequence: 1, arenaBytes: ARENA_BYTES };
  return readWals(options);
}

test('a damaged header in front of the only group is damage: the group was written with it', async () => {
  const whole = walOfOneGroup();
  assert.equal((await replay(whole)).wals[0]?.arena.recordCount, 1);
  for (let at = 0; at < FILE_HEADER_BYTES; at++) {
    const flipped = whole.slice();
    flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
    await assert.rejects(
      replay(flipped),
      (error) => error instanceof EngineError && error.code === 'corruption' && error.message.includes('wal-0000.log'),
    );
  }
});

test('a file whose first write never came is free', async () => {
  const { wals, free } = await replay(new Uint8Array(FILE_HEADER_BYTES));
  assert.equal(wals.length, 0);
  assert.equal(free.length, 1);
});
