/** Nodes that are nothing but their bus, on a network in memory and virtual time. */

import { latin1, utf8 } from '../../src/bytes.ts';
import type { BusOutcome, Outgoing } from '../../src/cluster/bus-core.ts';
import { Bus, type Answer } from '../../src/cluster/bus.ts';
import { busMethod } from '../../src/cluster/bus-method.ts';
import { priority, type Priority } from '../../src/cluster/frame.ts';
import { FakeNetwork, type FakeMachine } from './fake-network.ts';

export const PORT = 17_001;

export interface TownNodeOptions {
  readonly secret?: string;
  readonly clusterId?: string;
}

export class TownNode {
  readonly name: string;
  readonly machine: FakeMachine;
  readonly bus: Bus;
  clusterId: string | undefined;
  /** Texts of requests and notices that came, as `method from text`. */
  readonly came: string[] = [];
  /** `name up` and `name down`. */
  readonly health: string[] = [];
  readonly outcomes: string[] = [];
  /** Requests wait here instead of being answered at once. */
  held: Answer[] | undefined;
  beforeFlush: () => void = () => undefined;
  noteCame: (text: string) => void = () => undefined;
  note: (text: string, outcome: BusOutcome) => void = (text, outcome) => {
    const said = outcome.kind === 'answered' ? `: ${latin1(outcome.message.payload)}` : '';
    this.outcomes.push(`${text} ${outcome.kind}${said}`);
  };

  constructor(town: Town, name: string, options: TownNodeOptions) {
    this.name = name;
    this.machine = town.network.machine(name);
    this.clusterId = options.clusterId;
    this.bus = new Bus({
      env: this.machine.env,
      identity: name,
      address: `${name}:${PORT}`,
      secret: options.secret ?? '',
      clusterId: () => this.clusterId,
      epoch: () => 7,
      beforeFlush: () => this.beforeFlush(),
    });
    for (const method of [busMethod.OWNER, busMethod.JOIN]) {
      this.bus.onRequest(method, ({ from, message }, answer) => {
        const text = latin1(message.payload);
        this.came.push(`${method} ${from} ${text}`);
        this.noteCame(text);
        if (this.held === undefined) answer(utf8(`${text} ok`));
        else this.held.push(answer);
      });
    }
    this.bus.onNotice(busMethod.SWIM, ({ from, address, message }) => {
      this.came.push(`${message.method} ${from} ${address} ${latin1(message.payload)}`);
    });
    this.bus.onHealth((peer, healthy) => this.health.push(`${peer} ${healthy ? 'up' : 'down'}`));
  }

  outgoing(text: string, options: { method?: number; waitMs?: number; priority?: Priority } = {}): Outgoing {
    return {
      method: options.method ?? busMethod.OWNER,
      priority: options.priority ?? priority.CLIENT,
      deadlineMs: this.machine.env.clock.monotonicUs() / 1_000 + (options.waitMs ?? 5_000),
      epoch: 3,
      payload: utf8(text),
    };
  }

  ask(to: string, text: string, options: Parameters<TownNode['outgoing']>[1] = {}): void {
    this.bus.request(to, this.outgoing(text, options), (outcome) => this.note(text, outcome));
  }

  askAt(address: string, text: string, options: Parameters<TownNode['outgoing']>[1] = {}): void {
    this.bus.requestAt(address, this.outgoing(text, options), (outcome, from) =>
      this.note(`${text} of ${from ?? 'nobody'}`, outcome),
    );
  }
}

export class Town {
  readonly network: FakeNetwork;
  readonly nodes = new Map<string, TownNode>();

  constructor(seed: number) {
    this.network = new FakeNetwork(seed);
  }

  async start(name: string, options: TownNodeOptions = {}): Promise<TownNode> {
    const node = new TownNode(this, name, options);
    this.nodes.set(name, node);
    await node.bus.listen({ host: name, port: PORT });
    return node;
  }

  /** Two nodes that know each other. */
  async pair(options: TownNodeOptions = {}): Promise<[TownNode, TownNode]> {
    const a = await this.start('a', options);
    const b = await this.start('b', options);
    this.introduce(a, b);
    await this.pass(500);
    return [a, b];
  }

  introduce(...nodes: TownNode[]): void {
    for (const each of nodes) for (const other of nodes) each.bus.know(other.name, `${other.name}:${PORT}`);
  }

  pass(ms: number): Promise<void> {
    return this.network.loop.advance(ms);
  }
}
