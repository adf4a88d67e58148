/**
 * Redis's 16,384 hash slots: CRC16 (XMODEM: polynomial 0x1021, start 0) of the key or of its hash tag, modulo
 * 16,384. The hash tag is what stands between the first `{` and the first `}` after it, when that is not empty
 * (Redis Cluster specification, "Hash tags").
 */

export const SLOT_COUNT = 16_384;

export const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const table = crc16Table();

/** The CRC with one more byte: for whoever goes over the key anyway. The slot is `crc & SLOT_MASK`. */
export function crc16(crc: number, byte: number): number {
  return ((crc << 8) & 0xffff) ^ (table[((crc >> 8) ^ byte) & 0xff] as number);
}

export const SLOT_MASK = SLOT_COUNT - 1;

function crc16Table(): Uint16Array {
  const entries = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) !== 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    entries[byte] = crc;
  }
  return entries;
}

/** Slot of the key bytes[start, end). */
export function slotOf(bytes: Uint8Array, start: number, end: number): number {
  let from = start;
  let to = end;
  for (let i = start; i < end; i++) {
    if (bytes[i] !== OPEN_BRACE) continue;
    let close = i + 1;
    while (close < end && bytes[close] !== CLOSE_BRACE) close++;
    if (close < end && close > i + 1) {
      from = i + 1;
      to = close;
    }
    break;
  }
  let crc = 0;
  for (let i = from; i < to; i++) crc = crc16(crc, bytes[i] as number);
  return crc & SLOT_MASK;
}
