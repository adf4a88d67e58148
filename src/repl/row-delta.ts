/**
 * The state of a large collection, told against a base: the form in which one changed element costs one cell, on the bus
 * and on disk, whatever the size of the collection. It is a compression of a state, not another register:
 *
 * ```
 * state(B) = state(m) with the changes of B       told to an owner that holds exactly m it says the same as state(B) whole
 * ```
 *
 * A version (ballot) determines one state. An owner that holds m has exactly the cells of state(m), since each ACCEPT is
 * written in one batch; so an owner that by the one rule may take B and holds m makes state(B) of it, the very state that
 * others are sent whole. One that holds anything else changes nothing and says so (`need`, acceptor.ts): it is sent the
 * whole state of B, or brought up to date later. Promises, ballots, unknown outcomes, marks and epochs know nothing of it.
 * (Proving by "my last version is the base" is wrong where unchosen cells are merged; nothing is merged here.)
 *
 * The coordinator runs handlers over the cells of its own owner, which must hold the base in that very turn. There a state
 * without changes names its own copy. In bytes: row-state.ts with flag CELLS, whose value is, big-endian,
 *
 * ```
 * number of elements and meta bytes after the changes, as in front of cells (element-pack.ts)
 * nothing: no changes; or
 *   u32 number of elements of the base | u32 ranges, each: u8 tag | u32 bytes it had | u32 length, lower | u32 length, upper
 *   each change: u8 tag | u8 flags: 1 has a value, 2 the base has it | u32 bytes it had | u32 length, key | u32 length, value
 * ```
 *
 * Ranges are deleted first; what a range had is without what ranges before it had. Of each key there is one change at most.
 * Sizes are what the packed elements take, for the bound of a row and for when a collection goes back into its head.
 */

import { assert } from '../assert.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { CellElements } from './element-cells.ts';
import { elementLength, packCollection, readCollectionHead } from './element-pack.ts';
import type { DroppedRange, EarlierChanges, ElementBase, Elements, StagedElement } from './elements.ts';
import { MAX_INLINE_BYTES } from './head.ts';
import {
  CELLS_BYTES,
  decodeRowState,
  encodeRowState,
  isDelta,
  MAX_STATE_BYTES,
  newRowState,
  type RowState,
} from './row-state.ts';

/** A collection in cells goes back into its head when its elements are no longer than this. */
const MIN_CELLS_BYTES = MAX_INLINE_BYTES / 2;

/** Bytes of a change beside its key and value, and of a range beside its bounds. */
const CHANGE_OVERHEAD = 14;
const RANGE_OVERHEAD = 13;

const HAS_VALUE = 1;
const STORED = 2;

/** A change with what the element took in the base, packed. */
export interface DeltaChange extends StagedElement {
  readonly sizeBefore: number;
}

/** A range with what its elements took in the base, packed, without those in the ranges before it. */
export interface DeltaRange extends DroppedRange {
  readonly bytes: number;
}

/** What stands in the value of a state against a base, behind what stands in front of cells. */
export interface Delta extends EarlierChanges {
  readonly staged: readonly DeltaChange[];
  readonly dropped: readonly DeltaRange[];
}

const NO_CHANGES: Delta = { staged: [], dropped: [] };

/** The changes that begin at value[end…], views of it. Throws `DamagedError`. */
export function readDelta(value: Uint8Array, end: number): Delta {
  if (end === value.length) return NO_CHANGES;
  let at = end + 4;
  const block = (): Uint8Array => {
    const start = at + 4;
    if (start > value.length) throw new DamagedError('changes that are cut');
    at = start + readU32(value, at);
    if (at > value.length) throw new DamagedError('changes that are cut');
    return value.subarray(start, at);
  };
  if (at + 4 > value.length) throw new DamagedError('changes that are cut');
  let ranges = readU32(value, at);
  at += 4;
  const dropped: DeltaRange[] = [];
  for (; ranges > 0; ranges--) {
    if (at + 5 > value.length) throw new DamagedError('changes that are cut');
    const tag = value[at] as number;
    const bytes = readU32(value, at + 1);
    at += 5;
    const lower = block();
    dropped.push({ tag, lower, upper: block(), bytes });
  }
  const staged: DeltaChange[] = [];
  while (at < value.length) {
    if (at + 6 > value.length) throw new DamagedError('changes that are cut');
    const tag = value[at] as number;
    const flags = value[at + 1] as number;
    const sizeBefore = readU32(value, at + 2);
    at += 6;
    const key = block();
    const bytes = block();
    staged.push({
      tag,
      key,
      value: (flags & HAS_VALUE) === 0 ? undefined : bytes,
      stored: (flags & STORED) !== 0,
      sizeBefore,
    });
  }
  return { staged, dropped };
}

/** Elements of the base whose changes begin at value[end…]; without changes those that stand there now. */
export function countBefore(value: Uint8Array, count: number, end: number): number {
  return end === value.length ? count : readU32(value, end);
}

/**
 * What `before`, told against the same base, has become by what is staged in `elements`, a state with these parts: against
 * the base, or whole when it has become small. Requires: the elements were made of `before`. Throws `Miss`.
 */
export function deltaState(
  before: Uint8Array,
  elements: Elements,
  parts: Omit<RowState, 'value' | 'cells'>,
): Uint8Array {
  const { cells, value } = decodeRowState(before);
  if (cells === undefined) throw new DamagedError('a state that is told against no base');
  const { count, end } = readCollectionHead(value);
  const baseCount = countBefore(value, count, end);
  const earlier = readDelta(value, end).staged;
  const { staged, base } = elements;
  const sizes = staged.map((change, i) => sizeIn(base, change, earlier[i]));
  const dropped = elements.dropped.map((range, i) => withBytes(base, range, elements.dropped.slice(0, i)));
  const size = sizeAfter(elements, sizes, dropped, cells.sizeBefore);
  const head = packCollection(elements.count, elements.meta, []);
  if (head.length + size <= MIN_CELLS_BYTES) {
    const packed = elements.packed();
    return encodeRowState({ ...parts, value: packed });
  }
  let length = head.length + 8;
  for (const { lower, upper } of dropped) length += RANGE_OVERHEAD + lower.length + upper.length;
  for (const change of staged)
    if (isChange(change)) length += CHANGE_OVERHEAD + change.key.length + (change.value?.length ?? 0);
  const state = newRowState({ ...parts, cells: { ...cells, size } }, length);
  let at = state.length - length;
  const block = (bytes: Uint8Array | undefined): void => {
    writeU32(state, at, bytes?.length ?? 0);
    if (bytes !== undefined) state.set(bytes, at + 4);
    at += 4 + (bytes?.length ?? 0);
  };
  state.set(head, at);
  at += head.length;
  writeU32(state, at, baseCount);
  writeU32(state, at + 4, dropped.length);
  at += 8;
  for (const { tag, lower, upper, bytes } of dropped) {
    state[at] = tag;
    writeU32(state, at + 1, bytes);
    at += 5;
    block(lower);
    block(upper);
  }
  for (const [i, change] of staged.entries()) {
    if (!isChange(change)) continue;
    state[at] = change.tag;
    state[at + 1] = (change.value === undefined ? 0 : HAS_VALUE) | (change.stored ? STORED : 0);
    writeU32(state, at + 2, sizes[i] as number);
    at += 6;
    block(change.key);
    block(change.value);
  }
  return state;
}

function isChange({ value, stored }: StagedElement): boolean {
  return value !== undefined || stored;
}

/** Bytes that the element takes in the base. Throws `Miss`. */
function sizeIn(base: ElementBase, { tag, key, stored }: StagedElement, earlier: DeltaChange | undefined): number {
  if (!stored) return 0;
  if (earlier !== undefined) return earlier.sizeBefore;
  const value = base.find(tag, key);
  return value === undefined ? 0 : elementLength(key, value);
}

function withBytes(base: ElementBase, range: DroppedRange, before: readonly DroppedRange[]): DeltaRange {
  const { bytes } = range;
  if (bytes !== undefined) return { ...range, bytes };
  // Ranges are dropped only of what stands in cells.
  assert(base instanceof CellElements, 'a range of cells');
  return { ...range, bytes: base.bytesIn(range, before) };
}

function sizeAfter(
  elements: Elements,
  sizes: readonly number[],
  dropped: readonly DeltaRange[],
  sizeBefore: number,
): number {
  let size = sizeBefore;
  for (const { bytes } of dropped) size -= bytes;
  for (const [i, { tag, key, value }] of elements.staged.entries()) {
    if (value !== undefined) size += elementLength(key, value);
    // What was in a range went with it.
    if (!elements.isDropped(tag, key)) size -= sizes[i] as number;
  }
  return Math.max(0, size);
}

/** Bytes that the state takes where it is told whole; if it is longer as it is told here, so many. */
export function wholeLength(state: Uint8Array): number {
  const { length } = state;
  if (!isDelta(state)) return length;
  const { cells, value } = decodeRowState(state);
  const { end } = readCollectionHead(value);
  return Math.max(length, length - value.length - CELLS_BYTES + end + (cells?.size ?? 0));
}

/** Whether the state may be sent to another node. */
export function isSendable(state: Uint8Array | undefined): boolean {
  return state === undefined || state.length <= MAX_STATE_BYTES;
}
