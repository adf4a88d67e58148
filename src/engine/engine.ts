/**
 * The engine: the one door to the folder. It appends batches to the memtable, commits them through the WAL, looks keys
 * up, opens cursors, and sees to it that memtables become tables.
 *
 * Invariants:
 * - Every record of a frozen memtable is older than every record of the next; those of tables are older still.
 * - `durableSequence ≤ lastSequence`; both only grow.
 * - A batch is in exactly one group of exactly one WAL, so it is there whole after a crash or not at all.
 * - What a snapshot or cursor can see survives flushes and compactions until it is released.
 */

import { assert, must } from '../assert.ts';
import type { Timer } from '../env.ts';
import { DiskError } from '../env.ts';
import { GROUP_HEADER_BYTES } from './arena.ts';
import type { ArenaPool } from './arena-pool.ts';
import { writeCheckpoint } from './checkpoint.ts';
import { MergeCursor } from './cursor.ts';
import { EngineError } from './engine-error.ts';
import { engineMetrics } from './engine-metrics.ts';
import { openManifestOf, openStore, startGeneration } from './engine-open.ts';
import type { OpenedStore } from './engine-open.ts';
import { engineOptions } from './engine-options.ts';
import type { EngineOpen, EngineOptions } from './engine-options.ts';
import { FlushedMemtables } from './flushed-memtables.ts';
import { ExpectedHashes } from './expected-hashes.ts';
import { Flusher } from './flusher.ts';
import type { Generation } from './flusher.ts';
import { manifestFailure } from './manifest.ts';
import type { ManifestStore } from './manifest.ts';
import { answer } from './memtable.ts';
import type { HashSecret, Memtable } from './memtable.ts';
import { MemtableSource } from './memtable-source.ts';
import { NO_RECORDS } from './merge-iterator.ts';
import { Pins } from './pins.ts';
import type { Source } from './source.ts';
import type { Batch, Cursor, CursorOptions, Found, FsyncPolicy, Lookup, Refusal, Snapshot, Store } from './store.ts';
import { lookup } from './store.ts';
import { Tree } from './tree.ts';
import type { Wal, WalFile } from './wal.ts';
import { WriteBatch } from './write-batch.ts';
import { stallOf } from './write-stall.ts';

/** How often free space is looked at. */
const SPACE_INTERVAL_MS = 1000;

/** A full disk takes writes again with so many times the reserve, lest every table that comes and goes change it. */
const RESUME_FACTOR = 1.25;

/** Part of the reserve that deletions may use on a full disk. */
const FREEING_PART = 1 / 8;

/** Part of a memtable that is filled when the memory of the one flushed before it is made ready for the next. */
const DROP_FLUSHED_PART = 3 / 4;

/** As a limit of sequences: the present. */
const PRESENT = Number.MAX_SAFE_INTEGER;

const CLOSING: Refusal = { code: 'closing', message: 'the store is closing' };
const DISK_FULL: Refusal = { code: 'disk-full', message: 'the disk is full' };
const OVERLOADED: Refusal = { code: 'overloaded', message: 'the disk does not keep up with the writes' };
const LATE: Refusal = { code: 'overloaded', message: 'the disk has not finished an fsync for two seconds' };

export class Engine implements Store {
  lastSequence: number;
  writeCount = 0;
  writeDelayMs = 0;
  refusal: Refusal | undefined;

  readonly #env: EngineOpen;
  readonly #options: EngineOptions;
  readonly #secret: HashSecret;
  readonly #pool: ArenaPool;
  readonly #flushed: FlushedMemtables;
  /** A memtable that has grown to here will soon want the memory of the one flushed before it. */
  readonly #dropFlushedBytes: number;
  readonly #expected = new ExpectedHashes();
  readonly #manifest: ManifestStore;
  readonly #wal: Wal;
  readonly #tree: Tree;
  readonly #flusher: Flusher;
  /** Memtables on their way to tables, oldest first. */
  readonly #frozen: readonly Generation[];
  #memtable: Memtable;
  #walFile: WalFile;
  #turnEndAsked = false;
  readonly #turnEnd = (): void => this.flushGroup();
  readonly #listeners = new Set<() => void>();
  readonly #pins = new Pins();
  /** Sequences at which a `getAt` has missed, for the `fetch` that follows. */
  readonly #missedAt = new Set<number>();
  readonly #spaceCheck: Timer;
  #isDiskFull = false;
  /** Bytes that were taken on a full disk, since it is full, and whether some of them are not on their way to a table. */
  #reserveUsed = 0;
  #freesAwaitFlush = false;
  #stallStartUs = 0;
  #stallUs = 0;
  #userBytes = 0;
  #closing: Promise<void> | undefined;

  /** Opens the store in `directory`. Rejects with an `EngineError` or a `DiskError`. */
  static async open(env: EngineOpen): Promise<Engine> {
    const options = engineOptions(env.options);
    return new Engine(env, options, await openStore(env, options));
  }

  private constructor(env: EngineOpen, options: EngineOptions, opened: OpenedStore) {
    const { wal, manifest, generations } = opened;
    this.#env = env;
    this.#options = options;
    this.#secret = opened.secret;
    this.#pool = opened.pool;
    this.#flushed = new FlushedMemtables(opened.pool, env.timers);
    this.#dropFlushedBytes = options.memtableBytes * DROP_FLUSHED_PART;
    this.#manifest = manifest;
    this.#wal = wal;
    wal.onDurable = () => this.#announce();
    wal.onLate = () => this.#weigh();
    this.lastSequence = wal.durableSequence;
    const onChange = (): void => this.#weigh();
    const onFull = (error: unknown): void => this.#noteFull(error);
    this.#tree = new Tree({
      ...options,
      disk: env.disk,
      threads: env.threads,
      clock: env.clock,
      timers: env.timers,
      log: env.log,
      directory: env.directory,
      manifest,
      threadModule: env.rules?.moduleUrl ?? DEFAULT_THREAD_MODULE,
      filterState: () => env.rules?.filterState?.(),
      prefix: env.rules?.prefix,
      pinned: () => this.#pins.sequences(),
      onChange,
      onFull,
      onFatal: (error) => this.#fail(error),
    });
    this.#flusher = new Flusher({
      tree: this.#tree,
      wal,
      timers: env.timers,
      log: env.log,
      onFlushed: (memtable) => this.#flushed.add(memtable),
      onChange,
      onFull,
    });
    this.#frozen = this.#flusher.queue;
    const active = must(generations.at(-1), 'an active memtable');
    this.#memtable = active.memtable;
    this.#walFile = active.walFile;
    for (const frozen of generations.slice(0, -1)) this.#flusher.add(frozen);
    this.#spaceCheck = env.timers.every(SPACE_INTERVAL_MS, () => this.#checkSpace());
    this.#tree.compactIfDue();
  }

  get durableSequence(): number {
    return this.#wal.durableSequence;
  }

  get(key: Uint8Array, keyLength: number, found: Found): Lookup {
    const memtable = this.#memtable;
    const hash = memtable.hash(key, 0, keyLength);
    const first = memtable.getHashed(hash, key, keyLength, found);
    if (first !== answer.UNKNOWN) return first;
    return this.#getOlder(hash, key, keyLength, found);
  }

  /** Looks where the active memtable has nothing. All memtables hash alike. */
  #getOlder(hash: number, key: Uint8Array, keyLength: number, found: Found): Lookup {
    const frozen = this.#frozen;
    for (let i = frozen.length - 1; i >= 0; i--) {
      const older = (frozen[i] as Generation).memtable.getHashed(hash, key, keyLength, found);
      if (older !== answer.UNKNOWN) return older;
    }
    const flushed = this.#flushed.newest;
    const said = flushed === undefined ? answer.UNKNOWN : flushed.getHashed(hash, key, keyLength, found);
    found.sequence = 0;
    if (said !== answer.UNKNOWN) return said;
    return this.#tree.versions.current.get(key, keyLength, PRESENT, found);
  }

  getAt(snapshot: Snapshot, key: Uint8Array, keyLength: number, found: Found): Lookup {
    const limit = snapshot.sequence;
    const first = this.#memtable.getAt(limit, key, keyLength, found);
    if (first !== answer.UNKNOWN) return first;
    const frozen = this.#frozen;
    for (let i = frozen.length - 1; i >= 0; i--) {
      const older = (frozen[i] as Generation).memtable.getAt(limit, key, keyLength, found);
      if (older !== answer.UNKNOWN) return older;
    }
    found.sequence = 0;
    const said = this.#tree.versions.current.get(key, keyLength, limit, found);
    if (said === lookup.MISS) this.#missedAt.add(limit);
    return said;
  }

  async fetch(key: Uint8Array): Promise<void> {
    const limits = [...this.#missedAt];
    this.#missedAt.clear();
    const { versions } = this.#tree;
    const reader = versions.retain();
    try {
      await reader.fetch(key, PRESENT);
      for (const limit of limits) await reader.fetch(key, limit);
    } finally {
      versions.release(reader);
    }
  }

  expect(key: Uint8Array, keyLength: number): void {
    this.#expected.add(this.#memtable.hash(key, 0, keyLength));
  }

  touchExpected(): void {
    const expected = this.#expected;
    if (this.#memtable.touch(expected)) {
      const older = this.#frozen.at(-1)?.memtable ?? this.#flushed.newest;
      older?.touch(expected);
    }
    expected.clear();
  }

  keepFound(): () => void {
    const blocks = this.#tree.cache.blocks;
    const flushed = this.#flushed;
    blocks.keep();
    flushed.keep();
    let isKept = true;
    return () => {
      if (!isKept) return;
      isKept = false;
      blocks.unkeep();
      flushed.unkeep();
    };
  }

  newBatch(): Batch {
    return new WriteBatch();
  }

  write(batch: Batch, frees = false): number {
    if (this.refusal !== undefined && !(frees && this.#takesFromReserve(batch.byteLength))) this.#refuse(this.refusal);
    assert(batch instanceof WriteBatch, 'a batch made by newBatch');
    if (batch.count === 0) return this.lastSequence;
    if (!this.#memtable.hasRoom(batch.byteLength, batch.count)) this.#makeRoom(batch);
    const memtable = this.#memtable;
    const end = memtable.arena.end + GROUP_HEADER_BYTES + batch.byteLength;
    if (end > this.#walFile.secured) this.#secure(end);
    this.lastSequence += memtable.append(batch, this.#pins.newest);
    this.writeCount++;
    this.#userBytes += batch.byteLength;
    if (!this.#turnEndAsked) {
      this.#turnEndAsked = true;
      this.#env.timers.atTurnEnd(this.#turnEnd);
    }
    return this.lastSequence;
  }

  /** On a full disk: whether so many bytes may go to what frees space. */
  #takesFromReserve(bytes: number): boolean {
    const isWithin = this.#reserveUsed + bytes <= this.#options.diskReserveBytes * FREEING_PART;
    if (this.refusal?.code !== 'disk-full' || !isWithin) return false;
    this.#reserveUsed += bytes;
    this.#freesAwaitFlush = true;
    return true;
  }

  #refuse(refusal: Refusal): never {
    throw new EngineError(refusal.code === 'closing' ? 'closed' : 'refused', refusal.message);
  }

  /** Freezes the memtable and starts one that takes this batch. */
  #makeRoom(batch: WriteBatch): void {
    if (this.#memtable.arena.recordCount > 0) this.#freeze(batch.byteLength);
  }

  /** On a full disk nothing has changed when this throws. */
  #freeze(nextBatchBytes: number): void {
    this.#onDisk(() => this.#wal.prepare());
    this.#appendFreezeRecords();
    this.#wal.endFile();
    const frozen: Generation = { memtable: this.#memtable, walFile: this.#walFile };
    const next = startGeneration({
      wal: this.#wal,
      pool: this.#pool,
      options: this.#options,
      secret: this.#secret,
      random: this.#env.random,
      number: this.#memtable.arena.number + 1,
      firstSequence: this.lastSequence + 1,
      firstBatchBytes: nextBatchBytes,
      expectedKeys: this.#memtable.keyCount,
    });
    this.#memtable = next.memtable;
    this.#walFile = next.walFile;
    this.#flusher.add(frozen);
    this.#weigh();
  }

  #appendFreezeRecords(): void {
    const hooks = this.#env.hooks;
    if (hooks?.onFreeze === undefined) return;
    const batch = new WriteBatch();
    hooks.onFreeze(batch);
    if (batch.count === 0) return;
    this.#secure(this.#memtable.arena.end + GROUP_HEADER_BYTES + batch.byteLength);
    this.#memtable.append(batch);
    this.lastSequence += batch.count;
  }

  #secure(end: number): void {
    this.#onDisk(() => this.#wal.secure(this.#walFile, end));
  }

  /** Runs a preparation for a write; a full disk becomes a refusal. */
  #onDisk(prepare: () => void): void {
    try {
      prepare();
    } catch (error) {
      if (!(error instanceof DiskError) || error.code !== 'ENOSPC') throw error;
      this.#noteFull(error);
      throw new EngineError('refused', `the disk is full: ${error.message}`, error);
    }
  }

  /**
   * Writes what this turn has written to the WAL now rather than at the end of the turn. Unless fsync is `always`, it
   * is acknowledgeable when this returns.
   */
  flushGroup(): void {
    this.#turnEndAsked = false;
    this.#wal.endGroup();
    if (this.#memtable.arena.end > this.#dropFlushedBytes) this.#flushed.dropNewest();
  }

  #announce(): void {
    for (const listener of this.#listeners) listener();
  }

  onDurable(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  setFsyncPolicy(policy: FsyncPolicy): void {
    this.#wal.setPolicy(policy);
  }

  cursor(options: CursorOptions): Cursor {
    const limit = options.snapshot?.sequence ?? this.lastSequence;
    const reverse = options.reverse === true;
    const { lower, upper } = options;
    const { timers } = this.#env;
    const sources: Source[] = [];
    const memtables = this.#memtablesUpTo(limit);
    for (const memtable of memtables) {
      if (memtable.keyCount > 0) sources.push(new MemtableSource({ memtable, timers, limit, reverse, lower, upper }));
    }
    const { versions } = this.#tree;
    const reader = versions.retain();
    const tables = reader.source({ sequence: limit, reverse, lower, upper });
    if (tables !== NO_RECORDS) sources.push(tables);
    this.#pins.add(limit);
    for (const memtable of memtables) memtable.readers++;
    return new MergeCursor({
      sources,
      // Range deletes in tables are seen to by their source, and nothing older is merged with it.
      covering: memtables.filter((memtable) => memtable.rangeDeletes.length > 0),
      limit,
      lower,
      upper,
      reverse,
      mostPassed: options.mostPassed ?? Infinity,
      rest: () => new Promise((resolve) => timers.atTurnEnd(resolve)),
      onClose: () => {
        this.#pins.remove(limit);
        versions.release(reader);
        for (const memtable of memtables) {
          memtable.readers--;
          this.#flushed.reclaim(memtable);
        }
      },
    });
  }

  /** Memtables with records that `limit` may see, newest first. */
  #memtablesUpTo(limit: number): Memtable[] {
    const memtables = [this.#memtable];
    for (let i = this.#frozen.length - 1; i >= 0; i--) memtables.push((this.#frozen[i] as Generation).memtable);
    return memtables.filter((memtable) => memtable.firstSequence <= limit);
  }

  snapshot(): Snapshot {
    const sequence = this.lastSequence;
    this.#pins.add(sequence);
    let released = false;
    const release = (): void => {
      if (!released) this.#pins.remove(sequence);
      released = true;
    };
    return { sequence, release };
  }

  /** A small named value that survives with the data, as of the last change that is durable. */
  getValue(name: string): Uint8Array | undefined {
    return this.#manifest.getValue(name);
  }

  /**
   * Sets a named value (at most 1 MiB); durable once resolved. Rejects with a `DiskError` ENOSPC when the disk is full: it
   * may be tried again. Any other rejection is final, as for a change of the tables, and `onFatal` is called.
   */
  async setValue(name: string, value: Uint8Array): Promise<void> {
    try {
      await this.#manifest.setValue(name, value);
    } catch (error) {
      const isFull = error instanceof DiskError && error.code === 'ENOSPC';
      if (!isFull && this.#closing === undefined) this.#fail(manifestFailure(error));
      throw error;
    }
  }

  async flush(): Promise<void> {
    if (this.#memtable.arena.recordCount > 0) this.#freeze(0);
    this.flushGroup();
    await this.#flusher.drained();
    this.#flushed.dropNewest();
  }

  async compact(): Promise<void> {
    await this.flush();
    await this.#tree.compactAll();
  }

  async checkpoint(target: string): Promise<void> {
    await this.flush();
    const { versions } = this.#tree;
    const { state } = this.#manifest;
    const reader = versions.retain();
    try {
      await writeCheckpoint({
        disk: this.#env.disk,
        timers: this.#env.timers,
        directory: this.#env.directory,
        target,
        version: reader.version,
        state,
        values: this.#copiedValues(),
        openManifest: openManifestOf(this.#env),
      });
    } finally {
      versions.release(reader);
    }
  }

  #copiedValues(): Map<string, Uint8Array> {
    const values = new Map<string, Uint8Array>();
    for (const name of this.#env.copiedValues ?? []) {
      const value = this.#manifest.getValue(name);
      if (value !== undefined) values.set(name, value);
    }
    return values;
  }

  #checkSpace(): void {
    let free: number;
    try {
      free = this.#env.disk.freeBytes(this.#env.directory);
    } catch (error) {
      this.#env.log.warn('free space cannot be told', { cause: String(error) });
      return;
    }
    const isFull = free < this.#options.diskReserveBytes * (this.#isDiskFull ? RESUME_FACTOR : 1);
    if (isFull && this.#freesAwaitFlush) this.#flushWhatFrees();
    if (isFull === this.#isDiskFull) return;
    this.#isDiskFull = isFull;
    this.#reserveUsed = 0;
    this.#env.log.warn(isFull ? 'the disk is full: writes are refused' : 'the disk has space again', { free });
    if (!isFull) this.#flusher.retry();
    this.#weigh();
  }

  /** Deletions free space only once they are in tables, and on a full disk the memtable may never fill up. */
  #flushWhatFrees(): void {
    this.#freesAwaitFlush = false;
    this.flush().catch((error: unknown) => {
      this.#env.log.warn('deletions wait for space to be written out', { cause: String(error) });
    });
  }

  /** The disk refused something for want of space. Writes wait until the next look at it. */
  #noteFull(error: unknown): void {
    if (!(error instanceof DiskError) || error.code !== 'ENOSPC' || this.#isDiskFull) return;
    this.#isDiskFull = true;
    this.#env.log.warn('the disk is full: writes are refused', { cause: error.message });
    this.#weigh();
  }

  /** Decides anew whether and how fast writes are taken. */
  #weigh(): void {
    // Around a damaged table some of level 0 has to stay: holding writers back for that would bring nothing.
    const { level0Backlog, debtBytes } = this.#tree;
    const { delayMs, stop } = stallOf(this.#frozen.length, level0Backlog, debtBytes, this.#options.stall);
    const nowUs = this.#env.clock.monotonicUs();
    if (this.#isHeld) this.#stallUs += nowUs - this.#stallStartUs;
    this.#stallStartUs = nowUs;
    this.writeDelayMs = delayMs;
    if (this.#closing !== undefined) this.refusal = CLOSING;
    else if (this.#isDiskFull) this.refusal = DISK_FULL;
    else if (this.#wal.isLate) this.refusal = LATE;
    else this.refusal = stop ? OVERLOADED : undefined;
  }

  /** Writers wait, for the disk to keep up. */
  get #isHeld(): boolean {
    return this.writeDelayMs > 0 || this.refusal?.code === 'overloaded';
  }

  /** The manifest can no longer be changed: as after a failed WAL write, nothing is acknowledged any more. */
  #fail(error: EngineError): void {
    if (this.#wal.failure !== undefined) return;
    this.#wal.stop(error);
    this.#env.onFatal?.(error);
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    this.#spaceCheck.cancel();
    this.refusal = CLOSING;
    try {
      await this.#flushForClose();
      await this.#flusher.close();
      await this.#tree.close();
    } finally {
      await this.#wal.close();
    }
  }

  /** What is not flushed stays in the WAL, so a failure here costs time at the next open and nothing else. */
  async #flushForClose(): Promise<void> {
    if (this.#wal.failure !== undefined || this.#isDiskFull) return;
    try {
      if (this.#memtable.arena.end > this.#options.closeFlushBytes) await this.flush();
      else await this.#flusher.drained();
    } catch (error) {
      this.#env.log.warn('a memtable stays in the WAL', { cause: String(error) });
    }
  }

  metrics(): Readonly<Record<string, number>> {
    const since = this.#isHeld ? this.#env.clock.monotonicUs() - this.#stallStartUs : 0;
    return engineMetrics({
      tree: this.#tree,
      wal: this.#wal,
      frozen: this.#frozen,
      memtable: this.#memtable,
      userBytes: this.#userBytes,
      stallUs: this.#stallUs + since,
      writeDelayMs: this.writeDelayMs,
      pins: this.#pins.count,
      lastSequence: this.lastSequence,
    });
  }
}

/** The module beside this one, built or not. */
const DEFAULT_THREAD_MODULE = import.meta.url.replace(/engine(\.\w+)$/, 'engine-thread$1');
