/**
 * The versions that somebody still reads, and what becomes of tables that none of them names.
 *
 * Versions are numbered in the order in which they became current; a table is in all versions from the one that brought
 * it to the one before the one that dropped it. Invariants: `current` is alive; `#living` holds the numbers of the living
 * versions; a table is forgotten, and reported as obsolete, exactly when the last living version that names it goes.
 * Requires: `install` only after the edit is durable in the manifest, since what it makes obsolete is unlinked.
 */

import { assert } from '../assert.ts';
import type { TableMeta } from './sstable-format.ts';
import type { TableCache } from './table-cache.ts';
import type { Version } from './version.ts';
import { VersionReader } from './version-reader.ts';

/** A table that the current version does not name any more, and the first and the last version that did. */
interface Dropped {
  readonly table: number;
  readonly first: number;
  readonly last: number;
}

export class VersionSet {
  current: VersionReader;
  readonly #cache: TableCache;
  readonly #onObsolete: (numbers: readonly number[]) => void;
  #currentNumber = 1;
  /** The version that brought a table, by the table's number; absent: the first one. */
  readonly #broughtBy = new Map<number, number>();
  /** In the order of their numbers. */
  readonly #living = new Map<VersionReader, number>();
  #dropped: Dropped[] = [];

  /** `onObsolete` unlinks the files of these tables. */
  constructor(version: Version, cache: TableCache, onObsolete: (numbers: readonly number[]) => void) {
    this.#cache = cache;
    this.#onObsolete = onObsolete;
    this.current = new VersionReader(version, cache);
    this.current.references = 1;
    this.#living.set(this.current, this.#currentNumber);
  }

  /** Makes `version` the current one. */
  install(version: Version): void {
    const before = this.current;
    const { dropped, brought } = difference(before.version, version);
    for (const table of dropped) {
      this.#dropped.push({ table, first: this.#broughtBy.get(table) ?? 1, last: this.#currentNumber });
      this.#broughtBy.delete(table);
    }
    this.#currentNumber++;
    for (const table of brought) this.#broughtBy.set(table, this.#currentNumber);
    this.current = new VersionReader(version, this.#cache, before);
    this.current.references = 1;
    this.#living.set(this.current, this.#currentNumber);
    this.release(before);
  }

  /** The current version, alive until `release`. */
  retain(): VersionReader {
    this.current.references++;
    return this.current;
  }

  release(reader: VersionReader): void {
    assert(reader.references > 0, 'a version is released as often as it was retained');
    reader.references--;
    if (reader.references > 0) return;
    this.#living.delete(reader);
    const living = [...this.#living.values()];
    const obsolete: number[] = [];
    this.#dropped = this.#dropped.filter(({ table, first, last }) => {
      if (living.some((number) => first <= number && number <= last)) return true;
      this.#cache.forget(table);
      obsolete.push(table);
      return false;
    });
    if (obsolete.length > 0) this.#onObsolete(obsolete);
  }
}

/** Numbers of the tables that only one of the versions has. Levels that are the same value cost nothing. */
function difference(before: Version, after: Version): { dropped: Iterable<number>; brought: number[] } {
  const dropped = new Set<number>();
  const brought: number[] = [];
  for (const { number } of changedTables(before, after)) dropped.add(number);
  for (const { number } of changedTables(after, before)) if (!dropped.delete(number)) brought.push(number);
  return { dropped, brought };
}

/** The tables in levels of `one` that are not the same value in `other`. */
function changedTables(one: Version, other: Version): TableMeta[] {
  return one.levels.flatMap((tables, level) => (tables === other.levels[level] ? [] : tables));
}
