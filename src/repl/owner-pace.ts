/**
 * How quickly owners answer, and whom to ask first: this node, then the healthy ones, the quicker first.
 *
 * The hedging delay is the smoothed answer time and four times its mean deviation (Jacobson 1988, as TCP's
 * retransmission timer): about the 99th percentile of what is usual, so that one answer in a hundred is asked for twice.
 *
 * Invariant: ranks and paces are hints; whoever is asked first changes what an answer costs, never what it is.
 */

import type { MemberId } from '../cluster/member.ts';
import type { Clock, Random } from '../env.ts';

/** Bounds of the hedging delay: below the first a busy turn of an event loop looks like a slow owner. */
export const MIN_HEDGE_MS = 8;
export const MAX_HEDGE_MS = 250;

/** The delay while an owner was not measured yet. */
const FIRST_HEDGE_MS = 50;

/** Weight of a new answer in the mean and in the deviation: TCP's. */
const MEAN_GAIN = 1 / 8;
const DEVIATION_GAIN = 1 / 4;

/** How long an order of owners stands before health and round trips are looked at again. */
const RANK_MS = 10;

/** Orders kept; beyond it all are forgotten. A cluster has about as many as it has sets of owners. */
const MAX_RANKS = 4_096;

/** Round trips within this factor of each other are equal, and chance decides. */
const NEAR = 2;

/** Round trips below this are equal too; one that was not measured yet counts as `MAX_HEDGE_MS`. */
const MIN_RTT_MS = 0.05;

/** More than any round trip weighs. */
const UNHEALTHY_COST = 1_000;

export interface PaceView {
  readonly self: MemberId;
  isHealthy(id: MemberId): boolean;
  rttMs(id: MemberId): number;
}

interface Pace {
  meanMs: number;
  deviationMs: number;
}

export class OwnerPace {
  private readonly view: PaceView;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly paces = new Map<MemberId, Pace>();
  private readonly ranks = new Map<readonly MemberId[], readonly MemberId[]>();
  private ranksUntilUs = 0;

  constructor(options: { view: PaceView; clock: Clock; random: Random }) {
    this.view = options.view;
    this.clock = options.clock;
    this.random = options.random;
  }

  /** An owner's answer to a read took so long. */
  took(member: MemberId, ms: number): void {
    const pace = this.paces.get(member);
    if (pace === undefined) {
      this.paces.set(member, { meanMs: ms, deviationMs: ms / 2 });
      return;
    }
    const error = ms - pace.meanMs;
    pace.meanMs += error * MEAN_GAIN;
    pace.deviationMs += (Math.abs(error) - pace.deviationMs) * DEVIATION_GAIN;
  }

  /** How long these owners may take before others are asked too. */
  hedgeAfterMs(members: readonly MemberId[]): number {
    let longest = MIN_HEDGE_MS;
    for (let i = 0; i < members.length; i++) {
      const pace = this.paces.get(members[i] as MemberId);
      const ms = pace === undefined ? FIRST_HEDGE_MS : pace.meanMs + 4 * pace.deviationMs;
      if (ms > longest) longest = ms;
    }
    return longest < MAX_HEDGE_MS ? longest : MAX_HEDGE_MS;
  }

  /** `members` in the order in which to ask them. The same array has the same order for `RANK_MS`. */
  rank(members: readonly MemberId[]): readonly MemberId[] {
    const nowUs = this.clock.monotonicUs();
    if (nowUs >= this.ranksUntilUs || this.ranks.size >= MAX_RANKS) {
      this.ranks.clear();
      this.ranksUntilUs = nowUs + RANK_MS * 1000;
    }
    let ranked = this.ranks.get(members);
    if (ranked === undefined) {
      ranked = this.order(members);
      this.ranks.set(members, ranked);
    }
    return ranked;
  }

  private order(members: readonly MemberId[]): readonly MemberId[] {
    const scored = members.map((member) => ({ member, cost: this.cost(member) }));
    scored.sort((a, b) => a.cost - b.cost);
    return scored.map((each) => each.member);
  }

  private cost(member: MemberId): number {
    const { view } = this;
    if (member === view.self) return -1;
    const rttMs = Math.min(Math.max(view.rttMs(member), MIN_RTT_MS), MAX_HEDGE_MS);
    const rung = Math.floor(Math.log(rttMs / MIN_RTT_MS) / Math.log(NEAR));
    return (view.isHealthy(member) ? 0 : UNHEALTHY_COST) + rung + this.random.next() / 2;
  }
}
