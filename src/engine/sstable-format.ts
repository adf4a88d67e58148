/**
 * What the writer and the readers of SSTables share: names, the checksum of a piece, footer, properties, description.
 * The layout of the whole file is specified in sstable-writer.ts.
 */

import { crc32c } from '@node-rs/crc32';
import { compressSync, uncompressSync } from 'lz4-napi';
import { copyOf, textOf, utf8 } from '../bytes.ts';
import { BlockCursor } from './block-reader.ts';
import { BlockBuilder } from './block.ts';
import { EngineError } from './engine-error.ts';
import { kind } from './record.ts';
import { RangeTombstones } from './range-tombstones.ts';

export const FOOTER_BYTES = 104;

/** After each piece: its encoding u8 and its checksum u32. */
export const TRAILER_BYTES = 5;

export const encoding = { RAW: 0, LZ4: 1 } as const;

/** Blocks in one partition of a two-level index: about 12 KiB of index for keys of 16 bytes. */
export const PARTITION_BLOCKS = 512;

/** Tables with more blocks than this have a two-level index (16 MiB at 8 KiB a block, 48 KiB of index). */
export const FLAT_INDEX_BLOCKS = 2048;

const MAGIC = utf8('KVORSST\x01');
const FLAG_TWO_LEVEL = 1;
const TWO_32 = 0x1_0000_0000;

/** All that the engine knows of a table without reading it. Its keys are in [lower, upper). */
export interface TableMeta {
  readonly number: number;
  /** Length of the file. */
  readonly bytes: number;
  /** Length of its last part: filter, range tombstones, index, properties and footer. */
  readonly tailBytes: number;
  readonly lower: Uint8Array;
  readonly upper: Uint8Array;
  /** Records, tombstones included, range tombstones not. */
  readonly records: number;
  readonly tombstones: number;
  /** Smallest and largest sequence, range tombstones included. */
  readonly minSequence: number;
  readonly maxSequence: number;
  readonly rangeTombstones: RangeTombstones;
  /** Wall clock when the records last went through a flush or a compaction. */
  readonly createdMs: number;
}

export function tableName(number: number): string {
  return `${String(number).padStart(6, '0')}.sst`;
}

export function tablePath(directory: string, number: number): string {
  return `${directory}/${tableName(number)}`;
}

/** Number of the table with this file name; undefined for other files. Half-written tables end in `.sst.tmp`. */
export function tableNumber(name: string): number | undefined {
  const match = /^(\d{6,16})\.sst$/.exec(name);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}

/** A word that depends on the place of a piece, so that a block read from elsewhere does not pass for it. */
function placeWord(fileNumber: number, offset: number): number {
  let word = Math.imul((fileNumber % TWO_32) ^ 0x5bd1e995, 0x85ebca6b) ^ Math.floor(fileNumber / TWO_32);
  word = Math.imul(word ^ (word >>> 15), 0xc2b2ae35) ^ (offset % TWO_32);
  word = Math.imul(word ^ (word >>> 13), 0x27d4eb2f) ^ Math.floor(offset / TWO_32);
  return Math.imul(word ^ (word >>> 16), 0x9e3779b1);
}

/** Checksum of a piece: CRC32C of payload and encoding, mixed with its place. */
export function pieceChecksum(payloadAndEncoding: Uint8Array, fileNumber: number, offset: number): number {
  return (crc32c(payloadAndEncoding) ^ placeWord(fileNumber, offset)) >>> 0;
}

/** Compresses a payload if that saves at least an eighth. */
export function compressed(payload: Uint8Array): Uint8Array | undefined {
  const packed = compressSync(Buffer.from(payload.buffer, payload.byteOffset, payload.length));
  return packed.length <= payload.length - (payload.length >>> 3) ? packed : undefined;
}

function u32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  );
}

export function tableDamage(fileNumber: number, offset: number, what: string): EngineError {
  return new EngineError('corruption', `table ${tableName(fileNumber)} is damaged at offset ${offset}: ${what}`);
}

/**
 * The payload of the piece bytes[start, end), which stands at `offset` of the file. A raw payload is a view of `bytes`.
 * Throws `corruption` when its checksum does not hold.
 */
export function openPiece(
  bytes: Uint8Array,
  start: number,
  end: number,
  fileNumber: number,
  offset: number,
): Uint8Array {
  const payloadEnd = end - TRAILER_BYTES;
  if (payloadEnd < start) throw tableDamage(fileNumber, offset, 'a piece is cut short');
  const expected = u32(bytes, payloadEnd + 1);
  if (pieceChecksum(bytes.subarray(start, payloadEnd + 1), fileNumber, offset) !== expected) {
    throw tableDamage(fileNumber, offset, `the checksum of ${end - start} bytes does not hold`);
  }
  const how = bytes[payloadEnd];
  if (how === encoding.RAW) return bytes.subarray(start, payloadEnd);
  if (how !== encoding.LZ4) throw tableDamage(fileNumber, offset, `unknown encoding ${how}`);
  const unpacked = uncompressSync(bytes.subarray(start, payloadEnd));
  return new Uint8Array(unpacked.buffer, unpacked.byteOffset, unpacked.length);
}

/** Where a piece stands, trailer included; length 0: there is none. */
export interface Handle {
  readonly offset: number;
  readonly length: number;
}

export const NO_PIECE: Handle = { offset: 0, length: 0 };

export interface Footer {
  readonly fileNumber: number;
  readonly fileBytes: number;
  readonly tailBytes: number;
  readonly twoLevel: boolean;
  readonly filter: Handle;
  readonly rangeTombstones: Handle;
  readonly index: Handle;
  readonly properties: Handle;
}

export function encodeFooter(footer: Footer): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES);
  const view = new DataView(bytes.buffer);
  const wide = (at: number, value: number): void => {
    view.setUint32(at, value % TWO_32, true);
    view.setUint32(at + 4, Math.floor(value / TWO_32), true);
  };
  wide(0, footer.fileNumber);
  wide(8, footer.fileBytes);
  const handles = [footer.filter, footer.rangeTombstones, footer.index, footer.properties];
  for (const [i, handle] of handles.entries()) {
    wide(16 + 16 * i, handle.offset);
    wide(24 + 16 * i, handle.length);
  }
  view.setUint32(80, footer.twoLevel ? FLAG_TWO_LEVEL : 0, true);
  view.setUint32(84, footer.tailBytes, true);
  bytes.set(MAGIC, 96);
  view.setUint32(88, footerChecksum(bytes), true);
  return bytes;
}

function footerChecksum(bytes: Uint8Array): number {
  return crc32c(bytes.subarray(92), crc32c(bytes.subarray(0, 88)));
}

/** Reads a footer. Throws `corruption` unless it is whole and belongs to this file. */
export function decodeFooter(bytes: Uint8Array, fileNumber: number, fileBytes: number): Footer {
  const damage = (what: string): EngineError => tableDamage(fileNumber, fileBytes - FOOTER_BYTES, what);
  if (bytes.length !== FOOTER_BYTES) throw damage('the file is shorter than a footer');
  for (let i = 0; i < 7; i++) if (bytes[96 + i] !== MAGIC[i]) throw damage('this is no table: wrong magic');
  if (bytes[103] !== MAGIC[7]) throw damage(`unknown format version ${bytes[103]}`);
  if (u32(bytes, 88) !== footerChecksum(bytes)) throw damage('the checksum of the footer does not hold');
  const wide = (at: number): number => u32(bytes, at) + u32(bytes, at + 4) * TWO_32;
  const handle = (i: number): Handle => ({ offset: wide(16 + 16 * i), length: wide(24 + 16 * i) });
  if (wide(0) !== fileNumber) throw damage(`the footer is that of table ${wide(0)}`);
  if (wide(8) !== fileBytes) throw damage(`the file has ${fileBytes} bytes where ${wide(8)} were written`);
  return {
    fileNumber,
    fileBytes,
    tailBytes: u32(bytes, 84),
    twoLevel: (u32(bytes, 80) & FLAG_TWO_LEVEL) !== 0,
    filter: handle(0),
    rangeTombstones: handle(1),
    index: handle(2),
    properties: handle(3),
  };
}

/** Properties by name; numbers are decimal text, so that a dump can be read. */
export type Properties = ReadonlyMap<string, Uint8Array>;

/** Properties are a block whose keys are their names. */
export function encodeProperties(properties: Properties): Uint8Array {
  const builder = new BlockBuilder();
  for (const name of [...properties.keys()].sort()) {
    const key = utf8(name);
    const value = properties.get(name) as Uint8Array;
    builder.add(key, 0, key.length, kind.PUT, 0, value, 0, value.length);
  }
  return builder.finish();
}

export function decodeProperties(block: Uint8Array): Properties {
  const properties = new Map<string, Uint8Array>();
  const cursor = new BlockCursor();
  cursor.open(block);
  while (cursor.next()) {
    properties.set(
      textOf(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd)),
      copyOf(block.subarray(cursor.valueStart, cursor.valueEnd)),
    );
  }
  return properties;
}

/** Range tombstones are a block of records: key = start, value = end, with their sequences. */
export function encodeRangeTombstones(tombstones: RangeTombstones): Uint8Array {
  const builder = new BlockBuilder();
  for (const { start, end, sequence } of tombstones.list()) {
    builder.add(start, 0, start.length, kind.PUT, sequence, end, 0, end.length);
  }
  return builder.finish();
}

export function decodeRangeTombstones(block: Uint8Array): RangeTombstones {
  const cursor = new BlockCursor();
  cursor.open(block);
  const list = [];
  while (cursor.next()) {
    list.push({
      start: cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd),
      end: copyOf(block.subarray(cursor.valueStart, cursor.valueEnd)),
      sequence: cursor.sequence,
    });
  }
  return RangeTombstones.of(list);
}
