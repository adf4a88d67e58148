/** The rows of the engine's bench: what is done with a store and timed. */

import { mkdirSync, rmSync } from 'node:fs';
import { drawn, inParts, shuffled, type Contender, type Sizes } from './engine-contenders.ts';

const BATCH = 1000;
/** Operations that one turn of a busy server brings. */
const TURN = 50;
/** Writes one by one are not more than so many: LevelDB and LMDB take minutes otherwise. */
const MAX_SINGLES = 300_000;
const READS = 300_000;
/** Of the row that mixes them, of each. */
const MAX_MIXED = 500_000;
const HOT_KEYS = 20_000;
const SHORT_SCANS = 1000;
const MAX_SCANNED = 1_000_000;
const REOPENS = 3;

export interface Round {
  readonly contender: Contender;
  /** The main store, which is open: rows of a round run in order on it. */
  readonly directory: string;
  readonly sizes: Sizes;
  readonly value: Uint8Array;
  readonly count: number;
  readonly random: () => number;
}

/** A row: does its work and says how many operations it was. */
export interface Row {
  readonly name: string;
  /** On a store of its own, which is empty; else on the main one. */
  readonly fresh?: boolean;
  readonly run: (round: Round) => Promise<number>;
  /** Before it everything that is written goes to the disk, so that nobody's fsync pays for what others have left. */
  readonly synced?: boolean;
  /** Afterwards, not timed, the store may do what it has put off. */
  readonly settle?: boolean;
}

/** Opens a store in a fresh directory; the returned function closes and removes it. */
export async function freshly(contender: Contender, directory: string, sizes: Sizes): Promise<() => Promise<void>> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  await contender.open(directory, sizes);
  return async () => {
    await contender.close();
    rmSync(directory, { recursive: true, force: true });
  };
}

const inOrder = (count: number): Uint32Array => Uint32Array.from({ length: count }, (_, i) => i);

async function batches({ contender, value }: Round, keys: Uint32Array): Promise<number> {
  await inParts(keys.length, BATCH, (from, to) => contender.putBatch(keys, from, to, value));
  return keys.length;
}

async function singles({ contender, value }: Round, keys: Uint32Array): Promise<number> {
  await inParts(keys.length, TURN, (from, to) => contender.putSingles(keys, from, to, value));
  return keys.length;
}

/** Reads `keys`, all of which or none of which are there. */
async function gets({ contender }: Round, keys: Uint32Array, present: boolean): Promise<number> {
  let hits = 0;
  await inParts(keys.length, BATCH, async (from, to) => {
    hits += await contender.getAll(keys, from, to);
  });
  const expected = present ? keys.length : 0;
  if (hits !== expected) throw new Error(`${contender.name} found ${hits} of ${expected}`);
  return keys.length;
}

/** Each turn writes and reads; the writes make the store flush and compact meanwhile. */
async function readsAndWrites(round: Round): Promise<number> {
  const { contender, count, random, value } = round;
  const operations = Math.min(count, MAX_MIXED);
  const written = drawn(operations, count, random);
  const read = drawn(operations, count, random);
  await inParts(operations, BATCH, async (from, to) => {
    const writing = contender.putBatch(written, from, to, value);
    const hits = await contender.getAll(read, from, to);
    await writing;
    if (hits !== to - from) throw new Error(`${contender.name} found ${hits} of ${to - from}`);
  });
  return 2 * operations;
}

async function durableWriters(round: Round, writers: number, each: number): Promise<number> {
  const { contender, count, random, value } = round;
  await contender.becomeDurable();
  const writer = async (): Promise<void> => {
    for (let i = 0; i < each; i++) await contender.putDurably(Math.floor(random() * count), value);
  };
  await Promise.all(Array.from({ length: writers }, writer));
  return writers * each;
}

export const rows: readonly Row[] = [
  {
    name: 'fill in order, batches of 1000',
    fresh: true,
    run: (round) => batches(round, inOrder(round.count)),
  },
  {
    name: 'fill in order, one by one',
    fresh: true,
    run: (round) => singles(round, inOrder(Math.min(round.count, MAX_SINGLES))),
  },
  {
    name: 'fill at random, one by one',
    fresh: true,
    run: (round) => singles(round, shuffled(Math.min(round.count, MAX_SINGLES), round.random)),
  },
  {
    name: 'fill at random, batches of 1000',
    run: (round) => batches(round, shuffled(round.count, round.random)),
    settle: true,
  },
  {
    name: 'overwrite at random, one by one',
    run: (round) => singles(round, drawn(Math.min(round.count, MAX_SINGLES), round.count, round.random)),
    settle: true,
  },
  {
    name: 'get, any key',
    run: (round) => gets(round, drawn(READS, round.count, round.random), true),
  },
  {
    name: 'get, 20,000 hot keys',
    run: async (round) => {
      const { random } = round;
      const hot = drawn(HOT_KEYS, round.count, random);
      const keys = Uint32Array.from({ length: READS }, () => hot[Math.floor(random() * hot.length)] as number);
      return (await gets(round, hot, true)) + (await gets(round, keys, true));
    },
  },
  {
    name: 'get, absent key',
    run: (round) =>
      gets(
        round,
        drawn(READS, round.count, round.random).map((key) => key + round.count),
        false,
      ),
  },
  { name: 'half gets, half puts, while compacting', run: readsAndWrites, settle: true },
  {
    name: 'scan forwards',
    run: ({ contender, count }) => contender.scan(0, Math.min(count, MAX_SCANNED), false),
  },
  {
    name: 'scan backwards',
    run: ({ contender, count }) => contender.scan(count, Math.min(count, MAX_SCANNED), true),
  },
  {
    name: 'scans of 100 keys',
    run: async ({ contender, count, random }) => {
      let seen = 0;
      for (let i = 0; i < SHORT_SCANS; i++) seen += await contender.scan(Math.floor(random() * count), 100, false);
      return seen;
    },
  },
  {
    name: 'close and reopen',
    run: async ({ contender, directory, sizes }) => {
      for (let i = 0; i < REOPENS; i++) {
        await contender.close();
        await contender.open(directory, sizes);
      }
      return REOPENS;
    },
  },
  { name: 'durable put, 1 writer', synced: true, run: (round) => durableWriters(round, 1, 2000) },
  { name: 'durable put, 64 writers', synced: true, run: (round) => durableWriters(round, 64, 300) },
];
