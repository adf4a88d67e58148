/**
 * Which tables to compact next: a pure function of the version.
 *
 * Leveled compaction, as in LevelDB and RocksDB: level 0 is due by its number of tables, a deeper level by its bytes
 * against a target that grows tenfold a level, and one table at a time moves down, round robin by key, merged with what
 * it overlaps. When no level is over its target, tables that are worth rewriting for other reasons are taken: many
 * tombstones, or an age at which the owner's filter should see them again.
 *
 * Damaged tables are excluded: nothing may be merged with them, nor come to stand below a newer one of them. What that keeps
 * from going down gathers in level 0, where it is merged within the level (RocksDB's "intra-L0"), size by size, so
 * that level 0 has a number of tables that grows with the logarithm of what is written until somebody repairs.
 *
 * Properties (test/engine/compaction-picker.test.ts): a choice never leaves an overlapping older table of level 0
 * behind, takes all of the output level that it overlaps, and never names an excluded table; a choice within level 0 is of
 * tables that are neighbours in age.
 */

import { compareBytes } from '../bytes.ts';
import type { TableMeta } from './sstable-format.ts';
import { LEVELS, overlaps, totalBytes, type Version } from './version.ts';

export interface PickerOptions {
  /** Tables of level 0 at which it is due. */
  readonly level0Tables: number;
  /** Target of level 1; each deeper one may hold `levelFactor` times the one above. */
  readonly level1Bytes: number;
  readonly levelFactor: number;
  readonly tableBytes: number;
  /** Part of a table's records that are tombstones at which it is worth rewriting. */
  readonly tombstonePart: number;
  /** A table this old is rewritten, so that the owner's filter sees its records; 0: never. */
  readonly maxAgeMs: number;
}

export const defaultPickerOptions: PickerOptions = {
  level0Tables: 4,
  level1Bytes: 256 << 20,
  levelFactor: 10,
  tableBytes: 8 << 20,
  tombstonePart: 0.5,
  maxAgeMs: 0,
};

export interface PickerInput {
  readonly version: Version;
  readonly options: PickerOptions;
  /** For each level where the last compaction from it ended (exclusive); the next one begins there. */
  readonly cursors: readonly (Uint8Array | undefined)[];
  /** Tables that must not be touched: damaged ones and those of a running compaction. */
  readonly excluded: ReadonlySet<number>;
  readonly nowMs: number;
  /** Smallest live snapshot; undefined: there is none. */
  readonly oldestSnapshot: number | undefined;
}

export type Reason = 'level-0' | 'within-level-0' | 'size' | 'tombstones' | 'age' | 'manual';

/** What to do: merge `runs` (newest first) into `outputLevel`, or `move` the one table there as it is. */
export interface Choice {
  readonly reason: Reason;
  readonly inputLevel: number;
  readonly outputLevel: number;
  readonly runs: readonly (readonly TableMeta[])[];
  readonly move: boolean;
  readonly bottommost: boolean;
  readonly grandparents: readonly { readonly upper: Uint8Array; readonly bytes: number }[];
}

/** A table moves down unread only if it overlaps at most this many table sizes two levels down. */
const MOVE_GRANDPARENT_TABLES = 10;

/** A merge within level 0 takes a next older table along if it is at most so many times what the newer ones have. */
const WITHIN_LEVEL0_FACTOR = 2;

export function targetBytes(level: number, options: PickerOptions): number {
  return options.level1Bytes * options.levelFactor ** (level - 1);
}

/** How much a level is over its target; from 1 on it is due. */
export function score(version: Version, level: number, options: PickerOptions): number {
  if (level === 0) return (version.levels[0] ?? []).length / options.level0Tables;
  return version.bytesIn(level) / targetBytes(level, options);
}

/** Bytes that compactions still have to move before no level is over its target. */
export function debtBytes(version: Version, options: PickerOptions): number {
  let debt = score(version, 0, options) >= 1 ? version.bytesIn(0) : 0;
  for (let level = 1; level < LEVELS - 1; level++) {
    debt += Math.max(0, version.bytesIn(level) - targetBytes(level, options));
  }
  return debt;
}

/** The most urgent compaction, or undefined when there is nothing to do. */
export function pickCompaction(input: PickerInput): Choice | undefined {
  const { version, options } = input;
  const due: { level: number; score: number }[] = [];
  for (let level = 0; level < LEVELS - 1; level++) {
    const levelScore = score(version, level, options);
    if (levelScore >= 1) due.push({ level, score: levelScore });
  }
  due.sort((a, b) => b.score - a.score || a.level - b.level);
  for (const { level } of due) {
    const choice =
      level === 0 ? (pickLevel0(input, 'level-0') ?? pickWithinLevel0(input)) : pickRoundRobin(input, level);
    if (choice !== undefined) return choice;
  }
  return pickSingles(input);
}

/** A compaction of everything in `level` into the next one, for compacting by hand; undefined: there is nothing. */
export function pickWholeLevel(input: PickerInput, level: number): Choice | undefined {
  const tables =
    level === 0
      ? movableLevel0(input)
      : (input.version.levels[level] ?? []).filter((table) => !input.excluded.has(table.number));
  if (tables.length === 0) return undefined;
  if (level === 0) return choiceOf(input, 'manual', 0, 1, tables);
  return choiceOf(input, 'manual', level, Math.min(level + 1, LEVELS - 1), tables);
}

/** The tables of level 0 that may go down: those that are older than every excluded one. */
function movableLevel0({ version, excluded }: PickerInput): readonly TableMeta[] {
  const all = version.levels[0] ?? [];
  return excluded.size === 0 ? all : all.slice(all.findLastIndex((table) => excluded.has(table.number)) + 1);
}

/** From the oldest table of level 0 on, all that overlap each other, since none of them may be overtaken. */
function pickLevel0(input: PickerInput, reason: Reason): Choice | undefined {
  const tables = movableLevel0(input);
  const oldest = tables.at(-1);
  if (oldest === undefined) return undefined;
  let { lower, upper } = oldest;
  let chosen: TableMeta[] = [oldest];
  for (;;) {
    const overlapping = tables.filter((table) => overlaps(table, lower, upper));
    if (overlapping.length === chosen.length) break;
    chosen = overlapping;
    ({ lower, upper } = boundsOf(chosen));
  }
  return choiceOf(input, reason, 0, 1, chosen);
}

/** Tables of level 0 that cannot go down become one that stays there. */
function pickWithinLevel0({ version, options, excluded }: PickerInput): Choice | undefined {
  const chosen = mergeableLevel0(version, excluded);
  if (chosen.length < Math.max(2, options.level0Tables)) return undefined;
  return {
    reason: 'within-level-0',
    inputLevel: 0,
    outputLevel: 0,
    runs: chosen.map((table) => [table]),
    move: false,
    bottommost: false,
    grandparents: [],
  };
}

/** The largest number of neighbours in level 0 that are worth a merge: none is much larger than all newer ones together. */
function mergeableLevel0(version: Version, excluded: ReadonlySet<number>): readonly TableMeta[] {
  const all = version.levels[0] ?? [];
  let best: readonly TableMeta[] = [];
  for (let from = 0; from + best.length < all.length; from++) {
    let bytes = 0;
    let to = from;
    for (; to < all.length; to++) {
      const table = all[to] as TableMeta;
      if (excluded.has(table.number) || (to > from && table.bytes > WITHIN_LEVEL0_FACTOR * bytes)) break;
      bytes += table.bytes;
    }
    if (to - from > best.length) best = all.slice(from, to);
  }
  return best;
}

/** Tables of level 0 that compaction can take away from there: what writers are held back by. */
export function level0Backlog(version: Version, excluded: ReadonlySet<number>): number {
  return excluded.size === 0 ? (version.levels[0] ?? []).length : mergeableLevel0(version, excluded).length;
}

/** The first table behind the level's cursor for which there is a choice. */
function pickRoundRobin(input: PickerInput, level: number): Choice | undefined {
  const tables = input.version.levels[level] ?? [];
  const cursor = input.cursors[level];
  const from = cursor === undefined ? 0 : tables.findIndex((table) => compareBytes(table.lower, cursor) >= 0);
  for (let i = 0; i < tables.length; i++) {
    const table = tables[(Math.max(from, 0) + i) % tables.length] as TableMeta;
    const choice = choiceOf(input, 'size', level, level + 1, [table]);
    if (choice !== undefined) return choice;
  }
  return undefined;
}

/** Tables that are worth a compaction of their own. */
function pickSingles(input: PickerInput): Choice | undefined {
  const { version, options, nowMs } = input;
  for (let level = LEVELS - 1; level >= 0; level--) {
    for (const table of version.levels[level] ?? []) {
      const reason = reasonFor(input, table, level);
      if (reason === undefined) continue;
      const choice =
        level === 0
          ? pickLevel0(input, reason)
          : choiceOf(input, reason, level, singleOutputLevel(version, table, level), [table]);
      if (choice !== undefined) return choice;
    }
  }
  return undefined;

  function reasonFor(from: PickerInput, table: TableMeta, level: number): Reason | undefined {
    if (from.excluded.has(table.number)) return undefined;
    if (options.maxAgeMs > 0 && nowMs - table.createdMs >= options.maxAgeMs) return 'age';
    // While a snapshot needs the tombstones, rewriting would not get rid of them.
    if (from.oldestSnapshot !== undefined && table.maxSequence > from.oldestSnapshot) return undefined;
    if (level === 0) return killsMoreThanItCosts(from.version, table) ? 'tombstones' : undefined;
    if (table.rangeTombstones.count > 0) return 'tombstones';
    if (table.records > 0 && table.tombstones / table.records >= options.tombstonePart) return 'tombstones';
    return undefined;
  }
}

/**
 * Whether range tombstones of a table of level 0 kill at least as much of older tables as has to be rewritten to be rid of
 * it. What they kill whole goes unread before this (`deadTables`); a table that has something else besides would stay until
 * enough is written, which after a FLUSHALL may be never. A table counts as killed where its first key is.
 */
function killsMoreThanItCosts(version: Version, table: TableMeta): boolean {
  const { rangeTombstones } = table;
  if (rangeTombstones.count === 0) return false;
  let killed = 0;
  let rewritten = 0;
  for (const [level, tables] of version.levels.entries()) {
    for (const older of tables) {
      const covering = rangeTombstones.coveringSequence(older.lower, 0, older.lower.length, Number.MAX_SAFE_INTEGER);
      if (covering > older.maxSequence) killed += older.bytes;
      else if (level <= 1) rewritten += older.bytes;
    }
  }
  return killed > 0 && killed >= rewritten;
}

/** A table with nothing below is rewritten in place; another one goes down, towards what its tombstones kill. */
function singleOutputLevel(version: Version, table: TableMeta, level: number): number {
  if (level === LEVELS - 1 || version.isBottommost(level, table.lower, table.upper)) return level;
  return level + 1;
}

function choiceOf(
  input: PickerInput,
  reason: Reason,
  inputLevel: number,
  outputLevel: number,
  chosen: readonly TableMeta[],
): Choice | undefined {
  const { version, excluded, options } = input;
  const { lower, upper } = boundsOf(chosen);
  const below = outputLevel === inputLevel ? [] : version.overlapping(outputLevel, lower, upper);
  if ([...chosen, ...below].some((table) => excluded.has(table.number))) return undefined;
  const whole = boundsOf([...chosen, ...below]);
  const grandparents = outputLevel + 1 < LEVELS ? version.overlapping(outputLevel + 1, whole.lower, whole.upper) : [];
  const runs = inputLevel === 0 ? chosen.map((table) => [table]) : [chosen];
  if (below.length > 0) runs.push(below);
  const rewrites = reason !== 'size' && reason !== 'level-0';
  const move =
    !rewrites &&
    chosen.length === 1 &&
    below.length === 0 &&
    totalBytes(grandparents) <= MOVE_GRANDPARENT_TABLES * options.tableBytes;
  return {
    reason,
    inputLevel,
    outputLevel,
    runs,
    move,
    bottommost: version.isBottommost(outputLevel, whole.lower, whole.upper),
    grandparents: grandparents.map((table) => ({ upper: table.upper, bytes: table.bytes })),
  };
}

function boundsOf(tables: readonly TableMeta[]): { lower: Uint8Array; upper: Uint8Array } {
  let { lower, upper } = tables[0] as TableMeta;
  for (const table of tables) {
    if (compareBytes(table.lower, lower) < 0) lower = table.lower;
    if (compareBytes(table.upper, upper) > 0) upper = table.upper;
  }
  return { lower, upper };
}

/**
 * Tables that range tombstones of newer tables kill whole: they can go by a version edit alone. A tombstone counts only
 * if every live snapshot sees it.
 */
export function deadTables(input: PickerInput): number[] {
  const { version, excluded, oldestSnapshot } = input;
  const visibleAt = oldestSnapshot ?? Number.MAX_SAFE_INTEGER;
  const runs: (readonly TableMeta[])[] = (version.levels[0] ?? []).map((table) => [table]);
  runs.push(...version.levels.slice(1));
  const dead: number[] = [];
  const newer: TableMeta[] = [];
  for (const run of runs) {
    for (const table of run) {
      if (excluded.has(table.number)) continue;
      const killer = newer.find((each) =>
        each.rangeTombstones.coversAll(table.lower, table.upper, table.maxSequence, visibleAt),
      );
      if (killer !== undefined) dead.push(table.number);
    }
    newer.push(...run.filter((table) => table.rangeTombstones.count > 0));
  }
  return dead;
}
