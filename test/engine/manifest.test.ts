import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { open } from 'lmdb';
import { utf8 } from '../../src/bytes.ts';
import { NodeDisk } from '../../src/env-node-disk.ts';
import { EngineError } from '../../src/engine/engine-error.ts';
import { CopiedManifest, readCopy } from '../../src/engine/manifest-copy.ts';
import { FileManifest } from '../../src/engine/manifest-file.ts';
import { lmdbDamage } from '../../src/engine/lmdb-check.ts';
import { LmdbManifest } from '../../src/engine/manifest-lmdb.ts';
import { encodeTable, readTable, type ManifestStore } from '../../src/engine/manifest.ts';
import { RangeTombstones } from '../../src/engine/range-tombstones.ts';
import { VarintReader } from '../../src/engine/varint.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { fullDiskContract, manifestContract, tableMeta, type ManifestPlace } from './manifest-contract.ts';
import { rangeDelete } from './table-fixture.ts';

/** A place on a disk in memory. */
function inMemory(open: (disk: MemoryDisk) => ManifestStore | Promise<ManifestStore>): () => Promise<ManifestPlace> {
  return async () => {
    const disk = new MemoryDisk();
    return {
      open: async () => open(disk),
      remove: async () => assert.equal(disk.openFiles, 0),
      setFull: (isFull) => {
        disk.isFull = isFull;
      },
    };
  };
}

const inFiles = inMemory((disk) => FileManifest.open(disk, '/store'));
const withCopy = inMemory((disk) => CopiedManifest.open(disk, '/store', FileManifest.open(disk, '/store')));
manifestContract('manifest in files', inFiles);
fullDiskContract('manifest in files', inFiles);
manifestContract('manifest with a copy', withCopy);
fullDiskContract('manifest with a copy', withCopy);

test('the copy of a manifest says what the manifest says, and is left alone beside an empty one', async () => {
  const disk = new MemoryDisk();
  let manifest = await CopiedManifest.open(disk, '/store', FileManifest.open(disk, '/store'));
  await manifest.setValue('node', utf8('here'));
  for (let number = 1; number <= 5; number++) {
    const removed = number > 2 ? [number - 2] : [];
    await manifest.commit({
      added: [{ level: 1, table: tableMeta(number) }],
      removed,
      nextFileNumber: 9,
      oldestWal: 1,
    });
  }
  await manifest.close();
  const numbers = (): number[][] =>
    readCopy(disk, '/store').states.map((state) => state.version.placed().map(({ table }) => table.number));
  assert.deepEqual(numbers(), [
    [4, 5],
    [3, 4],
  ]);
  for (const name of disk.list('/store')) if (name.startsWith('manifest')) disk.unlink(`/store/${name}`);
  manifest = await CopiedManifest.open(disk, '/store', FileManifest.open(disk, '/store'));
  await manifest.close();
  const copy = readCopy(disk, '/store');
  assert.deepEqual(numbers()[0], [4, 5]);
  assert.deepEqual(copy.values, new Map([['node', utf8('here')]]));
  assert.equal(copy.isDamaged, false);
});

test('the copy of a manifest is renewed at open when it is damaged or older', async () => {
  const disk = new MemoryDisk();
  const main = FileManifest.open(disk, '/store');
  const open = (): Promise<ManifestStore> => CopiedManifest.open(disk, '/store', FileManifest.open(disk, '/store'));
  await main.commit({ added: [{ level: 1, table: tableMeta(1) }], removed: [], oldestWal: 1 });
  await (await open()).close();
  assert.equal(readCopy(disk, '/store').states[0]?.version.tableCount, 1);
  await main.commit({ added: [{ level: 1, table: tableMeta(2) }], removed: [] });
  await (await open()).close();
  assert.equal(readCopy(disk, '/store').states[0]?.version.tableCount, 2);
  const bytes = disk.bytes('/store/table-list-1');
  bytes[30] = (bytes[30] as number) ^ 1;
  assert.equal(readCopy(disk, '/store').isDamaged, true);
  await (await open()).close();
  const { states, isDamaged } = readCopy(disk, '/store');
  assert.equal(isDamaged, false);
  assert.equal(states[0]?.version.tableCount, 2);
});

const disk = new NodeDisk();

function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'kvorum-manifest-'));
}

manifestContract('manifest in LMDB', async () => {
  const directory = temporaryDirectory();
  return {
    open: async () => LmdbManifest.open(disk, directory),
    remove: async () => rmSync(directory, { recursive: true }),
    setFull: () => assert.fail('this disk is too large to be filled'),
  };
});

test('manifest in LMDB: on a full disk a change is refused and nothing has changed', (context) => {
  // A file system of its own, small enough to be filled: it takes the right to mount one.
  const place = temporaryDirectory();
  const script = new URL('./manifest-full-main.js', import.meta.url).pathname;
  const command = `mount -t tmpfs -o size=4m none ${place} && exec ${process.execPath} ${script} ${place}`;
  // The child's report is to be read by us, not by the runner of this file.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const run = spawnSync('unshare', ['-m', 'sh', '-c', command], { encoding: 'utf8', env });
  rmSync(place, { recursive: true });
  if (run.error !== undefined || /unshare|mount:/.test(run.stderr)) {
    context.skip('nobody may mount a file system here');
    return;
  }
  assert.equal(run.status, 0, run.stdout + run.stderr);
  assert.match(run.stdout, /pass 1\n/);
});

function isDamage(error: unknown): boolean {
  return error instanceof EngineError && error.code === 'corruption' && /manifest .* is damaged/.test(error.message);
}

test('a table record keeps all that is known of a table', () => {
  const rangeTombstones = RangeTombstones.of([rangeDelete('a', 'f', 2 ** 50), rangeDelete('c', 'z', 7)]);
  const placed = { level: 6, table: tableMeta(2 ** 40, { rangeTombstones, maxSequence: Number.MAX_SAFE_INTEGER }) };
  assert.deepEqual(readTable(new VarintReader(encodeTable(placed))), placed);
});

test('a manifest in files: damage of the newest one stops the open, wherever it is', async () => {
  const disk = new MemoryDisk();
  const manifest = FileManifest.open(disk, '/store');
  await manifest.commit({ added: [{ level: 0, table: tableMeta(3) }], removed: [], nextFileNumber: 4 });
  await manifest.setValue('node', utf8('here'));
  await manifest.close();
  assert.deepEqual(disk.list('/store'), ['manifest-0000000000000001', 'manifest-0000000000000002']);
  const path = '/store/manifest-0000000000000002';
  const whole = disk.bytes(path).slice();
  for (let at = 0; at < whole.length; at++) {
    const flipped = whole.slice();
    flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
    disk.put(path, flipped);
    assert.throws(() => FileManifest.open(disk, '/store'), isDamage, `bit of byte ${at}`);
  }
  for (const length of [0, 5, 15, 16, whole.length - 1]) {
    disk.put(path, whole.slice(0, length));
    assert.throws(() => FileManifest.open(disk, '/store'), isDamage, `cut to ${length}`);
  }
  disk.put(path, whole);
  assert.deepEqual(FileManifest.open(disk, '/store').getValue('node'), utf8('here'));
});

test('a manifest in files: what a crash left half-written is removed, old generations too', async () => {
  const disk = new MemoryDisk();
  const manifest = FileManifest.open(disk, '/store');
  for (let i = 0; i < 5; i++) await manifest.setValue('count', utf8(String(i)));
  disk.put('/store/manifest-0000000000000006.tmp', utf8('half'));
  disk.put('/store/000001.sst', utf8('a table'));
  assert.deepEqual(FileManifest.open(disk, '/store').getValue('count'), utf8('4'));
  assert.deepEqual(disk.list('/store'), ['000001.sst', 'manifest-0000000000000004', 'manifest-0000000000000005']);
});

test('a manifest in files: after a failed write nothing is written any more', async () => {
  const disk = new MemoryDisk();
  const manifest = FileManifest.open(disk, '/store');
  await manifest.setValue('count', utf8('1'));
  const rename = disk.rename.bind(disk);
  disk.rename = () => {
    throw new Error('no');
  };
  await assert.rejects(manifest.setValue('count', utf8('2')), /no/);
  disk.rename = rename;
  await assert.rejects(manifest.setValue('count', utf8('3')), /no/);
  assert.deepEqual(manifest.getValue('count'), utf8('1'));
  assert.deepEqual(FileManifest.open(disk, '/store').getValue('count'), utf8('1'));
});

async function filledLmdb(): Promise<string> {
  const directory = temporaryDirectory();
  const manifest = LmdbManifest.open(disk, directory);
  for (let number = 1; number <= 3; number++) {
    await manifest.commit({ added: [{ level: 0, table: tableMeta(number) }], removed: [], nextFileNumber: number + 1 });
  }
  await manifest.setValue('node', utf8('here'));
  await manifest.close();
  return directory;
}

const tampering = {
  'a record is changed': (db: ReturnType<typeof raw>) => db.put('value/node', Buffer.from('there1234')),
  'a record is cut': (db: ReturnType<typeof raw>) => db.put('table/0000000000000002', Buffer.from('x')),
  'a table is missing': (db: ReturnType<typeof raw>) => db.remove('table/0000000000000002'),
  'the counters are missing': (db: ReturnType<typeof raw>) => db.remove('counters'),
  'a record stands under another name': async (db: ReturnType<typeof raw>) => {
    const record = db.get('table/0000000000000002');
    assert.ok(record !== undefined);
    await db.put('table/0000000000000009', Buffer.from(record));
  },
  'there is something unknown': (db: ReturnType<typeof raw>) => db.put('who knows', Buffer.from('x')),
};

function raw(directory: string) {
  return open<Buffer, string>({ path: join(directory, 'manifest.mdb'), encoding: 'binary', overlappingSync: false });
}

for (const [what, tamper] of Object.entries(tampering)) {
  test(`a manifest in LMDB: the open stops when ${what}`, async () => {
    const directory = await filledLmdb();
    const database = raw(directory);
    await tamper(database);
    await database.close();
    assert.throws(() => LmdbManifest.open(disk, directory), isDamage);
    rmSync(directory, { recursive: true });
  });
}

test('a manifest in LMDB: damage anywhere in the file stops the open with its name, or leaves all as it was', async () => {
  const directory = await filledLmdb();
  const path = join(directory, 'manifest.mdb');
  const whole = readFileSync(path);
  const damaged: Buffer[] = [Buffer.alloc(100), Buffer.alloc(8192, 7), Buffer.alloc(whole.length)];
  for (let length = 4096; length < whole.length; length += 4096) damaged.push(whole.subarray(0, length + 100));
  for (let at = 0; at < whole.length; at += 311) {
    const flipped = Buffer.from(whole);
    flipped[at] = (flipped[at] as number) ^ 0xff;
    damaged.push(flipped);
  }
  for (let at = 8192; at < whole.length; at += 4096) damaged.push(Buffer.from(whole).fill(0, at, at + 4096));
  let refused = 0;
  for (const content of damaged) {
    writeFileSync(path, content);
    let manifest: LmdbManifest;
    try {
      manifest = LmdbManifest.open(disk, directory);
    } catch (error) {
      assert.ok(isDamage(error), String(error));
      refused++;
      continue;
    }
    // Free pages, unused room, or the older meta page.
    assert.equal(manifest.state.version.tableCount, 3);
    assert.deepEqual(manifest.getValue('node'), utf8('here'));
    await manifest.close();
  }
  assert.ok(refused > 10, `${refused} of ${damaged.length} refused`);
  rmSync(directory, { recursive: true });
});

test('the shape of an LMDB file of several levels and with large values is sound after every change', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 'manifest.mdb');
  const manifest = LmdbManifest.open(disk, directory);
  for (let round = 0; round < 25; round++) {
    const numbers = Array.from({ length: 20 }, (_, i) => round * 20 + i + 1);
    await manifest.commit({
      added: numbers.map((number) => ({ level: 1, table: tableMeta(number) })),
      removed: round % 3 === 2 ? numbers.map((number) => number - 20) : [],
    });
    await manifest.setValue(`value ${round % 4}`, new Uint8Array(round * 1000));
    assert.equal(lmdbDamage(readFileSync(path)), undefined);
  }
  await manifest.close();
  const again = LmdbManifest.open(disk, directory);
  assert.ok(again.state.version.tableCount > 300);
  await again.close();
  rmSync(directory, { recursive: true });
});
