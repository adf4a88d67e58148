/**
 * What a transaction does to one row, each a change of the row's register (design, section 7):
 *
 * ```
 * lock     on a row         no lock, or its own: put the lock, tell the state       another's: busy   a mark of WATCH: stale
 *                           lightly: a large collection without its elements, for who has them (row-delta.ts)
 * apply    on a row         while its lock stands: write the state, or only take the lock away; a state may be told
 *                           against a copy with the lock (row-rebase.ts)
 * decide   on a lane        the lane is older: write the decision                   else what stands there
 * look     on a row         nothing changes: a read that has met a change half way
 * ```
 *
 * Each may be sent again without harm. Pure: a state in, a state out. In bytes, big-endian, when they are forwarded:
 *
 * ```
 * request   u8 format (2) | u32 ms left | u32 length, row | u8 op: 1 lock, 2 apply, 3 decide, 4 look, 5 look lightly | 24 bytes lock
 *           lock: u8 flags: 1 waits, 2 lightly | u8 marks, each u8 live | u64 stamp | u32 actor       apply: u8 writes [the state, to the end]
 *           decide: u8 1 committed, 2 aborted | writes, to the end
 * answer    as FORWARD's (commands/forward-codec.ts); done: u8 1 | u64 stamp | u32 actor | result
 * result    u8 1 locked [u8 1 | state]   2 busy | 24 bytes lock   3 stale   4 applied   5 decided | decision   6 over
 *           a state is whole, but of one that was asked for lightly (lock with flag 2, op 5) that is a large collection
 * decision  u8 1 committed, 2 aborted | u64 stamp | u32 actor | u32 writes, each: u32 length, row | u8 has | u32 length, state
 * ```
 *
 * A decision is also the value of its lane's register, as a string. Anything else is a `DamagedError`.
 */

import { assert, unreachable } from '../assert.ts';
import { latin1 } from '../bytes.ts';
import { writeU32 } from '../cluster/big-endian.ts';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import { markOfState } from './given-rows.ts';
import { rowType } from './head.ts';
import type { RowName } from './owner-message.ts';
import { isSameLock, LOCK_BYTES, readLock, type RowLock, writeLock } from './row-lock.ts';
import { decodeRowState, encodeRowState, isLockedState, lockedState, lockOfState, unlockedState } from './row-state.ts';
import { writtenState } from './row-rebase.ts';
import type { Whole } from './row-tasks.ts';
import { compareVersions, type Version, VERSION_BYTES, writeVersion as writeVersionAt } from './version.ts';
import { isRowChanged, type RowMark } from './view.ts';

/** First byte of a forwarded op: commands that are forwarded begin with another one. */
export const ROW_OP_FORMAT = 2;

/** What a transaction wants its rows to be; `undefined`: never written. */
export type Writes = ReadonlyMap<RowName, Uint8Array | undefined>;

/** What became of a transaction. */
export type Decision = { readonly kind: 'committed'; readonly writes: Writes } | { readonly kind: 'aborted' };

export const ABORTED: Decision = { kind: 'aborted' };

export type RowOp =
  /**
   * `waits`: a busy row is worth a moment's wait where it is coordinated. `light`: a large collection is told as a copy of
   * the coordinator's, without its elements.
   */
  | {
      readonly kind: 'lock';
      readonly lock: RowLock;
      readonly marks: readonly RowMark[];
      readonly waits: boolean;
      readonly light?: boolean;
    }
  | { readonly kind: 'apply'; readonly lock: RowLock; readonly write: RowWrite | undefined }
  | { readonly kind: 'decide'; readonly lock: RowLock; readonly decision: Decision }
  | { readonly kind: 'look'; readonly lock: RowLock; readonly light?: boolean };

/** What a row becomes. */
export interface RowWrite {
  readonly state: Uint8Array | undefined;
}

export type RowOpResult =
  | { readonly kind: 'locked'; readonly state: Uint8Array | undefined }
  | { readonly kind: 'busy'; readonly lock: RowLock }
  | { readonly kind: 'stale' }
  | { readonly kind: 'applied' }
  | { readonly kind: 'decided'; readonly decision: Decision }
  /** The lane has gone on: the transaction was ended before. */
  | { readonly kind: 'over' };

/** Of an op that is no transaction's. */
const NO_LOCK: RowLock = { id: { stamp: 0, actor: 0 }, slot: 0, lane: 0, deadlineMs: 0 };

export const LOOK: RowOp = { kind: 'look', lock: NO_LOCK };
export const LOOK_LIGHTLY: RowOp = { kind: 'look', lock: NO_LOCK, light: true };

const STALE: RowOpResult = { kind: 'stale' };
const APPLIED: RowOpResult = { kind: 'applied' };
const OVER: RowOpResult = { kind: 'over' };

/** The row after the op, and what the op answers. The same state: nothing changes. Throws `DamagedError`, and `Miss` as `whole`. */
export function applyRowOp(
  op: RowOp,
  state: Uint8Array | undefined,
  ballot: Version,
  nowMs: number,
  whole: Whole = told,
): { readonly state: Uint8Array | undefined; readonly result: RowOpResult } {
  switch (op.kind) {
    case 'lock':
      return lock(op.lock, op.marks, state, nowMs);
    case 'apply': {
      if (!isLockedState(state) || !isSameLock(lockOfState(state), op.lock)) return { state, result: APPLIED };
      const { write } = op;
      if (write === undefined) return { state: unlockedState(state), result: APPLIED };
      const written = write.state === undefined ? undefined : writtenState(state, write.state, ballot, whole);
      return { state: written, result: APPLIED };
    }
    case 'decide': {
      const standing = decisionAt(state, op.lock);
      if (standing !== 'undecided')
        return { state, result: standing === 'over' ? OVER : { kind: 'decided', decision: standing } };
      const value = encodeDecision(op.lock.id, op.decision);
      const decided = encodeRowState({ type: rowType.STRING, expiresAtMs: 0, modified: ballot, value });
      return { state: decided, result: { kind: 'decided', decision: op.decision } };
    }
    case 'look':
      return { state, result: { kind: 'locked', state } };
    default:
      return unreachable(op);
  }
}

/** Where no state is told against a copy. */
function told(state: Uint8Array): Uint8Array {
  return state;
}

function lock(
  wanted: RowLock,
  marks: readonly RowMark[],
  state: Uint8Array | undefined,
  nowMs: number,
): { readonly state: Uint8Array | undefined; readonly result: RowOpResult } {
  const isLocked = isLockedState(state);
  if (isLocked) {
    const holder = lockOfState(state);
    if (!isSameLock(holder, wanted)) return { state, result: { kind: 'busy', lock: holder } };
  }
  const free = isLocked ? unlockedState(state) : state;
  if (marks.length > 0) {
    const now = markOfState(free, nowMs);
    if (marks.some((then) => isRowChanged(then, now))) return { state, result: STALE };
  }
  return { state: isLocked ? state : lockedState(state, wanted), result: { kind: 'locked', state: free } };
}

/** What a lane in this state says of the lock's transaction. Throws `DamagedError`. */
export function decisionAt(state: Uint8Array | undefined, { id }: RowLock): Decision | 'undecided' | 'over' {
  if (state === undefined) return 'undecided';
  const { type, value } = decodeRowState(state);
  if (type === rowType.DELETED) return 'undecided';
  const standing = decodeDecision(value);
  const order = compareVersions(standing.id, id);
  if (order === 0) return standing.decision;
  return order < 0 ? 'undecided' : 'over';
}

// --- bytes -----------------------------------------------------------------------------------------------------------

const opTag = { lock: 1, apply: 2, decide: 3, look: 4, lookLightly: 5 } as const;
const resultTag = { locked: 1, busy: 2, stale: 3, applied: 4, decided: 5, over: 6 } as const;
const WAITS = 1;
const LIGHT = 2;
const decisionTag = { committed: 1, aborted: 2 } as const;

function writeVersion(writer: ByteWriter, { stamp, actor }: Version): void {
  writer.u64(stamp).u32(actor);
}

function readVersion(reader: ByteReader): Version {
  return { stamp: reader.u64(), actor: reader.u32() };
}

function writeName(writer: ByteWriter, row: RowName): void {
  writer.block(Buffer.from(row, 'latin1'));
}

function readName(reader: ByteReader): RowName {
  const name = reader.block();
  if (name.length < 4) throw new DamagedError('a row without a name');
  return latin1(name);
}

function encodeDecision(id: Version, decision: Decision): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(decisionTag[decision.kind]);
  writeVersion(writer, id);
  writeWrites(writer, decision.kind === 'committed' ? decision.writes : NO_WRITES);
  return writer.finish();
}

const NO_WRITES: Writes = new Map();

function writeWrites(writer: ByteWriter, writes: Writes): void {
  writer.u32(writes.size);
  for (const [row, state] of writes) {
    writeName(writer, row);
    writer.u8(state === undefined ? 0 : 1);
    if (state !== undefined) writer.block(state);
  }
}

function readWrites(reader: ByteReader): Writes {
  const count = reader.u32();
  const writes = new Map<RowName, Uint8Array | undefined>();
  for (let i = 0; i < count; i++) {
    const row = readName(reader);
    writes.set(row, reader.u8() === 0 ? undefined : reader.block());
  }
  return writes;
}

function decodeDecision(bytes: Uint8Array): { readonly id: Version; readonly decision: Decision } {
  const reader = new ByteReader(bytes);
  const tag = reader.u8();
  const id = readVersion(reader);
  const writes = readWrites(reader);
  reader.finish();
  if (tag === decisionTag.committed) return { id, decision: { kind: 'committed', writes } };
  if (tag === decisionTag.aborted) return { id, decision: ABORTED };
  throw new DamagedError('a decision of no known kind');
}

/** Bytes of an op in front of its row's name, and behind it before what is the op's own. */
const BEFORE_NAME = 9;
const BEHIND_NAME = 1 + LOCK_BYTES;
const MARK_BYTES = 1 + VERSION_BYTES;

/** In memory of its own. */
export function encodeRowOp(row: RowName, op: RowOp, leftMs: number): Uint8Array {
  const decision = op.kind === 'decide' ? encodeDecision(op.lock.id, op.decision) : undefined;
  const write = op.kind === 'apply' ? op.write : undefined;
  const rest = decision ?? write?.state;
  const nameEnd = BEFORE_NAME + row.length;
  let at = nameEnd + BEHIND_NAME;
  const own = op.kind === 'lock' ? 2 + op.marks.length * MARK_BYTES : Number(op.kind === 'apply');
  const bytes = Buffer.allocUnsafe(at + own + (rest?.length ?? 0));
  bytes[0] = ROW_OP_FORMAT;
  writeU32(bytes, 1, Math.max(0, Math.min(0xffff_ffff, Math.ceil(leftMs))));
  writeU32(bytes, 5, row.length);
  for (let i = 0; i < row.length; i++) bytes[BEFORE_NAME + i] = row.charCodeAt(i);
  bytes[nameEnd] = op.kind === 'look' && op.light === true ? opTag.lookLightly : opTag[op.kind];
  writeLock(bytes, nameEnd + 1, op.lock);
  if (op.kind === 'lock') {
    assert(op.marks.length <= 0xff, 'few marks of one row');
    bytes[at] = Number(op.waits) | (op.light === true ? LIGHT : 0);
    bytes[at + 1] = op.marks.length;
    at += 2;
    for (const mark of op.marks) {
      bytes[at] = Number(mark.live);
      writeVersionAt(bytes, at + 1, mark);
      at += MARK_BYTES;
    }
  } else if (op.kind === 'apply') bytes[at++] = write === undefined ? 0 : write.state === undefined ? 1 : 2;
  if (rest !== undefined) bytes.set(rest, at);
  return bytes;
}

/** Views of `bytes`. Throws `DamagedError`. */
export function decodeRowOp(bytes: Uint8Array): {
  readonly row: RowName;
  readonly op: RowOp;
  readonly leftMs: number;
} {
  const reader = new ByteReader(bytes);
  if (reader.u8() !== ROW_OP_FORMAT) throw new DamagedError('no op on a row');
  const leftMs = reader.u32();
  const row = readName(reader);
  const tag = reader.u8();
  return { row, op: readOp(reader, tag, readLock(reader.raw(LOCK_BYTES), 0)), leftMs };
}

function readOp(reader: ByteReader, tag: number, held: RowLock): RowOp {
  switch (tag) {
    case opTag.lock: {
      const marks: RowMark[] = [];
      const flags = reader.u8();
      for (let left = reader.u8(); left > 0; left--) marks.push({ live: reader.u8() !== 0, ...readVersion(reader) });
      reader.finish();
      const op = { kind: 'lock', lock: held, marks, waits: (flags & WAITS) !== 0 } as const;
      return (flags & LIGHT) === 0 ? op : { ...op, light: true };
    }
    case opTag.apply: {
      const writes = reader.u8();
      const rest = reader.raw(reader.left);
      return {
        kind: 'apply',
        lock: held,
        write: writes === 0 ? undefined : { state: writes === 1 ? undefined : rest },
      };
    }
    case opTag.decide:
      return { kind: 'decide', lock: held, decision: decodeDecision(reader.raw(reader.left)).decision };
    case opTag.look:
    case opTag.lookLightly:
      reader.finish();
      return { kind: 'look', lock: held, light: tag === opTag.lookLightly };
    default:
      throw new DamagedError('an op of no known kind');
  }
}

/** In memory of its own. */
export function encodeRowOpResult(result: RowOpResult, id: Version): Uint8Array {
  const rest =
    result.kind === 'locked'
      ? result.state
      : result.kind === 'decided'
        ? encodeDecision(id, result.decision)
        : undefined;
  const lock = result.kind === 'busy' ? result.lock : undefined;
  const bytes = Buffer.allocUnsafe(1 + (rest?.length ?? 0) + (lock === undefined ? 0 : LOCK_BYTES));
  bytes[0] = resultTag[result.kind];
  if (lock !== undefined) writeLock(bytes, 1, lock);
  if (rest !== undefined) bytes.set(rest, 1);
  return bytes;
}

/** Views of `bytes`. Throws `DamagedError`. */
export function decodeRowOpResult(bytes: Uint8Array): RowOpResult {
  const reader = new ByteReader(bytes);
  const tag = reader.u8();
  const rest = reader.raw(reader.left);
  switch (tag) {
    case resultTag.locked:
      return { kind: 'locked', state: rest.length === 0 ? undefined : rest };
    case resultTag.busy:
      if (rest.length !== LOCK_BYTES) throw new DamagedError('a lock of another length');
      return { kind: 'busy', lock: readLock(rest, 0) };
    case resultTag.stale:
      return STALE;
    case resultTag.applied:
      return APPLIED;
    case resultTag.decided:
      return { kind: 'decided', decision: decodeDecision(rest).decision };
    case resultTag.over:
      return OVER;
    default:
      throw new DamagedError('a result of no known kind');
  }
}
