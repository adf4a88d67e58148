/** What goes wrong in a run, apart from what network and disk do by themselves: drawn from the seed as the swarm allows. */

import type { Prng } from '../prng.ts';
import type { EventLoop } from '../event-loop.ts';
import type { Ending, Machine } from './machine.ts';
import type { SimNetwork } from './network.ts';
import type { Swarm } from './swarm.ts';

export interface TroubleWorld {
  readonly loop: EventLoop;
  readonly network: SimNetwork;
  readonly machines: readonly Machine[];
  readonly swarm: Swarm;
  isOpen(): boolean;
  note(event: string): void;
}

const LONG_DOWN_MS = 400;
const LAG_US = 80_000;
/** Starting a node is what costs most of a run. */
const MAX_CRASHES = 25;

export class Trouble {
  crashes = 0;
  cuts = 0;
  pauses = 0;
  private readonly world: TroubleWorld;
  private readonly random: Prng;
  private isBlackout = false;
  private hasLostDisk = false;

  constructor(world: TroubleWorld, random: Prng) {
    this.world = world;
    this.random = random;
  }

  start(): void {
    const { swarm } = this.world;
    this.later(swarm.fastCrashes ? 2 + this.random.next() * 20 : this.random.next() * 2 * swarm.troubleMs, () => {
      this.cause();
      this.start();
    });
  }

  private later(ms: number, run: () => void): void {
    this.world.loop.post(ms * 1000, () => {
      if (this.world.isOpen()) run();
    });
  }

  private cause(): void {
    const { swarm, machines } = this.world;
    const { random } = this;
    const machine = random.pick(machines);
    if (swarm.blackouts && random.chance(0.05)) this.blackout();
    else if ((swarm.kills || swarm.powerCuts || swarm.crashPoints) && random.chance(0.6)) this.crash(machine);
    else if (swarm.losesDisk && !this.hasLostDisk && random.chance(0.1)) this.loseDisk(machine);
    if (swarm.cuts && random.chance(0.5)) this.cutOff(machine);
    if (swarm.pauses && random.chance(0.3)) this.pause(machine);
    if (swarm.lags && random.chance(0.3)) this.lag(machine);
    if (swarm.resets && random.chance(0.3)) this.world.network.resetBetween(machine.host, random.pick(machines).host);
    if (swarm.jumpMs > 0 && random.chance(0.2)) {
      const ms = Math.round((random.next() * 2 - 1) * swarm.jumpMs);
      this.world.note(`the clock of ${machine.name} jumps by ${ms} ms`);
      machine.clock.jump(ms);
    }
    if (swarm.fullDisks && random.chance(0.2)) this.fillDisk(machine);
  }

  private ending(): Ending {
    const { swarm } = this.world;
    if (!swarm.powerCuts) return 'killed';
    return swarm.kills && this.random.chance(0.5) ? 'killed' : 'power cut';
  }

  private crash(machine: Machine): void {
    const { swarm, machines } = this.world;
    const down = machines.filter((other) => !other.isUp).length;
    if (this.crashes >= MAX_CRASHES) return;
    if (!machine.isUp || this.isBlackout || down >= Math.max(1, Math.ceil(machines.length / 2) - 1)) return;
    this.crashes++;
    if (swarm.crashPoints && this.random.chance(0.5)) {
      machine.disk.crashAtOperation = machine.disk.operations + this.random.below(60);
      return;
    }
    machine.end(swarm.kills || swarm.powerCuts ? this.ending() : 'power cut');
    this.restart(machine);
  }

  private loseDisk(machine: Machine): void {
    if (!machine.isUp || this.isBlackout) return;
    this.hasLostDisk = true;
    this.crashes++;
    machine.end('power cut');
    machine.loseDisk();
    this.restart(machine);
  }

  private restart(machine: Machine): void {
    const { swarm } = this.world;
    const ms = swarm.fastCrashes ? 1 + this.random.next() * 8 : 10 + this.random.next() * LONG_DOWN_MS;
    this.later(ms, () => machine.start());
  }

  private blackout(): void {
    if (this.isBlackout) return;
    this.world.note('blackout');
    this.isBlackout = true;
    this.crashes++;
    for (const machine of this.world.machines) {
      machine.end('power cut');
      this.restart(machine);
    }
    this.later(LONG_DOWN_MS * 2, () => {
      this.isBlackout = false;
    });
  }

  private cutOff(machine: Machine): void {
    const { network, machines, swarm } = this.world;
    const { random } = this;
    const style = random.pick(['out', 'in', 'both', 'mixed'] as const);
    const cuts: [string, string][] = [];
    for (const { name } of machines) {
      if (name === machine.name || !random.chance(0.7)) continue;
      const one = style === 'mixed' ? random.pick(['out', 'in', 'both'] as const) : style;
      if (one !== 'in') cuts.push([machine.name, name]);
      if (one !== 'out') cuts.push([name, machine.name]);
    }
    if (cuts.length === 0) return;
    this.cuts++;
    this.world.note(`cut ${cuts.map(([from, to]) => `${from}>${to}`).join(' ')}`);
    for (const [from, to] of cuts) network.cut(from, to);
    this.later(random.next() * 2 * swarm.cutMs, () => {
      this.world.note(`mended ${cuts.map(([from, to]) => `${from}>${to}`).join(' ')}`);
      for (const [from, to] of cuts) network.mend(from, to);
    });
  }

  private pause(machine: Machine): void {
    if (!machine.isUp || machine.life.frozen) return;
    this.pauses++;
    const { life } = machine;
    machine.pause();
    this.later(this.random.next() * 2 * this.world.swarm.pauseMs, () => {
      if (machine.life === life) machine.resume();
    });
  }

  private lag(machine: Machine): void {
    const other = this.random.pick(this.world.machines);
    const us = this.random.next() * LAG_US;
    this.world.network.lag(machine.name, other.name, us);
    this.later(100 + this.random.next() * 400, () => this.world.network.lag(machine.name, other.name, 0));
  }

  private fillDisk(machine: Machine): void {
    const { disk } = machine;
    disk.capacityBytes = disk.usedBytes + this.random.below(40_000);
    this.later(this.random.next() * 600, () => {
      disk.capacityBytes = Number.POSITIVE_INFINITY;
    });
  }
}
