/**
 * Four nodes that ask one another while machines stop, die, come back and are cut off from each other, in virtual time.
 * What must hold whatever happens: a request ends exactly once; a peer takes it at most once, and not at all when it is
 * `unsent`; an answer belongs to its request; and when all is well again everybody reaches everybody.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../../src/assert.ts';
import { priority, type Priority } from '../../src/cluster/frame.ts';
import type { Prng } from '../sim/prng.ts';
import { PORT, Town, type TownNode } from './bus-town.ts';

const NAMES = ['a', 'b', 'c', 'd'];
const STEPS = 160;
const FIRST_SEED = 1;
const SEEDS = Number(process.env['KVORUM_BUS_SEEDS'] ?? 12);

class Chaos {
  readonly seed: number;
  readonly town: Town;
  readonly random: Prng;
  /** Outcome by request. */
  readonly outcomes = new Map<string, string>();
  readonly asked: string[] = [];
  /** How often a request came. */
  readonly came = new Map<string, number>();
  private readonly stopped = new Set<TownNode>();

  constructor(seed: number) {
    this.seed = seed;
    this.town = new Town(seed);
    this.random = this.town.network.random;
  }

  one<T>(items: readonly T[]): T {
    return must(items[Math.floor(this.random.next() * items.length)], 'an item');
  }

  async start(name: string): Promise<void> {
    const node = await this.town.start(name, { secret: 'chaos', clusterId: 'chaos' });
    node.note = (text, outcome) => {
      assert.ok(!this.outcomes.has(text), `seed ${this.seed}: ${text} ends once`);
      this.outcomes.set(text, outcome.kind);
      if (outcome.kind === 'answered') {
        assert.equal(Buffer.from(outcome.message.payload).toString(), `${text} ok`, `seed ${this.seed}`);
      }
    };
    node.noteCame = (text) => this.came.set(text, (this.came.get(text) ?? 0) + 1);
    for (const other of NAMES) if (other !== name) node.bus.know(other, `${other}:${PORT}`);
  }

  node(name: string): TownNode {
    return must(this.town.nodes.get(name), 'a node');
  }

  ask(): void {
    const [from, to] = [this.node(this.one(NAMES)), this.one(NAMES)];
    if (from.name === to || !from.machine.isAlive || this.stopped.has(from)) return;
    for (let i = 0; i < 1 + 6 * this.random.next(); i++) {
      const size = this.random.next() < 0.05 ? 20_000 * this.random.next() : 60 * this.random.next();
      const text = `${this.asked.length} ${'x'.repeat(size)}`;
      const waitMs = this.random.next() < 0.3 ? 5 : 2_000;
      const level = this.one<Priority>([priority.CONTROL, priority.CLIENT, priority.REPAIR]);
      this.asked.push(text);
      const outgoing = from.outgoing(text, { waitMs, priority: level });
      const ended: Parameters<TownNode['bus']['request']>[2] = (outcome) => from.note(text, outcome);
      if (this.random.next() < 0.2) from.bus.requestAt(`${to}:${PORT}`, outgoing, ended);
      else from.bus.request(to, outgoing, ended);
    }
  }

  async happen(): Promise<void> {
    const chance = this.random.next();
    const node = this.node(this.one(NAMES));
    const { network } = this.town;
    if (chance < 0.06 && node.machine.isAlive) {
      node.machine.stop();
      this.stopped.add(node);
    } else if (chance < 0.16) this.resumeAll();
    else if (chance < 0.19 && node.machine.isAlive) this.kill(node);
    else if (chance < 0.26 && !node.machine.isAlive) await this.start(node.name);
    else if (chance < 0.32) network.cut(node.name, this.one(NAMES));
    else if (chance < 0.38) network.heal(this.random.next() < 0.3 ? 'lose' : 'deliver');
    else if (chance < 0.4) network.latencyMs = 0.05 + 20 * this.random.next() ** 3;
    else if (chance < 0.42) network.windowBytes = this.one([1_000, 64_000, 256_000]);
    else if (chance < 0.44) network.pieceBytes = this.one([30, 1_000, 64_000]);
    else this.ask();
  }

  resumeAll(): void {
    for (const node of this.stopped) node.machine.resume();
    this.stopped.clear();
  }

  kill(node: TownNode): void {
    node.machine.kill();
    this.stopped.delete(node);
    // What it asked ends with it.
    node.note = () => undefined;
  }

  async heal(): Promise<void> {
    this.town.network.latencyMs = 0.2;
    this.town.network.pieceBytes = 64_000;
    this.town.network.heal();
    this.resumeAll();
    for (const name of NAMES) if (!this.node(name).machine.isAlive) await this.start(name);
    await this.town.pass(12_000);
  }
}

void test(`requests among four nodes in trouble, seeds ${FIRST_SEED} to ${FIRST_SEED + SEEDS - 1}`, async (context) => {
  const totals = new Map<string, number>();
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const chaos = new Chaos(seed);
    for (const name of NAMES) await chaos.start(name);
    for (let step = 0; step < STEPS; step++) {
      await chaos.happen();
      await chaos.town.pass(chaos.random.next() < 0.1 ? 800 * chaos.random.next() : 3 * chaos.random.next());
    }
    await chaos.heal();
    for (const text of chaos.asked) {
      const [outcome, came] = [chaos.outcomes.get(text) ?? 'lost with its asker', chaos.came.get(text) ?? 0];
      const name = `seed ${seed}: ${text.slice(0, 20)}`;
      assert.ok(came <= 1, `${name} came ${came} times`);
      if (outcome === 'unsent') assert.equal(came, 0, `${name} was unsent and came`);
      if (outcome === 'answered') assert.equal(came, 1, `${name} was answered and never came`);
      totals.set(outcome, (totals.get(outcome) ?? 0) + 1);
    }
    for (const from of NAMES) {
      for (const to of NAMES) {
        if (from === to) continue;
        const name = `seed ${seed}: ${from} and ${to}`;
        assert.ok(chaos.node(from).bus.isHealthy(to), `${name} reach each other`);
      }
      assert.equal(chaos.node(from).bus.metrics()['peers_connected'], 3, `seed ${seed}: one connection a pair`);
      assert.equal(chaos.node(from).bus.metrics()['frames_damaged'], 0, `seed ${seed}`);
    }
  }
  context.diagnostic([...totals].map(([outcome, count]) => `${count} ${outcome}`).join(', '));
  for (const outcome of ['answered', 'unsent', 'unknown']) assert.ok((totals.get(outcome) ?? 0) > 2 * SEEDS, outcome);
});
