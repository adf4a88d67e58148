/**
 * The state of a row as its register has it: what PREPARE and READ answer, what ACCEPT proposes, what a hint keeps.
 * Format 1, big-endian:
 *
 * ```
 * u8   format (1)
 * u8   type, as in a head; 0 = deleted
 * u8   flags: 1 EXPIRES, 2 SIBLINGS
 * u64  modified: stamp     u32  modified: actor
 * [u64 deadline in ms]                          flag EXPIRES
 * string: its value, to the end (with flag SIBLINGS several, see sibling-codec.ts)
 * ```
 *
 * `modified` is the version of the last change of the value or of the row's existence: what WATCH and the level
 * `session` compare. The version of the state itself (its ballot) travels beside it and is not part of it, so that a
 * change that changes nothing proposes the same bytes again.
 *
 * Valid if and only if the format is 1, the type and the flags are known, numbers are below 2^53, and a deleted row has
 * neither deadline nor value; anything else is a `DamagedError`. A row that was never written has no state (`undefined`).
 * The same parts always make the same bytes: owners with the same version have the same bytes.
 */

import { EMPTY } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { type Head, headFlag, rowType, type RowType } from './head.ts';
import { readStamp, writeStamp } from './row-key.ts';
import type { Version } from './version.ts';

const FORMAT = 1;
const EXPIRES = 1;
const SIBLINGS = 2;

/** Bytes of a state without a deadline, before its value. */
export const STATE_HEADER_BYTES = 15;

/** Bytes of a deadline. */
const DEADLINE_BYTES = 8;

export interface RowState {
  readonly type: RowType;
  /** Milliseconds since 1970; 0 = never. */
  readonly expiresAtMs: number;
  readonly modified: Version;
  /** The value is several, side by side. */
  readonly siblings?: boolean;
  /** Of a string; empty otherwise. */
  readonly value: Uint8Array;
}

/** Bytes of a state before its value. */
export function stateValueStart(expiresAtMs: number): number {
  return expiresAtMs === 0 ? STATE_HEADER_BYTES : STATE_HEADER_BYTES + DEADLINE_BYTES;
}

/** In memory of its own. Requires: a deleted row has neither deadline nor value. */
export function encodeRowState(state: RowState): Uint8Array {
  const { value } = state;
  const bytes = newRowState(state, value.length);
  bytes.set(value, bytes.length - value.length);
  return bytes;
}

/** As `encodeRowState`, with room for a value of `valueLength` bytes at the end, which the caller fills. */
export function newRowState(state: Omit<RowState, 'value'>, valueLength: number): Uint8Array {
  const { type, expiresAtMs, modified } = state;
  const start = stateValueStart(expiresAtMs);
  const bytes = Buffer.allocUnsafe(start + valueLength);
  bytes[0] = FORMAT;
  bytes[1] = type;
  bytes[2] = (expiresAtMs === 0 ? 0 : EXPIRES) | (state.siblings === true ? SIBLINGS : 0);
  writeStamp(bytes, 3, modified.stamp);
  writeU32(bytes, 11, modified.actor);
  if (expiresAtMs !== 0) writeStamp(bytes, STATE_HEADER_BYTES, expiresAtMs);
  return bytes;
}

/** The state of a row that was deleted by the change with this version. */
export function deletedRowState(modified: Version): Uint8Array {
  return newRowState({ type: rowType.DELETED, expiresAtMs: 0, modified }, 0);
}

/** The parts; `value` is a view into `bytes`. Throws `DamagedError`. */
export function decodeRowState(bytes: Uint8Array): RowState {
  if (bytes.length < STATE_HEADER_BYTES || bytes[0] !== FORMAT)
    throw new DamagedError('a row’s state of no known format');
  const type = bytes[1] as number;
  const flags = bytes[2] as number;
  if (!isRowType(type) || flags > (EXPIRES | SIBLINGS)) throw new DamagedError('a row’s state of no known type');
  const expires = (flags & EXPIRES) !== 0;
  const siblings = (flags & SIBLINGS) !== 0;
  const start = expires ? STATE_HEADER_BYTES + DEADLINE_BYTES : STATE_HEADER_BYTES;
  if (bytes.length < start) throw new DamagedError('a row’s state without its deadline');
  const stamp = readStamp(bytes, 3);
  const expiresAtMs = expires ? readStamp(bytes, STATE_HEADER_BYTES) : 0;
  if (!Number.isSafeInteger(stamp) || !Number.isSafeInteger(expiresAtMs) || (expires && expiresAtMs === 0)) {
    throw new DamagedError('a row’s state with a number out of range');
  }
  if (type === rowType.DELETED && bytes.length !== STATE_HEADER_BYTES) {
    throw new DamagedError('a deleted row with a value');
  }
  const value = bytes.length === start ? EMPTY : bytes.subarray(start);
  const modified = { stamp, actor: readU32(bytes, 11) };
  return siblings ? { type, expiresAtMs, modified, siblings, value } : { type, expiresAtMs, modified, value };
}

/** Fills `head` with the state, its version aside; no object is made. Throws `DamagedError`. */
export function readRowState(bytes: Uint8Array, head: Head): void {
  const flags = bytes[2] as number;
  if (bytes.length < STATE_HEADER_BYTES || bytes[0] !== FORMAT || flags > (EXPIRES | SIBLINGS)) {
    throw new DamagedError('a row’s state of no known format');
  }
  const expires = (flags & EXPIRES) !== 0;
  const start = expires ? STATE_HEADER_BYTES + DEADLINE_BYTES : STATE_HEADER_BYTES;
  const type = bytes[1] as number;
  if (!isRowType(type) || bytes.length < start) throw new DamagedError('a row’s state of no known type');
  const stamp = readStamp(bytes, 3);
  const actor = readU32(bytes, 11);
  head.type = type;
  head.stamp = stamp;
  head.actor = actor;
  head.modifiedStamp = stamp;
  head.modifiedActor = actor;
  head.flags = (flags & SIBLINGS) === 0 ? 0 : headFlag.SIBLINGS;
  head.expiresAtMs = expires ? readStamp(bytes, STATE_HEADER_BYTES) : 0;
  head.bytes = bytes;
  head.valueStart = start;
  head.valueEnd = bytes.length;
}

/** The version of the last change. Requires: a state. */
export function modifiedOfState(bytes: Uint8Array): Version {
  return { stamp: readStamp(bytes, 3), actor: readU32(bytes, 11) };
}

function isRowType(type: number): type is RowType {
  return type <= rowType.STREAM;
}

/** Whether there is a row for a reader at `nowMs`: written, not deleted, not expired. */
export function isLiveState(state: RowState | undefined, nowMs: number): boolean {
  if (state === undefined || state.type === rowType.DELETED) return false;
  return state.expiresAtMs === 0 || state.expiresAtMs > nowMs;
}
