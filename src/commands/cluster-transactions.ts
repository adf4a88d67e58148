/**
 * The shell of `repl/transaction.ts`: its ops travel as forwarded changes to whoever coordinates the row, and handlers run
 * on the states that were locked. And what everybody does who meets a lock on a row.
 */

import { utf8 } from '../bytes.ts';
import type { Answer } from '../cluster/bus.ts';
import { METHOD_FAILED } from '../cluster/bus-method.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import type { Env } from '../env.ts';
import type { Coordinator, ReadOutcome, RowTask, Whole } from '../repl/coordinator.ts';
import type { Forwarder, ForwardTask } from '../repl/forward.ts';
import { slotOfRow, type RowName } from '../repl/owner-message.ts';
import type { ChangeOutcome } from '../repl/register-core.ts';
import {
  applyRowOp,
  decodeRowOp,
  decodeRowOpResult,
  encodeRowOp,
  encodeRowOpResult,
  LOOK,
  LOOK_LIGHTLY,
  type RowOp,
  type RowOpResult,
} from '../repl/row-op.ts';
import { LockWaiters } from '../repl/lock-waiters.ts';
import { isDelta, isLockedState, lockOfState } from '../repl/row-state.ts';
import { Transactions, type TransactionWorld } from '../repl/transaction.ts';
import type { Version } from '../repl/version.ts';
import type { Failure } from './errors-cluster.ts';
import { encodeForwardAnswer } from './forward-codec.ts';
import { outcomeOf } from './row-run.ts';

/** How long a busy row is waited for where it is coordinated, in ms, before it is asked what became of the lock. */
const LOCK_WAIT_MS = 30;

/** Slots that are looked at for one that this node coordinates. */
const HOME_TRIES = 512;

export interface ClusterTransactionsOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random'>;
  readonly coordinator: Coordinator;
  readonly forwarder: Forwarder;
  readonly view: ClusterView;
}

export class ClusterTransactions implements TransactionWorld {
  readonly protocol: Transactions;
  private readonly waiters: LockWaiters;
  private readonly env: ClusterTransactionsOptions['env'];
  private readonly coordinator: Coordinator;
  private readonly forwarder: Forwarder;
  private readonly view: ClusterView;

  constructor(options: ClusterTransactionsOptions) {
    this.env = options.env;
    this.coordinator = options.coordinator;
    this.forwarder = options.forwarder;
    this.view = options.view;
    this.waiters = new LockWaiters(options.env.timers);
    this.protocol = new Transactions(this);
    options.coordinator.lookElsewhere = this.look;
  }

  // --- TransactionWorld --------------------------------------------------------------------------------------------

  change(row: RowName, op: RowOp, deadlineMs: number): Promise<ChangeOutcome<RowOpResult>> {
    return new Promise((resolve) => {
      const { coordinator, forwarder } = this;
      const { waiters } = this;
      const task = new OpTask({ op, row, deadlineMs, coordinator, waiters, clock: this.env.clock, ended: resolve });
      const target = forwarder.coordinatorOf(slotOfRow(row));
      if (target === this.view.self) task.runHere();
      else forwarder.forward(target, row, encodeRowOp(row, op, deadlineMs - this.nowMs()), task, deadlineMs);
    });
  }

  hasCopy(row: RowName): boolean {
    return this.view.owners(slotOfRow(row)).current.includes(this.view.self);
  }

  copyOf(row: RowName): ReturnType<Coordinator['held']> {
    return this.coordinator.held(row);
  }

  read(row: RowName, deadlineMs: number): Promise<ReadOutcome> {
    return new Promise((resolve) => this.coordinator.read(row, deadlineMs, resolve));
  }

  nowMs(): number {
    return this.coordinator.nowMs();
  }

  wallMs(): number {
    return this.env.clock.wallMs();
  }

  random(): number {
    return this.env.random.next();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.env.timers.after(Math.max(ms, 1), resolve));
  }

  newId(): Version {
    return this.coordinator.newVersion();
  }

  homeSlot(): number {
    const first = Math.floor(this.random() * SLOT_COUNT);
    for (let i = 0; i < HOME_TRIES; i++) {
      const slot = (first + i * 31) % SLOT_COUNT;
      if (this.forwarder.coordinatorOf(slot) === this.view.self) return slot;
    }
    return first;
  }

  // --- for the bus -------------------------------------------------------------------------------------------------

  /** An op that another node has forwarded to this one. */
  serve(payload: Uint8Array, answer: Answer): void {
    let request: ReturnType<typeof decodeRowOp>;
    try {
      request = decodeRowOp(Buffer.from(payload));
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      answer(utf8(thrown.message), METHOD_FAILED);
      return;
    }
    const { row, op, leftMs } = request;
    const { coordinator } = this;
    const ended = (outcome: ChangeOutcome<RowOpResult>): void => {
      if (outcome.kind !== 'done') answer(encodeForwardAnswer(outcome));
      else {
        const reply = encodeRowOpResult(outcome.reply, op.lock.id);
        answer(encodeForwardAnswer({ kind: 'done', version: outcome.version, reply }));
      }
    };
    const deadlineMs = coordinator.nowMs() + leftMs;
    const { waiters } = this;
    new OpTask({ op, row, deadlineMs, coordinator, waiters, clock: this.env.clock, ended }).runHere();
  }

  // --- for those who meet a lock -----------------------------------------------------------------------------------

  /** Calls `again` when a lock on the row has gone or some time has passed, `failed` when it is too late. */
  whenUnlocked(
    row: RowName,
    state: Uint8Array,
    deadlineMs: number,
    again: () => void,
    failed: (reason: Failure) => void,
  ): void {
    const { protocol } = this;
    const lock = lockOfState(state);
    const waited = async (): Promise<boolean> => {
      if (await this.waiters.wait(row, LOCK_WAIT_MS)) return this.nowMs() < deadlineMs;
      const settled = await protocol.settle(row, lock, deadlineMs);
      if (this.nowMs() >= deadlineMs) return false;
      if (settled !== 'gone') await this.sleep(protocol.waitMs());
      return true;
    };
    void waited().then((inTime) => {
      if (inTime) again();
      else failed('no-quorum');
    });
  }

  /**
   * What a row is, told by whoever coordinates it, for a read that has met a change half way; false: that is this node.
   * Ended here instead, the change would be uncertain to the one that makes it.
   */
  readonly look = (
    row: RowName,
    { deadlineMs, light }: { readonly deadlineMs: number; readonly light: boolean },
    found: (outcome: ReadOutcome) => void,
  ): boolean => {
    if (this.forwarder.coordinatorOf(slotOfRow(row)) === this.view.self) return false;
    void this.change(row, light ? LOOK_LIGHTLY : LOOK, deadlineMs).then((outcome) => {
      if (outcome.kind === 'done' && outcome.reply.kind === 'locked') {
        found({ kind: 'done', version: outcome.version, state: outcome.reply.state });
      } else found({ kind: outcome.kind === 'overloaded' ? 'overloaded' : 'no-quorum' });
    });
    return true;
  };

  /** A quorum read that sees through the locks of transactions. */
  async readThrough(row: RowName, deadlineMs: number): Promise<ReadOutcome> {
    const outcome = await this.read(row, deadlineMs);
    if (outcome.kind !== 'done' || !isLockedState(outcome.state)) return outcome;
    return this.protocol.readLocked(row, outcome.version, outcome.state, deadlineMs);
  }
}

/** One op under way. `ended` is called once. */
class OpTask implements RowTask, ForwardTask {
  readonly takesDelta = true;
  private readonly op: RowOp;
  private readonly row: RowName;
  private readonly deadlineMs: number;
  private readonly coordinator: Coordinator;
  private readonly clock: Env['clock'];
  private readonly waiters: LockWaiters;
  private hasWaited = false;
  private readonly ended: (outcome: ChangeOutcome<RowOpResult>) => void;
  private result: RowOpResult | undefined = undefined;

  constructor(options: {
    op: RowOp;
    row: RowName;
    deadlineMs: number;
    coordinator: Coordinator;
    clock: Env['clock'];
    waiters: LockWaiters;
    ended(outcome: ChangeOutcome<RowOpResult>): void;
  }) {
    this.op = options.op;
    this.row = options.row;
    this.deadlineMs = options.deadlineMs;
    this.coordinator = options.coordinator;
    this.clock = options.clock;
    this.waiters = options.waiters;
    this.ended = (outcome) => options.ended(outcome);
  }

  run(state: Uint8Array | undefined, ballot: Version, whole: Whole): Uint8Array | undefined {
    const { op } = this;
    const after = applyRowOp(op, state, ballot, this.clock.wallMs(), whole);
    const { result } = after;
    // Only the head of a large collection is changed by a lock; who did not ask for it lightly wants the elements too.
    const isLight = (op.kind === 'look' || op.kind === 'lock') && op.light === true;
    const isTold = result.kind === 'locked' && isDelta(result.state) && !isLight;
    this.result = isTold ? { kind: 'locked', state: whole(result.state) } : result;
    return after.state;
  }

  done(outcome: ChangeOutcome<undefined>): void {
    const { op, row, waiters } = this;
    if (op.kind === 'apply') waiters.wake(row);
    if (outcome.kind !== 'done') this.ended(outcome);
    else if (op.kind === 'lock' && op.waits && this.mayWait()) void this.wait();
    else this.ended({ kind: 'done', version: outcome.version, reply: this.result as RowOpResult });
  }

  private mayWait(): boolean {
    return this.result?.kind === 'busy' && !this.hasWaited && this.coordinator.nowMs() < this.deadlineMs;
  }

  /** The row is another transaction's: tries again when its lock has gone, as long as each is only tried soon after. */
  private async wait(): Promise<void> {
    this.hasWaited = !(await this.waiters.wait(this.row, LOCK_WAIT_MS));
    this.runHere();
  }

  runHere(): void {
    this.coordinator.submit(this.row, this, this.deadlineMs);
  }

  answered(payload: Uint8Array): void {
    const outcome = outcomeOf(payload);
    if (outcome.kind !== 'done') {
      this.ended(outcome);
      return;
    }
    try {
      const reply = decodeRowOpResult(outcome.reply as Uint8Array);
      this.ended({ kind: 'done', version: outcome.version, reply });
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      this.ended({ kind: 'uncertain' });
    }
  }

  failed(reason: 'uncertain' | 'overloaded'): void {
    this.ended({ kind: reason });
  }
}
