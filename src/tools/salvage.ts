/** Writes what can still be read of a damaged table into a new one. */

import { KeyIndex } from '../engine/key-index.ts';
import { BlockCursor } from '../engine/block-reader.ts';
import {
  decodeFooter,
  decodeRangeTombstones,
  FOOTER_BYTES,
  openPiece,
  tableDamage,
  tablePath,
  type TableMeta,
} from '../engine/sstable-format.ts';
import { parseTail, type TableTail } from '../engine/sstable-reader.ts';
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
  const { disk, directory, number, newNumber, createdMs } = options;
  let opened: OpenedTail;
  try {
    opened = readTail(disk, directory, number);
  } catch (error) {
    return { meta: undefined, lost: [`everything: ${messageOf(error)}`] };
  }
  const lost: string[] = [];
  const file = disk.open(tablePath(directory, number), 'read');
  const writer = new TableWriter({ disk, directory, number: newNumber, format: defaultTableFormat, createdMs });
  try {
    const reader = new LenientReader(file, number, opened, lost);
    reader.readAll(writer);
    const { rangeTombstones } = opened.tail;
    if (rangeTombstones !== undefined) writer.setRangeTombstones(decodeRangeTombstones(rangeTombstones));
    if (!writer.isEmpty) return { meta: writer.finish(), lost };
    writer.abandon();
    return { meta: undefined, lost };
  } catch (error) {
    writer.abandon();
    throw error;
  } finally {
    file.close();
  }
}

interface OpenedTail {
  readonly bytes: number;
  readonly tailBytes: number;
  readonly tail: TableTail;
}

/** Reads the tail, with everything in it checked. Throws `corruption` or a `DiskError`. */
function readTail(disk: Disk, directory: string, number: number): OpenedTail {
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

class LenientReader {
  readonly #file: DiskFile;
  readonly #number: number;
  readonly #opened: OpenedTail;
  readonly #lost: string[];
  readonly #cursor = new BlockCursor();
  /** Index key of the block before. */
  #before: Uint8Array | undefined;

  constructor(file: DiskFile, number: number, opened: OpenedTail, lost: string[]) {
    this.#file = file;
    this.#number = number;
    this.#opened = opened;
    this.#lost = lost;
  }

  readAll(writer: TableWriter): void {
    const { tail } = this.#opened;
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
