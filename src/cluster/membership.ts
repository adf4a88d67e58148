/**
 * Membership on the bus: the shell of swim-core.ts. Its messages are notices of method SWIM, its time is one timer, and it
 * tells its core when the event loop was late.
 *
 * What a member tells of itself (`about`) is `epoch=<epoch of the topology in force> version=<version of Kvorum>`, words
 * that are not known are passed over.
 *
 * Stored as the durable value `swim-lives`: how often this node has started, in decimal. The incarnation of a life begins
 * at lives × 65,536: above all of earlier lives, unless one of them refuted more often than that, and then the first
 * member that remembers it makes this one go above.
 */

import type { Env, Timer } from '../env.ts';
import type { Arrival, Bus } from './bus.ts';
import { busMethod } from './bus-method.ts';
import { DamagedError } from './byte-cursor.ts';
import type { DurableValues } from './durable-values.ts';
import { priority } from './frame.ts';
import { decodeSwim, encodeSwim } from './swim-codec.ts';
import { MAX_CALLED, type SwimConfig } from './swim-config.ts';
import { SwimCore } from './swim-core.ts';
import type { Known, NodeName, SwimEffect } from './swim-message.ts';

const LIVES = 'swim-lives';
const INCARNATIONS_A_LIFE = 65_536;

/** How often it is looked how late the event loop is: a fraction of what counts as late. */
const LOOP_CHECK_MS = 100;

/** A change of what is told of oneself goes out at most this often: while slots move, each second has many epochs. */
const ABOUT_INTERVAL_MS = 500;

export interface About {
  readonly epoch: number;
  readonly version: string;
}

export type MemberListener = (member: Readonly<Known>) => void;

export interface MembershipOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'>;
  readonly bus: Pick<Bus, 'noticeAt'>;
  readonly values: DurableValues;
  readonly identity: NodeName;
  /** `host:busPort` that others reach this node at. */
  readonly address: string;
  /** Asked when it may have changed, and now and then. */
  about(): About;
  readonly config?: Partial<SwimConfig>;
}

export class Membership {
  private readonly env: MembershipOptions['env'];
  private readonly bus: MembershipOptions['bus'];
  private readonly identity: NodeName;
  private readonly address: string;
  private readonly about: () => About;
  private readonly core: SwimCore;
  private readonly listeners = new Set<MemberListener>();
  private told: string;
  private timer: Timer | undefined = undefined;
  private timerAtMs = Number.POSITIVE_INFINITY;
  private loopTimer: Timer | undefined = undefined;
  private aboutTimer: Timer | undefined = undefined;
  private state: 'new' | 'running' | 'closed' = 'new';

  /** Counts this life. Rejects when that cannot be made durable. */
  static async open(options: MembershipOptions): Promise<Membership> {
    const before = options.values.getValue(LIVES);
    const lives = (before === undefined ? 0 : Number(Buffer.from(before).toString('latin1'))) + 1;
    await options.values.setValue(LIVES, Buffer.from(String(lives), 'latin1'));
    return new Membership(options, lives * INCARNATIONS_A_LIFE);
  }

  private constructor(options: MembershipOptions, incarnation: number) {
    const { env, identity, address, config } = options;
    this.env = env;
    this.bus = options.bus;
    this.identity = identity;
    this.address = address;
    this.about = () => options.about();
    this.told = aboutText(options.about());
    this.core = new SwimCore({
      name: identity,
      address,
      about: this.told,
      incarnation,
      random: () => env.random.next(),
      ...(config === undefined ? {} : { config }),
    });
  }

  /** Begins to take part. `seeds`: addresses of members; for a node that is alone, none. Later calls do nothing. */
  start(seeds: readonly string[]): void {
    if (this.state !== 'new') return;
    this.state = 'running';
    const others = seeds.filter((seed) => seed !== this.address).slice(0, MAX_CALLED);
    this.carryOut(this.core.step({ kind: 'start', seeds: others }, this.nowMs()));
    let expectedMs = this.nowMs() + LOOP_CHECK_MS;
    this.loopTimer = this.env.timers.every(LOOP_CHECK_MS, () => {
      const delayMs = this.nowMs() - expectedMs;
      expectedMs = this.nowMs() + LOOP_CHECK_MS;
      if (delayMs > 0) this.carryOut(this.core.step({ kind: 'loop-delay', delayMs }, this.nowMs()));
    });
    this.aboutTimer = this.env.timers.every(ABOUT_INTERVAL_MS, () => this.tellAbout());
  }

  /** Where members are, by the topology in force: who is not known yet is called. */
  meet(addresses: readonly string[]): void {
    if (this.state !== 'running') return;
    const seeds = addresses.filter((address) => address !== this.address);
    this.carryOut(this.core.step({ kind: 'seeds', seeds }, this.nowMs()));
  }

  /** Method SWIM of the bus. */
  readonly onNotice = (arrival: Arrival): void => {
    if (this.state !== 'running') return;
    try {
      const { from, address, message } = decodeSwim(arrival.message.payload);
      this.carryOut(this.core.step({ kind: 'message', from, address, message }, this.nowMs()));
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      this.env.log.error('a message of membership that is not to be read', {
        from: arrival.from,
        reason: thrown.message,
      });
    }
  };

  /** All that were ever heard of, this node included. */
  all(): readonly Readonly<Known>[] {
    return this.core.all();
  }

  get(name: NodeName): Readonly<Known> | undefined {
    return this.core.get(name);
  }

  /** Dead or left. Not, of who was never heard of. */
  isGone(name: NodeName): boolean {
    const status = this.core.get(name)?.status;
    return status === 'dead' || status === 'left';
  }

  /** Local health; 0 is well. */
  get health(): number {
    return this.core.health;
  }

  /** Told of every change of what is known of a member, this node's own excluded; returns how to stop. */
  onChange(listener: MemberListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Says goodbye: a clean shutdown. The bus must still send what this queues. */
  leave(): void {
    if (this.state === 'running') this.carryOut(this.core.step({ kind: 'leave' }, this.nowMs()));
  }

  close(): void {
    this.state = 'closed';
    this.timer?.cancel();
    this.loopTimer?.cancel();
    this.aboutTimer?.cancel();
  }

  private tellAbout(): void {
    const about = aboutText(this.about());
    if (about === this.told) return;
    this.told = about;
    this.carryOut(this.core.step({ kind: 'about', about }, this.nowMs()));
  }

  private carryOut(effects: readonly SwimEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'changed') for (const listener of this.listeners) listener(effect.member);
      else {
        const payload = encodeSwim({ from: this.identity, address: this.address, message: effect.message });
        const { epoch } = this.about();
        const outgoing = { method: busMethod.SWIM, priority: priority.CONTROL, deadlineMs: Infinity, epoch, payload };
        this.bus.noticeAt(effect.to, outgoing);
      }
    }
    this.wakeInTime();
  }

  private wakeInTime(): void {
    const wantedMs = this.core.wakeAtMs;
    if (this.state !== 'running' || wantedMs >= this.timerAtMs) return;
    this.timer?.cancel();
    this.timerAtMs = wantedMs;
    this.timer = this.env.timers.after(Math.max(0, Math.ceil(wantedMs - this.nowMs())), () => {
      this.timer = undefined;
      this.timerAtMs = Number.POSITIVE_INFINITY;
      this.carryOut(this.core.step({ kind: 'wake' }, this.nowMs()));
    });
  }

  private nowMs(): number {
    return this.env.clock.monotonicUs() / 1000;
  }
}

function aboutText({ epoch, version }: About): string {
  return `epoch=${epoch} version=${version}`;
}

/** What a member tells of itself; what it does not say is 0 or empty. */
export function aboutOf(text: string): About {
  const words = new Map(text.split(' ').map((word) => word.split('=', 2) as [string, string | undefined]));
  const epoch = Number(words.get('epoch'));
  return { epoch: Number.isSafeInteger(epoch) && epoch > 0 ? epoch : 0, version: words.get('version') ?? '' };
}
