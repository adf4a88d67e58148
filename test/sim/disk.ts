/**
 * The simulated disk: what is written, what is durable, and everything a disk may do wrong, drawn from a seed.
 *
 * Model. A file is an inode with two contents: the one that reads see, and the durable one, plus the changes between
 * them in order. A name is an entry of its directory; created, renamed and removed names are durable only after
 * `syncDirectory`. A power cut keeps the durable state and, of the rest, any part: each 512-byte sector of each
 * write for itself, lengths with or without their bytes, each change of a name for itself or a prefix of them.
 * A failed sync loses what it likes of the unsynced changes while reads still see them, as Linux does
 * (the "fsyncgate" finding), and a later sync does not bring them back. Directories themselves are durable at once.
 *
 * A crash "at operation n" takes an image at that operation and lets the running event end against a disk that no longer
 * matters: `crashed` is true from then on, and nobody may count on an acknowledgement given after it. Whether the power
 * went or only the process died is said afterwards, with `powerCut` or `kill`.
 */

import { posix } from 'node:path';
import { assert, must } from '../../src/assert.ts';
import { DiskError, type Disk } from '../../src/env.ts';
import type { EventLoop, Life } from './event-loop.ts';
import { Inode, keepSome } from './inode.ts';
import { MountedDisk, type OperationKind } from './mounted-disk.ts';
import { Platter } from './platter.ts';
import type { Prng } from './prng.ts';

/** Chances are for each operation. All zero and no latency: a perfect disk. */
export interface DiskFaults {
  readErrorChance: number;
  writeErrorChance: number;
  syncErrorChance: number;
  /** Creating, renaming, linking and removing names. */
  nameErrorChance: number;
  /** A bit of what a read returns is wrong; the disk itself still has it right. */
  readFlipChance: number;
  /** Factor on every latency; 0 answers asynchronous operations at the same moment. */
  slowness: number;
  maxOpenFiles: number;
}

export function noFaults(): DiskFaults {
  return {
    readErrorChance: 0,
    writeErrorChance: 0,
    syncErrorChance: 0,
    nameErrorChance: 0,
    readFlipChance: 0,
    slowness: 1,
    maxOpenFiles: 4096,
  };
}

/** Counts of what was injected, by kind. */
export type Injected = Record<
  'readError' | 'writeError' | 'syncError' | 'nameError' | 'readFlip' | 'full' | 'openLimit',
  number
>;

/** All that a disk holds, for other disks to start from. Not changed by them. */
export interface DiskImage {
  readonly platter: Platter;
  readonly directories: ReadonlySet<string>;
}

/** A disk with these files, all of it durable. */
export function imageOf(
  files: Iterable<readonly [path: string, bytes: Uint8Array]>,
  directories: Iterable<string>,
): DiskImage {
  const platter = new Platter();
  for (const [path, bytes] of files) {
    const inode = new Inode();
    inode.seen.write(0, bytes);
    platter.change([[path, inode]]);
    platter.usedBytes += bytes.length;
  }
  return { platter: platter.settled(), directories: new Set(directories) };
}

export class SimDisk {
  faults: DiskFaults = noFaults();
  capacityBytes = Number.POSITIVE_INFINITY;
  /** The process dies, with or without the machine, at this operation (counted from the last mount). */
  crashAtOperation = Number.POSITIVE_INFINITY;
  /** The operation that fails with EIO, whatever its kind, and only it. */
  failAtOperation = Number.POSITIVE_INFINITY;
  /** Called once at that operation. */
  onCrash: () => void = () => {};
  readonly injected: Injected = {
    readError: 0,
    writeError: 0,
    syncError: 0,
    nameError: 0,
    readFlip: 0,
    full: 0,
    openLimit: 0,
  };

  readonly loop: EventLoop;
  readonly #random: Prng;
  #platter = new Platter();
  #directories = new Set<string>(['/']);
  #serial = 0;
  #operations = 0;
  #openFiles = 0;
  #image: { readonly platter: Platter; readonly directories: Set<string> } | undefined;
  /** Grows with each mount; files of an earlier mount are dead. */
  #generation = 0;

  constructor(parts: { loop: EventLoop; random: Prng; image?: DiskImage | undefined }) {
    this.loop = parts.loop;
    this.#random = parts.random;
    if (parts.image === undefined) return;
    this.#platter = parts.image.platter.settled();
    this.#directories = new Set(parts.image.directories);
  }

  /** What is on it now, all of it as if it had been synced. */
  image(): DiskImage {
    return { platter: this.#platter.settled(), directories: new Set(this.#directories) };
  }

  get operations(): number {
    return this.#operations;
  }

  get openFiles(): number {
    return this.#openFiles;
  }

  get usedBytes(): number {
    return this.#platter.usedBytes;
  }

  /** True from that operation until `kill` or `powerCut`. */
  get crashed(): boolean {
    return this.#image !== undefined;
  }

  get paths(): string[] {
    return [...this.#platter.names.keys()].sort();
  }

  /** The disk as one life of a process sees it. */
  mount(life: Life): Disk {
    assert(this.#image === undefined, 'the power is on');
    this.#generation++;
    this.#operations = 0;
    this.#openFiles = 0;
    return new MountedDisk(this, life, this.#generation);
  }

  /** The power goes now, or went at `crashAtOperation`: keeps what is durable and a random part of the rest. */
  powerCut(): void {
    this.kill();
    this.#platter.powerCut(this.#random);
  }

  /** The process dies now, or died at `crashAtOperation`; what it had written is there, nothing more became durable. */
  kill(): void {
    this.#platter = this.#image?.platter ?? this.#platter;
    this.#directories = this.#image?.directories ?? this.#directories;
    this.#image = undefined;
    this.crashAtOperation = Number.POSITIVE_INFINITY;
    this.failAtOperation = Number.POSITIVE_INFINITY;
    this.#generation++;
  }

  /** Contents as a read would see them. */
  contentOf(path: string): Uint8Array {
    const inode = must(this.#platter.names.get(posix.normalize(path)), `${path} exists`);
    return inode.seen.bytes.slice(0, inode.seen.length);
  }

  /** Bit rot: changes a byte on the platter and in the cache. */
  corrupt(path: string, position: number, mask: number): void {
    const inode = must(this.#platter.names.get(posix.normalize(path)), `${path} exists`);
    assert(position < inode.seen.length, 'a byte of the file');
    for (const content of [inode.seen, inode.durable]) {
      if (position < content.length) content.write(position, Uint8Array.of((content.bytes[position] as number) ^ mask));
    }
  }

  // What the mounted disk calls. Each operation first counts itself, so that its number is a point in the run.

  /** Counts the operation; true when the crash comes right after its effect. */
  begin(kind: OperationKind, path: string): boolean {
    const operation = this.#operations++;
    this.loop.elapse(this.#random.below(8) * this.faults.slowness);
    let crashAfter = false;
    if (operation === this.crashAtOperation && this.#image === undefined) {
      if (this.#random.chance(0.5)) this.#crash();
      else crashAfter = true;
    }
    if (operation === this.failAtOperation) throw this.#failed(kind, path);
    return crashAfter;
  }

  end(crashAfter: boolean): void {
    if (crashAfter) this.#crash();
  }

  /** Throws EIO with the chance of this kind of operation. */
  mayFail(kind: OperationKind, path: string): void {
    const { faults } = this;
    const chances = {
      read: faults.readErrorChance,
      write: faults.writeErrorChance,
      sync: faults.syncErrorChance,
      name: faults.nameErrorChance,
    };
    if (chances[kind] > 0 && this.#random.chance(chances[kind])) throw this.#failed(kind, path);
  }

  delayUs(kind: 'read' | 'write' | 'sync'): number {
    const typical = { read: 150, write: 80, sync: 2_000 }[kind];
    const outlier = this.#random.chance(0.01) ? 50 : 1;
    return Math.round(typical * this.faults.slowness * outlier * (0.2 + 1.6 * this.#random.next()));
  }

  /** Whether an asynchronous write takes its bytes when it is asked for or when it ends: both are allowed. */
  capturesEarly(): boolean {
    return this.#random.chance(0.5);
  }

  open(path: string, mode: 'read' | 'create' | 'write'): Inode {
    if (this.#openFiles >= this.faults.maxOpenFiles) {
      this.injected.openLimit++;
      throw new DiskError('EMFILE', path, `cannot open ${path}: too many open files`);
    }
    let inode = this.#platter.names.get(path);
    if (mode === 'create') {
      if (inode !== undefined || this.#directories.has(path)) {
        throw new DiskError('EEXIST', path, `cannot create ${path}: it exists`);
      }
      this.requireDirectory(posix.dirname(path));
      inode = new Inode();
      this.#platter.change([[path, inode]]);
    }
    if (inode === undefined) throw new DiskError('ENOENT', path, `cannot open ${path}: no such file`);
    this.#openFiles++;
    return inode;
  }

  closed(generation: number): void {
    if (generation === this.#generation) this.#openFiles--;
  }

  read(inode: Inode, target: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(target.length, inode.seen.length - position));
    target.set(inode.seen.bytes.subarray(position, position + count));
    if (count > 0 && this.faults.readFlipChance > 0 && this.#random.chance(this.faults.readFlipChance)) {
      const at = this.#random.below(count);
      target[at] = (target[at] as number) ^ (1 << this.#random.below(8));
      this.injected.readFlip++;
    }
    return count;
  }

  write(inode: Inode, path: string, bytes: Uint8Array, position: number): void {
    let failure: DiskError | undefined;
    let length = bytes.length;
    try {
      this.mayFail('write', path);
    } catch (error) {
      // Any part may have reached the file before the error.
      failure = error as DiskError;
      length = this.#random.below(length + 1);
    }
    const room = this.capacityBytes - this.#platter.usedBytes;
    const growth = Math.max(0, position + length - inode.seen.length);
    if (growth > room) {
      length = Math.max(0, length - (growth - Math.max(0, room)));
      this.injected.full++;
      failure = new DiskError('ENOSPC', path, `cannot write ${path}: no space left`);
    }
    if (length > 0) {
      this.#platter.usedBytes += Math.max(0, position + length - inode.seen.length);
      // A copy also of a Buffer, whose `slice` is none.
      const copy = new Uint8Array(bytes.subarray(0, length));
      inode.seen.write(position, copy);
      inode.pending.push({ serial: ++this.#serial, position, bytes: copy });
    }
    if (failure !== undefined) throw failure;
  }

  truncate(inode: Inode, path: string, length: number): void {
    const growth = length - inode.seen.length;
    // A hole counts as used space here, where a real disk asks for it at the first write into the hole.
    if (growth > this.capacityBytes - this.#platter.usedBytes) {
      this.injected.full++;
      throw new DiskError('ENOSPC', path, `cannot truncate ${path}: no space left`);
    }
    this.#platter.usedBytes += growth;
    inode.seen.resize(length);
    inode.pending.push({ serial: ++this.#serial, position: length, bytes: undefined });
  }

  get serial(): number {
    return this.#serial;
  }

  /** Makes changes up to `serial` durable, or fails and loses some of them for good. */
  sync(inode: Inode, path: string, serial: number): void {
    try {
      this.mayFail('sync', path);
    } catch (error) {
      this.loseUnsynced(inode);
      throw error;
    }
    inode.settle(serial);
  }

  loseUnsynced(inode: Inode): void {
    keepSome(inode.durable, { changes: inode.pending, seenLength: inode.seen.length }, this.#random);
    inode.pending = [];
  }

  exists(path: string): boolean {
    return this.#platter.names.has(path) || this.#directories.has(path);
  }

  list(directory: string): string[] {
    this.requireDirectory(directory);
    const names: string[] = [];
    for (const path of [...this.#platter.names.keys(), ...this.#directories]) {
      if (path !== directory && posix.dirname(path) === directory) names.push(posix.basename(path));
    }
    return names.sort();
  }

  makeDirectory(path: string): void {
    if (this.#platter.names.has(path))
      throw new DiskError('EEXIST', path, `cannot make directory ${path}: it is a file`);
    for (let at = path; !this.#directories.has(at); at = posix.dirname(at)) this.#directories.add(at);
  }

  removeDirectory(path: string): void {
    this.requireDirectory(path);
    if (this.list(path).length > 0) throw new DiskError('OTHER', path, `cannot remove ${path}: it is not empty`);
    this.#directories.delete(path);
  }

  rename(from: string, to: string): void {
    if (this.#directories.has(from)) {
      this.#renameDirectory(from, to);
      return;
    }
    const inode = this.#existing(from, 'rename');
    this.requireDirectory(posix.dirname(to));
    if (from === to || this.#platter.names.get(to) === inode) return;
    this.#platter.change([
      [from, undefined],
      [to, inode],
    ]);
  }

  #renameDirectory(from: string, to: string): void {
    this.requireDirectory(posix.dirname(to));
    if (this.exists(to)) throw new DiskError('EEXIST', to, `cannot rename ${from} to ${to}: it exists`);
    for (const path of this.#directories) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.#directories.delete(path);
      this.#directories.add(to + path.slice(from.length));
    }
    this.#platter.renameDirectory(from, to);
  }

  link(from: string, to: string): void {
    const inode = this.#existing(from, 'link');
    this.requireDirectory(posix.dirname(to));
    if (this.exists(to)) throw new DiskError('EEXIST', to, `cannot link ${to}: it exists`);
    this.#platter.change([[to, inode]]);
  }

  unlink(path: string): void {
    this.#existing(path, 'remove');
    this.#platter.change([[path, undefined]]);
  }

  syncDirectory(path: string): void {
    this.requireDirectory(path);
    this.mayFail('sync', path);
    this.#platter.settleNames(path);
  }

  freeBytes(): number {
    return Math.max(0, Math.min(this.capacityBytes - this.#platter.usedBytes, Number.MAX_SAFE_INTEGER));
  }

  isCurrent(generation: number): boolean {
    return generation === this.#generation;
  }

  requireDirectory(path: string): void {
    if (!this.#directories.has(path)) throw new DiskError('ENOENT', path, `no such directory: ${path}`);
  }

  #existing(path: string, verb: string): Inode {
    const inode = this.#platter.names.get(path);
    if (inode === undefined) throw new DiskError('ENOENT', path, `cannot ${verb} ${path}: no such file`);
    return inode;
  }

  #failed(kind: OperationKind, path: string): DiskError {
    this.injected[`${kind}Error`]++;
    return new DiskError('EIO', path, `cannot ${kind} ${path}: injected I/O error`);
  }

  #crash(): void {
    if (this.#image !== undefined) return;
    this.#image = { platter: this.#platter.clone(), directories: new Set(this.#directories) };
    this.onCrash();
  }
}
