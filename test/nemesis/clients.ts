/**
 * Clients on ioredis that work on a few rows through every node and note what they saw. What an error means:
 * `NOQUORUM`, `CLUSTERDOWN` and refusals happened certainly not; `UNCERTAIN` and a lost connection, nobody knows.
 */

import { Redis } from 'ioredis';

import { History } from '../sim/cluster/history.ts';
import { INCREMENT, type ClientOutcome, type Operation } from '../sim/cluster/operation.ts';
import type { SeededRandom } from '../crash/seeded-random.ts';
import type { Address } from './world.ts';

/** Errors of requests that certainly were not carried out. */
const NOTHING_HAPPENED = /^(NOQUORUM|CLUSTERDOWN|LOADING|MISCONF|BUSY|OVERLOADED)/;

/** One operation as the timeline of a fault needs it; milliseconds since the run began. */
export interface Timed {
  readonly node: number;
  readonly callMs: number;
  readonly tookMs: number;
  readonly outcome: 'done' | 'failed' | 'uncertain';
  readonly error: string;
}

export class Clients {
  readonly history = new History();
  readonly timeline: Timed[] = [];
  private readonly connections: { readonly node: number; readonly client: Redis }[] = [];
  private readonly random: SeededRandom;
  private readonly rows: readonly string[];
  private readonly startMs = performance.now();
  private readonly pauseMs: number;
  private lastValue = 0;
  private stopped = false;
  private running: Promise<void>[] = [];

  constructor(options: {
    addresses: readonly Address[];
    clientsPerNode: number;
    rows: number;
    pauseMs: number;
    random: SeededRandom;
  }) {
    this.random = options.random;
    this.pauseMs = options.pauseMs;
    this.rows = Array.from({ length: options.rows }, (_, i) => `row:${i}`);
    for (const [node, { host, port }] of options.addresses.entries()) {
      for (let i = 0; i < options.clientsPerNode; i++) {
        const client = new Redis({
          host,
          port,
          enableOfflineQueue: false,
          autoResendUnfulfilledCommands: false,
          maxRetriesPerRequest: 0,
          connectTimeout: 1_000,
          retryStrategy: () => 50,
        });
        client.on('error', () => undefined);
        this.connections.push({ node, client });
      }
    }
  }

  get nowMs(): number {
    return performance.now() - this.startMs;
  }

  start(): void {
    this.running = this.connections.map(({ node, client }) => this.work(node, client));
  }

  /** Ends when every client has its last answer; connections that never answer are cut. */
  async stop(): Promise<void> {
    this.stopped = true;
    const cut = setTimeout(() => {
      for (const { client } of this.connections) client.disconnect();
    }, 10_000);
    await Promise.all(this.running);
    clearTimeout(cut);
  }

  close(): void {
    for (const { client } of this.connections) client.disconnect();
  }

  /** One read of each row through each node once all is well, so that what is left is seen. */
  async readAll(): Promise<void> {
    for (const { node, client } of this.connections) {
      for (const row of this.rows) await this.operate(node, client, row, { kind: 'get' });
    }
  }

  /** What is wrong with the histories, row by row. */
  judge(): { violations: string[]; undecided: number } {
    const violations: string[] = [];
    let undecided = 0;
    for (const row of this.rows) {
      const verdict = this.history.judge(row);
      violations.push(...verdict.violations.map((text) => `${row}: ${text}`));
      if (verdict.undecided) undecided++;
    }
    return { violations, undecided };
  }

  private async work(node: number, client: Redis): Promise<void> {
    while (!this.stopped) {
      if (client.status === 'ready') await this.operate(node, client, this.random.pick(this.rows), this.draw());
      await new Promise((resolve) => setTimeout(resolve, this.pauseMs * (0.5 + this.random.next())));
    }
  }

  private draw(): Operation {
    const chance = this.random.next();
    if (chance < 0.45) return { kind: 'get' };
    if (chance < 0.7) return { kind: 'set', value: ++this.lastValue };
    return chance < 0.95 ? { kind: 'incr' } : { kind: 'del' };
  }

  private async operate(node: number, client: Redis, row: string, operation: Operation): Promise<void> {
    const callMs = this.nowMs;
    const end = this.history.begin(row, operation, callMs);
    let outcome: ClientOutcome;
    let error = '';
    try {
      outcome = { kind: 'done', reply: await carryOut(client, row, operation) };
    } catch (thrown) {
      error = thrown instanceof Error ? thrown.message : String(thrown);
      outcome = NOTHING_HAPPENED.test(error) ? { kind: 'failed' } : { kind: 'uncertain' };
    }
    const nowMs = this.nowMs;
    end(outcome, nowMs);
    this.timeline.push({ node, callMs, tookMs: nowMs - callMs, outcome: outcome.kind, error });
  }
}

/** The reply as a number, as operation.ts has it. */
async function carryOut(client: Redis, row: string, operation: Operation): Promise<number> {
  switch (operation.kind) {
    case 'get':
      return Number((await client.get(row)) ?? 0);
    case 'set':
      await client.set(row, operation.value);
      return 1;
    case 'incr':
      return client.incrby(row, INCREMENT);
    case 'del':
      return Number((await client.getdel(row)) ?? 0);
    default:
      throw new Error('compare and set is not among the operations of these clients');
  }
}
