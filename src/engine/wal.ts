/**
 * The WAL: writes the groups of the arenas to files and says up to which sequence writes may be acknowledged. The
 * format of a file is the arena's (arena.ts).
 *
 * A file is used again and again under the same name (`wal-0000.log`, …): once its memtable is a table, the next
 * memtable overwrites it from the start. So in the steady state a write changes neither the length nor the blocks of a
 * file, and an fdatasync has no journal to wait for (ten times faster, measured); a file that is still growing is
 * extended with zeros a chunk ahead, which also turns a full disk into a refusal before anything was applied.
 *
 * `always`: one commit at a time writes and syncs whatever has gathered; while it runs, the next group grows.
 * `everysec`: the group is written when the turn ends and synced in the background each second; a sync that takes more than
 * two seconds is late, and whoever owns the WAL holds writers back until it is done. `no`: only written.
 *
 * Invariants:
 * - Bytes reach a file in order; `durable ≤ written ≤ secured`.
 * - `durableSequence` never exceeds what is written (synced, under `always`), and grows in order.
 * - After the first failed write or sync nothing is written, synced or acknowledged any more.
 */

import { assert, must } from '../assert.ts';
import type { Clock, Disk, DiskFile, Log, Timer, Timers } from '../env.ts';
import { DiskError } from '../env.ts';
import type { Arena } from './arena.ts';
import { groupFlag } from './arena.ts';
import { EngineError } from './engine-error.ts';
import type { FsyncPolicy } from './store.ts';

/** Zeros written ahead of the groups at a time, at most; small memtables are extended by what they hold. */
const EXTENSION_BYTES = 1 << 20;
const MIN_EXTENSION_BYTES = 1 << 12;

/** Free files kept for later memtables; more are removed. */
const MAX_FREE_FILES = 3;

const SYNC_INTERVAL_MS = 1000;

/** A background sync that takes longer holds writers back, as in Redis: what a power cut may cost stays bounded. */
const LATE_SYNC_US = 2_000_000;

export class WalFile {
  readonly file: DiskFile;
  readonly arena: Arena;
  /** Offset up to which the file's groups were handed to the operating system. */
  written = 0;
  /** Offset up to which they were synced. */
  durable = 0;
  /** Length of the file, all of it backed by blocks. */
  secured: number;

  constructor(file: DiskFile, arena: Arena, secured: number) {
    this.file = file;
    this.arena = arena;
    this.secured = secured;
  }
}

/** A closed group on its way to the disk. */
type Segment = { readonly walFile: WalFile; readonly end: number; readonly lastSequence: number };

export type WalOptions = {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly directory: string;
  readonly policy: FsyncPolicy;
  /** A free file that is longer is cut to this length. */
  readonly fileBytes: number;
  /** Called once, when the disk has failed for good. */
  readonly onFatal: (error: EngineError) => void;
};

export class Wal {
  durableSequence: number;
  /** Called whenever `durableSequence` has grown. */
  onDurable: () => void = () => {};
  /** `everysec`: the sync that is under way takes too long. */
  isLate = false;
  /** Called whenever `isLate` has changed. */
  onLate: () => void = () => {};
  /** Set once the disk has failed for good. */
  failure: EngineError | undefined;
  /** Counters for metrics. */
  groupCount = 0;
  writtenBytes = 0;
  syncCount = 0;
  syncMicroseconds = 0;
  syncMaxMicroseconds = 0;
  lateSyncCount = 0;

  readonly #options: WalOptions;
  readonly #zeros: Uint8Array;
  #policy: FsyncPolicy;
  /** Files of memtables that are not tables yet, oldest first; the last one is written to. */
  readonly #live: WalFile[] = [];
  readonly #free: DiskFile[] = [];
  readonly #taken = new Set<string>();
  /** A file was created whose name is not durable yet. */
  #hasNewName = false;
  #queue: Segment[] = [];
  #writeWaiters: { walFile: WalFile; resolve: () => void; reject: (error: unknown) => void }[] = [];
  #commit: Promise<void> | undefined;
  #sync: Promise<void> | undefined;
  #syncStartUs = 0;
  #timer: Timer | undefined;

  constructor(options: WalOptions, lastSequence: number) {
    this.#options = options;
    const extension = Math.min(EXTENSION_BYTES, Math.max(MIN_EXTENSION_BYTES, options.fileBytes));
    this.#zeros = new Uint8Array(extension & ~3);
    this.#policy = options.policy;
    this.durableSequence = lastSequence;
    this.#timer = options.timers.every(SYNC_INTERVAL_MS, () => this.#eachSecond());
  }

  /** Whether something waits for the end of the turn. */
  get hasOpenGroup(): boolean {
    const current = this.#live.at(-1);
    return current !== undefined && current.arena.groupStart !== 0;
  }

  get liveBytes(): number {
    let bytes = 0;
    for (const walFile of this.#live) bytes += walFile.arena.end;
    return bytes;
  }

  /** Takes over a file that recovery has read; its records are as durable as they will get. */
  adopt(file: DiskFile, arena: Arena): WalFile {
    const walFile = new WalFile(file, arena, file.size());
    walFile.written = arena.end;
    walFile.durable = arena.end;
    this.#live.push(walFile);
    this.#taken.add(file.path);
    return walFile;
  }

  /** Takes over a file without live records. */
  adoptFree(file: DiskFile): void {
    this.#taken.add(file.path);
    this.#free.push(file);
  }

  /** Makes sure that `start` finds a file. Throws a `DiskError`; nothing has changed then. */
  prepare(): void {
    const { disk, directory } = this.#options;
    if (this.#free.length === 0) {
      let slot = 0;
      while (this.#taken.has(walPath(directory, slot))) slot++;
      const path = walPath(directory, slot);
      this.#free.push(disk.open(path, 'create'));
      this.#taken.add(path);
      this.#hasNewName = true;
    }
    if (this.#hasNewName) disk.syncDirectory(directory);
    this.#hasNewName = false;
  }

  /** Starts the file of a new memtable. Requires: `prepare` before. */
  start(arena: Arena): WalFile {
    const file = must(this.#free.pop(), 'a prepared WAL file');
    arena.writeHeader();
    const walFile = new WalFile(file, arena, file.size());
    this.#live.push(walFile);
    return walFile;
  }

  /** Makes sure that the file has blocks up to `end`. Throws a `DiskError`; nothing has changed then. */
  secure(walFile: WalFile, end: number): void {
    while (walFile.secured < end) {
      walFile.file.writeSync(this.#zeros, walFile.secured);
      walFile.secured += this.#zeros.length;
    }
  }

  /** The memtable of this file is in tables, durably: its file may be overwritten. */
  release(walFile: WalFile): void {
    assert(
      this.#live[0] === walFile && this.#live.length > 1,
      'WAL files are released in order, never the current one',
    );
    this.#live.shift();
    const { disk, fileBytes, log } = this.#options;
    const file = walFile.file;
    try {
      if (this.#free.length < MAX_FREE_FILES) {
        if (walFile.secured > fileBytes + this.#zeros.length) file.truncate(fileBytes);
        this.#free.push(file);
        return;
      }
      file.close();
      disk.unlink(file.path);
      this.#taken.delete(file.path);
    } catch (error) {
      // The file stays behind without live records; the next open finds it and uses it again.
      log.warn('a WAL file could not be freed', { path: file.path, cause: String(error) });
    }
  }

  /** Closes the open group and hands it on. Called at the end of a turn. */
  endGroup(): void {
    if (this.#commit !== undefined) return;
    this.#closeGroup(0);
    if (this.#queue.length === 0 || this.failure !== undefined) return;
    if (this.#policy === 'always') {
      const commit = this.#commitAll();
      // When its first write failed it has ended already.
      if (this.failure === undefined) this.#commit = commit;
    } else if (this.#writeQueue()) {
      this.onDurable();
    }
  }

  /** The current file gets no more groups; the last one is written at the end of the turn. */
  endFile(): void {
    this.#closeGroup(0);
  }

  /** Resolves when no group of this file, which gets no more, waits to be written. Rejects when the disk has failed. */
  written(walFile: WalFile): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (walFile.written === walFile.arena.end) return Promise.resolve();
    return new Promise((resolve, reject) => this.#writeWaiters.push({ walFile, resolve, reject }));
  }

  #wakeWriteWaiters(): void {
    const waiters = this.#writeWaiters;
    if (waiters.length === 0) return;
    this.#writeWaiters = [];
    for (const { walFile, resolve, reject } of waiters) this.written(walFile).then(resolve, reject);
  }

  setPolicy(policy: FsyncPolicy): void {
    this.#policy = policy;
  }

  /** Resolves when everything up to now is synced, whatever the policy. */
  async syncAll(): Promise<void> {
    this.endGroup();
    while (this.#commit !== undefined) await this.#commit;
    while (this.#sync !== undefined) await this.#sync;
    await this.#syncWritten();
    if (this.failure !== undefined) throw this.failure;
  }

  /** Marks the end of the current file as clean, syncs and closes all files. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    try {
      await this.syncAll();
      const current = this.#live.at(-1);
      if (current !== undefined && current.written > 0) {
        current.arena.openGroup();
        this.#closeGroup(groupFlag.CLEAN_CLOSE);
        this.#writeQueue();
        await this.syncAll();
      }
    } finally {
      this.closeFiles();
    }
  }

  /** Closes the files as they are. */
  closeFiles(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const walFile of this.#live) walFile.file.close();
    for (const file of this.#free) file.close();
    this.#live.length = 0;
    this.#free.length = 0;
  }

  #closeGroup(flags: number): void {
    const walFile = this.#live.at(-1);
    if (walFile === undefined || walFile.arena.groupStart === 0) return;
    const arena = walFile.arena;
    const olderDurable = this.#live.every((each) => each === walFile || each.durable === each.arena.end);
    arena.closeGroup(walFile.durable, flags | (olderDurable ? groupFlag.OLDER_DURABLE : 0));
    this.groupCount++;
    this.#queue.push({ walFile, end: arena.end, lastSequence: arena.lastSequence });
  }

  /**
   * Writes what is queued, one write for neighbouring groups; where no sync is asked for, that is as durable as it
   * gets. False: it failed, for good.
   */
  #writeQueue(): boolean {
    const queue = this.#queue;
    try {
      for (let i = 0; i < queue.length; i++) {
        const { walFile, end, lastSequence } = queue[i] as Segment;
        if (queue[i + 1]?.walFile === walFile) continue;
        const from = walFile.written;
        this.secure(walFile, end);
        walFile.file.writeSync(walFile.arena.bytes.subarray(from, end), from);
        walFile.written = end;
        this.writtenBytes += end - from;
        if (this.#policy !== 'always') this.durableSequence = lastSequence;
      }
    } catch (error) {
      this.#fail(error);
      return false;
    }
    queue.length = 0;
    this.#wakeWriteWaiters();
    return true;
  }

  async #commitAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const lastSequence = (this.#queue.at(-1) as Segment).lastSequence;
      if (!this.#writeQueue()) break;
      await this.#syncWritten();
      if (this.failure !== undefined) break;
      this.durableSequence = lastSequence;
      this.onDurable();
      this.#closeGroup(0);
    }
    this.#commit = undefined;
  }

  /** Syncs every live file that has unsynced bytes, oldest first. A failure is final and does not reject. */
  async #syncWritten(): Promise<void> {
    const files = [...this.#live];
    for (const walFile of files) {
      const target = walFile.written;
      // One that was released while another was synced may be closed; its records are in tables, durably.
      if (walFile.durable === target || !this.#live.includes(walFile)) continue;
      const start = this.#options.clock.monotonicUs();
      try {
        await walFile.file.sync();
      } catch (error) {
        this.#fail(error);
        return;
      }
      const took = this.#options.clock.monotonicUs() - start;
      this.syncCount++;
      this.syncMicroseconds += took;
      this.syncMaxMicroseconds = Math.max(this.syncMaxMicroseconds, took);
      walFile.durable = Math.max(walFile.durable, target);
    }
  }

  #eachSecond(): void {
    const nowUs = this.#options.clock.monotonicUs();
    if (this.#policy !== 'everysec' || this.failure !== undefined) {
      this.#setLate(false);
    } else if (this.#sync !== undefined) {
      this.#setLate(nowUs - this.#syncStartUs >= LATE_SYNC_US);
    } else {
      this.#syncStartUs = nowUs;
      this.#sync = this.#syncWritten().finally(() => {
        this.#sync = undefined;
        this.#setLate(false);
      });
    }
  }

  #setLate(isLate: boolean): void {
    if (isLate === this.isLate) return;
    this.isLate = isLate;
    const ms = Math.round((this.#options.clock.monotonicUs() - this.#syncStartUs) / 1000);
    if (isLate) {
      this.lateSyncCount++;
      this.#options.log.warn('an fsync of the WAL takes long: writers wait until it is done', { ms });
    } else {
      this.#options.log.warn('writers go on', { ms });
    }
    this.onLate();
  }

  /** Nothing is written or acknowledged from here on. */
  stop(failure: EngineError): void {
    this.failure ??= failure;
    this.#wakeWriteWaiters();
  }

  #fail(cause: unknown): void {
    if (this.failure !== undefined) return;
    const what = cause instanceof DiskError ? cause.message : String(cause);
    this.failure = new EngineError('io', `the WAL cannot be made durable: ${what}`, cause);
    this.#options.log.error('the WAL cannot be made durable; nothing is acknowledged any more', { cause: what });
    this.#wakeWriteWaiters();
    this.#options.onFatal(this.failure);
  }
}

function walPath(directory: string, slot: number): string {
  return `${directory}/wal-${String(slot).padStart(4, '0')}.log`;
}

/** Whether a file name is a WAL's. */
export function isWalName(name: string): boolean {
  return /^wal-\d{4,}\.log$/.test(name);
}
