/** Writes what can still be read of a damaged table into a new one. */

import { KeyIndex } from '../engine/key-index.ts';
import { BlockCursor } from '../engine/block-reader.ts';
import { RangeTombstones } from '../engine/range-tombstones.ts';
import {
  decodeFooter,
  decodeRangeTombstones,
  FOOTER_BYTES,
  openPiece,
  tablePath,
  type Handle,
  type TableMeta,
} from '../engine/sstable-format.ts';
import { defaultTableFormat, TableWriter } from '../engine/sstable-writer.ts';
import type { Disk, DiskFile } from '../env.ts';
import { messageOf, printable } from './tool.ts';

export interface SalvageOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly number: number;
  /** Number of the new table. */
  readonly newNumber: number;
  readonly createdMs: number;
}

export interface Salvaged {
  /** The new table, durable; undefined: nothing could be read. */
  readonly meta: TableMeta | undefined;
  /** What is gone, in words, one entry for each block. */
  readonly lost: readonly string[];
}

/** Throws a `DiskError` when the new table cannot be written. */
export function salvageTable(options: SalvageOptions): Salvaged {
  const { disk, directory, number } = options;
  const lost: string[] = [];
  let file: DiskFile | undefined;
  try {
    let tail: SavedTail;
    try {
      file = disk.open(tablePath(directory, number), 'read');
      tail = readTail(file, number, lost);
    } catch (error) {
      return { meta: undefined, lost: [`everything: ${messageOf(error)}`] };
    }
    return { meta: writeSaved(options, file, tail, lost), lost };
  } finally {
    file?.close();
  }
}

function writeSaved(options: SalvageOptions, from: DiskFile, tail: SavedTail, lost: string[]): TableMeta | undefined {
  const { disk, directory, number, newNumber, createdMs } = options;
  const writer = new TableWriter({ disk, directory, number: newNumber, format: defaultTableFormat, createdMs });
  try {
    new LenientReader(from, number, tail, lost).readAll(writer);
    writer.setRangeTombstones(tail.rangeTombstones);
    if (!writer.isEmpty) return writer.finish();
    writer.abandon();
    return undefined;
  } catch (error) {
    writer.abandon();
    throw error;
  }
}

/** What of a tail is needed to read the blocks, and what is not in them. */
interface SavedTail {
  readonly index: KeyIndex;
  readonly twoLevel: boolean;
  readonly rangeTombstones: RangeTombstones;
}

/**
 * Reads the pieces of the tail that cannot be made anew: the filter and the properties can. Throws `corruption` when the
 * footer or the index is damaged, or a `DiskError`; other losses are noted.
 */
function readTail(file: DiskFile, number: number, lost: string[]): SavedTail {
  const bytes = file.size();
  const footerBytes = new Uint8Array(Math.min(FOOTER_BYTES, bytes));
  file.readSync(footerBytes, bytes - footerBytes.length);
  const footer = decodeFooter(footerBytes, number, bytes);
  const piece = ({ offset, length }: Handle): Uint8Array => {
    const content = new Uint8Array(Math.min(length, Math.max(0, bytes - offset)));
    return openPiece(content, 0, file.readSync(content, offset), number, offset);
  };
  const index = KeyIndex.parse(piece(footer.index));
  let rangeTombstones = RangeTombstones.NONE;
  try {
    if (footer.rangeTombstones.length > 0) rangeTombstones = decodeRangeTombstones(piece(footer.rangeTombstones));
  } catch (error) {
    lost.push(`all range tombstones: ${messageOf(error)}`);
  }
  return { index, twoLevel: footer.twoLevel, rangeTombstones };
}

class LenientReader {
  readonly #file: DiskFile;
  readonly #number: number;
  readonly #tail: SavedTail;
  readonly #lost: string[];
  readonly #cursor = new BlockCursor();
  /** Index key of the block before. */
  #before: Uint8Array | undefined;

  constructor(file: DiskFile, number: number, tail: SavedTail, lost: string[]) {
    this.#file = file;
    this.#number = number;
    this.#tail = tail;
    this.#lost = lost;
  }

  readAll(writer: TableWriter): void {
    const tail = this.#tail;
    if (!tail.twoLevel) {
      this.#readBlocks(tail.index, writer);
      return;
    }
    for (let i = 0; i < tail.index.count; i++) {
      const partition = this.#piece(tail.index, i);
      if (partition !== undefined) this.#readBlocks(KeyIndex.parse(partition), writer);
    }
  }

  #readBlocks(index: KeyIndex, writer: TableWriter): void {
    for (let i = 0; i < index.count; i++) {
      const block = this.#piece(index, i);
      if (block === undefined) continue;
      const cursor = this.#cursor;
      cursor.open(block);
      while (cursor.next()) {
        const { keyBytes, keyStart, keyEnd, kind, sequence, valueStart, valueEnd } = cursor;
        writer.add(keyBytes, keyStart, keyEnd, kind, sequence, block, valueStart, valueEnd);
      }
    }
  }

  /** The piece that entry `i` of an index leads to; undefined when it is damaged, which is noted. */
  #piece(index: KeyIndex, i: number): Uint8Array | undefined {
    const offset = index.offset(i);
    const bytes = new Uint8Array(index.offset(i + 1) - offset);
    const upTo = index.key(i);
    const from = this.#before;
    this.#before = upTo;
    try {
      const count = this.#file.readSync(bytes, offset);
      return openPiece(bytes, 0, count, this.#number, offset);
    } catch (error) {
      const after = from === undefined ? 'keys' : `keys after ${printable(from)}`;
      this.#lost.push(`${after} up to ${printable(upTo)}: ${messageOf(error)}`);
      return undefined;
    }
  }
}
