/**
 * The elements of a large collection, each a cell of its own in the store. The key of a cell:
 *
 * ```
 * head of the row | CELL_ELEMENT u8 | generation u64 BE | tag u8 | key of the element
 * ```
 *
 * The generation is the stamp of the commit that put the collection into cells. Each life of a key so has a range of its own:
 * what a DEL leaves behind is never met by a walk over the next life, and goes at leisure (cell-garbage.ts).
 *
 * A cell's value is its version (see `putElement`), then the element's value.
 */

import { compareBytes, copyOf, EMPTY } from '../bytes.ts';
import { writeU32 } from '../cluster/big-endian.ts';
import { type Batch, type Cursor, Found, lookup, type Store } from '../engine/store.ts';
import type { CellMemory, CellNote } from './cell-memory.ts';
import { ElementBag, MAX_BAGGED } from './element-bag.ts';
import type { PackedElement } from './element-pack.ts';
import type { ElementRanks } from './element-ranks.ts';
import { ELEMENT_HEADER } from './head.ts';
import { CELL_ELEMENT, writeStamp } from './row-key.ts';
import {
  type DroppedRange,
  ELEMENT,
  eachStep,
  type ElementBase,
  type ElementSteps,
  type TagRange,
} from './elements.ts';
import type { ListBlocks } from './list-blocks.ts';
import { Miss } from './miss.ts';
import { RangeSizes, rangeWithout } from './range-sizes.ts';

/** A bag is made after a draw for each so many elements. */
const DRAWS_SHARE = 16;

/** Bytes of a cell's key between the head of the row and the element's. */
const CELL_PREFIX_BYTES = 10;

/** The cell of an element, in memory of its own. */
export function cellKey(
  head: Uint8Array,
  headLength: number,
  generation: number,
  tag: number,
  key: Uint8Array,
): Uint8Array {
  const cell = new Uint8Array(headLength + CELL_PREFIX_BYTES + key.length);
  writeCellPrefix(cell, head, headLength, generation, tag);
  cell.set(key, headLength + CELL_PREFIX_BYTES);
  return cell;
}

function writeCellPrefix(
  cell: Uint8Array,
  head: Uint8Array,
  headLength: number,
  generation: number,
  tag: number,
): void {
  writeCellPrefixAt(cell, 0, head, headLength, generation, tag);
}

function writeCellPrefixAt(
  cell: Uint8Array,
  at: number,
  head: Uint8Array,
  headLength: number,
  generation: number,
  tag: number,
): void {
  for (let i = 0; i < headLength; i++) cell[at + i] = head[i] as number;
  cell[at + headLength] = CELL_ELEMENT;
  writeStamp(cell, at + headLength + 1, generation);
  cell[at + headLength + CELL_PREFIX_BYTES - 1] = tag;
}

/** Which cells an element goes into, and the version it is written with. */
export interface CellWriter {
  readonly head: Uint8Array;
  readonly headLength: number;
  readonly generation: number;
  readonly stamp: number;
  readonly actor: number;
}

/** Adds the cell of an element to a batch, in place. */
export function putCell(batch: Batch, writer: CellWriter, tag: number, key: Uint8Array, value: Uint8Array): void {
  const { head, headLength, generation } = writer;
  const keyLength = headLength + CELL_PREFIX_BYTES + key.length;
  const offset = batch.reservePut(keyLength, ELEMENT_HEADER + value.length);
  const { bytes } = batch;
  writeCellPrefixAt(bytes, offset, head, headLength, generation, tag);
  copyInto(bytes, offset + headLength + CELL_PREFIX_BYTES, key);
  const at = offset + keyLength;
  writeStamp(bytes, at, writer.stamp);
  writeU32(bytes, at + 8, writer.actor);
  copyInto(bytes, at + ELEMENT_HEADER, value);
}

/** Up to this length a loop copies faster than `set`. */
const LOOP_COPY_BYTES = 12;

function copyInto(target: Uint8Array, at: number, bytes: Uint8Array): void {
  const { length } = bytes;
  if (length > LOOP_COPY_BYTES) target.set(bytes, at);
  else for (let i = 0; i < length; i++) target[at + i] = bytes[i] as number;
}

/** First key of the cells of a generation, and the first behind them. */
export function cellRange(head: Uint8Array, headLength: number, generation: number): readonly [Uint8Array, Uint8Array] {
  return [cellKey(head, headLength, generation, 0, EMPTY), cellKey(head, headLength, generation, 0xff, EMPTY)];
}

/** Tag and key of the element whose cell this is. */
export function elementOfCell(
  cell: Uint8Array,
  headLength: number,
): { readonly tag: number; readonly key: Uint8Array } {
  const start = headLength + CELL_PREFIX_BYTES;
  return { tag: cell[start - 1] as number, key: cell.subarray(start) };
}

/** Where look-ups write their keys and find their answers: one for all, since none outlasts its turn. */
let scratch = new Uint8Array(512);
const found = new Found();

export class CellElements implements ElementBase {
  private readonly store: Store;
  private readonly head: Uint8Array;
  private readonly headLength: number;
  private readonly saw: (sequence: number) => void;
  private readonly memory: CellMemory | undefined;
  readonly generation: number;

  /**
   * `saw` is told the sequence of what was read. head[0, headLength) stays as it is while the elements are used. With a
   * `memory` walks leave out what it knows to be empty, and tell it what they find.
   */
  constructor(
    store: Store,
    head: Uint8Array,
    headLength: number,
    generation: number,
    saw: (sequence: number) => void,
    memory?: CellMemory,
  ) {
    this.store = store;
    this.memory = memory;
    this.head = head;
    this.headLength = headLength;
    this.generation = generation;
    this.saw = saw;
  }

  /** Throws `Miss`. */
  find(tag: number, key: Uint8Array): Uint8Array | undefined {
    const length = this.writeCell(tag, key);
    const outcome = this.store.get(scratch, length, found);
    if (outcome === lookup.MISS) {
      const missed = scratch.slice(0, length);
      throw new Miss(() => this.store.fetch(missed));
    }
    if (found.sequence !== 0) this.saw(found.sequence);
    return outcome === lookup.ABSENT ? undefined : found.bytes.subarray(found.start + ELEMENT_HEADER, found.end);
  }

  steps(tag: number, range: TagRange): ElementSteps {
    const { head, headLength, generation } = this;
    const isAtEdge = (range.reverse === true ? range.upper : range.lower) === undefined;
    const note = isAtEdge ? this.note() : this.memory?.find(head, headLength, generation);
    const narrowed = note === undefined ? range : note.narrowed(tag, range);
    const lower = cellKey(head, headLength, generation, tag, narrowed.lower ?? EMPTY);
    const upper =
      narrowed.upper === undefined
        ? cellKey(head, headLength, generation, tag + 1, EMPTY)
        : cellKey(head, headLength, generation, tag, narrowed.upper);
    if (compareBytes(lower, upper) >= 0) return NO_STEPS;
    // It may pass any record of the store; what it shows is no younger than the last one.
    this.saw(this.store.lastSequence);
    return new CellSteps(
      this.store.cursor({ lower, upper, reverse: range.reverse === true }),
      headLength + CELL_PREFIX_BYTES,
      note === undefined ? undefined : { note, tag, range: narrowed, changes: note.changes },
    );
  }

  /** What is remembered of these elements; undefined: nothing ever is. */
  note(): CellNote | undefined {
    return this.memory?.open(this.head, this.headLength, this.generation);
  }

  /** As `ListBlocks.keep`, for a list. */
  keepBlock(blocks: ListBlocks, first: number, values: Uint8Array[]): void {
    const before = blocks.bytes;
    blocks.keep(first, values);
    this.memory?.grew(blocks.bytes - before);
  }

  /**
   * The places of the elements of a tag, of which there are `total` in the store; undefined: they are not kept. Throws
   * `Miss` while they are made.
   */
  ranks(tag: number, total: number): ElementRanks | undefined {
    const { memory } = this;
    const ranks = this.note()?.ranks(tag);
    if (memory === undefined || ranks === undefined) return undefined;
    if (ranks.built && ranks.total !== total) ranks.forget();
    if (!ranks.built) {
      ranks.build((range) => this.steps(tag, range), memory.rest);
      memory.grew(ranks.bytes);
    }
    return ranks.total === total ? ranks : undefined;
  }

  /**
   * The keys of all elements with tag ELEMENT, of which there are `total` in the store, for who draws one of them; undefined:
   * they are not kept. They are gathered once so many were drawn that the walk costs little beside it. Throws `Miss`.
   */
  bag(total: number): ElementBag | undefined {
    const note = total > MAX_BAGGED ? undefined : this.note();
    if (note === undefined) return undefined;
    if (note.bag?.count === total) return note.bag;
    if (++note.draws * DRAWS_SHARE < total) return undefined;
    const bag = new ElementBag();
    eachStep(this.steps(ELEMENT, {}), (key) => bag.add(copyOf(key)));
    note.draws = 0;
    note.bag = bag;
    this.memory?.grew(bag.bytes);
    return bag.count === total ? bag : undefined;
  }

  /** Bytes that the elements in a range take when packed, without those in these other ranges. Throws `Miss`. */
  bytesIn(range: DroppedRange, others: readonly DroppedRange[]): number {
    const note = this.note();
    const sizes = note === undefined ? new RangeSizes() : (note.sizes ??= new RangeSizes());
    const walk = ({ tag, lower, upper }: DroppedRange): ElementSteps => this.steps(tag, { lower, upper });
    const rest = this.memory?.rest ?? (() => Promise.resolve());
    return rangeWithout(range, others).reduce((sum, part) => sum + sizes.of(part, walk, rest), 0);
  }

  /** Every element, whatever its tag, in memory of its own. Throws `Miss`. */
  *all(): Generator<PackedElement, void> {
    const { head, headLength, generation } = this;
    const [lower, upper] = cellRange(head, headLength, generation);
    this.saw(this.store.lastSequence);
    const cursor = this.store.cursor({ lower, upper });
    let missed = false;
    try {
      for (let made = 0; ; made++) {
        const step = cursor.next();
        if (step === lookup.ABSENT) return;
        if (step === lookup.MISS) {
          missed = true;
          throw new Miss(() => loadRest(cursor, made));
        }
        const { tag, key } = elementOfCell(cursor.key, headLength);
        yield { tag, key: copyOf(key), value: copyOf(cursor.value.subarray(ELEMENT_HEADER)) };
      }
    } finally {
      if (!missed) cursor.close();
    }
  }

  /** A walk over every element, by tag and then by key. Must be closed. */
  everyStep(): CellSteps {
    const { head, headLength, generation } = this;
    const [lower, upper] = cellRange(head, headLength, generation);
    this.saw(this.store.lastSequence);
    return new CellSteps(this.store.cursor({ lower, upper }), headLength + CELL_PREFIX_BYTES, undefined);
  }

  private writeCell(tag: number, key: Uint8Array): number {
    const { head, headLength, generation } = this;
    const start = headLength + CELL_PREFIX_BYTES;
    const length = start + key.length;
    if (length > scratch.length) scratch = new Uint8Array(2 * length);
    writeCellPrefix(scratch, head, headLength, generation, tag);
    copyInto(scratch, start, key);
    return length;
  }
}

/** Brings in what a walk has missed after so many steps, and as many steps further on: see `loadAhead`. */
async function loadRest(cursor: Cursor, made: number): Promise<void> {
  try {
    await cursor.load();
    for (let ahead = 0; ahead < made; ahead++) {
      const step = cursor.next();
      if (step === lookup.ABSENT) return;
      if (step === lookup.MISS) await cursor.load();
    }
  } finally {
    cursor.close();
  }
}

/** A walk over nothing. */
const NO_STEPS: ElementSteps = { key: EMPTY, value: EMPTY, next: () => false, close: () => {} };

/** A walk's beginning, of which the memory is told when the first element has been found. */
interface Edge {
  readonly note: CellNote;
  readonly tag: number;
  readonly range: TagRange;
  /** The note's when the walk was opened. */
  readonly changes: number;
}

export class CellSteps implements ElementSteps {
  private readonly cursor: Cursor;
  private readonly prefix: number;
  private edge: Edge | undefined;

  constructor(cursor: Cursor, prefix: number, edge: Edge | undefined) {
    this.cursor = cursor;
    this.prefix = prefix;
    this.edge = edge;
  }

  /** Of the element that the last step stands on. */
  get tag(): number {
    return this.cursor.key[this.prefix - 1] as number;
  }

  get key(): Uint8Array {
    return this.cursor.key.subarray(this.prefix);
  }

  get value(): Uint8Array {
    return this.cursor.value.subarray(ELEMENT_HEADER);
  }

  /** Throws `Miss`: await its `load`, then step again. */
  next(): boolean {
    const step = this.cursor.next();
    if (step === lookup.MISS) throw new Miss(() => this.cursor.load());
    if (this.edge !== undefined && step === lookup.FOUND) this.tellEdge(this.edge);
    return step === lookup.FOUND;
  }

  close(): void {
    this.cursor.close();
  }

  private tellEdge({ note, tag, range, changes }: Edge): void {
    this.edge = undefined;
    if (note.changes === changes) note.sawEdge(tag, range, this.key);
  }
}
