/**
 * Counts the rows anew, at the first start after a repair that has lost records.
 *
 * The counts and the expiry index are kept exact by commits that know the old head; they are wrong once records have gone
 * or older ones have come to light. A row that its slot does not count would be passed over by walks, and a deadline
 * without an entry would never be swept. So whoever loses records leaves the mark `RECOUNT` among the named values.
 */

import { lookup, type Store } from '../engine/store.ts';
import { fieldsDueMs, fieldsRecord } from './field-sweep.ts';
import { Head, readHead, rowType } from './head.ts';
import type { Keyspace, KeyspaceState } from './keyspace.ts';
import { databaseOfHead, EXPIRY_PREFIX, expiryKey, headEnd, slotOfHead, SYSTEM_DATABASE } from './row-key.ts';

/** Named value that asks for a recount unless it is empty. */
export const RECOUNT = 'recount';

/** Entries of the expiry index that are written at a time. */
const BATCH_ENTRIES = 1_000;

const NOTHING = new Uint8Array(0);

export interface Recounted {
  readonly rows: number;
  /** Everything is written: the mark may go. False when the store took no writes meanwhile. */
  readonly isDurable: boolean;
}

/** Requires: nobody writes. Rejects with `corruption` while a table is damaged. */
export async function recountRows(store: Store, state: KeyspaceState, keyspace: Keyspace): Promise<Recounted> {
  const { counts } = state;
  counts.reset();
  const head = new Head();
  const batch = store.newBatch();
  let rows = 0;
  let isDurable = true;
  const write = (): void => {
    if (store.refusal === undefined) store.write(batch);
    else isDurable = false;
    batch.clear();
  };
  const cursor = store.cursor({ upper: Uint8Array.of(EXPIRY_PREFIX >> 8, EXPIRY_PREFIX & 0xff) });
  try {
    for (let step = cursor.next(); step !== lookup.ABSENT; step = cursor.next()) {
      if (step === lookup.MISS) {
        await cursor.load();
        continue;
      }
      const { key, value } = cursor;
      if (headEnd(key) !== key.length) continue;
      readHead(head, value, 0, value.length);
      const database = databaseOfHead(key);
      const slot = slotOfHead(key);
      if (database === SYSTEM_DATABASE) continue;
      if (head.type === rowType.DELETED || keyspace.isFlushed(database, slot, head.stamp, head.actor)) continue;
      counts.add(database, slot, 1);
      rows++;
      if (head.expiresAtMs !== 0) batch.put(expiryKey(head.expiresAtMs, key), NOTHING);
      const dueMs = fieldsDueMs(head);
      if (dueMs !== 0) batch.put(fieldsRecord(dueMs, key, key.length), NOTHING);
      if (batch.count >= BATCH_ENTRIES) write();
    }
  } finally {
    cursor.close();
  }
  state.putCounts(batch);
  write();
  if (isDurable) await store.flush();
  return { rows, isDurable };
}
