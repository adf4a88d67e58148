/**
 * What an owner tells of the rows of whole slots: their names (LIST) and their number (COUNT), and the bytes of both.
 * Big-endian.
 *
 * ```
 * slots          u16 number of ranges | each: u16 first slot | u16 end, exclusive; ascending, apart from each other
 * LIST request   u8 flags: 1 deleted rows too | u8 physical database, 255 = every one and rows of our own
 *                u16 limit | slots | name of the row after which it goes on; empty: from the start
 * LIST answer    u8 complete | rows to the end, each: u32 length of the name | name | u8 type, 0 deleted
 *                version | u64 deadline in ms, 0 = none
 * COUNT request  u8 physical database, 255 = all | u8 1: by slot | slots
 * COUNT answer   u64 live rows; by slot: u32 for each slot in order
 * ```
 *
 * Valid if and only if the lengths fit exactly; anything else is a `DamagedError`. Rows are told in the order of their
 * names. A row under a flush mark is not told, its slot's mark is (it is a row of our own). A list that is not complete has
 * at least one row.
 */

import { latin1 } from '../bytes.ts';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import type { RowType } from './head.ts';
import type { RowName } from './owner-message.ts';
import { readVersion, VERSION_BYTES, writeVersion, type Version } from './version.ts';

/** Rows in one answer at most. */
export const MAX_LISTED = 4_096;

/** In a request: every database. */
export const ANY_DATABASE = 255;

/** Slots [from, end). */
export interface SlotRange {
  readonly from: number;
  readonly end: number;
}

export interface ListRequest {
  readonly slots: readonly SlotRange[];
  readonly database: number;
  /** Deleted rows too, as moves need them. */
  readonly deleted: boolean;
  /** Rows at most; at least 1. */
  readonly limit: number;
  readonly after: RowName | undefined;
}

export interface ListedRow {
  readonly name: RowName;
  /** 0: deleted. */
  readonly type: RowType;
  readonly version: Version;
  /** 0: never. It may have passed. */
  readonly expiresAtMs: number;
}

export interface RowList {
  readonly rows: readonly ListedRow[];
  /** Nothing comes after these. */
  readonly complete: boolean;
}

export interface CountRequest {
  readonly slots: readonly SlotRange[];
  readonly database: number;
  readonly bySlot: boolean;
}

/** The ranges of these slots, which must ascend. */
export function slotRanges(slots: Iterable<number>): SlotRange[] {
  const ranges: { from: number; end: number }[] = [];
  for (const slot of slots) {
    const last = ranges.at(-1);
    if (last?.end === slot) last.end++;
    else ranges.push({ from: slot, end: slot + 1 });
  }
  return ranges;
}

export function encodeListRequest(request: ListRequest): Uint8Array {
  const { limit, after } = request;
  const writer = new ByteWriter();
  writer.u8(Number(request.deleted)).u8(request.database).u16(Math.min(limit, MAX_LISTED));
  writeSlots(writer, request.slots);
  if (after !== undefined) writer.raw(Buffer.from(after, 'latin1'));
  return writer.finish();
}

/** Throws `DamagedError`. */
export function decodeListRequest(payload: Uint8Array): ListRequest {
  const reader = new ByteReader(payload);
  const deleted = flag(reader.u8());
  const database = reader.u8();
  const limit = reader.u16();
  if (limit === 0 || limit > MAX_LISTED) throw new DamagedError('a list of too many rows');
  const slots = readSlots(reader);
  const after = reader.left === 0 ? undefined : latin1(reader.raw(reader.left));
  return { slots, database, deleted, limit, after };
}

export function encodeList(list: RowList): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(Number(list.complete));
  const version = new Uint8Array(VERSION_BYTES);
  for (const row of list.rows) {
    writeVersion(version, 0, row.version);
    writer.block(Buffer.from(row.name, 'latin1')).u8(row.type).raw(version).u64(row.expiresAtMs);
  }
  return writer.finish();
}

/** In memory of its own. Throws `DamagedError`. */
export function decodeList(payload: Uint8Array): RowList {
  const reader = new ByteReader(payload);
  const complete = flag(reader.u8());
  const rows: ListedRow[] = [];
  while (reader.left > 0) {
    const name = latin1(reader.block());
    const type = reader.u8();
    if (type > 6) throw new DamagedError('a listed row of no known type');
    const version = readVersion(reader.raw(VERSION_BYTES), 0);
    if (!Number.isSafeInteger(version.stamp)) throw new DamagedError('a version above 2^53');
    rows.push({ name, type: type as RowType, version, expiresAtMs: reader.u64() });
  }
  return { rows, complete };
}

export function encodeCountRequest(request: CountRequest): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(request.database).u8(Number(request.bySlot));
  writeSlots(writer, request.slots);
  return writer.finish();
}

/** Throws `DamagedError`. */
export function decodeCountRequest(payload: Uint8Array): CountRequest {
  const reader = new ByteReader(payload);
  const database = reader.u8();
  const bySlot = flag(reader.u8());
  const slots = readSlots(reader);
  reader.finish();
  return { slots, database, bySlot };
}

/** `counts`: one for each slot in order, or their sum alone. */
export function encodeCounts(counts: readonly number[], bySlot: boolean): Uint8Array {
  const writer = new ByteWriter();
  if (bySlot) for (const count of counts) writer.u32(count);
  else writer.u64(counts.reduce((sum, count) => sum + count, 0));
  return writer.finish();
}

/** Throws `DamagedError`. */
export function decodeCounts(payload: Uint8Array, bySlot: boolean): number[] {
  const reader = new ByteReader(payload);
  if (!bySlot) {
    const sum = reader.u64();
    reader.finish();
    return [sum];
  }
  const counts: number[] = [];
  while (reader.left > 0) counts.push(reader.u32());
  return counts;
}

/** Number of slots in these ranges. */
export function slotCount(ranges: readonly SlotRange[]): number {
  return ranges.reduce((sum, { from, end }) => sum + end - from, 0);
}

export function writeSlots(writer: ByteWriter, ranges: readonly SlotRange[]): void {
  writer.u16(ranges.length);
  for (const { from, end } of ranges) writer.u16(from).u16(end);
}

/** Throws `DamagedError`. */
export function readSlots(reader: ByteReader): SlotRange[] {
  const ranges: SlotRange[] = [];
  let last = -1;
  for (let left = reader.u16(); left > 0; left--) {
    const from = reader.u16();
    const end = reader.u16();
    if (from <= last || end <= from || end > SLOT_COUNT) throw new DamagedError('slots out of order');
    ranges.push({ from, end });
    last = end - 1;
  }
  return ranges;
}

function flag(byte: number): boolean {
  if (byte > 1) throw new DamagedError('a flag that is neither set nor not');
  return byte === 1;
}
