/**
 * Whole owners and coordinators over stores in memory, under virtual time: a bus that delays at random and can cut
 * members off, clocks that differ, topologies that arrive whenever they do. What runs in promises runs between events.
 */

import { copyOf } from '../../src/bytes.ts';
import type { BusOutcome, Outgoing } from '../../src/cluster/bus-core.ts';
import type { Answer, Arrival, RequestHandler } from '../../src/cluster/bus.ts';
import { messageType } from '../../src/cluster/frame.ts';
import type { MemberId } from '../../src/cluster/member.ts';
import type { Topology } from '../../src/cluster/topology.ts';
import type { Env, Timers } from '../../src/env.ts';
import { Coordinator } from '../../src/repl/coordinator.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Hints } from '../../src/repl/hints.ts';
import { KeyspaceState } from '../../src/repl/keyspace.ts';
import { OwnerDoor } from '../../src/repl/owner-door.ts';
import { Owner } from '../../src/repl/owner.ts';
import { ZERO_VERSION } from '../../src/repl/version.ts';
import { Kernel } from '../sim/cluster/kernel.ts';
import type { Prng } from '../sim/prng.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { BENCH_MS, BenchView, memberOf } from './owner-bench.ts';
import { silent } from '../support/silent-log.ts';

/** Turns of the real loop after each virtual event, for promises that wait for one another. */
const SETTLE_TURNS = 20;

export interface TestClusterOptions {
  readonly members: number;
  readonly topology: Topology;
  readonly random: Prng;
  /** One way, in ms. */
  readonly delayMs?: number;
  readonly skewMs?: number;
}

export class TestCluster {
  readonly kernel = new Kernel();
  readonly random: Prng;
  readonly nodes: TestNode[] = [];
  readonly delayMs: number;
  readonly skewMs: number;
  /** Messages that were sent. */
  messages = 0;

  constructor(options: TestClusterOptions) {
    this.random = options.random;
    this.delayMs = options.delayMs ?? 0.5;
    this.skewMs = options.skewMs ?? 0;
    for (let id = 1; id <= options.members; id++) this.nodes.push(new TestNode(this, id, options.topology));
  }

  node(id: MemberId): TestNode {
    return this.nodes[id - 1] as TestNode;
  }

  /** Everybody hears of the document, each after a while of its own. */
  tell(topology: Topology, withinMs = 5): void {
    for (const node of this.nodes) {
      this.kernel.after(this.random.next() * withinMs, () => node.hear(topology));
    }
  }

  /** Runs until `done()`, or until nothing happens before `untilMs`. */
  async run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    while (this.kernel.nowMs < untilMs && !done()) {
      this.kernel.run(untilMs, () => true);
      for (let i = 0; i < SETTLE_TURNS; i++) await Promise.resolve();
      if (this.nodes.some((node) => node.isBusy)) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  delay(): number {
    return this.delayMs * (0.5 + this.random.next());
  }

  close(): void {
    for (const node of this.nodes) node.coordinator.close();
  }
}

export class TestNode {
  readonly id: MemberId;
  readonly store = new MemoryStore();
  readonly state = new KeyspaceState();
  readonly view: BenchView;
  readonly hlc: Hlc;
  readonly owner: Owner;
  readonly door: OwnerDoor;
  readonly coordinator: Coordinator;
  readonly hints: Hints;
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'>;
  up = true;
  private readonly cluster: TestCluster;
  private readonly handlers = new Map<number, RequestHandler>();
  /** When the last message to each member arrives: a connection keeps their order. */
  private readonly arrivals = new Map<MemberId, number>();

  constructor(cluster: TestCluster, id: MemberId, topology: Topology) {
    this.cluster = cluster;
    this.id = id;
    const view = new (class extends BenchView {
      override isHealthy(other: MemberId): boolean {
        return cluster.node(other).up;
      }
    })(topology, id);
    this.view = view;
    const skewMs = cluster.skewMs * (cluster.random.next() - 0.5);
    const clock = {
      wallMs: () => Math.floor(BENCH_MS + cluster.kernel.nowMs + skewMs),
      monotonicUs: () => cluster.kernel.nowMs * 1_000,
    };
    const env = { clock, timers: timersOf(cluster.kernel), random: cluster.random, log: silent };
    this.env = env;
    this.hlc = new Hlc({ wallMs: () => clock.wallMs(), ceiling: 0, persist: () => undefined });
    const { store, state, hlc } = this;
    this.owner = new Owner({ env, store, state, hlc, promisedBefore: ZERO_VERSION, view });
    this.door = new OwnerDoor({ env, owner: this.owner, store, state, view, heard: () => undefined });
    this.door.serve({ onBatch: () => undefined, onRequest: (method, handler) => this.handlers.set(method, handler) });
    const bus = { request: this.request.bind(this) };
    this.coordinator = new Coordinator({
      env,
      view,
      bus,
      owner: this.owner,
      hlc,
      actor: id * 65_536 + 1,
      keepHint: (target, row, version, value) => this.hints.keep(target, row, version, value),
    });
    this.hints = new Hints({
      env,
      store,
      view,
      send: (to, request, answered) => this.coordinator.deliverHint(to, request, answered),
      settle: (row) =>
        this.coordinator.change(
          row,
          (value) => ({ state: value, reply: 0 }),
          1e12,
          () => undefined,
        ),
    });
  }

  /** Something in it waits for the real loop. */
  get isBusy(): boolean {
    return this.owner.slotsToDrop > 0;
  }

  hear(topology: Topology): void {
    if ((this.view.topology?.epoch ?? 0) < topology.epoch) this.view.set(topology);
  }

  request(to: string, outgoing: Outgoing, ended: (outcome: BusOutcome) => void): void {
    const target = this.cluster.nodes.find((node) => memberOf(node.id).identity === to) as TestNode;
    if (!target.up || !this.up) {
      this.cluster.kernel.after(0.01, () => ended({ kind: 'unsent' }));
      return;
    }
    let open = true;
    const end = (outcome: BusOutcome): void => {
      if (open) ended(outcome);
      open = false;
    };
    const waitMs = Math.min(60_000, outgoing.deadlineMs - this.cluster.kernel.nowMs);
    this.cluster.kernel.after(waitMs, () => end({ kind: 'unknown' }));
    const answer: Answer = (payload, method = 0) => {
      const copy = copyOf(payload);
      target.send(this, () => end({ kind: 'answered', message: messageOf(method, 0, copy) }));
    };
    const payload = copyOf(outgoing.payload);
    this.send(target, () => {
      const message = messageOf(outgoing.method, outgoing.epoch, payload);
      const arrival: Arrival = { from: memberOf(this.id).identity, address: '', message };
      const handler = target.handlers.get(outgoing.method);
      handler?.(arrival, answer);
      // What the bus brings is valid only during the call.
      payload.fill(0xee);
    });
  }

  /** As a move asks members, this node included. */
  askMember(
    to: MemberId,
    request: { method: number; payload: Uint8Array; epoch: number; timeoutMs: number },
    answered: (payload: Uint8Array | undefined) => void,
  ): void {
    const { method, payload, epoch } = request;
    if (to === this.id) {
      void this.door.answerSelf(method, payload, epoch).then((told) => answered('failed' in told ? undefined : told));
      return;
    }
    const deadlineMs = this.cluster.kernel.nowMs + request.timeoutMs;
    this.request(memberOf(to).identity, { method, priority: 2, deadlineMs, epoch, payload }, (outcome) => {
      answered(outcome.kind === 'answered' && outcome.message.method === 0 ? outcome.message.payload : undefined);
    });
  }

  private send(to: TestNode, arrived: () => void): void {
    const { kernel } = this.cluster;
    this.cluster.messages++;
    const atMs = Math.max(kernel.nowMs + this.cluster.delay(), this.arrivals.get(to.id) ?? 0);
    this.arrivals.set(to.id, atMs);
    kernel.after(atMs - kernel.nowMs, () => {
      if (to.up && this.up) arrived();
    });
  }
}

function messageOf(method: number, epoch: number, payload: Uint8Array) {
  return { type: messageType.REQUEST, priority: 1, method, requestId: 1, timeLeftMs: 0, epoch, payload } as const;
}

function timersOf(kernel: Kernel): Timers {
  return {
    after(delayMs, callback) {
      let live = true;
      kernel.after(delayMs, () => {
        if (live) callback();
      });
      return {
        cancel() {
          live = false;
        },
      };
    },
    every: () => ({ cancel() {} }),
    atTurnEnd(callback) {
      kernel.after(0, callback);
    },
  };
}
