/** States that are told against a base (row-delta.ts), where the base is held: their elements, and the states whole. */

import { DamagedError } from '../cluster/byte-cursor.ts';
import { EngineError } from '../engine/engine-error.ts';
import type { Store } from '../engine/store.ts';
import { CellElements } from './element-cells.ts';
import { packCollection, type PackedElement, readCollectionHead } from './element-pack.ts';
import { ELEMENT, Elements } from './elements.ts';
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
  const value = packWhole(elements.count, elements.meta, elements.merged());
  return encodeRowState({ ...decoded, cells: undefined, value });
}

/**
 * The value of a collection with these elements, which were read from cells. Throws an `EngineError` `corruption` when some
 * are not there (`kvorum repair` has lost them): told to others they would be taken for the state of the row's version.
 */
export function packWhole(count: number, meta: Uint8Array, elements: readonly PackedElement[]): Uint8Array {
  let counted = 0;
  for (const { tag } of elements) if (tag === ELEMENT) counted++;
  if (counted !== count) throw new EngineError('corruption', 'elements of this key were lost with a damaged table');
  return packCollection(count, meta, elements);
}

function ignore(): void {
  return;
}
