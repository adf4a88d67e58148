/**
 * Transactions over several rows (design, section 7; `shared/model/proto.js` is the model that it follows).
 *
 * ```
 * LOCK     the rows in order                  busy: settle what holds the lock, or wait     a mark of WATCH: nothing happens
 * RUN      the handlers on the locked rows    a row that was not named: unlock, begin again with it
 * DECIDE   COMMITTED, with what the rows become, in the transaction's lane: the only commit point
 * REPLY
 * APPLY    each row: while the lock stands, what it becomes; anybody may do it, since the writes are in the decision
 * ```
 *
 * Whoever meets a lock asks its lane (row-lock.ts). Committed: it applies. Aborted, or the lane has gone on: it takes the
 * lock away. Undecided: it waits, and past the lock's deadline writes ABORTED where nothing stands yet. So a node
 * that dies holds its rows for the rest of a deadline at most. Clocks decide when to give up, never what happens.
 *
 * Departs from the model in one thing: a decision is not forgotten but overwritten by the lane's next one, since nothing
 * purges tombstones of rows in a cluster yet. A lane is free only when its transaction is over (row-lock.ts).
 *
 * Invariants:
 * - COMMITTED is proposed once for a transaction, when all its rows are locked; if that is uncertain the client is told so,
 *   and the lane stays taken until it is known what stands there.
 * - Locks are taken in the order of the rows' names, so two transactions never wait for each other in a circle.
 * - A reader shows the old value under a lock only if, after the lane did not say COMMITTED, lock and version still stood.
 */

import { assert } from '../assert.ts';
import type { ReadOutcome } from './coordinator.ts';
import { slotOfRow, type RowName } from './owner-message.ts';
import type { ChangeOutcome } from './register-core.ts';
import { decisionRow, isSameLock, type RowLock } from './row-lock.ts';
import { ABORTED, decisionAt, type Decision, type RowOp, type RowOpResult, type Writes } from './row-op.ts';
import { isLockedState, lockOfState, unlockedState } from './row-state.ts';
import { compareVersions, type Version } from './version.ts';
import type { RowMark } from './view.ts';

/** For how long others leave an undecided lock alone, in ms; doubled with each attempt of a transaction. */
export const LOCK_MS = 500;

/** Transactions of this node that may be under way; more wait for a lane. */
export const MAX_LANES = 1024;

/** Waits for somebody else's lock, in ms: drawn between the two. */
const LEAST_WAIT_MS = 1;
const MOST_WAIT_MS = 8;

/** Between two tries of what must become known, in ms: doubled up to the longest. */
const FIRST_RETRY_MS = 10;
const LONGEST_RETRY_MS = 1_000;

/** How long one change of a row in the background may take, in ms. */
const BACKGROUND_MS = 2_000;

/** Rounds in which a body may ask for rows that were not named: BullMQ's scripts compute a few. */
export const MAX_ROUNDS = 32;

/** What the protocol needs of the node. */
export interface TransactionWorld {
  /** One op as a change of the row's register, at whoever coordinates it. `op` may be sent once only: see `uncertain`. */
  change(row: RowName, op: RowOp, deadlineMs: number): Promise<ChangeOutcome<RowOpResult>>;
  /** A quorum read. */
  read(row: RowName, deadlineMs: number): Promise<ReadOutcome>;
  /** Monotonic, and the wall clock that deadlines of locks are told by. */
  nowMs(): number;
  wallMs(): number;
  random(): number;
  sleep(ms: number): Promise<void>;
  /** A version above all that this node gave before. Throws an `EngineError` `refused` when there are none. */
  newId(): Version;
  /** A slot that this node coordinates, if there is one: its lanes stand there. */
  homeSlot(): number;
}

export interface TransactionRun {
  /** The rows, with what WATCH remembers of them. */
  readonly rows: ReadonlyMap<RowName, readonly RowMark[]>;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  /**
   * Runs on the states of the rows: what they become, or the row that it lacks. May be called several times; its reply is
   * that of the last run. Rows without a write stay as they are.
   */
  body(states: ReadonlyMap<RowName, Uint8Array | undefined>): Writes | { readonly missed: RowName };
}

/** `stale`: a mark of WATCH no longer holds. All but `committed` and `uncertain`: nothing happened. */
export type TransactionOutcome = 'committed' | 'stale' | 'no-quorum' | 'overloaded' | 'uncertain' | 'rows';

/** What became of meeting a lock: it is gone; it stands and others must wait; it cannot be told at the moment. */
export type Settled = 'gone' | 'standing' | 'failed';

interface Lane {
  readonly number: number;
  readonly slot: number;
}

export class Transactions {
  private readonly world: TransactionWorld;
  private readonly free: Lane[] = [];
  private lanes = 0;
  private waiting: (() => void)[] = [];
  private isClosed = false;
  /** For INFO, since the start. */
  readonly counts = { transactions: 0, transactionsAborted: 0, locksMet: 0, locksEnded: 0 };

  constructor(world: TransactionWorld) {
    this.world = world;
  }

  /** Taken lanes. */
  get pending(): number {
    return this.lanes - this.free.length;
  }

  close(): void {
    this.isClosed = true;
  }

  /** Runs a transaction. Settles once, at the latest some seconds after the deadline. */
  async run(transaction: TransactionRun): Promise<TransactionOutcome> {
    const { world } = this;
    const rows = new Map(transaction.rows);
    this.counts.transactions++;
    let lockMs = LOCK_MS;
    for (let round = 0; round < MAX_ROUNDS;) {
      const lane = await this.takeLane(transaction.deadlineMs);
      if (lane === undefined) return 'overloaded';
      const id = world.newId();
      const lock: RowLock = { id, slot: lane.slot, lane: lane.number, deadlineMs: Math.ceil(world.wallMs() + lockMs) };
      const outcome = await this.attempt({ ...transaction, rows }, lane, lock);
      if (typeof outcome === 'object') {
        rows.set(outcome.missed, []);
        round++;
      } else if (outcome !== 'aborted') return outcome;
      else if (world.nowMs() >= transaction.deadlineMs) return 'no-quorum';
      else lockMs *= 2;
    }
    return 'rows';
  }

  private async attempt(
    { rows, deadlineMs, body }: TransactionRun,
    lane: Lane,
    lock: RowLock,
  ): Promise<TransactionOutcome | 'aborted' | { readonly missed: RowName }> {
    const names = [...rows.keys()].sort(compareNames);
    const states = new Map<RowName, Uint8Array | undefined>();
    const giveUp = <T>(outcome: T): T => {
      this.counts.transactionsAborted++;
      this.inBackground(this.unlock(names.slice(0, states.size + 1), lock, lane));
      return outcome;
    };
    for (const row of names) {
      const locked = await this.lockRow(row, lock, rows.get(row) ?? [], deadlineMs);
      if (typeof locked === 'string') return giveUp(locked);
      states.set(row, locked.state);
    }
    let writes: Writes | { readonly missed: RowName };
    try {
      writes = body(states);
    } catch (thrown) {
      giveUp(undefined);
      throw thrown;
    }
    if ('missed' in writes) return giveUp({ missed: writes.missed });
    // One that only reads is decided too: that all its rows were locked at one moment is not known before.
    return this.decide(names, lock, lane, writes, deadlineMs);
  }

  /** The row's state under our lock, or why there is none. */
  private async lockRow(
    row: RowName,
    lock: RowLock,
    marks: readonly RowMark[],
    deadlineMs: number,
  ): Promise<{ readonly state: Uint8Array | undefined } | 'stale' | 'aborted' | 'no-quorum' | 'overloaded'> {
    const { world } = this;
    for (;;) {
      const outcome = await world.change(row, { kind: 'lock', lock, marks }, deadlineMs);
      // Whether the lock stands may be uncertain; that nothing was committed is not.
      if (outcome.kind !== 'done') return outcome.kind === 'overloaded' ? 'overloaded' : 'no-quorum';
      const result = outcome.reply;
      if (result.kind === 'locked') return { state: result.state };
      if (result.kind === 'stale') return 'stale';
      assert(result.kind === 'busy', 'an answer to a lock');
      const settled = await this.settle(row, result.lock, deadlineMs);
      if (world.nowMs() >= deadlineMs) return 'no-quorum';
      if (settled !== 'gone') await world.sleep(this.waitMs());
      // By now others may have ended this transaction.
      if (world.wallMs() >= lock.deadlineMs) return 'aborted';
    }
  }

  private async decide(
    names: readonly RowName[],
    lock: RowLock,
    lane: Lane,
    writes: Writes,
    deadlineMs: number,
  ): Promise<TransactionOutcome | 'aborted'> {
    const outcome = await this.world.change(
      decisionRow(lock),
      { kind: 'decide', lock, decision: { kind: 'committed', writes } },
      deadlineMs,
    );
    if (outcome.kind === 'done') {
      const result = outcome.reply;
      if (result.kind === 'decided' && result.decision.kind === 'committed') {
        this.inBackground(this.finish(names, lock, lane, result.decision));
        return 'committed';
      }
      this.counts.transactionsAborted++;
      this.inBackground(this.unlock(names, lock, lane));
      return 'aborted';
    }
    if (outcome.kind !== 'uncertain') {
      this.inBackground(this.unlock(names, lock, lane));
      return outcome.kind;
    }
    this.inBackground(this.learn(names, lock, lane));
    return 'uncertain';
  }

  /** Finds out what stands in the lane of a transaction whose decision was uncertain, and ends it so. */
  private async learn(names: readonly RowName[], lock: RowLock, lane: Lane): Promise<void> {
    for (let retryMs = FIRST_RETRY_MS; !this.isClosed; retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS)) {
      const decision = await this.endIfUndecided(lock, this.world.nowMs() + BACKGROUND_MS);
      if (decision !== undefined) {
        await this.finish(names, lock, lane, decision);
        return;
      }
      await this.world.sleep(retryMs);
    }
  }

  /** Writes what was decided to every row; the lane is free when all of them have it. */
  private async finish(names: readonly RowName[], lock: RowLock, lane: Lane, decision: Decision): Promise<void> {
    await Promise.all(names.map((row) => this.applyUntilDone(row, lock, decision)));
    if (!this.isClosed) this.giveLane(lane);
  }

  /**
   * Takes the locks of a transaction away that was never committed. The lane may be used at once: a lock that still stands,
   * or comes late, is void when the lane has gone on.
   */
  private async unlock(names: readonly RowName[], lock: RowLock, lane: Lane): Promise<void> {
    const deadlineMs = this.world.nowMs() + BACKGROUND_MS;
    await Promise.all(
      names.map((row) => this.world.change(row, { kind: 'apply', lock, write: undefined }, deadlineMs)),
    );
    this.giveLane(lane);
  }

  private async applyUntilDone(row: RowName, lock: RowLock, decision: Decision): Promise<void> {
    for (let retryMs = FIRST_RETRY_MS; !this.isClosed; retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS)) {
      if (await this.apply(row, lock, decision, this.world.nowMs() + BACKGROUND_MS)) return;
      await this.world.sleep(retryMs);
    }
  }

  private async apply(row: RowName, lock: RowLock, decision: Decision, deadlineMs: number): Promise<boolean> {
    const write =
      decision.kind === 'committed' && decision.writes.has(row) ? { state: decision.writes.get(row) } : undefined;
    const outcome = await this.world.change(row, { kind: 'apply', lock, write }, deadlineMs);
    return outcome.kind === 'done';
  }

  // --- for those who meet a lock -----------------------------------------------------------------------------------

  /** Ends the lock of another transaction on a row, if that may be. */
  async settle(row: RowName, lock: RowLock, deadlineMs: number): Promise<Settled> {
    const { world, counts } = this;
    counts.locksMet++;
    const decision =
      world.wallMs() < lock.deadlineMs
        ? await this.decisionOf(lock, deadlineMs)
        : await this.endIfUndecided(lock, deadlineMs);
    if (decision === undefined) return 'failed';
    if (decision === 'undecided') return 'standing';
    counts.locksEnded++;
    return (await this.apply(row, lock, decision, deadlineMs)) ? 'gone' : 'failed';
  }

  /**
   * What a reader shows of a row that was read with a lock on it: the state without the lock. `failed`: it cannot be told.
   */
  async readLocked(row: RowName, version: Version, state: Uint8Array, deadlineMs: number): Promise<ReadOutcome> {
    let found: { readonly version: Version; readonly state: Uint8Array } = { version, state };
    for (;;) {
      const lock = lockOfState(found.state);
      const decision = await this.decisionOf(lock, deadlineMs);
      if (decision === undefined) return { kind: 'no-quorum' };
      if (decision !== 'undecided' && decision.kind === 'committed') {
        this.counts.locksEnded++;
        if (!(await this.apply(row, lock, decision, deadlineMs))) return { kind: 'no-quorum' };
      }
      const again = await this.world.read(row, deadlineMs);
      if (again.kind !== 'done' || !isLockedState(again.state)) return again;
      const stands = isSameLock(lockOfState(again.state), lock) && compareVersions(again.version, found.version) === 0;
      if (stands && (decision === 'undecided' || decision.kind === 'aborted')) {
        return { ...again, state: unlockedState(again.state) };
      }
      if (this.world.nowMs() >= deadlineMs) return { kind: 'no-quorum' };
      found = { version: again.version, state: again.state };
    }
  }

  /** What stands in the lane; undefined: it could not be read. A lane that has gone on: what is left of the lock is void. */
  private async decisionOf(lock: RowLock, deadlineMs: number): Promise<Decision | 'undecided' | undefined> {
    const outcome = await this.world.read(decisionRow(lock), deadlineMs);
    if (outcome.kind !== 'done') return undefined;
    const standing = decisionAt(outcome.state, lock);
    return standing === 'over' ? ABORTED : standing;
  }

  /** As `decisionOf`, but what is undecided is aborted. */
  private async endIfUndecided(lock: RowLock, deadlineMs: number): Promise<Decision | undefined> {
    const outcome = await this.world.change(decisionRow(lock), { kind: 'decide', lock, decision: ABORTED }, deadlineMs);
    if (outcome.kind !== 'done') return undefined;
    const result = outcome.reply;
    return result.kind === 'decided' ? result.decision : ABORTED;
  }

  /** A wait for somebody else's lock. */
  waitMs(): number {
    return LEAST_WAIT_MS + this.world.random() * (MOST_WAIT_MS - LEAST_WAIT_MS);
  }

  // --- lanes -------------------------------------------------------------------------------------------------------

  private async takeLane(deadlineMs: number): Promise<Lane | undefined> {
    for (;;) {
      const lane = this.free.pop();
      if (lane !== undefined) return lane;
      if (this.lanes < MAX_LANES) return { number: this.lanes++, slot: this.world.homeSlot() };
      if (this.world.nowMs() >= deadlineMs || this.isClosed) return undefined;
      await Promise.race([
        new Promise<void>((resolve) => this.waiting.push(resolve)),
        this.world.sleep(deadlineMs - this.world.nowMs()),
      ]);
    }
  }

  private giveLane(lane: Lane): void {
    this.free.push(lane);
    this.waiting.shift()?.();
  }

  /** What goes on after the reply. Failures of the disk or the bus are outcomes; anything else is ours. */
  private inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => {
      queueMicrotask(() => {
        throw error;
      });
    });
  }
}

/** The order in which rows are locked. */
function compareNames(a: RowName, b: RowName): number {
  const slots = slotOfRow(a) - slotOfRow(b);
  if (slots !== 0) return slots;
  return a < b ? -1 : a > b ? 1 : 0;
}
