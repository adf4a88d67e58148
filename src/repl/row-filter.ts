/**
 * What compaction may drop, said to the engine as a rule it runs in its thread: it knows keys and values, this module
 * knows rows.
 *
 * - A cell at or below its database's flush mark does not exist, and whatever older copy lies below it does not either;
 *   nor does one below its slot's mark.
 * - A deleted head at or below the floor may go where nothing older of its key can lie below (the bottommost level).
 *   With one copy of the data every stamp is below the floor as soon as it was given; in a cluster the floor comes out
 *   of FENCE, CONVERGE, FLOOR (design, section 6).
 */

import { headFlag, rowType } from './head.ts';
import { databaseOfHead, EXPIRY_PREFIX, headEnd, readStamp, slotOfHead, SYSTEM_DATABASE } from './row-key.ts';

/** Sent to the thread with each compaction. */
export interface RowFilterState {
  /** Flush mark (stamp) of each of the 256 physical databases. */
  readonly flushMarks: Float64Array;
  /** In a cluster, by database (255: of all): of each slot the stamp below which its rows were flushed. */
  readonly slotMarks?: ReadonlyMap<number, Float64Array>;
  /** Deleted heads with a stamp up to here may be purged. */
  readonly floor: number;
}

export type RowFilter = (key: Uint8Array, value: Uint8Array, bottommost: boolean) => 'keep' | 'drop';

export function createFilter(state: RowFilterState): RowFilter {
  const every = state.slotMarks?.get(SYSTEM_DATABASE);
  const single = Array.from({ length: SYSTEM_DATABASE }, (_, database) => state.slotMarks?.get(database));
  return (key, value, bottommost) => {
    if (slotOfHead(key) >= EXPIRY_PREFIX) return 'keep';
    const database = databaseOfHead(key);
    if (database === SYSTEM_DATABASE) return 'keep';
    const isHead = headEnd(key) === key.length;
    const stamp = readStamp(value, isHead ? 3 : 0);
    if (stamp <= (state.flushMarks[database] as number)) return 'drop';
    if (every !== undefined && stamp < (every[slotOfHead(key)] as number)) return 'drop';
    const marks = single[database];
    if (marks !== undefined && stamp < (marks[slotOfHead(key)] as number)) return 'drop';
    const dead = isHead && value[1] === rowType.DELETED && ((value[2] as number) & headFlag.EXPIRES) === 0;
    return dead && bottommost && stamp <= state.floor ? 'drop' : 'keep';
  };
}
