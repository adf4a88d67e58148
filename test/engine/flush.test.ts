import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { utf8 } from '../../src/bytes.ts';
import { Arena } from '../../src/engine/arena.ts';
import plainThread, { engineThread } from '../../src/engine/engine-thread.ts';
import { flushNumbers, type FlushJob, type FlushResult } from '../../src/engine/flush.ts';
import { Memtable } from '../../src/engine/memtable.ts';
import { kind } from '../../src/engine/record.ts';
import { tablePath } from '../../src/engine/sstable-format.ts';
import { defaultTableFormat } from '../../src/engine/sstable-writer.ts';
import { fromWire } from '../../src/engine/table-wire.ts';
import { Version } from '../../src/engine/version.ts';
import { VersionReader } from '../../src/engine/version-reader.ts';
import { WriteBatch } from '../../src/engine/write-batch.ts';
import { hashKey, mayContain } from '../../src/engine/bloom-filter.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { LevelModel } from './level-model.ts';
import { directory, openCache, walk } from './table-fixture.ts';

type Change =
  | { readonly do: 'put' | 'delete'; readonly key: number; readonly size: number }
  | { readonly do: 'delete-range'; readonly key: number; readonly size: number };

const change: fc.Arbitrary<Change> = fc.record({
  do: fc.constantFrom('put', 'put', 'put', 'delete', 'delete-range'),
  key: fc.nat(30),
  size: fc.nat(20),
});

function keyName(key: number): Uint8Array {
  return utf8(`k${String(key).padStart(2, '0')}`);
}

const FIRST_SEQUENCE = 1000;

/** A memtable with these changes, each in a group of its own, and the model of them. */
function memtableOf(changes: readonly Change[]): { arena: Arena; model: LevelModel } {
  const arena = new Arena(1 << 16, 1, 1, FIRST_SEQUENCE);
  const memtable = new Memtable(arena, 1 << 16, { seed: 1, multiplier: 3 });
  const model = new LevelModel();
  for (const [i, { do: what, key, size }] of changes.entries()) {
    const sequence = FIRST_SEQUENCE + i;
    const name = keyName(key);
    const value = utf8(`${sequence}${'v'.repeat(size)}`);
    const batch = new WriteBatch();
    switch (what) {
      case 'put':
        batch.put(name, value);
        model.records.push({ key: name, kind: kind.PUT, sequence, value });
        break;
      case 'delete':
        batch.delete(name);
        model.records.push({ key: name, kind: kind.DELETE, sequence, value: new Uint8Array(0) });
        break;
      case 'delete-range':
        batch.deleteRange(name, keyName(key + size + 1));
        model.tombstones.push({ start: name, end: keyName(key + size + 1), sequence });
        break;
    }
    memtable.append(batch);
    arena.closeGroup(0, 0);
  }
  return { arena, model };
}

function jobFor(arena: Arena, recordCount: number, snapshots: readonly number[]): FlushJob {
  return {
    kind: 'flush',
    directory,
    buffer: arena.buffer,
    end: arena.end,
    recordCount,
    firstSequence: FIRST_SEQUENCE,
    snapshots,
    firstNumber: 7,
    numbers: flushNumbers(arena.end),
    format: { ...defaultTableFormat, blockBytes: 128 },
    createdMs: 5,
  };
}

function flushed(disk: MemoryDisk, job: FlushJob): FlushResult {
  const result = plainThread(job, disk, () => false);
  assert.ok(result.kind === 'flush');
  return structuredClone(result);
}

test('a flushed memtable answers as the memtable did, at every snapshot', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 60 }), fc.array(fc.nat(60)), async (changes, cuts) => {
      const { arena, model } = memtableOf(changes);
      const snapshots = [...new Set(cuts)].sort((a, b) => a - b).map((cut) => FIRST_SEQUENCE + cut);
      const disk = new MemoryDisk();
      const { added } = flushed(disk, jobFor(arena, changes.length, snapshots));
      const version = Version.of(added.map((wire) => ({ level: 0, table: fromWire(wire) })));
      const reader = new VersionReader(version, openCache(disk).cache);
      for (const sequence of [...snapshots, Number.MAX_SAFE_INTEGER]) {
        const source = reader.source({ sequence, reverse: false, lower: undefined, upper: undefined });
        assert.deepEqual(await walk(source), model.pairs(sequence));
      }
      // What nobody can see is not written.
      const records = added.reduce((sum, table) => sum + table.records, 0);
      const stripes = snapshots.length + 1;
      assert.ok(records <= model.keys().length * stripes);
    }),
    { numRuns: 60 },
  );
});

test('a memtable whose records are all dead makes no table, and one with range deletes alone makes one', () => {
  const disk = new MemoryDisk();
  const only = memtableOf([{ do: 'delete-range', key: 3, size: 4 }]);
  const { added } = flushed(disk, jobFor(only.arena, 1, []));
  assert.equal(added.length, 1);
  assert.equal(added[0]?.records, 0);
  assert.deepEqual(added[0]?.fragments, [{ start: keyName(3), end: keyName(8), sequences: [FIRST_SEQUENCE] }]);
  const none = new Arena(1 << 12, 1, 1, FIRST_SEQUENCE);
  assert.deepEqual(flushed(disk, jobFor(none, 0, [])).added, []);
});

test('a flush that is stopped leaves nothing behind', () => {
  const disk = new MemoryDisk();
  const { arena } = memtableOf([{ do: 'put', key: 1, size: 1 }]);
  const result = plainThread(jobFor(arena, 1, []), disk, () => true);
  assert.equal(result.outcome, 'stopped');
  assert.deepEqual(disk.list(directory), []);
  assert.equal(disk.openFiles, 0);
});

test('a half-written table of a process that died does not stand in the way', () => {
  const disk = new MemoryDisk();
  disk.put(`${tablePath(directory, 7)}.tmp`, utf8('half'));
  const { arena } = memtableOf([{ do: 'put', key: 1, size: 1 }]);
  assert.equal(flushed(disk, jobFor(arena, 1, [])).added.length, 1);
  assert.deepEqual(disk.list(directory), ['000007.sst']);
});

test('the owner’s prefixes are in the filter', async () => {
  const disk = new MemoryDisk();
  const { arena } = memtableOf([1, 2, 21, 22].map((key) => ({ do: 'put', key, size: 1 })));
  const run = engineThread({ prefix: { name: 'two bytes', end: (_key, start) => start + 2 } });
  const result = run(jobFor(arena, 4, []), disk, () => false);
  const { cache } = openCache(disk);
  const table = cache.table(fromWire(result.added[0] ?? assert.fail('a table')));
  await cache.load(table, table.missing);
  const tail = table.tail ?? assert.fail('a tail');
  for (const [prefix, held] of [
    ['k0', true],
    ['k2', true],
    ['k1', false],
    ['k9', false],
  ] as const) {
    assert.equal(mayContain(tail.bytes, tail.filterStart, tail.filterEnd, hashKey(utf8(prefix), 0, 2)), held, prefix);
  }
});
