/**
 * The coordinator of changes: every row is a register on its owners (design, section 6; CASPaxos, Rystsov 2018).
 *
 * ```
 * change(row, f)   PREPARE(B) at a majority → take the value with the highest version → run f
 *                  → ACCEPT(B, f(value), next ballot) at a majority → reply
 * ```
 *
 * While the row's next ballot is cached and the own copy is the version it was promised with, PREPARE is left out.
 * Changes that arrive while one is under way wait, and all that wait go into one ACCEPT.
 *
 * A pure state machine: `step(event, nowMs)` returns effects; time, chance, the clock and the local copies are handed
 * in. Its owner sends `ask` effects (to itself too) and brings the answers back as events.
 *
 * Invariants:
 * - At most one attempt is under way for a row; an answer to any other attempt is ignored.
 * - A ballot is used for one ACCEPT at most. It is taken out of the cache before it is used, and put back only when
 *   nothing was sent with it, since what the handlers want to read had to be brought in first (`later`).
 * - A proposal may be told against the version that it is built on (row-delta.ts): an owner that holds another one answers
 *   `need`, and is sent the same proposal whole, once (effect `whole`). Until then, and where that cannot be done, what
 *   becomes of it there is unknown.
 * - f runs again only when no owner can ever take what an earlier run proposed: in PREPARE nothing was proposed, and
 *   after an ACCEPT only if every owner refused it for good. Else a change that has no majority is `uncertain`.
 * - A change is answered once, at the latest one phase after its deadline.
 *
 * Requires: a request is delivered at most once (the bus sends a frame on one connection only and never again). An
 * owner that had taken a first copy and was overwritten since would refuse the second one, and "all refused" would be
 * wrong.
 */

import { assert } from '../assert.ts';
import type { MemberId } from '../cluster/member.ts';
import { BallotCache, type CachedBallot } from './ballot-cache.ts';
import { STAMPS_PER_MS } from './hlc.ts';
import {
  isMarkRow,
  slotOfRow,
  type AcceptRequest,
  type OwnerAnswer,
  type OwnerRequest,
  type RowName,
} from './owner-message.ts';
import { tallyOf, type Tally } from './quorum.ts';
import type { Owners } from '../cluster/owners.ts';
import { EngineError } from '../engine/engine-error.ts';
import { compareVersions, equalVersions, ZERO_VERSION, type Version } from './version.ts';

/** How long one phase waits for a quorum. An owner that answers later than this is as good as gone. */
export const PHASE_TIMEOUT_MS = 1_000;

/** Changes in one ACCEPT: bounds the turn in which their handlers run. */
export const MAX_BATCH = 256;

/** Changes that wait or run at this coordinator; beyond it they are refused before anything is sent. */
export const MAX_CHANGES = 100_000;

/**
 * How often it is looked whose time has come, while anything is under way. A timer of its own for each attempt would
 * outlive it by far and keep all it holds in memory: at 60,000 changes a second that was the greater part of the cost.
 */
export const REGISTER_TICK_MS = 4;

/** First wait after a refused attempt: about one round trip within a data centre. It doubles up to the longest. */
export const BACKOFF_MS = 1;
export const MAX_BACKOFF_MS = 64;

/** How far ahead of its clock the ballot of a flush mark goes at most: well below what others refuse. */
export const MAX_MARK_AHEAD_MS = 64;

/** A row as this node holds it. */
export interface Held<V> {
  readonly version: Version;
  readonly value: V | undefined;
}

/** What the core is told about the node around it. All are plain look-ups. */
export interface RegisterWorld<V, C, R> {
  /** Node and incarnation, part of every ballot. */
  readonly actor: number;
  readonly clock: {
    /**
     * A stamp above all given and observed before. Throws an `EngineError` `refused` when there are none at the moment:
     * whoever waits waits on.
     */
    next(): number;
    /** See `BallotClock`. */
    observe(stamp: number): boolean;
  };
  /** Uniform in [0, 1). */
  random(): number;
  owners(slot: number): Owners;
  /**
   * Whether a majority of these owners, which have promised, may be asked to accept: they are the slot's owners still, or
   * a request tells by its epoch who was meant.
   */
  mayAccept(slot: number, owners: Owners): boolean;
  /** This node's own copy, when it is an owner and the row is in memory. */
  held(row: RowName): Held<V> | undefined;
  /**
   * Runs the handlers of these changes one after another on `value`, which has the version `built`; the result will have
   * version `ballot`. `later`: not
   * before something was brought in, of which the event `loaded` tells; nothing has happened. `moved`: `value` is told
   * against a version that this node does not hold any more.
   */
  run(
    row: RowName,
    changes: readonly C[],
    value: V | undefined,
    ballot: Version,
    built: Version,
  ): Result<V, R> | 'later' | 'moved';
}

export interface Result<V, R> {
  readonly value: V | undefined;
  /** One for each change. */
  readonly replies: readonly R[];
}

export type ChangeOutcome<R> =
  | { readonly kind: 'done'; readonly reply: R; readonly version: Version }
  /** No quorum before the deadline; nothing happened. */
  | { readonly kind: 'no-quorum' }
  /** It may have happened or may yet happen; it is never sent again. */
  | { readonly kind: 'uncertain' }
  /** Too many changes wait here; nothing happened. */
  | { readonly kind: 'overloaded' };

export type RegisterEvent<V, C> =
  | { readonly kind: 'submit'; readonly row: RowName; readonly change: C; readonly deadlineMs: number }
  | {
      readonly kind: 'answer';
      readonly attempt: number;
      readonly from: MemberId;
      readonly answer: OwnerAnswer<V>;
    }
  /** What the handlers of the row's changes wanted to read is there. */
  | { readonly kind: 'loaded'; readonly row: RowName }
  /** `wakeAtMs` has come. */
  | { readonly kind: 'wake' };

export type RegisterEffect<V, C, R> =
  /** As `ask`, with the value whole; if that cannot be told any more, the answer is `unable`. */
  | { readonly kind: 'whole'; readonly attempt: number; readonly to: MemberId; readonly request: AcceptRequest<V> }
  | { readonly kind: 'ask'; readonly attempt: number; readonly to: MemberId; readonly request: OwnerRequest<V> }
  | { readonly kind: 'reply'; readonly change: C; readonly outcome: ChangeOutcome<R> }
  /** `from` knows a newer topology. */
  | { readonly kind: 'learn'; readonly from: MemberId; readonly epoch: number };

export interface RegisterLimits {
  readonly phaseTimeoutMs: number;
  readonly maxBatch: number;
  readonly maxChanges: number;
  readonly tickMs: number;
}

const DEFAULT_LIMITS: RegisterLimits = {
  phaseTimeoutMs: PHASE_TIMEOUT_MS,
  maxBatch: MAX_BATCH,
  maxChanges: MAX_CHANGES,
  tickMs: REGISTER_TICK_MS,
};

interface Waiting<C> {
  readonly change: C;
  readonly deadlineMs: number;
}

/** One attempt: a ballot, a question put to all owners, and what they have answered so far (masks of `tally`). */
export interface Attempt<V, R> {
  readonly id: number;
  readonly phase: 'prepare' | 'accept';
  readonly ballot: Version;
  readonly owners: Owners;
  readonly tally: Tally;
  /** The own copy when the attempt began. */
  readonly local: Held<V> | undefined;
  /** ACCEPT: the version that is built on. */
  readonly before: Version;
  yes: number;
  /** Refused for good. */
  refused: number;
  /** Refused for now: what becomes of the request is unknown. */
  unable: number;
  /** Has been sent the proposal whole, since it wanted that. */
  needed: number;
  conflictSeen: boolean;
  /** PREPARE: the highest version that was answered. */
  best: Held<V>;
  /** ACCEPT: what is being proposed, and the next ballot. */
  readonly result: Result<V, R> | undefined;
  readonly next: Version;
}

/** The work on one row. */
export class RowWork<V, C, R> {
  readonly row: RowName;
  waiting: Waiting<C>[];
  batch: Waiting<C>[] = [];
  attempt: Attempt<V, R> | undefined = undefined;
  /** When the attempt has failed, or the wait before the next one is over. */
  dueMs = 0;
  /** Nothing is under way before what its handlers want to read is there. */
  isLoading = false;
  /** Refused attempts in a row. */
  tries = 0;

  constructor(row: RowName, first: Waiting<C>) {
    this.row = row;
    this.waiting = [first];
  }
}

export class RegisterCore<V, C, R> {
  protected readonly ballots: BallotCache;
  private readonly world: RegisterWorld<V, C, R>;
  private readonly limits: RegisterLimits;
  private readonly rows = new Map<RowName, RowWork<V, C, R>>();
  private readonly attempts = new Map<number, RowWork<V, C, R>>();
  /** Infinity when nothing is under way. */
  private nextTickMs = Number.POSITIVE_INFINITY;
  private lastId = 0;
  private changes = 0;
  private effects: RegisterEffect<V, C, R>[] = [];

  constructor(options: { world: RegisterWorld<V, C, R>; limits?: Partial<RegisterLimits>; ballots?: BallotCache }) {
    this.world = options.world;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.ballots = options.ballots ?? new BallotCache();
  }

  /** Changes not answered yet. */
  get pending(): number {
    return this.changes;
  }

  /** When `step({ kind: 'wake' })` is wanted next; Infinity when nothing is under way. */
  get wakeAtMs(): number {
    return this.nextTickMs;
  }

  /** Whether changes of the row are under way or wait. */
  isAtWork(row: RowName): boolean {
    return this.rows.has(row);
  }

  /** Whether answers to this attempt still matter. */
  isUnderWay(attempt: number): boolean {
    return this.attempts.has(attempt);
  }

  /** `nowMs`: monotonic milliseconds. The returned effects belong to the caller. */
  step(event: RegisterEvent<V, C>, nowMs: number): RegisterEffect<V, C, R>[] {
    switch (event.kind) {
      case 'submit':
        this.submit(event.row, { change: event.change, deadlineMs: event.deadlineMs }, nowMs);
        break;
      case 'answer': {
        const work = this.attempts.get(event.attempt);
        if (work !== undefined) this.take(work, work.attempt as Attempt<V, R>, event.from, event.answer, nowMs);
        break;
      }
      case 'loaded': {
        const work = this.rows.get(event.row);
        if (work?.isLoading === true) this.begin(work, nowMs);
        break;
      }
      case 'wake':
        this.wake(nowMs);
        break;
    }
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  // --- what the mutants of test/sim/cluster/mutants.ts break -------------------------------------------------------

  /** Nothing of a failed ACCEPT is left or will come about: every owner has refused it for good. */
  protected leftNoTrace(attempt: Attempt<V, R>): boolean {
    return attempt.tally.isAll(attempt.refused);
  }

  /** Whether the promised ballot may be kept: a refusal tells of another coordinator at work. */
  protected mayCache(attempt: Attempt<V, R>): boolean {
    return !attempt.conflictSeen;
  }

  /**
   * Whether those who were asked for promises may be asked to accept. A majority of former owners is no quorum any more,
   * and a request that carries the epoch of their successors would be taken by those who stayed.
   */
  protected mayAccept(work: RowWork<V, C, R>, attempt: Attempt<V, R>): boolean {
    return this.world.mayAccept(slotOfRow(work.row), attempt.owners);
  }

  /** The state to build on: of two answers the one with the higher version. */
  protected choose(best: Held<V>, answered: Held<V>): Held<V> {
    return compareVersions(answered.version, best.version) > 0 ? answered : best;
  }

  /** An ACCEPT has failed with an unknown outcome. Its ballot must not be used again. */
  protected abandon(_work: RowWork<V, C, R>, _attempt: Attempt<V, R>): void {
    return;
  }

  // --- events ------------------------------------------------------------------------------------------------------

  private submit(row: RowName, waiting: Waiting<C>, nowMs: number): void {
    if (this.changes >= this.limits.maxChanges) {
      this.effects.push({ kind: 'reply', change: waiting.change, outcome: { kind: 'overloaded' } });
      return;
    }
    this.changes++;
    let work = this.rows.get(row);
    if (work !== undefined) {
      work.waiting.push(waiting);
      return;
    }
    work = new RowWork(row, waiting);
    this.rows.set(row, work);
    if (this.nextTickMs === Number.POSITIVE_INFINITY) this.nextTickMs = nowMs + this.limits.tickMs;
    this.begin(work, nowMs);
  }

  private take(
    work: RowWork<V, C, R>,
    attempt: Attempt<V, R>,
    from: MemberId,
    answer: OwnerAnswer<V>,
    nowMs: number,
  ): void {
    const bit = attempt.tally.bitOf(from);
    if (bit === 0 || ((attempt.yes | attempt.refused | attempt.unable) & bit) !== 0) return;
    switch (answer.kind) {
      case 'promised':
        if (attempt.phase !== 'prepare') return;
        attempt.yes |= bit;
        attempt.best = this.choose(attempt.best, this.answered(attempt, answer));
        break;
      case 'accepted':
        if (attempt.phase !== 'accept') return;
        attempt.yes |= bit;
        break;
      case 'conflict':
        attempt.refused |= bit;
        attempt.conflictSeen = true;
        this.world.clock.observe(answer.max.stamp);
        break;
      case 'stale':
        attempt.refused |= bit;
        this.effects.push({ kind: 'learn', from, epoch: answer.epoch });
        break;
      case 'unsent':
        attempt.refused |= bit;
        break;
      case 'need':
        if (attempt.phase !== 'accept') return;
        if ((attempt.needed & bit) === 0) {
          this.sendWhole(work, attempt, from, bit);
          return;
        }
        attempt.unable |= bit;
        break;
      case 'unable':
        attempt.unable |= bit;
        break;
      case 'held':
        return;
    }
    if (attempt.phase === 'prepare') this.judgePrepare(work, attempt, nowMs);
    else this.judgeAccept(work, attempt, nowMs);
  }

  private sendWhole(work: RowWork<V, C, R>, attempt: Attempt<V, R>, to: MemberId, bit: number): void {
    attempt.needed |= bit;
    const { ballot, next, result } = attempt;
    const request = { kind: 'accept', row: work.row, ballot, value: result?.value, next } as const;
    this.effects.push({ kind: 'whole', attempt: attempt.id, to, request });
  }

  private answered(attempt: Attempt<V, R>, answer: { version: Version; value: V | undefined }): Held<V> {
    const local = attempt.local;
    if (local !== undefined && equalVersions(local.version, answer.version)) return local;
    return answer;
  }

  private wake(nowMs: number): void {
    if (nowMs < this.nextTickMs) return;
    for (const work of this.rows.values()) {
      if (work.dueMs > nowMs) continue;
      const attempt = work.attempt;
      if (attempt?.phase === 'accept') this.fail(work, attempt, nowMs);
      else this.begin(work, nowMs);
    }
    this.nextTickMs = this.rows.size > 0 ? nowMs + this.limits.tickMs : Number.POSITIVE_INFINITY;
  }

  // --- phases ------------------------------------------------------------------------------------------------------

  /** Starts the next attempt of a row, or ends its work when nobody waits. */
  private begin(work: RowWork<V, C, R>, nowMs: number): void {
    this.end(work);
    work.isLoading = false;
    this.dropOverdue(work, nowMs);
    if (work.waiting.length === 0) {
      this.rows.delete(work.row);
      return;
    }
    const owners = this.world.owners(slotOfRow(work.row));
    const local = this.world.held(work.row);
    const cached = this.ballots.take(work.row, owners, nowMs);
    if (cached !== undefined && local !== undefined && equalVersions(local.version, cached.version)) {
      this.startAccept(work, owners, cached, local, nowMs);
    } else {
      this.startPrepare(work, owners, local, nowMs);
    }
  }

  private startPrepare(work: RowWork<V, C, R>, owners: Owners, local: Held<V> | undefined, nowMs: number): void {
    if (work.tries > 0 && isMarkRow(work.row)) this.goAhead(work.tries);
    const ballot = this.newBallot();
    if (ballot === undefined) {
      this.rest(work, nowMs);
      return;
    }
    const attempt = this.newAttempt('prepare', ballot, owners, { local, next: ballot });
    const have = local?.version ?? ZERO_VERSION;
    let dueMs = nowMs + this.limits.phaseTimeoutMs;
    for (const waiting of work.waiting) if (waiting.deadlineMs < dueMs) dueMs = waiting.deadlineMs;
    this.ask(work, attempt, { kind: 'prepare', row: work.row, ballot, have }, dueMs);
  }

  private judgePrepare(work: RowWork<V, C, R>, attempt: Attempt<V, R>, nowMs: number): void {
    if (attempt.tally.isQuorum(attempt.yes)) {
      if (!this.mayAccept(work, attempt)) {
        this.begin(work, nowMs);
        return;
      }
      this.end(work);
      this.startAccept(work, attempt.owners, { ballot: attempt.ballot, sinceMs: nowMs }, attempt.best, nowMs);
    } else if (attempt.tally.isHopeless(attempt.refused | attempt.unable)) {
      this.rest(work, nowMs);
    }
  }

  /** Runs what waits and proposes the result. Requires: a majority has promised `ballot` and holds `held`. */
  private startAccept(
    work: RowWork<V, C, R>,
    owners: Owners,
    { ballot, sinceMs }: Pick<CachedBallot, 'ballot' | 'sinceMs'>,
    held: Held<V>,
    nowMs: number,
  ): void {
    const next = this.newBallot();
    if (next === undefined) {
      this.rest(work, nowMs);
      return;
    }
    if (work.waiting.length <= this.limits.maxBatch) {
      work.batch = work.waiting;
      work.waiting = [];
    } else work.batch = work.waiting.splice(0, this.limits.maxBatch);
    const changes = work.batch.map((waiting) => waiting.change);
    const result = this.world.run(work.row, changes, held.value, ballot, held.version);
    if (result === 'later' || result === 'moved') {
      work.waiting = [...work.batch, ...work.waiting];
      work.batch = [];
      if (result === 'moved') this.rest(work, nowMs);
      else this.load(work, { ballot, version: held.version, owners, sinceMs }, nowMs);
      return;
    }
    assert(result.replies.length === changes.length, 'one reply for each change');
    assert(compareVersions(next, ballot) > 0, 'ballots of this node only grow');
    const attempt = this.newAttempt('accept', ballot, owners, { next, result, before: held.version });
    const request = { kind: 'accept', row: work.row, ballot, value: result.value, next } as const;
    this.ask(work, attempt, request, nowMs + this.limits.phaseTimeoutMs);
  }

  /** Waits for `loaded`; what was promised is not used up. */
  private load(work: RowWork<V, C, R>, promised: CachedBallot, nowMs: number): void {
    this.ballots.put(work.row, promised);
    work.isLoading = true;
    work.dueMs = nowMs + this.limits.phaseTimeoutMs;
  }

  private judgeAccept(work: RowWork<V, C, R>, attempt: Attempt<V, R>, nowMs: number): void {
    const { tally } = attempt;
    if (tally.isQuorum(attempt.yes)) this.succeed(work, attempt, nowMs);
    else if (tally.isAll(attempt.yes | attempt.refused | attempt.unable)) this.fail(work, attempt, nowMs);
  }

  private succeed(work: RowWork<V, C, R>, attempt: Attempt<V, R>, nowMs: number): void {
    const { batch } = work;
    const replies = (attempt.result as Result<V, R>).replies;
    work.batch = [];
    work.tries = 0;
    for (let i = 0; i < batch.length; i++) {
      const outcome = { kind: 'done', reply: replies[i] as R, version: attempt.ballot } as const;
      this.reply(batch[i] as Waiting<C>, outcome);
    }
    if (this.mayCache(attempt)) {
      const { next: ballot, ballot: version, owners } = attempt;
      this.ballots.put(work.row, { ballot, version, owners, sinceMs: nowMs });
    }
    this.begin(work, nowMs);
  }

  private fail(work: RowWork<V, C, R>, attempt: Attempt<V, R>, nowMs: number): void {
    if (this.leftNoTrace(attempt)) {
      work.waiting = [...work.batch, ...work.waiting];
      work.batch = [];
      this.rest(work, nowMs);
      return;
    }
    this.abandon(work, attempt);
    const batch = work.batch;
    work.batch = [];
    for (const waiting of batch) this.reply(waiting, { kind: 'uncertain' });
    this.begin(work, nowMs);
  }

  /** Waits a while before the next attempt, longer each time and never the same, so that one coordinator gets through. */
  private rest(work: RowWork<V, C, R>, nowMs: number): void {
    this.end(work);
    work.dueMs = nowMs + backoffMs(work.tries++, this.world.random());
  }

  // --- parts -------------------------------------------------------------------------------------------------------

  /** undefined: there are no stamps at the moment, since the disk does not take the clock's next ceiling. */
  private newBallot(): Version | undefined {
    try {
      return { stamp: this.world.clock.next(), actor: this.world.actor };
    } catch (error) {
      if (error instanceof EngineError && error.code === 'refused') return undefined;
      throw error;
    }
  }

  /**
   * A flush mark must be above all that its slot's rows are promised while it is on its way, by clocks that may be ahead
   * of this one: after each refusal the ballots of this node go further ahead.
   */
  private goAhead(tries: number): void {
    const from = this.newBallot();
    if (from === undefined) return;
    this.world.clock.observe(from.stamp + Math.min(MAX_MARK_AHEAD_MS, 2 ** Math.min(tries, 20)) * STAMPS_PER_MS);
  }

  private newAttempt(
    phase: 'prepare' | 'accept',
    ballot: Version,
    owners: Owners,
    rest: { local?: Held<V> | undefined; result?: Result<V, R>; before?: Version; next: Version },
  ): Attempt<V, R> {
    return {
      id: ++this.lastId,
      phase,
      ballot,
      owners,
      tally: tallyOf(owners),
      local: rest.local,
      before: rest.before ?? ZERO_VERSION,
      yes: 0,
      refused: 0,
      unable: 0,
      needed: 0,
      conflictSeen: false,
      best: { version: ZERO_VERSION, value: undefined },
      result: rest.result,
      next: rest.next,
    };
  }

  private ask(work: RowWork<V, C, R>, attempt: Attempt<V, R>, request: OwnerRequest<V>, dueMs: number): void {
    work.attempt = attempt;
    this.attempts.set(attempt.id, work);
    work.dueMs = dueMs;
    for (const to of attempt.tally.members) this.effects.push({ kind: 'ask', attempt: attempt.id, to, request });
  }

  private end(work: RowWork<V, C, R>): void {
    if (work.attempt === undefined) return;
    this.attempts.delete(work.attempt.id);
    work.attempt = undefined;
  }

  private dropOverdue(work: RowWork<V, C, R>, nowMs: number): void {
    let late = 0;
    for (const waiting of work.waiting) if (waiting.deadlineMs <= nowMs) late++;
    if (late === 0) return;
    const all = work.waiting;
    work.waiting = all.filter((waiting) => waiting.deadlineMs > nowMs);
    for (const waiting of all) if (waiting.deadlineMs <= nowMs) this.reply(waiting, { kind: 'no-quorum' });
  }

  private reply(waiting: Waiting<C>, outcome: ChangeOutcome<R>): void {
    this.changes--;
    this.effects.push({ kind: 'reply', change: waiting.change, outcome });
  }
}

/** Wait before attempt `tries` + 1; `chance` in [0, 1) spreads it over half to one and a half of the mean. */
export function backoffMs(tries: number, chance: number): number {
  return Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** Math.min(tries, 20)) * (0.5 + chance);
}
