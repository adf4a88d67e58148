/** The simulated disk as one life of a process sees it: the `Disk` interface, its latencies and its points of failure. */

import { posix } from 'node:path';
import { assert } from '../../src/assert.ts';
import { DiskError, type Disk, type DiskFile } from '../../src/env.ts';
import type { SimDisk } from './disk.ts';
import type { EventLoop, Life } from './event-loop.ts';
import type { Inode } from './inode.ts';

export type OperationKind = 'read' | 'write' | 'sync' | 'name';

export class MountedDisk implements Disk {
  readonly #disk: SimDisk;
  readonly #life: Life;
  readonly #generation: number;
  readonly #loop: EventLoop;

  constructor(disk: SimDisk, life: Life, generation: number) {
    this.#disk = disk;
    this.#life = life;
    this.#generation = generation;
    this.#loop = disk.loop;
  }

  open(path: string, mode: 'read' | 'create' | 'write'): DiskFile {
    const clean = posix.normalize(path);
    const inode = this.#run(mode === 'create' ? 'name' : 'read', clean, () => {
      if (mode === 'create') this.#disk.mayFail('name', clean);
      return this.#disk.open(clean, mode);
    });
    return new SimFile({
      disk: this.#disk,
      loop: this.#loop,
      life: this.#life,
      generation: this.#generation,
      path,
      inode,
      writable: mode !== 'read',
    });
  }

  exists(path: string): boolean {
    return this.#disk.exists(posix.normalize(path));
  }

  list(directory: string): string[] {
    return this.#run('read', directory, () => this.#disk.list(posix.normalize(directory)));
  }

  makeDirectory(path: string): void {
    this.#run('name', path, () => this.#disk.makeDirectory(posix.normalize(path)));
  }

  removeDirectory(path: string): void {
    this.#name(path, () => this.#disk.removeDirectory(posix.normalize(path)));
  }

  rename(from: string, to: string): void {
    this.#name(from, () => this.#disk.rename(posix.normalize(from), posix.normalize(to)));
  }

  link(from: string, to: string): void {
    this.#name(to, () => this.#disk.link(posix.normalize(from), posix.normalize(to)));
  }

  unlink(path: string): void {
    this.#name(path, () => this.#disk.unlink(posix.normalize(path)));
  }

  syncDirectory(path: string): void {
    this.#run('sync', path, () => this.#disk.syncDirectory(posix.normalize(path)));
  }

  freeBytes(): number {
    return this.#disk.freeBytes();
  }

  #name(path: string, effect: () => void): void {
    this.#run('name', path, () => {
      this.#disk.mayFail('name', path);
      effect();
    });
  }

  #run<T>(kind: OperationKind, path: string, effect: () => T): T {
    assert(this.#disk.isCurrent(this.#generation), 'a dead process does not reach the disk');
    const crashAfter = this.#disk.begin(kind, path);
    try {
      return effect();
    } finally {
      this.#disk.end(crashAfter);
    }
  }
}

/** An open file of one life. */
class SimFile implements DiskFile {
  readonly path: string;
  readonly #disk: SimDisk;
  readonly #loop: EventLoop;
  readonly #life: Life;
  readonly #generation: number;
  readonly #inode: Inode;
  readonly #writable: boolean;
  #open = true;

  constructor(parts: {
    disk: SimDisk;
    loop: EventLoop;
    life: Life;
    generation: number;
    path: string;
    inode: Inode;
    writable: boolean;
  }) {
    this.path = parts.path;
    this.#disk = parts.disk;
    this.#loop = parts.loop;
    this.#life = parts.life;
    this.#generation = parts.generation;
    this.#inode = parts.inode;
    this.#writable = parts.writable;
  }

  read(target: Uint8Array, position: number): Promise<number> {
    this.#requireOpen();
    return this.#later('read', () => this.#read(target, position));
  }

  readSync(target: Uint8Array, position: number): number {
    return this.#now('read', () => this.#read(target, position));
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    this.#requireWritable();
    if (!this.#disk.capturesEarly()) {
      return this.#later('write', () => this.#disk.write(this.#inode, this.path, bytes, position));
    }
    let failure: unknown;
    try {
      this.#now('write', () => this.#disk.write(this.#inode, this.path, bytes, position));
    } catch (error) {
      failure = error;
    }
    return this.#later('write', () => {
      if (failure !== undefined) throw failure;
    });
  }

  writeSync(bytes: Uint8Array, position: number): void {
    this.#requireWritable();
    this.#now('write', () => this.#disk.write(this.#inode, this.path, bytes, position));
  }

  sync(): Promise<void> {
    this.#requireOpen();
    // Covers what was written before it was asked for; what is written meanwhile it may miss.
    const { serial } = this.#disk;
    return this.#later('sync', () => this.#sync(serial));
  }

  syncSync(): void {
    this.#now('sync', () => this.#sync(this.#disk.serial));
  }

  size(): number {
    this.#requireOpen();
    return this.#inode.seen.length;
  }

  truncate(length: number): void {
    this.#requireWritable();
    this.#now('write', () => {
      this.#disk.mayFail('write', this.path);
      this.#disk.truncate(this.#inode, this.path, length);
    });
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#disk.closed(this.#generation);
  }

  #read(target: Uint8Array, position: number): number {
    this.#disk.mayFail('read', this.path);
    return this.#disk.read(this.#inode, target, position);
  }

  #sync(serial: number): void {
    this.#disk.sync(this.#inode, this.path, serial);
  }

  #now<T>(kind: 'read' | 'write' | 'sync', effect: () => T): T {
    this.#requireOpen();
    return this.#count(kind, effect);
  }

  /** The effect happens when the operation ends; an operation that runs as its process dies never ends. */
  #later<T>(kind: 'read' | 'write' | 'sync', effect: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const end = (): void => {
        if (!this.#disk.isCurrent(this.#generation)) return;
        try {
          resolve(this.#count(kind, effect));
        } catch (error) {
          reject(error);
        }
      };
      this.#loop.post(this.#disk.delayUs(kind), () => this.#life.run(end));
    });
  }

  #count<T>(kind: 'read' | 'write' | 'sync', effect: () => T): T {
    const crashAfter = this.#disk.begin(kind, this.path);
    try {
      return effect();
    } finally {
      this.#disk.end(crashAfter);
    }
  }

  #requireOpen(): void {
    assert(this.#open, `${this.path} is open`);
    assert(this.#disk.isCurrent(this.#generation), 'a dead process does not reach the disk');
  }

  #requireWritable(): void {
    this.#requireOpen();
    if (!this.#writable) throw new DiskError('OTHER', this.path, `cannot write ${this.path}: it is open for reading`);
  }
}
