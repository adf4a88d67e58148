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

import { copyOf, EMPTY } from '../bytes.ts';
import { type Cursor, Found, lookup, type Store } from '../engine/store.ts';
import type { PackedElement } from './element-pack.ts';
import { ELEMENT_HEADER } from './head.ts';
import { CELL_ELEMENT, writeStamp } from './row-key.ts';
import type { ElementBase, ElementSteps, TagRange } from './elements.ts';
import { Miss } from './miss.ts';

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
  for (let i = 0; i < headLength; i++) cell[i] = head[i] as number;
  cell[headLength] = CELL_ELEMENT;
  writeStamp(cell, headLength + 1, generation);
  cell[headLength + CELL_PREFIX_BYTES - 1] = tag;
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

export class CellElements implements ElementBase {
  private readonly store: Store;
  private readonly headLength: number;
  private readonly found = new Found();
  private readonly saw: (sequence: number) => void;
  readonly generation: number;
  /** A cell's key but for its tag and what follows; grows with the keys looked up. */
  private cell: Uint8Array;

  /** `saw` is told the sequence of what was read. */
  constructor(store: Store, head: Uint8Array, headLength: number, generation: number, saw: (sequence: number) => void) {
    this.store = store;
    this.headLength = headLength;
    this.generation = generation;
    this.saw = saw;
    this.cell = new Uint8Array(headLength + CELL_PREFIX_BYTES + 64);
    writeCellPrefix(this.cell, head, headLength, generation, 0);
  }

  /** Throws `Miss`. */
  find(tag: number, key: Uint8Array): Uint8Array | undefined {
    const { found } = this;
    const length = this.writeCell(tag, key);
    const outcome = this.store.get(this.cell, length, found);
    if (outcome === lookup.MISS) {
      const missed = this.cell.slice(0, length);
      throw new Miss(() => this.store.fetch(missed));
    }
    if (found.sequence !== 0) this.saw(found.sequence);
    return outcome === lookup.ABSENT ? undefined : found.bytes.subarray(found.start + ELEMENT_HEADER, found.end);
  }

  steps(tag: number, range: TagRange): ElementSteps {
    const { headLength, cell, generation } = this;
    const lower = cellKey(cell, headLength, generation, tag, range.lower ?? EMPTY);
    const upper =
      range.upper === undefined
        ? cellKey(cell, headLength, generation, tag + 1, EMPTY)
        : cellKey(cell, headLength, generation, tag, range.upper);
    // It may pass any record of the store; what it shows is no younger than the last one.
    this.saw(this.store.lastSequence);
    return new CellSteps(
      this.store.cursor({ lower, upper, reverse: range.reverse === true }),
      lower.length - (range.lower?.length ?? 0),
    );
  }

  /** Every element, whatever its tag, in memory of its own. Throws `Miss`. */
  *all(): Generator<PackedElement, void> {
    const { headLength, cell, generation } = this;
    const [lower, upper] = cellRange(cell, headLength, generation);
    this.saw(this.store.lastSequence);
    const cursor = this.store.cursor({ lower, upper });
    let missed = false;
    try {
      for (;;) {
        const step = cursor.next();
        if (step === lookup.ABSENT) return;
        if (step === lookup.MISS) {
          missed = true;
          throw new Miss(() => cursor.load().finally(() => cursor.close()));
        }
        const { tag, key } = elementOfCell(cursor.key, headLength);
        yield { tag, key: copyOf(key), value: copyOf(cursor.value.subarray(ELEMENT_HEADER)) };
      }
    } finally {
      if (!missed) cursor.close();
    }
  }

  private writeCell(tag: number, key: Uint8Array): number {
    const start = this.headLength + CELL_PREFIX_BYTES;
    const length = start + key.length;
    if (length > this.cell.length) {
      const longer = new Uint8Array(2 * length);
      longer.set(this.cell.subarray(0, start));
      this.cell = longer;
    }
    const { cell } = this;
    cell[start - 1] = tag;
    if (key.length <= 32) for (let i = 0; i < key.length; i++) cell[start + i] = key[i] as number;
    else cell.set(key, start);
    return length;
  }
}

class CellSteps implements ElementSteps {
  private readonly cursor: Cursor;
  private readonly prefix: number;

  constructor(cursor: Cursor, prefix: number) {
    this.cursor = cursor;
    this.prefix = prefix;
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
    return step === lookup.FOUND;
  }

  close(): void {
    this.cursor.close();
  }
}
