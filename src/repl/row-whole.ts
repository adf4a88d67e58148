/** States that are told against a base (row-delta.ts), where the base is held: their elements, and the states whole. */

import { DamagedError } from '../cluster/byte-cursor.ts';
import type { Store } from '../engine/store.ts';
import { CellElements } from './element-cells.ts';
import { packCollection, readCollectionHead } from './element-pack.ts';
import { Elements } from './elements.ts';
import type { RowName } from './owner-message.ts';
import { readDelta } from './row-delta.ts';
import { decodeRowState, encodeRowState, type RowState } from './row-state.ts';
import { Row } from './view.ts';

/** What names the row in a state against a base, without its changes: for a hint. */
export function markerOf(state: Uint8Array): Uint8Array {
  const decoded = decodeRowState(state);
  const { end } = readCollectionHead(decoded.value);
  return encodeRowState({ ...decoded, value: decoded.value.subarray(0, end) });
}

/** The elements of a state against a base that this store holds. */
export function elementsOf(store: Store, row: RowName, state: RowState): Elements {
  const { cells, value } = state;
  if (cells === undefined) throw new DamagedError('a state that is told against no base');
  const head = Buffer.from(row, 'latin1');
  const base = new CellElements(store, head, head.length, cells.generation, ignore);
  const { count, meta, end } = readCollectionHead(value);
  return new Elements(new Row(0), base, count, meta, readDelta(value, end));
}

/** The whole state. Requires: this store holds the base of `state`. Throws `Miss`. */
export function wholeState(store: Store, row: RowName, state: Uint8Array): Uint8Array {
  const decoded = decodeRowState(state);
  const elements = elementsOf(store, row, decoded);
  const value = packCollection(elements.count, elements.meta, elements.merged());
  return encodeRowState({ ...decoded, cells: undefined, value });
}

function ignore(): void {
  return;
}
