/**
 * Bloom filters in cache lines: all bits of a key stand in one line of 64 bytes, so a look-up touches one line of
 * memory. (Putze, Sanders, Singler, "Cache-, hash- and space-efficient Bloom filters", 2007; the way to draw the bits
 * from one multiplied word is RocksDB's FastLocalBloom.)
 *
 * ```
 * filter   lines 64 bytes × n | bits per key set k u8
 * ```
 *
 * A key with hash h has line floor(h × n / 2^32). Its i-th bit is the top nine bits of g × 0x9e3779b9^(i+1) mod 2^32,
 * where g is `remix(h)`. With 10 bits a key and k = 6 about 1.1 % of absent keys are taken for present.
 */

import { assert } from '../assert.ts';

export const LINE_BYTES = 64;

/** 10 bits a key: one absent key in about 90 costs a block read; each bit more costs a tenth more memory. */
export const DEFAULT_BITS_PER_KEY = 10;

const STEP = 0x9e3779b9;

/** MurmurHash3 (x86, 32 bits; Appleby, public domain) of bytes[start, end). Part of the table format. */
export function hashKey(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x4b76_6f72;
  let at = start;
  for (const stop = end - 3; at < stop; at += 4) {
    let word =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    word = Math.imul(word, 0xcc9e2d51);
    word = Math.imul((word << 15) | (word >>> 17), 0x1b873593);
    hash ^= word;
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (let shift = 0; at < end; at++, shift += 8) rest |= (bytes[at] as number) << shift;
  rest = Math.imul(rest, 0xcc9e2d51);
  hash ^= Math.imul((rest << 15) | (rest >>> 17), 0x1b873593);
  hash ^= end - start;
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function remix(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39);
}

/** A filter of these hashes. `hashes` may repeat. */
export function buildFilter(hashes: Uint32Array, count: number, bitsPerKey: number): Uint8Array {
  const lines = Math.max(1, Math.ceil((count * bitsPerKey) / (LINE_BYTES * 8)));
  const bitsSet = Math.min(12, Math.max(1, Math.round(bitsPerKey * 0.6)));
  const filter = new Uint8Array(lines * LINE_BYTES + 1);
  filter[lines * LINE_BYTES] = bitsSet;
  for (let i = 0; i < count; i++) {
    const hash = hashes[i] as number;
    const line = Math.floor((hash * lines) / 0x1_0000_0000) * LINE_BYTES;
    let bits = remix(hash);
    for (let bit = 0; bit < bitsSet; bit++) {
      bits = Math.imul(bits, STEP);
      const at = line + (bits >>> 26);
      filter[at] = (filter[at] as number) | (1 << ((bits >>> 23) & 7));
    }
  }
  return filter;
}

/** False: no key with this hash was added to filter[start, end). */
export function mayContain(filter: Uint8Array, start: number, end: number, hash: number): boolean {
  const lines = (end - start - 1) / LINE_BYTES;
  const line = start + Math.floor((hash * lines) / 0x1_0000_0000) * LINE_BYTES;
  const bitsSet = filter[end - 1] as number;
  let bits = remix(hash);
  for (let bit = 0; bit < bitsSet; bit++) {
    bits = Math.imul(bits, STEP);
    if (((filter[line + (bits >>> 26)] as number) & (1 << ((bits >>> 23) & 7))) === 0) return false;
  }
  return true;
}

/** Whether these bytes have the shape of a filter. */
export function isFilter(start: number, end: number): boolean {
  const bytes = end - start;
  assert(bytes >= 0, 'a range');
  return bytes > LINE_BYTES && (bytes - 1) % LINE_BYTES === 0;
}
