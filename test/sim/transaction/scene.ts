/**
 * One seed: clients at five nodes append to lists that are spread over the owners, one by one and in transactions, while
 * messages are late and lost, nodes are out of reach and die, and clocks differ; then all heals and the history is
 * checked (history.ts). Commands, dispatchers, coordinators, forwarders and transactions are the product's; owners keep
 * their rows in a map (test/support/fake-cluster.ts).
 */

import { ErrorReply, type Reply, NullArray } from '../../../src/commands/reply.ts';
import { isLockedState } from '../../../src/repl/row-state.ts';
import { show } from '../../support/command-runner.ts';
import { FakeCluster } from '../../support/fake-cluster.ts';
import { Prng } from '../prng.ts';
import { type Operation, violations } from './history.ts';

const NODES = 5;
const KEYS = ['a', 'b', 'c', 'd', 'e'];
const RUN_MS = 3_000;

/** Appends its first argument to the keys that the others name, and returns what they were. */
const APPEND_TO_ALL = `
local seen = {}
for i = 2, #ARGV do
  seen[#seen + 1] = redis.call('get', ARGV[i])
  redis.call('append', ARGV[i], ARGV[1])
end
return seen`;

export interface Outcome {
  readonly errors: readonly string[];
  readonly operations: number;
  readonly transactions: number;
  readonly committed: number;
  readonly unknown: number;
}

interface Faults {
  readonly loss: number;
  readonly slow: number;
  readonly skewMs: number;
  readonly cuts: boolean;
  readonly deaths: boolean;
  readonly clients: number;
  readonly keys: number;
}

export function drawFaults(random: Prng): Faults {
  return {
    loss: random.chance(0.3) ? 0 : random.next() * 0.05,
    slow: random.chance(0.4) ? 0 : random.next() * 0.1,
    skewMs: random.chance(0.5) ? 0 : random.below(200),
    cuts: random.chance(0.7),
    deaths: random.chance(0.5),
    clients: 3 + random.below(5),
    keys: 2 + random.below(KEYS.length - 1),
  };
}

export async function runScene(seed: number): Promise<Outcome> {
  const random = new Prng(seed);
  const faults = drawFaults(random);
  return new Scene(seed, random, faults).run();
}

class Scene {
  private readonly random: Prng;
  private readonly faults: Faults;
  private readonly cluster: FakeCluster;
  private readonly keys: readonly string[];
  private readonly operations: Operation[] = [];
  private readonly dead = new Set<number>();
  private calm = false;
  private lastId = 0;

  constructor(seed: number, random: Prng, faults: Faults) {
    this.random = random;
    this.faults = faults;
    // With one tag all rows are of one slot, and transactions go to the node that coordinates it.
    const tag = seed % 10 === 9 ? '{t}' : '';
    this.keys = KEYS.slice(0, faults.keys).map((key) => tag + key);
    const skews = Array.from({ length: NODES + 1 }, () => random.below(faults.skewMs + 1));
    const weather = {
      delayMs: () => {
        if (this.calm) return 0.5;
        return random.chance(faults.slow) ? random.next() * 150 : 0.2 + random.next() * 2;
      },
      loses: () => !this.calm && random.chance(faults.loss),
      skewMs: (id: number) => skews[id] as number,
    };
    this.cluster = new FakeCluster({ nodes: NODES, replicas: 3, seed, weather });
    this.cluster.requestTimeoutMs = 800;
  }

  async run(): Promise<Outcome> {
    const { cluster, faults } = this;
    const { loop } = cluster;
    for (let i = 0; i < faults.clients; i++) void this.client(i);
    if (faults.cuts) void this.cut();
    if (faults.deaths) void this.die();
    await loop.advance(RUN_MS);
    this.calm = true;
    cluster.silent.clear();
    cluster.unreachable.clear();
    cluster.unhealthy.clear();
    for (const id of this.dead) {
      cluster.unreachable.add(id);
      cluster.unhealthy.add(id);
    }
    for (const node of cluster.nodes) node.coordinator.forgetBallots();
    await loop.advance(10_000);
    const errors: string[] = [];
    const last = await this.lastStates(errors);
    errors.push(...violations(this.operations, last), ...this.locksLeft());
    const transactions = this.operations.filter((each) => each.writes && each.keys.length > 1);
    return {
      errors,
      operations: this.operations.length,
      transactions: transactions.length,
      committed: transactions.filter((each) => each.outcome === 'done').length,
      unknown: this.operations.filter((each) => each.outcome === 'unknown').length,
    };
  }

  /** Reads every key as its changes do, so that what is left of locks is ended. */
  private async lastStates(errors: string[]): Promise<Map<string, readonly number[]>> {
    const { cluster } = this;
    const alive = cluster.nodes.find((node) => !this.dead.has(node.id)) as FakeCluster['nodes'][number];
    const last = new Map<string, readonly number[]>();
    for (const key of this.keys) {
      let reply: Reply = null;
      for (let i = 0; i < 50; i++) {
        reply = await cluster.loop.settle(alive.reply(['APPEND', key, ''], alive.client(999)));
        if (!(reply instanceof ErrorReply))
          reply = await cluster.loop.settle(alive.reply(['GET', key], alive.client(999)));
        if (!(reply instanceof ErrorReply)) break;
        await cluster.loop.advance(100);
      }
      if (reply instanceof ErrorReply) errors.push(`${key} cannot be read at the end: ${reply.message}`);
      else last.set(key, marksOf(reply));
    }
    return last;
  }

  private locksLeft(): string[] {
    const left: string[] = [];
    for (const node of this.cluster.nodes) {
      if (this.dead.has(node.id)) continue;
      for (const [row, { value, version }] of node.owner.rows) {
        if (!isLockedState(value)) continue;
        // An owner may have missed the end of a lock: the others have a newer version then.
        const newest = this.cluster.nodes.some(
          (each) => (each.owner.rows.get(row)?.version.stamp ?? 0) > version.stamp,
        );
        if (!newest) left.push(`a lock stands at node ${node.id}`);
      }
    }
    return left;
  }

  // --- clients -----------------------------------------------------------------------------------------------------

  private sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.cluster.loop.post(ms * 1000, resolve));
  }

  private get nowMs(): number {
    return this.cluster.loop.nowUs / 1000;
  }

  private async client(number: number): Promise<void> {
    const { random } = this;
    for (let turn = 0; this.nowMs < RUN_MS; turn++) {
      await this.sleep(random.next() * 20);
      const id = 1 + random.below(NODES);
      if (this.dead.has(id)) continue;
      // A client is one connection: one that never hears is left alone.
      await Promise.race([this.operate(id, number * 1000 + turn), this.sleep(3_000)]);
    }
  }

  private async operate(at: number, connection: number): Promise<void> {
    const { random, keys } = this;
    const drawn = random.next();
    const count = Math.min(keys.length, 2 + random.below(2));
    const several = keys.toSorted(() => random.next() - 0.5).slice(0, count);
    const single = several.slice(0, 1);
    if (drawn < 0.2) await this.appendOne(at, connection, single);
    else if (drawn < 0.35) await this.readOne(at, connection, single);
    else if (drawn < 0.75) await this.transact(at, connection, several, random.chance(0.6), true);
    else if (drawn < 0.9) await this.transact(at, connection, several, true, false);
    else await this.watchAndAppend(at, connection, several);
  }

  private begin(keys: readonly string[], writes: boolean): Operation {
    const operation: Operation = {
      id: ++this.lastId,
      startMs: this.nowMs,
      endMs: Number.POSITIVE_INFINITY,
      keys,
      writes,
      outcome: 'unknown',
    };
    this.operations.push(operation);
    return operation;
  }

  /** Notes what became of it; a node that is dead says nothing. */
  private end(operation: Operation, at: number, reply: Reply): boolean {
    if (this.dead.has(at)) return false;
    operation.endMs = this.nowMs;
    if (reply instanceof ErrorReply) {
      operation.outcome = reply.message.startsWith('UNCERTAIN') ? 'unknown' : 'nothing';
      if (operation.outcome === 'unknown') operation.endMs = Number.POSITIVE_INFINITY;
      return false;
    }
    operation.outcome = reply instanceof NullArray ? 'nothing' : 'done';
    return operation.outcome === 'done';
  }

  private send(at: number, connection: number, ...words: string[]): Promise<Reply> {
    const node = this.cluster.node(at);
    return node.reply(words, node.client(connection));
  }

  private async appendOne(at: number, connection: number, keys: readonly string[]): Promise<void> {
    const operation = this.begin(keys, true);
    this.end(operation, at, await this.send(at, connection, 'APPEND', keys[0] as string, `${operation.id},`));
  }

  private async readOne(at: number, connection: number, keys: readonly string[]): Promise<void> {
    const [key] = keys as [string];
    const operation = this.begin(keys, false);
    const reply = await this.send(at, connection, 'GET', key);
    if (this.end(operation, at, reply)) operation.seen = new Map([[key, marksOf(reply)]]);
  }

  private async transact(
    at: number,
    connection: number,
    keys: readonly string[],
    looks: boolean,
    writes: boolean,
  ): Promise<void> {
    const operation = this.begin(keys, writes);
    if (looks && writes && this.random.chance(0.4)) {
      await this.evaluate(operation, at, connection);
      return;
    }
    await this.send(at, connection, 'MULTI');
    if (looks) for (const key of keys) await this.send(at, connection, 'GET', key);
    if (writes) for (const key of keys) await this.send(at, connection, 'APPEND', key, `${operation.id},`);
    const reply = await this.send(at, connection, 'EXEC');
    if (this.end(operation, at, reply) && looks) {
      operation.seen = new Map(keys.map((key, i) => [key, marksOf((reply as Reply[])[i] as Reply)]));
    }
  }

  /** The same as a script, which names some of its keys beforehand. */
  private async evaluate(operation: Operation, at: number, connection: number): Promise<void> {
    const { keys, id } = operation;
    const named = keys.slice(0, this.random.below(keys.length + 1));
    const words = ['EVAL', APPEND_TO_ALL, String(named.length), ...named, `${id},`, ...keys];
    const reply = await this.send(at, connection, ...words);
    if (this.end(operation, at, reply)) {
      operation.seen = new Map(keys.map((key, i) => [key, marksOf((reply as Reply[])[i] as Reply)]));
    }
  }

  /** Reads, and appends to all if nothing has changed meanwhile. */
  private async watchAndAppend(at: number, connection: number, keys: readonly string[]): Promise<void> {
    const operation = this.begin(keys, true);
    const nothing = (reply: Reply): boolean => {
      if (!(reply instanceof ErrorReply)) return false;
      operation.outcome = 'nothing';
      return true;
    };
    if (nothing(await this.send(at, connection, 'WATCH', ...keys))) return;
    const seen = new Map<string, readonly number[]>();
    for (const key of keys) {
      const reply = await this.send(at, connection, 'GET', key);
      if (nothing(reply)) return;
      seen.set(key, marksOf(reply));
    }
    await this.send(at, connection, 'MULTI');
    for (const key of keys) await this.send(at, connection, 'APPEND', key, `${operation.id},`);
    if (this.end(operation, at, await this.send(at, connection, 'EXEC'))) operation.seen = seen;
  }

  // --- trouble -----------------------------------------------------------------------------------------------------

  private async cut(): Promise<void> {
    const { random, cluster } = this;
    while (this.nowMs < RUN_MS) {
      await this.sleep(20 + random.next() * 200);
      if (this.calm) return;
      const id = 1 + random.below(NODES);
      if (this.dead.size > 0) continue;
      const set = random.chance(0.5) ? cluster.unreachable : cluster.silent;
      set.add(id);
      const noticed = random.chance(0.6);
      if (noticed) cluster.unhealthy.add(id);
      await this.sleep(5 + random.next() * 300);
      if (this.calm) return;
      set.delete(id);
      if (!this.dead.has(id)) cluster.unhealthy.delete(id);
      for (const node of cluster.nodes) node.coordinator.forgetBallots();
    }
  }

  /** One node of five is gone for good: whatever it had begun is everybody else's to end. */
  private async die(): Promise<void> {
    const { random, cluster } = this;
    await this.sleep(random.next() * RUN_MS * 0.8);
    const id = 1 + random.below(NODES);
    this.dead.add(id);
    cluster.silent.clear();
    cluster.unreachable.clear();
    cluster.unreachable.add(id);
    cluster.silent.add(id);
    await this.sleep(random.next() * 100);
    cluster.unhealthy.add(id);
  }
}

function marksOf(reply: Reply): number[] {
  const text = show(reply);
  if (text === null) return [];
  return String(text)
    .split(',')
    .filter((each) => each !== '')
    .map(Number);
}
