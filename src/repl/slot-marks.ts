/**
 * The flush marks of slots, in a cluster: what is at or below a slot's mark was flushed. A mark is a row like others, a
 * register of its slot (flush-core.ts); what stands here is derived from it by the owner that applies it:
 *
 * ```
 * key     row of this node "mark" | u16 BE slot                                  (rows of this node: row-key.ts)
 * value   u16 BE length of the marks | marks | what is left
 * marks   repeated: u8 database, 255 = every one | u64 BE stamp | u32 BE actor
 * left    repeated: u8 database | u32 BE live rows of the slot after the flush, for each database that lost some;
 *         where any are left the mark came late, and is not for compaction
 * ```
 *
 * `left` makes a WAL's replay exact without a look at old values. The record is valid if its lengths fit.
 *
 * Invariant: a database's mark in a slot never goes down, until the slot itself goes.
 */

import { SLOT_COUNT } from '../cluster/slot.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { localKey } from './row-key.ts';
import { compareVersions, readVersion, VERSION_BYTES, writeVersion, type Version } from './version.ts';

/** In a mark: every database. */
export const EVERY_DATABASE = 255;

const MARK_BYTES = 1 + VERSION_BYTES;
const LEFT_BYTES = 5;

export interface DatabaseMark {
  readonly database: number;
  readonly mark: Version;
}

/** Live rows that a flush has left in a database of the slot. */
export interface RowsLeft {
  readonly database: number;
  readonly count: number;
}

export class SlotMarks {
  /** By slot; marks of every database. */
  private every: (Version | undefined)[] = [];
  /** By database, then by slot. */
  private readonly single: ((Version | undefined)[] | undefined)[] = [];
  /** Whether there is any mark at all: most nodes never see one, and then a look-up costs a test. */
  private isUsed = false;

  /** The mark of a database in a slot; undefined: it was never flushed. */
  of(slot: number, database: number): Version | undefined {
    if (!this.isUsed) return undefined;
    const every = this.every[slot];
    const single = this.single[database]?.[slot];
    if (every === undefined) return single;
    return single === undefined || compareVersions(single, every) < 0 ? every : single;
  }

  /** Whether a record of this version was flushed. */
  covers(slot: number, database: number, stamp: number, actor: number): boolean {
    const mark = this.of(slot, database);
    if (mark === undefined) return false;
    return stamp < mark.stamp || (stamp === mark.stamp && actor <= mark.actor);
  }

  /** Takes up the marks of a slot; those that are lower than what is known change nothing. */
  raise(slot: number, marks: readonly DatabaseMark[]): void {
    for (const { database, mark } of marks) {
      this.isUsed = true;
      if (database === EVERY_DATABASE) {
        if (this.every.length === 0) this.every = Array.from({ length: SLOT_COUNT });
        const known = this.every[slot];
        if (known === undefined || compareVersions(known, mark) < 0) this.every[slot] = mark;
      } else {
        const slots = (this.single[database] ??= Array.from({ length: SLOT_COUNT }));
        const known = slots[slot];
        if (known === undefined || compareVersions(known, mark) < 0) slots[slot] = mark;
      }
    }
  }

  /** The slot is gone from this node. */
  forget(slot: number): void {
    if (!this.isUsed) return;
    this.every[slot] = undefined;
    for (const slots of this.single) if (slots !== undefined) slots[slot] = undefined;
  }

  /** The marks of a slot, by database. */
  list(slot: number): DatabaseMark[] {
    const marks: DatabaseMark[] = [];
    for (let database = 0; database < EVERY_DATABASE; database++) {
      const mark = this.single[database]?.[slot];
      if (mark !== undefined) marks.push({ database, mark });
    }
    const every = this.every[slot];
    if (every !== undefined) marks.push({ database: EVERY_DATABASE, mark: every });
    return marks;
  }
}

/** Key of the record that keeps a slot's marks. */
export function slotMarkKey(slot: number): Uint8Array {
  const prefix = SLOT_MARK_PREFIX;
  const key = new Uint8Array(prefix.length + 2);
  key.set(prefix);
  key[prefix.length] = slot >>> 8;
  key[prefix.length + 1] = slot & 0xff;
  return key;
}

export const SLOT_MARK_PREFIX: Uint8Array = localKey('mark');

/** The slot of a key of `slotMarkKey`; undefined: it is another key. */
export function slotOfMarkKey(key: Uint8Array): number | undefined {
  const { length } = SLOT_MARK_PREFIX;
  if (key.length !== length + 2) return undefined;
  for (let i = 0; i < length; i++) if (key[i] !== SLOT_MARK_PREFIX[i]) return undefined;
  return ((key[length] as number) << 8) | (key[length + 1] as number);
}

/** The marks as they stand in the state of a mark's row. */
export function encodeMarks(marks: readonly DatabaseMark[]): Uint8Array {
  const bytes = new Uint8Array(marks.length * MARK_BYTES);
  let at = 0;
  for (const { database, mark } of marks) {
    bytes[at] = database;
    writeVersion(bytes, at + 1, mark);
    at += MARK_BYTES;
  }
  return bytes;
}

/** Throws `DamagedError`. */
export function decodeMarks(bytes: Uint8Array): DatabaseMark[] {
  if (bytes.length % MARK_BYTES !== 0) throw new DamagedError('flush marks of half a length');
  const marks: DatabaseMark[] = [];
  for (let at = 0; at < bytes.length; at += MARK_BYTES) {
    const mark = readVersion(bytes, at + 1);
    if (!Number.isSafeInteger(mark.stamp)) throw new DamagedError('a flush mark above 2^53');
    marks.push({ database: bytes[at] as number, mark });
  }
  return marks;
}

export function encodeMarkRecord(marks: readonly DatabaseMark[], left: readonly RowsLeft[]): Uint8Array {
  const encoded = encodeMarks(marks);
  const bytes = new Uint8Array(2 + encoded.length + left.length * LEFT_BYTES);
  bytes[0] = encoded.length >>> 8;
  bytes[1] = encoded.length & 0xff;
  bytes.set(encoded, 2);
  let at = 2 + encoded.length;
  for (const { database, count } of left) {
    bytes[at] = database;
    writeU32(bytes, at + 1, count);
    at += LEFT_BYTES;
  }
  return bytes;
}

/** Throws `DamagedError`. */
export function decodeMarkRecord(bytes: Uint8Array): { marks: DatabaseMark[]; left: RowsLeft[] } {
  const end = 2 + (((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0));
  if (bytes.length < end || (bytes.length - end) % LEFT_BYTES !== 0) throw new DamagedError('a record of flush marks');
  const left: RowsLeft[] = [];
  for (let at = end; at < bytes.length; at += LEFT_BYTES) {
    left.push({ database: bytes[at] as number, count: readU32(bytes, at + 1) });
  }
  return { marks: decodeMarks(bytes.subarray(2, end)), left };
}
