/**
 * Transactions over several rows (design, section 7; `shared/model/proto.js` is the model that it follows).
 *
 * ```
 * LOCK     the rows (row-locking.ts)          a mark of WATCH does not hold: nothing happens
 * RUN      the handlers on the locked rows    a row that was not named: lock it and run again; it is busy: begin anew with it
 *                                             a large collection: over this node's copy, while that has the lock
 * DECIDE   COMMITTED, with what the rows become, in the transaction's lane: the only commit point; of a large collection
 *          the changes, told against the copy that was run over: apply tells them against the row's (row-rebase.ts)
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
 * - COMMITTED is proposed once for a transaction, when all its rows are locked (one that only reads is decided too: that
 *   all were locked at one moment is not known before); if that is uncertain the client is told so,
 *   and the lane stays taken until it is known what stands there.
 * - Transactions of one node on the same rows go one after another (`row-queue.ts`) and never meet each other's locks.
 * - While a lock stands on a row, its state is what it was when it was locked; its version may go on (settling, moves).
 * - A reader shows the old value under a lock only if, after the lane did not say COMMITTED, lock and version still stood.
 */

import { EngineError } from '../engine/engine-error.ts';
import type { ReadOutcome } from './coordinator.ts';
import { slotOfRow, type RowName } from './owner-message.ts';
import { decisionRow, isSameLock, type RowLock } from './row-lock.ts';
import { type LockingWorld, RowLocking, type States, type Wanted } from './row-locking.ts';
import { RowQueue } from './row-queue.ts';
import { ABORTED, decisionAt, type Decision, type Writes } from './row-op.ts';
import { isLockedState, lockOfState, unlockedState } from './row-state.ts';
import { compareVersions, type Version } from './version.ts';
import type { RowMark } from './view.ts';

/** For how long others leave an undecided lock alone, in ms; doubled with each attempt of a transaction. */
export const LOCK_MS = 500;

/** The longest of them: a node may die after many attempts. */
export const LONGEST_LOCK_MS = 32 * LOCK_MS;

/** Transactions of this node that may be under way; more wait for a lane. */
export const MAX_LANES = 1024;

/** Between two tries of what must become known, in ms: doubled up to the longest. */
const FIRST_RETRY_MS = 10;
const LONGEST_RETRY_MS = 1_000;

/** How long one change of a row in the background may take, in ms. */
const BACKGROUND_MS = 2_000;

/** How long a client, and the next transaction on the rows, waits for what ends one, in ms: rows without owners keep nobody. */
const WRITTEN_PATIENCE_MS = 100;

/** Rounds in which a body may ask for rows that were not named: BullMQ's scripts compute a few. */
export const MAX_ROUNDS = 32;

/** Who does not want to know of locks. */
const NOBODY = (): void => undefined;

/** What the protocol needs of the node. `change`: `op` may be sent once only: see `uncertain`; at whoever coordinates the row. */
export interface TransactionWorld extends LockingWorld {
  /** A quorum read. */
  read(row: RowName, deadlineMs: number): Promise<ReadOutcome>;
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
   * Runs on the states of the rows: what they become, or what it lacks. May be called several times; its reply is that of
   * the last run. Rows without a write stay as they are. Large collections may be this node's copy, told against itself.
   */
  body(states: States): Writes | Lacking;
  /** The row was locked under this version: what is written to it later comes with a higher one. */
  locked?(row: RowName, version: Version): void;
}

/** What a body lacks: a row, or what stands on disk of this node's copies; to be called, never rejects. */
export type Lacking = { readonly missed: RowName } | { readonly load: () => Promise<void> };

/** `stale`: a mark of WATCH no longer holds. All but `committed` and `uncertain`: nothing happened. */
export type TransactionOutcome = 'committed' | 'stale' | 'no-quorum' | 'overloaded' | 'uncertain' | 'rows';

/** What became of meeting a lock: it is gone; it stands and others must wait; it cannot be told at the moment. */
export type Settled = 'gone' | 'standing' | 'failed';

interface Lane {
  readonly number: number;
  readonly slot: number;
}

/** A transaction whose rows are all locked. */
interface Locked {
  readonly names: readonly RowName[];
  readonly lock: RowLock;
  readonly lane: Lane;
  readonly leave: () => void;
}

export class Transactions {
  private readonly world: TransactionWorld;
  private readonly queue = new RowQueue();
  private readonly locking: RowLocking;
  private readonly free: Lane[] = [];
  private lanes = 0;
  private waiting: (() => void)[] = [];
  private isClosed = false;
  /** For INFO, since the start. */
  readonly counts = { transactions: 0, transactionsAborted: 0, locksMet: 0, locksEnded: 0 };

  constructor(world: TransactionWorld) {
    this.world = world;
    this.locking = new RowLocking(world, (row, lock, deadlineMs) => this.settle(row, lock, deadlineMs));
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
    let leave: (() => void) | undefined;
    for (let round = 0; round < MAX_ROUNDS;) {
      const names = [...rows.keys()].sort(compareNames);
      leave ??= await this.queue.enter(names, () => world.sleep(transaction.deadlineMs - world.nowMs()));
      if (leave === undefined) return 'no-quorum';
      const outcome = await this.attempt({ ...transaction, rows }, names, lockMs, leave);
      if (typeof outcome === 'object') {
        rows.set(outcome.missed, []);
        round++;
        leave();
        leave = undefined;
      } else if (outcome !== 'aborted') return outcome;
      else if (world.nowMs() >= transaction.deadlineMs) {
        leave();
        return 'no-quorum';
      } else {
        lockMs = Math.min(2 * lockMs, LONGEST_LOCK_MS);
        await world.sleep(this.waitMs());
      }
    }
    return 'rows';
  }

  /** `leave`: called when the rows are free for the next transaction of this node, unless there is to be another attempt. */
  private async attempt(
    {
      rows,
      deadlineMs,
      body,
      locked: note = NOBODY,
    }: TransactionRun & { readonly rows: Map<RowName, readonly RowMark[]> },
    names: readonly RowName[],
    lockMs: number,
    leave: () => void,
  ): Promise<TransactionOutcome | 'aborted' | { readonly missed: RowName }> {
    const { world } = this;
    if (names.length === 0) {
      leave();
      const writes = body(new Map());
      return 'missed' in writes ? writes : 'committed';
    }
    const lane = await this.takeLane(deadlineMs);
    if (lane === undefined) {
      leave();
      return 'overloaded';
    }
    const id = this.newId();
    if (id === undefined) {
      this.giveLane(lane);
      leave();
      return 'no-quorum';
    }
    const lock: RowLock = { id, slot: lane.slot, lane: lane.number, deadlineMs: Math.ceil(world.wallMs() + lockMs) };
    const locked = [...names];
    const giveUp = <T>(outcome: T): T => {
      this.counts.transactionsAborted++;
      this.inBackground(this.unlock(locked, lock, lane), leave);
      return outcome;
    };
    const again = async <T>(outcome: T): Promise<T> => {
      this.counts.transactionsAborted++;
      await this.awhile(this.unlock(locked, lock, lane));
      return outcome;
    };
    const wanted: Wanted = { lock, marks: rows, deadlineMs, locked: note };
    const held = await this.locking.lockAll(names, wanted);
    if (held === 'aborted') return again(held);
    if (typeof held === 'string') return giveUp(held);
    for (;;) {
      const given = held.given(world, lock);
      if (typeof given === 'string') {
        const failure = await this.locking.tellWhole(given, wanted, held);
        if (failure === 'aborted') return again(failure);
        if (failure !== undefined) return giveUp(failure);
        continue;
      }
      let writes: Writes | Lacking;
      try {
        writes = body(given);
      } catch (thrown) {
        giveUp(undefined);
        throw thrown;
      }
      if ('load' in writes) {
        await writes.load();
        if (world.nowMs() >= deadlineMs) return giveUp('no-quorum');
        continue;
      }
      if (!('missed' in writes)) return this.decide({ names: locked, lock, lane, leave }, writes, deadlineMs);
      // The row joins those that are locked, if nobody has it; else all begins anew with it.
      const { missed } = writes;
      locked.push(missed);
      if (locked.length > names.length + MAX_ROUNDS) return giveUp('rows');
      if ((await this.locking.lockOne(missed, wanted, held)) === undefined) return again({ missed });
      rows.set(missed, []);
    }
  }

  /** undefined: there are none, since the disk takes nothing. */
  private newId(): Version | undefined {
    try {
      return this.world.newId();
    } catch (thrown) {
      if (thrown instanceof EngineError && thrown.code === 'refused') return undefined;
      throw thrown;
    }
  }

  private async decide(
    { names, lock, lane, leave }: Locked,
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
        const written = this.finish(names, lock, lane, result.decision);
        // It is committed; but lists and counts, and reads at level one, do not look behind locks.
        await this.awhile(written);
        leave();
        return 'committed';
      }
      this.counts.transactionsAborted++;
      await this.awhile(this.unlock(names, lock, lane));
      return 'aborted';
    }
    if (outcome.kind !== 'uncertain') {
      this.inBackground(this.unlock(names, lock, lane), leave);
      return outcome.kind;
    }
    this.inBackground(this.learn(names, lock, lane), leave);
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
    return this.locking.waitMs();
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

  /** What goes on after the reply; `leave` is called when it is done, or has taken so long that others should try. */
  private inBackground(work: Promise<void>, leave: () => void): void {
    void this.awhile(work).then(leave);
  }

  /** Waits for work, but not for long: it goes on. Failures of the disk or the bus are outcomes; anything else is ours. */
  private async awhile(work: Promise<void>): Promise<void> {
    work.catch((error: unknown) => {
      queueMicrotask(() => {
        throw error;
      });
    });
    await Promise.race([work.catch(() => undefined), this.world.sleep(WRITTEN_PATIENCE_MS)]);
  }
}

/** The order in which rows are locked. */
function compareNames(a: RowName, b: RowName): number {
  const slots = slotOfRow(a) - slotOfRow(b);
  if (slots !== 0) return slots;
  return a < b ? -1 : a > b ? 1 : 0;
}
