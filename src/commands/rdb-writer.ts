/**
 * Writes the parts that RDB values are made of:
 *
 * ```
 * length  00LLLLLL                      6 bits
 *         01LLLLLL LLLLLLLL             14 bits
 *         10000000 u32 BE, 10000001 u64 BE
 * string  length, then the bytes
 *         11000000 i8, 11000001 i16 LE, 11000010 i32 LE     the decimal text of an integer
 *         11000011 length, length, LZF stream               compressed and original length
 * ```
 */

import { assert } from '../assert.ts';
import { parseSafeInteger } from './number.ts';
import { compressLzf } from './rdb-lzf.ts';

export const INT8 = 0xc0;
export const INT16 = 0xc1;
export const INT32 = 0xc2;
export const LZF = 0xc3;
export const LENGTH_32 = 0x80;
export const LENGTH_64 = 0x81;

/** Longest text that may be an integer of 32 bits. */
const INTEGER_TEXT_MAX = 11;

/** Strings up to this length are never compressed, and compression must save as many bytes, as in Redis. */
const COMPRESS_ABOVE_BYTES = 20;
const MIN_SAVING_BYTES = 4;

const FIRST_BYTES = 256;

export class RdbWriter {
  private written: Uint8Array = new Uint8Array(FIRST_BYTES);
  private end = 0;
  private view = new DataView(this.written.buffer);

  u8(value: number): this {
    this.room(1);
    this.written[this.end++] = value;
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.room(bytes.length);
    this.written.set(bytes, this.end);
    this.end += bytes.length;
    return this;
  }

  length(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'a length is a safe integer');
    if (value < 0x40) return this.u8(value);
    if (value < 0x4000) return this.u8(0x40 | (value >> 8)).u8(value & 0xff);
    this.room(9);
    if (value <= 0xffff_ffff) {
      this.view.setUint32(this.end + 1, value);
      this.written[this.end] = LENGTH_32;
      this.end += 5;
      return this;
    }
    this.view.setBigUint64(this.end + 1, BigInt(value));
    this.written[this.end] = LENGTH_64;
    this.end += 9;
    return this;
  }

  /** A number of 64 bits as a length: 8 bytes, big-endian. */
  length64(bytes: Uint8Array): this {
    return this.u8(LENGTH_64).raw(bytes);
  }

  string(value: Uint8Array): this {
    if (value.length <= INTEGER_TEXT_MAX) {
      const encoded = encodeInteger(parseSafeInteger(value, 0, value.length));
      if (encoded !== undefined) return this.raw(encoded);
    }
    if (value.length > COMPRESS_ABOVE_BYTES) {
      const stream = compressLzf(value, value.length - MIN_SAVING_BYTES);
      if (stream !== undefined) return this.u8(LZF).length(stream.length).length(value.length).raw(stream);
    }
    return this.length(value.length).raw(value);
  }

  /** f64, little-endian. */
  double(value: number): this {
    this.room(8);
    this.view.setFloat64(this.end, value, true);
    this.end += 8;
    return this;
  }

  /** i64, little-endian: ms since 1970. */
  ms(value: number): this {
    this.room(8);
    this.view.setBigInt64(this.end, BigInt(value), true);
    this.end += 8;
    return this;
  }

  /** What was written, followed by room for `tail` bytes. */
  bytes(tail: number): Uint8Array {
    const bytes = new Uint8Array(this.end + tail);
    bytes.set(this.written.subarray(0, this.end));
    return bytes;
  }

  private room(length: number): void {
    if (this.end + length <= this.written.length) return;
    const longer = new Uint8Array(Math.max(2 * this.written.length, this.end + length));
    longer.set(this.written.subarray(0, this.end));
    this.written = longer;
    this.view = new DataView(longer.buffer);
  }
}

function encodeInteger(value: number): Uint8Array | undefined {
  if (value >= -0x80 && value <= 0x7f) return Uint8Array.of(INT8, value);
  if (value >= -0x8000 && value <= 0x7fff) return Uint8Array.of(INT16, value, value >> 8);
  if (value !== (value | 0)) return undefined;
  return Uint8Array.of(INT32, value, value >> 8, value >> 16, value >> 24);
}
