/**
 * Cells that are written before the head that names them: the elements of a collection that is made over several turns. They
 * stand under a generation of their own, so nobody meets them; the commit that installs them is one head. Their record of
 * garbage (cell-garbage.ts) is written first and goes with that commit, so what a crash or a change of mind leaves behind is
 * collected.
 */

import { EMPTY } from '../bytes.ts';
import type { Batch, Store } from '../engine/store.ts';
import { garbageKey } from './cell-garbage.ts';
import { CellElements, type CellWriter, putCell } from './element-cells.ts';
import { ELEMENT, type ElementSteps } from './elements.ts';

/** Bytes of cells that one batch holds before it is written although its slice goes on. */
const BATCH_BYTES = 256 * 1024;

export class CellsAhead implements CellWriter {
  readonly head: Uint8Array;
  readonly headLength: number;
  readonly generation: number;
  /** Of the cells: no commit has it, and those that follow have later ones. */
  readonly stamp: number;
  readonly actor: number;
  /** Elements with tag ELEMENT so far. */
  count = 0;
  /** Of the collection, in memory of its own. */
  meta: Uint8Array = EMPTY;
  /** The row is to have these elements, though they may be none. */
  isBegun = false;
  private readonly store: Store;
  private readonly batch: Batch;

  /** `head`: of the row, in memory of its own. `stamp`: that nobody else was given. */
  constructor(options: { store: Store; head: Uint8Array; stamp: number; actor: number }) {
    this.store = options.store;
    this.batch = options.store.newBatch();
    this.head = options.head;
    this.headLength = options.head.length;
    this.generation = options.stamp;
    this.stamp = options.stamp;
    this.actor = options.actor;
  }

  begin(): void {
    if (this.isBegun) return;
    this.isBegun = true;
    this.batch.put(garbageKey(this.generation, this.head, this.headLength), EMPTY);
  }

  /** Adds an element, which is copied. An element that was added before is replaced, but for its count. Throws `EngineError`. */
  add(tag: number, key: Uint8Array, value: Uint8Array): void {
    this.begin();
    putCell(this.batch, this, tag, key, value);
    if (tag === ELEMENT) this.count++;
    if (this.batch.byteLength > BATCH_BYTES) this.write();
  }

  /** A walk over what was written, by the keys of a tag. Must be closed. */
  walk(tag: number): ElementSteps {
    const { store, head, headLength, generation } = this;
    return new CellElements(store, head, headLength, generation, () => {}).steps(tag, {});
  }

  /** Writes what was added since the last time: at the end of each slice. Throws `EngineError`. */
  write(): void {
    if (this.batch.count === 0) return;
    this.store.write(this.batch);
    this.batch.clear();
  }
}
