/**
 * Sources: what a cursor merges. A source walks the keys of one memtable, or of all tables of a version, in one
 * direction, and shows for each key the newest record that the cursor's sequence may see, deletions included.
 *
 * After FOUND the fields describe the record; they stay valid until the next call. A source never shows a key twice.
 */

import type { Kind } from './record.ts';
import type { Lookup } from './store.ts';

export interface Source {
  readonly keyBytes: Uint8Array;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly kind: Kind;
  readonly sequence: number;
  readonly valueBytes: Uint8Array;
  readonly valueStart: number;
  readonly valueEnd: number;
  /**
   * Goes to the first key ≥ `key`, walking backwards to the last key ≤ `key`; without a key to the first or the last.
   * After MISS: `await load()`, then seek again.
   */
  seek(key: Uint8Array | undefined): Lookup;
  /** Goes to the next key in the source's direction. After MISS: `await load()`, then step again. */
  step(): Lookup;
  load(): Promise<void>;
  close(): void;
}
