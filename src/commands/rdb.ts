/**
 * Payloads of DUMP and RESTORE, as Redis has them (RDB version 10, Redis 7.0):
 *
 * ```
 * u8 type (0: string) | value | u16 LE RDB version | u64 LE CRC-64 of everything before it
 *
 * string  00LLLLLL                      length, then the bytes
 *         01LLLLLL LLLLLLLL             14-bit length
 *         10000000 u32 BE               32-bit length
 *         10000001 u64 BE               64-bit length
 *         11000000 i8, 11000001 i16 LE, 11000010 i32 LE     the decimal text of an integer
 *         11000011 length, length, LZF stream               compressed and original length
 * ```
 *
 * A payload is valid if its version is not above RDB_VERSION_MAX, its checksum is right, and the value fills it.
 * Versions 11 and 12 (Redis 7.2 to 8) changed nothing about strings, so their payloads are taken too.
 */

import { parseSafeInteger } from './number.ts';
import { writeCrc64 } from './rdb-crc64.ts';
import { compressLzf, decompressLzf } from './rdb-lzf.ts';

export const RDB_VERSION = 10;
export const RDB_VERSION_MAX = 12;

const TYPE_STRING = 0;
const FOOTER_BYTES = 10;

const INT8 = 0xc0;
const INT16 = 0xc1;
const INT32 = 0xc2;
const LZF = 0xc3;

/** Longest text that may be an integer of 32 bits. */
const INTEGER_TEXT_MAX = 11;

/** Strings up to this length are never compressed, and compression must save as many bytes, as in Redis. */
const COMPRESS_ABOVE_BYTES = 20;
const MIN_SAVING_BYTES = 4;

/** The payload of a string. */
export function dumpString(value: Uint8Array): Uint8Array {
  const encoded = encodeString(value);
  const payload = new Uint8Array(1 + encoded.length + FOOTER_BYTES);
  payload[0] = TYPE_STRING;
  payload.set(encoded, 1);
  const end = payload.length - FOOTER_BYTES;
  payload[end] = RDB_VERSION & 0xff;
  payload[end + 1] = RDB_VERSION >> 8;
  writeCrc64(payload, end + 2, payload, end + 2);
  return payload;
}

/** Whether version and checksum of a payload are right. */
export function isIntact(payload: Uint8Array): boolean {
  if (payload.length < FOOTER_BYTES) return false;
  const end = payload.length - FOOTER_BYTES;
  if (((payload[end] as number) | ((payload[end + 1] as number) << 8)) > RDB_VERSION_MAX) return false;
  const crc = new Uint8Array(8);
  writeCrc64(crc, 0, payload, end + 2);
  return crc.every((byte, i) => byte === payload[end + 2 + i]);
}

/** The string in an intact payload; undefined when it holds another type or its value is damaged. */
export function restoreString(payload: Uint8Array): Uint8Array | undefined {
  if (payload[0] !== TYPE_STRING) return undefined;
  const reader = new Reader(payload.subarray(0, payload.length - FOOTER_BYTES), 1);
  const value = reader.string();
  return reader.isAtEnd ? value : undefined;
}

function encodeString(value: Uint8Array): Uint8Array {
  if (value.length <= INTEGER_TEXT_MAX) {
    const integer = parseSafeInteger(value, 0, value.length);
    const encoded = encodeInteger(integer);
    if (encoded !== undefined) return encoded;
  }
  if (value.length > COMPRESS_ABOVE_BYTES) {
    const stream = compressLzf(value, value.length - MIN_SAVING_BYTES);
    if (stream !== undefined) {
      return Buffer.concat([Uint8Array.of(LZF), encodeLength(stream.length), encodeLength(value.length), stream]);
    }
  }
  return Buffer.concat([encodeLength(value.length), value]);
}

function encodeInteger(value: number): Uint8Array | undefined {
  if (value >= -0x80 && value <= 0x7f) return Uint8Array.of(INT8, value);
  if (value >= -0x8000 && value <= 0x7fff) return Uint8Array.of(INT16, value, value >> 8);
  if (value !== (value | 0)) return undefined;
  return Uint8Array.of(INT32, value, value >> 8, value >> 16, value >> 24);
}

function encodeLength(length: number): Uint8Array {
  if (length < 0x40) return Uint8Array.of(length);
  if (length < 0x4000) return Uint8Array.of(0x40 | (length >> 8), length);
  return Uint8Array.of(0x80, length >>> 24, length >>> 16, length >>> 8, length);
}

class Reader {
  private readonly bytes: Uint8Array;
  private at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  string(): Uint8Array | undefined {
    const first = this.bytes[this.at];
    if (first === undefined) return undefined;
    if (first === LZF) return this.compressed();
    if (first >= INT8) return this.integer(first);
    const length = this.length();
    return length === undefined ? undefined : this.take(length);
  }

  private compressed(): Uint8Array | undefined {
    this.at++;
    const streamLength = this.length();
    const length = this.length();
    if (streamLength === undefined || length === undefined) return undefined;
    const stream = this.take(streamLength);
    return stream === undefined ? undefined : decompressLzf(stream, length);
  }

  private integer(encoding: number): Uint8Array | undefined {
    const sizes: Readonly<Record<number, number>> = { [INT8]: 1, [INT16]: 2, [INT32]: 4 };
    const size = sizes[encoding];
    this.at++;
    const bytes = size === undefined ? undefined : this.take(size);
    if (size === undefined || bytes === undefined) return undefined;
    return Buffer.from(String(Buffer.from(bytes).readIntLE(0, size)), 'latin1');
  }

  private take(length: number): Uint8Array | undefined {
    if (length > this.bytes.length - this.at) return undefined;
    const part = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return part;
  }

  private length(): number | undefined {
    const first = this.bytes[this.at++];
    if (first === undefined || first >= INT8) return undefined;
    if (first < 0x40) return first;
    if (first < 0x80) return this.bigEndian(1, first & 0x3f);
    if (first === 0x80) return this.bigEndian(4, 0);
    return first === 0x81 ? this.bigEndian(8, 0) : undefined;
  }

  /** A number of `size` bytes after the high bits `start`; beyond the safe integers it is only known to be large. */
  private bigEndian(size: number, start: number): number | undefined {
    let value = start;
    for (let i = 0; i < size; i++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) return undefined;
      value = value * 256 + byte;
    }
    return value;
  }
}
