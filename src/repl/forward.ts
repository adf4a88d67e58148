/**
 * Routing of changes: a change of a row is run by the first healthy owner of its slot, so that changes of one row meet
 * at one coordinator, which keeps the row's ballot and batches them (design, section 6).
 *
 * ```
 * the first healthy owner is this node, or no owner is healthy   run it here
 * otherwise                                                      FORWARD to it; its answer is the outcome
 *   unsent, busy, or "not now"    certainly nothing happened: the next healthy owner
 *   answered                      as it says
 *   no answer, failed             uncertain
 * ```
 *
 * The payload is its caller's; of an answer this file knows the first byte only: `NOT_NOW` says that the change was not
 * begun.
 *
 * Invariants:
 * - A change is sent to a second node only when it is certain that the first one has not begun it.
 * - A forwarded change ends once, at the latest a phase and a bit after its deadline; and soon after its node has been
 *   called unhealthy, so that a client is not held by a node that hangs.
 * - Forwarded changes under way are bounded.
 */

import type { Env, Timer } from '../env.ts';
import { busMethod, METHOD_ANSWERED, METHOD_BUSY } from '../cluster/bus-method.ts';
import type { BusOutcome } from '../cluster/bus-core.ts';
import { priority } from '../cluster/frame.ts';
import type { MemberId } from '../cluster/member.ts';
import type { CoordinatorBus, CoordinatorView } from './coordinator.ts';
import { slotOfRow, type RowName } from './owner-message.ts';
import { PHASE_TIMEOUT_MS } from './register-core.ts';

/** First byte of an answer: the node cannot coordinate at the moment; nothing was begun. */
export const NOT_NOW = 0;

/** Forwarded changes that are not answered yet; beyond it they are refused before anything is sent. */
export const MAX_FORWARDED = 100_000;

/** How long a node that is not healthy may still answer what it was sent. */
export const FORWARD_PATIENCE_MS = 600;

/** How often it is looked for changes whose node has become unhealthy. */
const LOOK_MS = 100;

/** Added to the deadline for the way there and back. */
const WAY_MS = 100;

/** A change that goes to whoever coordinates its row. Exactly one of the methods is called, once. */
export interface ForwardTask {
  /** The node's answer; valid only during the call. Its first byte is not `NOT_NOW`. */
  answered(payload: Uint8Array): void;
  /** It is this node that should run it. */
  runHere(): void;
  /** `uncertain`: it may have happened; `overloaded`: nothing happened. */
  failed(reason: 'uncertain' | 'overloaded'): void;
}

/** One forwarded change under way. */
class Underway {
  readonly row: RowName;
  readonly payload: Uint8Array;
  readonly task: ForwardTask;
  readonly deadlineMs: number;
  target: MemberId;
  sentMs: number;
  /** Owners that have said that they did not begin it. */
  declined: MemberId[] | undefined = undefined;
  isOver = false;

  constructor(
    row: RowName,
    payload: Uint8Array,
    task: ForwardTask,
    deadlineMs: number,
    target: MemberId,
    sentMs: number,
  ) {
    this.row = row;
    this.payload = payload;
    this.task = task;
    this.deadlineMs = deadlineMs;
    this.target = target;
    this.sentMs = sentMs;
  }
}

export class Forwarder {
  private readonly env: Pick<Env, 'clock' | 'timers'>;
  private readonly view: CoordinatorView;
  private readonly bus: CoordinatorBus;
  private readonly isReady: () => boolean;
  private readonly underway = new Set<Underway>();
  private timer: Timer | undefined = undefined;
  /** For INFO, since the start. */
  readonly counts = { forwarded: 0, forwardedAgain: 0, forwardsUncertain: 0 };

  /** `isReady`: whether this node may coordinate (`Coordinator.isReady`). */
  constructor(options: {
    env: Pick<Env, 'clock' | 'timers'>;
    view: CoordinatorView;
    bus: CoordinatorBus;
    isReady(): boolean;
  }) {
    this.env = options.env;
    this.view = options.view;
    this.bus = options.bus;
    this.isReady = () => options.isReady();
  }

  get pending(): number {
    return this.underway.size;
  }

  /**
   * Who should coordinate changes of rows in `slot`: the first healthy owner that has not declined; this node when there
   * is none.
   */
  coordinatorOf(slot: number, declined?: readonly MemberId[]): MemberId {
    const { view } = this;
    const { current } = view.owners(slot);
    for (let i = 0; i < current.length; i++) {
      const owner = current[i] as MemberId;
      if (declined?.includes(owner) === true) continue;
      if (owner === view.self ? this.isReady() : view.isHealthy(owner)) return owner;
    }
    return view.self;
  }

  /** Sends a change to `target`, another node. The deadline is on the monotonic clock. */
  forward(target: MemberId, row: RowName, payload: Uint8Array, task: ForwardTask, deadlineMs: number): void {
    if (this.underway.size >= MAX_FORWARDED) {
      task.failed('overloaded');
      return;
    }
    this.counts.forwarded++;
    this.send(new Underway(row, payload, task, deadlineMs, target, this.nowMs()));
  }

  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
    for (const each of this.underway) each.isOver = true;
    this.underway.clear();
  }

  private nowMs(): number {
    return this.env.clock.monotonicUs() / 1000;
  }

  private send(change: Underway): void {
    this.underway.add(change);
    this.timer ??= this.env.timers.after(LOOK_MS, this.onTimer);
    const outgoing = {
      method: busMethod.FORWARD,
      priority: priority.CLIENT,
      deadlineMs: change.deadlineMs + PHASE_TIMEOUT_MS + WAY_MS,
      epoch: this.view.topology?.epoch ?? 0,
      payload: change.payload,
    };
    this.bus.request(this.view.nameOf(change.target), outgoing, (outcome) => this.ended(change, outcome));
  }

  private ended(change: Underway, outcome: BusOutcome): void {
    if (change.isOver) return;
    this.underway.delete(change);
    if (outcome.kind === 'answered') {
      const { method, payload } = outcome.message;
      if (method === METHOD_ANSWERED && payload.length > 0 && payload[0] !== NOT_NOW) {
        change.isOver = true;
        change.task.answered(payload);
        return;
      }
      if (method === METHOD_BUSY || method === METHOD_ANSWERED) this.declined(change);
      else this.giveUp(change);
    } else if (outcome.kind === 'unsent') this.declined(change);
    else this.giveUp(change);
  }

  /** The node has certainly not begun it: on to the next one. */
  private declined(change: Underway): void {
    (change.declined ??= []).push(change.target);
    const next = this.coordinatorOf(slotOfRow(change.row), change.declined);
    if (next === this.view.self) {
      change.isOver = true;
      change.task.runHere();
      return;
    }
    this.counts.forwardedAgain++;
    change.target = next;
    change.sentMs = this.nowMs();
    this.send(change);
  }

  private giveUp(change: Underway): void {
    change.isOver = true;
    this.underway.delete(change);
    this.counts.forwardsUncertain++;
    change.task.failed('uncertain');
  }

  private readonly onTimer = (): void => {
    this.timer = undefined;
    const before = this.nowMs() - FORWARD_PATIENCE_MS;
    for (const change of this.underway) {
      if (change.sentMs <= before && !this.view.isHealthy(change.target)) this.giveUp(change);
    }
    if (this.underway.size > 0) this.timer = this.env.timers.after(LOOK_MS, this.onTimer);
  };
}
