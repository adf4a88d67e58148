/** What the engine's threads run for rows: flushes and compactions that know the rule of row-filter.ts. */

import { engineThread } from '../engine/engine-thread.ts';
import { createFilter, type RowFilterState } from './row-filter.ts';

export default engineThread({
  createFilter(state) {
    const filter = createFilter(state as RowFilterState);
    return (key, keyStart, keyEnd, value, valueStart, valueEnd, bottommost) =>
      filter(key.subarray(keyStart, keyEnd), value.subarray(valueStart, valueEnd), bottommost);
  },
});
