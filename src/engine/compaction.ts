/**
 * Compaction: tables of one or two levels become tables of the deeper one, in the thread, on files only.
 *
 * Invariants: inputs are read only and stay until a version edit drops them, so a compaction that fails or is stopped
 * leaves nothing but files that no manifest names. Every block of every input is checked; what was written is read back
 * before it is reported. Which records survive is record-sieve.ts's to say.
 */

import { compareBytes, compareRanges, EMPTY } from '../bytes.ts';
import type { Disk } from '../env.ts';
import { EngineError } from './engine-error.ts';
import { RangeTombstones } from './range-tombstones.ts';
import type { Kind } from './record.ts';
import { RecordSieve, sieveTombstones, type Filter, type SievedRecord } from './record-sieve.ts';
import type { KeyPrefix, TableFormat } from './sstable-writer.ts';
import { TableOutput } from './table-output.ts';
import { TableScan } from './table-scan.ts';
import { toWire, type WireTable } from './table-wire.ts';

/** A run of tables that do not overlap, ascending: one table of level 0, or the chosen part of a deeper level. */
export type InputRun = readonly WireTable[];

export interface CompactJob {
  readonly kind: 'compact';
  readonly directory: string;
  /** Newest first. */
  readonly runs: readonly InputRun[];
  /** Nothing stands below the level that is written, anywhere in the range of the inputs. */
  readonly bottommost: boolean;
  readonly snapshots: readonly number[];
  /** The tables below those that will be written: where they end and how large they are, ascending. */
  readonly grandparents: readonly { readonly upper: Uint8Array; readonly bytes: number }[];
  /** A table is closed before it overlaps more than this of its grandparents. */
  readonly grandparentBytes: number;
  readonly tableBytes: number;
  readonly firstNumber: number;
  readonly numbers: number;
  readonly format: TableFormat;
  readonly createdMs: number;
  /** State for the owner's filter, cloned into the thread; undefined: nothing is filtered. */
  readonly filterState: unknown;
  /** Bytes written per second at most; 0: no limit. */
  readonly bytesPerSecond: number;
  /** The first word turns non-zero when the job is to be given up. */
  readonly cancel: Int32Array | undefined;
}

export interface CompactResult {
  readonly kind: 'compact';
  /** `damaged`: the input `damagedTable` could not be read; nothing was written. */
  readonly outcome: 'done' | 'stopped' | 'damaged';
  readonly added: readonly WireTable[];
  readonly damagedTable: number;
  readonly message: string;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly recordsRead: number;
  readonly recordsDropped: number;
  readonly recordsFiltered: number;
}

/** Bytes and records read between two looks at `stopped` and the rate limit. */
const SLICE_BYTES = 1 << 18;
const SLICE_RECORDS = 4096;

/** How many file numbers a compaction may need. */
export function compactionNumbers(inputBytes: number, tableBytes: number, grandparents: number): number {
  return 2 * Math.ceil(inputBytes / tableBytes) + grandparents + 3;
}

/** One run of the merge: walks its tables one after another. */
class RunScan implements SievedRecord {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #run: InputRun;
  #scan: TableScan | undefined;
  #next = 0;
  records = 0;

  constructor(disk: Disk, directory: string, run: InputRun) {
    this.#disk = disk;
    this.#directory = directory;
    this.#run = run;
  }

  keyBytes: Uint8Array = EMPTY;
  keyStart = 0;
  keyEnd = 0;
  kind: Kind = 0;
  sequence = 0;
  valueBytes: Uint8Array = EMPTY;
  valueStart = 0;
  valueEnd = 0;

  next(): boolean {
    for (;;) {
      if (this.#scan !== undefined) {
        if (this.#read(this.#scan)) return true;
        this.#scan.close();
        this.#scan = undefined;
      }
      const table = this.#run[this.#next];
      if (table === undefined) return false;
      this.#next++;
      this.#guarded(table, () => {
        this.#scan = new TableScan(this.#disk, this.#directory, table);
      });
    }
  }

  close(): void {
    this.#scan?.close();
    this.#scan = undefined;
  }

  #read(scan: TableScan): boolean {
    let found: boolean;
    try {
      found = scan.next();
    } catch (error) {
      throw damagedInput(this.#run[this.#next - 1], error);
    }
    if (!found) return false;
    const { cursor } = scan;
    this.keyBytes = cursor.keyBytes;
    this.keyStart = cursor.keyStart;
    this.keyEnd = cursor.keyEnd;
    this.kind = cursor.kind;
    this.sequence = cursor.sequence;
    this.valueBytes = cursor.block;
    this.valueStart = cursor.valueStart;
    this.valueEnd = cursor.valueEnd;
    this.records++;
    return true;
  }

  #guarded(table: WireTable, action: () => void): void {
    try {
      action();
    } catch (error) {
      throw damagedInput(table, error);
    }
  }
}

/** Damage of an input, so that it is not taken for damage of an output. */
class DamagedInput extends Error {
  override readonly name = 'DamagedInput';
  readonly table: number;
  constructor(table: number, message: string) {
    super(message);
    this.table = table;
  }
}

function damagedInput(table: WireTable | undefined, error: unknown): unknown {
  const isDamage = error instanceof EngineError && error.code === 'corruption';
  return isDamage && table !== undefined ? new DamagedInput(table.number, error.message) : error;
}

/** The runs merged: keys ascending, records of a key newest first. */
class RunMerge {
  readonly #scans: readonly RunScan[];
  readonly #heap: RunScan[] = [];
  readonly #ages = new Map<RunScan, number>();

  constructor(scans: readonly RunScan[]) {
    this.#scans = scans;
    for (const [age, scan] of scans.entries()) this.#ages.set(scan, age);
  }

  open(): void {
    for (const scan of this.#scans) {
      if (!scan.next()) continue;
      this.#heap.push(scan);
      for (let at = this.#heap.length - 1; at > 0;) {
        const parent = (at - 1) >> 1;
        if (!this.#isBefore(this.#heap[at] as RunScan, this.#heap[parent] as RunScan)) break;
        this.#swap(at, parent);
        at = parent;
      }
    }
  }

  get first(): RunScan | undefined {
    return this.#heap[0];
  }

  step(): void {
    const first = this.#heap[0] as RunScan;
    if (!first.next()) {
      const last = this.#heap.pop() as RunScan;
      if (this.#heap.length === 0) return;
      this.#heap[0] = last;
    }
    for (let at = 0; ;) {
      let child = 2 * at + 1;
      if (child >= this.#heap.length) return;
      const right = this.#heap[child + 1];
      if (right !== undefined && this.#isBefore(right, this.#heap[child] as RunScan)) child++;
      if (!this.#isBefore(this.#heap[child] as RunScan, this.#heap[at] as RunScan)) return;
      this.#swap(at, child);
      at = child;
    }
  }

  close(): void {
    for (const scan of this.#scans) scan.close();
  }

  #swap(a: number, b: number): void {
    const scan = this.#heap[a] as RunScan;
    this.#heap[a] = this.#heap[b] as RunScan;
    this.#heap[b] = scan;
  }

  #isBefore(a: RunScan, b: RunScan): boolean {
    const order = compareRanges(a.keyBytes, a.keyStart, a.keyEnd, b.keyBytes, b.keyStart, b.keyEnd);
    if (order !== 0) return order < 0;
    if (a.sequence !== b.sequence) return a.sequence > b.sequence;
    return (this.#ages.get(a) as number) < (this.#ages.get(b) as number);
  }
}

/** Sees to it that a job stops when it is told to, and writes no faster than it may. */
class Pace {
  readonly #job: CompactJob;
  readonly #stopped: () => boolean;
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  #records = 0;
  #bytes = 0;
  #paidBytes = 0;

  constructor(job: CompactJob, stopped: () => boolean) {
    this.#job = job;
    this.#stopped = stopped;
  }

  /** Called for every record, with its length; true: stop. */
  isOver(bytes: number, output: TableOutput): boolean {
    this.#bytes += bytes;
    if (++this.#records < SLICE_RECORDS && this.#bytes < SLICE_BYTES) return false;
    this.#records = 0;
    this.#bytes = 0;
    return this.isStopped() || this.#pay(output.byteLength);
  }

  isStopped(): boolean {
    const { cancel } = this.#job;
    return this.#stopped() || (cancel !== undefined && Atomics.load(cancel, 0) !== 0);
  }

  /** Sleeps for what was written; the time that writing took comes on top, so the limit is an upper one. */
  #pay(bytes: number): boolean {
    const { bytesPerSecond } = this.#job;
    if (bytesPerSecond === 0) return false;
    while (bytes - this.#paidBytes >= SLICE_BYTES) {
      Atomics.wait(this.#sleeper, 0, 0, (SLICE_BYTES / bytesPerSecond) * 1000);
      this.#paidBytes += SLICE_BYTES;
      if (this.isStopped()) return true;
    }
    return false;
  }
}

/** Tells when a table has come to overlap too much of what stands below it. */
class GrandparentLimit {
  readonly #job: CompactJob;
  #next = 0;
  #overlapped = 0;

  constructor(job: CompactJob) {
    this.#job = job;
  }

  /** Passes the grandparents that end at or before the key; true: cut before it. */
  isReached(key: Uint8Array, start: number, end: number): boolean {
    const { grandparents, grandparentBytes } = this.#job;
    for (; this.#next < grandparents.length; this.#next++) {
      const grandparent = grandparents[this.#next];
      if (grandparent === undefined) break;
      const { upper } = grandparent;
      if (compareRanges(upper, 0, upper.length, key, start, end) > 0) break;
      this.#overlapped += grandparent.bytes;
    }
    return this.#overlapped > grandparentBytes;
  }

  reset(): void {
    this.#overlapped = 0;
  }
}

export function runCompaction(
  job: CompactJob,
  disk: Disk,
  stopped: () => boolean,
  filter: Filter | undefined,
  prefix: KeyPrefix | undefined,
): CompactResult {
  const tombstones = RangeTombstones.of(
    job.runs.flat().flatMap(({ fragments }) => new RangeTombstones(fragments).list()),
  );
  const { snapshots, bottommost } = job;
  const sieve = new RecordSieve({ snapshots, tombstones, bottommost, filter });
  const surviving = sieveTombstones({ snapshots, tombstones, bottommost });
  const output = new TableOutput({ ...job, disk, tombstones: surviving, prefix });
  const scans = job.runs.map((run) => new RunScan(disk, job.directory, run));
  const merge = new RunMerge(scans);
  const pace = new Pace(job, stopped);
  const report = (outcome: CompactResult['outcome'], added: readonly WireTable[], damaged?: DamagedInput) => ({
    kind: 'compact' as const,
    outcome,
    added,
    damagedTable: damaged?.table ?? 0,
    message: damaged?.message ?? '',
    bytesRead: job.runs.flat().reduce((sum, table) => sum + table.bytes, 0),
    bytesWritten: added.reduce((sum, table) => sum + table.bytes, 0),
    recordsRead: scans.reduce((sum, scan) => sum + scan.records, 0),
    recordsDropped: sieve.shadowed,
    recordsFiltered: sieve.filteredCount,
  });
  try {
    merge.open();
    if (!mergeRecords(merge, sieve, output, new GrandparentLimit(job), pace)) {
      output.abandon();
      return report('stopped', []);
    }
    const added = output.finish(() => pace.isStopped());
    if (!pace.isStopped()) return report('done', added.map(toWire));
    output.abandon();
    return report('stopped', []);
  } catch (error) {
    output.abandon();
    if (error instanceof DamagedInput) return report('damaged', [], error);
    throw error;
  } finally {
    merge.close();
  }
}

/** False: it was stopped. */
function mergeRecords(
  merge: RunMerge,
  sieve: RecordSieve,
  output: TableOutput,
  limit: GrandparentLimit,
  pace: Pace,
): boolean {
  const lastKey = new KeyMemory();
  for (let record = merge.first; record !== undefined; record = merge.first) {
    const { keyBytes, keyStart, keyEnd } = record;
    if (pace.isOver(keyEnd - keyStart + record.valueEnd - record.valueStart, output)) return false;
    const sameKey = lastKey.is(keyBytes, keyStart, keyEnd);
    if (!sameKey) lastKey.set(keyBytes, keyStart, keyEnd);
    if (sieve.keeps(record, sameKey)) {
      if (!sameKey && (limit.isReached(keyBytes, keyStart, keyEnd) || output.isFull)) {
        output.cutBefore(keyBytes, keyStart, keyEnd);
        limit.reset();
      }
      const { valueBytes, valueStart } = record;
      const valueEnd = sieve.filtered ? valueStart : record.valueEnd;
      output.add(keyBytes, keyStart, keyEnd, sieve.kind, sieve.sequence, valueBytes, valueStart, valueEnd);
    }
    merge.step();
  }
  return true;
}

/** A copy of the last key. */
class KeyMemory {
  #bytes = new Uint8Array(256);
  #length = -1;

  is(bytes: Uint8Array, start: number, end: number): boolean {
    return this.#length === end - start && compareRanges(this.#bytes, 0, this.#length, bytes, start, end) === 0;
  }

  set(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > this.#bytes.length) this.#bytes = new Uint8Array(length * 2);
    for (let i = 0; i < length; i++) this.#bytes[i] = bytes[start + i] as number;
    this.#length = length;
  }
}

/** Runs ascend and do not overlap; for callers that put jobs together. */
export function isRun(run: InputRun): boolean {
  return run.every((table, i) => i === 0 || compareBytes((run[i - 1] as WireTable).upper, table.lower) <= 0);
}
