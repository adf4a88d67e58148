/**
 * A cluster that has formed: nodes that joined one after another while nothing went wrong. Forming takes longer than most
 * runs, so their machines start from what the disks held then. It is made once in a process and is always the same.
 */

import { must } from '../../../src/assert.ts';
import type { DiskImage } from '../disk.ts';
import { EventLoop } from '../event-loop.ts';
import { Prng } from '../prng.ts';
import { keepFormation, keptFormation } from './formation-cache.ts';
import { isSettled } from './inside.ts';
import { Machine } from './machine.ts';
import { SimNetwork } from './network.ts';
import { argumentsOf, machineName } from './setting.ts';

export interface Formation {
  /** By index of the machine. */
  readonly images: readonly DiskImage[];
  /** What the wall clock must have gone on when its machines start again, so that their stamps are not ahead of it. */
  readonly ms: number;
}

/** Longer than this it never takes. */
const FORMING_MS = 120_000;
const STEP_MS = 20;
/** A node that starts again counts its clock's ceiling as used up: a few seconds at most. */
const CLOCK_CEILING_MS = 5_000;
const SEED = 20_261_121;

const formations = new Map<string, Promise<Formation>>();

export function formationOf(setting: { nodes: number; replicas: number }): Promise<Formation> {
  const name = `${setting.nodes}-${setting.replicas}`;
  let formation = formations.get(name);
  if (formation === undefined) {
    formation = keptOrFormed(name, setting);
    formations.set(name, formation);
  }
  return formation;
}

async function keptOrFormed(name: string, setting: { nodes: number; replicas: number }): Promise<Formation> {
  const kept = keptFormation(name);
  if (kept !== undefined) return kept;
  const formation = await form(setting);
  keepFormation(name, formation);
  return formation;
}

async function form({ nodes, replicas }: { nodes: number; replicas: number }): Promise<Formation> {
  const loop = new EventLoop();
  const random = new Prng(SEED);
  const network = new SimNetwork({ loop, random: random.split('network') });
  const world = {
    loop,
    network,
    random,
    note: () => {},
    violation: (what: string) => {
      throw new Error(`a cluster does not form: ${what}`);
    },
  };
  const machines: Machine[] = [];
  for (let index = 0; index < nodes; index++) {
    const seeds = index === 0 ? [] : [machineName(0)];
    const args = argumentsOf({ index, nodes, replicas, appendfsync: 'everysec', requestTimeoutMs: 1_000, seeds });
    const machine = new Machine(world, { name: machineName(index), args, skewMs: 0, drift: 0 });
    machine.disk.faults = { ...machine.disk.faults, slowness: 0.1 };
    machine.diskFaults = machine.disk.faults;
    machines.push(machine);
    machine.start();
  }
  const isFormed = (): boolean =>
    isSettled(
      machines.map(({ node }) => node),
      nodes,
    );
  while (!isFormed()) {
    if (loop.nowUs > FORMING_MS * 1000) throw new Error(`a cluster of ${nodes} does not form`);
    await loop.advance(STEP_MS);
  }
  const images = machines.map((machine) => {
    must(machine.node, 'it serves');
    machine.end('killed');
    return machine.disk.image();
  });
  return { images, ms: Math.ceil(loop.nowUs / 1000) + CLOCK_CEILING_MS };
}
