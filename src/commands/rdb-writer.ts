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

import { copyOf } from '../bytes.ts';
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

export class RdbWriter {
  private readonly parts: Uint8Array[] = [];

  u8(value: number): this {
    this.parts.push(Uint8Array.of(value));
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.parts.push(bytes);
    return this;
  }

  length(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'a length is a safe integer');
    return this.raw(encodeLength(value));
  }

  /** A number of 64 bits as a length: 8 bytes, big-endian. */
  length64(bytes: Uint8Array): this {
    return this.u8(LENGTH_64).raw(bytes);
  }

  string(value: Uint8Array): this {
    return this.raw(encodeString(value));
  }

  /** f64, little-endian. */
  double(value: number): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    return this.raw(bytes);
  }

  /** i64, little-endian: ms since 1970. */
  ms(value: number): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(0, BigInt(value), true);
    return this.raw(bytes);
  }

  /** What was written, followed by room for `tail` bytes. */
  bytes(tail: number): Uint8Array {
    return copyOf(Buffer.concat([...this.parts, new Uint8Array(tail)]));
  }
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
  const bytes = new Uint8Array(9);
  const view = new DataView(bytes.buffer);
  bytes[0] = LENGTH_64;
  view.setBigUint64(1, BigInt(length));
  if (length > 0xffff_ffff) return bytes;
  bytes[4] = LENGTH_32;
  return bytes.subarray(4);
}
