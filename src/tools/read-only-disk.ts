/** A disk on which nothing changes: what is written seems to succeed and is dropped. For looking at what a start would do. */

import type { Disk, DiskFile } from '../env.ts';

class ReadOnlyFile implements DiskFile {
  readonly path: string;
  readonly #file: DiskFile;

  constructor(file: DiskFile) {
    this.path = file.path;
    this.#file = file;
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#file.read(target, position);
  }

  readSync(target: Uint8Array, position: number): number {
    return this.#file.readSync(target, position);
  }

  write(): Promise<void> {
    return Promise.resolve();
  }

  writeSync(): void {}

  sync(): Promise<void> {
    return Promise.resolve();
  }

  syncSync(): void {}

  size(): number {
    return this.#file.size();
  }

  truncate(): void {}

  close(): void {
    this.#file.close();
  }
}

/** Requires: nothing is created on it. */
export class ReadOnlyDisk implements Disk {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  open(path: string): DiskFile {
    return new ReadOnlyFile(this.#disk.open(path, 'read'));
  }

  exists(path: string): boolean {
    return this.#disk.exists(path);
  }

  list(directory: string): string[] {
    return this.#disk.list(directory);
  }

  makeDirectory(): void {}

  removeDirectory(): void {}

  rename(): void {}

  link(): void {}

  unlink(): void {}

  syncDirectory(): void {}

  freeBytes(path: string): number {
    return this.#disk.freeBytes(path);
  }
}
