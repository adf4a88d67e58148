/**
 * The packed forms in which Redis keeps small collections, as far as they stand in RDB values.
 *
 * ```
 * listpack  u32 LE bytes | u16 LE elements (65535: not known) | elements | 0xff
 * element   0nnnnnnn                       7 bits without sign
 *           10LLLLLL bytes                 up to 63 bytes
 *           110nnnnn nnnnnnnn              13 bits with sign
 *           1110LLLL LLLLLLLL bytes        up to 4095 bytes
 *           11110000 u32 LE bytes          any string
 *           11110001 i16, 11110010 i24, 11110011 i32, 11110100 i64, little-endian
 *           then its own length in 1 to 5 bytes, 7 bits each, the highest first; all but the first have bit 7
 *
 * ziplist   u32 LE bytes | u32 LE last entry | u16 LE entries | entries | 0xff
 * entry     length of the one before: u8, or 0xfe u32 LE
 *           00LLLLLL, 01LLLLLL LLLLLLLL, 10000000 u32 BE: bytes
 *           11000000 i16, 11010000 i32, 11100000 i64, 11110000 i24, 11111110 i8, little-endian; 1111nnnn: n - 1
 *
 * intset    u32 LE bytes of an integer (2, 4, 8) | u32 LE integers | integers, little-endian
 * ```
 */

import { DamagedError } from '../cluster/byte-cursor.ts';
import { INT64_MAX, INT64_MIN, parseInt64 } from './number.ts';

const END = 0xff;
const HEADER_BYTES = 6;
const UNKNOWN_COUNT = 0xffff;

const STRING_32 = 0xf0;
const INT_16 = 0xf1;
const INT_24 = 0xf2;
const INT_32 = 0xf3;
const INT_64 = 0xf4;

/** The text of an integer of `size` bytes, little-endian. */
function integerText(bytes: Uint8Array, at: number, size: number): Uint8Array {
  if (at + size > bytes.length) throw new DamagedError('an integer that is cut');
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return textOf(size === 8 ? buffer.readBigInt64LE(at) : buffer.readIntLE(at, size));
}

function textOf(value: number | bigint): Uint8Array {
  return Buffer.from(String(value), 'latin1');
}

function part(bytes: Uint8Array, at: number, length: number): Uint8Array {
  if (at + length > bytes.length) throw new DamagedError('a string that is cut');
  return bytes.subarray(at, at + length);
}

function viewOf(bytes: Uint8Array, least: number): DataView {
  if (bytes.length < least) throw new DamagedError('a packed collection that is cut');
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Bytes of the length that stands behind an element of `length` bytes. */
function trailerBytes(length: number): number {
  if (length <= 127) return 1;
  if (length < 16_383) return 2;
  if (length < 2_097_151) return 3;
  return length < 268_435_455 ? 4 : 5;
}

/** The elements of a listpack; integers as texts. Throws `DamagedError`. */
export function readListpack(bytes: Uint8Array): Uint8Array[] {
  const view = viewOf(bytes, HEADER_BYTES + 1);
  if (view.getUint32(0, true) !== bytes.length) throw new DamagedError('a listpack of another length');
  const count = view.getUint16(4, true);
  const elements: Uint8Array[] = [];
  let at = HEADER_BYTES;
  while (bytes[at] !== END) {
    if (at >= bytes.length) throw new DamagedError('a listpack without an end');
    const [value, length] = listpackElement(bytes, at);
    elements.push(value);
    at += length + trailerBytes(length);
  }
  if (at !== bytes.length - 1 || (count !== UNKNOWN_COUNT && count !== elements.length)) {
    throw new DamagedError('a listpack with another number of elements');
  }
  return elements;
}

function listpackElement(bytes: Uint8Array, at: number): readonly [value: Uint8Array, length: number] {
  const first = bytes[at] as number;
  const second = bytes[at + 1] ?? 0;
  if (first < 0x80) return [textOf(first), 1];
  if (first < 0xc0) return [part(bytes, at + 1, first & 0x3f), 1 + (first & 0x3f)];
  if (first < 0xe0) {
    const value = ((first & 0x1f) << 8) | second;
    return [textOf(value >= 0x1000 ? value - 0x2000 : value), 2];
  }
  if (first < 0xf0) {
    const length = ((first & 0x0f) << 8) | second;
    return [part(bytes, at + 2, length), 2 + length];
  }
  if (first === STRING_32) {
    const length = viewOf(bytes, at + 5).getUint32(at + 1, true);
    return [part(bytes, at + 5, length), 5 + length];
  }
  const size = { [INT_16]: 2, [INT_24]: 3, [INT_32]: 4, [INT_64]: 8 }[first];
  if (size === undefined) throw new DamagedError('an element of an unknown form');
  return [integerText(bytes, at + 1, size), 1 + size];
}

/** A listpack with these elements; texts of integers are written as integers. */
export function writeListpack(elements: readonly (Uint8Array | number | bigint)[]): Uint8Array {
  let most = HEADER_BYTES + 1;
  for (const element of elements) most += element instanceof Uint8Array ? element.length + 10 : 10;
  const bytes = new Uint8Array(most);
  const view = new DataView(bytes.buffer);
  let end = HEADER_BYTES;
  for (const element of elements) {
    const start = end;
    end = writeElement(bytes, view, start, element);
    end = writeTrailer(bytes, end, end - start);
  }
  bytes[end++] = END;
  view.setUint32(0, end, true);
  view.setUint16(4, Math.min(elements.length, UNKNOWN_COUNT), true);
  return bytes.subarray(0, end);
}

function writeElement(bytes: Uint8Array, view: DataView, at: number, element: Uint8Array | number | bigint): number {
  if (!(element instanceof Uint8Array)) return writeInteger(bytes, view, at, element);
  const integer = parseInt64(element, 0, element.length);
  return integer === undefined ? writeString(bytes, view, at, element) : writeInteger(bytes, view, at, integer);
}

function writeInteger(bytes: Uint8Array, view: DataView, at: number, value: number | bigint): number {
  if (value >= 0 && value < 0x80) {
    bytes[at] = Number(value);
    return at + 1;
  }
  if (value >= -0x1000 && value < 0x1000) {
    view.setUint16(at, 0xc000 | (Number(value) & 0x1fff));
    return at + 2;
  }
  if (value < INT64_MIN || value > INT64_MAX) throw new DamagedError('an integer beyond 64 bits');
  if (value < -0x8000_0000 || value >= 0x8000_0000) {
    bytes[at] = INT_64;
    view.setBigInt64(at + 1, BigInt(value), true);
    return at + 9;
  }
  const size = value >= -0x8000 && value < 0x8000 ? 2 : value >= -0x80_0000 && value < 0x80_0000 ? 3 : 4;
  bytes[at] = INT_16 + size - 2;
  let rest = Number(value);
  for (let i = 1; i <= size; i++, rest >>= 8) bytes[at + i] = rest;
  return at + 1 + size;
}

function writeString(bytes: Uint8Array, view: DataView, at: number, value: Uint8Array): number {
  const { length } = value;
  let start = at + 1;
  if (length < 0x40) bytes[at] = 0x80 | length;
  else if (length < 0x1000) {
    view.setUint16(at, 0xe000 | length);
    start = at + 2;
  } else {
    bytes[at] = STRING_32;
    view.setUint32(at + 1, length, true);
    start = at + 5;
  }
  bytes.set(value, start);
  return start + length;
}

function writeTrailer(bytes: Uint8Array, at: number, length: number): number {
  const size = trailerBytes(length);
  let rest = length;
  for (let i = size - 1; i >= 0; i--) {
    bytes[at + i] = (rest & 0x7f) | (i === 0 ? 0 : 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return at + size;
}

/** The entries of a ziplist; integers as texts. Throws `DamagedError`. */
export function readZiplist(bytes: Uint8Array): Uint8Array[] {
  const view = viewOf(bytes, 11);
  if (view.getUint32(0, true) !== bytes.length) throw new DamagedError('a ziplist of another length');
  const count = view.getUint16(8, true);
  const entries: Uint8Array[] = [];
  let at = 10;
  while (bytes[at] !== END) {
    if (at >= bytes.length) throw new DamagedError('a ziplist without an end');
    at += bytes[at] === 0xfe ? 5 : 1;
    const [value, length] = ziplistEntry(bytes, at, view);
    entries.push(value);
    at += length;
  }
  if (at !== bytes.length - 1 || (count !== UNKNOWN_COUNT && count !== entries.length)) {
    throw new DamagedError('a ziplist with another number of entries');
  }
  return entries;
}

function ziplistEntry(bytes: Uint8Array, at: number, view: DataView): readonly [value: Uint8Array, length: number] {
  const first = bytes[at] as number;
  if (first < 0x40) return [part(bytes, at + 1, first), 1 + first];
  if (first < 0x80) {
    const length = ((first & 0x3f) << 8) | (bytes[at + 1] ?? 0);
    return [part(bytes, at + 2, length), 2 + length];
  }
  if (first === 0x80) {
    viewOf(bytes, at + 5);
    const length = view.getUint32(at + 1);
    return [part(bytes, at + 5, length), 5 + length];
  }
  if (first > 0xf0 && first < 0xfe) return [textOf((first & 0x0f) - 1), 1];
  const size = { 0xc0: 2, 0xd0: 4, 0xe0: 8, 0xf0: 3, 0xfe: 1 }[first];
  if (size === undefined) throw new DamagedError('an entry of an unknown form');
  return [integerText(bytes, at + 1, size), 1 + size];
}

/** The integers of an intset as texts. Throws `DamagedError`. */
export function readIntset(bytes: Uint8Array): Uint8Array[] {
  const view = viewOf(bytes, 8);
  const size = view.getUint32(0, true);
  const count = view.getUint32(4, true);
  if ((size !== 2 && size !== 4 && size !== 8) || bytes.length !== 8 + size * count) {
    throw new DamagedError('an intset of another length');
  }
  return Array.from({ length: count }, (_, i) => integerText(bytes, 8 + i * size, size));
}
