/** Names of rows from the words of requests, as they come: see `RowName`. */

import { HEAD_OVERHEAD, maxHeadLength, writeHeadKeyOf } from './row-key.ts';
import type { RowName } from './owner-message.ts';

/** Longest key whose name is made in memory that is kept. */
const KEPT_KEY_BYTES = 1024;

const scratch = Buffer.allocUnsafeSlow(HEAD_OVERHEAD + 2 * KEPT_KEY_BYTES);

/** The name of the row of the key bytes[start, end) in a physical database. */
export function rowNameOf(database: number, bytes: Uint8Array, start: number, end: number): RowName {
  const length = end - start;
  const target = length <= KEPT_KEY_BYTES ? scratch : Buffer.allocUnsafe(maxHeadLength(length));
  return target.toString('latin1', 0, writeHeadKeyOf(target, 0, database, bytes, start, end));
}
