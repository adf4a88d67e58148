/** Reads the parts that RDB values are made of (rdb-writer.ts). What does not fit is a `DamagedError`. */

import { DamagedError } from '../cluster/byte-cursor.ts';
import { decompressLzf } from './rdb-lzf.ts';
import { INT16, INT32, INT8, LENGTH_32, LENGTH_64, LZF } from './rdb-writer.ts';

const INTEGER_BYTES: Readonly<Record<number, number>> = { [INT8]: 1, [INT16]: 2, [INT32]: 4 };

export class RdbReader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  u8(): number {
    return this.raw(1)[0] as number;
  }

  /** The next bytes, as a view. */
  raw(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) throw new DamagedError('a value that is cut');
    const part = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return part;
  }

  /** Beyond the safe integers it is only known to be large. */
  length(): number {
    const first = this.u8();
    if (first < 0x40) return first;
    if (first < 0x80) return (first & 0x3f) * 256 + this.u8();
    if (first === LENGTH_32) return this.bigEndian(4);
    if (first === LENGTH_64) return this.bigEndian(8);
    throw new DamagedError('a length of an unknown form');
  }

  /** A number of 64 bits that was written as a length: 8 bytes, big-endian. */
  length64(): Uint8Array {
    if (this.bytes[this.at] === LENGTH_64) {
      this.at++;
      return this.raw(8);
    }
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(this.length()));
    return bytes;
  }

  /** How many items follow, each of at least one byte. */
  count(): number {
    const count = this.length();
    if (count > this.bytes.length - this.at) throw new DamagedError('more items announced than there are bytes');
    return count;
  }

  /** A string; a view of the bytes where it stands there as it is. */
  string(): Uint8Array {
    const first = this.bytes[this.at];
    if (first === LZF) return this.compressed();
    if (first !== undefined && first >= INT8) return this.integer(first);
    return this.raw(this.length());
  }

  double(): number {
    const bytes = this.raw(8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
  }

  /** ms since 1970, not below 0. */
  ms(): number {
    const bytes = this.raw(8);
    const value = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigInt64(0, true));
    return Math.min(Math.max(value, 0), Number.MAX_SAFE_INTEGER);
  }

  private compressed(): Uint8Array {
    this.at++;
    const streamLength = this.length();
    const length = this.length();
    const whole = decompressLzf(this.raw(streamLength), length);
    if (whole === undefined) throw new DamagedError('a compressed string that is damaged');
    return whole;
  }

  private integer(encoding: number): Uint8Array {
    const size = INTEGER_BYTES[encoding];
    this.at++;
    if (size === undefined) throw new DamagedError('a string of an unknown form');
    return Buffer.from(String(Buffer.from(this.raw(size)).readIntLE(0, size)), 'latin1');
  }

  private bigEndian(size: number): number {
    let value = 0;
    for (const byte of this.raw(size)) value = value * 256 + byte;
    return value;
  }
}
