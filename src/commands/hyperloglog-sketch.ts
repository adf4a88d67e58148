/**
 * A HyperLogLog as Redis keeps it in a string, so that GET, DUMP and a copy of the bytes mean the same on both. Format:
 *
 * ```
 * "HYLL" | u8 encoding (0 dense, 1 sparse) | 3 bytes 0 | u64 LE cardinality; its highest bit: it is stale
 * dense   16,384 registers of 6 bits; register i at bits 6 i to 6 i + 5, bit 0 the lowest of the first byte
 * sparse  runs that cover all registers in order:
 *         00nnnnnn            n + 1 registers are 0
 *         01nnnnnn nnnnnnnn   n + 1 registers are 0
 *         1vvvvvnn            n + 1 registers are v + 1
 * ```
 *
 * Valid if the magic and the encoding are known, a dense one has all its bytes, and the runs of a sparse one cover exactly
 * the registers. A sparse one becomes dense when it would be longer than SPARSE_MAX_BYTES or a rank above 32 comes.
 *
 * Counting is by O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), as in Redis.
 */

import { copyOf } from '../bytes.ts';
import { CommandError } from './errors.ts';
import * as hashed from './hyperloglog-hash.ts';

export const REGISTERS = 16_384;
const HEADER_BYTES = 16;
const DENSE_BYTES = HEADER_BYTES + (REGISTERS * 6) / 8;

/** Redis's default of hll-sparse-max-bytes: with the header. */
const SPARSE_MAX_BYTES = 3000;

const MAGIC = Buffer.from('HYLL', 'latin1');
const ENCODING_AT = 4;
const CARDINALITY_AT = 8;
const STALE_AT = 15;
const STALE = 0x80;

const DENSE = 0;
const SPARSE = 1;

const LONG_ZEROS = 0x40;
const VALUES = 0x80;
/** Most registers of a run, by its form. */
const MAX_ZEROS = 64;
const MAX_VALUES = 4;
/** Highest rank of a run of values. */
const MAX_SPARSE_RANK = 32;
/** So many runs are looked at for neighbours that became one after a change, as in Redis: its bytes depend on that. */
const MERGED_RUNS = 5;

/** Bits of a hash that make its rank. */
const RANK_BITS = 50;
const ALPHA = 0.7213475204444817;

const DAMAGED = 'INVALIDOBJ Corrupted HLL object detected';

/** Whether a string can be a HyperLogLog; the runs of a sparse one are checked when they are read. */
export function isSketch(bytes: Uint8Array): boolean {
  if (bytes.length < HEADER_BYTES || MAGIC.some((byte, i) => bytes[i] !== byte)) return false;
  const encoding = bytes[ENCODING_AT];
  return encoding === SPARSE || (encoding === DENSE && bytes.length === DENSE_BYTES);
}

/** Registers [index, index + length) have this rank. */
type RunVisitor = (index: number, length: number, rank: number) => void;

export class Sketch {
  /** The string; in memory of its own once something was changed. */
  bytes: Uint8Array;
  private owned: boolean;

  /** Requires: isSketch(bytes). */
  constructor(bytes: Uint8Array, owned = false) {
    this.bytes = bytes;
    this.owned = owned;
  }

  static empty(): Sketch {
    const bytes = new Uint8Array(HEADER_BYTES + 2);
    bytes.set(MAGIC);
    bytes[ENCODING_AT] = SPARSE;
    bytes[HEADER_BYTES] = LONG_ZEROS | ((REGISTERS - 1) >> 8);
    bytes[HEADER_BYTES + 1] = (REGISTERS - 1) & 0xff;
    return new Sketch(bytes, true);
  }

  get isDense(): boolean {
    return this.bytes[ENCODING_AT] === DENSE;
  }

  /** Notes an element; true when a register changed. Throws `CommandError` when it is damaged. */
  add(element: Uint8Array): boolean {
    hashed.place(element);
    return this.raise(hashed.register, hashed.rank);
  }

  /** Raises a register to a rank; true when it was lower. Throws `CommandError`. */
  raise(index: number, rank: number): boolean {
    if (this.isDense) return this.raiseDense(index, rank);
    if (rank <= MAX_SPARSE_RANK) {
      const raised = this.raiseSparse(index, rank);
      if (raised !== undefined) return raised;
    }
    this.makeDense();
    return this.raiseDense(index, rank);
  }

  /** The number that stands in the string; undefined: it is stale. */
  cached(): number | bigint | undefined {
    const { bytes } = this;
    if (((bytes[STALE_AT] as number) & STALE) !== 0) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset + CARDINALITY_AT, 8);
    const high = view.getUint32(4, true);
    return high < 0x20_0000 ? high * 2 ** 32 + view.getUint32(0, true) : view.getBigUint64(0, true);
  }

  invalidate(): void {
    this.own();
    this.bytes[STALE_AT] = (this.bytes[STALE_AT] as number) | STALE;
  }

  /** Raises each of `ranks` to that of this sketch. Throws `CommandError`. */
  mergeInto(ranks: Uint8Array): void {
    this.eachRun((index, length, rank) => {
      for (let i = index; i < index + length; i++) if ((ranks[i] as number) < rank) ranks[i] = rank;
    });
  }

  /** Calls `visit` with every register, in runs. Throws `CommandError`. */
  eachRun(visit: RunVisitor): void {
    if (this.isDense) {
      for (let i = 0; i < REGISTERS; i++) visit(i, 1, denseRank(this.bytes, i));
      return;
    }
    let index = 0;
    for (let at = HEADER_BYTES; at < this.bytes.length; at += runBytes(this.bytes[at] as number)) {
      const length = runLength(this.bytes, at);
      if (index + length > REGISTERS) throw new CommandError(DAMAGED);
      visit(index, length, runRank(this.bytes[at] as number));
      index += length;
    }
    if (index !== REGISTERS) throw new CommandError(DAMAGED);
  }

  /** Throws `CommandError`. */
  makeDense(): void {
    if (this.isDense) return;
    const dense = new Uint8Array(DENSE_BYTES);
    dense.set(this.bytes.subarray(0, HEADER_BYTES));
    dense[ENCODING_AT] = DENSE;
    this.eachRun((index, length, rank) => {
      if (rank > 0) for (let i = index; i < index + length; i++) setDenseRank(dense, i, rank);
    });
    this.bytes = dense;
    this.owned = true;
  }

  /** The runs of a sparse sketch in words, as PFDEBUG DECODE shows them. */
  runsInWords(): string {
    const words: string[] = [];
    for (let at = HEADER_BYTES; at < this.bytes.length; at += runBytes(this.bytes[at] as number)) {
      const first = this.bytes[at] as number;
      const length = runLength(this.bytes, at);
      if (first >= VALUES) words.push(`v:${runRank(first)},${length}`);
      else words.push(`${first >= LONG_ZEROS ? 'Z' : 'z'}:${length}`);
    }
    return words.join(' ');
  }

  private own(): void {
    if (this.owned) return;
    this.bytes = copyOf(this.bytes);
    this.owned = true;
  }

  private raiseDense(index: number, rank: number): boolean {
    if (denseRank(this.bytes, index) >= rank) return false;
    this.own();
    setDenseRank(this.bytes, index, rank);
    return true;
  }

  /** Whether a register was lower; undefined: the sketch would become too long. */
  private raiseSparse(index: number, rank: number): boolean | undefined {
    const { bytes } = this;
    let before = HEADER_BYTES;
    let at = HEADER_BYTES;
    let first = 0;
    let length = 0;
    for (; at < bytes.length; at += runBytes(bytes[at] as number)) {
      length = runLength(bytes, at);
      if (index < first + length) break;
      before = at;
      first += length;
    }
    if (at >= bytes.length) throw new CommandError(DAMAGED);
    const old = runRank(bytes[at] as number);
    if (old >= rank) return false;
    const runs: number[] = [];
    pushRun(runs, old, index - first);
    pushRun(runs, rank, 1);
    pushRun(runs, old, first + length - 1 - index);
    return this.substitute(at, runs, before) ? true : undefined;
  }

  /** Puts runs in the place of the one at `at`; false: that would be too long. */
  private substitute(at: number, runs: readonly number[], before: number): boolean {
    const { bytes } = this;
    const end = at + runBytes(bytes[at] as number);
    const length = bytes.length + runs.length - (end - at);
    if (length > bytes.length && length > SPARSE_MAX_BYTES) return false;
    const changed = new Uint8Array(length);
    changed.set(bytes.subarray(0, at));
    changed.set(runs, at);
    changed.set(bytes.subarray(end), at + runs.length);
    this.bytes = mergeRuns(changed, before);
    this.owned = true;
    return true;
  }
}

/** Makes one of neighbouring runs of the same values, from the run at `from` on. */
function mergeRuns(bytes: Uint8Array, from: number): Uint8Array {
  let { length } = bytes;
  let at = from;
  for (let looked = 0; looked < MERGED_RUNS && at < length; looked++) {
    const run = bytes[at] as number;
    const next = at + 1 < length ? (bytes[at + 1] as number) : 0;
    const joined = (run & 3) + (next & 3) + 2;
    if (run >= VALUES && next >= VALUES && runRank(run) === runRank(next) && joined <= MAX_VALUES) {
      bytes[at] = (run & ~3) | (joined - 1);
      bytes.copyWithin(at + 1, at + 2, length);
      length--;
    } else at += runBytes(run);
  }
  return length === bytes.length ? bytes : bytes.subarray(0, length);
}

function runBytes(first: number): number {
  return first >= LONG_ZEROS && first < VALUES ? 2 : 1;
}

function runLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first >= VALUES) return (first & 3) + 1;
  return first < LONG_ZEROS ? first + 1 : (((first & 0x3f) << 8) | (bytes[at + 1] ?? 0)) + 1;
}

function runRank(first: number): number {
  return first < VALUES ? 0 : ((first >> 2) & 0x1f) + 1;
}

/** Requires: of a rank above 0 not more than MAX_VALUES registers. */
function pushRun(runs: number[], rank: number, length: number): void {
  if (length === 0) return;
  if (rank > 0) runs.push(VALUES | ((rank - 1) << 2) | (length - 1));
  else if (length <= MAX_ZEROS) runs.push(length - 1);
  else runs.push(LONG_ZEROS | ((length - 1) >> 8), (length - 1) & 0xff);
}

function denseRank(bytes: Uint8Array, index: number): number {
  const bit = index * 6;
  const at = HEADER_BYTES + (bit >> 3);
  return (((bytes[at] as number) | ((bytes[at + 1] ?? 0) << 8)) >> (bit & 7)) & 0x3f;
}

function setDenseRank(bytes: Uint8Array, index: number, rank: number): void {
  const bit = index * 6;
  const at = HEADER_BYTES + (bit >> 3);
  const shift = bit & 7;
  const both = ((bytes[at] as number) | ((bytes[at + 1] ?? 0) << 8)) & ~(0x3f << shift);
  const changed = both | (rank << shift);
  bytes[at] = changed;
  if (shift > 2) bytes[at + 1] = changed >> 8;
}

/** How many elements made registers of which histogram[rank] have each rank. */
export function estimate(histogram: Float64Array): number {
  let z = REGISTERS * tau((REGISTERS - (histogram[RANK_BITS + 1] as number)) / REGISTERS);
  for (let rank = RANK_BITS; rank >= 1; rank--) z = (z + (histogram[rank] as number)) * 0.5;
  z += REGISTERS * sigma((histogram[0] as number) / REGISTERS);
  return Math.round((ALPHA * REGISTERS * REGISTERS) / z);
}

/** The cardinality of one sketch, reckoned anew. Throws `CommandError`. */
export function cardinalityOf(sketch: Sketch): number {
  const histogram = new Float64Array(64);
  sketch.eachRun((_index, length, rank) => {
    histogram[rank] = (histogram[rank] as number) + length;
  });
  return estimate(histogram);
}

/** The cardinality of registers that `mergeInto` has filled. */
export function cardinalityOfRanks(ranks: Uint8Array): number {
  const histogram = new Float64Array(64);
  for (const rank of ranks) histogram[rank] = (histogram[rank] as number) + 1;
  return estimate(histogram);
}

function sigma(share: number): number {
  if (share === 1) return Number.POSITIVE_INFINITY;
  let x = share;
  let y = 1;
  let z = share;
  for (;;) {
    x *= x;
    const previous = z;
    z += x * y;
    y += y;
    if (z === previous) return z;
  }
}

function tau(share: number): number {
  if (share === 0 || share === 1) return 0;
  let x = share;
  let y = 1;
  let z = 1 - share;
  for (;;) {
    x = Math.sqrt(x);
    const previous = z;
    y *= 0.5;
    z -= (1 - x) ** 2 * y;
    if (z === previous) return z / 3;
  }
}
