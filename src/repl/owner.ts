/**
 * An owner of rows: the shell of `acceptor` over this node's engine. Every request, from whatever node, this one
 * included, and for whatever reason (client, hint, read repair, move), comes through `ask`.
 *
 * ```
 * ask ─▶ epoch and ownership ─▶ owner-rows (look up, fetch) ─▶ acceptor decides ─▶ owner-rows writes ─▶ durable ─▶ answer
 * ```
 *
 * What an owner says besides the rule's own answers:
 * ```
 * stale             the slot's owners have changed since the epoch of the request
 * unable, refused   it knows no document, or by its document it is no owner (a request of a newer epoch waits for its
 *                   document); the engine refuses writes, now or for so long that too many wait
 * unable, amnesia   the row may stand in a damaged table, or its slot is suspect: this owner may have forgotten what it
 *                   took (slot-recovery.ts)
 * ```
 *
 * Invariants:
 * - Deciding and writing happen in one turn, on the row as it was looked up in that turn.
 * - No answer that shows a version leaves before that version is durable.
 * - Nothing is said about a slot that may not be spoken for (owner-slots.ts).
 * - Nothing is decided twice: each request is answered once, and never taken up again after its answer.
 * - Before rows are shared with others, every version that this node gave on its own is below what counts as promised.
 */

import { DamagedError } from '../cluster/byte-cursor.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import { EngineError } from '../engine/engine-error.ts';
import { lookup, type Lookup, type Store } from '../engine/store.ts';
import type { Env, Timer } from '../env.ts';
import { Acceptor } from './acceptor.ts';
import type { CellMemory } from './cell-memory.ts';
import { DurableAnswers } from './durable-answers.ts';
import type { Hlc } from './hlc.ts';
import type { KeyspaceState } from './keyspace.ts';
import {
  isMarkRow,
  slotOfRow,
  type AcceptRequest,
  type OwnerAnswer,
  type OwnerRequest,
  type PrepareRequest,
  type ReadRequest,
  type RowName,
} from './owner-message.ts';
import { MarkApply } from './mark-apply.ts';
import { OwnerRecall } from './owner-recall.ts';
import { OwnerRows } from './owner-rows.ts';
import { OwnerSlots } from './owner-slots.ts';
import { PromiseTable } from './promise-table.ts';
import type { Held } from './register-core.ts';
import { decodeRowState, type RowState } from './row-state.ts';
import { wholeState } from './row-whole.ts';
import type { SlotRange } from './slot-list.ts';
import { ceilingVersion, equalVersions, maxVersion, ZERO_VERSION, type Version } from './version.ts';
import { type RoomLimits, WaitingRoom } from './waiting-room.ts';

/** How long changes of a slot's rows wait for the slot's flush mark once it is promised: some round trips. */
export const MARK_COURTESY_MS = 25;

export type Answered = (answer: OwnerAnswer<Uint8Array>) => void;

/** Answers that leave together, once all that they show is durable. */
export interface DurableGroup {
  sequence: number;
}

export interface OwnerOptions {
  readonly env: Pick<Env, 'timers' | 'log'>;
  readonly store: Store;
  readonly state: KeyspaceState;
  readonly hlc: Hlc;
  /** What counts as promised by earlier lives: the clock's ceiling that the last one persisted, with the highest actor. */
  readonly promisedBefore: Version;
  readonly view: Pick<ClusterView, 'topology' | 'self' | 'isShared' | 'onTopology'>;
  /** What is remembered of collections in cells; it follows what is written. */
  readonly cells?: CellMemory;
  /** What earlier lives took may have been forgotten in part: every slot that is owned at first is suspect. */
  readonly mayHaveForgotten?: boolean;
  readonly limits?: Partial<RoomLimits>;
}

const ACCEPTED = { kind: 'accepted' } as const;
const NEED = { kind: 'need' } as const;
const REFUSED = { kind: 'unable', reason: 'refused' } as const;
const AMNESIA = { kind: 'unable', reason: 'amnesia' } as const;

export class Owner {
  private readonly env: OwnerOptions['env'];
  private readonly store: Store;
  private readonly hlc: Hlc;
  private readonly view: OwnerOptions['view'];
  private readonly rows: OwnerRows;
  private readonly promises: PromiseTable;
  private readonly acceptor: Acceptor;
  private readonly marks: MarkApply;
  private readonly answers = new DurableAnswers<OwnerAnswer<Uint8Array>>();
  private readonly slots: OwnerSlots;
  readonly recall: OwnerRecall;
  private isClosed = false;
  /** What `tell` has to say. */
  private told: OwnerAnswer<Uint8Array> | undefined = undefined;
  private readonly noteTold = (told: OwnerAnswer<Uint8Array>): void => {
    this.told = told;
  };
  private wasShared = false;
  private readonly room: WaitingRoom;
  /** What was asked in epochs that are not known here yet. */
  private early: { readonly epoch: number; readonly run: () => void }[] = [];
  /** Slots whose flush mark was promised and not set yet, and what waits for it. */
  private readonly courtesies = new Map<number, { readonly timer: Timer; readonly waiting: (() => void)[] }>();
  private readonly stops: (() => void)[];
  /** Since the start. */
  readonly counts = { prepares: 0, accepts: 0, reads: 0, conflicts: 0, stale: 0, refused: 0, amnesia: 0, fetches: 0 };

  constructor(options: OwnerOptions) {
    const { env, store, state, hlc, view } = options;
    this.env = env;
    this.store = store;
    this.hlc = hlc;
    this.view = view;
    this.room = new WaitingRoom(options.limits);
    this.promises = new PromiseTable({ promisedBefore: options.promisedBefore });
    const newGeneration = (): number => hlc.next();
    this.rows = new OwnerRows({ store, state, records: this.promises.rows, newGeneration, memory: options.cells });
    this.acceptor = new Acceptor({ promises: this.promises, clock: hlc });
    this.marks = new MarkApply({ timers: env.timers, store, state, promises: this.promises, rows: this.rows });
    this.recall = new OwnerRecall({
      rows: this.rows,
      marks: this.marks,
      acceptor: this.acceptor,
      isStopped: () => this.isClosed || store.refusal !== undefined,
      isThere: (slot) => this.isThere(slot),
      whenDurable: (sequence, run) => this.whenDurable(sequence, run),
      unableFor: (error) => this.unableFor(error),
    });
    this.slots = new OwnerSlots({
      env,
      store,
      state,
      view,
      recall: this.recall,
      mayHaveForgotten: options.mayHaveForgotten === true && view.topology !== undefined,
      onFollow: () => this.noteShared(),
      onFollowed: ({ epoch }) => this.takeUpEarly(epoch),
      noteTrouble: (error) => this.unableFor(error),
    });
    this.stops = [
      store.onDurable(() => this.answers.release(store.durableSequence)),
      view.onTopology(() => this.slots.follow()),
    ];
    this.slots.follow();
  }

  /** Calls `run` once every record up to this sequence is durable, at once if it is. */
  whenDurable(sequence: number, run: () => void): void {
    if (sequence <= this.store.durableSequence) run();
    else this.answers.add(sequence, ACCEPTED, run);
  }

  /** Requests that wait for the disk. */
  get waiting(): number {
    return this.room.size + this.answers.size;
  }

  /** Slots whose rows are still to be deleted here, since others own them now. */
  get slotsToDrop(): number {
    return this.slots.slotsToDrop;
  }

  /** Settles once nothing is left to be deleted. */
  settled(): Promise<void> {
    return this.slots.settled();
  }

  /** Settles when nothing runs in the background any more. What waits is never answered. */
  async close(): Promise<void> {
    this.isClosed = true;
    for (const stop of this.stops) stop();
    this.marks.close();
    for (const { timer } of this.courtesies.values()) timer.cancel();
    await this.slots.close();
  }

  /** Whether this node owns the slot, now or when a move is done, and may speak for it. */
  owns(slot: number): boolean {
    const { topology } = this.view;
    if (topology === undefined) return false;
    if (topology !== this.slots.topology) this.slots.follow();
    return this.slots.isReady(slot) && !this.recall.isSuspect(slot);
  }

  /** It is not known yet which slots are suspect. */
  get isUndecided(): boolean {
    return this.slots.isUndecided;
  }

  /** It is being emptied of what stood there before it was owned. */
  isBlocked(slot: number): boolean {
    return this.slots.isBlocked(slot);
  }

  /** Owned, and emptied of what stood there before; it may be suspect. */
  isThere(slot: number): boolean {
    return this.owns(slot) || (this.recall.isSuspect(slot) && !this.slots.isBlocked(slot));
  }

  /**
   * One request under the one rule, made in this epoch of the topology. `answer` is called once, at once or later. The
   * request's bytes need to be valid only during the call; states that are answered are in memory of their own.
   */
  ask(request: OwnerRequest<Uint8Array>, epoch: number, answer: Answered): void {
    const refusal = this.refusalOf(request.row, epoch);
    if (refusal !== undefined) {
      if (refusal !== REFUSED || !this.waitsForEpoch(request, epoch, answer)) answer(refusal);
      return;
    }
    try {
      this.take(request, epoch, answer);
    } catch (error) {
      answer(this.unableFor(error));
    }
  }

  /**
   * As `ask`, at once or not at all: undefined when it has to wait for something, and then nothing was done. What it says
   * may show what is not durable yet: it must not leave before `group.sequence`, which is raised to what it shows, is.
   */
  tell(request: OwnerRequest<Uint8Array>, epoch: number, group: DurableGroup): OwnerAnswer<Uint8Array> | undefined {
    if (isMarkRow(request.row)) return undefined;
    const refusal = this.refusalOf(request.row, epoch);
    if (refusal === REFUSED) return undefined;
    if (refusal !== undefined) return refusal;
    this.told = undefined;
    try {
      this.take(request, epoch, this.noteTold, group);
    } catch (error) {
      return this.unableFor(error);
    }
    return this.told;
  }

  /**
   * This node's own copy, in memory of its own, a large collection told against itself (row-delta.ts); undefined when it is
   * not in memory or not this node's to tell.
   */
  held(row: RowName): Held<Uint8Array> | undefined {
    if (!this.owns(slotOfRow(row))) return undefined;
    const { rows } = this;
    try {
      if (rows.lookUpWhole(row) === lookup.MISS || !rows.readHere()) return undefined;
    } catch (error) {
      this.unableFor(error);
      return undefined;
    }
    return { version: rows.held, value: rows.stateRead };
  }

  /** The whole state of one that is told against this node's copy. Throws `Miss`, `EngineError`. */
  whole(row: RowName, state: Uint8Array): Uint8Array {
    return wholeState(this.store, row, state);
  }

  /** The highest promise for any row of these slots, for a move. */
  highestPromise(slots: readonly SlotRange[]): Version {
    let highest = ZERO_VERSION;
    for (const { from, end } of slots) {
      for (let slot = from; slot < end; slot++) highest = maxVersion(highest, this.promises.highestIn(slot));
    }
    return highest;
  }

  /** Promises at least this for every row of these slots. False: it cannot yet; nothing is promised. */
  raisePromises(slots: readonly SlotRange[], version: Version): boolean {
    for (const { from, end } of slots) {
      for (let slot = from; slot < end; slot++) if (!this.isThere(slot)) return false;
    }
    if (!this.hlc.observe(version.stamp)) return false;
    for (const { from, end } of slots) {
      for (let slot = from; slot < end; slot++) this.promises.raiseSlot(slot, version);
    }
    return true;
  }

  // --- requests ----------------------------------------------------------------------------------------------------

  private refusalOf(row: RowName, epoch: number): OwnerAnswer<Uint8Array> | undefined {
    const { topology } = this.view;
    if (topology === undefined) return REFUSED;
    if (topology !== this.slots.topology) this.slots.follow();
    const slot = slotOfRow(row);
    const entry = topology.slots[slot];
    if (entry === undefined) return REFUSED;
    if (epoch < entry.since) {
      this.counts.stale++;
      return { kind: 'stale', epoch: topology.epoch };
    }
    if (this.slots.isReady(slot)) {
      if (!this.recall.isSuspect(slot)) return undefined;
      this.counts.amnesia++;
      return AMNESIA;
    }
    this.counts.refused++;
    return REFUSED;
  }

  /** Whether the request waits for the document of its epoch, by which this node may own the slot. */
  private waitsForEpoch(request: OwnerRequest<Uint8Array>, epoch: number, answer: Answered): boolean {
    const { topology } = this.slots;
    if (topology === undefined || epoch <= topology.epoch) return false;
    if (this.slots.isOwned(slotOfRow(request.row))) return false;
    const kept = this.room.enter(request);
    if (kept === undefined) return false;
    this.early.push({ epoch, run: () => this.takeUp(kept, epoch, answer) });
    return true;
  }

  /** `group`: as in `tell`; without one answers wait until they are durable. */
  private take(request: OwnerRequest<Uint8Array>, epoch: number, answer: Answered, group?: DurableGroup): void {
    // A coordinator has just looked at its own copy of what it changes.
    const isLookedUp = request.kind === 'accept' && this.rows.isLookedUp(request.row);
    if (!isLookedUp && this.lookUp(request) === lookup.MISS) {
      if (group === undefined) this.fetch(request, epoch, answer);
      return;
    }
    if (this.courtesies.size > 0 && request.kind !== 'read') {
      if (group !== undefined || this.waitsForMark(request, epoch, answer)) return;
    }
    switch (request.kind) {
      case 'prepare':
        this.prepare(request, epoch, answer, group);
        break;
      case 'accept':
        this.accept(request, epoch, answer, group);
        break;
      case 'read':
        this.read(request, epoch, answer, group);
        break;
    }
  }

  private lookUp(request: OwnerRequest<Uint8Array>): Lookup {
    const isWhole = request.kind === 'read' && !request.digest;
    return isWhole ? this.rows.lookUpWhole(request.row) : this.rows.lookUp(request.row);
  }

  private prepare(request: PrepareRequest, epoch: number, answer: Answered, group?: DurableGroup): void {
    const { rows } = this;
    const same = equalVersions(rows.held, request.have);
    if (!same && !rows.readState()) {
      if (group === undefined) this.fetch(request, epoch, answer);
      return;
    }
    // A change that could not be written here had better not begin: its outcome would be unknown.
    if (this.store.refusal !== undefined) {
      this.counts.refused++;
      answer(REFUSED);
      return;
    }
    this.counts.prepares++;
    const verdict = this.acceptor.prepare(request.row, request.ballot, rows.floor);
    if (verdict.kind !== 'promise') {
      if (verdict.kind === 'conflict') this.counts.conflicts++;
      answer(verdict);
      return;
    }
    if (isMarkRow(request.row)) this.beginCourtesy(slotOfRow(request.row));
    const value = same ? undefined : rows.stateRead;
    this.give(rows.sequence, { kind: 'promised', version: rows.held, value }, answer, group);
  }

  private accept(request: AcceptRequest<Uint8Array>, epoch: number, answer: Answered, group?: DurableGroup): void {
    const { store, rows } = this;
    if (store.refusal !== undefined) {
      this.counts.refused++;
      answer(REFUSED);
      return;
    }
    if (store.writeDelayMs > 0) {
      if (group === undefined) this.wait(request, epoch, answer);
      return;
    }
    const { row, ballot, next, value } = request;
    // What is no state is refused before anything is decided.
    const state = value === undefined ? undefined : decodeRowState(value);
    const isMark = isMarkRow(row);
    if (isMark && !this.marks.prepare(slotOfRow(row), state)) {
      this.defer(request, epoch, answer, this.marks.load());
      return;
    }
    this.counts.accepts++;
    const base = state?.cells?.base;
    if (base !== undefined && equalVersions(base, rows.floor) && !rows.takesDelta()) {
      answer(NEED);
      return;
    }
    const verdict = this.acceptor.accept(row, ballot, next, rows.floor, base);
    switch (verdict.kind) {
      case 'apply':
        this.give(this.apply(isMark, ballot, state), ACCEPTED, answer, group);
        if (isMark) this.endCourtesy(slotOfRow(row));
        break;
      case 'repeat':
        this.give(rows.sequence, ACCEPTED, answer, group);
        break;
      case 'conflict':
        this.counts.conflicts++;
        answer(verdict);
        break;
      default:
        answer(verdict);
    }
  }

  private apply(isMark: boolean, ballot: Version, state: RowState | undefined): number {
    return isMark ? this.marks.apply(ballot, state) : this.rows.apply(ballot, state);
  }

  private read(request: ReadRequest, epoch: number, answer: Answered, group?: DurableGroup): void {
    const { rows } = this;
    if (!request.digest && !(request.light === true ? rows.readHere() : rows.readState())) {
      if (group === undefined) this.fetch(request, epoch, answer);
      return;
    }
    this.counts.reads++;
    const value = request.digest ? undefined : rows.stateRead;
    this.give(rows.sequence, { kind: 'held', version: rows.held, value }, answer, group);
  }

  /** Gives the answer once this sequence is durable; with a group at once, and the group awaits it. */
  private give(sequence: number, told: OwnerAnswer<Uint8Array>, answer: Answered, group?: DurableGroup): void {
    if (group !== undefined) {
      if (sequence > group.sequence) group.sequence = sequence;
      answer(told);
    } else if (sequence <= this.store.durableSequence) answer(told);
    else this.answers.add(sequence, told, answer);
  }

  // --- flush marks -------------------------------------------------------------------------------------------------

  /** Changes of the slot's rows wait for the mark that was promised: else a busy slot would be refused it for ever. */
  private beginCourtesy(slot: number): void {
    if (this.courtesies.has(slot)) return;
    const timer = this.env.timers.after(MARK_COURTESY_MS, () => this.endCourtesy(slot));
    this.courtesies.set(slot, { timer, waiting: [] });
  }

  private endCourtesy(slot: number): void {
    const courtesy = this.courtesies.get(slot);
    if (courtesy === undefined) return;
    this.courtesies.delete(slot);
    courtesy.timer.cancel();
    for (const run of courtesy.waiting) run();
  }

  /** Whether the request was put off; it is taken up again from the start. */
  private waitsForMark(request: PrepareRequest | AcceptRequest<Uint8Array>, epoch: number, answer: Answered): boolean {
    const courtesy = this.courtesies.get(slotOfRow(request.row));
    if (courtesy === undefined || isMarkRow(request.row)) return false;
    const kept = this.room.enter(request);
    if (kept === undefined) return false;
    courtesy.waiting.push(() => this.takeUp(kept, epoch, answer));
    return true;
  }

  // --- documents ---------------------------------------------------------------------------------------------------

  private noteShared(): void {
    const { isShared } = this.view;
    if (isShared && !this.wasShared) this.promises.raiseAll(ceilingVersion(this.hlc.newest));
    this.wasShared = isShared;
  }

  private takeUpEarly(epoch: number): void {
    const { early } = this;
    this.early = early.filter((each) => each.epoch > epoch);
    for (const each of early) if (each.epoch <= epoch) each.run();
  }

  // --- waiting -----------------------------------------------------------------------------------------------------

  private fetch(request: OwnerRequest<Uint8Array>, epoch: number, answer: Answered): void {
    this.counts.fetches++;
    this.defer(request, epoch, answer, this.rows.fetch(request.row));
  }

  /** The engine asks writers to be slower. */
  private wait(request: AcceptRequest<Uint8Array>, epoch: number, answer: Answered): void {
    const { timers } = this.env;
    const delayMs = this.store.writeDelayMs;
    this.defer(request, epoch, answer, new Promise((resolve) => timers.after(delayMs, resolve)));
  }

  /** Takes the request up again, from the start, when `ready` is fulfilled. */
  private defer(request: OwnerRequest<Uint8Array>, epoch: number, answer: Answered, ready: Promise<void>): void {
    const kept = this.room.enter(request);
    if (kept === undefined) {
      this.counts.refused++;
      ready.catch(() => undefined);
      answer(REFUSED);
      return;
    }
    ready.then(
      () => this.takeUp(kept, epoch, answer),
      (error: unknown) => {
        this.room.leave(kept);
        answer(this.unableFor(error));
      },
    );
  }

  /** A request of the waiting room, from the start. */
  private takeUp(kept: OwnerRequest<Uint8Array>, epoch: number, answer: Answered): void {
    this.room.leave(kept);
    this.ask(kept, epoch, answer);
  }

  /** The answer for what the engine, or a damaged request, threw. Throws on what is a bug. */
  private unableFor(error: unknown): OwnerAnswer<Uint8Array> {
    if (error instanceof EngineError && error.code === 'corruption') {
      this.counts.amnesia++;
      return AMNESIA;
    }
    if (error instanceof EngineError || error instanceof DamagedError) {
      this.counts.refused++;
      return REFUSED;
    }
    throw error;
  }
}
