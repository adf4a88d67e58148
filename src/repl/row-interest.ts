/**
 * Who wants to hear of changes of which rows: a node whose clients wait for a row asks its owners, for a time, to tell it
 * when they have coordinated a change of it. What they tell is a hint and no more: who waits looks for itself, and would also
 * look without it.
 *
 * ```
 * WANT_ROWS    u32 lease in ms | rows, each u32 length | name          a notice to the owners of the rows
 * ROW_CHANGED  u8 type of the row now (0: not there) | its name        a notice to whoever wants to hear of it
 * ```
 * Big-endian; names a byte a character. Anything else is a `DamagedError`.
 *
 * Invariants: what is remembered is bounded by MAX_WANTED_ROWS and ends with its lease; a change is told when it is done or
 * may have been done, never before.
 */

import { latin1 } from '../bytes.ts';
import { busMethod } from '../cluster/bus-method.ts';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import type { MemberId } from '../cluster/member.ts';
import type { Owners } from '../cluster/owners.ts';
import type { RowTask, Whole } from './row-tasks.ts';
import { rowType, type RowType } from './head.ts';
import { type RowName, slotOfRow } from './owner-message.ts';
import type { ChangeOutcome } from './register-core.ts';
import { decodeRowState } from './row-state.ts';
import type { Version } from './version.ts';

/** Rows that others want to hear of; beyond it they find out by themselves. */
export const MAX_WANTED_ROWS = 100_000;

/** How often what is over is forgotten. */
const SWEEP_MS = 5_000;

/** Names of rows in one notice, in bytes, about. */
const NOTICE_BYTES = 256 * 1024;

/** A node as the bus names it; `undefined`: this one. */
type Listener = string | undefined;

export interface RowInterestWorld {
  readonly self: MemberId;
  owners(slot: number): Owners;
  nameOf(id: MemberId): string;
  /** Of the monotonic clock. */
  nowMs(): number;
  tell(name: string, method: number, payload: Uint8Array): void;
  /** A row has changed that this node wants to hear of; its type now. */
  heard(row: RowName, type: RowType): void;
}

export class RowInterest {
  private readonly world: RowInterestWorld;
  /** Until when each listener wants to hear of a row. */
  private readonly wanted = new Map<RowName, Map<Listener, number>>();
  private sweepAtMs = 0;

  constructor(world: RowInterestWorld) {
    this.world = world;
  }

  /** Asks the owners of the rows, this node too where it is one of them. */
  want(rows: readonly RowName[], leaseMs: number): void {
    const { world } = this;
    const byOwner = new Map<MemberId, ByteWriter>();
    const send = (owner: MemberId, notice: ByteWriter): void =>
      world.tell(world.nameOf(owner), busMethod.WANT_ROWS, notice.finish());
    for (const row of rows) {
      for (const owner of world.owners(slotOfRow(row)).current) {
        if (owner === world.self) {
          this.note(undefined, row, leaseMs);
          continue;
        }
        let notice = byOwner.get(owner);
        if (notice === undefined) byOwner.set(owner, (notice = new ByteWriter().u32(leaseMs)));
        notice.block(Buffer.from(row, 'latin1'));
        if (notice.length < NOTICE_BYTES) continue;
        send(owner, notice);
        byOwner.delete(owner);
      }
    }
    for (const [owner, notice] of byOwner) send(owner, notice);
  }

  /** The notice WANT_ROWS. Throws `DamagedError`. */
  onWant(from: string, payload: Uint8Array): void {
    const reader = new ByteReader(payload);
    const leaseMs = reader.u32();
    while (reader.left > 0) this.note(from, latin1(reader.block()), leaseMs);
  }

  /** The notice ROW_CHANGED. Throws `DamagedError`. */
  onChanged(payload: Uint8Array): void {
    const reader = new ByteReader(payload);
    const type = reader.u8();
    if (!isRowType(type)) throw new DamagedError('a type of rows');
    this.world.heard(latin1(reader.raw(reader.left)), type);
  }

  /** The task, watched when somebody wants to hear of its row. */
  readonly watched = (row: RowName, task: RowTask): RowTask => {
    if (this.wanted.size === 0 || !this.wanted.has(row)) return task;
    return new WatchedTask(task, (type) => this.changed(row, type));
  };

  private note(listener: Listener, row: RowName, leaseMs: number): void {
    const { wanted } = this;
    const nowMs = this.world.nowMs();
    if (nowMs >= this.sweepAtMs) this.sweep(nowMs);
    let listeners = wanted.get(row);
    if (listeners === undefined) {
      if (wanted.size >= MAX_WANTED_ROWS) return;
      wanted.set(row, (listeners = new Map()));
    }
    listeners.set(listener, nowMs + leaseMs);
  }

  private changed(row: RowName, type: RowType): void {
    const { world } = this;
    const nowMs = world.nowMs();
    for (const [listener, untilMs] of this.wanted.get(row) ?? []) {
      if (untilMs <= nowMs) continue;
      if (listener === undefined) world.heard(row, type);
      else world.tell(listener, busMethod.ROW_CHANGED, encodeChange(row, type));
    }
  }

  private sweep(nowMs: number): void {
    this.sweepAtMs = nowMs + SWEEP_MS;
    for (const [row, listeners] of this.wanted) {
      for (const [listener, untilMs] of listeners) if (untilMs <= nowMs) listeners.delete(listener);
      if (listeners.size === 0) this.wanted.delete(row);
    }
  }
}

function encodeChange(row: RowName, type: RowType): Uint8Array {
  const payload = new Uint8Array(1 + row.length);
  payload[0] = type;
  payload.set(Buffer.from(row, 'latin1'), 1);
  return payload;
}

function isRowType(value: number): value is RowType {
  return value >= rowType.DELETED && value <= rowType.STREAM;
}

/** A change of a row that somebody wants to hear of. */
class WatchedTask implements RowTask {
  private readonly task: RowTask;
  private readonly changed: (type: RowType) => void;
  private hasChanged = false;
  private type: RowType = rowType.DELETED;

  constructor(task: RowTask, changed: (type: RowType) => void) {
    this.task = task;
    this.changed = changed;
  }

  get takesDelta(): boolean {
    return this.task.takesDelta === true;
  }

  run(state: Uint8Array | undefined, ballot: Version, whole: Whole): Uint8Array | undefined {
    const after = this.task.run(state, ballot, whole);
    this.hasChanged = after !== state;
    if (this.hasChanged) this.type = after === undefined ? rowType.DELETED : decodeRowState(after).type;
    return after;
  }

  done(outcome: ChangeOutcome<undefined>): void {
    this.task.done(outcome);
    if (this.hasChanged && (outcome.kind === 'done' || outcome.kind === 'uncertain')) this.changed(this.type);
  }
}
