/**
 * The ordered part of a memtable: for each key the offset of its first record, in the order of the keys, in blocks of
 * at most 256.
 *
 * A list of blocks instead of a skiplist: the search is a binary one over the first keys of the blocks and then within
 * a block, about log2(n) comparisons where a skiplist makes 1.5 to 2 times as many; an insert moves at most 1 KiB; and
 * walking backwards costs what walking forwards does. Keys come in sorted slices, so most searches end at the block
 * where the last one did.
 *
 * Invariants: no block is empty; keys ascend strictly within and across blocks; `changes` grows with every insert, so
 * that a walk knows when its position is stale.
 */

import { compareRanges } from '../bytes.ts';
import type { Arena } from './arena.ts';
import { KEY_LENGTH_MASK, RECORD_HEADER_BYTES } from './record.ts';

const BLOCK_KEYS = 256;

/** Blocks that an insert of sorted keys walks over before it searches. */
const GALLOP_BLOCKS = 4;

type Block = { readonly offsets: Uint32Array; count: number };

export class SortedKeys {
  changes = 0;
  readonly #arena: Arena;
  readonly #blocks: Block[] = [];

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  get blockCount(): number {
    return this.#blocks.length;
  }

  countIn(block: number): number {
    return this.#blocks[block]?.count ?? 0;
  }

  offsetAt(block: number, index: number): number {
    return (this.#blocks[block] as Block).offsets[index] as number;
  }

  /** Adds the keys of these records. Requires: they ascend, and none of them is there. */
  insertSorted(offsets: Uint32Array): void {
    if (offsets.length === 0) return;
    this.changes++;
    const { words, bytes } = this.#arena;
    if (this.#blocks.length === 0) this.#blocks.push({ offsets: new Uint32Array(BLOCK_KEYS), count: 0 });
    let block = 0;
    for (let i = 0; i < offsets.length; i++) {
      const offset = offsets[i] as number;
      const start = offset + RECORD_HEADER_BYTES;
      const end = start + ((words[offset >> 2] as number) & KEY_LENGTH_MASK);
      block = this.#blockFrom(block, bytes, start, end);
      block = this.#insert(block, this.indexIn(block, bytes, start, end), offset);
    }
  }

  /** Puts the offset at this place and returns the block in which it is then. */
  #insert(index: number, at: number, offset: number): number {
    let block = this.#blocks[index] as Block;
    if (block.count < BLOCK_KEYS) {
      put(block, at, offset);
      return index;
    }
    const half = this.#split(index, at === BLOCK_KEYS && index === this.#blocks.length - 1);
    if (at <= half) {
      put(block, at, offset);
      return index;
    }
    block = this.#blocks[index + 1] as Block;
    put(block, at - half, offset);
    return index + 1;
  }

  /** Splits a full block and returns how many offsets stay in it. Keys that arrive in order leave full blocks. */
  #split(index: number, append: boolean): number {
    const block = this.#blocks[index] as Block;
    const half = append ? BLOCK_KEYS - 1 : BLOCK_KEYS >> 1;
    const right: Block = { offsets: new Uint32Array(BLOCK_KEYS), count: BLOCK_KEYS - half };
    right.offsets.set(block.offsets.subarray(half));
    block.count = half;
    this.#blocks.splice(index + 1, 0, right);
    return half;
  }

  /** As `blockFor`, for a key that is not below block `from`. */
  #blockFrom(from: number, bytes: Uint8Array, start: number, end: number): number {
    let block = from;
    for (let i = 0; i < GALLOP_BLOCKS; i++) {
      const next = this.#blocks[block + 1];
      if (next === undefined || this.#compare(next.offsets[0] as number, bytes, start, end) > 0) return block;
      block++;
    }
    return this.#search(block, bytes, start, end);
  }

  /** The last block whose first key is ≤ bytes[start, end); 0 when there is none. */
  blockFor(bytes: Uint8Array, start: number, end: number): number {
    return this.#search(0, bytes, start, end);
  }

  #search(from: number, bytes: Uint8Array, start: number, end: number): number {
    let low = from;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#compare((this.#blocks[middle] as Block).offsets[0] as number, bytes, start, end) <= 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Index in the block of the first key ≥ bytes[start, end); the block's count when there is none. */
  indexIn(block: number, bytes: Uint8Array, start: number, end: number): number {
    const { offsets, count } = this.#blocks[block] as Block;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#compare(offsets[middle] as number, bytes, start, end) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compare(offset: number, bytes: Uint8Array, start: number, end: number): number {
    const keyStart = offset + RECORD_HEADER_BYTES;
    const keyEnd = keyStart + ((this.#arena.words[offset >> 2] as number) & KEY_LENGTH_MASK);
    return compareRanges(this.#arena.bytes, keyStart, keyEnd, bytes, start, end);
  }
}

function put(block: Block, at: number, offset: number): void {
  block.offsets.copyWithin(at + 1, at, block.count);
  block.offsets[at] = offset;
  block.count++;
}
