/**
 * Membership under simulation: members in virtual time over a faulty network, with crashes, restarts, pauses and cuts
 * that the test asks for. Counts what must not happen: members called dead that were not.
 */

import type { SwimConfig } from '../../../src/cluster/swim-config.ts';
import { SwimCore } from '../../../src/cluster/swim-core.ts';
import type { MemberStatus, SwimEffect, SwimEvent } from '../../../src/cluster/swim-message.ts';
import { Prng } from '../prng.ts';
import { Kernel } from './kernel.ts';
import { Network, type NetworkFaults } from './network.ts';

export const CALM: NetworkFaults = { loss: 0, duplication: 0, slow: 0, late: 0, lateMs: 0 };

interface Station {
  readonly id: number;
  core: SwimCore;
  life: number;
  up: boolean;
  paused: (() => void)[] | undefined;
  /** Until when it may rightly be called dead: it was down, or stood still. */
  excusedUntilMs: number;
  wakeAtMs: number;
}

export class SwimScene {
  readonly kernel = new Kernel();
  readonly network: Network;
  /** Members that others called dead though they were up and running. */
  falseDeaths = 0;
  suspicions = 0;
  private readonly random: Prng;
  private readonly stations: Station[] = [];
  private readonly config: Partial<SwimConfig>;

  constructor(options: {
    seed: number;
    members: number;
    faults?: Partial<NetworkFaults>;
    config?: Partial<SwimConfig>;
  }) {
    const root = new Prng(options.seed);
    this.random = root.split('swim');
    this.network = new Network(this.kernel, root.split('network'), { ...CALM, ...options.faults });
    this.config = options.config ?? {};
    for (let id = 0; id < options.members; id++) {
      const station: Station = {
        id,
        core: this.newCore(id, 1),
        life: 1,
        up: true,
        paused: undefined,
        excusedUntilMs: 0,
        wakeAtMs: Number.POSITIVE_INFINITY,
      };
      this.stations.push(station);
      this.step(station, { kind: 'start', seeds: id === 0 ? [] : ['0'] });
    }
  }

  private newCore(id: number, life: number): SwimCore {
    return new SwimCore({
      name: `member ${id}`,
      address: `${id}`,
      about: '',
      incarnation: life * 1_000,
      random: () => this.random.next(),
      config: this.config,
    });
  }

  runFor(ms: number): void {
    this.kernel.run(this.kernel.nowMs + ms);
  }

  crash(id: number): void {
    const station = this.at(id);
    station.up = false;
    station.paused = undefined;
    station.excusedUntilMs = Number.POSITIVE_INFINITY;
  }

  /** A new life under the same name; it knows nobody but member `seed`. */
  restart(id: number, seed: number): void {
    const station = this.at(id);
    station.up = true;
    station.life++;
    station.core = this.newCore(id, station.life);
    station.wakeAtMs = Number.POSITIVE_INFINITY;
    station.excusedUntilMs = this.kernel.nowMs + EXCUSE_MS;
    this.step(station, { kind: 'start', seeds: [`${seed}`] });
  }

  /** SIGSTOP for a while. */
  pause(id: number, ms: number): void {
    const station = this.at(id);
    const { life } = station;
    station.paused = [];
    station.excusedUntilMs = this.kernel.nowMs + ms + EXCUSE_MS;
    this.kernel.after(ms, () => {
      const held = station.paused ?? [];
      if (station.life !== life) return;
      station.paused = undefined;
      this.step(station, { kind: 'loop-delay', delayMs: ms });
      for (const run of held) run();
    });
  }

  leave(id: number): void {
    this.step(this.at(id), { kind: 'leave' });
  }

  /** Cuts the way from each of `from` to each of `to`. */
  cut(from: readonly number[], to: readonly number[]): void {
    for (const a of from) for (const b of to) if (a !== b) this.network.cuts.add(`${a}>${b}`);
  }

  heal(): void {
    this.network.cuts.clear();
    this.network.faultsOn = false;
  }

  statusOf(observer: number, subject: number): MemberStatus | undefined {
    return this.at(observer).core.get(`member ${subject}`)?.status;
  }

  healthOf(id: number): number {
    return this.at(id).core.health;
  }

  /** Whether all members that are up see those that are up alive, and nobody sees the others alive. */
  get agrees(): boolean {
    return this.stations.every(
      (observer) =>
        !observer.up ||
        this.stations.every((subject) => (this.statusOf(observer.id, subject.id) === 'alive') === subject.up),
    );
  }

  /** Runs until `done`, at most for `limitMs`; how long it took, or undefined. */
  runUntil(done: () => boolean, limitMs: number): number | undefined {
    const started = this.kernel.nowMs;
    while (this.kernel.nowMs < started + limitMs) {
      if (done()) return this.kernel.nowMs - started;
      this.runFor(50);
    }
    return undefined;
  }

  private at(id: number): Station {
    return this.stations[id] as Station;
  }

  private inLife(station: Station, life: number, run: () => void): void {
    if (!station.up || station.life !== life) return;
    if (station.paused === undefined) run();
    else station.paused.push(() => this.inLife(station, life, run));
  }

  private step(station: Station, event: SwimEvent): void {
    for (const effect of station.core.step(event, this.kernel.nowMs)) this.carryOut(station, effect);
    const wantedMs = station.core.wakeAtMs;
    if (wantedMs >= station.wakeAtMs) return;
    station.wakeAtMs = wantedMs;
    const { life } = station;
    this.kernel.after(wantedMs - this.kernel.nowMs, () =>
      this.inLife(station, life, () => {
        station.wakeAtMs = Number.POSITIVE_INFINITY;
        this.step(station, { kind: 'wake' });
      }),
    );
  }

  private carryOut(station: Station, effect: SwimEffect): void {
    if (effect.kind === 'changed') {
      const subject = this.at(Number(effect.member.name.split(' ')[1]));
      if (effect.member.status === 'suspect') this.suspicions++;
      if (effect.member.status === 'dead' && this.kernel.nowMs > subject.excusedUntilMs) this.falseDeaths++;
      return;
    }
    const target = this.at(Number(effect.to));
    const { message } = effect;
    const [from, address] = [`member ${station.id}`, `${station.id}`];
    this.network.send(station.id, target.id, () =>
      this.inLife(target, target.life, () => this.step(target, { kind: 'message', from, address, message })),
    );
  }
}

/** After it came back a member may still be called dead by news that was on its way. */
const EXCUSE_MS = 3_000;
