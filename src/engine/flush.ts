/**
 * Flush: one frozen memtable becomes tables of level 0, in the thread.
 *
 * The arena (arena.ts) is shared memory, so nothing is copied to get here. A large memtable becomes several tables only
 * beyond `tableBytes`, since every table of level 0 is one more place to look.
 */

import type { Disk } from '../env.ts';
import { orderRecords } from './record-order.ts';
import { RangeTombstones } from './range-tombstones.ts';
import { recordAt, kind, KEY_LENGTH_MASK, KIND_SHIFT, RECORD_HEADER_BYTES, type Kind } from './record.ts';
import { RecordSieve, sieveTombstones, type SievedRecord } from './record-sieve.ts';
import type { KeyPrefix, TableFormat } from './sstable-writer.ts';
import { TableOutput } from './table-output.ts';
import { toWire, type WireTable } from './table-wire.ts';
import { compareRanges } from '../bytes.ts';

/** Limit of one table of level 0. */
export const FLUSH_TABLE_BYTES = 1 << 30;

export interface FlushJob {
  readonly kind: 'flush';
  readonly directory: string;
  readonly buffer: SharedArrayBuffer;
  /** Where the records in `buffer` end, and how many there are, of all kinds. */
  readonly end: number;
  readonly recordCount: number;
  /** Sequence of the first record. */
  readonly firstSequence: number;
  readonly snapshots: readonly number[];
  readonly firstNumber: number;
  readonly numbers: number;
  readonly format: TableFormat;
  readonly createdMs: number;
}

export interface FlushResult {
  readonly kind: 'flush';
  readonly outcome: 'done' | 'stopped';
  readonly added: readonly WireTable[];
  readonly records: number;
}

/** How many file numbers a flush of that many bytes may need. */
export function flushNumbers(bytes: number): number {
  return Math.ceil(bytes / FLUSH_TABLE_BYTES) + 2;
}

/** A record of an arena in the shape that the sieve takes. */
class ArenaRecord implements SievedRecord {
  readonly keyBytes: Uint8Array;
  readonly valueBytes: Uint8Array;
  keyStart = 0;
  keyEnd = 0;
  kind: Kind = kind.DELETE;
  sequence = 0;
  valueStart = 0;
  valueEnd = 0;
  /** Made of what was touched, lest the compiler leave it out. */
  touched = 0;
  readonly #words: Uint32Array;
  readonly #firstSequence: number;

  constructor(bytes: Uint8Array, words: Uint32Array, firstSequence: number) {
    this.keyBytes = bytes;
    this.valueBytes = bytes;
    this.#words = words;
    this.#firstSequence = firstSequence;
  }

  /** Reads the heads of records that are to be read next, in no order that a cache could foresee, side by side. */
  touch(offsets: Uint32Array, from: number, to: number): void {
    const words = this.#words;
    let sum = 0;
    for (let i = from; i < to; i++) {
      const word = (offsets[i] as number) >> 2;
      sum ^= (words[word] as number) ^ (words[Math.min(word + LINE_WORDS, words.length - 1)] as number);
    }
    this.touched = sum;
  }

  read(offset: number): void {
    const word = offset >> 2;
    const first = this.#words[word] as number;
    this.keyStart = offset + RECORD_HEADER_BYTES;
    this.keyEnd = this.keyStart + (first & KEY_LENGTH_MASK);
    this.kind = (first >>> KIND_SHIFT) as Kind;
    this.sequence = this.#firstSequence + (this.#words[word + 2] as number);
    this.valueStart = this.keyEnd;
    this.valueEnd = this.keyEnd + (this.#words[word + 1] as number);
  }
}

/** Records that are touched at a time, and words of a line of the processor's cache. */
const TOUCHED_RECORDS = 64;
const LINE_WORDS = 16;

/** Records between two looks at `stopped`. */
const STOP_CHECK_RECORDS = 4096;

export function runFlush(
  job: FlushJob,
  disk: Disk,
  stopped: () => boolean,
  prefix: KeyPrefix | undefined,
): FlushResult {
  const ordered = orderRecords(job);
  const tombstones = RangeTombstones.of(
    ordered.rangeDeletes.map((offset) => {
      const { keyStart, keyEnd, valueEnd } = recordAt(ordered.words, offset);
      return {
        start: ordered.bytes.slice(keyStart, keyEnd),
        end: ordered.bytes.slice(keyEnd, valueEnd),
        sequence: job.firstSequence + (ordered.words[(offset >> 2) + 2] as number),
      };
    }),
  );
  const { snapshots } = job;
  const sieve = new RecordSieve({ snapshots, tombstones, bottommost: false, filter: undefined });
  const output = new TableOutput({
    ...job,
    disk,
    tableBytes: FLUSH_TABLE_BYTES,
    tombstones: sieveTombstones({ snapshots, tombstones, bottommost: false }),
    prefix,
  });
  try {
    const record = new ArenaRecord(ordered.bytes, ordered.words, job.firstSequence);
    if (!writeRecords(ordered.offsets, record, sieve, output, stopped)) {
      output.abandon();
      return { kind: 'flush', outcome: 'stopped', added: [], records: 0 };
    }
    const added = output.finish(() => false);
    return { kind: 'flush', outcome: 'done', added: added.map(toWire), records: job.recordCount };
  } catch (error) {
    output.abandon();
    throw error;
  }
}

/** False: it was stopped. */
function writeRecords(
  offsets: Uint32Array,
  record: ArenaRecord,
  sieve: RecordSieve,
  output: TableOutput,
  stopped: () => boolean,
): boolean {
  let lastStart = 0;
  let lastEnd = 0;
  for (let i = 0; i < offsets.length; i++) {
    if (i % STOP_CHECK_RECORDS === 0 && stopped()) return false;
    if (i % TOUCHED_RECORDS === 0) record.touch(offsets, i, Math.min(i + TOUCHED_RECORDS, offsets.length));
    record.read(offsets[i] as number);
    const { keyBytes, keyStart, keyEnd, valueBytes, valueStart, valueEnd } = record;
    const sameKey = i > 0 && compareRanges(keyBytes, keyStart, keyEnd, keyBytes, lastStart, lastEnd) === 0;
    lastStart = keyStart;
    lastEnd = keyEnd;
    if (!sieve.keeps(record, sameKey)) continue;
    if (!sameKey && output.isFull) output.cutBefore(keyBytes, keyStart, keyEnd);
    output.add(keyBytes, keyStart, keyEnd, sieve.kind, sieve.sequence, valueBytes, valueStart, valueEnd);
  }
  return true;
}
