/**
 * What one simulated run of the engine is like: every seed first draws which faults and which kinds of work it has at
 * all, and how much of each ("swarm testing": a run with everything on finds less than many runs with a few things on).
 */

import type { EngineOptions } from '../../src/engine/engine-options.ts';
import { defaultPickerOptions } from '../../src/engine/compaction-picker.ts';
import type { FsyncPolicy } from '../../src/engine/store.ts';
import type { Change } from './batch-history.ts';
import { noFaults, type DiskFaults } from './disk.ts';
import type { Prng } from './prng.ts';

export interface EngineProfile {
  readonly policy: FsyncPolicy;
  /** Chance for each administrative step that it changes the policy. */
  readonly policyChangeChance: number;
  readonly options: Partial<EngineOptions>;
  readonly manifestApart: boolean;
  readonly lives: number;
  readonly stepsPerLife: number;
  readonly keys: readonly Uint8Array[];
  readonly maxBatchChanges: number;
  readonly valueLengths: readonly number[];
  readonly deleteChance: number;
  readonly rangeDeleteChance: number;
  /** Mean pause between steps. */
  readonly pauseUs: number;
  readonly longPauseChance: number;
  readonly faults: DiskFaults;
  readonly faultsDuringOpen: boolean;
  readonly fullDisk: boolean;
  /** Chance for each life that the power goes at some disk operation. */
  readonly crashChance: number;
  /** The crash comes within so many operations. */
  readonly crashWithin: number;
  /** The run ends with damage to a file at rest. */
  readonly rot: boolean;
  /** Chance between two lives that the manifest is lost and the directory repaired. */
  readonly lostManifestChance: number;
  /** Chance after each write that a key is written over in the same turn, and again after that. */
  readonly rewriteChance: number;
}

function drawKeys(random: Prng): Uint8Array[] {
  const prefixes = random.pick([1, 3, 40]);
  const count = random.pick([4, 60, 400]);
  const longest = random.pick([3, 16, 300]);
  const keys = new Map<string, Uint8Array>();
  for (let i = 0; i < count; i++) {
    const prefix = random.below(prefixes) * 37;
    // Few different bytes, with both ends of the range, so that keys are often prefixes of each other.
    const rest = Array.from({ length: random.between(0, longest) }, () => random.pick([0, 1, 97, 98, 255]));
    const key = Uint8Array.from([prefix >> 8, prefix & 0xff, ...rest].slice(random.chance(0.03) ? 1 : 0));
    keys.set(key.join(), key);
  }
  return [...keys.values()];
}

function drawFaults(random: Prng): DiskFaults {
  const faults = noFaults();
  faults.slowness = random.pick([0, 1, 1, 1, 20]);
  if (random.chance(0.4)) return faults;
  const rate = (): number => (random.chance(0.4) ? random.pick([0.001, 0.01, 0.05]) : 0);
  faults.readErrorChance = rate();
  faults.writeErrorChance = rate();
  faults.syncErrorChance = rate();
  faults.nameErrorChance = rate();
  faults.readFlipChance = rate();
  if (random.chance(0.1)) faults.maxOpenFiles = random.between(6, 30);
  return faults;
}

/** Everything small, so that a few hundred batches make several levels of several tables of several blocks. */
function drawOptions(random: Prng): Partial<EngineOptions> {
  const memtableBytes = random.pick([4, 16, 64]) * 1024;
  return {
    memtableBytes,
    blockCacheBytes: random.pick([200, 4096]) * 1024,
    scrubBlocks: true,
    tailCacheBytes: random.pick([8, 4096]) * 1024,
    maxOpenFiles: random.pick([2, 500]),
    diskReserveBytes: random.pick([0, memtableBytes, 3 * memtableBytes]),
    closeFlushBytes: random.pick([0, memtableBytes / 8, memtableBytes]),
    format: {
      blockBytes: random.pick([64, 1024, 8192]),
      compression: random.pick(['none', 'lz4']),
      lz4FromLevel: random.pick([0, 1, 2]),
      filterBitsPerKey: random.pick([0, 2, 10]),
    },
    picker: {
      ...defaultPickerOptions,
      level0Tables: random.pick([1, 2, 4]),
      level1Bytes: random.pick([4, 32]) * 1024,
      levelFactor: random.pick([2, 10]),
      tableBytes: random.pick([2, 16]) * 1024,
      maxAgeMs: random.pick([0, 0, 500]),
    },
  };
}

export function drawProfile(random: Prng): EngineProfile {
  return {
    policy: random.pick(['always', 'always', 'everysec', 'no']),
    policyChangeChance: random.chance(0.2) ? 0.1 : 0,
    options: drawOptions(random),
    manifestApart: random.chance(0.5),
    lives: random.between(2, 5),
    stepsPerLife: random.pick([10, 40, 120]),
    keys: drawKeys(random),
    maxBatchChanges: random.pick([1, 4, 30]),
    valueLengths: random.pick([
      [0, 1, 10],
      [100],
      [10, 1000],
      [0, 50, 5000],
      [100, 100, 100, 100, 100, 100, 100, 100, 100, 70_000],
    ]),
    deleteChance: random.pick([0, 0.1, 0.5]),
    rangeDeleteChance: random.pick([0, 0, 0.02, 0.2]),
    pauseUs: random.pick([0, 200, 2_000]),
    longPauseChance: random.pick([0, 0.02]),
    faults: drawFaults(random),
    faultsDuringOpen: random.chance(0.2),
    fullDisk: random.chance(0.15),
    crashChance: random.pick([0, 0.5, 0.9]),
    crashWithin: random.pick([30, 300, 2_000]),
    rot: random.chance(0.2),
    lostManifestChance: random.pick([0, 0, 0.5]),
    rewriteChance: random.pick([0, 0.3, 0.8]),
  };
}

/** A value that says who wrote it: no two are alike unless they are too short to say it. */
export function drawValue(random: Prng, lengths: readonly number[], serial: number): Uint8Array {
  const value = new Uint8Array(random.pick(lengths)).fill(serial & 0xff);
  const name = new TextEncoder().encode(`#${serial}#`);
  value.set(name.subarray(0, value.length));
  return value;
}

export function drawChanges(random: Prng, profile: EngineProfile, nextSerial: () => number): Change[] {
  return Array.from({ length: random.between(1, profile.maxBatchChanges) }, (): Change => {
    const key = random.pick(profile.keys);
    if (random.chance(profile.rangeDeleteChance))
      return { kind: 'deleteRange', from: key, to: random.pick(profile.keys) };
    if (random.chance(profile.deleteChance)) return { kind: 'delete', key };
    return { kind: 'put', key, value: drawValue(random, profile.valueLengths, nextSerial()) };
  });
}
