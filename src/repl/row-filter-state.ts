/** What compaction is told about rows each time it begins: see row-filter.ts. */

import type { KeyspaceState } from './keyspace.ts';
import type { RowFilterState } from './row-filter.ts';

/**
 * With one copy of the data every deleted head may be purged as soon as nothing older lies below it. Rows that are shared
 * keep theirs: a copy that missed the deletion would bring the row back (design, section 6).
 */
export function rowFilterState(state: KeyspaceState, isShared: boolean): RowFilterState {
  return {
    flushMarks: state.durableFlushMarks(),
    slotMarks: state.durableSlotMarks(),
    floor: isShared ? 0 : Number.MAX_SAFE_INTEGER,
  };
}
