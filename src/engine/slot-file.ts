/**
 * A small content that is replaced as a whole, durably and without ever holding the event loop: two files, written in turn.
 *
 * ```
 * file     <name>-0, <name>-1
 * content  0   7 bytes that say what it is, and the version of the format u8
 *          8   u64  generation
 *          16  u32  length of the content
 *          20  u32  CRC32C of bytes 0 to 20 and of the content
 *          24  the content; what stands behind it is left from a longer one
 * ```
 *
 * Numbers are little-endian. A file is valid if and only if these bytes, the version, the length and the checksum hold; an
 * empty one was never written. Of two valid files the one with the larger generation counts. The file that counts is never
 * written to, so a torn write leaves it as it was; no name changes, so no directory has to be synced.
 *
 * Requires: one write at a time.
 */

import { crc32c } from '@node-rs/crc32';
import { dirname } from 'node:path';
import { assert } from '../assert.ts';
import { EMPTY, utf8 } from '../bytes.ts';
import type { Disk } from '../env.ts';

const HEADER_BYTES = 24;
const FORMAT = 1;
const TWO_32 = 0x1_0000_0000;

/** What one of the two files holds. */
export interface Slot {
  readonly state: 'missing' | 'empty' | 'damaged' | 'valid';
  /** 0 unless it is valid. */
  readonly generation: number;
  readonly content: Uint8Array;
}

export class SlotFile {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #magic: Uint8Array;
  /** Number and generation of the file that counts. */
  #kept: number;
  #generation: number;
  #written: number;

  /** `path` without the number; `magic`: 7 characters. Makes both files unless they are there. */
  static open(disk: Disk, path: string, magic: string): SlotFile {
    let isNew = false;
    for (const number of [0, 1]) {
      if (disk.exists(slotPath(path, number))) continue;
      disk.open(slotPath(path, number), 'create').close();
      isNew = true;
    }
    if (isNew) disk.syncDirectory(dirname(path));
    return new SlotFile(disk, path, magic);
  }

  private constructor(disk: Disk, path: string, magic: string) {
    this.#disk = disk;
    this.#path = path;
    this.#magic = utf8(magic);
    const [first, second] = readSlots(disk, path, magic);
    this.#kept = second.generation > first.generation ? 1 : 0;
    this.#generation = Math.max(first.generation, second.generation);
    this.#written = this.#kept;
  }

  /** Writes the content to the file that does not count. It does from now on, for whoever opens the file. */
  async write(content: Uint8Array): Promise<void> {
    this.#written = 1 - this.#kept;
    const header = new Uint8Array(HEADER_BYTES);
    header.set(this.#magic);
    header[7] = FORMAT;
    const view = new DataView(header.buffer);
    const generation = this.#generation + 1;
    view.setUint32(8, generation % TWO_32, true);
    view.setUint32(12, Math.floor(generation / TWO_32), true);
    view.setUint32(16, content.length, true);
    view.setUint32(20, checksumOf(header, content), true);
    const bytes = new Uint8Array(HEADER_BYTES + content.length);
    bytes.set(header);
    bytes.set(content, HEADER_BYTES);
    const file = this.#disk.open(slotPath(this.#path, this.#written), 'write');
    try {
      await file.write(bytes, 0);
      await file.sync();
    } finally {
      file.close();
    }
  }

  /** What was written last stands for good: the next write goes to the other file. Else it goes to the same one. */
  keep(): void {
    assert(this.#written !== this.#kept, 'something was written');
    this.#kept = this.#written;
    this.#generation++;
  }
}

/** Both files as they are, number 0 first. Throws a `DiskError` when one cannot be read. */
export function readSlots(disk: Disk, path: string, magic: string): readonly [Slot, Slot] {
  return [readSlot(disk, slotPath(path, 0), magic), readSlot(disk, slotPath(path, 1), magic)];
}

function readSlot(disk: Disk, path: string, magic: string): Slot {
  if (!disk.exists(path)) return { state: 'missing', generation: 0, content: EMPTY };
  const file = disk.open(path, 'read');
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(file.size());
    bytes = bytes.subarray(0, file.readSync(bytes, 0));
  } finally {
    file.close();
  }
  if (bytes.length === 0) return { state: 'empty', generation: 0, content: EMPTY };
  const damaged: Slot = { state: 'damaged', generation: 0, content: EMPTY };
  if (bytes.length < HEADER_BYTES || bytes[7] !== FORMAT) return damaged;
  if (!utf8(magic).every((byte, i) => bytes[i] === byte)) return damaged;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = HEADER_BYTES + view.getUint32(16, true);
  if (end > bytes.length) return damaged;
  const content = bytes.subarray(HEADER_BYTES, end);
  if (view.getUint32(20, true) !== checksumOf(bytes, content)) return damaged;
  const generation = view.getUint32(8, true) + view.getUint32(12, true) * TWO_32;
  return { state: 'valid', generation, content };
}

function checksumOf(header: Uint8Array, content: Uint8Array): number {
  return crc32c(content, crc32c(header.subarray(0, 20)));
}

function slotPath(path: string, number: number): string {
  return `${path}-${number}`;
}
