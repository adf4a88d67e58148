/**
 * What must be done next for the members to own their shares and for the right ones to vote: the steward's decisions.
 *
 * ```
 * members changed ─▶ plan (once) ─▶ start-moves, a batch ─▶ run each slot's move ─▶ finish-moves, a batch ─▶ …
 *                    start-voters ─▶ finish-voters ─▶ …                 cancel-moves, where the newcomers are gone
 * ```
 *
 * The steward is the lowest-numbered healthy voter; for a while there may be several, or the wrong one, since health is in
 * the eye of the beholder. That is safe: moving a slot twice does no harm, and whatever is changed is planned again on
 * the document that the register holds, where a move is known by the epoch in which it started.
 *
 * A pure state machine: `step(event, nowMs)` returns effects. All it knows can be found in the document again.
 *
 * Invariants:
 * - Slots that move are at most `movingSlots`, moves run here at most `concurrency`; one change of the document is under
 *   way at a time.
 * - A slot begins to move only while all that come in are healthy: a move asks a majority of them for every write.
 */

import type { Member, MemberId } from '../cluster/member.ts';
import { planMoves, planVoters, type Move, type Topology, type TopologyChange } from '../cluster/topology.ts';
import type { TopologyPlan } from './topology-register.ts';

export interface StewardLimits {
  /**
   * Slots that move at the same time, at first and at most: each change of the document costs all nodes about 100 KB, and
   * each slot that moves waits for the newcomers with every write. So it begins with few and doubles as long as they are
   * through soon, as those without rows are.
   */
  readonly firstSlots: number;
  readonly movingSlots: number;
  /** Moves that end within this time are more the next time, those that take longer than four times this fewer. */
  readonly batchTimeMs: number;
  /** Moves that this node drives at the same time: those asked for in one turn share their questions (slot-moves.ts). */
  readonly concurrency: number;
  /** Members that come within this time of one another are planned for together. */
  readonly planDelayMs: number;
  /** Wait before a move that failed is run again. */
  readonly retryMs: number;
  /** A move whose newcomers have been gone for so long is cancelled: until then every write of the slot fails. */
  readonly patienceMs: number;
}

export const STEWARD_LIMITS: StewardLimits = {
  firstSlots: 2_048,
  movingSlots: 16_384,
  batchTimeMs: 1_000,
  concurrency: 1_024,
  planDelayMs: 300,
  retryMs: 500,
  patienceMs: 1_500,
};

/** What the steward sees when it looks. */
export interface StewardView {
  readonly topology: Topology;
  readonly self: MemberId;
  readonly isHealthy: (id: MemberId) => boolean;
}

export type StewardEvent =
  /** Something may have changed: the document, somebody's health, the time. */
  | { readonly kind: 'look'; readonly view: StewardView }
  /** A `run` has ended. */
  | { readonly kind: 'moved'; readonly slot: number; readonly since: number; readonly done: boolean }
  /** A `change` has ended, well or not; what became of it stands in the document. */
  | { readonly kind: 'changed' };

export type StewardEffect =
  /** Move this slot as the document says, then say `moved`, at the latest when it says so no longer. */
  | { readonly kind: 'run'; readonly slot: number; readonly since: number }
  /** Change the document, then say `changed`. */
  | { readonly kind: 'change'; readonly plan: TopologyPlan };

/** A slot that moves, and the epoch in which it began: together they name the move. */
interface Running {
  readonly slot: number;
  readonly since: number;
}

export class StewardCore {
  private readonly limits: StewardLimits;
  private view: StewardView | undefined = undefined;
  /** The document that `queue` was made of. */
  private seen: Topology | undefined = undefined;
  /** Moves of the document that are to be run. */
  private queue: Running[] = [];
  private moving = 0;
  private readonly running = new Map<number, number>();
  private readonly finished = new Map<number, number>();
  /** Moves that failed, and when they are run again. */
  private readonly failed = new Map<number, number>();
  /** Moves that are planned but not in the document; undefined: nothing is planned. */
  private planned: Move[] | undefined = undefined;
  private plannedFor = '';
  /** Epoch of the document that was planned on. */
  private plannedIn = 0;
  private membersSeen = '';
  /** The document that `membersSeen` was read from. */
  private membersIn: Topology | undefined = undefined;
  private planAtMs = 0;
  private readonly unhealthySinceMs = new Map<MemberId, number>();
  /** Slots that may move at the same time now, and when the last ones began. */
  private batch: number;
  private begunMs = 0;
  private changing = false;
  /** The change under way cancels moves: they must be planned again once it has ended. */
  private cancelling = false;
  private effects: StewardEffect[] = [];

  constructor(limits: Partial<StewardLimits> = {}) {
    this.limits = { ...STEWARD_LIMITS, ...limits };
    this.batch = Math.min(this.limits.firstSlots, this.limits.movingSlots);
  }

  /** Slots that move, and those that shall. */
  get progress(): { readonly moving: number; readonly planned: number } {
    return { moving: this.moving, planned: this.planned?.length ?? 0 };
  }

  /** `nowMs`: monotonic milliseconds. */
  step(event: StewardEvent, nowMs: number): StewardEffect[] {
    switch (event.kind) {
      case 'look':
        this.view = event.view;
        break;
      case 'moved':
        // Of a move that was cancelled, or finished by another steward, nothing is wanted any more.
        if (this.running.get(event.slot) !== event.since) break;
        this.running.delete(event.slot);
        if (event.done) this.finished.set(event.slot, event.since);
        else this.failed.set(event.slot, nowMs + this.limits.retryMs);
        break;
      case 'changed':
        this.changing = false;
        if (this.cancelling) this.plannedFor = '';
        this.cancelling = false;
        break;
    }
    if (this.view !== undefined) this.goOn(this.view, event.kind === 'moved', nowMs);
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  private goOn(view: StewardView, isMoved: boolean, nowMs: number): void {
    const { topology, self } = view;
    this.noteHealth(view, nowMs);
    if (stewardOf(topology, (id) => view.isHealthy(id)) !== self) {
      this.planned = undefined;
      this.plannedFor = '';
      this.finished.clear();
      this.seen = undefined;
      return;
    }
    if (this.seen !== topology) this.read(topology);
    this.plan(topology, nowMs);
    this.run(nowMs);
    if (!this.changing) this.change(view, isMoved, nowMs);
  }

  /** What moves, by the document. */
  private read(topology: Topology): void {
    this.seen = topology;
    for (const moves of [this.finished, this.running]) {
      for (const [slot, since] of moves) {
        const entry = topology.slots[slot];
        if (entry?.since !== since || entry.owners.incoming.length === 0) moves.delete(slot);
      }
    }
    this.queue = [];
    this.moving = 0;
    for (const [slot, { owners, since }] of topology.slots.entries()) {
      if (owners.incoming.length === 0) continue;
      this.moving++;
      if (!this.finished.has(slot) && !this.running.has(slot)) this.queue.push({ slot, since });
    }
  }

  private run(nowMs: number): void {
    let waiting: Running[] | undefined;
    while (this.running.size < this.limits.concurrency) {
      const next = this.queue.pop();
      if (next === undefined) break;
      if (this.running.has(next.slot)) continue;
      if ((this.failed.get(next.slot) ?? 0) > nowMs) {
        (waiting ??= []).push(next);
        continue;
      }
      this.failed.delete(next.slot);
      this.running.set(next.slot, next.since);
      this.effects.push({ kind: 'run', ...next });
    }
    if (waiting !== undefined) this.queue.push(...waiting);
  }

  // --- what shall be -----------------------------------------------------------------------------------------------

  /**
   * Planning costs a tenth of a second: it is done once for each set of members, and again when nothing is left to do in a
   * document that was not planned on: another steward may have cancelled what was begun here.
   */
  private plan(topology: Topology, nowMs: number): void {
    const members = this.membersIn === topology ? this.membersSeen : namesOf(topology);
    this.membersIn = topology;
    if (members !== this.membersSeen) {
      this.membersSeen = members;
      // Alone there is nothing to wait for; others are likely to come together.
      this.planAtMs = topology.members.length === 1 ? nowMs : nowMs + this.limits.planDelayMs;
    }
    const isIdle = this.moving === 0 && this.planned?.length === 0 && !this.changing;
    const isPlanned = this.plannedFor === members && !(isIdle && this.plannedIn !== topology.epoch);
    if (isPlanned || nowMs < this.planAtMs) return;
    this.plannedFor = members;
    this.plannedIn = topology.epoch;
    const isSplit = topology.members.length > 1 && topology.members.some((member) => member.weight > 0);
    this.planned = isSplit ? planMoves(topology) : [];
  }

  /** `isMoved`: only that a move has ended is new, so that it is enough to count. */
  private change(view: StewardView, isMoved: boolean, nowMs: number): void {
    const isEnded = this.running.size === 0 && this.queue.length === 0;
    const finishes = isEnded || 2 * this.finished.size >= this.batch;
    const finish = finishes ? new Map(this.finished) : new Map<number, number>();
    if (isMoved && !finishes) return;
    if (finish.size > 0) this.pace(nowMs - this.begunMs);
    const room = this.batch - this.moving + finish.size;
    // A few at a time would be as many documents.
    const start = finishes || 2 * room >= this.batch ? this.nextMoves(view, room) : [];
    if (start.length > 0) this.begunMs = nowMs;
    const cancel = this.hopeless(view, nowMs);
    const voters = this.nextVoters(view);
    if (finish.size + start.length + cancel.size === 0 && voters === undefined) return;
    this.changing = true;
    this.effects.push({ kind: 'change', plan: changing({ finish, start, cancel, voters }) });
    this.cancelling = cancel.size > 0;
  }

  private pace(tookMs: number): void {
    const { batchTimeMs, firstSlots, movingSlots } = this.limits;
    if (tookMs < batchTimeMs) this.batch = Math.min(movingSlots, 2 * this.batch);
    else if (tookMs > 4 * batchTimeMs) this.batch = Math.max(Math.min(firstSlots, movingSlots), this.batch >>> 1);
  }

  /** Takes up to `room` moves from the plan that can begin now. */
  private nextMoves(view: StewardView, room: number): Move[] {
    const { planned } = this;
    if (planned === undefined || planned.length === 0 || room <= 0) return [];
    const taken: Move[] = [];
    const left: Move[] = [];
    for (const move of planned) {
      const entry = view.topology.slots[move.slot];
      const owners = entry?.owners;
      if (owners === undefined) continue;
      // In the document already, or as it should be.
      if (
        owners.incoming.length > 0
          ? owners.incoming.join() === move.to.join()
          : owners.current.join() === move.to.join()
      )
        continue;
      const canBegin =
        taken.length < room &&
        owners.incoming.length === 0 &&
        move.to.every((id) => owners.current.includes(id) || view.isHealthy(id));
      if (canBegin) taken.push(move);
      left.push(move);
    }
    // They leave the plan when the document has them.
    this.planned = left;
    return taken;
  }

  /** Moves, by slot and epoch, whose newcomers are gone while the current owners could go on without them. */
  private hopeless(view: StewardView, nowMs: number): Map<number, number> {
    const cancel = new Map<number, number>();
    if (this.moving === 0 || this.unhealthySinceMs.size === 0) return cancel;
    const isGone = (id: MemberId): boolean =>
      nowMs - (this.unhealthySinceMs.get(id) ?? Number.POSITIVE_INFINITY) >= this.limits.patienceMs;
    for (const [slot, { owners, since }] of view.topology.slots.entries()) {
      if (owners.incoming.length === 0 || this.finished.has(slot)) continue;
      const there = owners.incoming.filter((id) => !isGone(id)).length;
      const current = owners.current.filter((id) => view.isHealthy(id)).length;
      if (2 * there <= owners.incoming.length && 2 * current > owners.current.length) cancel.set(slot, since);
    }
    return cancel;
  }

  private nextVoters(view: StewardView): VoterStep | undefined {
    const { topology } = view;
    if (topology.voters.incoming.length > 0) return 'finish';
    const step = planVoters(topology, (member) => mayVote(member, view));
    if (step === undefined) return undefined;
    // While voters change, both sets must agree to everything, to the end of the change too.
    const { current } = topology.voters;
    const isMajority = (ids: readonly MemberId[]): boolean => 2 * ids.filter(view.isHealthy).length > ids.length;
    const areThere = step.to.every((id) => current.includes(id) || view.isHealthy(id));
    if (!canGoOn(view, step.to)) return undefined;
    return areThere && isMajority(current) && isMajority(step.to) ? step : undefined;
  }

  private noteHealth(view: StewardView, nowMs: number): void {
    for (const { id } of view.topology.members) {
      if (view.isHealthy(id)) this.unhealthySinceMs.delete(id);
      else if (!this.unhealthySinceMs.has(id)) this.unhealthySinceMs.set(id, nowMs);
    }
    for (const id of this.unhealthySinceMs.keys()) {
      if (!view.topology.members.some((member) => member.id === id)) this.unhealthySinceMs.delete(id);
    }
  }
}

type VoterStep = 'finish' | Extract<TopologyChange, { kind: 'start-voters' }>;

/**
 * Whether it may come to these voters: an even number of them, on the way to one more, is worse than what there was, since
 * none may be missing that was not needed before. So it is begun only when that one more is there too.
 */
function canGoOn(view: StewardView, to: readonly MemberId[]): boolean {
  const { topology } = view;
  if (to.length % 2 !== 0 || to.length < topology.voters.current.length) return true;
  const then = { ...topology, voters: { current: to, incoming: [] } };
  const next = planVoters(then, (member) => mayVote(member, view));
  if (next === undefined || next.to.length < to.length) return true;
  return next.to.every((id) => to.includes(id) || view.isHealthy(id));
}

/** Who has no weight votes only while it is there: it may be about to be forgotten. */
function mayVote(member: Member, view: StewardView): boolean {
  return member.weight > 0 || view.isHealthy(member.id);
}

/** The member that plans and drives; undefined: none of the voters is healthy. */
export function stewardOf(topology: Topology, isHealthy: (id: MemberId) => boolean): MemberId | undefined {
  const voters = [...topology.voters.current, ...topology.voters.incoming].filter(isHealthy);
  return voters.length === 0 ? undefined : Math.min(...voters);
}

/** All that a plan depends on besides the table. */
function namesOf(topology: Topology): string {
  const members = topology.members.map(({ id, weight, rack, dataCentre }) => [id, weight, rack, dataCentre]);
  return JSON.stringify([topology.replicas, members]);
}

/** A plan that does what of this is still to be done, on whatever document it meets. */
function changing(wanted: {
  readonly finish: ReadonlyMap<number, number>;
  readonly start: readonly Move[];
  readonly cancel: ReadonlyMap<number, number>;
  readonly voters: VoterStep | undefined;
}): TopologyPlan {
  return (topology) => {
    const changes: TopologyChange[] = [];
    const isMove = ([slot, since]: readonly [number, number]): boolean => {
      const entry = topology.slots[slot];
      return entry !== undefined && entry.since === since && entry.owners.incoming.length > 0;
    };
    const finish = [...wanted.finish].filter(isMove).map(([slot]) => slot);
    const cancel = [...wanted.cancel].filter(([slot]) => !wanted.finish.has(slot)).filter(isMove);
    if (finish.length > 0) changes.push({ kind: 'finish-moves', slots: finish });
    if (cancel.length > 0) changes.push({ kind: 'cancel-moves', slots: cancel.map(([slot]) => slot) });
    const members = new Set(topology.members.map((member) => member.id));
    const start = wanted.start.filter(({ slot, to }) => {
      const owners = topology.slots[slot]?.owners;
      const isStill = owners !== undefined && owners.incoming.length === 0 && owners.current.join() !== to.join();
      return isStill && to.every((id) => members.has(id));
    });
    if (start.length > 0) changes.push({ kind: 'start-moves', moves: start });
    const { voters } = wanted;
    if (voters === 'finish') {
      if (topology.voters.incoming.length > 0) changes.push({ kind: 'finish-voters' });
    } else if (voters !== undefined && isVoterStep(topology, voters.to)) changes.push(voters);
    return changes;
  };
}

/** Whether this is one step from the voters that there are, to members. */
function isVoterStep(topology: Topology, to: readonly MemberId[]): boolean {
  const { current, incoming } = topology.voters;
  const gained = to.filter((id) => !current.includes(id));
  const lost = current.filter((id) => !to.includes(id));
  const areMembers = gained.every((id) => topology.members.some((member) => member.id === id));
  return incoming.length === 0 && gained.length + lost.length === 1 && areMembers;
}
