/** A front door without sockets and without time: connections in memory, turns and seconds that the test ends. */

import assert from 'node:assert/strict';

import type { Args } from '../../src/commands/args.ts';
import { ErrorReply, OK, type Reply } from '../../src/commands/reply.ts';
import type { Connection, ConnectionEvents, Listener, Log, Network, Timer, Timers } from '../../src/env.ts';
import type { ClientConnection, CommandPort, Release } from '../../src/resp/front-door.ts';
import { defaultSessionLimits } from '../../src/resp/limits.ts';
import { RespServer } from '../../src/resp/server.ts';

/** One connection, seen from both sides. Its "operating system" takes `capacity` bytes before it says no. */
export class FakeConnection implements Connection {
  readonly peer: string;
  readonly local = '127.0.0.1:6379';
  events: ConnectionEvents | undefined;
  capacity = Infinity;
  isPaused = false;
  isEnded = false;
  isDestroyed = false;
  writes = 0;
  unsentBytes = 0;
  private readonly taken: Buffer[] = [];
  private seen = 0;
  private kept: Uint8Array[] = [];
  /** As the real network's: one for all reads, longer than what was read, overwritten by the next. */
  private readonly readBuffer = new Uint8Array(256 * 1024);

  constructor(peer: string) {
    this.peer = peer;
  }

  /** What the client has received, a byte a character. */
  get received(): string {
    return Buffer.concat(this.taken).toString('latin1');
  }

  /** What has been received since this was asked last. */
  newlyReceived(): string {
    const text = Buffer.concat(this.taken.slice(this.seen)).toString('latin1');
    this.seen = this.taken.length;
    return text;
  }

  /** The client sends. */
  send(input: string | Uint8Array): void {
    const bytes = typeof input === 'string' ? Buffer.from(input, 'latin1') : input;
    assert.ok(!this.isPaused, 'the network delivers nothing to a connection that is paused');
    this.readBuffer.fill(0xdd, 0, bytes.length + 16);
    this.readBuffer.set(bytes);
    this.events?.onData(this.readBuffer, bytes.length);
  }

  /** The client takes everything that is unsent. */
  drain(): void {
    for (const bytes of this.kept) this.taken.push(Buffer.from(bytes));
    this.kept = [];
    if (this.unsentBytes === 0) return;
    this.unsentBytes = 0;
    this.events?.onDrain();
  }

  /** The client has sent its last byte. */
  sendEnd(): void {
    this.events?.onEnd?.();
  }

  /** The connection is gone, whoever wanted that. */
  gone(): void {
    this.events?.onClose();
    this.events = undefined;
  }

  write(bytes: Uint8Array): boolean {
    this.writes++;
    assert.equal(this.unsentBytes, 0, 'a session waits with more while the connection has unsent bytes');
    if (this.capacity >= bytes.length) {
      this.capacity -= bytes.length;
      this.taken.push(Buffer.from(bytes));
      return true;
    }
    // Kept as it is: who writes to it again, though it was given away, is found out.
    this.kept.push(bytes);
    this.unsentBytes += bytes.length;
    return false;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

export interface FakeClient {
  readonly connection: ClientConnection;
  readonly peer: string;
}

type Execute = (client: FakeClient, args: Args) => ReturnType<CommandPort<FakeClient>['execute']>;

export class FakeFrontDoor implements CommandPort<FakeClient>, Release, Network, Timers {
  readonly limits = defaultSessionLimits();
  readonly server: RespServer<FakeClient>;
  readonly closedPeers: string[] = [];
  readonly warnings: string[] = [];
  /** What `open` answers when set. */
  refusal: ErrorReply | undefined;
  sequence = 0;
  durable = 0;
  /** The keys of each call of `expect`, a byte a character. */
  readonly expected: string[][] = [];
  /** Calls of `beforeReplies`. */
  groups = 0;
  private readonly execution: Execute;
  private accepting: ((connection: Connection) => ConnectionEvents) | undefined;
  private atEnd: (() => void)[] = [];
  private readonly intervals: (() => void)[] = [];
  private readonly delayed = new Set<() => void>();
  private readonly durableListeners: (() => void)[] = [];
  private peers = 0;

  constructor(execute: Execute = echo) {
    this.execution = execute;
    const note = (message: string): number => this.warnings.push(message);
    const log: Log = { debug() {}, info() {}, warn: note, error: note };
    this.server = new RespServer({
      env: { network: this, timers: this, log },
      port: this,
      release: this,
      limits: this.limits,
    });
  }

  expect(_client: FakeClient, keys: Args): void {
    this.expected.push(Array.from({ length: keys.count }, (_, i) => keys.text(i)));
  }

  static async open(execute?: Execute): Promise<FakeFrontDoor> {
    const door = new FakeFrontDoor(execute);
    await door.server.listen({ host: 'localhost', port: 0, backlog: 1 });
    return door;
  }

  newConnection(): FakeConnection {
    const connection = new FakeConnection(`client:${++this.peers}`);
    connection.events = this.accepting?.(connection);
    return connection;
  }

  /** Ends the turn, as often as something was asked for at its end. */
  endTurn(): void {
    while (this.atEnd.length > 0) for (const callback of this.atEnd.splice(0)) callback();
  }

  /** Lets promises settle, then ends the turn. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await Promise.resolve();
    this.endTurn();
  }

  /** A second passes. */
  second(): void {
    for (const run of this.intervals) run();
    this.endTurn();
  }

  /** Whatever was to happen later happens. */
  later(): void {
    for (const run of this.delayed) {
      this.delayed.delete(run);
      run();
    }
  }

  makeDurable(sequence: number): void {
    this.durable = sequence;
    for (const listener of this.durableListeners) listener();
  }

  open(connection: ClientConnection): FakeClient | ErrorReply {
    if (this.refusal !== undefined) return this.refusal;
    connection.authenticated = true;
    return { connection, peer: connection.peer };
  }

  execute(client: FakeClient, args: Args): ReturnType<CommandPort<FakeClient>['execute']> {
    return this.execution(client, args);
  }

  sequenceToAwait(): number {
    return this.sequence;
  }

  closed(client: FakeClient): void {
    this.closedPeers.push(client.peer);
  }

  beforeReplies(): void {
    this.groups++;
  }

  durableSequence(): number {
    return this.durable;
  }

  onDurable(listener: () => void): () => void {
    this.durableListeners.push(listener);
    return () => this.durableListeners.splice(this.durableListeners.indexOf(listener), 1);
  }

  listen(options: { onConnection(connection: Connection): ConnectionEvents }): Promise<Listener> {
    this.accepting = (connection) => options.onConnection(connection);
    return Promise.resolve({
      port: 6379,
      close: () => {
        this.accepting = undefined;
        return Promise.resolve();
      },
    });
  }

  connect(): void {
    assert.fail('the front door opens no connections');
  }

  after(_delayMs: number, callback: () => void): Timer {
    this.delayed.add(callback);
    return { cancel: () => this.delayed.delete(callback) };
  }

  every(_intervalMs: number, callback: () => void): Timer {
    this.intervals.push(callback);
    return { cancel: () => this.intervals.splice(this.intervals.indexOf(callback), 1) };
  }

  atTurnEnd(callback: () => void): void {
    this.atEnd.push(callback);
  }
}

/** Answers with the last word; `OK` to a word alone. */
function echo(_client: FakeClient, args: Args): Reply {
  return args.count === 1 ? OK : args.at(args.count - 1);
}

/** A promise and the way to settle it. */
export function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  const settle: { resolve?: (value: T) => void } = {};
  const promise = new Promise<T>((resolve) => (settle.resolve = resolve));
  return { promise, resolve: (value) => settle.resolve?.(value) };
}
