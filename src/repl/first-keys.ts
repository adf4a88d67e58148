/** The first keys of a range of the store: what a sweeper does next. */

import { copyOf } from '../bytes.ts';
import { type CursorOptions, lookup, type Store } from '../engine/store.ts';

/** Deleted keys that one turn passes: about a millisecond. */
const MOST_PASSED = 10_000;

/** At most `most` keys, in order and in memory of their own; blocks that are not in memory are waited for. Throws `EngineError`. */
export async function firstKeys(store: Store, range: CursorOptions, most: number): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = [];
  const cursor = store.cursor({ ...range, mostPassed: MOST_PASSED });
  try {
    while (keys.length < most) {
      const step = cursor.next();
      if (step === lookup.MISS) await cursor.load();
      else if (step === lookup.ABSENT) break;
      else keys.push(copyOf(cursor.key));
    }
  } finally {
    cursor.close();
  }
  return keys;
}
