/**
 * The rows of a coordinated command: states that owners have told, given to a view in place of the store.
 *
 * Invariant: a row that was not given is a `Miss`, never an absent row; a row given as `undefined` was never written.
 */

import { latin1 } from '../bytes.ts';
import { CellElements } from './element-cells.ts';
import { type Head, headFlag, rowType } from './head.ts';
import type { RowName } from './owner-message.ts';
import { deltaState } from './row-delta.ts';
import {
  decodeRowState,
  deletedRowState,
  encodeRowState,
  isDelta,
  isLiveState,
  modifiedOfState,
  newRowState,
  readRowState,
  type RowState,
} from './row-state.ts';
import { decodeSiblings, encodeSiblings } from './sibling-codec.ts';
import { EMPTY_ROW, type VersionVector, writeSibling } from './siblings.ts';
import { type Version, ZERO_VERSION } from './version.ts';
import { Miss } from './miss.ts';
import type { Row, RowMark, RowSource, View } from './view.ts';

/** Beyond so many rows a map finds them. */
const LINEAR_ROWS = 8;

export class GivenRows implements RowSource {
  private readonly names: RowName[] = [];
  private readonly states: (Uint8Array | undefined)[] = [];
  private places: Map<RowName, number> | undefined = undefined;
  /** The row that was asked for and not given, when a `Miss` was thrown. */
  missed: RowName | undefined = undefined;

  /** Forgets all rows. */
  clear(): void {
    this.names.length = 0;
    this.states.length = 0;
    this.places = undefined;
    this.missed = undefined;
  }

  give(row: RowName, state: Uint8Array | undefined): void {
    this.places?.set(row, this.names.length);
    this.names.push(row);
    this.states.push(state);
  }

  /** Throws `Miss`: whoever gave the rows looks at `missed`. */
  fill(head: Uint8Array, headLength: number, before: Head): void {
    const at = this.placeOf(head, headLength);
    if (at < 0) {
      this.missed = latin1(head, 0, headLength);
      throw new Miss(() => Promise.reject(new Error('a row that was not given is asked for by its name')));
    }
    const state = this.states[at];
    if (state === undefined) return;
    readRowState(state, before);
  }

  private placeOf(head: Uint8Array, headLength: number): number {
    const { names } = this;
    if (names.length > LINEAR_ROWS) {
      this.places ??= new Map(names.map((name, at) => [name, at]));
      return this.places.get(latin1(head, 0, headLength)) ?? -1;
    }
    for (let i = names.length - 1; i >= 0; i--) if (isName(names[i] as RowName, head, headLength)) return i;
    return -1;
  }
}

/**
 * What the row of a view is after its staged changes, as a state. `before` comes back as it is when nothing was staged.
 * `dot`: given where the row's policy keeps siblings; a plain write has then seen, and replaces, all that is there.
 */
export function stateAfter(
  view: View,
  row: Row,
  before: Uint8Array | undefined,
  ballot: Version,
  dot?: Version,
): Uint8Array | undefined {
  if (!row.dirty) return before;
  if (!row.live) return before === undefined ? undefined : deletedRowState(ballot);
  const { type, expiresAtMs } = row;
  const parts = { type, expiresAtMs, modified: ballot };
  const { elements } = row;
  if (elements !== undefined && row.replaced) {
    if (isDelta(before) && elements.base instanceof CellElements) return deltaState(before, elements, parts);
    return stateOf(parts, elements.packed());
  }
  if (row.value === undefined) {
    // Only the deadline has changed.
    if (isDelta(before)) return encodeRowState({ ...decodeRowState(before), expiresAtMs, modified: ballot });
    const siblings = (row.before.flags & headFlag.SIBLINGS) !== 0;
    return stateOf({ ...parts, siblings }, view.stored(row));
  }
  if (row.siblings !== undefined) return stateOf({ ...parts, siblings: true }, encodeSiblings(row.siblings));
  if (dot === undefined || type !== rowType.STRING) return stateOf(parts, row.value);
  const seen = before === undefined ? [] : vectorOf(before);
  const sibling = { dot, value: row.value, expiresAtMs: 0 };
  return stateOf({ ...parts, siblings: true }, encodeSiblings(writeSibling(EMPTY_ROW, seen, sibling)));
}

function stateOf(parts: Omit<RowState, 'value'>, value: Uint8Array): Uint8Array {
  const bytes = newRowState(parts, value.length);
  bytes.set(value, bytes.length - value.length);
  return bytes;
}

/** What a row in this state has seen. */
function vectorOf(state: Uint8Array): VersionVector {
  const { siblings, modified, value } = decodeRowState(state);
  return siblings === true ? decodeSiblings(value).vector : [modified];
}

/** The tombstone of a state whose deadline has passed: the modification version stays. */
export function expiredState(state: Uint8Array): Uint8Array {
  return deletedRowState(decodeRowState(state).modified);
}

/** What WATCH remembers of a row in this state. */
export function markOfState(state: Uint8Array | undefined, nowMs: number): RowMark {
  if (state === undefined) return { live: false, stamp: 0, actor: 0 };
  const decoded = decodeRowState(state);
  return { live: isLiveState(decoded, nowMs), ...decoded.modified };
}

/** The version of the last change of the row; of a row never written zero. */
export function modifiedOf(state: Uint8Array | undefined): Version {
  return state === undefined ? ZERO_VERSION : modifiedOfState(state);
}

/** Whether the state is of a row that is there but for its deadline. */
export function isPast(state: Uint8Array | undefined, nowMs: number): state is Uint8Array {
  if (state === undefined) return false;
  const { type, expiresAtMs } = decodeRowState(state);
  return type !== rowType.DELETED && expiresAtMs !== 0 && expiresAtMs <= nowMs;
}

function isName(name: RowName, head: Uint8Array, headLength: number): boolean {
  if (name.length !== headLength) return false;
  // From the end: names differ there rather than in the slot and database they begin with.
  for (let i = headLength - 1; i >= 0; i--) if (name.charCodeAt(i) !== head[i]) return false;
  return true;
}
