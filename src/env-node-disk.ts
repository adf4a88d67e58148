/**
 * The real disk: node:fs behind `Disk`.
 *
 * Invariants: a file descriptor is closed only after every asynchronous operation on it has ended, so that no late
 * write can land in another file that got the same descriptor. Every failure leaves as a `DiskError`.
 */

import {
  close,
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  read,
  readSync,
  readdirSync,
  renameSync,
  rmdirSync,
  statfsSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs';
import { assert } from './assert.ts';
import { DiskError, type Disk, type DiskFile } from './env.ts';

/** Owner reads and writes, group reads: data may hold secrets, so others see nothing. */
const FILE_MODE = 0o640;
const DIRECTORY_MODE = 0o750;

/** A file of /proc is read into this, whole. */
const PROC_TEXT = Buffer.alloc(512);

const codes: Readonly<Record<string, DiskError['code']>> = {
  ENOENT: 'ENOENT',
  ENOTDIR: 'ENOENT',
  EEXIST: 'EEXIST',
  ENOSPC: 'ENOSPC',
  EDQUOT: 'ENOSPC',
  EIO: 'EIO',
  EMFILE: 'EMFILE',
  ENFILE: 'EMFILE',
  EACCES: 'EACCES',
  EPERM: 'EACCES',
  EROFS: 'EACCES',
};

function systemCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'unknown error';
}

function diskError(error: unknown, path: string, verb: string): DiskError {
  const code = systemCode(error);
  const reason = error instanceof Error ? error.message : String(error);
  return new DiskError(codes[code] ?? 'OTHER', path, `cannot ${verb} ${path}: ${reason}`);
}

/** Runs `call`; what it throws becomes a `DiskError`. Not for the hot path: it takes a closure. */
function guarded<T>(path: string, verb: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw diskError(error, path, verb);
  }
}

class NodeDiskFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;
  #running = 0;
  #closed = false;

  constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  read(target: Uint8Array, position: number): Promise<number> {
    this.#begin();
    return new Promise<number>((resolve, reject) => {
      let done = 0;
      const step = (): void => {
        read(this.#descriptor, target, done, target.length - done, position + done, (error, count) => {
          if (error !== null) {
            this.#end();
            reject(diskError(error, this.path, 'read'));
            return;
          }
          done += count;
          if (count > 0 && done < target.length) {
            step();
            return;
          }
          this.#end();
          resolve(done);
        });
      };
      step();
    });
  }

  readSync(target: Uint8Array, position: number): number {
    assert(!this.#closed, 'file is open');
    let done = 0;
    try {
      while (done < target.length) {
        const count = readSync(this.#descriptor, target, done, target.length - done, position + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw diskError(error, this.path, 'read');
    }
    return done;
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    this.#begin();
    return new Promise<void>((resolve, reject) => {
      let done = 0;
      const step = (): void => {
        write(this.#descriptor, bytes, done, bytes.length - done, position + done, (error, count) => {
          if (error !== null) {
            this.#end();
            reject(diskError(error, this.path, 'write'));
            return;
          }
          done += count;
          if (done < bytes.length) {
            step();
            return;
          }
          this.#end();
          resolve();
        });
      };
      step();
    });
  }

  writeSync(bytes: Uint8Array, position: number): void {
    assert(!this.#closed, 'file is open');
    let done = 0;
    try {
      while (done < bytes.length) {
        done += writeSync(this.#descriptor, bytes, done, bytes.length - done, position + done);
      }
    } catch (error) {
      throw diskError(error, this.path, 'write');
    }
  }

  sync(): Promise<void> {
    this.#begin();
    return new Promise<void>((resolve, reject) => {
      fdatasync(this.#descriptor, (error) => {
        this.#end();
        if (error !== null) reject(diskError(error, this.path, 'sync'));
        else resolve();
      });
    });
  }

  syncSync(): void {
    assert(!this.#closed, 'file is open');
    guarded(this.path, 'sync', () => fdatasyncSync(this.#descriptor));
  }

  size(): number {
    assert(!this.#closed, 'file is open');
    return guarded(this.path, 'stat', () => fstatSync(this.#descriptor).size);
  }

  truncate(length: number): void {
    assert(!this.#closed, 'file is open');
    guarded(this.path, 'truncate', () => ftruncateSync(this.#descriptor, length));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#running === 0) guarded(this.path, 'close', () => closeSync(this.#descriptor));
  }

  #begin(): void {
    assert(!this.#closed, 'file is open');
    this.#running++;
  }

  #end(): void {
    this.#running--;
    // Nobody is left to hear of an error here; what had to be durable was synced before.
    if (this.#closed && this.#running === 0) close(this.#descriptor, () => {});
  }
}

const flags = {
  read: constants.O_RDONLY,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  write: constants.O_RDWR,
};

export class NodeDisk implements Disk {
  open(path: string, mode: 'read' | 'create' | 'write'): DiskFile {
    return new NodeDiskFile(
      path,
      guarded(path, mode === 'create' ? 'create' : 'open', () => openSync(path, flags[mode], FILE_MODE)),
    );
  }

  exists(path: string): boolean {
    return existsSync(path);
  }

  list(directory: string): string[] {
    return guarded(directory, 'list', () => readdirSync(directory)).sort();
  }

  makeDirectory(path: string): void {
    guarded(path, 'make directory', () => mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE }));
  }

  removeDirectory(path: string): void {
    guarded(path, 'remove directory', () => rmdirSync(path));
  }

  rename(from: string, to: string): void {
    guarded(from, 'rename', () => renameSync(from, to));
  }

  link(from: string, to: string): void {
    guarded(to, 'link', () => linkSync(from, to));
  }

  unlink(path: string): void {
    guarded(path, 'remove', () => unlinkSync(path));
  }

  syncDirectory(path: string): void {
    guarded(path, 'sync directory', () => {
      const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
    });
  }

  freeBytes(path: string): number {
    return guarded(path, 'ask the free space of', () => {
      const state = statfsSync(path);
      return state.bavail * state.bsize;
    });
  }

  fetchedBytes(): number {
    let descriptor: number | undefined;
    try {
      descriptor = openSync('/proc/thread-self/io', constants.O_RDONLY);
      const length = readSync(descriptor, PROC_TEXT, 0, PROC_TEXT.length, 0);
      return Number(/^read_bytes: (\d+)$/m.exec(PROC_TEXT.toString('latin1', 0, length))?.[1] ?? Number.NaN);
    } catch {
      return Number.NaN;
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }
}
