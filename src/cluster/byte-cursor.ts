/**
 * Writing and reading the binary forms of this folder: big-endian numbers, and texts and byte strings with their length
 * before them. Reading never goes beyond the end and never allocates more than what is there: anything else is damage.
 */

import { assert } from '../assert.ts';
import { textOf, utf8 } from '../bytes.ts';

/** Bytes that are not what their format says. Whoever sent them is broken or foreign. */
export class DamagedError extends Error {
  override readonly name = 'DamagedError';
  readonly code = 'damaged';
}

/** Memory that a writer keeps when it is cleared. */
const MAX_KEPT_BYTES = 64 * 1024;

export class ByteWriter {
  private bytes = new Uint8Array(256);
  private view = new DataView(this.bytes.buffer);
  private end = 0;

  get length(): number {
    return this.end;
  }

  /** Starts over, in the memory that it has; unless that is far more than is usual. */
  clear(): this {
    if (this.bytes.length > MAX_KEPT_BYTES) {
      this.bytes = new Uint8Array(256);
      this.view = new DataView(this.bytes.buffer);
    }
    this.end = 0;
    return this;
  }

  u8(value: number): this {
    this.reserve(1);
    this.view.setUint8(this.end, value);
    this.end += 1;
    return this;
  }

  u16(value: number): this {
    this.reserve(2);
    this.view.setUint16(this.end, value);
    this.end += 2;
    return this;
  }

  u32(value: number): this {
    this.reserve(4);
    this.view.setUint32(this.end, value);
    this.end += 4;
    return this;
  }

  /** A safe integer ≥ 0 as u64. */
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'a safe integer');
    return this.u32(Math.floor(value / 0x1_0000_0000)).u32(value >>> 0);
  }

  f64(value: number): this {
    this.reserve(8);
    this.view.setFloat64(this.end, value);
    this.end += 8;
    return this;
  }

  raw(value: Uint8Array): this {
    this.reserve(value.length);
    this.bytes.set(value, this.end);
    this.end += value.length;
    return this;
  }

  /** UTF-8 with a length of one byte. Requires: at most 255 bytes. */
  text(value: string): this {
    const bytes = utf8(value);
    assert(bytes.length <= 0xff, 'a text of at most 255 bytes');
    return this.u8(bytes.length).raw(bytes);
  }

  /** With a length of four bytes. */
  block(value: Uint8Array): this {
    return this.u32(value.length).raw(value);
  }

  /** Overwrites four bytes that were written before. */
  patchU32(at: number, value: number): void {
    assert(at + 4 <= this.end, 'bytes that were written');
    this.view.setUint32(at, value);
  }

  /** What was written; valid until the next write. */
  written(from = 0): Uint8Array {
    return this.bytes.subarray(from, this.end);
  }

  finish(): Uint8Array {
    return this.bytes.slice(0, this.end);
  }

  private reserve(count: number): void {
    if (this.end + count <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.end + count));
    larger.set(this.bytes.subarray(0, this.end));
    this.bytes = larger;
    this.view = new DataView(larger.buffer);
  }
}

export class ByteReader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at: number;
  private readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = start;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  u16(): number {
    return this.view.getUint16(this.take(2));
  }

  u32(): number {
    return this.view.getUint32(this.take(4));
  }

  /** A u64 that is a safe integer. */
  u64(): number {
    const value = this.u32() * 0x1_0000_0000 + this.u32();
    if (!Number.isSafeInteger(value)) throw new DamagedError('a number above 2^53');
    return value;
  }

  f64(): number {
    return this.view.getFloat64(this.take(8));
  }

  /** A view into the bytes, not a copy. */
  raw(length: number): Uint8Array {
    const from = this.take(length);
    return this.bytes.subarray(from, from + length);
  }

  text(): string {
    return textOf(this.raw(this.u8()));
  }

  block(): Uint8Array {
    return this.raw(this.u32());
  }

  /** Requires nothing to be left. */
  finish(): void {
    if (this.left !== 0) throw new DamagedError(`${this.left} bytes too many`);
  }

  private take(count: number): number {
    if (count > this.left) throw new DamagedError(`${count} bytes wanted, ${this.left} left`);
    const from = this.at;
    this.at += count;
    return from;
  }
}
