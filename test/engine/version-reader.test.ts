import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../src/bytes.ts';
import { DiskError } from '../../src/env.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import type { TableMeta } from '../../src/engine/sstable-format.ts';
import { tablePath } from '../../src/engine/sstable-format.ts';
import { Found, lookup } from '../../src/engine/store.ts';
import { Version } from '../../src/engine/version.ts';
import { VersionReader } from '../../src/engine/version-reader.ts';
import { VersionSet } from '../../src/engine/version-set.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { slashPrefix } from './level-model.ts';
import { directory, openCache, put, rangeDelete, walk, writeTable, type TestCache } from './table-fixture.ts';

const PRESENT = Number.MAX_SAFE_INTEGER;

function numbered(from: number, to: number, sequence: number, value: string): ReturnType<typeof put>[] {
  return Array.from({ length: to - from }, (_, i) =>
    put(`key${String(from + i).padStart(5, '0')}`, sequence + i, value),
  );
}

interface Rig extends TestCache {
  readonly disk: MemoryDisk;
  readonly metas: TableMeta[];
  readonly reader: VersionReader;
}

/** Table 1 in level 0 over tables 2 and 3 in level 1. */
function rig(budgets?: { blocks?: number; tails?: number; files?: number }): Rig {
  const disk = new MemoryDisk();
  const metas = [
    writeTable({ disk, number: 1, records: numbered(100, 200, 5000, 'new') }),
    writeTable({ disk, number: 2, records: numbered(0, 500, 1000, 'old') }),
    writeTable({ disk, number: 3, records: numbered(500, 900, 2000, 'old') }),
  ];
  const version = Version.of(metas.map((table, i) => ({ level: i === 0 ? 0 : 1, table })));
  const cache = openCache(disk, budgets);
  return { ...cache, disk, metas, reader: new VersionReader(version, cache.cache) };
}

async function read(reader: VersionReader, key: string): Promise<string | undefined> {
  const found = new Found();
  const bytes = utf8(key);
  await reader.fetch(bytes, PRESENT);
  const answer = reader.get(bytes, bytes.length, PRESENT, found);
  assert.notEqual(answer, lookup.MISS, 'what was fetched is there');
  return answer === lookup.FOUND ? Buffer.from(found.bytes.subarray(found.start, found.end)).toString() : undefined;
}

function isDamage(error: unknown): boolean {
  return error instanceof EngineError && error.code === 'corruption' && /000002\.sst/.test(error.message);
}

test('a look-up says MISS, is fetched, and then hits without another read', async () => {
  const { reader, disk } = rig();
  const found = new Found();
  const key = utf8('key00150');
  assert.equal(reader.get(key, key.length, PRESENT, found), lookup.MISS);
  assert.equal(await read(reader, 'key00150'), 'new');
  const { reads } = disk;
  for (let i = 0; i < 3; i++) assert.equal(reader.get(key, key.length, PRESENT, found), lookup.FOUND);
  assert.equal(found.sequence, 0);
  assert.equal(disk.reads, reads);
});

test('hits are counted: reads that found their block without a load', async () => {
  const { reader, cache } = rig();
  const found = new Found();
  const key = utf8('key00050');
  await read(reader, 'key00050');
  assert.deepEqual([cache.blockHits, cache.blocks.misses], [0, 1]);
  for (let i = 0; i < 10; i++) assert.equal(reader.get(key, key.length, PRESENT, found), lookup.FOUND);
  assert.deepEqual([cache.blockHits, cache.blocks.misses], [10, 1]);
  cache.forget(2);
  assert.equal(cache.blockHits, 10, 'a table that is gone takes no hits along');
});

test('readers that miss the same thing cause one read', async () => {
  const { reader, disk } = rig();
  const key = utf8('key00150');
  await Promise.all(Array.from({ length: 20 }, () => reader.fetch(key, PRESENT)));
  assert.equal(disk.reads, 2, 'the tail and the block');
});

test('with caches too small for anything every key is still found, many at a time', async () => {
  const { reader, turns, disk, cache } = rig({ blocks: 1, tails: 1, files: 1 });
  const keys = [0, 99, 100, 150, 199, 200, 499, 500, 899, 900].map((i) => `key${String(i).padStart(5, '0')}`);
  const turning = setInterval(() => turns.end(), 0);
  const values = await Promise.all(
    keys.map(async (key) => {
      const bytes = utf8(key);
      await reader.fetch(bytes, PRESENT);
      const found = new Found();
      const answer = reader.get(bytes, bytes.length, PRESENT, found);
      return answer === lookup.FOUND ? Buffer.from(found.bytes.subarray(found.start, found.end)).toString() : undefined;
    }),
  );
  clearInterval(turning);
  assert.deepEqual(values, ['old', 'old', 'new', 'new', 'new', 'old', 'old', 'old', 'old', undefined]);
  assert.ok(disk.openFiles <= 1);
  for (let i = 0; i < 4; i++) turns.end();
  assert.equal(cache.blocks.bytes, 0);
  assert.ok(cache.tailBytes < 4000, 'at most the tail that was used last');
});

test('a walk reads ahead', async () => {
  const { reader, disk } = rig();
  const pairs = await walk(reader.source({ sequence: PRESENT, reverse: false, lower: undefined, upper: undefined }));
  assert.equal(pairs.length, 900);
  assert.equal(pairs.filter(([, value]) => value === 'new').length, 100);
  assert.ok(disk.reads < 30, `${disk.reads} reads for about 100 blocks`);
});

test('a walk within bounds does not open tables outside of them', async () => {
  const { reader, cache } = rig();
  const source = reader.source({ sequence: PRESENT, reverse: true, lower: utf8('key00600'), upper: utf8('key00610') });
  const pairs = await walk(source, utf8('key00609'));
  assert.deepEqual(pairs[0], ['key00609', 'old']);
  assert.equal(cache.openFiles, 1);
});

test('a table with a bad block is quarantined: keys that it may hold answer an error, other tables go on', async () => {
  const { reader, disk, damaged, metas } = rig();
  const bytes = disk.bytes(tablePath(directory, 2));
  bytes[700] = (bytes[700] as number) ^ 4;
  assert.equal(await read(reader, 'key00700'), 'old');
  for (let i = 0; i < 500 && damaged.length === 0; i++) {
    await read(reader, `key${String(i).padStart(5, '0')}`).catch((error: unknown) => assert.ok(isDamage(error)));
  }
  assert.equal(damaged.length, 1);
  assert.match(damaged[0] ?? '', /^2: table 000002\.sst is damaged at offset \d+/);
  await assert.rejects(read(reader, 'key00400'), isDamage);
  const key = utf8('key00400');
  assert.throws(() => reader.get(key, key.length, PRESENT, new Found()), isDamage);
  assert.equal(await read(reader, 'key00150'), 'new', 'a newer table has it');
  assert.equal(await read(reader, 'key00700'), 'old', 'another table');
  assert.equal(await read(reader, 'key00400x'), undefined, 'the filter says that it is not there');
  await assert.rejects(
    walk(reader.source({ sequence: PRESENT, reverse: false, lower: undefined, upper: undefined })),
    isDamage,
  );
  const beyond = reader.source({ sequence: PRESENT, reverse: false, lower: utf8('key00500'), upper: undefined });
  assert.equal((await walk(beyond, utf8('key00500'))).length, 400);
  assert.equal(damaged.length, 1, 'it is reported once');
  assert.equal(metas.length, 3);
});

test('a table whose tail is bad may hold every key of its range', async () => {
  const { reader, disk } = rig();
  const bytes = disk.bytes(tablePath(directory, 2));
  bytes[bytes.length - 1] = 9;
  await assert.rejects(read(reader, 'key00400x'), /unknown format version 9/);
  assert.equal(await read(reader, 'key00700'), 'old');
});

test('a table whose file is gone is damaged; a disk that says no is not', async () => {
  const { reader, disk, damaged } = rig();
  const open = disk.open.bind(disk);
  disk.open = (path) => {
    throw new DiskError('EIO', path, `cannot open ${path}: no`);
  };
  await assert.rejects(read(reader, 'key00400'), /cannot open/);
  assert.equal(damaged.length, 0);
  disk.open = open;
  assert.equal(await read(reader, 'key00400'), 'old');
  disk.unlink(tablePath(directory, 3));
  await assert.rejects(read(reader, 'key00700'), /000003\.sst is damaged.*not there/);
  assert.equal(damaged.length, 1);
});

test('a range tombstone hides what is older, in its own table and below', async () => {
  const disk = new MemoryDisk();
  const top = writeTable({
    disk,
    number: 1,
    records: [put('c', 20, 'newer than it'), put('d', 5, 'older than it')],
    tombstones: [rangeDelete('b', 'f', 10)],
  });
  const below = writeTable({
    disk,
    number: 2,
    records: ['a', 'b', 'c', 'd', 'e', 'f'].map((key, i) => put(key, i, 'low')),
  });
  const version = Version.of([
    { level: 0, table: top },
    { level: 3, table: below },
  ]);
  const { cache } = openCache(disk);
  const reader = new VersionReader(version, cache);
  const values = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((key) => read(reader, key)));
  assert.deepEqual(values, ['low', undefined, 'newer than it', undefined, undefined, 'low']);
  assert.equal(reader.coveringSequence(utf8('e'), 0, 1, PRESENT), 10);
  assert.equal(reader.coveringSequence(utf8('e'), 0, 1, 9), -1);
});

test('tables are obsolete when the last version that names them is released', async () => {
  const { metas, cache, disk } = rig();
  const [first, second, third] = metas as [TableMeta, TableMeta, TableMeta];
  const obsolete: number[] = [];
  const version = Version.of([
    { level: 1, table: second },
    { level: 1, table: third },
  ]);
  const versions = new VersionSet(version, cache, (numbers) => obsolete.push(...numbers));
  const held = versions.retain();
  const again = versions.retain();
  versions.install(version.with({ added: [{ level: 0, table: first }], removed: [second.number] }));
  assert.deepEqual(obsolete, []);
  assert.equal(await read(held, 'key00000'), 'old');
  versions.release(held);
  assert.deepEqual(obsolete, []);
  versions.release(again);
  assert.deepEqual(obsolete, [2]);
  assert.equal(await read(versions.current, 'key00000'), undefined);
  assert.equal(await read(versions.current, 'key00150'), 'new');
  versions.install(Version.EMPTY);
  assert.deepEqual(new Set(obsolete), new Set([1, 2, 3]));
  assert.equal(disk.openFiles, 0);
  assert.throws(() => versions.release(held), /released as often/);
});

test('what comes and goes while an old version is read does not wait for it', () => {
  const { metas, cache } = rig();
  const [first, second, third] = metas as [TableMeta, TableMeta, TableMeta];
  const obsolete: number[] = [];
  const version = Version.of([{ level: 1, table: second }]);
  const versions = new VersionSet(version, cache, (numbers) => obsolete.push(...numbers));
  const old = versions.retain();
  const with1 = version.with({ added: [{ level: 0, table: first }], removed: [] });
  versions.install(with1);
  const middle = versions.retain();
  const with3 = with1.with({ added: [{ level: 1, table: third }], removed: [first.number, second.number] });
  versions.install(with3);
  assert.deepEqual(obsolete, []);
  versions.release(middle);
  assert.deepEqual(obsolete, [1], 'no living version names it, though an older one lives');
  versions.install(with3.with({ added: [{ level: 3, table: third }], removed: [third.number] }));
  assert.deepEqual(obsolete, [1], 'a table that moves stays');
  versions.release(old);
  assert.deepEqual(obsolete, [1, 2]);
  versions.install(Version.EMPTY);
  assert.deepEqual(obsolete, [1, 2, 3]);
});

test('a walk over one prefix reads no block of a table whose filter has none of it', async () => {
  const disk = new MemoryDisk();
  const records = (row: string): ReturnType<typeof put>[] =>
    Array.from({ length: 50 }, (_, i) => put(`key/${row}/${i}`, 1, 'element'));
  const metas = ['a', 'c', 'e'].map((row, i) =>
    writeTable({ disk, number: i + 1, records: [...records(row), ...records('m')], prefix: slashPrefix }),
  );
  const { cache } = openCache(disk, { prefix: slashPrefix });
  const reader = new VersionReader(Version.of(metas.map((table) => ({ level: 0, table }))), cache);
  const within = async (row: string, reverse: boolean): Promise<number> => {
    const [lower, upper] = [utf8(`key/${row}/`), utf8(`key/${row}0`)];
    const pairs = await walk(reader.source({ sequence: PRESENT, reverse, lower, upper }), reverse ? upper : lower);
    return pairs.filter(([key]) => key.startsWith(`key/${row}/`)).length;
  };
  assert.equal(await within('b', false), 0);
  assert.equal(await within('f', true), 0);
  assert.equal(disk.reads, 3, 'the tails');
  assert.equal(await within('c', false), 50);
  assert.equal(await within('c', true), 50);
  assert.ok(cache.table(metas[0] as TableMeta).blocks.every((block) => block === undefined));
  const other = openCache(disk, { prefix: { ...slashPrefix, name: 'another rule' } });
  const unsure = new VersionReader(reader.version, other.cache);
  const [lower, upper] = [utf8('key/b/'), utf8('key/b0')];
  await walk(unsure.source({ sequence: PRESENT, reverse: false, lower, upper }), lower);
  assert.ok(other.cache.blocks.misses > 0, 'tables that were written by another rule are read');
});
