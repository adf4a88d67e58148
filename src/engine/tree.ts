/**
 * The tables of the store and the work on them: flushes make tables of level 0, compactions move them down. Both run in
 * threads on files; here is decided what runs next, and what they made becomes a version.
 *
 * Invariants:
 * - What readers see (`versions.current`) is what the manifest says durably, or older by edits that are under way.
 * - A file number is given out once; the manifest knows a larger one before a table with that number counts.
 * - At most one flush and one compaction run at a time; the tables of the compaction are in `#busy`.
 * - After a manifest change that failed nothing is changed any more, unless it was for want of space.
 */

import { must } from '../assert.ts';
import { DiskError } from '../env.ts';
import type { Clock, Disk, Log, Thread, Threads, Timers } from '../env.ts';
import { compactionNumbers } from './compaction.ts';
import type { CompactJob } from './compaction.ts';
import { debtBytes, deadTables, level0Backlog, pickCompaction, pickWholeLevel } from './compaction-picker.ts';
import type { Choice, PickerInput, PickerOptions } from './compaction-picker.ts';
import { EngineError } from './engine-error.ts';
import type { EngineJob, EngineResult, ResultOf } from './engine-thread.ts';
import { FLUSH_TABLE_BYTES, flushNumbers } from './flush.ts';
import { manifestFailure } from './manifest.ts';
import type { ManifestStore } from './manifest.ts';
import type { Memtable } from './memtable.ts';
import { tablePath } from './sstable-format.ts';
import { formatOfLevel } from './sstable-writer.ts';
import type { KeyPrefix, TableFormat } from './sstable-writer.ts';
import { TableCache } from './table-cache.ts';
import { fromWire, toWire } from './table-wire.ts';
import { LEVELS } from './version.ts';
import type { VersionEdit } from './version.ts';
import { VersionSet } from './version-set.ts';

/** A compaction is cut before its tables overlap more than so many tables two levels down. */
const GRANDPARENT_TABLES = 10;

/** After a compaction that failed the next one waits: first so long, then twice as long each time. */
const RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** How often tables are looked at for reasons that come with time: age, released snapshots. */
const LOOK_INTERVAL_MS = 1000;

export type TreeOptions = {
  readonly disk: Disk;
  readonly threads: Threads;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly directory: string;
  readonly manifest: ManifestStore;
  /** Module that the threads run (engine-thread.ts). */
  readonly threadModule: string;
  /** State for the owner's filter, asked for anew before each compaction. */
  readonly filterState: () => unknown;
  readonly format: TableFormat;
  readonly picker: PickerOptions;
  readonly compactionBytesPerSecond: number;
  readonly blockCacheBytes: number;
  readonly tailCacheBytes: number;
  readonly maxOpenFiles: number;
  readonly scrubBlocks?: boolean;
  readonly prefix: KeyPrefix | undefined;
  /** Sequences that live snapshots and cursors look at, ascending. */
  readonly pinned: () => readonly number[];
  /** The set of tables, or what works on it, has changed. */
  readonly onChange: () => void;
  readonly onFull: (error: unknown) => void;
  /** The manifest cannot be changed any more. */
  readonly onFatal: (error: EngineError) => void;
};

type JobThread = Thread<EngineJob, EngineResult>;

export class Tree {
  readonly versions: VersionSet;
  readonly cache: TableCache;
  /** Counters for metrics. */
  flushCount = 0;
  flushedBytes = 0;
  compactionCount = 0;
  compactionReadBytes = 0;
  compactionWrittenBytes = 0;
  compactionMicroseconds = 0;
  movedTables = 0;

  readonly #options: TreeOptions;
  readonly #manifest: ManifestStore;
  readonly #cursors: (Uint8Array | undefined)[] = new Array<Uint8Array | undefined>(LEVELS).fill(undefined);
  readonly #busy = new Set<number>();
  readonly #damaged = new Set<number>();
  readonly #suspects = new Set<number>();
  #nextFileNumber: number;
  #flushThread: JobThread | undefined;
  #compactThread: JobThread | undefined;
  #compacting: Promise<void> | undefined;
  /** Shared with the running compaction: non-zero gives it up. */
  readonly #cancel = new Int32Array(new SharedArrayBuffer(4));
  #retryAtUs = 0;
  #retryMs = RETRY_MS;
  /** Somebody compacts by hand: nothing else is picked. */
  #manual = false;
  #closed = false;
  #failure: EngineError | undefined;
  readonly #look: { cancel(): void };

  constructor(options: TreeOptions) {
    this.#options = options;
    this.#manifest = options.manifest;
    this.cache = new TableCache({
      ...options,
      onDamage: (meta, error) => this.#noteDamage(meta.number, error),
    });
    this.versions = new VersionSet(options.manifest.state.version, this.cache, (numbers) => this.#unlink(numbers));
    this.#nextFileNumber = options.manifest.state.nextFileNumber;
    this.#look = options.timers.every(LOOK_INTERVAL_MS, () => this.compactIfDue());
  }

  get level0Tables(): number {
    return (this.#manifest.state.version.levels[0] ?? []).length;
  }

  /** Tables of level 0 that compaction could take away from there. */
  get level0Backlog(): number {
    return level0Backlog(this.#manifest.state.version, this.#damaged);
  }

  /** Damaged tables that the store still names. */
  get damagedTables(): number {
    return this.#damaged.size;
  }

  get debtBytes(): number {
    return debtBytes(this.#manifest.state.version, this.#options.picker);
  }

  get isCompacting(): boolean {
    return this.#compacting !== undefined;
  }

  bytesIn(level: number): number {
    return this.#manifest.state.version.bytesIn(level);
  }

  /** Makes tables of a frozen memtable, durably. Rejects with a `DiskError` when the disk refuses: try again later. */
  async flush(memtable: Memtable): Promise<void> {
    const { directory, threads, threadModule, format, clock, pinned } = this.#options;
    this.#flushThread ??= threads.start<EngineJob, EngineResult>(threadModule, 'flush');
    const { arena } = memtable;
    const numbers = flushNumbers(arena.end);
    const result = await runJob(this.#flushThread, {
      kind: 'flush',
      directory,
      buffer: arena.buffer,
      end: arena.end,
      recordCount: arena.recordCount,
      firstSequence: arena.firstSequence,
      snapshots: pinned(),
      firstNumber: this.#takeNumbers(numbers),
      numbers,
      format: formatOfLevel(format, 0),
      createdMs: clock.wallMs(),
    });
    if (result.outcome === 'stopped') throw new EngineError('closed', 'the flush was stopped');
    const added = result.added.map((wire) => ({ level: 0, table: fromWire(wire) }));
    await this.#commit({ added, removed: [], oldestWal: arena.number + 1, flushedSequence: arena.lastSequence });
    this.flushCount++;
    for (const { table } of added) this.flushedBytes += table.bytes;
    this.compactIfDue();
  }

  #takeNumbers(count: number): number {
    const first = this.#nextFileNumber;
    this.#nextFileNumber += count;
    return first;
  }

  /**
   * Makes an edit durable, then visible. When the disk is full it rejects with that, nothing has changed, and tables that
   * were made for the edit are gone again; any other failure is final.
   */
  async #commit(edit: VersionEdit): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      await this.#manifest.commit({ ...edit, nextFileNumber: this.#nextFileNumber });
    } catch (error) {
      if (error instanceof DiskError && error.code === 'ENOSPC') {
        const leaving = new Set(edit.removed);
        this.#unlink(edit.added.map(({ table }) => table.number).filter((number) => !leaving.has(number)));
        throw error;
      }
      this.#failure ??= manifestFailure(error);
      this.#options.onFatal(this.#failure);
      throw this.#failure;
    }
    for (const number of edit.removed) this.#damaged.delete(number);
    this.versions.install(this.#manifest.state.version);
    this.#options.onChange();
  }

  /** Starts the most urgent compaction unless one runs. */
  compactIfDue(): void {
    if (this.#compacting !== undefined || this.#closed || this.#manual || this.#failure !== undefined) return;
    if (this.#options.clock.monotonicUs() < this.#retryAtUs) return;
    const input = this.#pickerInput();
    // A damaged table may go unread where all that it may have held is dead.
    const dead = deadTables({ ...input, excluded: this.#busy });
    if (dead.length > 0) {
      this.#run(this.#drop(dead));
      return;
    }
    const choice = pickCompaction(input);
    if (choice !== undefined) this.#run(this.#compact(choice));
  }

  #pickerInput(): PickerInput {
    const pinned = this.#options.pinned();
    return {
      version: this.#manifest.state.version,
      options: this.#options.picker,
      cursors: this.#cursors,
      excluded: new Set([...this.#busy, ...this.#damaged]),
      nowMs: this.#options.clock.wallMs(),
      oldestSnapshot: pinned[0],
    };
  }

  /** Runs one piece of compaction; then the next one is looked for. Never rejects. */
  #run(work: Promise<void>): void {
    this.#compacting = work
      .then(
        () => {
          this.#retryMs = RETRY_MS;
        },
        (error: unknown) => this.#noteFailure(error),
      )
      .finally(() => {
        this.#compacting = undefined;
        this.#options.onChange();
        this.compactIfDue();
      });
    this.#options.onChange();
  }

  #noteFailure(error: unknown): void {
    if (this.#closed || this.#failure !== undefined) return;
    this.#retryAtUs = this.#options.clock.monotonicUs() + this.#retryMs * 1000;
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
    this.#options.log.error('a compaction failed; it will be tried again', { cause: String(error) });
    this.#options.onFull(error);
  }

  /** Tables whose records are all dead leave the store unread. */
  async #drop(numbers: readonly number[]): Promise<void> {
    await this.#commit({ added: [], removed: numbers });
  }

  async #compact(choice: Choice): Promise<void> {
    const tables = choice.runs.flat();
    const last = tables.at(-1);
    if (choice.inputLevel > 0 && last !== undefined)
      this.#cursors[choice.inputLevel] = must(choice.runs[0], 'a run').at(-1)?.upper;
    if (choice.move) {
      const table = must(tables[0], 'a table to move');
      await this.#commit({ added: [{ level: choice.outputLevel, table }], removed: [table.number] });
      this.movedTables++;
      return;
    }
    for (const table of tables) this.#busy.add(table.number);
    try {
      await this.#merge(choice);
    } finally {
      for (const table of tables) this.#busy.delete(table.number);
    }
  }

  async #merge(choice: Choice): Promise<void> {
    const { clock, log } = this.#options;
    const startUs = clock.monotonicUs();
    const result = await runJob(this.#startCompactThread(), this.#jobFor(choice));
    if (result.outcome === 'stopped') throw new EngineError('closed', 'the compaction was stopped');
    if (result.outcome === 'damaged') {
      this.#judge(result.damagedTable, new EngineError('corruption', result.message));
      return;
    }
    const removed = choice.runs.flat().map((table) => table.number);
    const added = result.added.map((wire) => ({ level: choice.outputLevel, table: fromWire(wire) }));
    await this.#commit({ added, removed });
    const tookUs = clock.monotonicUs() - startUs;
    this.compactionCount++;
    this.compactionReadBytes += result.bytesRead;
    this.compactionWrittenBytes += result.bytesWritten;
    this.compactionMicroseconds += tookUs;
    log.debug('compacted', {
      reason: choice.reason,
      from: choice.inputLevel,
      to: choice.outputLevel,
      bytesRead: result.bytesRead,
      bytesWritten: result.bytesWritten,
      ms: Math.round(tookUs / 1000),
    });
  }

  /** A table that a compaction could not read: the second time it counts as damaged, since one bad transfer may happen. */
  #judge(number: number, error: EngineError): void {
    if (!this.#suspects.has(number)) {
      this.#suspects.add(number);
      throw error;
    }
    this.cache.quarantine(number, error);
    this.#noteDamage(number, error);
  }

  #jobFor(choice: Choice): CompactJob {
    const { directory, picker, format, clock, pinned, filterState, compactionBytesPerSecond } = this.#options;
    const inputBytes = choice.runs.flat().reduce((sum, table) => sum + table.bytes, 0);
    const tableBytes = choice.outputLevel === 0 ? FLUSH_TABLE_BYTES : picker.tableBytes;
    const numbers = compactionNumbers(inputBytes, tableBytes, choice.grandparents.length);
    return {
      kind: 'compact',
      directory,
      runs: choice.runs.map((run) => run.map(toWire)),
      bottommost: choice.bottommost,
      snapshots: pinned(),
      grandparents: choice.grandparents,
      grandparentBytes: GRANDPARENT_TABLES * picker.tableBytes,
      tableBytes,
      firstNumber: this.#takeNumbers(numbers),
      numbers,
      format: formatOfLevel(format, choice.outputLevel),
      createdMs: clock.wallMs(),
      filterState: filterState(),
      bytesPerSecond: compactionBytesPerSecond,
      cancel: this.#cancel,
    };
  }

  /** Compacts everything, level by level. Rejects when a compaction fails. */
  async compactAll(): Promise<void> {
    this.#manual = true;
    try {
      for (let level = 0; level < LEVELS - 1; level++) {
        while (this.#compacting !== undefined) await this.#compacting;
        if (this.#closed) return;
        const isLast = this.#manifest.state.version.levels.slice(level + 1).every((tables) => tables.length === 0);
        if (isLast && level > 0) break;
        const choice = pickWholeLevel(this.#pickerInput(), level);
        if (choice === undefined) continue;
        const work = this.#compact(choice);
        this.#run(work);
        await work;
      }
    } finally {
      this.#manual = false;
      this.compactIfDue();
    }
  }

  #noteDamage(number: number, error: EngineError): void {
    if (this.#damaged.has(number)) return;
    // Only a reader of an old state may still come upon one that has gone meanwhile.
    const isNamed = this.#manifest.state.version.placed().some(({ table }) => table.number === number);
    if (isNamed) this.#damaged.add(number);
    this.#options.log.error('a table is damaged; keys that it may hold answer an error until `kvorum repair` has run', {
      table: tablePath(this.#options.directory, number),
      cause: error.message,
    });
  }

  /** Removes the files of tables that nobody reads any more; what stays behind, the next open removes. */
  #unlink(numbers: readonly number[]): void {
    if (this.#closed || numbers.length === 0) return;
    const { directory, log } = this.#options;
    const paths = numbers.map((number) => tablePath(directory, number));
    runJob(this.#startCompactThread(), { kind: 'remove', paths }).then(
      ({ left }) => {
        if (left.length > 0) log.warn('obsolete tables could not be removed', { paths: left });
      },
      (error: unknown) => log.debug('obsolete tables were not removed', { cause: String(error) }),
    );
  }

  #startCompactThread(): JobThread {
    this.#compactThread ??= this.#options.threads.start(this.#options.threadModule, 'compaction');
    return this.#compactThread;
  }

  /** Gives up a running compaction, waits for what runs, and closes threads, files and manifest. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#look.cancel();
    Atomics.store(this.#cancel, 0, 1);
    await this.#compacting;
    await Promise.all([this.#flushThread?.close(), this.#compactThread?.close()]);
    this.cache.close();
    await this.#manifest.close();
  }
}

/** Runs a job; an `EngineError` of the thread, which crossed as a plain error, is one again. */
async function runJob<Job extends EngineJob>(thread: JobThread, job: Job): Promise<ResultOf<Job>> {
  try {
    return (await thread.run(job)) as ResultOf<Job>;
  } catch (error) {
    if (error instanceof Error && error.name === 'EngineError')
      throw new EngineError('corruption', error.message, error);
    throw error;
  }
}
