/** What a table says of itself, for tools that cannot or do not ask the manifest. */

import { textOf } from '../bytes.ts';
import { RangeTombstones } from '../engine/range-tombstones.ts';
import {
  decodeFooter,
  decodeRangeTombstones,
  FOOTER_BYTES,
  tableDamage,
  tablePath,
  type TableMeta,
} from '../engine/sstable-format.ts';
import { parseTail, type TableTail } from '../engine/sstable-reader.ts';
import type { Disk } from '../env.ts';

export interface OpenedTail {
  readonly bytes: number;
  readonly tailBytes: number;
  readonly tail: TableTail;
}

/** Reads the tail, with everything in it checked. Throws `corruption` or a `DiskError`. */
export function readTail(disk: Disk, directory: string, number: number): OpenedTail {
  const file = disk.open(tablePath(directory, number), 'read');
  try {
    const bytes = file.size();
    const footerBytes = new Uint8Array(Math.min(FOOTER_BYTES, bytes));
    file.readSync(footerBytes, bytes - footerBytes.length);
    const { tailBytes } = decodeFooter(footerBytes, number, bytes);
    if (tailBytes > bytes) throw tableDamage(number, bytes - FOOTER_BYTES, 'the tail is longer than the file');
    const tail = new Uint8Array(tailBytes);
    file.readSync(tail, bytes - tailBytes);
    return { bytes, tailBytes, tail: parseTail(tail, number, bytes) };
  } finally {
    file.close();
  }
}

/** The description that the manifest had of the table. Throws `corruption` or a `DiskError`. */
export function readTableMeta(disk: Disk, directory: string, number: number): TableMeta {
  const { bytes, tailBytes, tail } = readTail(disk, directory, number);
  const property = (name: string): Uint8Array => {
    const value = tail.properties.get(name);
    if (value === undefined) throw tableDamage(number, bytes - tailBytes, `the property ${name} is missing`);
    return value;
  };
  const count = (name: string): number => Number(textOf(property(name)));
  return {
    number,
    bytes,
    tailBytes,
    lower: property('lower'),
    upper: property('upper'),
    records: count('records'),
    tombstones: count('tombstones'),
    minSequence: count('min-sequence'),
    maxSequence: count('max-sequence'),
    rangeTombstones:
      tail.rangeTombstones === undefined ? RangeTombstones.NONE : decodeRangeTombstones(tail.rangeTombstones),
    createdMs: count('created-ms'),
  };
}
