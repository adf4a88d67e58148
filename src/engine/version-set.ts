/**
 * The versions that somebody still reads, and what becomes of tables that none of them names.
 *
 * Invariants: `current` is alive; a table is forgotten, and reported as obsolete, exactly when the last living version
 * that names it goes. Requires: `install` only after the edit is durable in the manifest, since what it makes obsolete
 * is unlinked.
 */

import { assert } from '../assert.ts';
import type { TableCache } from './table-cache.ts';
import type { Version } from './version.ts';
import { VersionReader } from './version-reader.ts';

export class VersionSet {
  current: VersionReader;
  readonly #cache: TableCache;
  readonly #onObsolete: (numbers: readonly number[]) => void;
  /** Living versions that name a table, by its number. */
  readonly #uses = new Map<number, number>();

  /** `onObsolete` unlinks the files of these tables. */
  constructor(version: Version, cache: TableCache, onObsolete: (numbers: readonly number[]) => void) {
    this.#cache = cache;
    this.#onObsolete = onObsolete;
    this.current = this.#begin(version);
  }

  /** Makes `version` the current one. */
  install(version: Version): void {
    const before = this.current;
    this.current = this.#begin(version);
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
    const obsolete: number[] = [];
    for (const { table } of reader.version.placed()) {
      const uses = (this.#uses.get(table.number) ?? 0) - 1;
      if (uses > 0) {
        this.#uses.set(table.number, uses);
        continue;
      }
      this.#uses.delete(table.number);
      this.#cache.forget(table.number);
      obsolete.push(table.number);
    }
    if (obsolete.length > 0) this.#onObsolete(obsolete);
  }

  #begin(version: Version): VersionReader {
    const reader = new VersionReader(version, this.#cache);
    reader.references = 1;
    for (const { table } of version.placed()) this.#uses.set(table.number, (this.#uses.get(table.number) ?? 0) + 1);
    return reader;
  }
}
