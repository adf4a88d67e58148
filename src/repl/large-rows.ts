/**
 * Looks for a row that is too large to be shared: its state could not pass between nodes in one message, so that no owner
 * could ever get it from another one. A node that was alone may have such rows (a string may have 512 MB there); it takes
 * nobody into its cluster before they are gone.
 */

import { textOf } from '../bytes.ts';
import { lookup, type Store } from '../engine/store.ts';
import type { Env } from '../env.ts';
import { Head, readHead, rowType } from './head.ts';
import type { Keyspace } from './keyspace.ts';
import { databaseOfHead, EXPIRY_PREFIX, headEnd, keyOfHead, slotOfHead, SYSTEM_DATABASE } from './row-key.ts';

/** Cells that are looked at in one turn: about a millisecond. */
const CELLS_IN_TURN = 2_000;

export interface LargeRow {
  readonly database: number;
  /** As UTF-8. */
  readonly key: string;
  /** Of its cells; parts that were deleted and are still to be cleared away count too. */
  readonly bytes: number;
}

/**
 * The first row whose cells have more than `maxBytes`; undefined: there is none. Rows that grow while it looks may be
 * passed over. Rejects with an `EngineError`.
 */
export async function findLargeRow(
  world: { readonly store: Store; readonly timers: Env['timers']; readonly keyspace: Pick<Keyspace, 'isFlushed'> },
  maxBytes: number,
): Promise<LargeRow | undefined> {
  const { store, timers, keyspace } = world;
  const head = new Head();
  const cursor = store.cursor({ upper: Uint8Array.of(EXPIRY_PREFIX >> 8, EXPIRY_PREFIX & 0xff) });
  let bytes = 0;
  let isLive = false;
  try {
    for (let count = 1; ; count++) {
      const step = cursor.next();
      if (step === lookup.ABSENT) return undefined;
      if (step === lookup.MISS) await cursor.load();
      else {
        const { key, value } = cursor;
        const end = headEnd(key);
        if (end === key.length) {
          readHead(head, value, 0, value.length);
          const database = databaseOfHead(key);
          const isFlushed = keyspace.isFlushed(database, slotOfHead(key), head.stamp, head.actor);
          isLive = head.type !== rowType.DELETED && database !== SYSTEM_DATABASE && !isFlushed;
          bytes = 0;
        }
        bytes += key.length - end + value.length;
        if (isLive && bytes > maxBytes) {
          return { database: databaseOfHead(key), key: textOf(keyOfHead(key.subarray(0, end))), bytes };
        }
      }
      if (count % CELLS_IN_TURN === 0) await new Promise<void>((resolve) => timers.atTurnEnd(resolve));
    }
  } finally {
    cursor.close();
  }
}
