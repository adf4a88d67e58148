/**
 * How a transaction gets the locks on its rows (transaction.ts): many at once, and yet in order.
 *
 * ```
 * ask for all in order up to the first one that was busy a moment ago, at once
 *   all locked     on with the rest
 *   one is busy    give up those behind it; wait for it, settling what holds it; on with the rest behind it
 * ```
 *
 * Invariants:
 * - Who waits for a lock holds locks on rows before it in order only, so two transactions never wait for each other in a
 *   circle.
 * - A lock that was given up is asked for again only when it has certainly gone: if taking it away were still under way, it
 *   might take away the second one, and somebody else change the row before the transaction commits.
 */

import { assert } from '../assert.ts';
import type { RowName } from './owner-message.ts';
import type { ChangeOutcome, Held } from './register-core.ts';
import { isSameLock, type RowLock } from './row-lock.ts';
import type { RowOp, RowOpResult } from './row-op.ts';
import { isDelta, isLockedState, lockOfState, unlockedState } from './row-state.ts';
import { compareVersions, type Version } from './version.ts';
import type { RowMark } from './view.ts';

/** Waits for somebody else's lock, in ms: drawn between the two. */
const LEAST_WAIT_MS = 1;
const MOST_WAIT_MS = 8;

/** For so long, in ms, a row that was busy is taken for one that is; and how many such rows are remembered. */
const CONTENDED_MS = 500;
const MAX_CONTENDED = 10_000;

const NO_MARKS: readonly RowMark[] = [];

export interface LockingWorld {
  /** As in `TransactionWorld`. */
  change(row: RowName, op: RowOp, deadlineMs: number): Promise<ChangeOutcome<RowOpResult>>;
  /** Whether this node should have a copy of the row: it is then asked for lightly. */
  hasCopy(row: RowName): boolean;
  /** This node's copy at this moment, a large collection told against itself (row-delta.ts); undefined: it cannot be told. */
  copyOf(row: RowName): Held<Uint8Array> | undefined;
  nowMs(): number;
  wallMs(): number;
  random(): number;
  sleep(ms: number): Promise<void>;
}

/** What a transaction wants locked. */
export interface Wanted {
  readonly lock: RowLock;
  /** What WATCH remembers of rows. */
  readonly marks: ReadonlyMap<RowName, readonly RowMark[]>;
  readonly deadlineMs: number;
  /** The row was locked under this version. */
  locked(row: RowName, version: Version): void;
}

/** `stale`: a mark does not hold. Whether locks stand may be uncertain; that nothing was committed is not. */
export type LockFailure = 'stale' | 'aborted' | 'no-quorum' | 'overloaded';

export type States = ReadonlyMap<RowName, Uint8Array | undefined>;

/** Rows that are locked, and what they were told to be. */
export class LockedRows {
  private readonly states = new Map<RowName, Uint8Array | undefined>();
  private readonly versions = new Map<RowName, Version>();
  private readonly wanted: Pick<Wanted, 'locked'>;

  constructor(wanted: Pick<Wanted, 'locked'>) {
    this.wanted = wanted;
  }

  set(row: RowName, state: Uint8Array | undefined, version: Version): void {
    this.states.set(row, state);
    this.versions.set(row, version);
    this.wanted.locked(row, version);
  }

  /**
   * What handlers run on in this turn: of large collections that were told without their elements the copies of this node,
   * which have them; or the first such row whose copy is not what was locked. A copy is if it has the lock, and is no older:
   * a lock that was given up may have stood on another state.
   */
  given(world: LockingWorld, lock: RowLock): States | RowName {
    const { states, versions } = this;
    let given: Map<RowName, Uint8Array | undefined> | undefined;
    for (const [row, state] of states) {
      if (!isDelta(state)) continue;
      const copy = world.copyOf(row);
      if (copy === undefined || compareVersions(copy.version, versions.get(row) as Version) < 0) return row;
      if (!isLockedState(copy.value) || !isSameLock(lockOfState(copy.value), lock)) return row;
      given ??= new Map(states);
      given.set(row, unlockedState(copy.value));
    }
    return given ?? states;
  }
}

export class RowLocking {
  private readonly world: LockingWorld;
  private readonly settle: (row: RowName, lock: RowLock, deadlineMs: number) => Promise<'gone' | 'standing' | 'failed'>;
  /** When a row was found busy last. */
  private readonly contended = new Map<RowName, number>();

  /** `settle`: ends a lock that somebody else has on a row, if that may be. */
  constructor(world: LockingWorld, settle: RowLocking['settle']) {
    this.world = world;
    this.settle = settle;
  }

  /** Locks rows, which come in order. */
  async lockAll(names: readonly RowName[], wanted: Wanted): Promise<LockedRows | LockFailure> {
    const locked = new LockedRows(wanted);
    let done = 0;
    while (done < names.length) {
      const upTo = this.firstContended(names, done);
      const batch = names.slice(done, upTo + 1);
      const waits = this.isContended(names[upTo] as RowName);
      const count = await this.lockBatch(batch, waits, wanted, locked);
      if (typeof count !== 'number') return count;
      done += count;
    }
    return locked;
  }

  /** One more row, without waiting: undefined, it is busy, or it is not known whether it is locked. */
  async lockOne(row: RowName, wanted: Wanted, locked: LockedRows): Promise<true | undefined> {
    const outcome = await this.world.change(row, this.lockOp(row, wanted.lock, NO_MARKS, false), wanted.deadlineMs);
    if (outcome.kind !== 'done' || outcome.reply.kind !== 'locked') return undefined;
    locked.set(row, outcome.reply.state, outcome.version);
    return true;
  }

  /** A row that is locked already is told whole. */
  async tellWhole(row: RowName, wanted: Wanted, locked: LockedRows): Promise<LockFailure | undefined> {
    const { lock, deadlineMs } = wanted;
    const outcome = await this.world.change(row, { kind: 'lock', lock, marks: NO_MARKS, waits: false }, deadlineMs);
    if (outcome.kind !== 'done') return this.failureOf(outcome.kind, deadlineMs);
    if (outcome.reply.kind !== 'locked') return 'aborted';
    locked.set(row, outcome.reply.state, outcome.version);
    return undefined;
  }

  /** A wait for somebody else's lock. */
  waitMs(): number {
    return LEAST_WAIT_MS + this.world.random() * (MOST_WAIT_MS - LEAST_WAIT_MS);
  }

  /** How many of these rows, from the first on, are locked now; at least one. `waits`: for the last one, if it is busy. */
  private async lockBatch(
    batch: readonly RowName[],
    waits: boolean,
    wanted: Wanted,
    locked: LockedRows,
  ): Promise<number | LockFailure> {
    const { lock, marks, deadlineMs } = wanted;
    const last = batch.length - 1;
    const outcomes = await Promise.all(
      batch.map((row, i) =>
        this.world.change(row, this.lockOp(row, lock, marks.get(row) ?? NO_MARKS, waits && i === last), deadlineMs),
      ),
    );
    let busyAt = -1;
    let busyWith: RowLock | undefined;
    const behind: RowName[] = [];
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.kind !== 'done') return this.failureOf(outcome.kind, deadlineMs);
      const row = batch[i] as RowName;
      const { reply } = outcome;
      if (reply.kind === 'busy') {
        this.noteContended(row);
        if (busyAt < 0) {
          busyAt = i;
          busyWith = reply.lock;
        }
      } else if (reply.kind !== 'locked') return 'stale';
      else if (busyAt >= 0) behind.push(row);
      else {
        locked.set(row, reply.state, outcome.version);
      }
    }
    if (busyAt < 0) return batch.length;
    if (behind.length > 0 && !(await this.release(behind, wanted))) return 'aborted';
    const hasWaited = waits && busyAt === last;
    const failure = await this.lockBusy(batch[busyAt] as RowName, hasWaited ? busyWith : undefined, wanted, locked);
    return failure ?? busyAt + 1;
  }

  /** Takes locks away again; true: they have certainly gone. */
  private async release(rows: readonly RowName[], { lock, deadlineMs }: Wanted): Promise<boolean> {
    const op = { kind: 'apply', lock, write: undefined } as const;
    const outcomes = await Promise.all(rows.map((row) => this.world.change(row, op, deadlineMs)));
    return this.hasGone(outcomes);
  }

  private hasGone(outcomes: readonly ChangeOutcome<RowOpResult>[]): boolean {
    return outcomes.every((outcome) => outcome.kind === 'done');
  }

  /** Locks a row that was busy; `waited`: with this lock, after it was waited for. */
  private async lockBusy(
    row: RowName,
    waited: RowLock | undefined,
    wanted: Wanted,
    locked: LockedRows,
  ): Promise<LockFailure | undefined> {
    const { world } = this;
    const { lock, marks, deadlineMs } = wanted;
    let holder = waited;
    for (;;) {
      if (holder !== undefined) {
        const settled = await this.settle(row, holder, deadlineMs);
        if (world.nowMs() >= deadlineMs) return 'no-quorum';
        if (settled !== 'gone') await world.sleep(this.waitMs());
        // By now others may have ended this transaction.
        if (world.wallMs() >= lock.deadlineMs) return 'aborted';
      }
      const outcome = await world.change(row, this.lockOp(row, lock, marks.get(row) ?? NO_MARKS, true), deadlineMs);
      if (outcome.kind !== 'done') return this.failureOf(outcome.kind, deadlineMs);
      const { reply } = outcome;
      if (reply.kind === 'stale') return 'stale';
      if (reply.kind === 'locked') {
        locked.set(row, reply.state, outcome.version);
        return undefined;
      }
      assert(reply.kind === 'busy', 'an answer to a lock');
      holder = reply.lock;
    }
  }

  private lockOp(row: RowName, lock: RowLock, marks: readonly RowMark[], waits: boolean): RowOp {
    return { kind: 'lock', lock, marks, waits, light: this.world.hasCopy(row) };
  }

  private failureOf(kind: 'no-quorum' | 'uncertain' | 'overloaded', deadlineMs: number): LockFailure {
    if (kind === 'uncertain' && this.world.nowMs() < deadlineMs) return 'aborted';
    return kind === 'overloaded' ? kind : 'no-quorum';
  }

  /** Place of the first row from `from` on that was busy a moment ago; of the last row if none was. */
  private firstContended(names: readonly RowName[], from: number): number {
    if (this.contended.size > 0)
      for (let i = from; i < names.length; i++) if (this.isContended(names[i] as RowName)) return i;
    return names.length - 1;
  }

  private isContended(row: RowName): boolean {
    const sinceMs = this.contended.get(row);
    return sinceMs !== undefined && sinceMs > this.world.nowMs() - CONTENDED_MS;
  }

  private noteContended(row: RowName): void {
    if (this.contended.size >= MAX_CONTENDED) this.contended.clear();
    this.contended.set(row, this.world.nowMs());
  }
}
