/** What every `Disk` does, real or simulated: one suite, run on both. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiskError, type Disk } from '../../src/env.ts';

export interface DiskUnderTest {
  readonly disk: Disk;
  /** An empty directory that exists. */
  readonly root: string;
  /** Waits for an asynchronous operation, driving virtual time where there is one. */
  readonly settle: <T>(promise: Promise<T>) => Promise<T>;
  readonly remove: () => void;
}

type Body = (under: DiskUnderTest) => Promise<void> | void;

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function shared(text: string): Uint8Array {
  const plain = bytesOf(text);
  const bytes = new Uint8Array(new SharedArrayBuffer(plain.length));
  bytes.set(plain);
  return bytes;
}

function failsWith(code: DiskError['code'], call: () => unknown): void {
  assert.throws(call, (error: unknown) => {
    assert.ok(error instanceof DiskError, String(error));
    assert.equal(error.code, code);
    assert.ok(error.message.includes(error.path), 'the message names the path');
    return true;
  });
}

function readAll(disk: Disk, path: string): string {
  const file = disk.open(path, 'read');
  const target = new Uint8Array(file.size());
  assert.equal(file.readSync(target, 0), target.length);
  file.close();
  return new TextDecoder().decode(target);
}

function create(disk: Disk, path: string, text: string): void {
  const file = disk.open(path, 'create');
  file.writeSync(bytesOf(text), 0);
  file.close();
}

const fileCases: Readonly<Record<string, Body>> = {
  'writes and reads at positions, synchronously': ({ disk, root }) => {
    const file = disk.open(`${root}/a`, 'create');
    file.writeSync(bytesOf('hello world'), 0);
    file.writeSync(shared('HELLO'), 0);
    const target = new Uint8Array(5);
    assert.equal(file.readSync(target, 6), 5);
    assert.equal(new TextDecoder().decode(target), 'world');
    file.syncSync();
    file.close();
    assert.equal(readAll(disk, `${root}/a`), 'HELLO world');
  },
  'writes and reads at positions, asynchronously': async ({ disk, root, settle }) => {
    const file = disk.open(`${root}/a`, 'create');
    await settle(file.write(shared('hello world'), 0));
    await settle(file.sync());
    const target = new Uint8Array(new SharedArrayBuffer(5));
    assert.equal(await settle(file.read(target, 6)), 5);
    assert.equal(Buffer.from(target).toString(), 'world');
    file.close();
  },
  'a read is short only at the end of the file': async ({ disk, root, settle }) => {
    create(disk, `${root}/a`, 'abc');
    const file = disk.open(`${root}/a`, 'read');
    const target = new Uint8Array(8);
    assert.equal(file.readSync(target, 1), 2);
    assert.deepEqual([...target.subarray(0, 3)], [98, 99, 0]);
    assert.equal(file.readSync(target, 3), 0);
    assert.equal(file.readSync(target, 100), 0);
    assert.equal(await settle(file.read(target, 2)), 1);
    assert.equal(await settle(file.read(new Uint8Array(0), 0)), 0);
    file.close();
  },
  'a write beyond the end leaves zeros between': ({ disk, root }) => {
    const file = disk.open(`${root}/a`, 'create');
    file.writeSync(bytesOf('x'), 4);
    assert.equal(file.size(), 5);
    const target = new Uint8Array(5).fill(7);
    file.readSync(target, 0);
    assert.deepEqual([...target], [0, 0, 0, 0, 120]);
    file.close();
  },
  'truncate shrinks, and grows with zeros': ({ disk, root }) => {
    const file = disk.open(`${root}/a`, 'create');
    file.writeSync(bytesOf('abcdef'), 0);
    file.truncate(2);
    assert.equal(file.size(), 2);
    file.truncate(4);
    const target = new Uint8Array(4).fill(7);
    assert.equal(file.readSync(target, 0), 4);
    assert.deepEqual([...target], [97, 98, 0, 0]);
    file.close();
  },
  'a large write arrives whole': async ({ disk, root, settle }) => {
    const bytes = new Uint8Array(3_000_001).map((_, index) => (index * 31) & 0xff);
    const file = disk.open(`${root}/a`, 'create');
    await settle(file.write(bytes, 0));
    const target = new Uint8Array(bytes.length);
    assert.equal(await settle(file.read(target, 0)), bytes.length);
    assert.deepEqual(target, bytes);
    file.close();
  },
  'a file opened for reading cannot be written': async ({ disk, root, settle }) => {
    create(disk, `${root}/a`, 'abc');
    const file = disk.open(`${root}/a`, 'read');
    assert.throws(() => file.writeSync(bytesOf('x'), 0), DiskError);
    await assert.rejects(async () => settle(file.write(bytesOf('x'), 0)), DiskError);
    assert.throws(() => file.truncate(0), DiskError);
    file.close();
    assert.equal(readAll(disk, `${root}/a`), 'abc');
  },
  'a closed file is a bug to use, and closing twice is none': ({ disk, root }) => {
    const file = disk.open(`${root}/a`, 'create');
    file.close();
    file.close();
    assert.throws(() => file.readSync(new Uint8Array(1), 0), /open/);
    assert.throws(() => file.size(), /open/);
  },
  'an operation that runs when its file is closed still ends': async ({ disk, root, settle }) => {
    const file = disk.open(`${root}/a`, 'create');
    const writing = file.write(bytesOf('abc'), 0);
    file.close();
    await settle(writing);
    assert.equal(readAll(disk, `${root}/a`), 'abc');
  },
};

const nameCases: Readonly<Record<string, Body>> = {
  'create wants a new name; read and write want an old one': ({ disk, root }) => {
    failsWith('ENOENT', () => disk.open(`${root}/a`, 'read'));
    failsWith('ENOENT', () => disk.open(`${root}/a`, 'write'));
    failsWith('ENOENT', () => disk.open(`${root}/none/a`, 'create'));
    create(disk, `${root}/a`, 'abc');
    failsWith('EEXIST', () => disk.open(`${root}/a`, 'create'));
    const file = disk.open(`${root}/a`, 'write');
    file.writeSync(bytesOf('X'), 1);
    file.close();
    assert.equal(readAll(disk, `${root}/a`), 'aXc');
  },
  'exists and list, sorted': ({ disk, root }) => {
    assert.deepEqual(disk.list(root), []);
    for (const name of ['b', 'a', 'c10', 'c9']) create(disk, `${root}/${name}`, name);
    disk.makeDirectory(`${root}/d/e/f`);
    disk.makeDirectory(`${root}/d/e/f`);
    assert.deepEqual(disk.list(root), ['a', 'b', 'c10', 'c9', 'd']);
    assert.deepEqual(disk.list(`${root}/d`), ['e']);
    assert.equal(disk.exists(`${root}/a`), true);
    assert.equal(disk.exists(`${root}/d/e`), true);
    assert.equal(disk.exists(`${root}/z`), false);
    failsWith('ENOENT', () => disk.list(`${root}/z`));
  },
  'rename replaces what stands there': ({ disk, root }) => {
    create(disk, `${root}/a`, 'new');
    create(disk, `${root}/b`, 'old');
    const open = disk.open(`${root}/a`, 'read');
    disk.rename(`${root}/a`, `${root}/b`);
    assert.deepEqual(disk.list(root), ['b']);
    assert.equal(readAll(disk, `${root}/b`), 'new');
    assert.equal(open.size(), 3);
    open.close();
    failsWith('ENOENT', () => disk.rename(`${root}/a`, `${root}/c`));
  },
  'a link is the same file under a second name': ({ disk, root }) => {
    create(disk, `${root}/a`, 'abc');
    disk.link(`${root}/a`, `${root}/b`);
    failsWith('EEXIST', () => disk.link(`${root}/a`, `${root}/b`));
    failsWith('ENOENT', () => disk.link(`${root}/z`, `${root}/c`));
    disk.unlink(`${root}/a`);
    assert.equal(readAll(disk, `${root}/b`), 'abc');
  },
  'an open file outlives its name': ({ disk, root }) => {
    create(disk, `${root}/a`, 'abc');
    const file = disk.open(`${root}/a`, 'read');
    disk.unlink(`${root}/a`);
    failsWith('ENOENT', () => disk.unlink(`${root}/a`));
    create(disk, `${root}/a`, 'other');
    const target = new Uint8Array(3);
    assert.equal(file.readSync(target, 0), 3);
    assert.equal(new TextDecoder().decode(target), 'abc');
    file.close();
  },
  'a directory can be synced, a missing one cannot': ({ disk, root }) => {
    create(disk, `${root}/a`, 'abc');
    disk.syncDirectory(root);
    failsWith('ENOENT', () => disk.syncDirectory(`${root}/none`));
  },
  'a directory is renamed with all that is in it': ({ disk, root }) => {
    disk.makeDirectory(`${root}/d/e`);
    create(disk, `${root}/d/a`, 'abc');
    create(disk, `${root}/d/e/b`, 'def');
    disk.rename(`${root}/d`, `${root}/f`);
    assert.deepEqual(disk.list(root), ['f']);
    assert.deepEqual(disk.list(`${root}/f`), ['a', 'e']);
    assert.equal(readAll(disk, `${root}/f/a`), 'abc');
    assert.equal(readAll(disk, `${root}/f/e/b`), 'def');
    failsWith('ENOENT', () => disk.list(`${root}/d`));
    failsWith('ENOENT', () => disk.rename(`${root}/d`, `${root}/g`));
  },
  'only an empty directory is removed': ({ disk, root }) => {
    disk.makeDirectory(`${root}/d`);
    create(disk, `${root}/d/a`, 'abc');
    assert.throws(() => disk.removeDirectory(`${root}/d`), DiskError);
    disk.unlink(`${root}/d/a`);
    disk.removeDirectory(`${root}/d`);
    assert.equal(disk.exists(`${root}/d`), false);
    failsWith('ENOENT', () => disk.removeDirectory(`${root}/d`));
  },
  'there is free space': ({ disk, root }) => {
    assert.ok(disk.freeBytes(root) > 0);
  },
};

/** Registers the suite; `make` is called once for each case. */
export function diskContract(name: string, make: () => DiskUnderTest): void {
  for (const [title, body] of Object.entries({ ...fileCases, ...nameCases })) {
    void test(`${name}: ${title}`, async () => {
      const under = make();
      try {
        await body(under);
      } finally {
        under.remove();
      }
    });
  }
}
