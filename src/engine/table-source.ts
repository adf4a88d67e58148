/**
 * A walk over tables that do not overlap, in the order of their keys: one table of level 0, or a whole level.
 *
 * Invariants: between calls the source stands on a record (`#standing`), or at its end, or waits for the tail, partition
 * or block that `#missed` names. A record shown is the newest of its key up to the source's sequence, tombstones included.
 */

import { compareRanges } from '../bytes.ts';
import type { CachedBlock } from './block-cache.ts';
import { BlockCursor } from './block-reader.ts';
import { mayContain } from './bloom-filter.ts';
import type { KeyIndex } from './key-index.ts';
import type { Kind } from './record.ts';
import type { Source } from './source.ts';
import type { Table, TableTail } from './sstable-reader.ts';
import { MISSING_TAIL } from './sstable-reader.ts';
import { lookup, type Lookup } from './store.ts';
import type { TableCache } from './table-cache.ts';

/** Read-ahead of a walk starts here with its second block and doubles up to the limit. */
const FIRST_READ_AHEAD_BYTES = 16 * 1024;
const MAX_READ_AHEAD_BYTES = 512 * 1024;

/** The same for reads that hold the event loop. */
const MAX_READ_AHEAD_NOW_BYTES = 32 * 1024;

/** Where to stand in a block once it is there. */
const entry = { STANDING: 0, FIRST: 1, LAST: 2 } as const;
type Entry = (typeof entry)[keyof typeof entry];

export interface TableSourceOptions {
  readonly cache: TableCache;
  /** Ascending, not overlapping. */
  readonly tables: readonly Table[];
  /** The `upper` of each table. */
  readonly uppers: KeyIndex;
  readonly sequence: number;
  readonly reverse: boolean;
  /** The walk stays within the keys of one prefix, which has this hash; undefined: it does not. */
  readonly prefixHash: number | undefined;
}

export class TableSource implements Source {
  readonly #cache: TableCache;
  readonly #tables: readonly Table[];
  readonly #uppers: KeyIndex;
  readonly #sequence: number;
  readonly #reverse: boolean;
  readonly #prefixHash: number | undefined;
  readonly #cursor = new BlockCursor();
  #table = 0;
  #ordinal = 0;
  #entry: Entry = entry.FIRST;
  #ended = false;
  /** Forwards: the newest visible record of the current key has been shown. */
  #shown = false;
  #missedTable: Table | undefined;
  #missed = MISSING_TAIL;
  /**
   * What loads brought since the source last stood somewhere: a walk over many sources waits for the slowest of their
   * loads, and a step may need one table after another, while a cache that is small for them drops the first ones.
   */
  readonly #heldTails = new Map<Table, TableTail>();
  /** The last seek, to `#seekKey`, missed on its walk from block to block; asked again it goes on. */
  #resumable = false;
  #seekKey: Uint8Array | undefined;
  #walking = false;
  /** The block that the cursor is in, and the one that the last load brought; both stay in the cache meanwhile. */
  #standing: CachedBlock | undefined;
  #brought: CachedBlock | undefined;
  #readAheadBytes = 0;

  constructor(options: TableSourceOptions) {
    this.#cache = options.cache;
    this.#tables = options.tables;
    this.#uppers = options.uppers;
    this.#sequence = options.sequence;
    this.#reverse = options.reverse;
    this.#prefixHash = options.prefixHash;
  }

  get keyBytes(): Uint8Array {
    return this.#cursor.keyBytes;
  }
  get keyStart(): number {
    return this.#cursor.keyStart;
  }
  get keyEnd(): number {
    return this.#cursor.keyEnd;
  }
  get kind(): Kind {
    return this.#cursor.kind;
  }
  get sequence(): number {
    return this.#cursor.sequence;
  }
  get valueBytes(): Uint8Array {
    return this.#cursor.block;
  }
  get valueStart(): number {
    return this.#cursor.valueStart;
  }
  get valueEnd(): number {
    return this.#cursor.valueEnd;
  }

  seek(key: Uint8Array | undefined): Lookup {
    return key === undefined ? this.seekRange(undefined, 0, 0) : this.seekRange(key, 0, key.length);
  }

  /** `seek` to key[start, end). After MISS the same seek goes on where it missed, if it had got past its first block. */
  seekRange(key: Uint8Array | undefined, start: number, end: number): Lookup {
    let found = this.#seekOnce(key, start, end);
    while (found === lookup.MISS && this.#loadNow()) found = this.#seekOnce(key, start, end);
    return found;
  }

  #seekOnce(key: Uint8Array | undefined, start: number, end: number): Lookup {
    let found: Lookup;
    if (this.#resumable && isSame(this.#seekKey, key, start, end)) {
      found = this.#reverse ? this.#walkBack() : this.#walkForth();
    } else {
      this.#ended = false;
      this.#shown = false;
      this.#readAheadBytes = 0;
      this.#walking = false;
      found = this.#reverse ? this.#seekBack(key, start, end) : this.#seekForth(key, start, end);
      this.#resumable = found === lookup.MISS && this.#walking;
      if (this.#resumable) this.#seekKey = key?.slice(start, end);
    }
    if (found !== lookup.MISS) {
      this.#resumable = false;
      this.#letGo();
    }
    return found;
  }

  step(): Lookup {
    this.#resumable = false;
    if (this.#ended) return lookup.ABSENT;
    let found = this.#reverse ? this.#walkBack() : this.#walkForth();
    while (found === lookup.MISS && this.#loadNow()) found = this.#reverse ? this.#walkBack() : this.#walkForth();
    if (found !== lookup.MISS) this.#letGo();
    return found;
  }

  load(): Promise<void> {
    const table = this.#missedTable;
    if (table === undefined) return Promise.resolve();
    this.#missedTable = undefined;
    return this.#loadAndHold(table, this.#missed);
  }

  async #loadAndHold(table: Table, missed: number): Promise<void> {
    await this.#cache.load(table, missed, this.#reverse ? 0 : this.#readAheadBytes);
    this.#hold(table, missed);
  }

  /** Loads at once what was missed. False: that must be waited for. */
  #loadNow(): boolean {
    const table = this.#missedTable;
    if (table === undefined) return false;
    const readAheadBytes = this.#reverse ? 0 : Math.min(this.#readAheadBytes, MAX_READ_AHEAD_NOW_BYTES);
    if (!this.#cache.loadNow(table, this.#missed, readAheadBytes)) return false;
    this.#missedTable = undefined;
    this.#hold(table, this.#missed);
    return true;
  }

  #hold(table: Table, missed: number): void {
    if (table.tail !== undefined) this.#heldTails.set(table, table.tail);
    const block = missed >= 0 ? table.blocks[missed] : undefined;
    if (block !== undefined) this.#cache.blocks.hold(block);
    if (this.#brought !== undefined) this.#cache.blocks.leave(this.#brought);
    this.#brought = block;
  }

  close(): void {
    this.#ended = true;
    this.#letGo();
    if (this.#standing !== undefined) this.#cache.blocks.leave(this.#standing);
    this.#standing = undefined;
  }

  #letGo(): void {
    if (this.#brought !== undefined) this.#cache.blocks.leave(this.#brought);
    this.#brought = undefined;
    if (this.#heldTails.size > 0) this.#heldTails.clear();
  }

  #seekForth(key: Uint8Array | undefined, start: number, end: number): Lookup {
    this.#table = key === undefined ? 0 : this.#uppers.firstAbove(key, start, end);
    this.#ordinal = 0;
    this.#entry = entry.FIRST;
    const table = this.#tables[this.#table];
    if (key === undefined || table === undefined) return this.#walkForth();
    if (compareRanges(key, start, end, table.meta.lower, 0, table.meta.lower.length) <= 0) return this.#walkForth();
    const tail = this.#tailOf(table);
    if (tail === undefined) return lookup.MISS;
    if (this.#isLeftOut(tail)) return this.#walkForth();
    const ordinal = table.locate(tail, key, start, end);
    if (ordinal < 0) return this.#miss(table, table.missing);
    this.#ordinal = ordinal;
    if (ordinal < tail.blockCount) {
      if (!this.#openBlock(table)) return lookup.MISS;
      this.#entry = entry.STANDING;
      if (this.#cursor.seek(key, start, end) && this.#showForth()) return lookup.FOUND;
    }
    return this.#walkForth();
  }

  /** Steps to the next record to be shown, from block to block and table to table. */
  #walkForth(): Lookup {
    this.#walking = true;
    for (;;) {
      if (this.#entry === entry.STANDING) {
        while (this.#cursor.next()) if (this.#showForth()) return lookup.FOUND;
        this.#ordinal++;
        this.#entry = entry.FIRST;
        this.#growReadAhead();
      }
      const table = this.#tables[this.#table];
      if (table === undefined) return this.#end();
      const tail = this.#tailOf(table);
      if (tail === undefined) return lookup.MISS;
      if (this.#ordinal >= tail.blockCount || this.#isLeftOut(tail)) {
        this.#table++;
        this.#ordinal = 0;
        continue;
      }
      if (!this.#openBlock(table)) return lookup.MISS;
      this.#shown = false;
      this.#entry = entry.STANDING;
    }
  }

  /** Whether the current record is the newest visible one of its key. */
  #showForth(): boolean {
    const cursor = this.#cursor;
    if (!cursor.sameKey) this.#shown = false;
    else if (this.#shown) return false;
    this.#shown = cursor.sequence <= this.#sequence;
    return this.#shown;
  }

  #seekBack(key: Uint8Array | undefined, start: number, end: number): Lookup {
    // The last table that begins at or before the key is the one that may hold it, or the one before.
    this.#table = this.#tables.length - 1;
    if (key !== undefined) this.#table = Math.min(this.#table, this.#uppers.firstAbove(key, start, end));
    this.#entry = entry.LAST;
    this.#ordinal = -1;
    const table = this.#tables[this.#table];
    if (key === undefined || table === undefined) return this.#walkBack();
    if (compareRanges(key, start, end, table.meta.upper, 0, table.meta.upper.length) >= 0) return this.#walkBack();
    if (compareRanges(key, start, end, table.meta.lower, 0, table.meta.lower.length) < 0) {
      this.#table--;
      return this.#walkBack();
    }
    const tail = this.#tailOf(table);
    if (tail === undefined) return lookup.MISS;
    if (this.#isLeftOut(tail)) return this.#walkBack();
    const ordinal = table.locate(tail, key, start, end);
    if (ordinal < 0) return this.#miss(table, table.missing);
    if (ordinal >= tail.blockCount) return this.#walkBack();
    this.#ordinal = ordinal;
    if (!this.#openBlock(table)) return lookup.MISS;
    if (!this.#cursor.seekBack(key, start, end)) {
      this.#leaveBlockBack();
      return this.#walkBack();
    }
    this.#entry = entry.STANDING;
    return this.#cursor.newestOfKey(this.#sequence) ? lookup.FOUND : this.#walkBack();
  }

  #walkBack(): Lookup {
    this.#walking = true;
    for (;;) {
      if (this.#entry === entry.STANDING) {
        while (this.#cursor.previous()) if (this.#cursor.newestOfKey(this.#sequence)) return lookup.FOUND;
        this.#leaveBlockBack();
      }
      const table = this.#tables[this.#table];
      if (table === undefined) return this.#end();
      const tail = this.#tailOf(table);
      if (tail === undefined) return lookup.MISS;
      const isLeftOut = this.#isLeftOut(tail);
      if (this.#ordinal < 0 && !isLeftOut) this.#ordinal = tail.blockCount - 1;
      if (this.#ordinal < 0) {
        this.#table--;
        continue;
      }
      if (!this.#openBlock(table)) return lookup.MISS;
      this.#entry = entry.STANDING;
      this.#cursor.last();
      if (this.#cursor.newestOfKey(this.#sequence)) return lookup.FOUND;
    }
  }

  /** Goes to the block before: in the table before, with ordinal -1, when there is none. */
  #leaveBlockBack(): void {
    this.#ordinal--;
    this.#entry = entry.LAST;
    if (this.#ordinal < 0) this.#table--;
    this.#growReadAhead();
  }

  /** Opens the block `#ordinal` of this table; false: it is missing, which has been noted. */
  #openBlock(table: Table): boolean {
    const bytes = table.block(this.#ordinal);
    if (bytes === undefined) {
      this.#miss(table, table.missing);
      return false;
    }
    const block = table.blocks[this.#ordinal] as CachedBlock;
    if (block !== this.#standing) {
      this.#cache.blocks.hold(block);
      if (this.#standing !== undefined) this.#cache.blocks.leave(this.#standing);
      this.#standing = block;
    }
    this.#cursor.open(bytes);
    return true;
  }

  #tailOf(table: Table): TableTail | undefined {
    if (table.damage !== undefined) throw table.damage;
    const tail = table.tail ?? this.#heldTails.get(table);
    if (tail === undefined) this.#miss(table, MISSING_TAIL);
    else table.tailUsed = true;
    return tail;
  }

  /** Whether the table's filter says that it has no key of the prefix that the walk is for. */
  #isLeftOut({ bytes, filterStart, filterEnd, prefix }: TableTail): boolean {
    if (this.#prefixHash === undefined || filterEnd === 0 || prefix !== this.#cache.prefix?.name) return false;
    return !mayContain(bytes, filterStart, filterEnd, this.#prefixHash);
  }

  #miss(table: Table, missing: number): Lookup {
    this.#missedTable = table;
    this.#missed = missing;
    return lookup.MISS;
  }

  #growReadAhead(): void {
    this.#readAheadBytes = Math.min(MAX_READ_AHEAD_BYTES, Math.max(FIRST_READ_AHEAD_BYTES, this.#readAheadBytes * 2));
  }

  #end(): Lookup {
    this.#ended = true;
    return lookup.ABSENT;
  }
}

function isSame(seekKey: Uint8Array | undefined, key: Uint8Array | undefined, start: number, end: number): boolean {
  if (seekKey === undefined || key === undefined) return seekKey === key;
  return compareRanges(seekKey, 0, seekKey.length, key, start, end) === 0;
}
