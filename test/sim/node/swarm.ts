/**
 * What one seed's run is like: which faults are on and how hard, the sizes, the clocks, the workload. Many seeds have
 * whole classes of faults off (Groce et al., "Swarm testing", 2012): a fault that is always on hides what only happens
 * without it.
 */

import { noFaults, type DiskFaults } from '../disk.ts';
import type { Prng } from '../prng.ts';
import { calmNetwork, type NetworkFaults } from './network-faults.ts';

/** What is asked for on a key; each key has one of these workloads. */
export const workloads = ['register', 'counter', 'log', 'expiring'] as const;
export const collections = ['hash', 'list', 'set', 'scores'] as const;
export type Workload = (typeof workloads)[number] | (typeof collections)[number];

/** What groups of clients do together on several keys. */
export const companies = ['marks', 'accounts', 'tokens', 'queues'] as const;
/** Drawn by themselves, so that seeds from before they came draw what they drew. */
const laterCompanies = ['streams', 'scripts'] as const;
export type CompanyName = (typeof companies)[number] | (typeof laterCompanies)[number];

/** Of the seeds so many have each of the later companies. */
const LATER_COMPANY_CHANCE = 0.2;

export interface Swarm {
  readonly nodes: number;
  readonly replicas: number;
  /** The last node joins while clients work and things go wrong. */
  readonly joins: boolean;
  readonly clients: number;
  /** Clients at level `session`, each with a key of its own. */
  readonly sessions: number;
  readonly keys: readonly Workload[];
  readonly companies: readonly CompanyName[];
  /** Bytes that elements of collections are longer by: with some, large collections stand in cells. */
  readonly padding: number;
  readonly runMs: number;
  readonly thinkMs: number;
  readonly clientTimeoutMs: number;
  /** `request-timeout` of the nodes, in ms. */
  readonly requestTimeoutMs: number;
  /** Chance that a client goes on with the node it has. */
  readonly sticky: number;
  readonly appendfsync: 'always' | 'everysec';
  readonly network: NetworkFaults;
  readonly disk: DiskFaults;
  /** Mean time between troubles. */
  readonly troubleMs: number;
  readonly kills: boolean;
  /** Lives are as short as a few ms. */
  readonly fastCrashes: boolean;
  readonly powerCuts: boolean;
  /** All machines lose power at once. */
  readonly blackouts: boolean;
  /** A process dies at some operation of its disk rather than between two events. */
  readonly crashPoints: boolean;
  readonly pauses: boolean;
  readonly pauseMs: number;
  readonly cuts: boolean;
  readonly cutMs: number;
  readonly lags: boolean;
  readonly resets: boolean;
  readonly fullDisks: boolean;
  /** A machine, one at most, comes back with an empty disk. */
  readonly losesDisk: boolean;
  /** Wall clocks are wrong by up to this much. */
  readonly skewMs: number;
  /** Clocks run fast or slow by up to this share. */
  readonly drift: number;
  /** Clocks jump by up to this much; 0: never. */
  readonly jumpMs: number;
}

function maybe(random: Prng, chance: number, value: number): number {
  return random.chance(chance) ? value : 0;
}

function drawNetwork(random: Prng): NetworkFaults {
  const network = calmNetwork();
  network.baseUs = random.pick([20, 100, 100, 500, 2_000]);
  network.jitterUs = random.pick([0, 50, 300, 2_000]);
  network.grainUs = random.pick([1, 1, 100, 500]);
  network.callRetryMs = random.pick([100, 300, 1_000]);
  if (random.chance(0.25)) return network;
  network.stallChance = maybe(random, 0.6, random.next() * 0.05);
  network.stallMs = random.pick([5, 40, 200]);
  network.lateChance = maybe(random, 0.3, random.next() * 0.005);
  network.lateMs = random.pick([500, 1_500]);
  network.resetChance = maybe(random, 0.4, random.next() * 0.01);
  network.splitChance = maybe(random, 0.4, random.next() * 0.3);
  network.flipChance = maybe(random, 0.2, random.next() * 0.005);
  network.slowWriteChance = maybe(random, 0.2, random.next() * 0.1);
  return network;
}

function drawDisk(random: Prng, isDurable: boolean): DiskFaults {
  const disk = noFaults();
  disk.slowness = random.pick([0.05, 0.3, 1, 1, 5]);
  if (random.chance(0.7)) return disk;
  const rate = (): number => maybe(random, 0.4, random.pick([0.0005, 0.005]));
  disk.writeErrorChance = rate();
  disk.nameErrorChance = rate();
  if (isDurable) disk.syncErrorChance = rate();
  return disk;
}

/** A run of `nodes` nodes under the faults that `random` draws. */
export function drawSwarm(random: Prng, nodes: number): Swarm {
  // With everysec a power cut may lose what was acknowledged: that is what everysec says.
  const isDurable = random.chance(0.6);
  const crashes = random.chance(0.75);
  const jumpMs = maybe(random, 0.3, random.next() * 200);
  const mix = random.split('mix');
  const later = random.split('later');
  const ofCollections = mix.chance(0.4) ? Array.from({ length: mix.between(1, 3) }, () => mix.pick(collections)) : [];
  return {
    nodes,
    replicas: Math.min(nodes, 3),
    joins: nodes > 3 && random.chance(0.15),
    clients: random.between(3, 8),
    sessions: random.pick([0, 0, 1, 2]),
    keys: [...Array.from({ length: random.between(2, 6) }, () => random.pick(workloads)), ...ofCollections],
    padding: mix.pick([0, 0, 150, 400]),
    companies: [
      ...(mix.chance(0.5) ? new Set([mix.pick(companies), mix.pick(companies)]) : []),
      ...laterCompanies.filter(() => later.chance(LATER_COMPANY_CHANCE)),
    ],
    runMs: random.pick([600, 1_200, 2_400]),
    thinkMs: random.pick([2, 8, 20]) * (0.5 + random.next()),
    clientTimeoutMs: random.pick([150, 400, 1_500]),
    requestTimeoutMs: random.pick([100, 300, 1_000]),
    sticky: random.pick([0, 0.5, 0.9, 1]),
    appendfsync: isDurable ? 'always' : 'everysec',
    network: drawNetwork(random),
    disk: drawDisk(random, isDurable),
    troubleMs: random.pick([30, 100, 300]),
    kills: crashes && random.chance(0.7),
    fastCrashes: crashes && random.chance(0.35),
    powerCuts: crashes && isDurable && random.chance(0.7),
    blackouts: crashes && isDurable && random.chance(0.15),
    crashPoints: crashes && isDurable && random.chance(0.4),
    pauses: random.chance(0.4),
    pauseMs: random.pick([20, 150, 700]),
    cuts: random.chance(0.6),
    cutMs: random.pick([50, 200, 900]),
    lags: random.chance(0.3),
    resets: random.chance(0.3),
    fullDisks: random.chance(0.08),
    losesDisk: nodes > 1 && crashes && random.chance(0.1),
    skewMs: maybe(random, 0.6, random.next() * 100),
    drift: maybe(random, 0.4, random.next() * 0.01),
    jumpMs,
  };
}

/** All faults off; for directed schedules. */
export function calmSwarm(nodes: number): Swarm {
  return {
    nodes,
    replicas: Math.min(nodes, 3),
    joins: false,
    clients: 4,
    sessions: 1,
    keys: ['register', 'counter', 'log', 'expiring', ...collections],
    companies: [...companies, ...laterCompanies],
    padding: 150,
    runMs: 1_000,
    thinkMs: 3,
    clientTimeoutMs: 1_000,
    requestTimeoutMs: 1_000,
    sticky: 0.5,
    appendfsync: 'always',
    network: calmNetwork(),
    disk: noFaults(),
    troubleMs: 100,
    kills: false,
    fastCrashes: false,
    powerCuts: false,
    blackouts: false,
    crashPoints: false,
    pauses: false,
    pauseMs: 0,
    cuts: false,
    cutMs: 0,
    lags: false,
    resets: false,
    fullDisks: false,
    losesDisk: false,
    skewMs: 0,
    drift: 0,
    jumpMs: 0,
  };
}
