/**
 * Changes of the topology document: the shell of a register core of its own, whose one row is the document and whose
 * owners are the voters that the document names.
 *
 * A change is a plan: a function from the document as it is to changes of it, which is run on whatever document the
 * register turns out to hold, and runs again when the outcome was unknown. So a plan whose work is done must plan nothing.
 *
 * Invariants:
 * - The document of epoch e + 1 is proposed to the voters that the document of epoch e names, by a node in whose view
 *   e is in force, with requests of epoch e. Whoever finds e + 1 proposed already gets that one chosen, makes it known and
 *   begins again: never is a document built on one that is not known to be chosen.
 * - All plans that wait make one new document together; one that is refused leaves the others alone. The next ones wait
 *   until that document is in force here: built on an older one they would be in vain.
 */

import { assert, AssertionError, must } from '../assert.ts';
import { copyOf } from '../bytes.ts';
import type { Bus } from '../cluster/bus.ts';
import { busMethod } from '../cluster/bus-method.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { priority } from '../cluster/frame.ts';
import type { MemberId } from '../cluster/member.ts';
import { adoptTopology, applyChanges, type Topology, type TopologyChange } from '../cluster/topology.ts';
import { decodeTopology } from '../cluster/topology-codec.ts';
import type { Env, Timer } from '../env.ts';
import { MAX_AHEAD_MS, type Hlc } from './hlc.ts';
import { decodeAnswer, encodeRequest } from './owner-codec.ts';
import type { OwnerAnswer, OwnerRequest } from './owner-message.ts';
import { RegisterCore, type RegisterEffect, type RegisterLimits, type Result } from './register-core.ts';
import type { TopologyKeeper } from './topology-keeper.ts';
import { TOPOLOGY_ROW, type TopologyVoter } from './topology-voter.ts';

/**
 * One phase of a change. Longer than of a row: voters write about 100 KB durably, and may have to fetch as much before.
 */
export const TOPOLOGY_PHASE_MS = 3_000;

/** Changes that wait here. */
export const MAX_TOPOLOGY_CHANGES = 1_024;

/** How often it is looked whether the clock has come near the wall clock after a restart. */
const READY_POLL_MS = 20;

/** Pause after an unknown outcome, before the plan runs again. */
const RETRY_MS = 50;

/** What must change; none: it is as it should be already. Throws `TopologyError` for what cannot be. */
export type TopologyPlan = (topology: Topology) => readonly TopologyChange[];

/** Why a change did not come about. */
export class TopologyError extends Error {
  override readonly name = 'TopologyError';
  /** `refused`: the plan cannot be; `no-quorum`: too few voters answered in time, and it may yet happen. */
  readonly code: 'refused' | 'no-quorum';

  constructor(code: TopologyError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

interface Planned {
  readonly plan: TopologyPlan;
  readonly deadlineMs: number;
  readonly resolve: (topology: Topology) => void;
  readonly reject: (error: Error) => void;
}

type Reply =
  /** The document is chosen; `refusals`: one or none for each plan. */
  | { readonly kind: 'done'; readonly topology: Topology; readonly refusals: readonly (TopologyError | undefined)[] }
  /** This document was found chosen, or got chosen: once it is in force, begin again. */
  | { readonly kind: 'again'; readonly topology: Topology };

export interface TopologyRegisterOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'>;
  readonly keeper: TopologyKeeper;
  readonly voter: TopologyVoter;
  readonly bus: Pick<Bus, 'request'>;
  readonly hlc: Hlc;
  /** Of this node and life, part of every ballot; asked once this node is a member. */
  actor(): number;
  readonly limits?: Partial<RegisterLimits>;
}

export class TopologyRegister {
  private readonly env: TopologyRegisterOptions['env'];
  private readonly keeper: TopologyKeeper;
  private readonly voter: TopologyVoter;
  private readonly bus: TopologyRegisterOptions['bus'];
  private readonly hlc: Hlc;
  private readonly core: RegisterCore<Uint8Array, readonly Planned[], Reply>;
  /** The document whose voters the attempt under way asks. */
  private basis: Topology | undefined = undefined;
  private waiting: Planned[] = [];
  /** A batch of plans is under way, or is waited for. */
  private isBusy = false;
  private timer: Timer | undefined = undefined;
  private timerAtMs = Number.POSITIVE_INFINITY;
  private readonly waits = new Set<Timer>();
  private isClosed = false;

  constructor(options: TopologyRegisterOptions) {
    const { env, keeper, voter, hlc } = options;
    this.env = env;
    this.keeper = keeper;
    this.voter = voter;
    this.bus = options.bus;
    this.hlc = hlc;
    this.core = new RegisterCore<Uint8Array, readonly Planned[], Reply>({
      world: {
        get actor() {
          return options.actor();
        },
        clock: hlc,
        random: () => env.random.next(),
        owners: () => {
          this.basis = must(keeper.topology, 'a member changes the topology');
          return this.basis.voters;
        },
        // Requests carry the epoch of the basis; voters of a later one say that they are stale.
        mayAccept: () => true,
        held: () => voter.held(),
        run: (_row, batches, value) => this.run(batches, value),
      },
      limits: { phaseTimeoutMs: TOPOLOGY_PHASE_MS, ...options.limits },
    });
  }

  /**
   * Changes the document. Fulfilled, with the document in which the plan is carried out, once that is in force here.
   * Rejected with `TopologyError`. `deadlineMs`: monotonic. Requires: this node is a member.
   */
  change(plan: TopologyPlan, deadlineMs: number): Promise<Topology> {
    return new Promise((resolve, reject) => {
      if (this.waiting.length >= MAX_TOPOLOGY_CHANGES) {
        reject(new TopologyError('no-quorum', 'too many changes of the topology wait here'));
        return;
      }
      this.waiting.push({ plan, deadlineMs, resolve, reject });
      this.begin();
    });
  }

  /** Ends the timers. What is under way is never answered. */
  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
    for (const wait of this.waits) wait.cancel();
    this.waits.clear();
  }

  /** All that wait go on, unless somebody is under way. */
  private begin(): void {
    if (this.isBusy || this.isClosed) return;
    const nowMs = this.nowMs();
    const batch = this.waiting;
    this.waiting = [];
    for (const planned of batch) {
      if (nowMs < planned.deadlineMs) this.waiting.push(planned);
      else planned.reject(new TopologyError('no-quorum', 'too few voters of the topology answered in time'));
    }
    if (this.waiting.length === 0) return;
    this.isBusy = true;
    if (this.hlc.aheadMs >= MAX_AHEAD_MS / 2) {
      this.goOn(READY_POLL_MS);
      return;
    }
    const change = this.waiting;
    this.waiting = [];
    const deadlineMs = Math.min(...change.map((planned) => planned.deadlineMs));
    this.carryOut(this.core.step({ kind: 'submit', row: TOPOLOGY_ROW, change, deadlineMs }, nowMs));
  }

  private goOn(afterMs: number): void {
    this.later(afterMs, () => {
      this.isBusy = false;
      this.begin();
    });
  }

  // --- the document ------------------------------------------------------------------------------------------------

  private run(batches: readonly (readonly Planned[])[], value: Uint8Array | undefined): Result<Uint8Array, Reply> {
    const [planned] = batches;
    assert(planned !== undefined && batches.length === 1, 'one batch is under way');
    const basis = must(this.basis, 'an attempt has a basis');
    const found = value === undefined ? undefined : adoptTopology(basis, decodeTopology(value));
    if (value !== undefined && found !== undefined && found.epoch > basis.epoch) {
      return { value, replies: [{ kind: 'again', topology: found }] };
    }
    // What is in force is chosen, whatever a voter that joined since may hold.
    const { next, refusals } = applyPlans(
      basis,
      planned.map(({ plan }) => plan),
    );
    return { value: this.keeper.bytesOf(next), replies: [{ kind: 'done', topology: next, refusals }] };
  }

  private take(batch: readonly Planned[], reply: Reply): void {
    void this.keeper.adopt(reply.topology).then(() => {
      if (reply.kind === 'again') this.waiting = [...batch, ...this.waiting];
      else {
        for (const [i, { resolve, reject }] of batch.entries()) {
          const refused = reply.refusals[i];
          if (refused === undefined) resolve(reply.topology);
          else reject(refused);
        }
      }
      this.isBusy = false;
      this.begin();
    });
  }

  // --- effects -----------------------------------------------------------------------------------------------------

  private carryOut(effects: RegisterEffect<Uint8Array, readonly Planned[], Reply>[]): void {
    // An answer of our own voter may come at once, and with it another attempt on another basis.
    const { basis } = this;
    for (const effect of effects) {
      switch (effect.kind) {
        case 'ask':
          this.ask(must(basis, 'an attempt has a basis'), effect.attempt, effect.to, effect.request);
          break;
        case 'learn':
          this.keeper.learn(effect.from, effect.epoch);
          break;
        case 'whole':
          throw new AssertionError('documents are always told whole');
        case 'reply':
          if (effect.outcome.kind === 'done') this.take(effect.change, effect.outcome.reply);
          else {
            // What becomes of it is unknown, or there was no quorum: the plans find out what is left to do.
            this.waiting = [...effect.change, ...this.waiting];
            this.goOn(RETRY_MS);
          }
          break;
      }
    }
    this.wakeInTime();
  }

  private ask(basis: Topology, attempt: number, to: MemberId, request: OwnerRequest<Uint8Array>): void {
    const { epoch } = basis;
    const answered = (answer: OwnerAnswer<Uint8Array>): void => {
      if (this.isClosed) return;
      this.carryOut(this.core.step({ kind: 'answer', attempt, from: to, answer }, this.nowMs()));
    };
    if (to === this.keeper.self) {
      this.voter.ask(request, epoch, answered);
      return;
    }
    const deadlineMs = this.nowMs() + TOPOLOGY_PHASE_MS;
    const payload = encodeRequest(request);
    const outgoing = { method: busMethod.TOPOLOGY_ASK, priority: priority.CONTROL, deadlineMs, epoch, payload };
    const voter = must(
      basis.members.find((member) => member.id === to),
      'voters are members',
    );
    this.bus.request(voter.identity, outgoing, (outcome) => {
      if (outcome.kind === 'unsent') answered({ kind: 'unsent' });
      else if (outcome.kind === 'unknown' || outcome.message.method !== 0) answered(REFUSED);
      else answered(this.answerOf(outcome.message.payload));
    });
  }

  private answerOf(payload: Uint8Array): OwnerAnswer<Uint8Array> {
    try {
      return decodeAnswer(copyOf(payload));
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      this.env.log.error('a voter answered what is no answer', { reason: thrown.message });
      return REFUSED;
    }
  }

  private wakeInTime(): void {
    const wantedMs = this.core.wakeAtMs;
    if (wantedMs >= this.timerAtMs || this.isClosed) return;
    this.timer?.cancel();
    this.timerAtMs = wantedMs;
    this.timer = this.env.timers.after(Math.max(0, Math.ceil(wantedMs - this.nowMs())), () => {
      this.timer = undefined;
      this.timerAtMs = Number.POSITIVE_INFINITY;
      this.carryOut(this.core.step({ kind: 'wake' }, this.nowMs()));
    });
  }

  private later(delayMs: number, run: () => void): void {
    if (this.isClosed) return;
    const timer = this.env.timers.after(delayMs, () => {
      this.waits.delete(timer);
      run();
    });
    this.waits.add(timer);
  }

  private nowMs(): number {
    return this.env.clock.monotonicUs() / 1000;
  }
}

const REFUSED = { kind: 'unable', reason: 'refused' } as const;

/**
 * The document after all plans that can be, one epoch on; `topology` itself when there is nothing to change. One refusal
 * or none for each plan.
 */
export function applyPlans(
  topology: Topology,
  plans: readonly TopologyPlan[],
): { readonly next: Topology; readonly refusals: readonly (TopologyError | undefined)[] } {
  let next = topology;
  const changes: TopologyChange[] = [];
  const refusals = plans.map((plan) => {
    try {
      const more = plan(next);
      if (more.length > 0) next = applyChanges(topology, [...changes, ...more]);
      changes.push(...more);
      return undefined;
    } catch (thrown) {
      if (thrown instanceof TopologyError) return thrown;
      if (thrown instanceof AssertionError) return new TopologyError('refused', thrown.message);
      throw thrown;
    }
  });
  return { next, refusals };
}
