/**
 * The coordinator of rows: the shell of `register-core` (changes) and `read-core` (quorum reads) over the bus and this
 * node's own owner.
 *
 * ```
 * change, submit ─▶ register-core ─ ask ─▶ owner-asks: this node's owner, or the bus ─▶ answer ─▶ the core
 * read ───────────▶ read-core ───── ask ─▶ "                                          settle ─▶ submit
 * ```
 *
 * Invariants:
 * - After a restart nothing is coordinated before the clock has come near the wall clock (`isReady`): others would refuse
 *   the ballots. What is asked before waits, up to its deadline.
 * - One timer runs at a time, while anything is under way; changes and reads under way are bounded by the cores.
 */

import type { BusOutcome, Outgoing } from '../cluster/bus-core.ts';
import { priority, type Priority } from '../cluster/frame.ts';
import type { MemberId } from '../cluster/member.ts';
import type { Owners } from '../cluster/owners.ts';
import { EngineError } from '../engine/engine-error.ts';
import type { Env, Timer } from '../env.ts';
import { BallotCache, type CachedBallot } from './ballot-cache.ts';
import { MAX_AHEAD_MS, type Hlc } from './hlc.ts';
import { OwnerAsks, REFUSED, UNSENT } from './owner-asks.ts';
import { isMarkRow, type AcceptRequest, type OwnerAnswer, type OwnerRequest, type RowName } from './owner-message.ts';
import { Miss } from './miss.ts';
import { MissedWrites, type KeepHint } from './missed-writes.ts';
import { OwnerPace } from './owner-pace.ts';
import { ReadCore, type ReadEffect } from './read-core.ts';
import {
  MAX_CHANGES,
  PHASE_TIMEOUT_MS,
  RegisterCore,
  type ChangeOutcome,
  type Held,
  type RegisterEffect,
  type RegisterLimits,
} from './register-core.ts';
import { RowCatchUp } from './row-catch-up.ts';
import { isSendable } from './row-delta.ts';
import { baseOf, isDelta } from './row-state.ts';
import {
  ChangeOf,
  NameOf,
  type ReadOutcome,
  ReadOf,
  type ReadTask,
  type RowChange,
  type RowTask,
  runTasks,
  Settle,
  type Whole,
} from './row-tasks.ts';
import { equalVersions, type Version } from './version.ts';

export type { LightReader, ReadFailure, ReadOutcome, ReadTask, RowChange, RowTask, Whole } from './row-tasks.ts';

/** How often it is looked whether the clock has come near the wall clock after a restart. */
const READY_POLL_MS = 10;

/**
 * The process looks at the clock this often, and holds itself stalled when it could not for so long: about when others
 * begin to turn to the next owner (the bus calls a silent peer unhealthy after 400 ms).
 */
const PULSE_MS = 50;
const STALL_MS = 250;

/** What a coordinator needs of the node's view of the cluster; `ClusterView` has it. */
export interface CoordinatorView {
  readonly topology: { readonly epoch: number } | undefined;
  readonly self: MemberId;
  owners(slot: number): Owners;
  nameOf(id: MemberId): string;
  isHealthy(id: MemberId): boolean;
  rttMs(id: MemberId): number;
  learn(from: MemberId, epoch: number): void;
}

/** What it needs of the bus. */
export interface CoordinatorBus {
  request(to: string, outgoing: Outgoing, ended: (outcome: BusOutcome) => void): void;
}

/** What it needs of this node's owner. States that it hands out are in memory of their own. */
export interface CoordinatorOwner {
  /** The whole state of one that is told against this owner's copy (row-delta.ts). Throws `Miss`, `EngineError`. */
  whole(row: RowName, state: Uint8Array): Uint8Array;
  ask(request: OwnerRequest<Uint8Array>, epoch: number, answer: (answer: OwnerAnswer<Uint8Array>) => void): void;
  held(row: RowName): Held<Uint8Array> | undefined;
}

export interface CoordinatorOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'>;
  readonly view: CoordinatorView;
  readonly bus: CoordinatorBus;
  readonly owner: CoordinatorOwner;
  readonly hlc: Hlc;
  /** Of this node and life. */
  readonly actor: number;
  /** Keeps a write for an owner that did not get it. */
  readonly keepHint?: KeepHint;
  readonly limits?: Partial<RegisterLimits>;
}

/** Who waits for the clock. */
interface Early {
  readonly deadlineMs: number;
  start(): void;
  overdue(): void;
}

/** Asks the node that coordinates a row what it is; false: that is this one. `light`: as in `ReadRequest`. */
type LookElsewhere = (
  row: RowName,
  options: { readonly deadlineMs: number; readonly light: boolean },
  found: (outcome: ReadOutcome) => void,
) => boolean;

type ReadDone = Extract<ReadEffect<Uint8Array>, { kind: 'done' }>;

export class Coordinator {
  private readonly env: CoordinatorOptions['env'];
  private readonly view: CoordinatorView;
  private readonly asks: OwnerAsks;
  private readonly owner: CoordinatorOwner;
  private readonly hlc: Hlc;
  private readonly actor: number;
  private readonly ballots = new RowBallots();
  private readonly register: RegisterCore<Uint8Array, RowTask, undefined>;
  private readonly reads: ReadCore<Uint8Array>;
  /** Set by who can forward. */
  lookElsewhere: LookElsewhere | undefined = undefined;
  private readonly pace: OwnerPace;
  private readonly missed: MissedWrites;
  /** Readers by their number, and numbers that are free. */
  private readonly readers: (ReadTask | undefined)[] = [];
  private readonly freeReaders: number[] = [];
  private early: Early[] = [];
  private readyBefore = false;
  private readonly catchUp: RowCatchUp;
  private readonly pulse: Timer;
  private lastPulseMs: number;
  private timer: Timer | undefined = undefined;
  private timerAtMs = Number.POSITIVE_INFINITY;
  private isClosed = false;
  /** Watches the changes of rows that somebody wants to hear of: `RowInterest.watched`. */
  watched: ((row: RowName, task: RowTask) => RowTask) | undefined = undefined;
  /** Counted for INFO, since the start. */
  readonly counts = { changes: 0, reads: 0, repairs: 0, settles: 0, uncertain: 0, noQuorum: 0, overloaded: 0 };

  constructor(options: CoordinatorOptions) {
    const { env, view, owner, hlc } = options;
    this.env = env;
    this.view = view;
    this.asks = new OwnerAsks(options);
    this.owner = owner;
    this.hlc = hlc;
    this.actor = options.actor;
    this.missed = new MissedWrites({
      keepHint: options.keepHint ?? (() => false),
      read: (row, found, over) => this.readForHint(row, found, over),
    });
    this.catchUp = new RowCatchUp({
      timers: env.timers,
      nowMs: () => this.nowMs(),
      isAtWork: (row) => this.register.isAtWork(row),
      read: (row, deadlineMs, done) => this.read(row, deadlineMs, done),
      deliver: (to, request, answered) => this.deliver(to, request, priority.REPAIR, answered),
    });
    this.pace = new OwnerPace({ view, clock: env.clock, random: env.random });
    this.register = new RegisterCore<Uint8Array, RowTask, undefined>({
      world: {
        actor: options.actor,
        clock: hlc,
        random: () => env.random.next(),
        owners: (slot) => view.owners(slot),
        // Requests carry the epoch in force when they are sent.
        mayAccept: (slot, owners) => view.owners(slot) === owners,
        held: (row) => owner.held(row),
        run: (row, changes, value, ballot) => this.runChanges(row, changes, value, ballot),
      },
      ballots: this.ballots,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    this.lastPulseMs = this.nowMs();
    this.pulse = env.timers.every(PULSE_MS, () => this.noteStall());
    this.reads = new ReadCore<Uint8Array>({
      world: {
        owners: (slot) => view.owners(slot),
        rank: (members) => this.pace.rank(members),
        hedgeAfterMs: (members) => this.pace.hedgeAfterMs(members),
      },
    });
  }

  /** The node's monotonic clock in ms: what deadlines here are measured by. */
  nowMs(): number {
    return this.env.clock.monotonicUs() / 1000;
  }

  /** Changes and reads that are not answered yet. */
  get pending(): number {
    return this.register.pending + this.reads.pending + this.early.length;
  }

  /** A version above all that this node has given. Throws an `EngineError` `refused` when there are none at the moment. */
  newVersion(): Version {
    return { stamp: this.hlc.next(), actor: this.actor };
  }

  /** As `CoordinatorOwner.held`. */
  held(row: RowName): Held<Uint8Array> | undefined {
    return this.owner.held(row);
  }

  /** Owners in the order in which to ask them. */
  rank(members: readonly MemberId[]): readonly MemberId[] {
    return this.pace.rank(members);
  }

  /** How long these owners may take before others are asked too. */
  hedgeAfterMs(members: readonly MemberId[]): number {
    return this.pace.hedgeAfterMs(members);
  }

  /** Whether its ballots would be taken by others: see `Hlc.aheadMs`. Once true it stays so. */
  get isReady(): boolean {
    if (!this.readyBefore) this.readyBefore = this.hlc.aheadMs < MAX_AHEAD_MS / 2;
    return this.readyBefore;
  }

  /** Runs `change` on the row, whoever owns it. `done` is called once, at the latest one phase after the deadline. */
  change<R>(row: RowName, change: RowChange<R>, deadlineMs: number, done: (outcome: ChangeOutcome<R>) => void): void {
    this.submit(row, new ChangeOf(change, done, false), deadlineMs);
  }

  /** As `change`, of what a row is but for its elements: a large collection may be told against this node's copy. */
  changeHead<R>(
    row: RowName,
    change: RowChange<R>,
    deadlineMs: number,
    done: (outcome: ChangeOutcome<R>) => void,
  ): void {
    this.submit(row, new ChangeOf(change, done, true), deadlineMs);
  }

  /** As `change`, without closures. */
  submit(row: RowName, task: RowTask, deadlineMs: number): void {
    if (this.catchUp.isBusy && this.catchUp.holdsBack(row, task, () => this.submit(row, task, deadlineMs))) return;
    this.start(row, task, deadlineMs);
  }

  private start(row: RowName, task: RowTask, deadlineMs: number): void {
    if (this.isClosed || !this.isReady) {
      this.whenReady(
        deadlineMs,
        () => this.start(row, task, deadlineMs),
        () => task.done({ kind: 'no-quorum' }),
      );
      return;
    }
    this.counts.changes++;
    const change = this.watched?.(row, task) ?? task;
    this.carryOut(this.register.step({ kind: 'submit', row, change, deadlineMs }, this.nowMs()));
  }

  /** Reads the row at level `quorum`. */
  read(row: RowName, deadlineMs: number, done: (outcome: ReadOutcome) => void): void {
    this.readRow(row, new ReadOf(done), deadlineMs);
  }

  /** As `read`, without closures; `light` if the task is so. */
  readRow(row: RowName, task: ReadTask, deadlineMs: number): void {
    this.counts.reads++;
    let id = this.freeReaders.pop();
    if (id === undefined) id = this.readers.push(task) - 1;
    else this.readers[id] = task;
    const nowMs = this.nowMs();
    const light = task.light !== undefined;
    this.carryOutRead(this.reads.step({ kind: 'start', id, row, deadlineMs, light }, nowMs), nowMs);
  }

  /**
   * Others may have coordinated the rows of this node meanwhile: its kept ballots would meet refusals, and changes under
   * them would be uncertain. To be called when a peer is healthy again; a stall of this process is noticed here.
   */
  forgetBallots(): void {
    this.ballots.clear();
  }

  private noteStall(): void {
    const nowMs = this.nowMs();
    if (nowMs - this.lastPulseMs > STALL_MS) this.forgetBallots();
    this.missed.sweep(nowMs);
    this.lastPulseMs = nowMs;
  }

  /** Ends the timers. What is under way is never answered. */
  close(): void {
    this.isClosed = true;
    this.pulse.cancel();
    this.timer?.cancel();
    this.timer = undefined;
    this.early = [];
  }

  // --- effects -----------------------------------------------------------------------------------------------------

  private carryOut(effects: RegisterEffect<Uint8Array, RowTask, undefined>[]): void {
    for (let i = 0; i < effects.length; i++) {
      const effect = effects[i] as RegisterEffect<Uint8Array, RowTask, undefined>;
      switch (effect.kind) {
        case 'ask':
          this.askForChange(effect.attempt, effect.to, effect.request);
          break;
        case 'whole':
          this.sendWhole(effect.attempt, effect.to, effect.request);
          break;
        case 'reply':
          this.count(effect.outcome);
          if (effect.outcome.kind === 'done') this.missed.chosen(effect.outcome.version);
          effect.change.done(effect.outcome);
          break;
        case 'learn':
          this.view.learn(effect.from, effect.epoch);
          break;
      }
    }
    this.wakeInTime();
  }

  private carryOutRead(effects: ReadEffect<Uint8Array>[], nowMs: number): void {
    for (let i = 0; i < effects.length; i++) {
      const effect = effects[i] as ReadEffect<Uint8Array>;
      switch (effect.kind) {
        case 'ask':
          this.askForRead(effect.attempt, effect.to, effect.request, nowMs);
          break;
        case 'done':
          if (isDelta(effect.value)) this.foundDelta(effect, this.readerOf(effect.id));
          else this.readerOf(effect.id).found(effect.version, effect.value);
          break;
        case 'fail':
          if (effect.reason === 'overloaded') this.counts.overloaded++;
          else this.counts.noQuorum++;
          this.readerOf(effect.id).failed(effect.reason);
          break;
        case 'settle':
          this.counts.settles++;
          this.settle(effect.row, this.readerOf(effect.id), effect.deadlineMs);
          break;
        case 'repair':
          this.counts.repairs++;
          if (isDelta(effect.request.value)) this.missed.repair(effect.to, effect.request);
          else this.deliver(effect.to, effect.request, priority.REPAIR, ignored);
          break;
        case 'learn':
          this.view.learn(effect.from, effect.epoch);
          break;
      }
    }
    this.wakeInTime();
  }

  /**
   * A change that changes nothing tells what the row is, made by whoever coordinates the row: made here it would take the
   * ballot from a change that is under way there, which would then be uncertain. It may fail where a read need not, for the ballot that was kept
   * is of a time before others coordinated the row; a read may be tried again without harm.
   */
  private settle(row: RowName, reader: ReadTask, deadlineMs: number): void {
    const again = (): boolean => {
      if (this.nowMs() >= deadlineMs) return false;
      this.readRow(row, reader, deadlineMs);
      return true;
    };
    const light = reader.light !== undefined;
    const isElsewhere = this.lookElsewhere?.(row, { deadlineMs, light }, (outcome) => {
      if (outcome.kind === 'done' && isDelta(outcome.state) && reader.light?.anyCopy !== true)
        reader.light?.elsewhere();
      else if (outcome.kind === 'done') reader.found(outcome.version, outcome.state);
      else if (outcome.kind === 'overloaded' || !again()) reader.failed(outcome.kind);
    });
    // Changes of a row may wait for this very read (row-catch-up.ts).
    if (isElsewhere !== true) this.start(row, new Settle(reader, again), deadlineMs);
  }

  private readerOf(id: number): ReadTask {
    const reader = this.readers[id] as ReadTask;
    this.readers[id] = undefined;
    this.freeReaders.push(id);
    return reader;
  }

  private count(outcome: ChangeOutcome<undefined>): void {
    if (outcome.kind === 'uncertain') this.counts.uncertain++;
    else if (outcome.kind === 'no-quorum') this.counts.noQuorum++;
    else if (outcome.kind === 'overloaded') this.counts.overloaded++;
  }

  // --- asking ------------------------------------------------------------------------------------------------------

  private askForRead(attempt: number, to: MemberId, request: OwnerRequest<Uint8Array>, sentMs: number): void {
    this.deliver(to, request, priority.CLIENT, (answer) => {
      const nowMs = this.nowMs();
      if (answer.kind === 'held') this.pace.took(to, nowMs - sentMs);
      this.carryOutRead(this.reads.step({ kind: 'answer', attempt, from: to, answer }, nowMs), nowMs);
    });
  }

  private askForChange(attempt: number, to: MemberId, request: OwnerRequest<Uint8Array>): void {
    if (this.asks.isLeftOut(to, request.row)) this.answeredChange(attempt, to, request, UNSENT);
    else {
      this.asks.ask(to, request, priority.CLIENT, (answer) => this.answeredChange(attempt, to, request, answer));
    }
  }

  private answeredChange(
    attempt: number,
    to: MemberId,
    request: OwnerRequest<Uint8Array>,
    answer: OwnerAnswer<Uint8Array>,
  ): void {
    const nowMs = this.nowMs();
    const { kind } = answer;
    if (request.kind === 'accept' && (kind === 'unsent' || kind === 'unable' || kind === 'need')) {
      if (kind !== 'need' && this.register.isUnderWay(attempt)) this.missed.undecided(to, request, nowMs);
      else if (!this.register.isUnderWay(attempt)) this.missed.late(to, request.row);
    }
    this.carryOut(this.register.step({ kind: 'answer', attempt, from: to, answer }, nowMs));
  }

  private readForHint(
    row: RowName,
    found: (version: Version, state: Uint8Array | undefined) => void,
    over: () => void,
  ): void {
    const done = (outcome: ReadOutcome): void => {
      over();
      if (outcome.kind === 'done') found(outcome.version, outcome.state);
    };
    this.readRow(row, new NameOf(done), this.nowMs() + PHASE_TIMEOUT_MS);
  }

  // --- large collections -------------------------------------------------------------------------------------------

  /** Runs changes on `value`; one against this node's copy only while that is the version it is told against. */
  private runChanges(
    row: RowName,
    tasks: readonly RowTask[],
    value: Uint8Array | undefined,
    ballot: Version,
  ): ReturnType<typeof runTasks> | 'later' | 'moved' {
    const whole: Whole = (state) => this.owner.whole(row, state);
    if (!isDelta(value)) return runTasks(tasks, value, ballot, whole);
    const held = this.owner.held(row);
    if (held === undefined || !equalVersions(held.version, baseOf(value))) return 'moved';
    try {
      return runTasks(tasks, held.value, ballot, whole);
    } catch (thrown) {
      if (!(thrown instanceof Miss) && !(thrown instanceof EngineError)) throw thrown;
      const loaded = (): void => this.carryOut(this.register.step({ kind: 'loaded', row }, this.nowMs()));
      // What cannot be read is tried again until those who wait give up; commands say it themselves.
      if (thrown instanceof Miss) thrown.load().then(loaded, loaded);
      return 'later';
    }
  }

  /** An owner wants the proposal of an attempt whole: it is told from this node's copy, if that has it. */
  private sendWhole(attempt: number, to: MemberId, request: AcceptRequest<Uint8Array>): void {
    const { row, ballot, next } = request;
    this.deliver(this.view.self, { kind: 'read', row, digest: false }, priority.CLIENT, (answer) => {
      const isThere = answer.kind === 'held' && equalVersions(answer.version, ballot) && isSendable(answer.value);
      // It took nothing and is sent nothing.
      if (!isThere) this.answeredChange(attempt, to, request, UNSENT);
      else if (this.register.isUnderWay(attempt)) {
        this.askForChange(attempt, to, { kind: 'accept', row, ballot, value: answer.value, next });
      } else this.missed.late(to, row);
    });
  }

  /** A quorum holds this version of a large collection: the reader is given this node's copy, if it is that. */
  private foundDelta({ row, version, value }: ReadDone, reader: ReadTask): void {
    if (reader.light?.anyCopy === true) {
      reader.found(version, value);
      return;
    }
    if (!this.showCopy(row, version, reader)) reader.light?.elsewhere();
  }

  /** Gives the reader this node's copy of a large collection; false: it is not of that version. Requires: a light reader. */
  showCopy(row: RowName, version: Version, reader: ReadTask): boolean {
    const held = this.owner.held(row);
    if (held === undefined || !equalVersions(held.version, version)) return false;
    try {
      reader.found(version, held.value);
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      const again = (): void => reader.light?.again();
      thrown.load().then(again, again);
    }
    return true;
  }

  /** Delivers a hint, after clients' work; that of a large collection is only its name (row-catch-up.ts). */
  deliverHint(
    to: MemberId,
    request: AcceptRequest<Uint8Array>,
    answered: (answer: OwnerAnswer<Uint8Array>) => void,
  ): void {
    if (!isDelta(request.value)) this.deliver(to, request, priority.REPAIR, answered);
    else if (this.isClosed) answered(REFUSED);
    else this.catchUp.deliver(to, request.row, answered);
  }

  /**
   * Puts one request to one owner, this node included; `answered` is called at most once, perhaps at once. For whoever
   * delivers states besides changes: hints, repair, levels below quorum.
   */
  deliver(
    to: MemberId,
    request: OwnerRequest<Uint8Array>,
    level: Priority,
    answered: (answer: OwnerAnswer<Uint8Array>) => void,
  ): void {
    this.asks.ask(to, request, level, answered);
  }

  // --- time --------------------------------------------------------------------------------------------------------

  private wakeInTime(): void {
    const wantedMs = Math.min(this.register.wakeAtMs, this.reads.wakeAtMs);
    if (wantedMs >= this.timerAtMs || this.isClosed) return;
    this.wakeAt(wantedMs);
  }

  private wakeAt(atMs: number): void {
    this.timer?.cancel();
    this.timerAtMs = atMs;
    this.timer = this.env.timers.after(Math.max(0, Math.ceil(atMs - this.nowMs())), this.onTimer);
  }

  private readonly onTimer = (): void => {
    this.timer = undefined;
    this.timerAtMs = Number.POSITIVE_INFINITY;
    if (this.isClosed) return;
    const nowMs = this.nowMs();
    if (this.register.wakeAtMs <= nowMs) this.carryOut(this.register.step({ kind: 'wake' }, nowMs));
    if (this.reads.wakeAtMs <= nowMs) this.carryOutRead(this.reads.step({ kind: 'wake' }, nowMs), nowMs);
    if (this.early.length > 0) this.startEarly(nowMs);
    this.wakeInTime();
  };

  /** Calls `start` once `isReady`, or `overdue` at the deadline, or at once where too many wait. */
  whenReady(deadlineMs: number, start: () => void, overdue: () => void): void {
    if (this.isClosed) return;
    if (this.early.length >= MAX_CHANGES) {
      overdue();
      return;
    }
    this.early.push({ deadlineMs, start, overdue });
    const wantedMs = this.nowMs() + READY_POLL_MS;
    if (wantedMs < this.timerAtMs) this.wakeAt(wantedMs);
  }

  private startEarly(nowMs: number): void {
    const waiting = this.early;
    this.early = [];
    for (const each of waiting) {
      if (this.isReady) each.start();
      else if (each.deadlineMs <= nowMs) each.overdue();
      else this.early.push(each);
    }
    if (this.early.length > 0 && nowMs + READY_POLL_MS < this.timerAtMs) this.wakeAt(nowMs + READY_POLL_MS);
  }
}

/** A flush mark must be above every version of its slot: its ballot is always a fresh one. */
class RowBallots extends BallotCache {
  override put(row: RowName, cached: CachedBallot): void {
    if (!isMarkRow(row)) super.put(row, cached);
  }
}

function ignored(): void {
  return;
}
