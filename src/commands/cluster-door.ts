/** What commands may ask of this node's part in a cluster: CLUSTER and KV.MEMBERS. */

import type { Bus } from '../cluster/bus.ts';
import type { MemberId } from '../cluster/member.ts';
import { aboutOf, type Membership } from '../cluster/membership.ts';
import type { MemberStatus } from '../cluster/swim-message.ts';
import type { Topology } from '../cluster/topology.ts';
import { formatHostPort } from '../config-cluster.ts';
import type { Env } from '../env.ts';
import { forgetMember } from '../repl/topology-forget.ts';
import type { Enrolment } from '../repl/topology-join.ts';
import type { TopologyKeeper } from '../repl/topology-keeper.ts';
import type { TopologyRegister } from '../repl/topology-register.ts';

/** How long CLUSTER FORGET waits for slots to be moved off before it says that they are under way. */
export const FORGET_TIMEOUT_MS = 15_000;

/**
 * How long a member has been out of reach before clients are shown another way. Within that time it is asked by those in
 * whose way it stands all the same; and what clients are shown does not change with every pause of a busy machine.
 */
export const SHOWN_GRACE_MS = 2_000;

/** What is known of one member at this moment. */
export interface Standing {
  readonly status: MemberStatus | 'unknown';
  /** Of membership; 0 when it was not heard of. */
  readonly incarnation: number;
  readonly version: string;
  /** Of the topology, as it told last. */
  readonly epoch: number;
}

export interface ClusterDoorOptions {
  readonly env: Pick<Env, 'clock' | 'timers'>;
  readonly keeper: TopologyKeeper;
  readonly membership: Membership;
  readonly enrolment: Enrolment;
  readonly register: TopologyRegister;
  readonly bus: Pick<Bus, 'metrics' | 'onHealth'>;
  readonly version: string;
}

export class ClusterDoor {
  private readonly env: ClusterDoorOptions['env'];
  private readonly keeper: TopologyKeeper;
  private readonly membership: Membership;
  private readonly enrolment: Enrolment;
  private readonly register: TopologyRegister;
  private readonly bus: ClusterDoorOptions['bus'];
  private readonly version: string;
  /** Since when nodes are out of reach, by their names. */
  private readonly lostSinceMs = new Map<string, number>();

  constructor(options: ClusterDoorOptions) {
    this.env = options.env;
    this.keeper = options.keeper;
    this.membership = options.membership;
    this.enrolment = options.enrolment;
    this.register = options.register;
    this.bus = options.bus;
    this.version = options.version;
    this.bus.onHealth((name, healthy) => {
      if (healthy) this.lostSinceMs.delete(name);
      else if (!this.lostSinceMs.has(name)) this.lostSinceMs.set(name, this.nowMs());
    });
  }

  /** Undefined before this node belongs to a cluster. */
  get topology(): Topology | undefined {
    return this.keeper.topology;
  }

  get self(): MemberId {
    return this.keeper.self;
  }

  get isShared(): boolean {
    return this.keeper.isShared;
  }

  isHealthy(id: MemberId): boolean {
    return this.keeper.isHealthy(id);
  }

  /** In reach, or out of it for a moment only: clients are sent there. */
  isShown(id: MemberId): boolean {
    if (this.keeper.isHealthy(id)) return true;
    const name = this.keeper.nameOf(id);
    const nowMs = this.nowMs();
    // Who was never in reach has the same time, from the first question on.
    const sinceMs = this.lostSinceMs.get(name) ?? nowMs;
    this.lostSinceMs.set(name, sinceMs);
    return nowMs - sinceMs < SHOWN_GRACE_MS && !this.membership.isGone(name);
  }

  rttMs(id: MemberId): number {
    return this.keeper.rttMs(id);
  }

  standingOf(id: MemberId): Standing {
    const known = this.membership.get(this.keeper.nameOf(id));
    if (id === this.keeper.self) {
      const incarnation = known?.incarnation ?? 0;
      return { status: 'alive', incarnation, version: this.version, epoch: this.keeper.epoch };
    }
    if (known === undefined) return { status: 'unknown', incarnation: 0, version: '', epoch: 0 };
    return { status: known.status, incarnation: known.incarnation, ...aboutOf(known.about) };
  }

  busMetrics(): Readonly<Record<string, number>> {
    return this.bus.metrics();
  }

  /** CLUSTER MEET. Rejects with `TopologyError`. */
  meet(host: string, busPort: number): Promise<void> {
    return this.enrolment.meet(formatHostPort({ host, port: busPort }));
  }

  /** CLUSTER FORGET, of a member that is not this one. Rejects with `TopologyError`. */
  forget(name: string): Promise<void> {
    const deadlineMs = this.nowMs() + FORGET_TIMEOUT_MS;
    const timeUp = (): Promise<void> =>
      new Promise((resolve) => {
        this.env.timers.after(FORGET_TIMEOUT_MS, resolve);
      });
    return forgetMember({ keeper: this.keeper, register: this.register, name, deadlineMs, timeUp });
  }
  private nowMs(): number {
    return this.env.clock.monotonicUs() / 1000;
  }
}
