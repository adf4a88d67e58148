/**
 * One simulated machine with the product on it: `Node.start` as main.ts does it, on a simulated disk, network and clock.
 * It dies, comes back, freezes, loses power or its disk.
 */

import { Config } from '../../../src/config.ts';
import { NO_MACHINE } from '../../../src/commands/machine.ts';
import type { Env, Log, LogFields } from '../../../src/env.ts';
import { Node } from '../../../src/node.ts';
import { noFaults, SimDisk, type DiskFaults, type DiskImage } from '../disk.ts';
import type { EventLoop, Life } from '../event-loop.ts';
import type { Prng } from '../prng.ts';
import { SimThreads } from '../threads.ts';
import { MachineClock } from './machine-clock.ts';
import type { Host, SimNetwork } from './network.ts';

export interface MachineWorld {
  readonly loop: EventLoop;
  readonly network: SimNetwork;
  readonly random: Prng;
  /** What happens, for the digest and for whoever reads a failure. */
  note(event: string): void;
  /** Something that must never happen did. */
  violation(what: string): void;
}

export type Ending = 'killed' | 'power cut';

export interface MachineOptions {
  readonly name: string;
  /** Words of the command line. */
  readonly args: readonly string[];
  readonly skewMs: number;
  readonly drift: number;
  /** What its disk holds at first; nothing when left out. */
  readonly image?: DiskImage | undefined;
}

/** How long the process takes to be there again after the disk has failed it, as under a supervisor. */
const RESTART_AFTER_FATAL_MS = 50;

export class Machine {
  readonly name: string;
  readonly clock: MachineClock;
  readonly host: Host;
  disk: SimDisk;
  /** The product, while it serves. */
  node: Node | undefined;
  diskFaults: DiskFaults = noFaults();
  life: Life;
  lives = 0;
  fatals = 0;
  failedStarts = 0;
  private readonly world: MachineWorld;
  private readonly options: MachineOptions;
  private readonly random: Prng;
  private isOn = false;
  /** Power cuts so far. */
  private boots = 0;
  private readonly listeners: (() => void)[] = [];

  constructor(world: MachineWorld, options: MachineOptions) {
    this.world = world;
    this.options = options;
    this.name = options.name;
    this.random = world.random.split(options.name);
    this.clock = new MachineClock(world.loop, { offsetMs: options.skewMs, drift: options.drift });
    this.host = world.network.addHost(options.name, true);
    this.disk = new SimDisk({ loop: world.loop, random: this.random.split('disk'), image: options.image });
    this.life = world.loop.life();
  }

  /** The process runs, though it may not serve yet. */
  get isUp(): boolean {
    return this.isOn;
  }

  /** Calls back whenever the product begins to serve. */
  onServing(listener: () => void): void {
    this.listeners.push(listener);
  }

  start(): void {
    if (this.isOn) return;
    const { world } = this;
    this.isOn = true;
    this.lives++;
    this.life = world.loop.life();
    if (!this.host.hasPower) world.network.powerOn(this.host);
    const { life } = this;
    const env = this.env(life);
    this.disk.faults = { ...this.diskFaults };
    this.disk.onCrash = () => {
      life.kill();
      world.loop.post(0, () => this.end(this.random.chance(0.5) ? 'killed' : 'power cut'));
      world.loop.post(RESTART_AFTER_FATAL_MS * 1000, () => this.start());
    };
    world.note(`${this.name} starts, life ${this.lives}`);
    const config = Config.load(env.disk, { args: this.options.args });
    Node.start({
      env,
      config,
      machine: { ...NO_MACHINE, bootId: `${this.name} ${this.boots}` },
      version: '0.0.0',
      onFatal: (error) => this.failed(life, `fatal: ${error.message}`),
      onShutdown: () => this.failed(life, 'has ended by itself'),
    }).then(
      (node) => {
        if (!life.alive) return;
        this.node = node;
        world.note(`${this.name} serves`);
        for (const listener of this.listeners) listener();
      },
      (error: unknown) => {
        if (!life.alive) return;
        this.failedStarts++;
        this.failed(life, `cannot start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      },
    );
  }

  /** The process dies, alone or with the power of its machine. */
  end(ending: Ending): void {
    if (!this.isOn) return;
    this.isOn = false;
    this.node = undefined;
    this.life.kill();
    this.world.note(`${this.name}: ${ending}`);
    if (ending === 'killed') {
      this.disk.kill();
      this.world.network.processDied(this.host);
    } else {
      this.boots++;
      this.disk.powerCut();
      this.world.network.powerOff(this.host);
    }
  }

  pause(): void {
    if (!this.isOn || this.life.frozen) return;
    this.world.note(`${this.name} freezes`);
    this.life.freeze();
    this.world.network.freeze(this.host);
  }

  resume(): void {
    if (!this.life.frozen) return;
    this.world.note(`${this.name} thaws`);
    this.world.network.thaw(this.host);
    this.life.thaw();
  }

  /** A new disk, with nothing on it. Requires: the process is down. */
  loseDisk(): void {
    this.world.note(`${this.name} loses its disk`);
    this.disk = new SimDisk({ loop: this.world.loop, random: this.random.split(`disk of life ${this.lives}`) });
  }

  /** Nothing goes wrong with the disk any more. */
  heal(): void {
    this.diskFaults = noFaults();
    this.disk.faults = noFaults();
    this.disk.capacityBytes = Number.POSITIVE_INFINITY;
    this.disk.crashAtOperation = Number.POSITIVE_INFINITY;
    this.clock.heal();
    this.resume();
  }

  /** As main.ts: the process ends when the disk has failed for good, and something starts it again. */
  private failed(life: Life, why: string): void {
    if (!life.alive) return;
    this.fatals++;
    this.world.note(`${this.name} ${why}`);
    if (Object.values(this.disk.injected).every((count) => count === 0)) {
      this.world.violation(`${this.name} failed without a reason: ${why}`);
    }
    this.world.loop.post(0, () => {
      if (this.life === life) this.end('killed');
    });
    this.world.loop.post(RESTART_AFTER_FATAL_MS * 1000, () => {
      if (this.life === life) this.start();
    });
  }

  private env(life: Life): Env {
    const { world } = this;
    const random = this.random.split(`life ${this.lives}`);
    const disk = this.disk.mount(life);
    return {
      clock: this.clock,
      timers: life,
      random: random.split('product'),
      disk,
      network: world.network.of(this.host, life),
      threads: new SimThreads({ loop: world.loop, life, disk, random: random.split('threads') }),
      log: this.log(),
    };
  }

  private log(): Log {
    const line = (level: string) => (message: string, fields?: LogFields) => {
      if (level !== 'debug') this.world.note(`${this.name} ${level}: ${message} ${JSON.stringify(fields ?? {})}`);
    };
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  }
}
