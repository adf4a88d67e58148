/**
 * Parts of a list in cells that stay in memory: the elements of blocks of positions, so that who reads the same part of a
 * list again (LRANGE of a timeline) does not walk over its cells again. Derived, and dropped at any time.
 *
 * Invariants: a block's elements are those at positions first … first + values.length - 1, without a gap, within
 * BLOCK_POSITIONS; nobody changes their bytes. A change that would leave a gap drops the block.
 */

import { copyOf } from '../bytes.ts';

export const BLOCK_POSITIONS = 128;

/** Memory of a value besides its bytes, in bytes: a typed array of its own. */
const VALUE_OVERHEAD = 150;

interface Block {
  first: number;
  readonly values: Uint8Array[];
}

export class ListBlocks {
  private readonly blocks = new Map<number, Block>();
  /** Memory in use, more or less. */
  bytes = 0;

  /**
   * Adds the elements at [from, end), which are in one block, to `into`; false: they are not in memory. The bytes stay as
   * they are.
   */
  collect(from: number, end: number, into: Uint8Array[]): boolean {
    const block = this.blocks.get(blockOf(from));
    if (block === undefined) return false;
    const { first, values } = block;
    if (from < first || end > first + values.length) return false;
    for (let i = from - first; i < end - first; i++) into.push(values[i] as Uint8Array);
    return true;
  }

  /** Takes the elements from `first` on, all there are in one block, which are the block's own from now on. */
  keep(first: number, values: Uint8Array[]): void {
    const number = blockOf(first);
    this.drop(number);
    for (const value of values) this.bytes += sizeOf(value);
    this.blocks.set(number, { first, values });
  }

  /** Follows a change that is in the store now; value undefined: the element is gone, else `stored`: it was there before. */
  changed(position: number, value: Uint8Array | undefined, stored: boolean): void {
    const number = blockOf(position);
    const block = this.blocks.get(number);
    if (block === undefined) return;
    const { first, values } = block;
    const at = position - first;
    if (value === undefined) this.removed(number, block, at);
    else if (stored && at >= 0 && at < values.length) {
      this.bytes += sizeOf(value) - sizeOf(values[at] as Uint8Array);
      values[at] = copyOf(value);
    } else if (!stored && at === values.length) {
      values.push(copyOf(value));
      this.bytes += sizeOf(value);
    } else if (!stored && at === -1) {
      values.unshift(copyOf(value));
      block.first--;
      this.bytes += sizeOf(value);
    } else this.drop(number);
  }

  clear(): void {
    this.blocks.clear();
    this.bytes = 0;
  }

  private removed(number: number, block: Block, at: number): void {
    const { values } = block;
    if (values.length > 1 && (at === 0 || at === values.length - 1)) {
      const gone = (at === 0 ? values.shift() : values.pop()) as Uint8Array;
      if (at === 0) block.first++;
      this.bytes -= sizeOf(gone);
    } else this.drop(number);
  }

  private drop(number: number): void {
    const block = this.blocks.get(number);
    if (block === undefined) return;
    for (const value of block.values) this.bytes -= sizeOf(value);
    this.blocks.delete(number);
  }
}

function blockOf(position: number): number {
  return Math.floor(position / BLOCK_POSITIONS);
}

/** The end of the block that a position is in. */
export function blockEnd(position: number): number {
  return (blockOf(position) + 1) * BLOCK_POSITIONS;
}

/** The first position of the block that a position is in. */
export function blockStart(position: number): number {
  return blockOf(position) * BLOCK_POSITIONS;
}

function sizeOf(value: Uint8Array): number {
  return value.length + VALUE_OVERHEAD;
}
