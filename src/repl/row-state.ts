/**
 * The state of a row as its register has it: what PREPARE and READ answer, what ACCEPT proposes, what a hint keeps.
 * Format 1, big-endian:
 *
 * ```
 * u8   format (1)
 * u8   type, as in a head; 0 = deleted
 * u8   flags: 1 EXPIRES, 2 SIBLINGS, 4 LOCKED, 8 CELLS
 * u64  modified: stamp     u32  modified: actor
 * [u64 deadline in ms]                          flag EXPIRES
 * [24 bytes: lock of a transaction]             flag LOCKED, see row-lock.ts
 * [36 bytes: what the value is told against]    flag CELLS, see row-delta.ts
 * string: its value, to the end (with flag SIBLINGS several, see sibling-codec.ts)
 * collection: see element-pack.ts
 * ```
 *
 * `modified` is the version of the last change of the value or of the row's existence: what WATCH and the level
 * `session` compare. The version of the state itself (its ballot) travels beside it and is not part of it, so that a
 * change that changes nothing proposes the same bytes again.
 *
 * Valid if and only if the format is 1, the type and the flags are known, numbers are below 2^53, and a deleted row has
 * neither deadline nor value; anything else is a `DamagedError`. A row that was never written has no state (`undefined`).
 * The same parts always make the same bytes: owners with the same version have the same bytes. With flag CELLS the bytes are
 * no state but tell one to who has its base (row-delta.ts).
 */

import { EMPTY } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { type Head, headFlag, rowType, type RowType } from './head.ts';
import { readStamp, writeStamp } from './row-key.ts';
import { LOCK_BYTES, readLock, type RowLock, writeLock } from './row-lock.ts';
import { type Version, ZERO_VERSION } from './version.ts';

const FORMAT = 1;
const EXPIRES = 1;
const SIBLINGS = 2;
const LOCKED = 4;
const CELLS = 8;
const ALL_FLAGS = EXPIRES | SIBLINGS | LOCKED | CELLS;

/**
 * The longest state, in bytes, that a change may bring about where rows are shared: with the row's name it must fit into a
 * message between nodes (bus-core.ts), else its owners could never agree on it.
 */
export const MAX_STATE_BYTES = 31 * 1024 * 1024;

/** Bytes of a state without a deadline, before its value. */
export const STATE_HEADER_BYTES = 15;

/** Bytes of a deadline. */
const DEADLINE_BYTES = 8;

/** u64 stamp, u32 actor: base | u64 generation | u64 size before | u64 size after. */
export const CELLS_BYTES = 36;

/** What the value of a collection in cells is told against. */
export interface CellsBase {
  /** Whoever holds this version can make the state of it. */
  readonly base: Version;
  /** Of the cells of the base, at the node that says so; nobody else looks at it. */
  readonly generation: number;
  /** Bytes that the elements take when packed: those of the base, and with the changes. */
  readonly sizeBefore: number;
  readonly size: number;
}

/** Up to so many bytes are copied one by one, which is quicker. */
const SHORT_RANGE = 64;

const NEVER_WRITTEN = { type: rowType.DELETED, expiresAtMs: 0, modified: ZERO_VERSION } as const;

export interface RowState {
  readonly type: RowType;
  /** Milliseconds since 1970; 0 = never. */
  readonly expiresAtMs: number;
  readonly modified: Version;
  /** The value is several, side by side. */
  readonly siblings?: boolean;
  /** The lock of a transaction, LOCK_BYTES as row-lock.ts writes them. */
  readonly lock?: Uint8Array | undefined;
  /** The value is told against a base. */
  readonly cells?: CellsBase | undefined;
  /** Empty in a deleted row. */
  readonly value: Uint8Array;
}

/** Bytes of a state with these flags before its value. */
function valueStartOf(flags: number): number {
  let start = STATE_HEADER_BYTES;
  if ((flags & EXPIRES) !== 0) start += DEADLINE_BYTES;
  if ((flags & LOCKED) !== 0) start += LOCK_BYTES;
  if ((flags & CELLS) !== 0) start += CELLS_BYTES;
  return start;
}

/** Where the lock ends. */
function lockEndOf(flags: number): number {
  return valueStartOf(flags & ~CELLS);
}

function writeCells(bytes: Uint8Array, at: number, { base, generation, sizeBefore, size }: CellsBase): void {
  writeStamp(bytes, at, base.stamp);
  writeU32(bytes, at + 8, base.actor);
  writeStamp(bytes, at + 12, generation);
  writeStamp(bytes, at + 20, sizeBefore);
  writeStamp(bytes, at + 28, size);
}

function readCells(bytes: Uint8Array, at: number): CellsBase {
  return {
    base: { stamp: readStamp(bytes, at), actor: readU32(bytes, at + 8) },
    generation: readStamp(bytes, at + 12),
    sizeBefore: readStamp(bytes, at + 20),
    size: readStamp(bytes, at + 28),
  };
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
  const { type, expiresAtMs, modified, lock, cells } = state;
  let flags = (expiresAtMs === 0 ? 0 : EXPIRES) | (state.siblings === true ? SIBLINGS : 0);
  if (lock !== undefined) flags |= LOCKED;
  if (cells !== undefined) flags |= CELLS;
  const start = valueStartOf(flags);
  const bytes = Buffer.allocUnsafe(start + valueLength);
  bytes[0] = FORMAT;
  bytes[1] = type;
  bytes[2] = flags;
  writeStamp(bytes, 3, modified.stamp);
  writeU32(bytes, 11, modified.actor);
  if (expiresAtMs !== 0) writeStamp(bytes, STATE_HEADER_BYTES, expiresAtMs);
  if (lock !== undefined) bytes.set(lock, lockEndOf(flags) - LOCK_BYTES);
  if (cells !== undefined) writeCells(bytes, start - CELLS_BYTES, cells);
  return bytes;
}

/** The state of a row that was deleted by the change with this version. */
export function deletedRowState(modified: Version, lock?: Uint8Array): Uint8Array {
  return newRowState({ type: rowType.DELETED, expiresAtMs: 0, modified, lock }, 0);
}

/** The parts; `value` is a view into `bytes`. Throws `DamagedError`. */
export function decodeRowState(bytes: Uint8Array): RowState {
  if (bytes.length < STATE_HEADER_BYTES || bytes[0] !== FORMAT)
    throw new DamagedError('a row’s state of no known format');
  const type = bytes[1] as number;
  const flags = bytes[2] as number;
  if (!isRowType(type) || flags > ALL_FLAGS) throw new DamagedError('a row’s state of no known type');
  const expires = (flags & EXPIRES) !== 0;
  const siblings = (flags & SIBLINGS) !== 0;
  const start = valueStartOf(flags);
  if (bytes.length < start) throw new DamagedError('a row’s state without its deadline or lock');
  const stamp = readStamp(bytes, 3);
  const expiresAtMs = expires ? readStamp(bytes, STATE_HEADER_BYTES) : 0;
  if (!Number.isSafeInteger(stamp) || !Number.isSafeInteger(expiresAtMs) || (expires && expiresAtMs === 0)) {
    throw new DamagedError('a row’s state with a number out of range');
  }
  if (type === rowType.DELETED && (expires || bytes.length !== start)) {
    throw new DamagedError('a deleted row with a value');
  }
  const value = bytes.length === start ? EMPTY : bytes.subarray(start);
  const modified = { stamp, actor: readU32(bytes, 11) };
  if ((flags & (LOCKED | CELLS)) !== 0) {
    const lockEnd = lockEndOf(flags);
    const lock = (flags & LOCKED) === 0 ? undefined : bytes.subarray(lockEnd - LOCK_BYTES, lockEnd);
    const cells = (flags & CELLS) === 0 ? undefined : readCells(bytes, lockEnd);
    if (cells !== undefined && (type <= rowType.STRING || !isInRange(cells))) {
      throw new DamagedError('a row’s state that is told against no base');
    }
    return { type, expiresAtMs, modified, siblings, lock, cells, value };
  }
  return siblings ? { type, expiresAtMs, modified, siblings, value } : { type, expiresAtMs, modified, value };
}

function isInRange({ base, generation, sizeBefore, size }: CellsBase): boolean {
  return [base.stamp, generation, sizeBefore, size].every((each) => Number.isSafeInteger(each));
}

/** Fills `head` with the state, its version aside; no object is made. Throws `DamagedError`. */
export function readRowState(bytes: Uint8Array, head: Head): void {
  const flags = bytes[2] as number;
  if (bytes.length < STATE_HEADER_BYTES || bytes[0] !== FORMAT || flags > ALL_FLAGS) {
    throw new DamagedError('a row’s state of no known format');
  }
  const expires = (flags & EXPIRES) !== 0;
  const start = valueStartOf(flags);
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
  if ((flags & CELLS) !== 0) {
    head.flags |= headFlag.CELLS;
    head.generation = readStamp(bytes, start - CELLS_BYTES + 12);
  }
  head.expiresAtMs = expires ? readStamp(bytes, STATE_HEADER_BYTES) : 0;
  head.bytes = bytes;
  head.valueStart = start;
  head.valueEnd = bytes.length;
}

/** Whether a transaction has its lock on a row in this state. */
export function isLockedState(state: Uint8Array | undefined): state is Uint8Array {
  return state !== undefined && ((state[2] as number) & LOCKED) !== 0;
}

/** Whether the bytes tell a collection against a base (row-delta.ts). */
export function isDelta(state: Uint8Array | undefined): state is Uint8Array {
  if (state === undefined || ((state[2] as number) & CELLS) === 0 || state[0] !== FORMAT) return false;
  return state.length >= valueStartOf(state[2] as number);
}

/** The version that the bytes are told against. Requires: isDelta. */
export function baseOf(state: Uint8Array): Version {
  const at = lockEndOf(state[2] as number);
  return { stamp: readStamp(state, at), actor: readU32(state, at + 8) };
}

/** The lock. Requires: isLockedState. */
export function lockOfState(state: Uint8Array): RowLock {
  const end = lockEndOf(state[2] as number);
  return readLock(state, end - LOCK_BYTES);
}

/** The same with this lock; a row that was never written becomes one that is deleted, with version zero. */
export function lockedState(state: Uint8Array | undefined, lock: RowLock): Uint8Array {
  const before = state ?? newRowState(NEVER_WRITTEN, 0);
  const flags = flagsOf(before);
  const at = lockEndOf(flags | LOCKED) - LOCK_BYTES;
  const isLocked = (flags & LOCKED) !== 0;
  const bytes = Buffer.allocUnsafe(before.length + (isLocked ? 0 : LOCK_BYTES));
  copyRange(before, 0, at, bytes, 0);
  copyRange(before, isLocked ? at + LOCK_BYTES : at, before.length, bytes, at + LOCK_BYTES);
  bytes[2] = flags | LOCKED;
  writeLock(bytes, at, lock);
  return bytes;
}

/** The same without a lock. */
export function unlockedState(state: Uint8Array): Uint8Array | undefined {
  const flags = flagsOf(state);
  if (state[1] === rowType.DELETED && readStamp(state, 3) === 0) return undefined;
  if ((flags & LOCKED) === 0) return state;
  const end = lockEndOf(flags);
  const bytes = Buffer.allocUnsafe(state.length - LOCK_BYTES);
  copyRange(state, 0, end - LOCK_BYTES, bytes, 0);
  copyRange(state, end, state.length, bytes, end - LOCK_BYTES);
  bytes[2] = flags & ~LOCKED;
  return bytes;
}

/** The same as a change with this version has made it. */
export function modifiedState(state: Uint8Array, modified: Version): Uint8Array {
  flagsOf(state);
  const bytes = Buffer.allocUnsafe(state.length);
  copyRange(state, 0, state.length, bytes, 0);
  writeStamp(bytes, 3, modified.stamp);
  writeU32(bytes, 11, modified.actor);
  return bytes;
}

/** The flags. Throws `DamagedError` where what they announce is not there. */
function flagsOf(state: Uint8Array): number {
  const flags = state[2] as number;
  if (
    state.length < STATE_HEADER_BYTES ||
    state[0] !== FORMAT ||
    flags > ALL_FLAGS ||
    state.length < valueStartOf(flags)
  ) {
    throw new DamagedError('a row’s state of no known format');
  }
  return flags;
}

/** source[start, end) goes to `at`. */
function copyRange(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): void {
  if (end - start > SHORT_RANGE) target.set(source.subarray(start, end), at);
  else for (let i = start; i < end; i++) target[at + i - start] = source[i] as number;
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
