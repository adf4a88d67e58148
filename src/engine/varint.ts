/**
 * Variable-length integers: seven bits a byte, lowest first; the high bit says that another byte follows. Up to 53
 * bits, so that every safe integer fits; a number takes 1 to 8 bytes.
 */

import { assert } from '../assert.ts';
import { copyOf } from '../bytes.ts';

/** Most bytes that `writeVarint` writes. */
export const MAX_VARINT_BYTES = 8;

export function varintBytes(value: number): number {
  let count = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) count++;
  return count;
}

/** Writes `value` at target[at] and returns where it ends. Requires: a safe integer ≥ 0, room for it. */
export function writeVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value;
  let end = at;
  while (rest > 0x7fff_ffff) {
    target[end++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest >= 0x80) {
    target[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[end++] = rest;
  return end;
}

/** Reads varints one after another from bytes that may be damaged: a read past the end is an assertion error. */
export class VarintReader {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  number(): number {
    let value = 0;
    let unit = 1;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      assert(this.at < this.end, 'varint within its bytes');
      const byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
      unit *= 0x80;
    }
    throw new RangeError('varint of more than 8 bytes');
  }

  /** A byte string with its length before it; a copy. */
  string(): Uint8Array {
    const length = this.number();
    assert(this.at + length <= this.end, 'byte string within its bytes');
    const copy = copyOf(this.bytes.subarray(this.at, this.at + length));
    this.at += length;
    return copy;
  }
}

/** Bytes that grow while one writes; the counterpart of `VarintReader`. */
export class VarintWriter {
  bytes = new Uint8Array(256);
  length = 0;

  number(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, 'a safe integer');
    this.#reserve(MAX_VARINT_BYTES);
    this.length = writeVarint(this.bytes, this.length, value);
    return this;
  }

  string(value: Uint8Array): this {
    this.number(value.length);
    this.#reserve(value.length);
    this.bytes.set(value, this.length);
    this.length += value.length;
    return this;
  }

  /** What was written; a copy. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  #reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.length + count, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}
