/**
 * The value of a string row with siblings (flag SIBLINGS of its head and of its state), big-endian:
 *
 * ```
 * u16 entries of the vector | each: u64 stamp, u32 actor, by actor
 * u16 values | each: u64 stamp, u32 actor: dot | u64 deadline in ms, 0 = none | u32 length | value; by dot
 * ```
 *
 * Valid if and only if the lengths fit exactly and there is at least one value; anything else is a `DamagedError`.
 */

import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import type { Sibling, SiblingRow } from './siblings.ts';
import { readVersion, VERSION_BYTES, writeVersion, type Version } from './version.ts';

const version = new Uint8Array(VERSION_BYTES);

/** In memory of its own. Requires: at least one value. */
export function encodeSiblings(row: SiblingRow): Uint8Array {
  const out = new ByteWriter();
  out.u16(row.vector.length);
  for (const entry of row.vector) put(out, entry);
  out.u16(row.values.length);
  for (const sibling of row.values) {
    put(out, sibling.dot);
    out.u64(sibling.expiresAtMs).block(sibling.value);
  }
  return out.finish();
}

function put(out: ByteWriter, of: Version): void {
  writeVersion(version, 0, of);
  out.raw(version);
}

/** The values are views into `bytes`. Throws `DamagedError`. */
export function decodeSiblings(bytes: Uint8Array): SiblingRow {
  const from = new ByteReader(bytes);
  const vector: Version[] = [];
  for (let left = from.u16(); left > 0; left--) vector.push(readVersion(from.raw(VERSION_BYTES), 0));
  const values: Sibling[] = [];
  for (let left = from.u16(); left > 0; left--) {
    const dot = readVersion(from.raw(VERSION_BYTES), 0);
    values.push({ dot, expiresAtMs: from.u64(), value: from.block() });
  }
  from.finish();
  if (values.length === 0) throw new DamagedError('siblings without a value');
  return { vector, values };
}

/** The value that a plain GET shows: that of the highest dot, on every owner the same; a view into `bytes`. */
export function visibleSibling(bytes: Uint8Array): Uint8Array {
  return (decodeSiblings(bytes).values.at(-1) as Sibling).value;
}
