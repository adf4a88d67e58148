/** A disk in memory for unit tests: no faults but a full disk, nothing is ever lost. The simulated disk of test/sim/ has both. */

import { DiskError, type Disk, type DiskFile } from '../../src/env.ts';

class Content {
  bytes = new Uint8Array(0);
  length = 0;

  reserve(length: number): void {
    if (length <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(length, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

class MemoryFile implements DiskFile {
  readonly path: string;
  readonly #content: Content;
  readonly #disk: MemoryDisk;

  constructor(path: string, content: Content, disk: MemoryDisk) {
    this.path = path;
    this.#content = content;
    this.#disk = disk;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    await Promise.resolve();
    return this.readSync(target, position);
  }

  readSync(target: Uint8Array, position: number): number {
    this.#disk.reads++;
    const { bytes, length } = this.#content;
    const count = Math.max(0, Math.min(target.length, length - position));
    target.set(bytes.subarray(position, position + count));
    return count;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    await Promise.resolve();
    this.writeSync(bytes, position);
  }

  writeSync(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (this.#disk.isFull && end > this.#content.length) {
      throw new DiskError('ENOSPC', this.path, `cannot write ${this.path}: no space left`);
    }
    this.#content.reserve(end);
    this.#content.bytes.set(bytes, position);
    this.#content.length = Math.max(this.#content.length, end);
  }

  async sync(): Promise<void> {
    await Promise.resolve();
  }

  syncSync(): void {}

  size(): number {
    return this.#content.length;
  }

  truncate(length: number): void {
    this.#content.reserve(length);
    this.#content.bytes.fill(0, Math.min(length, this.#content.length));
    this.#content.length = length;
  }

  close(): void {
    this.#disk.openFiles--;
  }
}

export class MemoryDisk implements Disk {
  /** No file can grow. */
  isFull = false;
  /** Counts for assertions. */
  reads = 0;
  openFiles = 0;
  readonly #files = new Map<string, Content>();

  open(path: string, mode: 'read' | 'create' | 'write'): DiskFile {
    let content = this.#files.get(path);
    if (mode === 'create') {
      if (content !== undefined) throw new DiskError('EEXIST', path, `cannot create ${path}: it is there`);
      content = new Content();
      this.#files.set(path, content);
    }
    if (content === undefined) throw new DiskError('ENOENT', path, `cannot open ${path}: it is not there`);
    this.openFiles++;
    return new MemoryFile(path, content, this);
  }

  exists(path: string): boolean {
    return this.#files.has(path);
  }

  list(directory: string): string[] {
    const names: string[] = [];
    for (const path of this.#files.keys()) {
      if (!path.startsWith(`${directory}/`)) continue;
      const name = path.slice(directory.length + 1);
      if (!name.includes('/')) names.push(name);
    }
    return names.sort();
  }

  makeDirectory(): void {}

  removeDirectory(): void {}

  rename(from: string, to: string): void {
    const inside = [...this.#files.keys()].filter((path) => path.startsWith(`${from}/`));
    for (const path of inside.length > 0 ? inside : [from]) {
      this.link(path, to + path.slice(from.length), true);
      this.#files.delete(path);
    }
  }

  link(from: string, to: string, replace = false): void {
    const content = this.#files.get(from);
    if (content === undefined) throw new DiskError('ENOENT', from, `cannot link ${from}: it is not there`);
    if (!replace && this.#files.has(to)) throw new DiskError('EEXIST', to, `cannot link ${to}: it is there`);
    this.#files.set(to, content);
  }

  unlink(path: string): void {
    if (!this.#files.delete(path)) throw new DiskError('ENOENT', path, `cannot remove ${path}: it is not there`);
  }

  syncDirectory(): void {}

  freeBytes(): number {
    return 1 << 30;
  }

  /** The bytes of a file, to be read or damaged in place. */
  bytes(path: string): Uint8Array {
    const content = this.#files.get(path);
    if (content === undefined) throw new DiskError('ENOENT', path, `${path} is not there`);
    return content.bytes.subarray(0, content.length);
  }

  /** Puts a file there. */
  put(path: string, bytes: Uint8Array): void {
    const content = new Content();
    content.bytes = bytes.slice();
    content.length = bytes.length;
    this.#files.set(path, content);
  }
}
