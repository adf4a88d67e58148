/**
 * The coordinator of reads at level `quorum` (design, section 6).
 *
 * If a majority of the owners reports the same highest version, that version is chosen and its state is the answer.
 * Otherwise a change that changes nothing decides what the row is (`settle`). Returning the highest version without a
 * majority for it is not linearizable: it may never be chosen, and the next reader may not see it.
 *
 * Only as many owners as a quorum needs are asked at first, the whole row of the best one and a digest (the version)
 * of the others. The rest are asked as soon as one cannot answer, two disagree, or the hedging delay has passed (Dean
 * and Barroso, "The Tail at Scale", 2013).
 *
 * A pure state machine: `step(event, nowMs)` returns effects.
 *
 * Invariants: a read is answered once; `done` is only said of a version that a quorum was seen to hold; `repair` only
 * carries such a version, with the state that was read for it.
 */

import { AssertionError, must } from '../assert.ts';
import type { MemberId } from '../cluster/member.ts';
import { slotOfRow, type AcceptRequest, type OwnerAnswer, type ReadRequest, type RowName } from './owner-message.ts';
import { bitCount, tallyOf, type Tally } from './quorum.ts';
import type { Owners } from '../cluster/owners.ts';
import type { Held } from './register-core.ts';
import { compareVersions, equalVersions, ZERO_VERSION, type Version } from './version.ts';

/** Reads under way at this coordinator; beyond it they fail before anything is sent. */
export const MAX_READS = 100_000;

/** Wait before owners are asked again after too few could answer. */
export const READ_RETRY_MS = 10;

/** Longest wait for a quorum of answers before it is asked again. */
export const READ_PHASE_TIMEOUT_MS = 1_000;

/** How often it is looked whose time has come, while reads are under way; see `REGISTER_TICK_MS`. */
export const READ_TICK_MS = 2;

export interface ReadWorld {
  owners(slot: number): Owners;
  /** The owners of a slot, the one to ask first first: this node, then the healthy and quick ones. */
  rank(members: readonly MemberId[]): readonly MemberId[];
  /** How long an answer may take before others are asked too: the usual 99th percentile of these owners. */
  hedgeAfterMs(members: readonly MemberId[]): number;
}

export type ReadEvent<V> =
  | {
      readonly kind: 'start';
      readonly id: number;
      readonly row: RowName;
      readonly deadlineMs: number;
      /** As in `ReadRequest`. */
      readonly light?: boolean;
    }
  | { readonly kind: 'answer'; readonly attempt: number; readonly from: MemberId; readonly answer: OwnerAnswer<V> }
  | { readonly kind: 'wake' };

export type ReadEffect<V> =
  | { readonly kind: 'ask'; readonly attempt: number; readonly to: MemberId; readonly request: ReadRequest }
  /** The row's state is `value`, which has this version. */
  | {
      readonly kind: 'done';
      readonly id: number;
      readonly row: RowName;
      readonly version: Version;
      readonly value: V | undefined;
    }
  /** Run a change of the row that changes nothing, and answer with what it finds. */
  | { readonly kind: 'settle'; readonly id: number; readonly row: RowName; readonly deadlineMs: number }
  /** No quorum before the deadline. */
  | { readonly kind: 'fail'; readonly id: number; readonly reason: 'no-quorum' | 'overloaded' }
  /** Deliver a chosen version to an owner that has an older one. */
  | { readonly kind: 'repair'; readonly to: MemberId; readonly request: AcceptRequest<V> }
  | { readonly kind: 'learn'; readonly from: MemberId; readonly epoch: number };

/** One read. */
export class ReadWork<V> {
  readonly id: number;
  readonly row: RowName;
  readonly deadlineMs: number;
  readonly light: boolean;
  /**
   * `quorum`: as many as needed were asked; `all`: everybody was; `others`: a quorum has answered without agreement;
   * `rest`: waiting to try again.
   */
  phase: 'quorum' | 'all' | 'others' | 'rest' = 'quorum';
  /** Which answers are meant for the present round; others are void. */
  attempt = 0;
  /** When this phase is over. */
  dueMs = 0;
  tally: Tally;
  ranked: readonly MemberId[] = [];
  /** How many of `ranked` were asked. */
  asked = 0;
  /** Members that were asked for the version only (mask of `tally`). */
  digests = 0;
  /** First answer of each of the members of `tally` in this round, in their order, and who has given one (mask). */
  readonly seen: (Held<V> | undefined)[] = [];
  seenMask = 0;
  /** Members that could not answer (mask). */
  failed = 0;

  constructor(options: { id: number; row: RowName; deadlineMs: number; light: boolean; tally: Tally }) {
    const { id, row, deadlineMs, light, tally } = options;
    this.id = id;
    this.row = row;
    this.deadlineMs = deadlineMs;
    this.light = light;
    this.tally = tally;
  }
}

export class ReadCore<V> {
  private readonly world: ReadWorld;
  private readonly maxReads: number;
  /** Every read under way, by the number of its present round. */
  private readonly attempts = new Map<number, ReadWork<V>>();
  private readonly tickMs: number;
  /** Infinity when nothing is under way. */
  private nextTickMs = Number.POSITIVE_INFINITY;
  private lastId = 0;
  private effects: ReadEffect<V>[] = [];
  /** Of orders of owners; an order stands for a while. */
  private readonly firstRounds = new WeakMap<readonly MemberId[], FirstRound>();

  constructor(options: { world: ReadWorld; maxReads?: number; tickMs?: number }) {
    this.world = options.world;
    this.maxReads = options.maxReads ?? MAX_READS;
    this.tickMs = options.tickMs ?? READ_TICK_MS;
  }

  /** Reads not answered yet. */
  get pending(): number {
    return this.attempts.size;
  }

  /** When `step({ kind: 'wake' })` is wanted next; Infinity when nothing is under way. */
  get wakeAtMs(): number {
    return this.nextTickMs;
  }

  /** `nowMs`: monotonic milliseconds. The returned effects belong to the caller. */
  step(event: ReadEvent<V>, nowMs: number): ReadEffect<V>[] {
    switch (event.kind) {
      case 'start':
        this.start(event, nowMs);
        break;
      case 'answer': {
        const work = this.attempts.get(event.attempt);
        if (work !== undefined) this.take(work, event.from, event.answer, nowMs);
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

  /** The version that is known chosen from the answers so far: the highest one, if a quorum holds it. */
  protected chosen(work: ReadWork<V>): Version | undefined {
    let highest = ZERO_VERSION;
    let mask = 0;
    const { seen } = work;
    for (let place = 0; place < seen.length; place++) {
      const held = seen[place];
      if (held === undefined) continue;
      const order = compareVersions(held.version, highest);
      if (order > 0) {
        highest = held.version;
        mask = 0;
      }
      if (order >= 0) mask |= 1 << place;
    }
    return work.tally.isQuorum(mask) ? highest : undefined;
  }

  // --- events ------------------------------------------------------------------------------------------------------

  private start(event: Extract<ReadEvent<V>, { kind: 'start' }>, nowMs: number): void {
    const { id, row, deadlineMs, light = false } = event;
    if (this.attempts.size >= this.maxReads) {
      this.effects.push({ kind: 'fail', id, reason: 'overloaded' });
      return;
    }
    if (this.nextTickMs === Number.POSITIVE_INFINITY) this.nextTickMs = nowMs + this.tickMs;
    const tally = tallyOf(this.world.owners(slotOfRow(row)));
    this.begin(new ReadWork({ id, row, deadlineMs, light, tally }), nowMs);
  }

  private take(work: ReadWork<V>, from: MemberId, answer: OwnerAnswer<V>, nowMs: number): void {
    const place = work.tally.placeOf(from);
    if (place < 0) return;
    const bit = 1 << place;
    if (((work.failed | work.seenMask) & bit) !== 0) return;
    if (answer.kind === 'held') {
      work.seen[place] = answer;
      work.seenMask |= bit;
    } else work.failed |= bit;
    if (answer.kind === 'stale') this.effects.push({ kind: 'learn', from, epoch: answer.epoch });
    this.judge(work, nowMs);
  }

  private wake(nowMs: number): void {
    if (nowMs < this.nextTickMs) return;
    for (const work of this.attempts.values()) {
      if (work.dueMs > nowMs) continue;
      if (work.phase === 'quorum') this.askAll(work, nowMs);
      else if (work.phase === 'rest') this.begin(work, nowMs);
      else this.conclude(work, nowMs);
    }
    this.nextTickMs = this.attempts.size > 0 ? nowMs + this.tickMs : Number.POSITIVE_INFINITY;
  }

  // --- decisions ---------------------------------------------------------------------------------------------------

  /** A new round: asks as many owners as a quorum needs. */
  private begin(work: ReadWork<V>, nowMs: number): void {
    this.attempts.delete(work.attempt);
    if (work.deadlineMs <= nowMs) {
      this.finish(work, { kind: 'fail', id: work.id, reason: 'no-quorum' });
      return;
    }
    work.phase = 'quorum';
    work.attempt = ++this.lastId;
    this.attempts.set(work.attempt, work);
    const tally = tallyOf(this.world.owners(slotOfRow(work.row)));
    work.tally = tally;
    work.ranked = this.world.rank(tally.members);
    work.seen.length = 0;
    for (let place = 0; place < tally.members.length; place++) work.seen.push(undefined);
    work.seenMask = 0;
    work.failed = 0;
    const { members, digests } = this.firstRoundOf(tally, work.ranked);
    work.asked = 0;
    work.digests = digests;
    while (work.asked < members.length) this.askNext(work);
    work.dueMs = nowMs + this.world.hedgeAfterMs(members);
  }

  private firstRoundOf(tally: Tally, ranked: readonly MemberId[]): FirstRound {
    let round = this.firstRounds.get(ranked);
    if (round === undefined) this.firstRounds.set(ranked, (round = firstRound(tally, ranked)));
    return round;
  }

  private judge(work: ReadWork<V>, nowMs: number): void {
    const version = this.chosen(work);
    if (version !== undefined) {
      this.deliver(work, version);
      return;
    }
    const answered = bitCount(work.seenMask | work.failed);
    if (work.phase === 'quorum' && (work.failed !== 0 || answered === work.asked)) this.askAll(work, nowMs);
    else if (work.phase !== 'rest' && answered === work.ranked.length) this.conclude(work, nowMs);
    else if (work.phase === 'all' && work.tally.isQuorum(work.seenMask)) this.awaitOthers(work, nowMs);
  }

  /** Enough have answered but they disagree: the others may tip the scales, if they are quick. */
  private awaitOthers(work: ReadWork<V>, nowMs: number): void {
    work.phase = 'others';
    work.dueMs = Math.min(work.deadlineMs, nowMs + this.world.hedgeAfterMs(work.ranked));
  }

  /** Answers with the state of a chosen version, and brings those who have an older one up to it. */
  private deliver(work: ReadWork<V>, version: Version): void {
    const value = this.stateOf(work, version);
    const { seen } = work;
    for (let place = 0; place < seen.length; place++) {
      const held = seen[place];
      if (held === undefined || compareVersions(held.version, version) >= 0) continue;
      const member = work.tally.members[place] as MemberId;
      const request = { kind: 'accept', row: work.row, ballot: version, value, next: version } as const;
      this.effects.push({ kind: 'repair', to: member, request });
    }
    this.finish(work, { kind: 'done', id: work.id, row: work.row, version, value });
  }

  /** The members asked for a digest are no quorum, so a quorum that holds `version` has one that sent its state. */
  private stateOf(work: ReadWork<V>, version: Version): V | undefined {
    const { seen } = work;
    for (let place = 0; place < seen.length; place++) {
      const held = seen[place];
      if (held !== undefined && equalVersions(held.version, version) && (work.digests & (1 << place)) === 0) {
        return held.value;
      }
    }
    throw new AssertionError('a quorum holds the version, yet nobody sent its state');
  }

  /** Asks the owners that were not asked yet, for the whole row. */
  private askAll(work: ReadWork<V>, nowMs: number): void {
    work.phase = 'all';
    while (work.asked < work.ranked.length) this.askNext(work);
    work.dueMs = Math.min(work.deadlineMs, nowMs + READ_PHASE_TIMEOUT_MS);
    this.judge(work, nowMs);
  }

  /** No agreement: let a change decide when enough have answered for one, else try again in a while. */
  private conclude(work: ReadWork<V>, nowMs: number): void {
    if (work.deadlineMs > nowMs && work.tally.isQuorum(work.seenMask)) {
      this.finish(work, { kind: 'settle', id: work.id, row: work.row, deadlineMs: work.deadlineMs });
      return;
    }
    work.phase = 'rest';
    work.dueMs = Math.min(work.deadlineMs, nowMs + READ_RETRY_MS);
  }

  // --- parts -------------------------------------------------------------------------------------------------------

  private askNext(work: ReadWork<V>): void {
    const to = work.ranked[work.asked++] as MemberId;
    const digest = (work.digests & work.tally.bitOf(to)) !== 0;
    const { row, light } = work;
    const request =
      light && !digest ? ({ kind: 'read', row, digest, light } as const) : ({ kind: 'read', row, digest } as const);
    this.effects.push({ kind: 'ask', attempt: work.attempt, to, request });
  }

  private finish(work: ReadWork<V>, effect: ReadEffect<V>): void {
    this.attempts.delete(work.attempt);
    this.effects.push(effect);
  }
}

/** Who is asked first, and which of them may send digests (mask). */
interface FirstRound {
  readonly members: readonly MemberId[];
  readonly digests: number;
}

/**
 * The shortest head of `ranked` that is a quorum, and which of it may send digests: all but the first and the last.
 * The head without its last member is no quorum, so those with digests are none either.
 */
function firstRound(tally: Tally, ranked: readonly MemberId[]): FirstRound {
  let mask = 0;
  let first = 0;
  while (!tally.isQuorum(mask)) mask |= tally.bitOf(must(ranked[first++], 'all owners are ranked'));
  const firstBit = tally.bitOf(ranked[0] as MemberId);
  const lastBit = tally.bitOf(ranked[first - 1] as MemberId);
  // With the first one needed for the quorum, the last one may send a digest too.
  const digests = tally.isQuorum(mask & ~firstBit) ? mask & ~firstBit & ~lastBit : mask & ~firstBit;
  return { members: ranked.slice(0, first), digests };
}
