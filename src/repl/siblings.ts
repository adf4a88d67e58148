/**
 * Rows under the policy `siblings`: concurrent values side by side, each with its dot, under one version vector
 * (dotted version vectors, Preguiça et al. 2012, in the form of a set of dotted values: the algebra of an OR-set).
 *
 * ```
 * row          vector: actor → highest stamp seen,   values: [(dot, value)]
 * write(v, c)  a new dot d; drop the values whose dot c has seen; add (d, v); vector := vector ⊔ c ⊔ d
 * remove(c)    drop the values whose dot c has seen; vector := vector ⊔ c        (no values left: a tombstone)
 * merge(a, b)  keep a value of a if b has it too or has not seen its dot, and the other way round; vectors joined
 * ```
 *
 * Invariants:
 * - every value's dot is seen by the row's vector; no two values have the same dot;
 * - merge is commutative, associative and idempotent, so owners that have heard the same writes hold the same row in
 *   whatever order and however often they heard them;
 * - a value that was seen by the context of a write, or of a removal, never comes back;
 * - a dot is an HLC stamp and the actor that gave it, given once: an actor is a node and incarnation, so that a node
 *   that lost its disk does not give the dots of its former life again (Riak's kv679).
 *
 * Pure: rows are immutable values. GET shows one value, chosen the same way everywhere (`visible`).
 */

import { compareVersions, equalVersions, type Version } from './version.ts';

/** A write to a row with so many siblings is refused: its writers never read. */
export const MAX_SIBLINGS = 100;

/** Highest stamp seen of each actor, by actor, ascending. At most one entry for an actor. */
export type VersionVector = readonly Version[];

export interface Sibling {
  readonly dot: Version;
  readonly value: Uint8Array;
  /** Deadline in ms since 1970; 0: none. An expired value is not shown, yet its dot stays seen. */
  readonly expiresAtMs: number;
}

export interface SiblingRow {
  readonly vector: VersionVector;
  /** By dot, ascending. */
  readonly values: readonly Sibling[];
}

export const EMPTY_ROW: SiblingRow = { vector: [], values: [] };

/** Whether whoever holds `vector` has seen the write with this dot. */
export function hasSeen(vector: VersionVector, dot: Version): boolean {
  for (const entry of vector) if (entry.actor === dot.actor) return entry.stamp >= dot.stamp;
  return false;
}

/** Whether `a` has seen all that `b` has. */
export function descends(a: VersionVector, b: VersionVector): boolean {
  return b.every((entry) => hasSeen(a, entry));
}

/** Neither has seen all of the other. */
export function areConcurrent(a: VersionVector, b: VersionVector): boolean {
  return !descends(a, b) && !descends(b, a);
}

/** What either has seen. */
export function joinVectors(a: VersionVector, b: VersionVector): VersionVector {
  const joined: Version[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const left = a[i];
    const right = b[j];
    if (right === undefined || (left !== undefined && left.actor < right.actor)) {
      joined.push(left as Version);
      i++;
    } else if (left === undefined || right.actor < left.actor) {
      joined.push(right);
      j++;
    } else {
      joined.push(left.stamp >= right.stamp ? left : right);
      i++;
      j++;
    }
  }
  return joined;
}

/**
 * A write that has seen `context`. Requires: `sibling.dot` is new, and `row` has seen every dot that its actor gave this
 * row before (a coordinator writes to its own copy): a vector tells "all up to here" of each actor. The caller refuses the write when the row would then
 * have more than `MAX_SIBLINGS` values.
 */
export function writeSibling(row: SiblingRow, context: VersionVector, sibling: Sibling): SiblingRow {
  return {
    vector: joinVectors(joinVectors(row.vector, context), [sibling.dot]),
    values: insert(unseenBy(row.values, context), sibling),
  };
}

/** A removal that has seen `context`: what is concurrent to it stays. */
export function removeSiblings(row: SiblingRow, context: VersionVector): SiblingRow {
  return { vector: joinVectors(row.vector, context), values: unseenBy(row.values, context) };
}

/** What an owner holds that has heard all that either has. */
export function mergeRows(a: SiblingRow, b: SiblingRow): SiblingRow {
  const values: Sibling[] = [];
  for (const sibling of a.values) {
    if (has(b.values, sibling.dot) || !hasSeen(b.vector, sibling.dot)) values.push(sibling);
  }
  for (const sibling of b.values) {
    if (!has(a.values, sibling.dot) && !hasSeen(a.vector, sibling.dot)) values.push(sibling);
  }
  values.sort((x, y) => compareVersions(x.dot, y.dot));
  return { vector: joinVectors(a.vector, b.vector), values };
}

/** The values that are there at `nowMs`, the newest dot first. */
export function liveValues(row: SiblingRow, nowMs: number): Sibling[] {
  return row.values.filter((sibling) => sibling.expiresAtMs === 0 || sibling.expiresAtMs > nowMs).reverse();
}

/** The value that a plain GET shows: that of the highest dot, on every owner the same. */
export function visible(row: SiblingRow, nowMs: number): Sibling | undefined {
  return liveValues(row, nowMs)[0];
}

/** The highest stamp of the row: its place among versions, for sessions and for the floor that purges tombstones. */
export function highestDot(row: SiblingRow): Version | undefined {
  let highest: Version | undefined;
  for (const entry of row.vector) if (highest === undefined || compareVersions(entry, highest) > 0) highest = entry;
  return highest;
}

function unseenBy(values: readonly Sibling[], context: VersionVector): Sibling[] {
  return values.filter((sibling) => !hasSeen(context, sibling.dot));
}

function has(values: readonly Sibling[], dot: Version): boolean {
  return values.some((sibling) => equalVersions(sibling.dot, dot));
}

function insert(values: readonly Sibling[], sibling: Sibling): Sibling[] {
  const at = values.findIndex((other) => compareVersions(other.dot, sibling.dot) > 0);
  return at < 0 ? [...values, sibling] : [...values.slice(0, at), sibling, ...values.slice(at)];
}
