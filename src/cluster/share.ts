/**
 * How many replicas each member is entitled to, and how many of one slot may lie in one rack or data centre.
 *
 * Replicas of a slot are spread over data centres first, then over racks, then over members: with N replicas over D
 * data centres none has more than ⌈N/D⌉ of a slot, and of k replicas over R racks none more than ⌈k/R⌉. Within these
 * caps the replicas go by weight, as water finds its level: whoever would have more than its cap has its cap, and the
 * rest is shared by the others. Where the caps do not bind, a member's share is N × slots × weight / sum of weights.
 *
 * So the spread comes before the weights: with three racks and three replicas every rack holds all the data, however
 * few members it has. A cluster that wants both gives its racks equal weight.
 */

import type { Member, MemberId } from './member.ts';

/** Replicas of one slot that may lie in a data centre and in a rack of it. */
export interface SpreadCaps {
  /** By data centre. */
  readonly dataCentre: ReadonlyMap<string, number>;
  /** By `rackName`. */
  readonly rack: ReadonlyMap<string, number>;
}

export interface Shares {
  /** Effective number of replicas: no more than there are members with weight. */
  readonly n: number;
  /** Replicas per slot that a member is entitled to: a number in [0, 1]. */
  readonly perSlot: ReadonlyMap<MemberId, number>;
  readonly caps: SpreadCaps;
}

/** Names a rack in the whole cluster. */
export function rackName(member: Member): string {
  return `${member.dataCentre}\u0000${member.rack}`;
}

/** Shares of the members with weight; the sum over all is n. */
export function fairShares(members: readonly Member[], replicas: number): Shares {
  const weighty = members.filter((member) => member.weight > 0);
  const n = Math.min(replicas, weighty.length);
  const perSlot = new Map<MemberId, number>();
  const dataCentreCaps = new Map<string, number>();
  const rackCaps = new Map<string, number>();
  const dataCentres = groupBy(weighty, (member) => member.dataCentre);
  const levels = spread(n, dataCentres);
  for (const [name, inside] of dataCentres) {
    const { level, cap } = levels.get(name) as Level;
    dataCentreCaps.set(name, cap);
    const racks = groupBy(inside, rackName);
    const rackLevels = spread(level, racks, cap);
    for (const [rack, mates] of racks) {
      const of = rackLevels.get(rack) as Level;
      rackCaps.set(rack, of.cap);
      const own = fill(
        of.level,
        mates.map((member) => ({ key: member.id, weight: member.weight, cap: 1 })),
      );
      for (const [id, share] of own) perSlot.set(id, share);
    }
  }
  return { n, perSlot, caps: { dataCentre: dataCentreCaps, rack: rackCaps } };
}

interface Level {
  readonly level: number;
  readonly cap: number;
}

/**
 * Spreads `amount` replicas of a slot over groups: each may hold as many as an even spread asks for, more only when the
 * others have too few members. `most`: the whole replicas of a slot that may come together here.
 */
function spread(
  amount: number,
  groups: ReadonlyMap<string, readonly Member[]>,
  most = Math.ceil(amount),
): Map<string, Level> {
  let even = Math.ceil(most / groups.size);
  const room = (cap: number): number => {
    let sum = 0;
    for (const group of groups.values()) sum += Math.min(cap, group.length);
    return sum;
  };
  while (room(even) < most) even++;
  const parts = [...groups].map(([key, group]) => ({
    key,
    weight: group.reduce((sum, member) => sum + member.weight, 0),
    cap: Math.min(even, group.length),
  }));
  const filled = fill(amount, parts);
  return new Map(parts.map(({ key, cap }) => [key, { level: filled.get(key) as number, cap }]));
}

/** Shares `amount` by weight, nobody above its cap. Requires: the caps hold the amount. */
function fill<K>(amount: number, parts: readonly { key: K; weight: number; cap: number }[]): Map<K, number> {
  const filled = new Map<K, number>();
  let open = [...parts];
  let left = amount;
  for (;;) {
    const weight = open.reduce((sum, part) => sum + part.weight, 0);
    const full = open.filter((part) => (left * part.weight) / weight >= part.cap);
    if (full.length === 0) {
      for (const part of open) filled.set(part.key, (left * part.weight) / weight);
      return filled;
    }
    for (const part of full) {
      filled.set(part.key, Math.min(part.cap, left));
      left = Math.max(0, left - part.cap);
    }
    open = open.filter((part) => !full.includes(part));
    if (open.length === 0) return filled;
  }
}

function groupBy(members: readonly Member[], nameOf: (member: Member) => string): Map<string, Member[]> {
  const groups = new Map<string, Member[]>();
  for (const member of members) {
    const name = nameOf(member);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [member]);
    else group.push(member);
  }
  return groups;
}
