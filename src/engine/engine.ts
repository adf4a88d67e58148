/**
 * The engine: the one door to the folder. It appends batches to the memtable, commits them through the WAL, looks keys
 * up, opens cursors, and sees to it that memtables become tables.
 *
 * Invariants:
 * - Memtables are in order: every record of a frozen one is older than every record of the next.
 * - `durableSequence ≤ lastSequence`; both only grow.
 * - A batch is in exactly one group of exactly one WAL, so it is there whole after a crash or not at all.
 */

import { assert, must } from '../assert.ts';
import type { Clock, Disk, Log, Random, Threads, Timers } from '../env.ts';
import { DiskError } from '../env.ts';
import { Arena, GROUP_HEADER_BYTES } from './arena.ts';
import { MergeCursor } from './cursor.ts';
import type { Covering } from './cursor.ts';
import { EngineError } from './engine-error.ts';
import { answer, arenaCapacity, Memtable } from './memtable.ts';
import type { HashSecret } from './memtable.ts';
import { MemtableSource } from './memtable-source.ts';
import { readWals } from './recovery.ts';
import { kind, recordAt } from './record.ts';
import type { Source } from './source.ts';
import { lookup } from './store.ts';
import type {
  Batch,
  Cursor,
  CursorOptions,
  Found,
  FsyncPolicy,
  Lookup,
  Refusal,
  Snapshot,
  Store,
  StoreHooks,
} from './store.ts';
import { Wal } from './wal.ts';
import type { WalFile } from './wal.ts';
import { WriteBatch } from './write-batch.ts';

export type EngineOptions = {
  /** Bytes of records after which a memtable is frozen and written out. */
  readonly memtableBytes: number;
  readonly fsync: FsyncPolicy;
};

export const defaultEngineOptions: EngineOptions = {
  memtableBytes: 64 << 20,
  fsync: 'everysec',
};

export type EngineOpen = {
  readonly disk: Disk;
  readonly threads: Threads;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** Made when it is not there. */
  readonly directory: string;
  readonly options?: Partial<EngineOptions>;
  readonly hooks?: StoreHooks;
  /** Called once when the disk has failed for good: nothing is acknowledged any more, the process should end. */
  readonly onFatal?: (error: EngineError) => void;
};

/** A memtable and the WAL that holds the same records. */
type Generation = { readonly memtable: Memtable; readonly walFile: WalFile };

const CLOSING: Refusal = { code: 'closing', message: 'the store is closing' };

export class Engine implements Store {
  lastSequence: number;
  writeDelayMs = 0;
  refusal: Refusal | undefined;

  readonly #env: EngineOpen;
  readonly #options: EngineOptions;
  readonly #secret: HashSecret;
  readonly #wal: Wal;
  #memtable: Memtable;
  #walFile: WalFile;
  /** Oldest first. */
  readonly #frozen: Generation[];
  #turnEndAsked = false;
  readonly #turnEnd = (): void => this.flushGroup();
  readonly #listeners = new Set<() => void>();
  /** Sequences that snapshots and cursors look at, with how many of them do. */
  readonly #pinned = new Map<number, number>();
  #closed = false;

  /** Opens the store in `directory`. Rejects with an `EngineError` or a `DiskError`. */
  static async open(env: EngineOpen): Promise<Engine> {
    const options = { ...defaultEngineOptions, ...env.options };
    env.disk.makeDirectory(env.directory);
    const { wals, free } = await readWals({
      disk: env.disk,
      log: env.log,
      directory: env.directory,
      oldestNumber: 0,
      firstSequence: 1,
      arenaBytes: arenaCapacity(options.memtableBytes, 0),
    });
    const wal = openWal(env, options, wals.at(-1)?.arena.lastSequence ?? 0);
    for (const file of free) wal.adoptFree(file);
    const secret = newSecret(env.random);
    const generations: Generation[] = [];
    try {
      for (const { file, arena } of wals) {
        const memtable = new Memtable(arena, options.memtableBytes, secret);
        memtable.indexReplayed(replayer(arena, env.hooks));
        generations.push({ memtable, walFile: wal.adopt(file, arena) });
      }
      const last = generations.at(-1);
      if (last === undefined || !last.memtable.hasRoom(0, 0)) {
        const number = (last?.memtable.arena.number ?? 0) + 1;
        generations.push(startGeneration(wal, options, secret, env.random, number, wal.durableSequence + 1, 0));
      }
    } catch (error) {
      wal.closeFiles();
      throw error;
    }
    return new Engine(env, options, secret, wal, generations);
  }

  private constructor(
    env: EngineOpen,
    options: EngineOptions,
    secret: HashSecret,
    wal: Wal,
    generations: readonly Generation[],
  ) {
    this.#env = env;
    this.#options = options;
    this.#secret = secret;
    this.#wal = wal;
    wal.onDurable = () => this.#announce();
    this.lastSequence = wal.durableSequence;
    const active = must(generations.at(-1), 'an active memtable');
    this.#memtable = active.memtable;
    this.#walFile = active.walFile;
    this.#frozen = generations.slice(0, -1);
  }

  get durableSequence(): number {
    return this.#wal.durableSequence;
  }

  get(key: Uint8Array, keyLength: number, found: Found): Lookup {
    const first = this.#memtable.get(key, keyLength, found);
    if (first !== answer.UNKNOWN) return first;
    const frozen = this.#frozen;
    for (let i = frozen.length - 1; i >= 0; i--) {
      const older = (frozen[i] as Generation).memtable.get(key, keyLength, found);
      if (older !== answer.UNKNOWN) return older;
    }
    found.sequence = 0;
    return lookup.ABSENT;
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
    return lookup.ABSENT;
  }

  fetch(_key: Uint8Array): Promise<void> {
    return Promise.resolve();
  }

  newBatch(): Batch {
    return new WriteBatch();
  }

  write(batch: Batch): number {
    if (this.refusal !== undefined) this.#refuse(this.refusal);
    assert(batch instanceof WriteBatch, 'a batch made by newBatch');
    if (batch.count === 0) return this.lastSequence;
    if (!this.#memtable.hasRoom(batch.byteLength, batch.count)) this.#makeRoom(batch);
    const memtable = this.#memtable;
    const end = memtable.arena.end + GROUP_HEADER_BYTES + batch.byteLength;
    if (end > this.#walFile.secured) this.#secure(end);
    memtable.append(batch);
    this.lastSequence += batch.count;
    if (!this.#turnEndAsked) {
      this.#turnEndAsked = true;
      this.#env.timers.atTurnEnd(this.#turnEnd);
    }
    return this.lastSequence;
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
    this.#frozen.push({ memtable: this.#memtable, walFile: this.#walFile });
    const number = this.#memtable.arena.number + 1;
    const first = this.lastSequence + 1;
    const options = this.#options;
    const next = startGeneration(this.#wal, options, this.#secret, this.#env.random, number, first, nextBatchBytes);
    this.#memtable = next.memtable;
    this.#walFile = next.walFile;
  }

  #appendFreezeRecords(): void {
    const onFreeze = this.#env.hooks?.onFreeze;
    if (onFreeze === undefined) return;
    const batch = new WriteBatch();
    onFreeze.call(this.#env.hooks, batch);
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
    const sources: Source[] = [];
    const covering: Covering[] = [];
    for (const memtable of this.#memtablesUpTo(limit)) {
      const timers = this.#env.timers;
      if (memtable.keyCount > 0) sources.push(new MemtableSource({ memtable, timers, limit, reverse, lower, upper }));
      if (memtable.rangeDeletes.length > 0) covering.push(memtable);
    }
    this.#pin(limit);
    const onClose = (): void => this.#unpin(limit);
    return new MergeCursor({ sources, covering, limit, lower, upper, reverse, onClose });
  }

  /** Memtables with records that `limit` may see, newest first. */
  #memtablesUpTo(limit: number): Memtable[] {
    const memtables = [this.#memtable];
    for (let i = this.#frozen.length - 1; i >= 0; i--) memtables.push((this.#frozen[i] as Generation).memtable);
    return memtables.filter((memtable) => memtable.firstSequence <= limit);
  }

  snapshot(): Snapshot {
    const sequence = this.lastSequence;
    this.#pin(sequence);
    let released = false;
    const release = (): void => {
      if (!released) this.#unpin(sequence);
      released = true;
    };
    return { sequence, release };
  }

  #pin(sequence: number): void {
    this.#pinned.set(sequence, (this.#pinned.get(sequence) ?? 0) + 1);
  }

  #unpin(sequence: number): void {
    const left = must(this.#pinned.get(sequence), 'a pinned sequence') - 1;
    if (left === 0) this.#pinned.delete(sequence);
    else this.#pinned.set(sequence, left);
  }

  async flush(): Promise<void> {
    await this.#wal.syncAll();
  }

  checkpoint(_directory: string): Promise<void> {
    return Promise.reject(new EngineError('refused', 'checkpoints need tables'));
  }

  async compact(): Promise<void> {
    await this.flush();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.refusal = CLOSING;
    await this.#wal.close();
  }

  metrics(): Readonly<Record<string, number>> {
    const wal = this.#wal;
    return {
      memtable_bytes: this.#memtable.arena.end,
      memtables_frozen: this.#frozen.length,
      wal_bytes: wal.liveBytes,
      wal_written_bytes: wal.writtenBytes,
      wal_groups: wal.groupCount,
      wal_syncs: wal.syncCount,
      wal_sync_us: wal.syncMicroseconds,
      wal_sync_max_us: wal.syncMaxMicroseconds,
      snapshots: this.#pinned.size,
      last_sequence: this.lastSequence,
      durable_sequence: this.durableSequence,
    };
  }
}

function openWal(env: EngineOpen, options: EngineOptions, lastSequence: number): Wal {
  return new Wal(
    {
      disk: env.disk,
      clock: env.clock,
      timers: env.timers,
      log: env.log,
      directory: env.directory,
      policy: options.fsync,
      fileBytes: arenaCapacity(options.memtableBytes, 0),
      onFatal: (error) => env.onFatal?.(error),
    },
    lastSequence,
  );
}

function startGeneration(
  wal: Wal,
  options: EngineOptions,
  secret: HashSecret,
  random: Random,
  number: number,
  firstSequence: number,
  firstBatchBytes: number,
): Generation {
  const capacity = arenaCapacity(options.memtableBytes, firstBatchBytes);
  const arena = new Arena(capacity, number, viewOf(random.bytes(4)).getUint32(0), firstSequence);
  wal.prepare();
  return { memtable: new Memtable(arena, options.memtableBytes, secret), walFile: wal.start(arena) };
}

function newSecret(random: Random): HashSecret {
  const bytes = viewOf(random.bytes(8));
  return { seed: bytes.getUint32(0), multiplier: bytes.getUint32(4) };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** What tells the owner of the store of each replayed record. */
function replayer(arena: Arena, hooks: StoreHooks | undefined): (offset: number) => void {
  const onReplay = hooks?.onReplay?.bind(hooks);
  if (onReplay === undefined) return () => {};
  return (offset) => {
    const record = recordAt(arena.words, offset);
    if (record.kind === kind.DELETE_RANGE) return;
    const key = arena.bytes.subarray(record.keyStart, record.keyEnd);
    onReplay(key, record.kind === kind.PUT ? arena.bytes.subarray(record.keyEnd, record.valueEnd) : undefined);
  };
}
