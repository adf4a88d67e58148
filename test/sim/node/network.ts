/**
 * The simulated network: hosts, and streams of bytes between them, with everything that TCP lets through drawn from a
 * seed: delay, retransmission (what is behind waits too), resets in the middle of a piece, half-open connections, cuts
 * of one direction or both. Bytes of one direction of one connection never overtake one another, are never lost in the
 * middle and never doubled: that is what TCP gives. Faults of single messages are the business of ../cluster/.
 *
 * A process that dies while its machine runs closes its connections, as its kernel does; a machine that loses power says
 * nothing, and answers with a reset once it is back. A frozen process has a kernel that goes on: its connections take
 * bytes up to their window.
 */

import { assert } from '../../../src/assert.ts';
import type { Connection, ConnectionEvents, Listener, Network } from '../../../src/env.ts';
import type { EventLoop, Life } from '../event-loop.ts';
import type { Prng } from '../prng.ts';
import { calmNetwork, type NetworkFaults } from './network-faults.ts';
import { Endpoint } from './stream.ts';

type ListenOptions = Parameters<Network['listen']>[0];
type ConnectOptions = Parameters<Network['connect']>[0];

/** Counts of what was injected, by kind. */
export type NetworkInjected = Record<'stall' | 'late' | 'reset' | 'split' | 'flip' | 'held' | 'refused', number>;

/** A call that nobody answers is given up after so many tries. */
const MAX_CALL_TRIES = 6;
const FIRST_PORT = 30_000;

interface Door {
  readonly options: ListenOptions;
  readonly life: Life;
  isOpen: boolean;
}

/** One machine on the network. */
export class Host {
  readonly name: string;
  /** Whether a connection of this host to another of the same kind may be corrupted. */
  readonly isNode: boolean;
  hasPower = true;
  isFrozen = false;
  readonly doors = new Map<number, Door>();
  readonly endpoints = new Set<Endpoint>();
  /** Shared by all reads of this host, as the real network's. */
  readonly readBuffer = new Uint8Array(64 * 1024);
  private nextPort = FIRST_PORT;

  constructor(name: string, isNode: boolean) {
    this.name = name;
    this.isNode = isNode;
  }

  freePort(): number {
    return this.nextPort++;
  }
}

export class SimNetwork {
  faults: NetworkFaults = calmNetwork();
  readonly injected: NetworkInjected = { stall: 0, late: 0, reset: 0, split: 0, flip: 0, held: 0, refused: 0 };
  readonly loop: EventLoop;
  readonly random: Prng;
  private readonly hosts = new Map<string, Host>();
  private readonly cuts = new Set<string>();
  /** `from>to`: pieces on the way from one host to another take so much longer. */
  private readonly lags = new Map<string, number>();

  constructor(parts: { loop: EventLoop; random: Prng }) {
    this.loop = parts.loop;
    this.random = parts.random;
  }

  addHost(name: string, isNode: boolean): Host {
    const host = new Host(name, isNode);
    this.hosts.set(name, host);
    return host;
  }

  /** The network as one life of a process on `host` sees it. */
  of(host: Host, life: Life): Network {
    return {
      listen: (options) => this.listen(host, life, options),
      connect: (options) => new Call(this, { host, life, options }),
    };
  }

  isCut(from: Host, to: Host): boolean {
    return this.cuts.has(`${from.name}>${to.name}`);
  }

  cut(from: string, to: string): void {
    this.cuts.add(`${from}>${to}`);
  }

  mend(from: string, to: string): void {
    if (this.cuts.delete(`${from}>${to}`)) this.pump((endpoint) => endpoint.host.name === to);
  }

  mendAll(): void {
    this.cuts.clear();
    this.lags.clear();
    this.pump(() => true);
  }

  lag(from: string, to: string, us: number): void {
    if (us > 0) this.lags.set(`${from}>${to}`, us);
    else this.lags.delete(`${from}>${to}`);
  }

  lagOf(from: Host, to: Host): number {
    return this.lags.get(`${from.name}>${to.name}`) ?? 0;
  }

  hostOf(name: string): Host | undefined {
    return this.hosts.get(name);
  }

  freeze(host: Host): void {
    host.isFrozen = true;
  }

  thaw(host: Host): void {
    host.isFrozen = false;
    for (const endpoint of host.endpoints) endpoint.pumpSoon();
  }

  /** The process has died; its kernel closes what it had open. */
  processDied(host: Host): void {
    host.isFrozen = false;
    host.doors.clear();
    for (const endpoint of host.endpoints) endpoint.abandon(true);
  }

  powerOff(host: Host): void {
    host.hasPower = false;
    host.isFrozen = false;
    host.doors.clear();
    for (const endpoint of host.endpoints) endpoint.abandon(false);
  }

  powerOn(host: Host): void {
    host.hasPower = true;
    this.pump((endpoint) => endpoint.other.host === host);
    for (const endpoint of host.endpoints) endpoint.pumpSoon();
  }

  /** Resets some connection between two hosts, as a middlebox does that has forgotten it. */
  resetBetween(a: Host, b: Host): void {
    for (const endpoint of a.endpoints) {
      if (endpoint.other.host !== b || !endpoint.isUsable) continue;
      this.injected.reset++;
      endpoint.reset();
      endpoint.other.reset();
      return;
    }
  }

  delayUs(from: Host, to: Host): number {
    const { faults, random } = this;
    const jitter = faults.jitterUs > 0 ? -Math.log(1 - random.next()) * faults.jitterUs : 0;
    let us = (from === to ? 10 : faults.baseUs) + jitter + this.lagOf(from, to);
    if (faults.stallChance > 0 && random.chance(faults.stallChance)) {
      this.injected.stall++;
      us += random.next() * faults.stallMs * 1000;
    }
    if (faults.lateChance > 0 && random.chance(faults.lateChance)) {
      this.injected.late++;
      us += random.next() * faults.lateMs * 1000;
    }
    return us;
  }

  private listen(host: Host, life: Life, options: ListenOptions): Promise<Listener> {
    const port = options.port === 0 ? host.freePort() : options.port;
    if (host.doors.has(port)) return Promise.reject(new Error(`port ${port} on ${host.name} is in use`));
    const door: Door = { options, life, isOpen: true };
    host.doors.set(port, door);
    const close = (): Promise<void> => {
      door.isOpen = false;
      if (host.doors.get(port) === door) host.doors.delete(port);
      return Promise.resolve();
    };
    return Promise.resolve({ port, close });
  }

  private pump(which: (endpoint: Endpoint) => boolean): void {
    for (const host of this.hosts.values()) {
      for (const endpoint of host.endpoints) if (which(endpoint)) endpoint.pumpSoon();
    }
  }
}

/** One try after the other to open a connection, until it is open, refused or given up. */
class Call {
  private readonly network: SimNetwork;
  private readonly from: Host;
  private readonly life: Life;
  private readonly options: ConnectOptions;
  private readonly to: Host | undefined;
  private tries = 0;
  private isOver = false;

  constructor(network: SimNetwork, parts: { host: Host; life: Life; options: ConnectOptions }) {
    this.network = network;
    this.from = parts.host;
    this.life = parts.life;
    this.options = parts.options;
    const name = parts.options.host === '127.0.0.1' ? parts.host.name : parts.options.host;
    this.to = network.hostOf(name);
    const { timeoutMs } = parts.options;
    if (timeoutMs !== undefined) network.loop.post(timeoutMs * 1000, () => this.fail('ETIMEDOUT'), true);
    this.try();
  }

  private try(): void {
    const { network, from, to, life } = this;
    if (!life.alive || this.isOver) return;
    if (to === undefined) {
      network.loop.post(0, () => this.fail('EHOSTUNREACH'));
      return;
    }
    this.tries++;
    network.loop.post(network.delayUs(from, to), () => {
      if (network.isCut(from, to) || network.isCut(to, from) || !to.hasPower || !from.hasPower) {
        network.injected.held++;
        this.later();
        return;
      }
      const door = to.doors.get(this.options.port);
      const backUs = network.delayUs(to, from);
      if (door === undefined) {
        network.injected.refused++;
        network.loop.post(backUs, () => this.fail('ECONNREFUSED'));
      } else network.loop.post(backUs, () => this.open(to, door));
    });
  }

  private later(): void {
    if (this.tries >= MAX_CALL_TRIES) this.fail('ETIMEDOUT');
    else this.network.loop.post(this.network.faults.callRetryMs * 1000 * 2 ** (this.tries - 1), () => this.try());
  }

  private fail(code: string): void {
    if (this.isOver) return;
    this.isOver = true;
    const { host, port } = this.options;
    this.life.run(() => this.options.onFail(new Error(`connect ${code} ${host}:${port}`)));
  }

  private open(to: Host, door: Door): void {
    const { network, from, life } = this;
    if (!life.alive || this.isOver) return;
    this.isOver = true;
    const port = from.freePort();
    const near = new Endpoint(network, from, life);
    const far = new Endpoint(network, to, door.life);
    near.join(far, { local: `${from.name}:${port}`, peer: `${to.name}:${this.options.port}` });
    far.join(near, { local: `${to.name}:${this.options.port}`, peer: `${from.name}:${port}` });
    near.open((connection: Connection): ConnectionEvents => this.options.onOpen(connection));
    network.loop.post(network.delayUs(from, to), () => {
      if (!door.life.alive || !door.isOpen) {
        far.abandon(to.hasPower);
        return;
      }
      assert(door.options.port === 0 || door.options.port === this.options.port, 'the door that was called');
      far.open((connection) => door.options.onConnection(connection));
    });
  }
}
