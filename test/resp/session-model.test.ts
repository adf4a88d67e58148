/**
 * Sessions under random schedules: input in any pieces, promises that settle at any time, an operating system that
 * takes as much as it likes, durability that lags. Whatever the schedule, a client sees the replies to its commands, in
 * order, complete, and never one that shows what is not durable.
 *
 * Each command is `w<i>` (answered at once), `p<i>` (promised), `q<i>` (pending while later ones run) or `a<i>` (after all
 * that are pending). Each takes the next sequence of the store and answers
 * with its own word and that sequence, so that what has been received tells what had to be durable.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { AFTER_PENDING, type AfterPending, PendingReply } from '../../src/commands/pending-reply.ts';
import type { Reply } from '../../src/commands/reply.ts';
import { deferred, type FakeConnection, FakeFrontDoor } from '../support/fake-front-door.ts';

const CLIENTS = 3;
/** Some replies are longer than a chunk. */
const LONG = 'l'.repeat(70_000);

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('send' as const), client: fc.nat(2), size: fc.nat(60) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('turn' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('settle' as const), which: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('durable' as const), lag: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clog' as const), client: fc.nat(2), room: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drain' as const), client: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pause' as const), client: fc.nat(2), on: fc.boolean() }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
const command = fc.constantFrom('w', 'w', 'w', 'p', 'l', 'q', 'q', 'a');

class Run {
  readonly connections: FakeConnection[] = [];
  readonly sessions: { pauseReading(): void; resumeReading(): void }[] = [];
  private readonly unsent: string[];
  private readonly expected: string[][];
  private readonly received: string[][];
  private readonly promised: { sequence: number; settle(): void }[] = [];
  private readonly door: FakeFrontDoor;
  private sequence = 0;
  /** Replies under way of each client. */
  private readonly pending: number[] = Array.from({ length: CLIENTS }, () => 0);
  /** The most that were under way at once. */
  mostPending = 0;

  constructor(door: FakeFrontDoor, scripts: readonly string[][]) {
    this.door = door;
    this.unsent = scripts.map((names, i) => names.map((name, n) => `${name}${i}.${n}\r\n`).join(''));
    this.expected = scripts.map((names, i) => names.map((name, n) => `${name}${i}.${n}`));
    this.received = scripts.map(() => []);
  }

  execute(word: string): Reply | Promise<Reply> | PendingReply | AfterPending {
    const client = Number(/\d+/.exec(word)?.[0]);
    // As the dispatcher does: what is promised waits for those before it, too.
    if ((word.startsWith('a') || word.startsWith('p')) && this.pending[client] !== 0) return AFTER_PENDING;
    const sequence = ++this.sequence;
    if (word.startsWith('q')) return this.pend(client, `${word}@${sequence}`, sequence);
    this.door.sequence = sequence;
    const reply = `${word}@${sequence}${word.startsWith('l') ? LONG : ''}`;
    if (!word.startsWith('p')) return reply;
    const { promise, resolve } = deferred<Reply>();
    this.promised.push({ sequence, settle: () => resolve(reply) });
    return promise;
  }

  /** Settled once it is durable, as coordinated replies are. */
  private pend(client: number, reply: string, sequence: number): PendingReply {
    const pending = new PendingReply();
    this.pending[client] = (this.pending[client] as number) + 1;
    this.mostPending = Math.max(this.mostPending, this.pending[client]);
    const settle = (): void => {
      if (this.door.durable < sequence) {
        this.promised.push({ sequence, settle });
        return;
      }
      this.pending[client] = (this.pending[client] as number) - 1;
      pending.settle(reply);
    };
    this.promised.push({ sequence, settle });
    return pending;
  }

  async take(step: Step): Promise<void> {
    if (step.kind === 'turn') await this.door.settle();
    else if (step.kind === 'durable') this.door.makeDurable(Math.max(this.door.durable, this.sequence - step.lag));
    else if (step.kind === 'settle') this.promised.splice(step.which % (this.promised.length || 1), 1)[0]?.settle();
    else this.takeAt(step);
    this.check();
  }

  private takeAt(step: Exclude<Step, { kind: 'turn' | 'durable' | 'settle' }>): void {
    const connection = this.connections[step.client] as FakeConnection;
    if (step.kind === 'clog') connection.capacity = step.room;
    else if (step.kind === 'drain') {
      connection.capacity = Infinity;
      connection.drain();
    } else if (step.kind === 'pause') {
      const session = this.sessions[step.client];
      if (step.on) session?.pauseReading();
      else session?.resumeReading();
    } else if (!connection.isPaused) this.send(step.client, step.size);
  }

  private send(client: number, size: number): void {
    const text = this.unsent[client] as string;
    this.unsent[client] = text.slice(size);
    if (size > 0 && text !== '') this.connections[client]?.send(text.slice(0, size));
  }

  /** Nothing that was received shows more than is durable. */
  private check(): void {
    for (const [i, connection] of this.connections.entries())
      for (const [, word, sequence] of connection.newlyReceived().matchAll(/([wplqa]\d+\.\d+)@(\d+)/g)) {
        assert.ok(Number(sequence) <= this.door.durable, `${sequence} was shown at ${this.door.durable}`);
        this.received[i]?.push(word as string);
      }
  }

  private isComplete(): boolean {
    return this.expected.every((words, i) => words.length === this.received[i]?.length);
  }

  /** Lets everything finish, then compares. */
  async finish(): Promise<void> {
    for (let round = 0; round < 1200 && !this.isComplete(); round++) {
      for (let client = 0; client < CLIENTS; client++) {
        await this.take({ kind: 'pause', client, on: false });
        await this.take({ kind: 'drain', client });
        await this.take({ kind: 'send', client, size: 50 });
      }
      await this.take({ kind: 'turn' });
      await this.take({ kind: 'settle', which: 0 });
      await this.take({ kind: 'durable', lag: 0 });
    }
    assert.deepEqual(this.received, this.expected);
    for (const connection of this.connections) assert.ok(!connection.isPaused && !connection.isDestroyed);
    assert.equal(this.door.server.outputBytes, 0);
  }
}

test('any schedule: all replies, in order, none before what it shows is durable', async () => {
  let replies = 0;
  let mostPending = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(command, { maxLength: 40 }), { minLength: CLIENTS, maxLength: CLIENTS }),
      fc.array(step, { maxLength: 150 }),
      async (scripts, steps) => {
        let run: Run | undefined;
        const door = await FakeFrontDoor.open((_client, args) => (run as Run).execute(args.text(0)));
        run = new Run(door, scripts);
        for (let i = 0; i < CLIENTS; i++) {
          const connection = door.newConnection();
          run.connections.push(connection);
          run.sessions.push(connection.events as unknown as Run['sessions'][number]);
        }
        for (const step of steps) await run.take(step);
        await run.finish();
        replies += scripts.flat().length;
        mostPending = Math.max(mostPending, run.mostPending);
      },
    ),
    { numRuns: Number(process.env['KVORUM_FUZZ_RUNS'] ?? 300) },
  );
  assert.ok(replies > 500, 'schedules have commands');
  assert.ok(mostPending > 3, 'several commands of a connection are under way at once');
});
