/**
 * One run: machines with the product on them, clients, the faults of a seed, then healing, then the checks.
 *
 * First phase, safety: everything that the swarm options allow goes wrong, and clients note what they see. Second phase,
 * healing: all machines run, nothing goes wrong; every key must be answered at every node, and the checks judge what the
 * clients saw.
 */

import { setImmediate as realTurn } from 'node:timers/promises';
import { must } from '../../../src/assert.ts';
import { EventLoop, type Life } from '../event-loop.ts';
import { Prng } from '../prng.ts';
import { keyName, readingOf, SimClient } from './client.ts';
import { formationOf, type Formation } from './formation.ts';
import { History, type Outcome } from './history.ts';
import type { Node } from '../../../src/node.ts';
import { askOnce } from './ask-once.ts';
import { heldBy, idOf, isSettled, memberOf, ownersOf, settleRow, topologyOf } from './inside.ts';
import { Machine } from './machine.ts';
import { calmNetwork } from './network-faults.ts';
import { SimNetwork, type Host } from './network.ts';
import type { Operation, ReplyText } from './operation.ts';
import { AccountsCompany } from './accounts-company.ts';
import type { Company } from './company.ts';
import { MarksCompany } from './marks-company.ts';
import { QueuesCompany } from './queues-company.ts';
import { ScriptsCompany } from './scripts-company.ts';
import { SessionClient } from './session-client.ts';
import { argumentsOf, machineName } from './setting.ts';
import { StreamsCompany } from './streams-company.ts';
import { drawSwarm, type CompanyName, type Swarm } from './swarm.ts';
import { Talker } from './talker.ts';
import { TokensCompany } from './tokens-company.ts';
import { Trouble } from './trouble.ts';

export interface SceneOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly swarm?: Partial<Swarm>;
  /** Hears every event as it happens. */
  readonly onNote?: (line: string) => void;
}

export interface SceneResult {
  readonly seed: number;
  readonly swarm: Swarm;
  /** Depends on everything that happened: two runs of a seed have the same one. */
  readonly digest: string;
  readonly violations: readonly string[];
  /** Keys whose history was too long a search; they count neither as right nor as wrong. */
  readonly undecided: number;
  /** Keys whose owners came to hold the same only by a change that changes nothing. */
  readonly repaired: number;
  readonly operations: number;
  /** Answered, of clients at level session. */
  readonly sessionOperations: number;
  /** Of companies, on several keys together; and those of them that were answered. */
  readonly togetherOperations: number;
  readonly togetherAnswered: number;
  readonly answered: number;
  readonly unknown: number;
  readonly crashes: number;
  readonly pauses: number;
  readonly cuts: number;
  readonly injected: number;
  readonly fatals: number;
  readonly events: number;
  readonly virtualMs: number;
  /** The last things that happened. */
  readonly notes: readonly string[];
}

const companyOf = {
  marks: MarksCompany,
  accounts: AccountsCompany,
  tokens: TokensCompany,
  queues: QueuesCompany,
  streams: StreamsCompany,
  scripts: ScriptsCompany,
} as const satisfies Readonly<Record<CompanyName, unknown>>;

/** Within this the product must serve at first, and again once nothing goes wrong. */
const FORMING_MS = 20_000;
const HEALING_MS = 20_000;
const SETTLING_MS = 30_000;
/** Hints are delivered within this. */
const HINTING_MS = 2_500;
/** A node that nobody lets in asks one member after the other, each for up to ten seconds. */
const ENTERING_MS = 60_000;
const FORGET_TRIES = 40;
const FORGET_TIMEOUT_MS = 20_000;
const STEP_MS = 20;
/** A final read may be answered with an error while nodes find one another again. */
const FINAL_TRIES = 200;
const FINAL_PAUSE_MS = 50;

const SHOWN_NOTES = 120;
const FNV_START = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export async function runScene(options: SceneOptions): Promise<SceneResult> {
  const swarm = { ...drawSwarm(new Prng(options.seed).split('swarm'), options.nodes), ...options.swarm };
  const { nodes, replicas, joins } = swarm;
  const formation = nodes === 1 ? undefined : await formationOf({ nodes: joins ? nodes - 1 : nodes, replicas });
  const scene = new Scene(options, swarm, formation);
  const unhandled = (reason: unknown): void => scene.threw(reason);
  process.on('unhandledRejection', unhandled);
  try {
    return await scene.run();
  } finally {
    process.off('unhandledRejection', unhandled);
  }
}

class Scene {
  private readonly options: SceneOptions;
  private readonly swarm: Swarm;
  private readonly loop = new EventLoop();
  private readonly network: SimNetwork;
  private readonly random: Prng;
  private readonly machines: Machine[] = [];
  private readonly clients: SimClient[] = [];
  private readonly sessions: SessionClient[] = [];
  private readonly companies: Company[] = [];
  private readonly checker: SimClient;
  /** Asks what companies want to know before and after. */
  private readonly auditor: Talker;
  private readonly operator: { network: SimNetwork; host: Host; life: Life };
  private readonly history = new History();
  private readonly trouble: Trouble;
  private readonly violations = new Set<string>();
  private readonly notes: string[] = [];
  private digest = FNV_START;
  private undecided = 0;
  private repaired = 0;
  private isOpen = false;

  constructor(options: SceneOptions, swarm: Swarm, formation: Formation | undefined) {
    this.options = options;
    this.swarm = swarm;
    const root = new Prng(options.seed);
    this.random = root.split('scene');
    this.network = new SimNetwork({ loop: this.loop, random: root.split('network') });
    this.loop.wallOffsetMs += formation?.ms ?? 0;
    for (let index = 0; index < swarm.nodes; index++) this.machines.push(this.newMachine(index, formation));
    const targets = this.machines.map(({ name }) => name);
    const world = {
      loop: this.loop,
      network: this.network,
      history: this.history,
      swarm: this.swarm,
      machines: this.machines,
      targets,
      isOpen: () => this.isOpen,
      note: (event: string) => this.note(event),
      violation: (what: string) => this.violation(what),
    };
    for (let index = 0; index < this.swarm.clients; index++) {
      this.clients.push(new SimClient(world, { name: `c${index + 1}`, random: root.split(`client ${index}`) }));
    }
    for (let index = 0; index < swarm.sessions; index++) {
      const name = `s${index + 1}`;
      this.sessions.push(new SessionClient(world, { name, random: root.split(`session ${index}`) }));
    }
    for (const name of swarm.companies) {
      const random = root.split(`company ${name}`);
      this.companies.push(new companyOf[name](world, { name, random, clients: random.between(2, 5) }));
    }
    this.auditor = new Talker(world, { name: 'auditor', random: root.split('auditor') });
    this.operator = { network: this.network, host: this.network.addHost('operator', false), life: this.loop.life() };
    this.checker = new SimClient(world, { name: 'c99', random: root.split('checker') });
    this.trouble = new Trouble(world, root.split('trouble'));
  }

  async run(): Promise<SceneResult> {
    try {
      this.note(`swarm ${JSON.stringify(this.swarm)}`);
      await this.form();
      if (this.violations.size === 0) {
        await this.live();
        await this.heal();
        await this.readFinally();
        for (const company of this.companies) await this.loop.settle(company.finish(this.auditor));
        await this.converge();
        this.judge();
      }
    } catch (error) {
      this.threw(error);
    }
    // Virtual time passes within one tick of the real loop, and rejections that nobody handles are told at its end.
    await realTurn();
    return this.result();
  }

  /** The product threw where nobody catches: in production its process would end. */
  threw(error: unknown): void {
    this.violation(`thrown: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }

  private newMachine(index: number, formation: Formation | undefined): Machine {
    const { swarm, random } = this;
    const names = Array.from({ length: swarm.nodes }, (_, each) => machineName(each));
    const name = machineName(index);
    return new Machine(
      {
        loop: this.loop,
        network: this.network,
        random,
        note: (event) => this.note(event),
        violation: (what) => this.violation(what),
      },
      {
        name,
        args: argumentsOf({ ...swarm, index, seeds: names.filter((each) => each !== name) }),
        skewMs: Math.round((random.next() * 2 - 1) * swarm.skewMs),
        drift: (random.next() * 2 - 1) * swarm.drift,
        image: formation?.images[index],
      },
    );
  }

  /** All machines come up while nothing goes wrong. */
  private async form(): Promise<void> {
    const { swarm } = this;
    const first = this.machines.slice(0, swarm.nodes - Number(swarm.joins));
    for (const machine of first) {
      machine.disk.faults = { ...machine.disk.faults, slowness: swarm.disk.slowness };
      machine.start();
    }
    await this.until(() => first.every(({ node }) => node !== undefined), FORMING_MS, 'the nodes do not start');
    for (const company of this.companies) await this.loop.settle(company.prepare(this.auditor));
  }

  private async live(): Promise<void> {
    const { swarm } = this;
    this.isOpen = true;
    this.network.faults = { ...swarm.network };
    for (const machine of this.machines) {
      machine.diskFaults = { ...swarm.disk };
      machine.disk.faults = { ...swarm.disk };
    }
    for (const client of this.clients) client.start();
    for (const company of this.companies) company.start();
    // A write at level session may be on one disk only, and that one may be lost.
    if (!swarm.losesDisk) for (const session of this.sessions) session.start();
    if (swarm.joins) this.loop.post(this.random.next() * swarm.runMs * 500, () => this.machines.at(-1)?.start());
    this.trouble.start();
    await this.loop.advance(swarm.runMs);
  }

  private async heal(): Promise<void> {
    this.note('healing');
    this.isOpen = false;
    this.network.faults = calmNetwork();
    for (const machine of this.machines) {
      machine.heal();
      machine.start();
    }
    this.network.mendAll();
    const all = (): boolean => this.machines.every(({ node }) => node !== undefined);
    await this.until(all, HEALING_MS, 'not all nodes serve again');
    if (this.swarm.nodes > 1) await this.enter();
    if (this.swarm.losesDisk) await this.forgetLost();
    // What clients still wait for comes, or does not, within their deadline.
    await this.loop.advance(this.swarm.clientTimeoutMs + 1);
    await this.until(() => this.companies.every(({ isIdle }) => isIdle), SETTLING_MS, 'a client hangs');
  }

  /** Nodes that were joining get in. */
  private async enter(): Promise<void> {
    for (const machine of this.machines) {
      const { name } = machine;
      const isIn = (): boolean => machine.node !== undefined && topologyOf(machine.node) !== undefined;
      await this.until(isIn, ENTERING_MS, `${name} does not get in`);
    }
  }

  /** The operator removes members whose disks were lost: their machines are there under new identities. */
  private async forgetLost(): Promise<void> {
    for (const { name, node } of this.machines) {
      const { loop, operator } = this;
      const topology = node === undefined ? undefined : topologyOf(node);
      const lost = (topology?.members ?? []).filter(({ host, identity }) => host === name && identity !== idOf(node));
      for (const { identity } of lost) {
        const target = this.machines.find((machine) => machine.name !== name)?.name ?? name;
        let reply: ReplyText | undefined;
        for (let tries = 0; tries < FORGET_TRIES && reply !== '+OK'; tries++) {
          const commands = [['CLUSTER', 'FORGET', identity]];
          reply = await loop.settle(askOnce(operator, { target, commands, timeoutMs: FORGET_TIMEOUT_MS }));
          this.note(`CLUSTER FORGET ${identity}: ${reply ?? 'no answer'}`);
          if (reply !== '+OK') await loop.advance(FINAL_PAUSE_MS * 10);
        }
        if (reply !== '+OK') this.violation(`the lost ${identity} cannot be forgotten: ${reply ?? 'no answer'}`);
      }
    }
  }

  /** Every key is answered at every node: what the clients were told must be what is there now. */
  private async readFinally(): Promise<void> {
    for (const machine of this.machines) {
      for (const [index, workload] of this.swarm.keys.entries()) {
        await this.readOnce(machine.name, keyName(workload, index), readingOf(workload));
      }
    }
  }

  private async readOnce(target: string, key: string, reading: Operation): Promise<void> {
    for (let tries = 0; tries < FINAL_TRIES; tries++) {
      const asked: { outcome?: Outcome } = {};
      this.checker.runAt(target, key, reading, (outcome) => {
        asked.outcome = outcome;
      });
      await this.until(() => asked.outcome !== undefined, 2 * this.swarm.clientTimeoutMs + STEP_MS, 'a client hangs');
      if (asked.outcome === 'done') return;
      await this.loop.advance(FINAL_PAUSE_MS);
    }
    this.violation(`${key} cannot be read at ${target} though nothing goes wrong any more`);
  }

  /** Nothing moves any more, and all owners of a key hold the same, version and state. */
  private async converge(): Promise<void> {
    if (this.swarm.nodes === 1) return;
    const nodes = this.machines.map(({ node }) => must(node, 'all nodes serve'));
    await this.until(() => isSettled(nodes, nodes.length), SETTLING_MS, 'the topology does not settle');
    if (this.violations.size > 0) return;
    const byMember = new Map(nodes.map((node) => [memberOf(node), node]));
    const keys = this.swarm.keys.map((workload, index) => keyName(workload, index));
    // Looked up each time: a last batch of slots may still move.
    const ownersNow = (key: string): Node[] =>
      ownersOf(must(nodes[0], 'a node'), key).map((id) => must(byMember.get(id), 'owners are members'));
    await this.convergeKeys([...keys, ...this.companies.flatMap((company) => company.keys)], ownersNow);
  }

  /**
   * What an owner missed comes as a hint; what nobody knows to be chosen (an uncertain write, a coordinator that died)
   * does not, and anti-entropy brings it: here a change that changes nothing.
   */
  private async convergeKeys(keys: readonly string[], ownersNow: (key: string) => readonly Node[]): Promise<void> {
    const { loop } = this;
    let differing = new Map<string, string[]>(keys.map((key) => [key, []]));
    const look = async (): Promise<void> => {
      const held = await loop.settle(
        Promise.all(
          [...differing.keys()].map(async (key): Promise<[string, string[]]> => [
            key,
            await Promise.all(ownersNow(key).map((owner) => heldBy(owner, key))),
          ]),
        ),
      );
      differing = new Map(held.filter(([, each]) => new Set(each).size > 1));
    };
    await look();
    for (let ms = 0; ms < HINTING_MS && differing.size > 0; ms += FINAL_PAUSE_MS) {
      await loop.advance(FINAL_PAUSE_MS);
      await look();
    }
    this.repaired += differing.size;
    for (let tries = 0; tries < FINAL_TRIES && differing.size > 0; tries++) {
      for (const key of differing.keys()) await loop.settle(settleRow(this.random.pick(ownersNow(key)), key));
      await loop.advance(FINAL_PAUSE_MS);
      await look();
    }
    for (const [key, held] of differing) this.violation(`the owners of ${key} differ: ${held.join(' | ')}`);
  }

  private judge(): void {
    const spread = this.swarm.skewMs + this.swarm.jumpMs * 20 + (this.swarm.drift * this.loop.nowUs) / 1000;
    for (const [index, workload] of this.swarm.keys.entries()) {
      const { violation, undecided } = this.history.judge(keyName(workload, index), 2 * spread + 1);
      if (violation !== undefined) this.violation(violation);
      this.undecided += Number(undecided);
    }
  }

  /** Lets time pass until `ready`, at most `withinMs`. */
  private async until(ready: () => boolean, withinMs: number, failure: string): Promise<void> {
    const untilUs = this.loop.nowUs + withinMs * 1000;
    let stepMs = 1;
    while (this.loop.nowUs < untilUs && !ready()) {
      await this.loop.advance(stepMs);
      stepMs = Math.min(2 * stepMs, STEP_MS);
    }
    if (!ready()) this.violation(failure);
  }

  private note(event: string): void {
    const line = `${(this.loop.nowUs / 1000).toFixed(3).padStart(10)} ${event}`;
    this.options.onNote?.(line);
    this.notes.push(line);
    if (this.notes.length > 4 * SHOWN_NOTES) this.notes.splice(0, 2 * SHOWN_NOTES);
    let { digest } = this;
    for (let i = 0; i < line.length; i++) digest = Math.imul(digest ^ line.charCodeAt(i), FNV_PRIME);
    this.digest = digest;
  }

  private violation(what: string): void {
    if (this.violations.has(what)) return;
    this.violations.add(what);
    this.note(`VIOLATION ${what}`);
  }

  private result(): SceneResult {
    const sum = (counts: Readonly<Record<string, number>>): number =>
      Object.values(counts).reduce((total, count) => total + count, 0);
    return {
      seed: this.options.seed,
      swarm: this.swarm,
      digest: (this.digest >>> 0).toString(16).padStart(8, '0'),
      violations: [...this.violations],
      undecided: this.undecided,
      repaired: this.repaired,
      operations: this.history.size,
      sessionOperations: this.sessions.reduce((total, { answered }) => total + answered, 0),
      togetherOperations: this.companies.reduce((total, { asked }) => total + asked, 0),
      togetherAnswered: this.companies.reduce((total, { answered }) => total + answered, 0),
      answered: this.history.count('done'),
      unknown: this.history.count('unknown'),
      crashes: this.trouble.crashes,
      pauses: this.trouble.pauses,
      cuts: this.trouble.cuts,
      injected: sum(this.network.injected) + this.machines.reduce((total, { disk }) => total + sum(disk.injected), 0),
      fatals: this.machines.reduce((total, { fatals }) => total + fatals, 0),
      events: this.loop.eventCount,
      virtualMs: Math.round(this.loop.nowUs / 1000),
      notes: this.notes.slice(-SHOWN_NOTES),
    };
  }
}
