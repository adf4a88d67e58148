/**
 * Cells that no head names any more: what a large collection left behind when it was deleted, replaced or expired. The
 * batch that ended it wrote one record of this node, so that DEL costs the same for ten elements and ten million:
 *
 * ```
 * "cells" | generation u64 BE | head of the row                (value empty)
 * ```
 *
 * The collector deletes the cells a few at a time, then the record. Nobody reads such cells, so nothing depends on when;
 * after a crash it goes on where it was.
 */

import type { Batch, Store } from '../engine/store.ts';
import { cellRange } from './element-cells.ts';
import { firstKeys } from './first-keys.ts';
import { localKey, readStamp, writeStamp } from './row-key.ts';

const PREFIX = localKey('cells');

/** Cells deleted in one turn: about half a millisecond. */
export const GARBAGE_BATCH_CELLS = 500;

/** The record of cells that were left behind. */
export function garbageKey(generation: number, head: Uint8Array, headLength: number): Uint8Array {
  const key = new Uint8Array(PREFIX.length + 8 + headLength);
  key.set(PREFIX);
  writeStamp(key, PREFIX.length, generation);
  key.set(head.subarray(0, headLength), PREFIX.length + 8);
  return key;
}

/** Deletes cells that were left behind, at most GARBAGE_BATCH_CELLS a call. True: there may be more. Throws `EngineError`. */
export async function collectGarbage(store: Store, batch: Batch): Promise<boolean> {
  const [record] = await firstKeys(store, { lower: PREFIX, upper: pastPrefix() }, 1);
  if (record === undefined) return false;
  const generation = readStamp(record, PREFIX.length);
  const head = record.subarray(PREFIX.length + 8);
  const [lower, upper] = cellRange(head, head.length, generation);
  const cells = await firstKeys(store, { lower, upper }, GARBAGE_BATCH_CELLS);
  if (store.refusal !== undefined) return false;
  batch.clear();
  for (const cell of cells) batch.delete(cell);
  if (cells.length < GARBAGE_BATCH_CELLS) batch.delete(record);
  store.write(batch, true);
  return true;
}

function pastPrefix(): Uint8Array {
  const past = PREFIX.slice();
  past[past.length - 1] = (past.at(-1) as number) + 1;
  return past;
}
