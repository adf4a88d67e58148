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
  readonly bus: Pick<Bus, 'metrics'>;
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

  constructor(options: ClusterDoorOptions) {
    this.env = options.env;
    this.keeper = options.keeper;
    this.membership = options.membership;
    this.enrolment = options.enrolment;
    this.register = options.register;
    this.bus = options.bus;
    this.version = options.version;
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
    const deadlineMs = this.env.clock.monotonicUs() / 1000 + FORGET_TIMEOUT_MS;
    const timeUp = (): Promise<void> =>
      new Promise((resolve) => {
        this.env.timers.after(FORGET_TIMEOUT_MS, resolve);
      });
    return forgetMember({ keeper: this.keeper, register: this.register, name, deadlineMs, timeUp });
  }
}
