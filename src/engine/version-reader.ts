/**
 * Reading a version: point look-ups through the levels, and walks over all of them.
 *
 * Invariant: `#levels` mirrors `version.levels`. For a key the first table that has a record or a range tombstone for it
 * decides, since newer things stand before older ones (version.ts).
 */

import { compareRanges } from '../bytes.ts';
import { BlockHit } from './block-reader.ts';
import { hashKey } from './bloom-filter.ts';
import { KeyIndex } from './key-index.ts';
import { MergeIterator, NO_RECORDS, type MergeInput } from './merge-iterator.ts';
import { RangeTombstones } from './range-tombstones.ts';
import type { Source } from './source.ts';
import type { TableMeta } from './sstable-format.ts';
import { MISSING_TAIL, tableAnswer, type Table } from './sstable-reader.ts';
import { Found, lookup, type Lookup } from './store.ts';
import type { TableCache } from './table-cache.ts';
import { TableSource } from './table-source.ts';
import type { Version } from './version.ts';

interface Level {
  readonly tables: readonly Table[];
  /** The `upper` of each table. */
  readonly uppers: KeyIndex;
  readonly covering: readonly RangeTombstones[];
}

function levelOf(metas: readonly TableMeta[], cache: TableCache): Level {
  return {
    tables: metas.map((meta) => cache.table(meta)),
    uppers: KeyIndex.ofKeys(metas.map((meta) => meta.upper)),
    covering: metas.map((meta) => meta.rangeTombstones).filter((tombstones) => tombstones.count > 0),
  };
}

export interface WalkOptions {
  readonly sequence: number;
  readonly reverse: boolean;
  /** The walk will stay within [lower, upper); tables outside are left out. */
  readonly lower: Uint8Array | undefined;
  readonly upper: Uint8Array | undefined;
}

const hit = new BlockHit();

export class VersionReader {
  readonly version: Version;
  /** Count of those who read through it; kept by `VersionSet`. */
  references = 0;
  readonly #cache: TableCache;
  /** Level 0 first, a level a table; then the deeper levels that have tables. */
  readonly #levels: readonly Level[];
  /** The same by what they were made of, for the next version, which shares most of it. */
  readonly #levelOf = new Map<readonly TableMeta[] | TableMeta, Level>();
  readonly #covering: readonly RangeTombstones[];
  /** After MISS: the table that misses something. */
  #missed: Table | undefined;

  /** `before`: the reader of the version that this one was made from, if any. */
  constructor(version: Version, cache: TableCache, before?: VersionReader) {
    this.version = version;
    this.#cache = cache;
    const levels: Level[] = [];
    const known = before === undefined ? undefined : before.#levelOf;
    const add = (source: readonly TableMeta[] | TableMeta, metas: readonly TableMeta[]): void => {
      const level = known?.get(source) ?? levelOf(metas, cache);
      this.#levelOf.set(source, level);
      levels.push(level);
    };
    for (const table of version.levels[0] ?? []) add(table, [table]);
    for (const tables of version.levels.slice(1)) if (tables.length > 0) add(tables, tables);
    this.#levels = levels;
    this.#covering = levels.flatMap((level) => level.covering);
  }

  /**
   * Looks for key[0, keyLength) as of `sequence`. On FOUND fills `found` (its sequence is 0: tables are durable). After
   * MISS: `fetch`. Throws `corruption` when a damaged table may hold the key.
   */
  get(key: Uint8Array, keyLength: number, sequence: number, found: Found): Lookup {
    const hash = hashKey(key, 0, keyLength);
    const levels = this.#levels;
    for (let i = 0; i < levels.length; i++) {
      const level = levels[i] as Level;
      const at = level.uppers.firstAbove(key, 0, keyLength);
      if (at === level.uppers.count) continue;
      const table = level.tables[at] as Table;
      const { lower, rangeTombstones } = table.meta;
      if (compareRanges(lower, 0, lower.length, key, 0, keyLength) > 0) continue;
      let answer = table.get(key, keyLength, hash, sequence, hit);
      if (answer === tableAnswer.MISS) {
        const { missing } = table;
        if (!this.#cache.loadNow(table, missing)) {
          this.#missed = table;
          return lookup.MISS;
        }
        if (missing >= 0) answer = table.find(missing, key, keyLength, sequence, hit);
        if (answer === tableAnswer.MISS) {
          i--;
          continue;
        }
      }
      const covered = rangeTombstones.count === 0 ? -1 : rangeTombstones.coveringSequence(key, 0, keyLength, sequence);
      if (answer === tableAnswer.ABSENT) {
        if (covered >= 0) return lookup.ABSENT;
        continue;
      }
      if (answer === tableAnswer.DELETED || covered > hit.sequence) return lookup.ABSENT;
      found.bytes = table.hitBlock;
      found.start = hit.valueStart;
      found.end = hit.valueEnd;
      found.sequence = 0;
      return lookup.FOUND;
    }
    return lookup.ABSENT;
  }

  /**
   * Loads all that a `get` of this key misses; the blocks stay until the second turn end from then. What was loaded first is
   * held until the last is there, so that a small cache does not drop the one for the other for ever.
   */
  async fetch(key: Uint8Array, sequence: number): Promise<void> {
    const found = new Found();
    const holds: (() => void)[] = [];
    try {
      while (this.get(key, key.length, sequence, found) === lookup.MISS) {
        const table = this.#missed;
        if (table === undefined) return;
        const { missing } = table;
        await this.#cache.load(table, missing);
        holds.push(this.#cache.hold(table, missing));
        // The next round of this loop finds it, and so will the reader.
        if (missing !== MISSING_TAIL) this.#cache.looks++;
      }
    } finally {
      for (const letGo of holds) letGo();
    }
  }

  /** Sequence of the newest range tombstone up to `limit` that covers bytes[start, end); -1: none. */
  coveringSequence(bytes: Uint8Array, start: number, end: number, limit: number): number {
    let newest = -1;
    for (const tombstones of this.#covering) {
      newest = Math.max(newest, tombstones.coveringSequence(bytes, start, end, limit));
    }
    return newest;
  }

  /**
   * A walk over the live records of all tables; `NO_RECORDS` when no table has any within the bounds. Requires: the reader
   * is retained until the source is closed.
   */
  source(options: WalkOptions): Source {
    const { sequence, reverse, lower, upper } = options;
    const inputs: MergeInput[] = [];
    let prefixHash: number | undefined;
    for (const level of this.#levels) {
      const from = lower === undefined ? 0 : level.uppers.firstAbove(lower, 0, lower.length);
      let to = from;
      while (to < level.tables.length && beginsBefore(level.tables[to] as Table, upper)) to++;
      if (from === to) continue;
      if (inputs.length === 0) prefixHash = this.#prefixHash(lower, upper);
      const whole = to - from === level.tables.length;
      const tables = whole ? level.tables : level.tables.slice(from, to);
      const uppers = whole ? level.uppers : KeyIndex.ofKeys(tables.map((table) => table.meta.upper));
      const source = new TableSource({ cache: this.#cache, tables, uppers, sequence, reverse, prefixHash });
      const fragments = tables.flatMap((table) => table.meta.rangeTombstones.fragments);
      const tombstones = fragments.length === 0 ? RangeTombstones.NONE : new RangeTombstones(fragments);
      inputs.push({ source, tombstones });
    }
    return inputs.length === 0 ? NO_RECORDS : new MergeIterator({ inputs, sequence, reverse });
  }

  /** Hash of the prefix that all keys in [lower, upper) have; undefined: they have none in common, or none at all. */
  #prefixHash(lower: Uint8Array | undefined, upper: Uint8Array | undefined): number | undefined {
    const { prefix } = this.#cache;
    if (prefix === undefined || lower === undefined || upper === undefined) return undefined;
    const end = prefix.end(lower, 0, lower.length);
    if (end === 0 || !isWithinPrefix(lower, end, upper)) return undefined;
    return hashKey(lower, 0, end);
  }
}

/** Whether every key below `upper` that is not below key[0, end) begins with key[0, end). */
function isWithinPrefix(key: Uint8Array, end: number, upper: Uint8Array): boolean {
  // The first key behind the prefix: the prefix with its last byte that is not 255 raised, and cut there.
  let last = end - 1;
  while (last >= 0 && key[last] === 255) last--;
  if (last < 0) return false;
  const behind = key.slice(0, last + 1);
  behind[last] = (behind[last] as number) + 1;
  return compareRanges(upper, 0, upper.length, behind, 0, behind.length) <= 0;
}

function beginsBefore(table: Table, upper: Uint8Array | undefined): boolean {
  return upper === undefined || compareRanges(table.meta.lower, 0, table.meta.lower.length, upper, 0, upper.length) < 0;
}
