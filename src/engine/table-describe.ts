/** A table's description out of the table itself, for repair and tools that have no manifest. */

import { textOf } from '../bytes.ts';
import type { Disk } from '../env.ts';
import { RangeTombstones } from './range-tombstones.ts';
import {
  decodeFooter,
  decodeRangeTombstones,
  FOOTER_BYTES,
  tableDamage,
  tablePath,
  type TableMeta,
} from './sstable-format.ts';
import { parseTail } from './sstable-reader.ts';

/**
 * What `TableWriter.finish` said of this table. Only the tail is read: `verifyTable` checks the rest against it. Throws
 * `corruption` when footer or tail are damaged, and a `DiskError` when the file cannot be read.
 */
export function describeTable(disk: Disk, directory: string, number: number): TableMeta {
  const file = disk.open(tablePath(directory, number), 'read');
  try {
    const bytes = file.size();
    const read = (length: number): Uint8Array => {
      const target = new Uint8Array(Math.min(length, bytes));
      return target.subarray(0, file.readSync(target, bytes - target.length));
    };
    const { tailBytes } = decodeFooter(read(FOOTER_BYTES), number, bytes);
    const tail = parseTail(read(tailBytes), number, bytes);
    const property = (name: string): Uint8Array => {
      const value = tail.properties.get(name);
      if (value === undefined) throw tableDamage(number, bytes - tailBytes, `the property ${name} is missing`);
      return value;
    };
    const numeric = (name: string): number => Number(textOf(property(name)));
    return {
      number,
      bytes,
      tailBytes,
      lower: property('lower'),
      upper: property('upper'),
      records: numeric('records'),
      tombstones: numeric('tombstones'),
      minSequence: numeric('min-sequence'),
      maxSequence: numeric('max-sequence'),
      rangeTombstones:
        tail.rangeTombstones === undefined ? RangeTombstones.NONE : decodeRangeTombstones(tail.rangeTombstones),
      createdMs: numeric('created-ms'),
    };
  } finally {
    file.close();
  }
}
