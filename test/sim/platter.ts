/** All that a simulated disk holds: files, names, and which of it is durable. */

import { posix } from 'node:path';
import { Inode, keepSome } from './inode.ts';
import type { Prng } from './prng.ts';

interface NameChange {
  readonly directories: readonly string[];
  readonly entries: readonly (readonly [path: string, inode: Inode | undefined])[];
}

function applyTo(names: Map<string, Inode>, change: NameChange): void {
  for (const [path, inode] of change.entries) {
    if (inode === undefined) names.delete(path);
    else names.set(path, inode);
  }
}

/** Invariant: `#durableNames` after all of `#changes` is `names`. */
export class Platter {
  /** As reads see them. */
  readonly names = new Map<string, Inode>();
  usedBytes = 0;
  readonly #durableNames = new Map<string, Inode>();
  #changes: NameChange[] = [];

  change(entries: NameChange['entries']): void {
    // A rename takes one name and gives another: what gets a name is not freed in between.
    for (const [, inode] of entries) if (inode !== undefined) inode.links++;
    for (const [path] of entries) {
      const old = this.names.get(path);
      if (old !== undefined && --old.links === 0) this.usedBytes -= old.seen.length;
    }
    const change = { directories: [...new Set(entries.map(([path]) => posix.dirname(path)))], entries };
    applyTo(this.names, change);
    this.#changes.push(change);
  }

  /** Moves a directory, durably at once; what was durable in it stays so, and nothing else becomes it. */
  renameDirectory(from: string, to: string): void {
    const moved = (path: string): string =>
      path === from || path.startsWith(`${from}/`) ? to + path.slice(from.length) : path;
    for (const names of [this.names, this.#durableNames]) {
      for (const [path, inode] of names) {
        if (moved(path) === path) continue;
        names.delete(path);
        names.set(moved(path), inode);
      }
    }
    this.#changes = this.#changes.map(({ directories, entries }) => ({
      directories: directories.map(moved),
      entries: entries.map(([path, inode]) => [moved(path), inode] as const),
    }));
  }

  /** The changes of names in this directory are durable. */
  settleNames(directory: string): void {
    const left: NameChange[] = [];
    for (const change of this.#changes) {
      if (change.directories.includes(directory)) applyTo(this.#durableNames, change);
      else left.push(change);
    }
    this.#changes = left;
  }

  /** A copy that later operations do not reach. */
  clone(): Platter {
    const copy = new Platter();
    const clones = new Map<Inode, Inode>();
    const cloneOf = (inode: Inode): Inode => {
      let clone = clones.get(inode);
      if (clone === undefined) {
        clone = inode.clone();
        clones.set(inode, clone);
      }
      return clone;
    };
    for (const [path, inode] of this.names) copy.names.set(path, cloneOf(inode));
    for (const [path, inode] of this.#durableNames) copy.#durableNames.set(path, cloneOf(inode));
    copy.#changes = this.#changes.map(({ directories, entries }) => ({
      directories,
      entries: entries.map(([path, inode]) => [path, inode === undefined ? undefined : cloneOf(inode)] as const),
    }));
    copy.usedBytes = this.usedBytes;
    return copy;
  }

  /** A copy in which all that is seen is durable, as after syncing everything. */
  settled(): Platter {
    const copy = new Platter();
    const clones = new Map<Inode, Inode>();
    for (const [path, inode] of this.names) {
      const clone = clones.get(inode) ?? inode.settled();
      clones.set(inode, clone);
      copy.names.set(path, clone);
      copy.#durableNames.set(path, clone);
    }
    copy.usedBytes = this.usedBytes;
    return copy;
  }

  /** Keeps what is durable and a random part of the rest. */
  powerCut(random: Prng): void {
    const style = random.pick(['all', 'none', 'prefix', 'subset'] as const);
    const count = this.#changes.length;
    const kept = style === 'all' ? count : style === 'none' ? 0 : random.below(count + 1);
    for (const [index, change] of this.#changes.entries()) {
      if (style === 'subset' ? random.chance(0.5) : index < kept) applyTo(this.#durableNames, change);
    }
    this.#changes = [];
    this.names.clear();
    this.usedBytes = 0;
    const survivors = new Set<Inode>();
    // In the order of their names, so that the draws do not depend on how the map came about.
    for (const [path, inode] of [...this.#durableNames].sort(([a], [b]) => (a < b ? -1 : 1))) {
      this.names.set(path, inode);
      if (survivors.has(inode)) {
        inode.links++;
        continue;
      }
      survivors.add(inode);
      inode.links = 1;
      keepSome(inode.durable, { changes: inode.pending, seenLength: inode.seen.length }, random);
      inode.pending = [];
      inode.seen = inode.durable.copy();
      this.usedBytes += inode.seen.length;
    }
  }
}
