/**
 * The arena: the memory of one memtable and, byte for byte, the image of its WAL file.
 *
 * ```
 * file    header (32 bytes), then groups, one after another, each at a multiple of 4; what follows the last group of
 *         this generation is zeros or the remains of an earlier life of the file
 *
 * header  0   8 bytes  "KVORWAL" and the version of the format, 0x01
 *         8   u64  number of the WAL; WALs are replayed in the order of their numbers
 *         16  u64  sequence of the first record
 *         24  u32  generation: random, new each time the file is used again
 *         28  u32  CRC32C of bytes 0 to 28
 *
 * group   0   u32  CRC32C of the rest of the group: bytes 4 to 32 and the records
 *         4   u32  length of the records in bytes, a multiple of 4
 *         8   u32  generation of the file
 *         12  u32  offset of this group in the file
 *         16  u32  offset up to which this file was known to be durable when the group was closed
 *         20  u32  flags: bit 0, all WALs with smaller numbers were known to be durable then; bit 1, closed cleanly
 *         24  u64  sequence of the first record
 *         32       records (record.ts)
 * ```
 *
 * All numbers are little-endian. A group is what one turn of the event loop wrote, and is valid if and only if its
 * generation is the header's, its offset is where it stands, its first sequence is the one after the last record
 * before it, and its checksum holds. Generation and offset keep remains of earlier lives and misdirected writes from
 * being taken for groups; the generation is random so that a value cannot be made to look like one.
 * How damage is told from a torn tail: recovery.ts.
 *
 * The memory is a SharedArrayBuffer: the WAL writes from it and the thread that flushes reads it, without a copy.
 *
 * Invariants: `end` is a multiple of 4 and at least 32. Bytes below `groupStart` (below `end`, when no group is open)
 * never change again.
 */

import { crc32c } from '@node-rs/crc32';
import { assert } from '../assert.ts';

export const FILE_HEADER_BYTES = 32;
export const GROUP_HEADER_BYTES = 32;

/** "KVOR" and "WAL\x01" as little-endian words. */
export const MAGIC_LOW = 0x524f_564b;
export const MAGIC_HIGH = 0x014c_4157;

export const groupFlag = { OLDER_DURABLE: 1, CLEAN_CLOSE: 2 } as const;

/** Largest arena: offsets in it stay small integers for V8. */
export const MAX_ARENA_BYTES = 0x7fff_fff0;

const TWO_32 = 0x1_0000_0000;

export class Arena {
  buffer: SharedArrayBuffer;
  bytes: Uint8Array;
  /** The same memory as `bytes`. */
  words: Uint32Array;
  /** Where the next record goes. */
  end = FILE_HEADER_BYTES;
  /** Start of the open group; 0: none is open. */
  groupStart = 0;
  /** Start of the newest closed group; 0: there is none. */
  lastGroup = 0;
  recordCount = 0;
  readonly number: number;
  readonly generation: number;
  readonly firstSequence: number;

  /** `memory`: its capacity in bytes, or memory that nobody else uses, of a multiple of 8 bytes. */
  constructor(memory: number | SharedArrayBuffer, number: number, generation: number, firstSequence: number) {
    this.buffer = typeof memory === 'number' ? new SharedArrayBuffer((memory + 7) & ~7) : memory;
    assert(this.buffer.byteLength <= MAX_ARENA_BYTES, 'arena within its limit');
    this.bytes = new Uint8Array(this.buffer);
    this.words = new Uint32Array(this.buffer);
    this.number = number;
    this.generation = generation;
    this.firstSequence = firstSequence;
  }

  /** Sequence of the last record; one less than `firstSequence` when there is none. */
  get lastSequence(): number {
    return this.firstSequence + this.recordCount - 1;
  }

  /** Writes the header of the file; a replayed file has it already. */
  writeHeader(): void {
    const words = this.words;
    words[0] = MAGIC_LOW;
    words[1] = MAGIC_HIGH;
    words[2] = this.number;
    words[3] = this.number / TWO_32;
    words[4] = this.firstSequence;
    words[5] = this.firstSequence / TWO_32;
    words[6] = this.generation;
    words[7] = crc32c(this.bytes.subarray(0, 28));
  }

  /** Opens a group for the next records. Requires: none is open. */
  openGroup(): void {
    assert(this.groupStart === 0, 'one group at a time');
    // Memory that one batch has filled to the last byte still takes the group that says "closed cleanly".
    if (this.end + GROUP_HEADER_BYTES > this.bytes.length) this.grow(this.end + GROUP_HEADER_BYTES);
    const firstSequence = this.firstSequence + this.recordCount;
    const word = this.end >> 2;
    this.words[word + 6] = firstSequence;
    this.words[word + 7] = firstSequence / TWO_32;
    this.groupStart = this.end;
    this.end += GROUP_HEADER_BYTES;
  }

  /** Fills in the header of the open group and returns where the group starts; it ends at `end`. */
  closeGroup(durableOffset: number, flags: number): number {
    const start = this.groupStart;
    assert(start !== 0, 'a group is open');
    const word = start >> 2;
    const words = this.words;
    words[word + 1] = this.end - start - GROUP_HEADER_BYTES;
    words[word + 2] = this.generation;
    words[word + 3] = start;
    words[word + 4] = durableOffset;
    words[word + 5] = flags;
    words[word] = crc32c(this.bytes.subarray(start + 4, this.end));
    this.groupStart = 0;
    this.lastGroup = start;
    return start;
  }

  /** Gives up the memory, for another arena; nothing can be read here any more. */
  release(): SharedArrayBuffer {
    const memory = this.buffer;
    this.buffer = new SharedArrayBuffer(0);
    this.bytes = new Uint8Array(this.buffer);
    this.words = new Uint32Array(this.buffer);
    return memory;
  }

  /** Moves to larger memory. Whoever holds views of the old memory keeps what they saw. */
  grow(capacity: number): void {
    assert(capacity <= MAX_ARENA_BYTES, 'arena within its limit');
    const old = this.bytes;
    this.buffer = new SharedArrayBuffer((capacity + 7) & ~7);
    this.bytes = new Uint8Array(this.buffer);
    this.words = new Uint32Array(this.buffer);
    this.bytes.set(old.subarray(0, this.end));
  }
}

/** The u64 in two words of an arena, as a safe integer (more would be a damaged number: it becomes inexact). */
export function wideWord(words: Uint32Array, word: number): number {
  return (words[word] as number) + (words[word + 1] as number) * TWO_32;
}

export type FileHeader = { readonly number: number; readonly firstSequence: number; readonly generation: number };

/** The header of a WAL file, or undefined when these bytes are not one. */
export function readFileHeader(bytes: Uint8Array, words: Uint32Array): FileHeader | undefined {
  if (bytes.length < FILE_HEADER_BYTES || words[0] !== MAGIC_LOW || words[1] !== MAGIC_HIGH) return undefined;
  if (words[7] !== crc32c(bytes.subarray(0, 28))) return undefined;
  return { number: wideWord(words, 2), firstSequence: wideWord(words, 4), generation: words[6] as number };
}
