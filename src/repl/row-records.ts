/**
 * Records of numbers for rows: what an owner or a coordinator remembers of hundreds of thousands of rows. A record is
 * found by the row's print, 53 bits made from its name, which is not kept: a map of names costs four or five cache misses
 * for each look-up, and objects that are replaced with every change of a row live just long enough to be moved by the
 * garbage collector, twice. Together that was a third of the cost of a change.
 *
 * Two rows may have the same print (one chance in 2^53 for each pair), and then share a record. Whoever keeps records must
 * say why that does no harm.
 *
 * Invariants: a row keeps its record until it is evicted; records lie at 0, width, 2 × width, …, and a new one is begun
 * only when all earlier ones are taken; the row that came first is evicted first.
 */

import { slotOfRow, type RowName } from './owner-message.ts';

/** Records that a table has room for at first. */
export const FIRST_RECORDS = 1_024;

/** Before the fields of a record stand the row's print and its slot. */
export const FIRST_FIELD = 2;

const SLOT_FIELD = 1;

/** The name that was looked at last: what is asked for one row comes in one go, and of several tables. */
let lastName: RowName = '';
let lastHash = 0;
let lastPrint = 0;

/** Sets `lastHash` (32 bits) and `lastPrint` (53 bits) to those of the name. */
function hash(name: RowName): void {
  let a = 0x9e3779b9;
  let b = 0x85ebca6b;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    a = Math.imul(((a << 5) | (a >>> 27)) ^ code, 0x27d4eb2d);
    b = Math.imul(((b << 13) | (b >>> 19)) ^ code, 0x165667b1);
  }
  // The finish of murmur3: all bits depend on all.
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b);
  a = Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 15), 0x2c1b3c6d);
  b = Math.imul(b ^ (b >>> 12), 0x297a2d39);
  lastName = name;
  lastHash = a ^ (a >>> 16);
  lastPrint = (lastHash >>> 0) * 2 ** 21 + ((b ^ (b >>> 15)) >>> 11);
}

export class RowRecords {
  /** All records. The memory is replaced when it grows. */
  numbers: Float64Array;
  /** Slot of the row whose record the last `add` gave away; -1: nobody's. Its fields are as they were. */
  evictedSlot = -1;
  private readonly width: number;
  private readonly limit: number;
  /** Open addressing by the hash: number of a record, counted from 1; 0: nothing. At least twice as many as records. */
  private index = new Int32Array(2 * FIRST_RECORDS);
  private count = 0;
  /** At the limit: the record that is given away next. */
  private oldest = 0;
  private lastFound: RowName = '';
  private lastAt = -1;

  /** `fields`: numbers of a record besides what it is found by. */
  constructor(options: { limit: number; fields: number }) {
    this.limit = options.limit;
    this.width = FIRST_FIELD + options.fields;
    this.numbers = new Float64Array(Math.min(FIRST_RECORDS, this.limit) * this.width);
  }

  get size(): number {
    return this.count;
  }

  /** Where the row's record begins; -1 when it has none. */
  find(row: RowName): number {
    if (row === this.lastFound) return this.lastAt;
    if (row !== lastName) hash(row);
    const { index, numbers, width } = this;
    const mask = index.length - 1;
    const print = lastPrint;
    let at = -1;
    for (let i = lastHash & mask; index[i] !== 0; i = (i + 1) & mask) {
      const candidate = ((index[i] as number) - 1) * width;
      if (numbers[candidate] === print) {
        at = candidate;
        break;
      }
    }
    this.lastFound = row;
    this.lastAt = at;
    return at;
  }

  /**
   * A record for a row that has none. Its fields are zero, or at the limit those of the row that came first (see
   * `evictedSlot`) for the caller to overwrite.
   */
  add(row: RowName): number {
    let place = this.count;
    this.evictedSlot = -1;
    if (place < this.limit) {
      this.count++;
      this.grow();
    } else {
      place = this.oldest;
      this.oldest = place + 1 === this.limit ? 0 : place + 1;
      this.evictedSlot = this.numbers[place * this.width + SLOT_FIELD] as number;
      this.remove(place);
    }
    if (row !== lastName) hash(row);
    const at = place * this.width;
    this.numbers[at] = lastPrint;
    this.numbers[at + SLOT_FIELD] = slotOfRow(row);
    this.enter(place, lastHash);
    this.lastFound = row;
    this.lastAt = at;
    return at;
  }

  clear(): void {
    this.index.fill(0);
    this.numbers.fill(0, 0, this.count * this.width);
    this.count = 0;
    this.oldest = 0;
    this.lastFound = '';
    this.lastAt = -1;
  }

  private enter(place: number, at: number): void {
    const { index } = this;
    const mask = index.length - 1;
    let i = at & mask;
    while (index[i] !== 0) i = (i + 1) & mask;
    index[i] = place + 1;
  }

  /** Room for one more record than are filled. */
  private grow(): void {
    const { width, count } = this;
    if (count * width > this.numbers.length) {
      const larger = new Float64Array(Math.min(this.limit, 2 * count) * width);
      larger.set(this.numbers);
      this.numbers = larger;
    }
    if (2 * count <= this.index.length) return;
    this.index = new Int32Array(2 * this.index.length);
    for (let place = 0; place < count - 1; place++) this.enter(place, this.hashOf(place));
  }

  /** Takes the record out of the index, and moves up what stands behind it for want of a place nearer its own. */
  private remove(place: number): void {
    const { index } = this;
    const mask = index.length - 1;
    let hole = this.hashOf(place) & mask;
    while (index[hole] !== place + 1) hole = (hole + 1) & mask;
    index[hole] = 0;
    for (let i = (hole + 1) & mask; index[i] !== 0; i = (i + 1) & mask) {
      const home = this.hashOf((index[i] as number) - 1) & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      index[hole] = index[i] as number;
      index[i] = 0;
      hole = i;
    }
  }

  private hashOf(place: number): number {
    return Math.floor((this.numbers[place * this.width] as number) / 2 ** 21) | 0;
  }
}
