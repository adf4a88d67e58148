/**
 * The keys of fields and members among the elements of a hash or a set: scattered, so that a part of the key space has
 * its share of the elements, whatever they are called.
 *
 * ```
 * u24 BE  scatter: the upper bits of a hash of the member      the member
 * ```
 *
 * That makes two things cheap without anything kept for them: a random element (collection-random.ts), and a cursor of
 * HSCAN and SSCAN that is a place in the scatter and holds through restarts and at every node (collection-scan.ts). The
 * hash stands in what is stored, so it never changes: FNV-1a over the bytes, then the finalizer of MurmurHash3.
 */

import { copyOf } from '../bytes.ts';

/** Bytes before the member. */
export const SCATTER_BYTES = 3;

/** Values of the scatter. */
export const SCATTER_RANGE = 2 ** (8 * SCATTER_BYTES);

/** The key of the member bytes[start, end), in memory of its own. */
export function memberKey(bytes: Uint8Array, start = 0, end: number = bytes.length): Uint8Array {
  const key = new Uint8Array(SCATTER_BYTES + end - start);
  let hash = 0x811c9dc5;
  for (let i = start, at = SCATTER_BYTES; i < end; i++) {
    const byte = bytes[i] as number;
    key[at++] = byte;
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  key[0] = hash >>> 24;
  key[1] = hash >>> 16;
  key[2] = hash >>> 8;
  return key;
}

/** The member of a key, as a view of it. */
export function memberOf(key: Uint8Array): Uint8Array {
  return key.subarray(SCATTER_BYTES);
}

/** The member of a key, in memory of its own. */
export function memberCopy(key: Uint8Array): Uint8Array {
  return copyOf(key.subarray(SCATTER_BYTES));
}

/** The scatter of a key. */
export function scatterOf(key: Uint8Array): number {
  return ((key[0] as number) << 16) | ((key[1] as number) << 8) | (key[2] as number);
}

/** The least key with this scatter; undefined beyond the last. */
export function scatterKey(scatter: number): Uint8Array | undefined {
  if (scatter >= SCATTER_RANGE) return undefined;
  return Uint8Array.of(scatter >>> 16, scatter >>> 8, scatter);
}
