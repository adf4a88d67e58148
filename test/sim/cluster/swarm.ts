/**
 * What one seed's run is like: which faults are on and how hard, the sizes of the tables, the clocks, the workload.
 * Many seeds have whole classes of faults off (Groce et al., "Swarm testing", 2012): a fault that is always on hides
 * what only happens without it.
 */

import type { Prng } from '../prng.ts';
import type { NetworkFaults } from './network.ts';

export interface Swarm extends NetworkFaults {
  /** Proposals are told against the coordinator's own copy where they can be. */
  readonly deltas: boolean;
  readonly nodes: number;
  readonly rows: number;
  readonly clients: number;
  readonly runMs: number;
  readonly crashes: boolean;
  /** Crashes follow one another within milliseconds, and lives are short. */
  readonly fastCrashes: boolean;
  readonly pauses: boolean;
  readonly cuts: boolean;
  readonly moves: boolean;
  /** Mean time between deliveries of values by third parties; 0: none. */
  readonly gossipMs: number;
  /** Probability that a value is delivered by a third party as soon as an owner has it, racing its coordinator. */
  readonly eagerness: number;
  /** How long third parties hold a value back at most. */
  readonly gossipLateMs: number;
  /** Wall clocks differ by up to this much. */
  readonly skewMs: number;
  /** Clocks run fast or slow by up to this share. */
  readonly drift: number;
  /** Clocks jump by up to this much; 0: never. */
  readonly jumpMs: number;
  readonly maxAheadMs: number;
  readonly ceilingStepMs: number;
  /** An fsync takes up to this long. */
  readonly syncMs: number;
  readonly phaseTimeoutMs: number;
  readonly promiseLimit: number;
  readonly ballotLimit: number;
  readonly ballotAgeMs: number;
  readonly maxBatch: number;
  /** Share of operations that go to the row's first healthy owner, as the router would do. */
  readonly sticky: number;
  /** Mean wait of a client between operations. */
  readonly thinkMs: number;
}

export function drawSwarm(random: Prng, moves: boolean | undefined): Omit<Swarm, 'deltas'> {
  const maybe = (probability: number, value: number): number => (random.chance(probability) ? value : 0);
  const skewMs = maybe(0.6, random.next() * 60);
  return {
    nodes: 5,
    rows: random.between(1, 3),
    clients: random.between(3, 6),
    runMs: 1_200,
    loss: maybe(0.7, random.next() * 0.15),
    duplication: maybe(0.5, random.next() * 0.3),
    slow: maybe(0.5, random.next() * 0.1),
    late: maybe(0.4, random.next() * 0.05),
    lateMs: 60 + random.next() * 300,
    crashes: random.chance(0.7),
    fastCrashes: random.chance(0.35),
    pauses: random.chance(0.4),
    cuts: random.chance(0.7),
    moves: moves ?? random.chance(0.3),
    gossipMs: maybe(0.8, 1 + random.next() * 8),
    eagerness: maybe(0.4, random.next() * 0.6),
    gossipLateMs: maybe(0.6, random.next() * 300),
    skewMs,
    drift: maybe(0.4, random.next() * 0.01),
    jumpMs: maybe(0.3, random.next() * 150),
    maxAheadMs: 100,
    ceilingStepMs: 5 + random.next() * 60,
    syncMs: maybe(0.7, random.next() * 4),
    phaseTimeoutMs: 15 + random.next() * 20,
    promiseLimit: random.chance(0.3) ? random.between(1, 2) : 1_000,
    ballotLimit: random.chance(0.2) ? 1 : 1_000,
    ballotAgeMs: random.chance(0.3) ? 5 + random.next() * 100 : 20_000,
    maxBatch: random.chance(0.3) ? random.between(1, 2) : 256,
    sticky: random.pick([0, 0.3, 0.7, 0.95]),
    thinkMs: 1 + random.next() * 12,
  };
}
