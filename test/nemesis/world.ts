/**
 * Real nodes of Kvorum that can be killed, stopped, restarted and, in network namespaces of their own, cut off from one
 * another in one direction or both. Namespaces hang on one bridge; a cut is a blackhole route in the sender's.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { isSettled } from '../support/cluster-process.ts';
import { freePort, KVORUM_MAIN, type ServerProcess, startServer } from '../support/server-process.ts';

const SECRET = 'nemesis';
const FORM_TIMEOUT_MS = 60_000;

/** Port of every node in a namespace. */
const PORT = 6379;

export interface Address {
  readonly host: string;
  readonly port: number;
}

interface Place {
  readonly address: Address;
  readonly directory: string;
  readonly namespace: string | undefined;
  process: ServerProcess | undefined;
}

export class World {
  readonly places: Place[] = [];
  private readonly flags: readonly string[];
  private readonly bridge: string | undefined;
  private readonly directory: string;

  private constructor(flags: readonly string[], bridge: string | undefined) {
    this.flags = flags;
    this.bridge = bridge;
    this.directory = mkdtempSync(join(tmpdir(), 'kvorum-nemesis-'));
  }

  /** Starts `nodes` nodes as one settled cluster. `cuts`: each in a network namespace, which needs root. */
  static async start(options: { nodes: number; flags: readonly string[]; cuts: boolean }): Promise<World> {
    const bridge = options.cuts ? `kvn${process.pid % 10_000}` : undefined;
    const world = new World(options.flags, bridge);
    try {
      if (bridge !== undefined) makeBridge(bridge);
      for (let i = 0; i < options.nodes; i++) {
        world.places.push(await world.makePlace(i));
        await world.restart(i);
      }
      await world.settle();
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  private async makePlace(i: number): Promise<Place> {
    const directory = join(this.directory, String(i));
    if (this.bridge === undefined) {
      const address = { host: '127.0.0.1', port: await freePort() };
      return { address, directory, namespace: undefined, process: undefined };
    }
    const namespace = `${this.bridge}n${i}`;
    makeNamespace(this.bridge, namespace, i);
    return { address: { host: hostOf(i), port: PORT }, directory, namespace, process: undefined };
  }

  address(i: number): Address {
    return this.place(i).address;
  }

  process(i: number): ServerProcess {
    const { process: running } = this.place(i);
    if (running === undefined) throw new Error(`node ${i} does not run`);
    return running;
  }

  get isRunning(): readonly boolean[] {
    return this.places.map((place) => place.process?.running === true);
  }

  async kill(i: number): Promise<void> {
    await this.process(i).kill();
  }

  /** Starts a node (again) on its data. The first one founds the cluster. */
  async restart(i: number): Promise<void> {
    const place = this.place(i);
    const { host, port } = place.address;
    const first = this.place(0).address;
    const flags = ['--bind', host, '--cluster-enabled', 'yes', '--cluster-secret', SECRET, '--protected-mode', 'no'];
    if (i > 0) flags.push('--join', `${first.host}:${first.port}`);
    const words = [process.execPath, KVORUM_MAIN];
    const command = place.namespace === undefined ? words : ['ip', 'netns', 'exec', place.namespace, ...words];
    place.process = await startServer(command[0] as string, command.slice(1), {
      host,
      port,
      directory: place.directory,
      flags: [...flags, ...this.flags],
    });
  }

  /** Stops the process without ending it. */
  pause(i: number): void {
    this.process(i).signal('SIGSTOP');
  }

  resume(i: number): void {
    this.process(i).signal('SIGCONT');
  }

  /** What `from` sends no longer reaches `to`. */
  cut(from: number, to: number): void {
    this.route('add', from, to);
  }

  mend(from: number, to: number): void {
    this.route('del', from, to);
  }

  private route(verb: 'add' | 'del', from: number, to: number): void {
    const { namespace } = this.place(from);
    if (namespace === undefined) throw new Error('nodes on loopback cannot be cut off');
    run('ip', ['netns', 'exec', namespace, 'ip', 'route', verb, 'blackhole', `${hostOf(to)}/32`]);
  }

  /** Waits until every running node sees all members and no slot on the move. */
  async settle(): Promise<void> {
    const deadlineMs = performance.now() + FORM_TIMEOUT_MS;
    for (const { address, process: node } of this.places) {
      while (!(await isSettled(address, this.places.length))) {
        if (performance.now() > deadlineMs) throw new Error(`the cluster does not settle:\n${node?.output ?? ''}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  async stop(): Promise<void> {
    const started = this.places.flatMap(({ process: node }) => (node === undefined ? [] : [node]));
    await Promise.all(started.map((node) => node.kill()));
    for (const { namespace } of this.places) if (namespace !== undefined) spawnSync('ip', ['netns', 'del', namespace]);
    if (this.bridge !== undefined) spawnSync('ip', ['link', 'del', this.bridge]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  private place(i: number): Place {
    const place = this.places[i];
    if (place === undefined) throw new Error(`there are ${this.places.length} nodes`);
    return place;
  }
}

/** Whether this process may make network namespaces. */
export function canCut(): boolean {
  const name = `kvt${process.pid % 10_000}`;
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return false;
  spawnSync('ip', ['netns', 'del', name]);
  return true;
}

function hostOf(i: number): string {
  return `10.77.0.${i + 1}`;
}

function makeBridge(bridge: string): void {
  run('ip', ['link', 'add', bridge, 'type', 'bridge']);
  run('ip', ['addr', 'add', '10.77.0.254/24', 'dev', bridge]);
  run('ip', ['link', 'set', bridge, 'up']);
}

function makeNamespace(bridge: string, namespace: string, i: number): void {
  run('ip', ['netns', 'add', namespace]);
  run('ip', ['link', 'add', `${namespace}h`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace]);
  run('ip', ['link', 'set', `${namespace}h`, 'master', bridge, 'up']);
  const inside = (words: string): void => run('ip', ['netns', 'exec', namespace, 'ip', ...words.split(' ')]);
  inside(`addr add ${hostOf(i)}/24 dev eth0`);
  inside('link set eth0 up');
  inside('link set lo up');
}

function run(command: string, words: readonly string[]): void {
  const finished = spawnSync(command, [...words], { encoding: 'utf8' });
  if (finished.status !== 0) throw new Error(`${command} ${words.join(' ')}: ${finished.stderr}`);
}
