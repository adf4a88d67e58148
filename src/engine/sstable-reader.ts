/**
 * Reading one table on the event loop: what is in memory is answered at once, the rest is named as missing.
 *
 * Invariants: `tail` is there or the table can say nothing about a key; blocks hang in `blocks` by ordinal and in
 * `partitions` by number. Once `damage` is set it stays, and the table answers every question that its filter does not
 * answer with no by throwing it.
 */

import type { BlockHit } from './block-reader.ts';
import { findInBlock } from './block-reader.ts';
import type { CachedBlock } from './block-cache.ts';
import { isFilter, mayContain } from './bloom-filter.ts';
import type { EngineError } from './engine-error.ts';
import { KeyIndex } from './key-index.ts';
import { kind } from './record.ts';
import {
  decodeFooter,
  decodeProperties,
  FOOTER_BYTES,
  openPiece,
  PARTITION_BLOCKS,
  tableDamage,
  type Handle,
  type Properties,
  type TableMeta,
} from './sstable-format.ts';
import { textOf } from '../bytes.ts';

/** What one table says of a key; the first three agree with `lookup`. */
export const tableAnswer = { ABSENT: 0, FOUND: 1, MISS: 2, DELETED: 3 } as const;
export type TableAnswer = (typeof tableAnswer)[keyof typeof tableAnswer];

/** What of a table is missing: its tail, a partition of its index (as -2 - number), or a block (its ordinal). */
export const MISSING_TAIL = -1;

export function missingPartition(partition: number): number {
  return -2 - partition;
}

/** What comes out of the last part of a table. */
export interface TableTail {
  readonly bytes: Uint8Array;
  /** The filter is bytes[filterStart, filterEnd); empty: there is none. */
  readonly filterStart: number;
  readonly filterEnd: number;
  readonly index: KeyIndex;
  readonly twoLevel: boolean;
  readonly blockCount: number;
  readonly properties: Properties;
  /** Name of the rule by which prefixes are in the filter (`KeyPrefix`); undefined: none are. */
  readonly prefix: string | undefined;
  /** As `decodeRangeTombstones` takes them; undefined: there are none. */
  readonly rangeTombstones: Uint8Array | undefined;
}

/** Reads a tail: the last `bytes.length` bytes of the file. Throws `corruption`. */
export function parseTail(bytes: Uint8Array, fileNumber: number, fileBytes: number): TableTail {
  const start = fileBytes - bytes.length;
  const footer = decodeFooter(bytes.subarray(bytes.length - FOOTER_BYTES), fileNumber, fileBytes);
  const piece = (handle: Handle): Uint8Array => {
    const from = handle.offset - start;
    if (from < 0 || from + handle.length > bytes.length)
      throw tableDamage(fileNumber, handle.offset, 'outside the tail');
    return openPiece(bytes, from, from + handle.length, fileNumber, handle.offset);
  };
  const properties = decodeProperties(piece(footer.properties));
  const prefix = properties.get('prefix');
  let filterStart = 0;
  let filterEnd = 0;
  if (footer.filter.length > 0) {
    const filter = piece(footer.filter);
    filterStart = filter.byteOffset - bytes.byteOffset;
    filterEnd = filterStart + filter.length;
    if (!isFilter(filterStart, filterEnd)) throw tableDamage(fileNumber, footer.filter.offset, 'this is no filter');
  }
  return {
    bytes,
    filterStart,
    filterEnd,
    index: KeyIndex.parse(piece(footer.index)),
    twoLevel: footer.twoLevel,
    blockCount: Number(textOf(properties.get('blocks') ?? new Uint8Array(0))),
    properties,
    prefix: prefix === undefined ? undefined : textOf(prefix),
    rangeTombstones: footer.rangeTombstones.length > 0 ? piece(footer.rangeTombstones) : undefined,
  };
}

export class Table {
  readonly meta: TableMeta;
  tail: TableTail | undefined;
  /** Set by every use, cleared by the table cache when it looks for a tail to drop. */
  tailUsed = false;
  tailPinnedUntil = 0;
  /** Readers that still load other things and will need the tail when they have them. */
  tailHolds = 0;
  /** As long as the table has blocks and partitions from the first time that the tail is there. */
  blocks: (CachedBlock | undefined)[] = [];
  partitions: (CachedBlock | undefined)[] = [];
  damage: EngineError | undefined;
  /** How often a block or partition was asked for and was there. */
  uses = 0;
  /** After MISS: what is missing. */
  missing = MISSING_TAIL;

  constructor(meta: TableMeta) {
    this.meta = meta;
  }

  /** Takes a tail in. */
  setTail(tail: TableTail): void {
    this.tail = tail;
    this.tailUsed = true;
    if (this.blocks.length > 0 || tail.blockCount === 0) return;
    this.blocks = Array.from<CachedBlock | undefined>({ length: tail.blockCount });
    if (tail.twoLevel) this.partitions = Array.from<CachedBlock | undefined>({ length: tail.index.count });
  }

  /**
   * Looks for the newest record of key[0, keyLength) up to `sequence`; `hash` is the key's. On FOUND the value is
   * `hitBlock[hit.valueStart, hit.valueEnd)`; on MISS `missing` says what to load. Range tombstones are not looked at.
   */
  get(key: Uint8Array, keyLength: number, hash: number, sequence: number, hit: BlockHit): TableAnswer {
    const tail = this.tail;
    if (tail === undefined) {
      if (this.damage !== undefined) throw this.damage;
      this.missing = MISSING_TAIL;
      return tableAnswer.MISS;
    }
    this.tailUsed = true;
    if (tail.filterEnd > 0 && !mayContain(tail.bytes, tail.filterStart, tail.filterEnd, hash))
      return tableAnswer.ABSENT;
    if (this.damage !== undefined) throw this.damage;
    const ordinal = this.locate(tail, key, 0, keyLength);
    if (ordinal >= tail.blockCount) return tableAnswer.ABSENT;
    if (ordinal < 0) return tableAnswer.MISS;
    return this.find(ordinal, key, keyLength, sequence, hit);
  }

  /** The end of a `get`, in the block that it has missed. */
  find(ordinal: number, key: Uint8Array, keyLength: number, sequence: number, hit: BlockHit): TableAnswer {
    const block = this.blocks[ordinal];
    if (block === undefined || block.bytes === undefined) {
      this.missing = ordinal;
      return tableAnswer.MISS;
    }
    block.touch();
    this.uses++;
    this.hitBlock = block.bytes;
    if (!findInBlock(block.bytes, key, keyLength, sequence, hit)) return tableAnswer.ABSENT;
    return hit.kind === kind.PUT ? tableAnswer.FOUND : tableAnswer.DELETED;
  }

  /** The block of the last FOUND. */
  hitBlock: Uint8Array = new Uint8Array(0);

  /** Ordinal of the block that holds key[start, end) or would; blockCount when it is past all; negative: `missing`. */
  locate(tail: TableTail, key: Uint8Array, start: number, end: number): number {
    const at = tail.index.firstNotBelow(key, start, end);
    if (!tail.twoLevel) return at;
    if (at === tail.index.count) return tail.blockCount;
    const partition = this.partition(at);
    if (partition === undefined) return this.missing;
    return at * PARTITION_BLOCKS + partition.firstNotBelow(key, start, end);
  }

  /** A partition of the index; undefined: `missing` says so. */
  partition(number: number): KeyIndex | undefined {
    const cached = this.partitions[number];
    if (cached === undefined || cached.index === undefined) {
      this.missing = missingPartition(number);
      return undefined;
    }
    cached.touch();
    this.uses++;
    return cached.index;
  }

  /** The block with this ordinal; undefined: `missing` says so. */
  block(ordinal: number): Uint8Array | undefined {
    const cached = this.blocks[ordinal];
    if (cached === undefined || cached.bytes === undefined) {
      this.missing = ordinal;
      return undefined;
    }
    cached.touch();
    this.uses++;
    return cached.bytes;
  }
}
