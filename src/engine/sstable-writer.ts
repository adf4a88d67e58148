/**
 * SSTables: immutable files of records in order. Format, version 1.
 *
 * ```
 * file     data block* | index partition* | tail
 * tail     filter | range tombstones | index | properties | footer
 * piece    payload | encoding u8: 0 raw, 1 lz4 (length u32, then an LZ4 block) | checksum u32
 * footer   0   u64  number of the table (it is in the name of the file too)
 *          8   u64  length of the file
 *          16  4 × { offset u64, length u64 }  filter, range tombstones, index, properties; length 0: there is none
 *          80  u32  flags: bit 0, the index has two levels
 *          84  u32  length of the tail
 *          88  u32  CRC32C of bytes 0 to 88 and 92 to 104
 *          92  u32  0
 *          96  "KVORSST" and the version of the format, 0x01
 * ```
 *
 * All numbers are little-endian; every piece but the footer has the trailer of `piece`, counted in its length. Data
 * blocks (block.ts) follow each other without gaps. The index (key-index.ts) leads to the data blocks or, with two
 * levels, to partitions of 512 entries that do. The filter (bloom-filter.ts) holds the hash of every key and, where the
 * owner gave an extractor, of every key prefix. Range tombstones and properties are blocks; see `TableMeta` for the
 * meaning of the properties.
 *
 * A piece is valid if and only if its checksum is CRC32C(payload, encoding) XOR a word made from table number and offset:
 * so a block written to or read from the wrong place is damage, not data. A file is a table if and only if its footer is
 * valid, names this file's number and length. There is no partial validity: tables are written as `.sst.tmp`, synced,
 * renamed and the directory synced before any manifest names them, so a file that fails is damaged, and recovery never
 * cuts it. What a damaged table may have held is unknown: version-reader.ts answers with an error instead of guessing.
 *
 * Invariants: records come in order (block.ts); a key's records are in one block.
 */

import { assert } from '../assert.ts';
import { compareBytes, copyOf, EMPTY, utf8 } from '../bytes.ts';
import type { Disk, DiskFile } from '../env.ts';
import { BlockBuilder } from './block.ts';
import { buildFilter, DEFAULT_BITS_PER_KEY, hashKey } from './bloom-filter.ts';
import { KeyIndexBuilder } from './key-index.ts';
import { RangeTombstones } from './range-tombstones.ts';
import { kind, type Kind } from './record.ts';
import {
  compressed,
  encodeFooter,
  encodeProperties,
  encodeRangeTombstones,
  encoding,
  FLAT_INDEX_BLOCKS,
  FOOTER_BYTES,
  NO_PIECE,
  PARTITION_BLOCKS,
  pieceChecksum,
  tablePath,
  TRAILER_BYTES,
  type Handle,
  type TableMeta,
} from './sstable-format.ts';

/**
 * Payload of a data block at which it is closed, as in LevelDB and RocksDB. 20,000 hot keys of 100 bytes in 3 million stand in
 * 133 MB of blocks of 8 KiB and in 74 MB of these; a miss costs less, and indexes grow from 0.4 to 0.8 bytes a record.
 */
export const DEFAULT_BLOCK_BYTES = 4 * 1024;

/** Bytes gathered before they go to the disk in one write. */
const WRITE_BYTES = 1 << 20;
const BUFFER_BYTES = WRITE_BYTES + 64 * 1024;

/** A value this large gets a block of its own, so that its neighbours can be read without it. */
const OWN_BLOCK_BYTES = 16 * 1024;

export interface TableFormat {
  readonly blockBytes: number;
  /** Of data blocks, in levels from `lz4FromLevel` (default 0) on: the upper ones are read and rewritten most. */
  readonly compression: 'none' | 'lz4';
  readonly lz4FromLevel?: number;
  /** 0: no filter. */
  readonly filterBitsPerKey: number;
}

export const defaultTableFormat: TableFormat = {
  blockBytes: DEFAULT_BLOCK_BYTES,
  compression: 'none',
  lz4FromLevel: 2,
  filterBitsPerKey: DEFAULT_BITS_PER_KEY,
};

/** The format of tables that are written to this level. */
export function formatOfLevel(format: TableFormat, level: number): TableFormat {
  return level < (format.lz4FromLevel ?? 0) ? { ...format, compression: 'none' } : format;
}

/** After so many blocks in a row that did not get smaller, only every sixteenth is tried: trying costs most there. */
const HOPELESS_BLOCKS = 4;
const HOPELESS_INTERVAL = 16;

/**
 * Prefixes that filters hold beside whole keys, so that a walk over the keys with one prefix leaves out tables that have
 * none of them. `name` stands in the tables: one that was written by another rule is not asked.
 *
 * Requires of `end`, where the prefix of key[start, end) ends (`start`: it has none): two keys that agree up to there
 * have the same prefix.
 */
export interface KeyPrefix {
  readonly name: string;
  readonly end: (key: Uint8Array, start: number, end: number) => number;
}

export interface TableWriterOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly number: number;
  readonly format: TableFormat;
  readonly createdMs: number;
  readonly prefix?: KeyPrefix | undefined;
}

/** Memory of the last writer, for the next one: a busy thread is slow to collect what each would leave behind. */
const spareBuffers: Uint8Array[] = [];
const spareHashes: Uint32Array[] = [];
const NO_HASHES = new Uint32Array(0);

/** Hashes beyond this are not kept: a table of ordinary size has fewer. */
const KEPT_HASHES = 1 << 20;

export class TableWriter {
  readonly #options: TableWriterOptions;
  readonly #temporaryPath: string;
  readonly #file: DiskFile;
  #buffer = spareBuffers.pop() ?? new Uint8Array(BUFFER_BYTES);
  #buffered = 0;
  /** Bytes handed to the file. */
  #written = 0;
  readonly #block = new BlockBuilder();
  readonly #index = new KeyIndexBuilder();
  #blockOffset = 0;
  /** Blocks in a row that compression was not tried on or did not help. */
  #uncompressed = 0;
  #hashes = spareHashes.pop() ?? new Uint32Array(4096);
  #hashCount = 0;
  #lastPrefix: Uint8Array = EMPTY;
  #firstKey: Uint8Array | undefined;
  #records = 0;
  #tombstones = 0;
  #keyBytes = 0;
  #valueBytes = 0;
  #minSequence = Number.MAX_SAFE_INTEGER;
  #maxSequence = 0;
  #rangeTombstones = RangeTombstones.NONE;

  constructor(options: TableWriterOptions) {
    this.#options = options;
    options.disk.makeDirectory(options.directory);
    this.#temporaryPath = `${tablePath(options.directory, options.number)}.tmp`;
    // Left behind by a process that died; its number was never used.
    if (options.disk.exists(this.#temporaryPath)) options.disk.unlink(this.#temporaryPath);
    this.#file = options.disk.open(this.#temporaryPath, 'create');
  }

  get records(): number {
    return this.#records;
  }

  /** Length of the file so far, without its tail. */
  get byteLength(): number {
    return this.#written + this.#buffered + (this.#block.count === 0 ? 0 : this.#block.byteLength);
  }

  get isEmpty(): boolean {
    return this.#records === 0 && this.#rangeTombstones.count === 0;
  }

  add(
    keyBytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    recordKind: Kind,
    sequence: number,
    valueBytes: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const keyLength = keyEnd - keyStart;
    const valueLength = valueEnd - valueStart;
    const block = this.#block;
    if (!isLastKey(block, keyBytes, keyStart, keyEnd)) {
      if (block.count > 0 && this.#isFull(valueLength)) {
        this.#finishBlock(separator(block.lastKey, block.lastKeyLength, keyBytes, keyStart, keyEnd));
      }
      this.#firstKey ??= copyOf(keyBytes.subarray(keyStart, keyEnd));
      this.#addHashes(keyBytes, keyStart, keyEnd);
    }
    block.add(keyBytes, keyStart, keyEnd, recordKind, sequence, valueBytes, valueStart, valueEnd);
    this.#records++;
    if (recordKind === kind.DELETE) this.#tombstones++;
    this.#keyBytes += keyLength;
    this.#valueBytes += valueLength;
    if (sequence < this.#minSequence) this.#minSequence = sequence;
    if (sequence > this.#maxSequence) this.#maxSequence = sequence;
  }

  /** Requires: at most once, before `finish`. */
  setRangeTombstones(tombstones: RangeTombstones): void {
    this.#rangeTombstones = tombstones;
    for (const { sequences } of tombstones.fragments) {
      this.#maxSequence = Math.max(this.#maxSequence, sequences[0] as number);
      this.#minSequence = Math.min(this.#minSequence, sequences.at(-1) as number);
    }
  }

  /** Writes the rest, makes the file durable under its name and describes it. Requires: it is not empty. */
  finish(): TableMeta {
    const { disk, directory, number, createdMs } = this.#options;
    assert(!this.isEmpty, 'a table has a record');
    const meta = { ...this.#finishFile(), number, createdMs };
    this.#flushBuffer();
    this.#giveBack();
    this.#file.syncSync();
    this.#file.close();
    disk.rename(this.#temporaryPath, tablePath(directory, number));
    disk.syncDirectory(directory);
    return meta;
  }

  /** Gives up: closes and removes the half-written file. */
  abandon(): void {
    this.#giveBack();
    this.#file.close();
    if (this.#options.disk.exists(this.#temporaryPath)) this.#options.disk.unlink(this.#temporaryPath);
  }

  /** Its memory is another's from here on. May be called again. */
  #giveBack(): void {
    if (this.#hashes === NO_HASHES) return;
    if (this.#buffer.length === BUFFER_BYTES && spareBuffers.length === 0) spareBuffers.push(this.#buffer);
    if (this.#hashes.length <= KEPT_HASHES && spareHashes.length === 0) spareHashes.push(this.#hashes);
    this.#buffer = EMPTY;
    this.#hashes = NO_HASHES;
  }

  #finishFile(): Omit<TableMeta, 'number' | 'createdMs'> {
    const { format, number } = this.#options;
    let lastKey = new Uint8Array(0);
    if (this.#block.count > 0) {
      lastKey = this.#block.lastKey.slice(0, this.#block.lastKeyLength);
      this.#finishBlock(lastKey);
    }
    const twoLevel = this.#index.count > FLAT_INDEX_BLOCKS;
    const index = twoLevel ? this.#finishPartitions() : this.#index.finish(this.#blockOffset);
    const tailOffset = this.#offset();
    const bounds = this.#bounds(lastKey);
    const filter =
      format.filterBitsPerKey > 0 && this.#hashCount > 0
        ? this.#writePiece(buildFilter(this.#hashes, this.#hashCount, format.filterBitsPerKey))
        : NO_PIECE;
    const tombstones =
      this.#rangeTombstones.count > 0 ? this.#writePiece(encodeRangeTombstones(this.#rangeTombstones)) : NO_PIECE;
    const indexHandle = this.#writePiece(index);
    const properties = this.#writePiece(encodeProperties(this.#properties(bounds)));
    const fileBytes = this.#offset() + FOOTER_BYTES;
    this.#append(
      encodeFooter({
        fileNumber: number,
        fileBytes,
        tailBytes: fileBytes - tailOffset,
        twoLevel,
        filter,
        rangeTombstones: tombstones,
        index: indexHandle,
        properties,
      }),
    );
    return {
      bytes: fileBytes,
      tailBytes: fileBytes - tailOffset,
      ...bounds,
      records: this.#records,
      tombstones: this.#tombstones,
      minSequence: this.#minSequence,
      maxSequence: this.#maxSequence,
      rangeTombstones: this.#rangeTombstones,
    };
  }

  #bounds(lastKey: Uint8Array): { lower: Uint8Array; upper: Uint8Array } {
    let lower = this.#firstKey;
    let upper: Uint8Array | undefined;
    if (this.#records > 0) {
      upper = new Uint8Array(lastKey.length + 1);
      upper.set(lastKey);
    }
    const first = this.#rangeTombstones.fragments[0];
    const last = this.#rangeTombstones.fragments.at(-1);
    if (first !== undefined && (lower === undefined || compareBytes(first.start, lower) < 0)) lower = first.start;
    if (last !== undefined && (upper === undefined || compareBytes(last.end, upper) > 0)) upper = last.end;
    assert(lower !== undefined && upper !== undefined, 'a table has bounds');
    return { lower, upper };
  }

  #properties(bounds: { lower: Uint8Array; upper: Uint8Array }): Map<string, Uint8Array> {
    const { format, createdMs } = this.#options;
    const numbers = {
      blocks: this.#index.count,
      'created-ms': createdMs,
      'filter-bits-per-key': format.filterBitsPerKey,
      'key-bytes': this.#keyBytes,
      'max-sequence': this.#maxSequence,
      'min-sequence': this.#minSequence,
      'range-tombstones': this.#rangeTombstones.list().length,
      records: this.#records,
      tombstones: this.#tombstones,
      'value-bytes': this.#valueBytes,
    };
    const properties = new Map<string, Uint8Array>([
      ['lower', bounds.lower],
      ['upper', bounds.upper],
      ['compression', utf8(format.compression)],
    ]);
    if (this.#options.prefix !== undefined) properties.set('prefix', utf8(this.#options.prefix.name));
    for (const [name, value] of Object.entries(numbers)) properties.set(name, utf8(String(value)));
    return properties;
  }

  #isFull(nextValueLength: number): boolean {
    return nextValueLength >= OWN_BLOCK_BYTES || this.#block.byteLength >= this.#options.format.blockBytes;
  }

  #finishBlock(indexKey: Uint8Array): void {
    this.#index.add(indexKey, indexKey.length, this.#blockOffset);
    const length = this.#block.byteLength;
    this.#reserve(length + TRAILER_BYTES);
    this.#block.finishInto(this.#buffer, this.#buffered);
    this.#closePiece(length, this.#options.format.compression === 'lz4' && this.#isHopeful());
    this.#blockOffset = this.#offset();
    this.#block.clear();
  }

  #isHopeful(): boolean {
    return this.#uncompressed < HOPELESS_BLOCKS || this.#uncompressed % HOPELESS_INTERVAL === 0;
  }

  /** Writes the partitions of a two-level index and returns its top level. */
  #finishPartitions(): Uint8Array {
    const top = new KeyIndexBuilder();
    for (let from = 0; from < this.#index.count; from += PARTITION_BLOCKS) {
      const to = Math.min(from + PARTITION_BLOCKS, this.#index.count);
      const lastKey = this.#index.key(to - 1);
      const handle = this.#writePiece(this.#index.finish(this.#blockOffset, from, to));
      top.add(lastKey, lastKey.length, handle.offset);
    }
    return top.finish(this.#offset());
  }

  #addHashes(keyBytes: Uint8Array, keyStart: number, keyEnd: number): void {
    if (this.#options.format.filterBitsPerKey === 0) return;
    this.#addHash(hashKey(keyBytes, keyStart, keyEnd));
    const prefixEnd = this.#options.prefix?.end(keyBytes, keyStart, keyEnd) ?? keyStart;
    if (prefixEnd === keyStart || prefixEnd === keyEnd) return;
    const last = this.#lastPrefix;
    const length = prefixEnd - keyStart;
    let same = length === last.length;
    for (let i = 0; same && i < length; i++) same = last[i] === keyBytes[keyStart + i];
    if (same) return;
    this.#lastPrefix = copyOf(keyBytes.subarray(keyStart, prefixEnd));
    this.#addHash(hashKey(keyBytes, keyStart, prefixEnd));
  }

  #addHash(hash: number): void {
    if (this.#hashCount === this.#hashes.length) {
      const larger = new Uint32Array(this.#hashes.length * 2);
      larger.set(this.#hashes);
      this.#hashes = larger;
    }
    this.#hashes[this.#hashCount++] = hash;
  }

  #offset(): number {
    return this.#written + this.#buffered;
  }

  #writePiece(payload: Uint8Array): Handle {
    this.#reserve(payload.length + TRAILER_BYTES);
    this.#buffer.set(payload, this.#buffered);
    return this.#closePiece(payload.length, false);
  }

  /** Makes a piece of the payload that stands in the buffer behind what is buffered, with room for a trailer. */
  #closePiece(payloadBytes: number, compress: boolean): Handle {
    const offset = this.#offset();
    const buffer = this.#buffer;
    const start = this.#buffered;
    const packed = compress ? compressed(buffer.subarray(start, start + payloadBytes)) : undefined;
    this.#uncompressed = packed === undefined ? this.#uncompressed + 1 : 0;
    if (packed !== undefined) buffer.set(packed, start);
    const end = start + (packed?.length ?? payloadBytes);
    buffer[end] = packed === undefined ? encoding.RAW : encoding.LZ4;
    const checksum = pieceChecksum(buffer.subarray(start, end + 1), this.#options.number, offset);
    buffer[end + 1] = checksum;
    buffer[end + 2] = checksum >>> 8;
    buffer[end + 3] = checksum >>> 16;
    buffer[end + 4] = checksum >>> 24;
    const length = end + TRAILER_BYTES - start;
    this.#buffered += length;
    if (this.#buffered >= WRITE_BYTES) this.#flushBuffer();
    return { offset, length };
  }

  #append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#buffered);
    this.#buffered += bytes.length;
  }

  #reserve(length: number): void {
    if (this.#buffered + length <= this.#buffer.length) return;
    this.#flushBuffer();
    if (length > this.#buffer.length) this.#buffer = new Uint8Array(length);
  }

  #flushBuffer(): void {
    if (this.#buffered === 0) return;
    this.#file.writeSync(this.#buffer.subarray(0, this.#buffered), this.#written);
    this.#written += this.#buffered;
    this.#buffered = 0;
    if (this.#buffer.length > BUFFER_BYTES) this.#buffer = new Uint8Array(BUFFER_BYTES);
  }
}

function isLastKey(block: BlockBuilder, keyBytes: Uint8Array, keyStart: number, keyEnd: number): boolean {
  const length = keyEnd - keyStart;
  if (block.count === 0 || block.lastKeyLength !== length) return false;
  const last = block.lastKey;
  // From the end, where neighbours differ.
  for (let i = length - 1; i >= 0; i--) if (last[i] !== keyBytes[keyStart + i]) return false;
  return true;
}

/** A short key that is ≥ last[0, lastLength) and < next[nextStart, nextEnd). Requires: the former < the latter. */
function separator(
  last: Uint8Array,
  lastLength: number,
  next: Uint8Array,
  nextStart: number,
  nextEnd: number,
): Uint8Array {
  const nextLength = nextEnd - nextStart;
  let shared = 0;
  while (shared < lastLength && last[shared] === next[nextStart + shared]) shared++;
  if (shared < lastLength && shared + 1 < nextLength) return copyOf(next.subarray(nextStart, nextStart + shared + 1));
  return last.slice(0, lastLength);
}
