/**
 * A list as the elements of a row. An element's key is its position, u64 BE; positions are dense, so that the element at
 * an index is found by reckoning, and pushing or popping writes one element however long the list is or was. The meta
 * bytes hold the first position (u64 BE); without any it is MIDDLE, where lists begin.
 *
 * Invariants: the elements are those at first … first + count - 1; a walk begins and ends at live positions, so that it
 * never meets what pops have left behind.
 *
 * Positions are safe integers: at a million pushes a second on one side they last for 142 years.
 */

import { assert } from '../assert.ts';
import { copyOf, equalBytes } from '../bytes.ts';
import type { CellsAhead } from '../repl/cells-ahead.ts';
import { CellElements } from '../repl/element-cells.ts';
import { type Elements, ELEMENT, type TagRange } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import { blockEnd, blockStart, ListBlocks } from '../repl/list-blocks.ts';
import { readStamp, writeStamp } from '../repl/row-key.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { commandsOf, docsOf, typedRowAt } from './collection-row.ts';

export const listCommand = commandsOf('list');
export const listDoc = docsOf('list');

/** Where the first element of a list stands. */
const MIDDLE = 2 ** 52;

const POSITION_BYTES = 8;

/** Beyond so many elements at an end are deleted as a range, which readers pay for until it is compacted away. */
const DROPPED_ONE_BY_ONE = 500;

/** An end of a list. */
export type End = 'head' | 'tail';

export class List {
  private readonly elements: Elements;
  private first: number;

  constructor(elements: Elements) {
    this.elements = elements;
    const { meta } = elements;
    this.first = meta.length === 0 ? MIDDLE : readStamp(meta, 0);
  }

  get length(): number {
    return this.elements.count;
  }

  /** The element at an index in [0, length), valid until the turn ends. Throws `Miss`. */
  at(index: number): Uint8Array {
    const value = this.elements.get(ELEMENT, positionKey(this.first + index));
    assert(value !== undefined, 'an element at every position of a list');
    return value;
  }

  /** Requires: 0 ≤ index < length. */
  set(index: number, value: Uint8Array): void {
    this.elements.replace(ELEMENT, positionKey(this.first + index), value);
  }

  push(end: End, value: Uint8Array): void {
    const { elements } = this;
    if (end === 'tail') elements.add(ELEMENT, positionKey(this.first + elements.count), value);
    else {
      this.startAt(this.first - 1);
      // The position of the first element is what the meta bytes hold.
      elements.add(ELEMENT, elements.meta, value);
    }
  }

  /** Takes the element at an end; its bytes are valid until the turn ends. Requires: not empty. Throws `Miss`. */
  pop(end: End): Uint8Array {
    const { elements } = this;
    const position = end === 'head' ? this.first : this.first + elements.count - 1;
    const value = elements.take(ELEMENT, positionKey(position));
    assert(value !== undefined, 'an element at each end of a list');
    if (end === 'head') this.startAt(position + 1);
    return value;
  }

  /** Elements [start, end) as a range to walk. Requires: 0 ≤ start < end ≤ length. */
  range(start: number, end: number, reverse = false): TagRange {
    return { lower: positionKey(this.first + start), upper: positionKey(this.first + end), reverse };
  }

  /** Calls `visit` with the elements [start, end) and their indexes until it returns false. Throws `Miss`. */
  each(start: number, end: number, visit: (value: Uint8Array, index: number) => boolean | void, reverse = false): void {
    if (start >= end) return;
    let index = reverse ? end - 1 : start;
    this.elements.each(ELEMENT, this.range(start, end, reverse), (_key, value) => {
      const at = index;
      index += reverse ? -1 : 1;
      return visit(value, at);
    });
  }

  /** The elements [start, end) in memory of their own. Throws `Miss`. */
  copy(start: number, end: number): Uint8Array[] {
    const values: Uint8Array[] = [];
    this.each(start, end, (value) => {
      values.push(copyOf(value));
    });
    return values;
  }

  /** The elements [start, end); their bytes are valid until the turn ends. Throws `Miss`. */
  values(start: number, end: number): Uint8Array[] {
    const { base, staged } = this.elements;
    if (staged.length > 0) return this.copy(start, end);
    if (!(base instanceof CellElements)) return this.seen(start, end);
    const note = base.note();
    if (note === undefined) return this.copy(start, end);
    const blocks = (note.blocks ??= new ListBlocks());
    const values: Uint8Array[] = [];
    for (let from = start; from < end;) {
      const position = this.first + from;
      const to = Math.min(blockEnd(position) - this.first, end);
      if (!blocks.collect(position, this.first + to, values)) {
        this.keepBlock(base, blocks, from);
        blocks.collect(position, this.first + to, values);
      }
      from = to;
    }
    return values;
  }

  /** Reads the block that the element at `index` is in. Throws `Miss`. */
  private keepBlock(base: CellElements, blocks: ListBlocks, index: number): void {
    const position = this.first + index;
    const start = Math.max(blockStart(position) - this.first, 0);
    const end = Math.min(blockEnd(position) - this.first, this.length);
    base.keepBlock(blocks, this.first + start, this.copy(start, end));
  }

  /** Elements of a list in its head, whose bytes stay as they are until the turn ends. */
  private seen(start: number, end: number): Uint8Array[] {
    const values: Uint8Array[] = [];
    this.each(start, end, (value) => {
      values.push(value);
    });
    return values;
  }

  /** Indexes of the elements that equal `value`, `most` of them, the last ones when `reverse`; rising. Throws `Miss`. */
  indexesOf(value: Uint8Array, most: number, reverse = false): number[] {
    const indexes: number[] = [];
    this.each(
      0,
      this.length,
      (each, index) => {
        if (equalBytes(each, value)) indexes.push(index);
        return indexes.length < most;
      },
      reverse,
    );
    return reverse ? indexes.reverse() : indexes;
  }

  /** Puts an element before the one at `index`, or at the end; moves what stands on the shorter side. Throws `Miss`. */
  insert(index: number, value: Uint8Array): void {
    const { length } = this;
    if (index < length / 2) {
      const moved = this.copy(0, index);
      this.push('head', moved[0] ?? value);
      moved.forEach((each, i) => this.set(i, each));
    } else {
      const moved = this.copy(index, length);
      this.push('tail', moved.at(-1) ?? value);
      moved.forEach((each, i) => this.set(index + 1 + i, each));
    }
    this.set(index, value);
  }

  /** How many elements `insert` moves. */
  movesOfInsert(index: number): number {
    return Math.min(index, this.length - index);
  }

  /** How many elements `remove` moves. Requires: at least one index. */
  movesOfRemove(indexes: readonly number[]): number {
    return Math.min((indexes.at(-1) as number) + 1, this.length - (indexes[0] as number));
  }

  /** Takes out the elements at these indexes, which rise; moves what stands on the shorter side. Throws `Miss`. */
  remove(indexes: readonly number[]): void {
    if (indexes.length === 0) return;
    const { length } = this;
    const firstGone = indexes[0] as number;
    const lastGone = indexes.at(-1) as number;
    const gone = new Set(indexes);
    if (lastGone + 1 < length - firstGone) {
      const kept = this.copy(0, lastGone + 1).filter((_, i) => !gone.has(i));
      kept.forEach((each, i) => this.set(indexes.length + i, each));
      this.dropHead(indexes.length);
    } else {
      const kept = this.copy(firstGone, length).filter((_, i) => !gone.has(firstGone + i));
      kept.forEach((each, i) => this.set(firstGone + i, each));
      this.dropTail(indexes.length);
    }
  }

  /** Takes the first `count` elements out. */
  dropHead(count: number): void {
    if (count === 0) return;
    this.dropAt(this.first, count);
    this.startAt(this.first + count);
  }

  /** Takes the last `count` elements out. */
  dropTail(count: number): void {
    this.dropAt(this.first + this.elements.count - count, count);
  }

  private dropAt(position: number, count: number): void {
    const { elements } = this;
    if (count > DROPPED_ONE_BY_ONE && elements.base instanceof CellElements) {
      const range = { tag: ELEMENT, lower: positionKey(position), upper: positionKey(position + count) };
      elements.dropRange(range, count);
    } else for (let i = 0; i < count; i++) elements.drop(ELEMENT, positionKey(position + i));
  }

  private startAt(position: number): void {
    this.first = position;
    this.elements.meta = positionKey(position);
  }
}

/** Adds the element at an index of a new list. */
export function addListed(cells: CellsAhead, index: number, value: Uint8Array): void {
  cells.add(ELEMENT, positionKey(MIDDLE + index), value);
}

function positionKey(position: number): Uint8Array {
  const key = new Uint8Array(POSITION_BYTES);
  writeStamp(key, 0, position);
  return key;
}

/** The list of a live row. Throws `Miss`. */
export function listOf(view: View, row: Row): List {
  return new List(view.elements(row));
}

/** The list at the key that word i names; undefined: there is no such key. Throws `Miss`, `CommandError`. */
export function listAt(view: View, args: Args, i: number): List | undefined {
  const row = typedRowAt(view, args, i, rowType.LIST);
  return row.live ? listOf(view, row) : undefined;
}

/** The list of a row that is a list or nothing; a missing one becomes an empty list, which the caller must fill. */
export function listToFill(view: View, row: Row): List {
  return new List(row.live ? view.elements(row) : view.create(row, rowType.LIST));
}

/** An index as commands write it, where -1 is the last, in [0, length); undefined: outside. */
export function indexOf(index: number, length: number): number | undefined {
  const at = index < 0 ? index + length : index;
  return at >= 0 && at < length ? at : undefined;
}

/** The range from `start` to `stop`, both inclusive and as commands write them, as [start, end) in [0, length). */
export function boundsOf(start: number, stop: number, length: number): readonly [start: number, end: number] {
  const from = Math.max(start < 0 ? start + length : start, 0);
  const end = Math.min((stop < 0 ? stop + length : stop) + 1, length);
  return from < end ? [from, end] : [0, 0];
}
