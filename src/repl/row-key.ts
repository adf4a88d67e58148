/**
 * Physical keys: where a row's cells stand in the engine.
 *
 * ```
 * head of a row      slot u16 BE | database u8 | key, escaped | 0x00
 * element of a row   head | element tag u8 (1..0xfe) | element bytes
 * expiry index       0x4000 u16 BE | deadline u64 BE (ms) | head of the row          (value empty)
 * rows of this node  0x4001 u16 BE | name                                            (flush marks, counts, …)
 * ```
 *
 * Escaping writes a zero byte of the key as 0x00 0xff, so that rows are in key order within a slot and database,
 * and the cells of a row stand together, head first (the tuple encoding of FoundationDB). Database 255 holds rows of
 * our own. The expiry index stands behind all slots; it is derived from the heads by whoever applies them and is
 * never sent to another node.
 */

import { copyOf } from '../bytes.ts';
import { crc16, OPEN_BRACE, SLOT_MASK, slotOf } from '../cluster/slot.ts';

export const SYSTEM_DATABASE = 255;

/** First two bytes of the expiry index: one more than the last slot. */
export const EXPIRY_PREFIX = 0x4000;

/** First two bytes of the rows that belong to this node alone. */
export const LOCAL_PREFIX = 0x4001;

/** Element tag of a string's bytes when they do not fit into the head. */
export const STRING_ELEMENT = 0x01;

/** Element tag of the cells of a large collection: see element-cells.ts. */
export const CELL_ELEMENT = 0x02;

/** Bytes of a head's key besides the escaped key. */
export const HEAD_OVERHEAD = 4;

/** Upper bound of the physical length of a key of `keyLength` bytes. */
export function maxHeadLength(keyLength: number): number {
  return HEAD_OVERHEAD + 2 * keyLength;
}

/**
 * Writes the head key of `key` at target[at…] and returns where it ends.
 * Requires: room for maxHeadLength(key.length).
 */
export function writeHeadKey(target: Uint8Array, at: number, database: number, key: Uint8Array): number {
  return writeHeadKeyOf(target, at, database, key, 0, key.length);
}

/** As `writeHeadKey`, of the key bytes[start, keyEnd). */
export function writeHeadKeyOf(
  target: Uint8Array,
  at: number,
  database: number,
  bytes: Uint8Array,
  start: number,
  keyEnd: number,
): number {
  let crc = 0;
  let mayHaveTag = false;
  let end = at + 3;
  // One walk: each byte of a loop costs more than what is done with it.
  for (let i = start; i < keyEnd; i++) {
    const byte = bytes[i] as number;
    target[end++] = byte;
    crc = crc16(crc, byte);
    if (byte === 0) target[end++] = 0xff;
    else if (byte === OPEN_BRACE) mayHaveTag = true;
  }
  target[end++] = 0;
  const slot = mayHaveTag ? slotOf(bytes, start, keyEnd) : crc & SLOT_MASK;
  target[at] = slot >>> 8;
  target[at + 1] = slot & 0xff;
  target[at + 2] = database;
  return end;
}

/** The head key of `key` in memory of its own. */
export function headKey(database: number, key: Uint8Array): Uint8Array {
  const whole = new Uint8Array(maxHeadLength(key.length));
  return whole.slice(0, writeHeadKey(whole, 0, database, key));
}

/** Slot of a physical key. */
export function slotOfHead(physical: Uint8Array): number {
  return ((physical[0] as number) << 8) | (physical[1] as number);
}

export function databaseOfHead(physical: Uint8Array): number {
  return physical[2] as number;
}

/** Where the head part of a physical row key ends: one past its terminator. */
export function headEnd(physical: Uint8Array, start = 0): number {
  let at = start + 3;
  for (;;) {
    const zero = physical.indexOf(0, at);
    if (zero < 0) return physical.length;
    if (zero + 1 < physical.length && physical[zero + 1] === 0xff) {
      at = zero + 2;
      continue;
    }
    return zero + 1;
  }
}

/** The user's key of a head key that begins at `start`, in memory of its own. */
export function keyOfHead(physical: Uint8Array, start = 0): Uint8Array {
  const end = headEnd(physical, start) - 1;
  const from = start + 3;
  const zero = physical.indexOf(0, from);
  if (zero < 0 || zero >= end) return copyOf(physical.subarray(from, end));
  const key = new Uint8Array(end - from);
  let length = 0;
  for (let i = from; i < end; i++) {
    const byte = physical[i] as number;
    key[length++] = byte;
    if (byte === 0) i++;
  }
  return key.subarray(0, length);
}

/** First physical key of a slot and database, or of what follows it. */
export function databaseStart(slot: number, database: number): Uint8Array {
  return Uint8Array.of(slot >>> 8, slot & 0xff, database);
}

/** Exclusive end of a slot and database. */
export function databaseEnd(slot: number, database: number): Uint8Array {
  return database < 255 ? databaseStart(slot, database + 1) : Uint8Array.of((slot + 1) >>> 8, (slot + 1) & 0xff);
}

/** A key above every cell of the row with this head key and below every other row: element tags stop at 0xfe. */
export function rowEnd(head: Uint8Array): Uint8Array {
  const end = new Uint8Array(head.length + 1);
  end.set(head);
  end[head.length] = 0xff;
  return end;
}

/** Expiry index entry for a row: its deadline in milliseconds, then its head key. */
export function expiryKey(deadlineMs: number, head: Uint8Array, headLength = head.length): Uint8Array {
  const key = new Uint8Array(10 + headLength);
  key[0] = EXPIRY_PREFIX >>> 8;
  key[1] = EXPIRY_PREFIX & 0xff;
  writeStamp(key, 2, deadlineMs);
  key.set(head.subarray(0, headLength), 10);
  return key;
}

/** Key of a row that belongs to this node alone. */
export function localKey(name: string): Uint8Array {
  return Uint8Array.of(LOCAL_PREFIX >>> 8, LOCAL_PREFIX & 0xff, ...Buffer.from(name));
}

export function deadlineOfExpiryKey(key: Uint8Array): number {
  return readStamp(key, 2);
}

/** Writes a safe integer as u64 BE. */
export function writeStamp(target: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  const low = value >>> 0;
  target[at] = high >>> 24;
  target[at + 1] = high >>> 16;
  target[at + 2] = high >>> 8;
  target[at + 3] = high;
  target[at + 4] = low >>> 24;
  target[at + 5] = low >>> 16;
  target[at + 6] = low >>> 8;
  target[at + 7] = low;
}

/** Reads a u64 BE that is a safe integer. */
export function readStamp(source: Uint8Array, at: number): number {
  const high =
    ((source[at] as number) << 24) |
    ((source[at + 1] as number) << 16) |
    ((source[at + 2] as number) << 8) |
    (source[at + 3] as number);
  const low =
    (((source[at + 4] as number) << 24) |
      ((source[at + 5] as number) << 16) |
      ((source[at + 6] as number) << 8) |
      (source[at + 7] as number)) >>>
    0;
  return high * 0x1_0000_0000 + low;
}
