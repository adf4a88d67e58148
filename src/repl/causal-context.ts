/**
 * The causal context that KV.GET hands out and KV.SET and KV.DEL take back: opaque to clients, URL-safe base64. In
 * bytes, big-endian:
 *
 * ```
 * u8 version (1) | u32 CRC32C of the rest | u32 hash of the row's name | u16 entries, each: u64 stamp, u32 actor
 * ```
 *
 * Valid if and only if version, checksum and length fit, the hash is that of the row it is used for, and the actors
 * ascend. Anything else is refused: a context of another key would hide values that its holder never saw.
 */

import { crc32c } from '@node-rs/crc32';
import type { VersionVector } from './siblings.ts';
import { readVersion, VERSION_BYTES, writeVersion, type Version } from './version.ts';

const FORMAT = 1;
const HEADER_BYTES = 11;

/** Entries of a context at most: nodes and lives that ever coordinated a write of one row. */
export const MAX_CONTEXT_ENTRIES = 4_096;

/** `rowName`: the bytes of the row's physical head key. */
export function encodeContext(vector: VersionVector, rowName: Uint8Array): string {
  const bytes = Buffer.alloc(HEADER_BYTES + vector.length * VERSION_BYTES);
  bytes[0] = FORMAT;
  bytes.writeUInt32BE(crc32c(rowName), 5);
  bytes.writeUInt16BE(vector.length, 9);
  let at = HEADER_BYTES;
  for (const entry of vector) {
    writeVersion(bytes, at, entry);
    at += VERSION_BYTES;
  }
  bytes.writeUInt32BE(crc32c(bytes.subarray(5)), 1);
  return bytes.toString('base64url');
}

/** The vector; undefined when the text is no context, or one of another row. The empty text has seen nothing. */
export function decodeContext(text: string, rowName: Uint8Array): VersionVector | undefined {
  if (text === '') return [];
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length < HEADER_BYTES || bytes[0] !== FORMAT || bytes.toString('base64url') !== text) return undefined;
  if (bytes.readUInt32BE(1) !== crc32c(bytes.subarray(5)) || bytes.readUInt32BE(5) !== crc32c(rowName))
    return undefined;
  const count = bytes.readUInt16BE(9);
  if (count > MAX_CONTEXT_ENTRIES || bytes.length !== HEADER_BYTES + count * VERSION_BYTES) return undefined;
  const vector: Version[] = [];
  for (let i = 0; i < count; i++) {
    const entry = readVersion(bytes, HEADER_BYTES + i * VERSION_BYTES);
    const before = vector.at(-1);
    if (!Number.isSafeInteger(entry.stamp) || (before !== undefined && before.actor >= entry.actor)) return undefined;
    vector.push(entry);
  }
  return vector;
}
