/**
 * Machines on a network in memory, in virtual time: bytes arrive in order after a while, cut anywhere; a machine may be
 * stopped (its timers and reads wait, as with SIGSTOP), killed (its connections end), blocked (its event loop stands
 * still while bytes arrive), and cut off from another (bytes wait, as TCP sends them again).
 */

import { assert, must } from '../../src/assert.ts';
import type { Connection, ConnectionEvents, Env, Listener, Network, Timer, Timers } from '../../src/env.ts';
import { EventLoop } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { silent } from '../support/silent-log.ts';

type Accept = (connection: Connection) => ConnectionEvents;

export class FakeNetwork {
  readonly loop = new EventLoop();
  readonly random: Prng;
  latencyMs = 0.2;
  /** Bytes that are on their way to one side before a writer has to wait. */
  windowBytes = 256 * 1024;
  /** Bytes that one delivery brings at most. */
  pieceBytes = 64 * 1024;
  private readonly machines = new Map<string, FakeMachine>();
  private readonly cuts = new Set<string>();
  private readonly waiting: (() => void)[] = [];

  constructor(seed: number) {
    this.random = new Prng(seed);
  }

  machine(host: string): FakeMachine {
    const machine = new FakeMachine(this, host);
    this.machines.set(host, machine);
    return machine;
  }

  find(host: string): FakeMachine | undefined {
    const machine = this.machines.get(host);
    return machine?.isAlive === true ? machine : undefined;
  }

  /** Nothing passes between the two, in neither direction. */
  cut(a: string, b: string): void {
    this.cuts.add(`${a} ${b}`).add(`${b} ${a}`);
  }

  /** `lose`: what was sent meanwhile is not sent again, as when the sender has given up. */
  heal(how: 'deliver' | 'lose' = 'deliver'): void {
    this.cuts.clear();
    for (const run of this.waiting.splice(0)) if (how === 'deliver') run();
  }

  isCut(from: string, to: string): boolean {
    return this.cuts.has(`${from} ${to}`);
  }

  whenHealed(run: () => void): void {
    this.waiting.push(run);
  }
}

/** A machine with one process, whose world this is. */
export class FakeMachine {
  readonly host: string;
  readonly fabric: FakeNetwork;
  isAlive = true;
  private isStopped = false;
  private heldTimers: (() => void)[] = [];
  private heldReads: (() => void)[] = [];
  private heldEnds: (() => void)[] = [];
  private readonly listeners = new Map<number, Accept>();
  private readonly sides = new Set<Side>();
  private lastPort = 30_000;
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'network' | 'log'>;

  constructor(fabric: FakeNetwork, host: string) {
    this.fabric = fabric;
    this.host = host;
    const random = new Prng(Math.floor(fabric.random.next() * 2 ** 32));
    this.env = {
      clock: fabric.loop.clock,
      timers: this.timers(),
      random,
      network: this.network(),
      log: silent,
    };
  }

  // --- what may happen to it ---------------------------------------------------------------------------------------

  stop(): void {
    this.isStopped = true;
  }

  /** Goes on: overdue timers first, then what has arrived, then the turn's end, as libuv does. */
  resume(): void {
    this.isStopped = false;
    for (const run of this.heldTimers.splice(0)) run();
    for (const run of this.heldReads.splice(0)) run();
    for (const run of this.heldEnds.splice(0)) this.fabric.loop.postTurnEnd(run);
  }

  kill(): void {
    this.isAlive = false;
    for (const side of this.sides) side.vanish();
    this.sides.clear();
    this.listeners.clear();
  }

  // --- its world ---------------------------------------------------------------------------------------------------

  read(run: () => void): void {
    if (!this.isAlive) return;
    if (this.isStopped) this.heldReads.push(run);
    else run();
  }

  private timers(): Timers {
    const { loop } = this.fabric;
    return {
      after: (delayMs, callback) => {
        let cancelled = false;
        const run = (): void => {
          if (this.isAlive && !cancelled) callback();
        };
        const timer = loop.post(delayMs * 1_000, () => (this.isStopped ? void this.heldTimers.push(run) : run()));
        return {
          cancel: () => {
            cancelled = true;
            timer.cancel();
          },
        };
      },
      every: (intervalMs, callback) => this.every(intervalMs, callback),
      atTurnEnd: (callback) => {
        const run = (): void => {
          if (this.isAlive) callback();
        };
        loop.postTurnEnd(() => (this.isStopped ? void this.heldEnds.push(run) : run()));
      },
    };
  }

  private every(intervalMs: number, callback: () => void): Timer {
    let cancelled = false;
    let isHeld = false;
    const run = (): void => {
      isHeld = false;
      if (this.isAlive && !cancelled) callback();
    };
    const tick = (): void => {
      if (!this.isAlive || cancelled) return;
      this.fabric.loop.post(intervalMs * 1_000, tick, true);
      if (!this.isStopped) run();
      else if (!isHeld) {
        isHeld = true;
        this.heldTimers.push(run);
      }
    };
    this.fabric.loop.post(intervalMs * 1_000, tick, true);
    return {
      cancel: () => {
        cancelled = true;
      },
    };
  }

  private network(): Network {
    return {
      listen: ({ port, onConnection }) => {
        const own = port === 0 ? ++this.lastPort : port;
        assert(!this.listeners.has(own), 'a port that is free');
        this.listeners.set(own, (connection) => onConnection(connection));
        const listener: Listener = {
          port: own,
          close: () => {
            this.listeners.delete(own);
            return Promise.resolve();
          },
        };
        return Promise.resolve(listener);
      },
      connect: (options) => this.connect(options),
    };
  }

  private connect(options: Parameters<Network['connect']>[0]): void {
    const { host, port, timeoutMs } = options;
    const { loop, latencyMs } = this.fabric;
    let isOver = false;
    const fail = (reason: string): void => {
      if (isOver) return;
      isOver = true;
      this.read(() => options.onFail(new Error(reason)));
    };
    if (timeoutMs !== undefined) loop.post(timeoutMs * 1_000, () => fail('no answer'), true);
    const attempt = (): void => {
      if (isOver) return;
      if (this.fabric.isCut(this.host, host)) {
        this.fabric.whenHealed(attempt);
        return;
      }
      const there = this.fabric.find(host);
      const accept = there?.listeners.get(port);
      if (there === undefined || accept === undefined) {
        fail('connection refused');
        return;
      }
      isOver = true;
      this.open(there, port, { accept, onOpen: (connection) => options.onOpen(connection) });
    };
    loop.post(latencyMs * 2_000, attempt);
  }

  private open(there: FakeMachine, port: number, ends: { accept: Accept; onOpen: Accept }): void {
    const near = new Side(this, `${there.host}:${port}`);
    const far = new Side(there, `${this.host}:${++this.lastPort}`);
    near.other = far;
    far.other = near;
    this.sides.add(near);
    there.sides.add(far);
    this.read(() => near.start(ends.onOpen));
    there.read(() => far.start(ends.accept));
  }

  closed(side: Side): void {
    this.sides.delete(side);
  }
}

/** One end of a connection. */
class Side implements Connection {
  readonly peer: string;
  readonly local: string;
  other: Side | undefined;
  private readonly machine: FakeMachine;
  private events: ConnectionEvents | undefined;
  /** What arrived before the end was open. */
  private early: (() => void)[] = [];
  private isOpen = true;
  private isEnding = false;
  /** Handed over by the writer and not read by the other side. */
  private underWay: { bytes: Uint8Array; at: number }[] = [];
  private underWayBytes = 0;
  private isDelivering = false;
  private wantsDrain = false;

  constructor(machine: FakeMachine, peer: string) {
    this.machine = machine;
    this.peer = peer;
    this.local = machine.host;
  }

  get unsentBytes(): number {
    return Math.max(0, this.underWayBytes - this.machine.fabric.windowBytes);
  }

  start(onOpen: Accept): void {
    if (!this.isOpen) return;
    this.events = onOpen(this);
    for (const run of this.early.splice(0)) run();
  }

  write(bytes: Uint8Array): boolean {
    if (!this.isOpen || this.isEnding) return true;
    this.underWay.push({ bytes: bytes.slice(), at: 0 });
    this.underWayBytes += bytes.length;
    this.deliver();
    if (this.unsentBytes === 0) return true;
    this.wantsDrain = true;
    return false;
  }

  pause(): void {
    throw new Error('the bus never stops reading');
  }

  resume(): void {
    throw new Error('the bus never stops reading');
  }

  end(): void {
    this.isEnding = true;
    this.deliver();
  }

  destroy(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.machine.closed(this);
    this.machine.fabric.loop.post(0, () => this.machine.read(() => this.events?.onClose()));
    this.later(() => this.other?.hungUp());
  }

  /** The process is gone: the operating system closes. */
  vanish(): void {
    this.isOpen = false;
    this.later(() => this.other?.hungUp());
  }

  private hungUp(): void {
    if (!this.isOpen) return;
    this.machine.read(() => this.whenStarted(() => this.endOfInput()));
  }

  private endOfInput(): void {
    if (!this.isOpen) return;
    if (this.events?.onEnd === undefined) this.destroy();
    else this.events.onEnd();
  }

  private whenStarted(run: () => void): void {
    if (this.events === undefined) this.early.push(run);
    else run();
  }

  /** Runs when a segment sent now arrives; a cut holds it back. */
  private later(run: () => void): void {
    const { fabric } = this.machine;
    const { other } = this;
    if (other === undefined) return;
    if (fabric.isCut(this.machine.host, other.machine.host)) fabric.whenHealed(() => this.later(run));
    else fabric.loop.post(fabric.latencyMs * 1_000, run);
  }

  private deliver(): void {
    if (this.isDelivering) return;
    const first = this.underWay[0];
    if (first === undefined) {
      if (this.isEnding && this.isOpen) this.later(() => this.other?.hungUp());
      return;
    }
    this.isDelivering = true;
    this.later(() => must(this.other, 'another end').machine.read(() => this.arrive(first)));
  }

  private arrive(first: { bytes: Uint8Array; at: number }): void {
    const { fabric } = this.machine;
    const left = first.bytes.length - first.at;
    const count = Math.min(left, 1 + Math.floor(fabric.random.next() * fabric.pieceBytes));
    const piece = first.bytes.slice(first.at, first.at + count);
    first.at += count;
    this.underWayBytes -= count;
    if (first.at === first.bytes.length) this.underWay.shift();
    this.isDelivering = false;
    const other = must(this.other, 'another end');
    if (other.isOpen) other.whenStarted(() => other.take(piece));
    if (this.isOpen && this.wantsDrain && this.underWayBytes === 0) {
      this.wantsDrain = false;
      this.machine.read(() => this.isOpen && this.events?.onDrain());
    }
    this.deliver();
  }

  private take(piece: Uint8Array): void {
    if (!this.isOpen) return;
    // The real one reads into a Buffer that all connections share.
    const shared = Buffer.from(piece);
    this.events?.onData(shared, shared.length);
    shared.fill(0xee);
  }
}
