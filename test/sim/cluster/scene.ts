/**
 * One run: a cluster of five nodes under the faults of a seed, clients, then healing, then the checks.
 *
 * First phase, safety: everything that the swarm options allow goes wrong. Second phase, liveness: nothing goes wrong
 * any more; every row must be readable again and all its owners must come to hold the same.
 */

import { must } from '../../../src/assert.ts';
import type { RowName } from '../../../src/repl/owner-message.ts';
import { slotOfRow } from '../../../src/repl/owner-message.ts';
import type { MemberId } from '../../../src/cluster/member.ts';
import type { Owners } from '../../../src/cluster/owners.ts';
import { versionText, type Version } from '../../../src/repl/version.ts';
import { Prng } from '../prng.ts';
import { History } from './history.ts';
import { Kernel } from './kernel.ts';
import { Network } from './network.ts';
import { NodeClock } from './node-clock.ts';
import { SimNode, type World } from './node.ts';
import type { ClientOutcome, Operation } from './operation.ts';
import { PlacementLog } from './placement-log.ts';
import { productRules, type Rules } from './rules.ts';
import { SlotMove } from './slot-move.ts';
import { drawSwarm, type Swarm } from './swarm.ts';

export interface SceneOptions {
  readonly seed: number;
  readonly rules?: Rules;
  /** Whether slots move; default: drawn from the seed. */
  readonly moves?: boolean;
  readonly swarm?: Partial<Swarm>;
}

export interface SceneResult {
  readonly seed: number;
  readonly swarm: Swarm;
  readonly violations: readonly string[];
  /** Rows whose history was too long a search; they count neither as right nor as wrong. */
  readonly undecided: number;
  readonly operations: number;
  readonly answered: number;
  readonly uncertain: number;
  readonly crashes: number;
  readonly moves: number;
  readonly redelivered: number;
  readonly events: number;
}

const SLOTS = 2;

/** How long a client waits for an answer before it takes the outcome as unknown. */
const CLIENT_TIMEOUT_MS = 300;

/** How long an operation may take at the coordinator. */
const OPERATION_MS = 200;

const HEALING_MS = 700;
const FINAL_TRIES = 60;

export function runScene(options: SceneOptions): SceneResult {
  return new Scene(options).run();
}

class Scene {
  private readonly seed: number;
  private readonly swarm: Swarm;
  private readonly kernel = new Kernel();
  private readonly random: Prng;
  private readonly world: World;
  private readonly history = new History();
  private readonly rows: RowName[] = [];
  private readonly violations = new Set<string>();
  /** What each version of a row is, from whoever took it first. */
  private readonly states = new Map<string, number | undefined>();
  private lastValue = 0;
  private crashes = 0;
  private moves = 0;
  private redelivered = 0;

  constructor(options: SceneOptions) {
    this.seed = options.seed;
    const root = new Prng(options.seed);
    this.random = root.split('scene');
    // Not drawn: what other seeds draw stays as it was.
    const deltas = options.seed % 5 === 1;
    this.swarm = { ...drawSwarm(root.split('swarm'), options.moves), deltas, ...options.swarm };
    const nodes: SimNode[] = [];
    this.world = {
      kernel: this.kernel,
      network: new Network(this.kernel, root.split('network'), this.swarm),
      placement: new PlacementLog(firstOwners(this.swarm.nodes)),
      swarm: this.swarm,
      rules: options.rules ?? productRules,
      nodes,
      applied: (node, row, version, value) => this.noteApplied(node, row, version, value),
    };
    for (let id = 0; id < this.swarm.nodes; id++) {
      const random = root.split(`node ${id}`);
      const skew = (random.next() * 2 - 1) * this.swarm.skewMs;
      const drift = (random.next() * 2 - 1) * this.swarm.drift;
      nodes.push(new SimNode(id, this.world, new NodeClock(this.kernel, skew, drift), random));
    }
    for (let row = 0; row < this.swarm.rows; row++) this.rows.push(String.fromCharCode(0, row % SLOTS) + `row${row}`);
  }

  run(): SceneResult {
    for (const node of this.world.nodes) node.start();
    for (let client = 0; client < this.swarm.clients; client++) this.think();
    this.troubleLater();
    if (this.swarm.gossipMs > 0) this.redeliverLater();
    if (this.swarm.moves) this.moveLater();
    this.kernel.run(this.swarm.runMs);
    this.heal();
    this.kernel.run(this.swarm.runMs + HEALING_MS);
    this.readFinally();
    this.converge();
    let undecided = 0;
    for (const row of this.rows) {
      const judged = this.history.judge(row);
      for (const violation of judged.violations) this.violations.add(violation);
      undecided += Number(judged.undecided);
    }
    return {
      seed: this.seed,
      swarm: this.swarm,
      violations: [...this.violations],
      undecided,
      operations: this.history.size,
      answered: this.history.answered,
      uncertain: this.history.uncertain,
      crashes: this.crashes,
      moves: this.moves,
      redelivered: this.redelivered,
      events: this.kernel.eventCount,
    };
  }

  private get running(): boolean {
    return this.kernel.nowMs < this.swarm.runMs;
  }

  // --- clients -----------------------------------------------------------------------------------------------------

  private think(): void {
    this.kernel.after(this.random.next() * 2 * this.swarm.thinkMs, () => {
      if (!this.running) return;
      const row = this.random.pick(this.rows);
      const node = this.coordinatorOf(row);
      if (node === undefined) this.think();
      else this.operate(row, node, () => this.think());
    });
  }

  private coordinatorOf(row: RowName): SimNode | undefined {
    const { nodes, placement } = this.world;
    if (this.random.chance(this.swarm.sticky)) {
      const owners = placement.owners(placement.latest, slotOfRow(row)).current;
      return owners.map((id) => nodes[id] as SimNode).find((node) => node.up);
    }
    const up = nodes.filter((node) => node.up);
    return up.length === 0 ? undefined : this.random.pick(up);
  }

  private operate(row: RowName, node: SimNode, next: () => void): void {
    const dice = this.random.next();
    if (dice < 0.35) this.observe(row, node, { kind: 'get' }, next);
    else if (dice < 0.55) this.observe(row, node, { kind: 'set', value: this.newValue() }, next);
    else if (dice < 0.78) this.observe(row, node, { kind: 'incr' }, next);
    else if (dice < 0.83) this.observe(row, node, { kind: 'del' }, next);
    else {
      this.observe(row, node, { kind: 'get' }, (outcome) => {
        if (outcome?.kind !== 'done' || !node.up) next();
        else this.observe(row, node, { kind: 'cas', expected: outcome.reply, value: this.newValue() }, next);
      });
    }
  }

  private newValue(): number {
    return ++this.lastValue;
  }

  /** Runs one operation and notes what the client saw; `then` is called once, with nothing when it waited in vain. */
  private observe(
    row: RowName,
    node: SimNode,
    operation: Operation,
    then: (outcome: ClientOutcome | undefined) => void,
  ): void {
    const note = this.history.begin(row, operation, this.kernel.nowMs);
    let waits = true;
    const done = (outcome: ClientOutcome): void => {
      if (!waits) return;
      waits = false;
      note(outcome, this.kernel.nowMs);
      then(outcome);
    };
    this.kernel.after(CLIENT_TIMEOUT_MS, () => {
      if (!waits) return;
      waits = false;
      then(undefined);
    });
    const deadlineMs = this.kernel.nowMs + OPERATION_MS;
    if (operation.kind === 'get') node.read(row, deadlineMs, done);
    else node.change(row, operation, deadlineMs, done);
  }

  // --- trouble -----------------------------------------------------------------------------------------------------

  private troubleLater(): void {
    const { fastCrashes } = this.swarm;
    this.kernel.after(fastCrashes ? 2 + this.random.next() * 15 : 20 + this.random.next() * 150, () => {
      if (!this.running) return;
      if (this.swarm.crashes && this.random.chance(0.6)) this.crashSomebody();
      if (this.swarm.cuts && this.random.chance(0.5)) this.cutSomebodyOff();
      if (this.swarm.pauses && this.random.chance(0.3)) this.pauseSomebody();
      if (this.swarm.jumpMs > 0 && this.random.chance(0.3)) {
        this.random.pick(this.world.nodes).clock.jump((this.random.next() * 2 - 1) * this.swarm.jumpMs);
      }
      this.troubleLater();
    });
  }

  private crashSomebody(): void {
    const { nodes } = this.world;
    const node = this.random.pick(nodes);
    if (!node.up || nodes.filter((other) => !other.up).length >= 2) return;
    node.crash();
    this.crashes++;
    const downMs = this.swarm.fastCrashes ? 1 + this.random.next() * 6 : 10 + this.random.next() * 150;
    this.kernel.after(downMs, () => {
      if (!node.up) node.start();
    });
  }

  private cutSomebodyOff(): void {
    const { network, nodes } = this.world;
    const one = this.random.pick(nodes).id;
    const bothWays = this.random.chance(0.5);
    const cuts: string[] = [];
    for (const { id } of nodes) {
      if (id === one || !this.random.chance(0.7)) continue;
      cuts.push(this.random.chance(0.5) || bothWays ? `${one}>${id}` : `${id}>${one}`);
      if (bothWays) cuts.push(`${id}>${one}`);
    }
    for (const cut of cuts) network.cuts.add(cut);
    this.kernel.after(20 + this.random.next() * 200, () => {
      for (const cut of cuts) network.cuts.delete(cut);
    });
  }

  private pauseSomebody(): void {
    const node = this.random.pick(this.world.nodes);
    const life = node.life;
    node.pause();
    this.kernel.after(5 + this.random.next() * 120, () => {
      if (node.life === life) node.resume();
    });
  }

  /** A third party delivers what some owner holds, now or much later, to another: a hint, a repair, anti-entropy. */
  private redeliverLater(): void {
    this.kernel.after(this.random.next() * 2 * this.swarm.gossipMs, () => {
      if (this.kernel.nowMs > this.swarm.runMs + HEALING_MS / 2) return;
      this.redeliver(this.random.pick(this.rows));
      this.redeliverLater();
    });
  }

  private redeliver(row: RowName, from?: SimNode): void {
    const { placement, nodes } = this.world;
    const owners = placement.owners(placement.latest, slotOfRow(row));
    const members = [...new Set([...owners.current, ...owners.incoming])];
    const holder = from ?? must(nodes[this.random.pick(members)], 'owners are nodes');
    const target = this.random.pick(members);
    const held = holder.store.read(row)?.held;
    if (!holder.up || target === holder.id || held === undefined) return;
    const epoch = holder.view;
    const request = { kind: 'accept', row, ballot: held.version, value: held.value, next: held.version } as const;
    this.kernel.after(this.random.chance(0.3) ? this.random.next() * this.swarm.gossipLateMs : 0, () => {
      if (!holder.up) return;
      this.redelivered++;
      holder.ask(target, epoch, request, () => undefined);
    });
  }

  private moveLater(): void {
    this.kernel.after(30 + this.random.next() * 150, () => {
      if (!this.running) return;
      this.startMove(this.random.below(SLOTS));
      this.moveLater();
    });
  }

  private startMove(slot: number): void {
    const { placement, nodes } = this.world;
    const owners = placement.owners(placement.latest, slot);
    if (owners.incoming.length > 0) return;
    const others = nodes.map((node) => node.id).filter((id) => !owners.current.includes(id));
    const to = [...owners.current];
    if (this.random.chance(0.3)) to.splice(0, to.length, ...others, this.random.pick(owners.current));
    else to[this.random.below(to.length)] = this.random.pick(others);
    this.moves++;
    void new SlotMove({ world: this.world, random: this.random.split(`move ${this.moves}`), slot, to });
  }

  // --- healing and checks ------------------------------------------------------------------------------------------

  private heal(): void {
    this.world.network.faultsOn = false;
    this.world.network.cuts.clear();
    for (const node of this.world.nodes) {
      node.clock.heal();
      if (!node.up) node.start();
      node.resume();
    }
  }

  /** Every row must be readable through a change, so that its last state is decided. */
  private readFinally(): void {
    for (const row of this.rows) {
      let decided = false;
      for (let tries = 0; tries < FINAL_TRIES && !decided; tries++) decided = this.settle(row);
      if (!decided) this.violations.add('stuck');
    }
  }

  /** A change that changes nothing, by any node; true when it was answered. */
  private settle(row: RowName): boolean {
    const { nowMs } = this.kernel;
    const note = this.history.begin(row, { kind: 'get' }, nowMs);
    let outcome: ClientOutcome | undefined;
    this.random.pick(this.world.nodes).change(row, { kind: 'get' }, nowMs + OPERATION_MS, (given) => {
      note(given, this.kernel.nowMs);
      outcome = given;
    });
    this.kernel.run(nowMs + CLIENT_TIMEOUT_MS, () => outcome !== undefined);
    return outcome?.kind === 'done';
  }

  /**
   * With nothing going on any more, all owners of a row must come to hold the same. An owner that has promised a ballot
   * of a coordinator that is gone refuses what is older; then, as in anti-entropy, a change that changes nothing brings
   * it up.
   */
  private converge(): void {
    const { placement } = this.world;
    for (const row of this.rows) {
      if (placement.owners(placement.latest, slotOfRow(row)).incoming.length > 0) {
        this.violations.add('a move that never ends');
      }
      this.kernel.run(this.kernel.nowMs + 20);
      for (let tries = 0; tries < FINAL_TRIES && this.statesOf(row).size > 1; tries++) {
        this.settle(row);
        this.kernel.run(this.kernel.nowMs + 20);
      }
      if (this.statesOf(row).size > 1) this.violations.add('owners differ');
    }
  }

  /** What the owners of a row hold. */
  private statesOf(row: RowName): Set<string> {
    const { placement, nodes } = this.world;
    const owners = placement.owners(placement.latest, slotOfRow(row)).current;
    const held = owners.map((id) => (nodes[id] as SimNode).store.read(row)?.held);
    return new Set(held.map((entry) => (entry === undefined ? '' : `${versionText(entry.version)}=${entry.value}`)));
  }

  private noteApplied(id: MemberId, row: RowName, version: Version, value: number | undefined): void {
    const name = `${row}@${versionText(version)}`;
    if (this.states.has(name) && this.states.get(name) !== value) this.violations.add('one version, two states');
    this.states.set(name, value);
    if (this.running && this.random.chance(this.swarm.eagerness)) {
      this.kernel.after(0, () => this.redeliver(row, this.world.nodes[id]));
    }
    if (!this.history.mayHold(row, value ?? 0)) this.violations.add('invented');
  }
}

function firstOwners(nodes: number): Owners[] {
  return Array.from({ length: SLOTS }, (_, slot) => ({
    current: [0, 1, 2].map((i) => (slot + i) % nodes),
    incoming: [],
  }));
}
