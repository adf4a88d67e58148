/**
 * Membership: who is reachable (SWIM, Das et al. 2002; Lifeguard, Dadgar et al. 2018; constants of memberlist). It never
 * says who owns what: that is the topology document's.
 *
 * Each interval one member is probed, in a random order that is gone through before it is drawn anew. Who does not
 * answer, not to others asked in our stead either, becomes suspect; who does not refute becomes dead. News rides on the
 * messages of the probes, and goes out by itself when there is much of it; now and then two members compare all.
 *
 * A pure state machine: `step(event, nowMs)` returns effects; time and chance are handed in.
 *
 * Invariants:
 * - What is known of a member only changes to a higher incarnation, or, within one, from alive to suspect to dead.
 * - Only a member itself raises its incarnation, and does so whenever it hears that it is suspect or dead.
 * - A member is called dead here only after `accusers` members, this one included, have suspected that incarnation (or
 *   all others there are), or when another member says so by the same rule.
 * - A member that left is not called back to life by old news of it.
 */

import { DueHeap } from './due-heap.ts';
import { NewsQueue } from './news-queue.ts';
import type { Known, MemberStatus, News, NodeName, SwimEffect, SwimEvent, SwimMessage } from './swim-message.ts';
import { LAN, MAX_CALLED, MAX_KNOWN, MAX_NEWS, suspicionMs, tellings, type SwimConfig } from './swim-config.ts';

interface Suspicion {
  readonly accusers: Set<NodeName>;
  readonly startedMs: number;
  readonly expected: number;
}

interface Probe {
  readonly target: NodeName;
  /** Asked in somebody else's stead: whom to tell, under which number. */
  readonly onBehalf: { readonly address: string; readonly probe: number } | undefined;
  /** Members that were asked to probe in our stead; undefined: nobody was. */
  asked: number | undefined;
  /** Those of them that said that they are there but have no answer. */
  nacks: number;
}

type Alarm =
  | { readonly kind: 'probe' | 'gossip' | 'compare' | 'reconnect' }
  | { readonly kind: 'no-answer' | 'give-up'; readonly probe: number }
  | { readonly kind: 'suspicion'; readonly name: NodeName; readonly incarnation: number };

export class SwimCore {
  private readonly config: SwimConfig;
  private readonly name: NodeName;
  private readonly random: () => number;
  private readonly self: Known;
  private readonly members = new Map<NodeName, Known>();
  private readonly suspicions = new Map<NodeName, Suspicion>();
  private readonly probes = new Map<number, Probe>();
  private readonly news = new NewsQueue<News>();
  private readonly alarms = new DueHeap<Alarm>();
  /** Whom to probe next; drawn anew when it is used up. */
  private round: NodeName[] = [];
  private lastProbe = 0;
  /** Local health: 0 is well. */
  private awareness = 0;
  private leaving = false;
  /** Addresses to call while nobody is known. */
  private seeds: readonly string[] = [];
  private effects: SwimEffect[] = [];

  /** `incarnation`: above that of every earlier life of this node. */
  constructor(options: {
    name: NodeName;
    address: string;
    about: string;
    incarnation: number;
    random(): number;
    config?: Partial<SwimConfig>;
  }) {
    this.config = { ...LAN, ...options.config };
    this.name = options.name;
    this.random = () => options.random();
    const { name, address, about, incarnation } = options;
    this.self = { name, status: 'alive', incarnation, address, about, sinceMs: 0 };
    this.members.set(name, this.self);
  }

  get wakeAtMs(): number {
    return this.alarms.nextMs;
  }

  /** The score of local health, 0 is well. */
  get health(): number {
    return this.awareness;
  }

  /** All that are known, this one included. */
  all(): readonly Readonly<Known>[] {
    return [...this.members.values()];
  }

  get(name: NodeName): Readonly<Known> | undefined {
    return this.members.get(name);
  }

  /** `nowMs`: monotonic milliseconds. */
  step(event: SwimEvent, nowMs: number): SwimEffect[] {
    switch (event.kind) {
      case 'start':
        this.start(event.seeds, nowMs);
        break;
      case 'seeds': {
        const known = new Set([...this.members.values()].map((member) => member.address));
        this.seeds = event.seeds;
        const strangers = event.seeds.filter((seed) => !known.has(seed));
        for (const seed of strangers.slice(0, MAX_CALLED)) this.compareWith(seed, true);
        break;
      }
      case 'message':
        this.receive(event.address, event.message, nowMs);
        break;
      case 'wake':
        this.wake(nowMs);
        break;
      case 'loop-delay':
        if (event.delayMs >= this.config.loopDelayMs) this.feel(1);
        break;
      case 'about':
        this.self.about = event.about;
        this.raiseIncarnation(this.self.incarnation);
        break;
      case 'leave':
        this.leaving = true;
        this.self.status = 'left';
        this.tell(this.self, this.name);
        this.gossip();
        break;
    }
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  private start(seeds: readonly string[], nowMs: number): void {
    const { probeIntervalMs, gossipIntervalMs, pushPullIntervalMs, reconnectIntervalMs } = this.config;
    // The first rounds are spread over their interval, so that a cluster that starts at once does not go in step.
    this.alarms.add(nowMs + this.random() * probeIntervalMs, { kind: 'probe' });
    this.alarms.add(nowMs + this.random() * gossipIntervalMs, { kind: 'gossip' });
    this.alarms.add(nowMs + this.random() * pushPullIntervalMs, { kind: 'compare' });
    this.alarms.add(nowMs + this.random() * reconnectIntervalMs, { kind: 'reconnect' });
    this.tell(this.self, this.name);
    this.seeds = seeds;
    for (const seed of seeds) this.compareWith(seed, true);
  }

  // --- time --------------------------------------------------------------------------------------------------------

  private wake(nowMs: number): void {
    for (;;) {
      const alarm = this.alarms.take(nowMs);
      if (alarm === undefined) return;
      switch (alarm.kind) {
        case 'probe':
          this.probeNext(nowMs);
          break;
        case 'gossip':
          this.gossip(nowMs);
          this.alarms.add(nowMs + this.config.gossipIntervalMs, alarm);
          break;
        case 'compare': {
          const [other] = this.pick(1, (member) => member.status === 'alive');
          if (other !== undefined) this.compareWith(other.address, true);
          this.alarms.add(nowMs + this.config.pushPullIntervalMs, alarm);
          break;
        }
        case 'reconnect': {
          const [other] = this.pick(1, (member) => member.status === 'dead');
          if (other !== undefined) this.compareWith(other.address, true);
          this.alarms.add(nowMs + this.config.reconnectIntervalMs, alarm);
          break;
        }
        case 'no-answer':
          this.askOthers(alarm.probe);
          break;
        case 'give-up':
          this.giveUp(alarm.probe, nowMs);
          break;
        case 'suspicion':
          this.judgeSuspicion(alarm.name, alarm.incarnation, nowMs);
          break;
      }
    }
  }

  private probeNext(nowMs: number): void {
    const { probeIntervalMs, probeTimeoutMs } = this.config;
    const patience = this.awareness + 1;
    this.alarms.add(nowMs + probeIntervalMs * patience, { kind: 'probe' });
    const target = this.nextTarget();
    if (target === undefined) {
      // Alone: the seeds did not hear, or are gone for now.
      for (const seed of this.seeds) this.compareWith(seed, true);
      return;
    }
    const probe = ++this.lastProbe;
    this.probes.set(probe, { target: target.name, onBehalf: undefined, asked: undefined, nacks: 0 });
    // A suspect learns of it from the probe itself, and refutes in its answer.
    const news = this.takeNews();
    if (target.status === 'suspect') news.unshift(this.newsOf(target, this.name));
    this.send(target.address, { kind: 'probe', probe, news });
    this.alarms.add(nowMs + probeTimeoutMs * patience, { kind: 'no-answer', probe });
    this.alarms.add(nowMs + probeIntervalMs * patience, { kind: 'give-up', probe });
  }

  private nextTarget(): Known | undefined {
    for (let tries = 0; tries < 2; tries++) {
      for (let name = this.round.pop(); name !== undefined; name = this.round.pop()) {
        const member = this.members.get(name);
        if (member?.status === 'alive' || member?.status === 'suspect') return member;
      }
      this.round = this.pick(this.members.size, () => true).map((member) => member.name);
    }
    return undefined;
  }

  private askOthers(number: number): void {
    const probe = this.probes.get(number);
    const target = probe === undefined ? undefined : this.members.get(probe.target);
    if (probe === undefined || target === undefined) return;
    if (probe.onBehalf !== undefined) {
      this.send(probe.onBehalf.address, { kind: 'nack', probe: probe.onBehalf.probe, news: [] });
      return;
    }
    const others = this.pick(
      this.config.indirectProbes,
      (member) => member.status === 'alive' && member.name !== target.name,
    );
    if (others.length > 0) probe.asked = others.length;
    for (const other of others) {
      const { name, address } = target;
      this.send(other.address, { kind: 'probe-for', probe: number, target: name, address, news: this.takeNews() });
    }
  }

  /** Nobody had an answer. If those asked in our stead are silent too, it may be us. */
  private giveUp(number: number, nowMs: number): void {
    const probe = this.probes.get(number);
    this.probes.delete(number);
    if (probe === undefined || probe.onBehalf !== undefined) return;
    this.feel(probe.asked === undefined ? 1 : Math.max(0, probe.asked - probe.nacks));
    const target = this.members.get(probe.target);
    if (target === undefined || target.status === 'dead' || target.status === 'left') return;
    this.accuse(target, target.incarnation, this.name, nowMs);
  }

  // --- messages ----------------------------------------------------------------------------------------------------

  private receive(address: string, message: SwimMessage, nowMs: number): void {
    for (const news of message.news) this.learn(news, message.kind === 'compare', nowMs);
    switch (message.kind) {
      case 'probe':
        this.send(address, { kind: 'ack', probe: message.probe, news: this.takeNews() });
        break;
      case 'ack':
        this.answered(message.probe);
        break;
      case 'probe-for': {
        const probe = ++this.lastProbe;
        const onBehalf = { address, probe: message.probe };
        this.probes.set(probe, { target: message.target, onBehalf, asked: undefined, nacks: 0 });
        this.send(message.address, { kind: 'probe', probe, news: this.takeNews() });
        this.alarms.add(nowMs + this.config.probeTimeoutMs * NACK_SHARE, { kind: 'no-answer', probe });
        this.alarms.add(nowMs + this.config.probeIntervalMs, { kind: 'give-up', probe });
        break;
      }
      case 'nack': {
        const probe = this.probes.get(message.probe);
        if (probe !== undefined) probe.nacks++;
        break;
      }
      case 'gossip':
        break;
      case 'compare':
        if (message.reply) this.compareWith(address, false);
        break;
    }
  }

  private answered(number: number): void {
    const probe = this.probes.get(number);
    if (probe === undefined) return;
    this.probes.delete(number);
    if (probe.onBehalf === undefined) this.feel(-1);
    else this.send(probe.onBehalf.address, { kind: 'ack', probe: probe.onBehalf.probe, news: [] });
  }

  /** `compared`: from a comparison, where the dead may have come back unheard: they are suspected first. */
  private learn(news: News, compared: boolean, nowMs: number): void {
    if (news.name === this.name) {
      this.learnOfSelf(news);
      return;
    }
    const known = this.members.get(news.name);
    if (known === undefined || news.incarnation > known.incarnation) {
      if (known === undefined && (this.members.size >= MAX_KNOWN || news.status === 'dead')) return;
      this.welcome(news, nowMs);
    }
    const member = this.members.get(news.name) as Known;
    if (news.incarnation < member.incarnation || member.status === 'left') return;
    if (news.status === 'left') this.become(member, 'left', news.from, nowMs);
    else if (news.status === 'suspect') this.accuse(member, news.incarnation, news.from, nowMs);
    else if (news.status === 'dead') {
      if (compared) this.accuse(member, news.incarnation, news.from, nowMs);
      else if (member.status !== 'dead') this.become(member, 'dead', news.from, nowMs);
    }
  }

  private learnOfSelf(news: News): void {
    if (this.leaving || news.incarnation < this.self.incarnation) return;
    if (news.status === 'alive' && news.incarnation === this.self.incarnation) return;
    this.raiseIncarnation(news.incarnation);
    // Somebody took us for dead: perhaps we were slow.
    if (news.status !== 'alive') this.feel(1);
  }

  private raiseIncarnation(above: number): void {
    this.self.incarnation = Math.max(above, this.self.incarnation) + 1;
    this.tell(this.self, this.name);
  }

  /** A new member, or a known one with a higher incarnation. */
  private welcome(news: News, nowMs: number): void {
    const { name, incarnation, address, about } = news;
    const known = this.members.get(name);
    this.suspicions.delete(name);
    const status = news.status === 'left' ? 'left' : 'alive';
    if (known === undefined) {
      const member: Known = { name, status, incarnation, address, about, sinceMs: nowMs };
      this.members.set(name, member);
      // A new member is probed at a random place of this round.
      this.round.splice(Math.floor(this.random() * (this.round.length + 1)), 0, name);
      this.changed(member);
    } else {
      Object.assign(known, { incarnation, address, about });
      if (known.status !== status) this.become(known, status, name, nowMs);
      else this.changed(known);
    }
    this.tell(this.members.get(name) as Known, name);
  }

  // --- suspicion ---------------------------------------------------------------------------------------------------

  /** `from` suspects this incarnation of the member. */
  private accuse(member: Known, incarnation: number, from: NodeName, nowMs: number): void {
    if (incarnation < member.incarnation || member.status === 'dead' || member.status === 'left') return;
    let suspicion = this.suspicions.get(member.name);
    if (suspicion === undefined || member.status === 'alive') {
      const others = this.pick(this.members.size, (each) => each.status === 'alive' && each !== member).length;
      const expected = Math.min(this.config.suspicionMult - 2, others);
      suspicion = { accusers: new Set(), startedMs: nowMs, expected };
      this.suspicions.set(member.name, suspicion);
      this.become(member, 'suspect', from, nowMs);
    } else if (suspicion.accusers.has(from)) return;
    suspicion.accusers.add(from);
    // The first few accusers are passed on under their own names, so that others can count them.
    if (suspicion.accusers.size <= suspicion.expected + 1) this.tell(member, from);
    this.awaitRefutation(member, suspicion, nowMs);
  }

  private awaitRefutation(member: Known, suspicion: Suspicion, nowMs: number): void {
    const lasts = suspicionMs(this.config, this.reachable(), suspicion.accusers.size - 1, suspicion.expected);
    const { name, incarnation } = member;
    this.alarms.add(Math.max(nowMs, suspicion.startedMs + lasts), { kind: 'suspicion', name, incarnation });
  }

  private judgeSuspicion(name: NodeName, incarnation: number, nowMs: number): void {
    const member = this.members.get(name);
    const suspicion = this.suspicions.get(name);
    if (member === undefined || suspicion === undefined || member.status !== 'suspect') return;
    if (member.incarnation !== incarnation) return;
    const lasts = suspicionMs(this.config, this.reachable(), suspicion.accusers.size - 1, suspicion.expected);
    if (nowMs < suspicion.startedMs + lasts || !this.isProven(suspicion)) return;
    this.become(member, 'dead', this.name, nowMs);
  }

  /** Enough members have suspected it: one alone may be the one that is cut off. */
  private isProven(suspicion: Suspicion): boolean {
    // Of those who take part one is the accused, all others may accuse it.
    return suspicion.accusers.size >= Math.min(this.config.accusers, this.reachable() - 1);
  }

  private become(member: Known, status: MemberStatus, from: NodeName, nowMs: number): void {
    member.status = status;
    member.sinceMs = nowMs;
    if (status !== 'suspect') {
      this.suspicions.delete(member.name);
      this.tell(member, from);
    }
    this.changed(member);
  }

  // --- news --------------------------------------------------------------------------------------------------------

  private newsOf(member: Known, from: NodeName): News {
    const { name, status, incarnation, address, about } = member;
    return { name, status, incarnation, address, from, about };
  }

  private tell(member: Known, from: NodeName): void {
    // Of a suspect each accuser is a piece of its own; anything else replaces all there was about the member.
    if (member.status === 'suspect') {
      this.news.drop(member.name);
      this.news.add(`${member.name} ${from}`, this.newsOf(member, from));
      return;
    }
    for (const other of this.members.keys()) this.news.drop(`${member.name} ${other}`);
    this.news.add(member.name, this.newsOf(member, from));
  }

  private takeNews(): News[] {
    return this.news.take(MAX_NEWS, tellings(this.config, this.reachable()));
  }

  private gossip(nowMs = Number.NEGATIVE_INFINITY): void {
    if (this.news.size === 0) return;
    const { gossipNodes, gossipToDeadMs } = this.config;
    const listens = (member: Known): boolean =>
      member.status === 'alive' ||
      member.status === 'suspect' ||
      (member.status === 'dead' && nowMs - member.sinceMs < gossipToDeadMs);
    for (const member of this.pick(gossipNodes, listens)) {
      const news = this.takeNews();
      if (news.length > 0) this.send(member.address, { kind: 'gossip', news });
    }
  }

  private compareWith(address: string, reply: boolean): void {
    const news: News[] = [];
    for (const member of this.members.values()) {
      // A suspect is accused by those who accused it, each by name; the dead by whoever holds them for dead.
      const accusers = this.suspicions.get(member.name)?.accusers;
      if (accusers !== undefined) for (const accuser of accusers) news.push(this.newsOf(member, accuser));
      else news.push(this.newsOf(member, member.status === 'dead' ? this.name : member.name));
    }
    this.send(address, { kind: 'compare', reply, news });
  }

  // --- parts -------------------------------------------------------------------------------------------------------

  /** Members that take part: what the logarithms are taken of. */
  private reachable(): number {
    let count = 0;
    for (const member of this.members.values()) if (member.status === 'alive' || member.status === 'suspect') count++;
    return count;
  }

  /** Up to `count` other members at random. */
  private pick(count: number, wanted: (member: Known) => boolean): Known[] {
    const pool = [...this.members.values()].filter((member) => member !== this.self && wanted(member));
    for (let i = 0; i < Math.min(count, pool.length); i++) {
      const j = i + Math.floor(this.random() * (pool.length - i));
      const kept = pool[i] as Known;
      pool[i] = pool[j] as Known;
      pool[j] = kept;
    }
    return pool.slice(0, count);
  }

  private feel(worse: number): void {
    this.awareness = Math.max(0, Math.min(this.config.maxAwareness - 1, this.awareness + worse));
  }

  private changed(member: Known): void {
    this.effects.push({ kind: 'changed', member: { ...member } });
  }

  private send(to: string, message: SwimMessage): void {
    this.effects.push({ kind: 'send', to, message });
  }
}

/** Who probes in another's stead says nack after this part of the timeout, so that it arrives in time (Lifeguard). */
const NACK_SHARE = 0.8;
