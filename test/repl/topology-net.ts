/** Several keepers, voters and registers under virtual time, on a bus that is a delay and a switch. */

import type { Answer, Bus, RequestHandler } from '../../src/cluster/bus.ts';
import { busMethod, METHOD_ANSWERED } from '../../src/cluster/bus-method.ts';
import type { BusOutcome, Outgoing } from '../../src/cluster/bus-core.ts';
import type { DurableValues } from '../../src/cluster/durable-values.ts';
import { messageType, type Message } from '../../src/cluster/frame.ts';
import type { Topology } from '../../src/cluster/topology.ts';
import type { Env, Log } from '../../src/env.ts';
import { Hlc } from '../../src/repl/hlc.ts';
import { Enrolment, type Entry } from '../../src/repl/topology-join.ts';
import { TopologyKeeper } from '../../src/repl/topology-keeper.ts';
import { TopologyRegister } from '../../src/repl/topology-register.ts';
import { TopologyVoter } from '../../src/repl/topology-voter.ts';
import { ceilingVersion } from '../../src/repl/version.ts';
import { EventLoop, type Life } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';

export const NO_LOG: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Values that are durable after a moment, in order; they outlive the node. */
export class SlowValues implements DurableValues {
  readonly kept = new Map<string, Uint8Array>();
  private readonly loop: EventLoop;
  private readonly random: Prng;
  private last: Promise<void> = Promise.resolve();
  private life = 0;

  constructor(loop: EventLoop, random: Prng) {
    this.loop = loop;
    this.random = random;
  }

  /** What is not durable yet never will be. */
  crash(): void {
    this.life++;
    this.last = Promise.resolve();
  }

  getValue(name: string): Uint8Array | undefined {
    return this.kept.get(name);
  }

  setValue(name: string, value: Uint8Array): Promise<void> {
    const { life } = this;
    const own = value.slice();
    this.last = this.last.then(
      () =>
        new Promise((resolve) => {
          this.loop.post(this.random.next() * 3_000, () => {
            if (this.life !== life) return;
            this.kept.set(name, own);
            resolve();
          });
        }),
    );
    return this.last;
  }
}

export function identityOf(number: number): string {
  return number.toString(16).padStart(40, '0');
}

function portOf(number: number): number {
  return 17_000 + number;
}

/** One node and its lives. */
export class TopologyNode {
  readonly number: number;
  readonly values: SlowValues;
  readonly net: TopologyNet;
  entry: Entry;
  up = false;
  keys = 0;
  cleared = 0;
  /** What clearing fails with. */
  refusal: Error | undefined = undefined;
  /** What is said of a row that is too large to be shared, and how often it was looked for. */
  largeRow: string | undefined = undefined;
  looks = 0;
  keeper!: TopologyKeeper;
  voter!: TopologyVoter;
  register!: TopologyRegister;
  enrolment!: Enrolment;
  handlers = new Map<number, RequestHandler>();
  private timers!: Life;
  private lives = 0;
  private ceiling = 0;

  constructor(net: TopologyNet, number: number) {
    this.net = net;
    this.number = number;
    this.values = new SlowValues(net.loop, net.random);
    this.entry = {
      identity: identityOf(number),
      host: '127.0.0.1',
      port: 7_000 + number,
      busPort: portOf(number),
      weight: 1,
      rack: '',
      dataCentre: '',
    };
  }

  get address(): string {
    return `127.0.0.1:${this.entry.busPort}`;
  }

  get topology(): Topology {
    return this.keeper.topology as Topology;
  }

  start(): void {
    const { net, values, entry } = this;
    this.up = true;
    const life = ++this.lives;
    this.timers = net.loop.life();
    const env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'> = {
      clock: net.loop.clock,
      timers: this.timers,
      random: { next: () => net.random.next(), bytes: (length) => net.random.bytes(length) },
      log: net.log,
    };
    const promisedBefore = ceilingVersion(this.ceiling);
    const hlc = new Hlc({
      wallMs: () => net.loop.clock.wallMs(),
      ceiling: this.ceiling,
      persist: (ceiling) => {
        this.ceiling = ceiling;
      },
    });
    const bus = net.busOf(this);
    this.keeper = new TopologyKeeper({ env, identity: entry.identity, values, bus, isGone: () => false });
    this.keeper.load();
    const { keeper } = this;
    this.voter = new TopologyVoter({ values, view: keeper, clock: hlc, log: net.log, promisedBefore });
    this.voter.load();
    const { voter } = this;
    const actor = (): number => keeper.self * 65_536 + life;
    this.register = new TopologyRegister({ env, keeper, voter, bus, hlc, actor });
    const { register } = this;
    this.enrolment = new Enrolment({
      env,
      keeper,
      register,
      voter,
      bus,
      entry,
      replicas: 3,
      holdsKeys: () => this.keys > 0,
      clear: () => {
        this.cleared++;
        return this.refusal === undefined ? Promise.resolve() : Promise.reject(this.refusal);
      },
      largeRow: () => {
        this.looks++;
        return Promise.resolve(this.largeRow);
      },
    });
    this.handlers = new Map<number, RequestHandler>([
      [busMethod.TOPOLOGY_GET, keeper.onGet],
      [busMethod.TOPOLOGY_ASK, voter.onAsk],
      [busMethod.JOIN, this.enrolment.onJoin],
    ]);
    keeper.onTopology((next) => net.inForce(this, next));
  }

  crash(): void {
    this.up = false;
    this.timers.kill();
    this.values.crash();
    this.keeper.close();
    this.register.close();
    this.enrolment.close();
  }
}

/** The nodes and what lies between them. Two nodes that are cut hear nothing of each other. */
export class TopologyNet {
  readonly loop = new EventLoop();
  readonly random: Prng;
  readonly log: Log;
  readonly nodes: TopologyNode[] = [];
  readonly cut = new Set<string>();
  /** Part of messages that are lost, their outcome unknown. */
  loss = 0;
  maxDelayMs = 2;
  /** Every document that was in force anywhere, by epoch, as text: of one epoch there is one. */
  readonly documents = new Map<string, string>();

  constructor(seed: number, log: Log = NO_LOG) {
    this.random = new Prng(seed);
    this.log = log;
  }

  add(): TopologyNode {
    const node = new TopologyNode(this, this.nodes.length + 1);
    this.nodes.push(node);
    node.start();
    return node;
  }

  inForce(node: TopologyNode, topology: Topology): void {
    const name = `${topology.clusterId} ${topology.epoch}`;
    const text = Buffer.from(node.keeper.bytesOf(topology)).toString('latin1');
    const before = this.documents.get(name);
    if (before !== undefined && before !== text) throw new Error(`two documents of epoch ${topology.epoch}`);
    this.documents.set(name, text);
  }

  isCut(a: TopologyNode, b: TopologyNode): boolean {
    return !a.up || !b.up || this.cut.has(`${a.number} ${b.number}`) || this.cut.has(`${b.number} ${a.number}`);
  }

  busOf(from: TopologyNode): Pick<Bus, 'request' | 'requestAt' | 'know' | 'forget' | 'isHealthy' | 'rttMs'> {
    return {
      know: () => {},
      forget: () => {},
      rttMs: () => 1,
      isHealthy: (name) => {
        const to = this.nodes.find((node) => node.entry.identity === name);
        return to !== undefined && !this.isCut(from, to);
      },
      request: (name, outgoing, ended) => {
        this.deliver(
          from,
          this.nodes.find((node) => node.entry.identity === name),
          outgoing,
          ended,
        );
      },
      requestAt: (address, outgoing, ended) => {
        const to = this.nodes.find((node) => node.address === address);
        this.deliver(from, to, outgoing, (outcome) => ended(outcome, to?.entry.identity));
      },
    };
  }

  private deliver(
    from: TopologyNode,
    to: TopologyNode | undefined,
    outgoing: Outgoing,
    ended: (outcome: BusOutcome) => void,
  ): void {
    const { keeper } = from;
    if (to === undefined || this.isCut(from, to)) {
      ended({ kind: 'unsent' });
      return;
    }
    let over = false;
    const end = (outcome: BusOutcome): void => {
      if (over || from.keeper !== keeper) return;
      over = true;
      ended(outcome);
    };
    const leftMs = outgoing.deadlineMs - this.loop.nowUs / 1000;
    this.loop.post(leftMs * 1000, () => end({ kind: 'unknown' }));
    this.pass(from, to, () => {
      const message = this.messageOf(messageType.REQUEST, outgoing.method, outgoing.epoch, outgoing.payload);
      const answer: Answer = (payload, method = METHOD_ANSWERED) => {
        const answered = this.messageOf(messageType.ANSWER, method, to.keeper.epoch, payload);
        this.pass(to, from, () => end({ kind: 'answered', message: answered }));
      };
      const isOurs = to.keeper.clusterId === keeper.clusterId;
      if (!isOurs && outgoing.method !== busMethod.JOIN) return;
      to.handlers.get(outgoing.method)?.({ from: from.entry.identity, address: from.address, message }, answer);
    });
  }

  private pass(from: TopologyNode, to: TopologyNode, arrive: () => void): void {
    if (this.random.chance(this.loss)) return;
    const { keeper } = to;
    this.loop.post(this.random.next() * this.maxDelayMs * 1000, () => {
      if (!this.isCut(from, to) && to.keeper === keeper) arrive();
    });
  }

  private messageOf(type: Message['type'], method: number, epoch: number, payload: Uint8Array): Message {
    return { type, priority: 0, method, requestId: 1, timeLeftMs: 0, epoch, payload: payload.slice() };
  }
}
