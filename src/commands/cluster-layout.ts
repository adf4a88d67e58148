/**
 * The topology as cluster-aware clients of Redis want to see it: ranges of slots, each with a node to turn to first and
 * others that have the same keys. Here any node takes any command, so this is about the shortest way: the first owner in
 * reach is shown as the master of a slot, the other owners in reach as its replicas.
 *
 * Pure functions of the document and of who is in reach.
 */

import type { Member, MemberId } from '../cluster/member.ts';
import type { Owners } from '../cluster/owners.ts';
import type { Topology } from '../cluster/topology.ts';

/** Who serves a slot: the node to turn to first, then the others, by number. */
export type Servers = readonly MemberId[];

export interface SlotRange {
  readonly from: number;
  /** Inclusive. */
  readonly to: number;
  readonly servers: Servers;
}

type Reach = (id: MemberId) => boolean;

/** Ranges of slots with the same servers, in order. */
export function rangesOf(topology: Topology, isHealthy: Reach): SlotRange[] {
  const servers = serversByOwners(isHealthy);
  const ranges: { from: number; to: number; servers: Servers }[] = [];
  let last: { from: number; to: number; servers: Servers } | undefined;
  for (const [slot, { owners }] of topology.slots.entries()) {
    const now = servers(owners);
    if (last !== undefined && last.servers === now) last.to = slot;
    else {
      last = { from: slot, to: slot, servers: now };
      ranges.push(last);
    }
  }
  return ranges;
}

/** The ranges of each set of servers, in the order of their first slots. */
export function shardsOf(ranges: readonly SlotRange[]): Map<Servers, SlotRange[]> {
  return groupBy(ranges, (range) => range.servers);
}

/** The ranges for which a member is the first to turn to, by member; neighbours are one range. */
export function rangesByFirst(ranges: readonly SlotRange[]): Map<MemberId, { from: number; to: number }[]> {
  const byFirst = new Map<MemberId, { from: number; to: number }[]>();
  for (const { from, to, servers } of ranges) {
    const first = servers[0] as MemberId;
    const own = byFirst.get(first) ?? [];
    byFirst.set(first, own);
    const before = own.at(-1);
    if (before !== undefined && before.to === from - 1) before.to = to;
    else own.push({ from, to });
  }
  return byFirst;
}

/** Slots of which a majority of the owners is in reach: those that level `quorum` has. */
export function slotsInReach(topology: Topology, isHealthy: Reach): number {
  const known = new Map<Owners, boolean>();
  let count = 0;
  for (const { owners } of topology.slots) {
    let isServed = known.get(owners);
    if (isServed === undefined) {
      isServed = isMajority(owners.current, isHealthy) && isMajority(owners.incoming, isHealthy);
      known.set(owners, isServed);
    }
    if (isServed) count++;
  }
  return count;
}

/** Slots of which each member is an owner. */
export function slotsByOwner(topology: Topology): Map<MemberId, number> {
  const counts = new Map<MemberId, number>(topology.members.map((member) => [member.id, 0]));
  for (const { owners } of topology.slots) for (const id of owners.current) counts.set(id, (counts.get(id) ?? 0) + 1);
  return counts;
}

/** Part of all copies that a member is entitled to by its weight alone; 0 without weight. */
export function weightShare(topology: Topology, member: Member): number {
  const sum = topology.members.reduce((all, each) => all + each.weight, 0);
  return sum === 0 ? 0 : member.weight / sum;
}

/** The same servers are the same object, whichever owners they come from. */
function serversByOwners(isHealthy: Reach): (owners: Owners) => Servers {
  const byOwners = new Map<Owners, Servers>();
  const byText = new Map<string, Servers>();
  return (owners) => {
    let servers = byOwners.get(owners);
    if (servers === undefined) {
      const inReach = owners.current.filter(isHealthy);
      const [first, ...others] = inReach.length > 0 ? inReach : owners.current;
      const all = [first as MemberId, ...others.sort((a, b) => a - b)];
      servers = byText.get(all.join()) ?? all;
      byText.set(all.join(), servers);
      byOwners.set(owners, servers);
    }
    return servers;
  };
}

function isMajority(ids: readonly MemberId[], isHealthy: Reach): boolean {
  return ids.length === 0 || 2 * ids.filter(isHealthy).length > ids.length;
}

function groupBy<K, V>(values: readonly V[], keyOf: (value: V) => K): Map<K, V[]> {
  const groups = new Map<K, V[]>();
  for (const value of values) {
    const key = keyOf(value);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return groups;
}
