/**
 * Levels of consistency of plain reads and overwrites (design, section 6): how many owners must answer, and which.
 * Changes that look at the old value, and EXEC, always need a majority.
 *
 * ```
 * quorum        a majority; single keys are linearizable
 * one           one owner; what is read may be old, and an overwrite gives way to a newer one
 * all           every owner
 * counts        r owners to read, w owners to write; a w above a majority waits for them after the majority
 * session       one owner that has all that this connection has read and written, else a quorum
 * available     a majority, where a kept hint stands in for an owner; reads take what answers
 * local-quorum  a majority of the owners in the data centre of this node
 * each-quorum   a majority of the owners in each data centre
 * ```
 */

import { unreachable } from '../assert.ts';
import type { MemberId } from '../cluster/member.ts';
import type { ConsistencyLevel, Policy } from '../cluster/policy.ts';
import { bitCount, type Tally } from './quorum.ts';

export interface Level {
  readonly name: ConsistencyLevel | 'counts';
  /** Of `counts`: owners to read from and to write to; 0: a majority. */
  readonly r: number;
  readonly w: number;
}

const NAMES = ['one', 'quorum', 'all', 'local-quorum', 'each-quorum', 'session', 'available'] as const;

const levels = new Map<string, Level>(NAMES.map((name) => [name, { name, r: 0, w: 0 }]));

export const QUORUM = levelNamed('quorum') as Level;
export const ONE = levelNamed('one') as Level;

/** The level with this name in lower case; undefined: there is none. */
export function levelNamed(name: string): Level | undefined {
  return levels.get(name);
}

/** Explicit numbers of owners; undefined where not given. */
export function levelOfCounts(r: number | undefined, w: number | undefined): Level {
  return { name: 'counts', r: r ?? 0, w: w ?? 0 };
}

/** What a policy says of levels; undefined: nothing. */
export function levelOfPolicy(policy: Policy | undefined): Level | undefined {
  if (policy === undefined) return undefined;
  if (policy.r !== undefined || policy.w !== undefined) return levelOfCounts(policy.r, policy.w);
  return policy.level === undefined ? undefined : levels.get(policy.level);
}

export function levelText(level: Level): string {
  if (level.name !== 'counts') return level.name;
  return [level.r > 0 ? `r ${level.r}` : '', level.w > 0 ? `w ${level.w}` : ''].filter((part) => part !== '').join(' ');
}

/** Where members are, by data centre: masks of a tally, that of this node first. */
export type Centres = (tally: Tally) => readonly number[];

/** Whether the owners in `mask` are enough to read at this level. */
export function isEnoughToRead(level: Level, tally: Tally, mask: number, centres: Centres): boolean {
  if (level.name === 'counts') return level.r === 0 ? tally.isQuorum(mask) : hasCount(tally, mask, level.r);
  return isEnough(level.name, tally, mask, centres);
}

/** Whether the owners in `mask` are enough to write at this level. */
export function isEnoughToWrite(level: Level, tally: Tally, mask: number, centres: Centres): boolean {
  if (level.name === 'counts') return level.w === 0 ? tally.isQuorum(mask) : hasCount(tally, mask, level.w);
  return isEnough(level.name, tally, mask, centres);
}

/** Whether a write at this level need not be known to a majority: then it is put to the owners without asking first. */
export function isBelowQuorum(level: Level, owners: number): boolean {
  if (level.name === 'counts') return level.w > 0 && 2 * level.w <= owners;
  return (
    level.name === 'one' || level.name === 'session' || level.name === 'available' || level.name === 'local-quorum'
  );
}

/** Whether more than a majority must have a write. */
export function isAboveQuorum(level: Level, owners: number): boolean {
  if (level.name === 'counts') return level.w > 0 && 2 * (level.w - 1) > owners;
  return level.name === 'all' || level.name === 'each-quorum';
}

function isEnough(name: ConsistencyLevel, tally: Tally, mask: number, centres: Centres): boolean {
  switch (name) {
    case 'one':
    case 'session':
      return mask !== 0;
    case 'all':
      return tally.isAll(mask);
    case 'quorum':
    case 'available':
      return tally.isQuorum(mask);
    case 'local-quorum':
      return isMajority(mask, centres(tally)[0] ?? 0) || tally.isQuorum(mask);
    case 'each-quorum':
      return centres(tally).every((centre) => centre === 0 || isMajority(mask, centre));
    default:
      return unreachable(name);
  }
}

/** As many as asked for, or all where there are fewer. */
function hasCount(tally: Tally, mask: number, count: number): boolean {
  return bitCount(mask) >= count || tally.isAll(mask);
}

function isMajority(mask: number, of: number): boolean {
  return of !== 0 && 2 * bitCount(mask & of) > bitCount(of);
}

/** Masks of the members of each data centre; that of `self` is the first. */
export function centresOf(tally: Tally, self: MemberId, centreOf: (id: MemberId) => string): readonly number[] {
  const own = centreOf(self);
  const masks = new Map<string, number>([[own, 0]]);
  for (const id of tally.members) {
    const centre = centreOf(id);
    masks.set(centre, (masks.get(centre) ?? 0) | tally.bitOf(id));
  }
  const [first = 0, ...others] = masks.values();
  return [first, ...others.filter((mask) => mask !== 0)];
}
