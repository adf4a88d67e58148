/**
 * What a transaction has decided for a large collection, as a change of the row that it has locked. The transaction told it
 * against the copy of the node where it ran (row-delta.ts). While its lock stands a row is what it was when it was locked,
 * whatever version settling, repair and moves have given it since; so what was told against one copy with the lock can be told
 * against any other copy with it.
 */

import { assert } from '../assert.ts';
import { PackedElements, readCollectionHead } from './element-pack.ts';
import { Elements } from './elements.ts';
import { countBefore, readDelta } from './row-delta.ts';
import type { Whole } from './row-tasks.ts';
import { decodeRowState, encodeRowState, isDelta, modifiedState } from './row-state.ts';
import { packWhole } from './row-whole.ts';
import type { Version } from './version.ts';
import { Row } from './view.ts';

/**
 * What `current` becomes by `write`, with this modification version and without a lock. Requires: `current` has the lock of
 * the transaction that wrote. `whole`: as tasks are given it (row-tasks.ts). Throws `Miss`.
 */
export function writtenState(current: Uint8Array, write: Uint8Array, modified: Version, whole: Whole): Uint8Array {
  if (!isDelta(write)) return modifiedState(write, modified);
  const written = decodeRowState(write);
  const { cells } = written;
  assert(cells !== undefined, 'a state that is told against a base');
  const { count, meta, end } = readCollectionHead(written.value);
  const now = decodeRowState(current);
  const front = readCollectionHead(now.value);
  assert(now.type === written.type, 'a locked row stays of its type');
  assert(front.count === countBefore(written.value, count, end), 'a locked row keeps its elements');
  // What changes before it in the same ACCEPT have done stands in front of its own.
  if (isDelta(current) && front.end < now.value.length) return writtenState(whole(current), write, modified, whole);
  if (now.cells !== undefined) {
    const size = now.cells.size + cells.size - cells.sizeBefore;
    const rebased = { ...now.cells, sizeBefore: now.cells.size, size };
    return encodeRowState({ ...written, modified, lock: undefined, cells: rebased });
  }
  const base = new PackedElements(now.value, front.end);
  const elements = new Elements(new Row(0), base, count, meta, readDelta(written.value, end));
  const value = packWhole(count, meta, elements.merged());
  return encodeRowState({ ...written, modified, lock: undefined, cells: undefined, value });
}
