/** Tells the store which rows will be looked up next, so that it waits for memory once and not for each. */

import type { Store } from '../engine/store.ts';
import { maxHeadLength, writeHeadKeyOf } from './row-key.ts';

/** A row with a longer key is looked up as if it had not been expected. */
const MAX_HEAD_BYTES = 256;

/** Some ranges of one buffer. */
export interface Ranges {
  readonly bytes: Uint8Array;
  readonly count: number;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
}

export class ExpectedRows {
  private readonly store: Store;
  private readonly head = new Uint8Array(MAX_HEAD_BYTES);

  constructor(store: Store) {
    this.store = store;
  }

  /** The rows of these keys in a physical database: of all, or of each `step`th from `first` on. */
  expect(database: number, keys: Ranges, first = 0, step = 1): void {
    const { head, store } = this;
    const { bytes, count, starts, ends } = keys;
    for (let i = first; i < count; i += step) {
      const start = starts[i] as number;
      const end = ends[i] as number;
      if (maxHeadLength(end - start) > MAX_HEAD_BYTES) continue;
      store.expect(head, writeHeadKeyOf(head, 0, database, bytes, start, end));
    }
    store.touchExpected();
  }
}
