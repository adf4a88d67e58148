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

import { type Batch, lookup, type Store } from '../engine/store.ts';
import { cellRange } from './element-cells.ts';
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
  const record = await firstKey(store, PREFIX, pastPrefix());
  if (record === undefined) return false;
  const generation = readStamp(record, PREFIX.length);
  const head = record.subarray(PREFIX.length + 8);
  const [lower, upper] = cellRange(head, head.length, generation);
  const cells = await keysOf(store, lower, upper, GARBAGE_BATCH_CELLS);
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

async function firstKey(store: Store, lower: Uint8Array, upper: Uint8Array): Promise<Uint8Array | undefined> {
  return (await keysOf(store, lower, upper, 1))[0];
}

/** The first keys in [lower, upper), in memory of their own. */
async function keysOf(store: Store, lower: Uint8Array, upper: Uint8Array, most: number): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = [];
  const cursor = store.cursor({ lower, upper });
  try {
    while (keys.length < most) {
      const step = cursor.next();
      if (step === lookup.MISS) await cursor.load();
      else if (step === lookup.ABSENT) break;
      else keys.push(cursor.key.slice());
    }
  } finally {
    cursor.close();
  }
  return keys;
}
