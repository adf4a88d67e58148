/**
 * CRC-64 as Redis's RDB files and DUMP payloads have it: the polynomial of Jones, 0xad93d23594c935a9, reflected,
 * starting from 0. Check value of "123456789": e9c6d914c4b8d9ca.
 *
 * Kept as two 32-bit halves, so that no BigInt is made for each byte.
 */

/** 0xad93d23594c935a9 with its bits reversed. */
const POLYNOMIAL_HIGH = 0x95ac_9329;
const POLYNOMIAL_LOW = 0xac4b_c9b5;

const tableHigh = new Uint32Array(256);
const tableLow = new Uint32Array(256);

for (let byte = 0; byte < 256; byte++) {
  let high = 0;
  let low = byte;
  for (let bit = 0; bit < 8; bit++) {
    const carry = (low & 1) !== 0;
    low = ((low >>> 1) | (high << 31)) >>> 0;
    high >>>= 1;
    if (carry) {
      high ^= POLYNOMIAL_HIGH;
      low ^= POLYNOMIAL_LOW;
    }
  }
  tableHigh[byte] = high;
  tableLow[byte] = low;
}

/** A checksum that is made piece by piece. */
export class Crc64 {
  private high = 0;
  private low = 0;

  /** Goes on with bytes[start, end). */
  update(bytes: Uint8Array, start: number, end: number): void {
    let { high, low } = this;
    for (let i = start; i < end; i++) {
      const entry = (low ^ (bytes[i] as number)) & 0xff;
      low = ((low >>> 8) | (high << 24)) ^ (tableLow[entry] as number);
      high = (high >>> 8) ^ (tableHigh[entry] as number);
    }
    this.high = high;
    this.low = low;
  }

  /** Writes it at target[at…], 8 bytes, little-endian. */
  write(target: Uint8Array, at: number): void {
    const { high, low } = this;
    for (let i = 0; i < 4; i++) {
      target[at + i] = low >>> (8 * i);
      target[at + 4 + i] = high >>> (8 * i);
    }
  }
}

/** Writes the checksum of bytes[0, end) at target[at…], 8 bytes, little-endian. */
export function writeCrc64(target: Uint8Array, at: number, bytes: Uint8Array, end: number): void {
  const crc = new Crc64();
  crc.update(bytes, 0, end);
  crc.write(target, at);
}
