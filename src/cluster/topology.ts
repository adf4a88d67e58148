/**
 * The topology document: members, voters, policies, and who owns which slot since when. It is one value in one register
 * whose voters it names (design, section 9); every change makes the next epoch.
 *
 * Invariants (checked by `checkTopology`, kept by `applyChanges`):
 * - the epoch grows by one with each document; a slot's `since` is the epoch in which its owners last changed, so that a
 *   request made in epoch e for a slot is still addressed to the right owners if and only if e ≥ since;
 * - every owner and voter is a member; member numbers are never given twice;
 * - a slot moves from `current` to `incoming` and back only as a whole, and never while it moves already;
 * - voters change by one member at a time: any majority of the old and any of the new then have a voter in common.
 *
 * Pure: documents are immutable values, and a slot whose owners did not change keeps its `Owners` object.
 */

import { assert, unreachable } from '../assert.ts';
import type { Member, MemberId } from './member.ts';
import { distinctOwners, sameMembers, sameOwners, type Owners } from './owners.ts';
import { planTable, type SlotTable } from './placement.ts';
import type { Policy } from './policy.ts';
import { rackName } from './share.ts';
import { SLOT_COUNT } from './slot.ts';

/** More than any cluster this is meant for; bounds what a document from the bus may make a node allocate. */
export const MAX_MEMBERS = 1_024;
export const MAX_POLICIES = 1_024;
export const MAX_REPLICAS = 9;

/** With so many members or more the document has five voters instead of three. */
const MEMBERS_FOR_FIVE_VOTERS = 7;

export interface SlotEntry {
  readonly owners: Owners;
  /** Epoch in which `owners` last changed. */
  readonly since: number;
}

export interface Topology {
  /** 32 hexadecimal digits, drawn when the cluster is founded. */
  readonly clusterId: string;
  readonly epoch: number;
  /** N of prefixes without a policy of their own; a slot has fewer owners while there are fewer members. */
  readonly replicas: number;
  /** By id. */
  readonly members: readonly Member[];
  /** The next member's number. */
  readonly nextId: MemberId;
  readonly voters: Owners;
  readonly policies: readonly Policy[];
  /** 16,384 of them. */
  readonly slots: readonly SlotEntry[];
}

/** A slot that shall go to other owners. */
export interface Move {
  readonly slot: number;
  readonly to: readonly MemberId[];
}

export type TopologyChange =
  | { readonly kind: 'add-member'; readonly member: Omit<Member, 'id'> }
  /** A new weight, address, rack or data centre. */
  | { readonly kind: 'change-member'; readonly member: Member }
  /** Requires: it owns nothing and does not vote. */
  | { readonly kind: 'remove-member'; readonly id: MemberId }
  | { readonly kind: 'start-moves'; readonly moves: readonly Move[] }
  | { readonly kind: 'finish-moves'; readonly slots: readonly number[] }
  | { readonly kind: 'cancel-moves'; readonly slots: readonly number[] }
  /** Requires: one member more or less. */
  | { readonly kind: 'start-voters'; readonly to: readonly MemberId[] }
  | { readonly kind: 'finish-voters' }
  | { readonly kind: 'set-policies'; readonly policies: readonly Policy[] };

/** The first document of a cluster: one member that owns and votes for everything. */
export function foundTopology(clusterId: string, founder: Omit<Member, 'id'>, replicas: number): Topology {
  const owners: Owners = { current: [1], incoming: [] };
  const entry: SlotEntry = { owners, since: 1 };
  return {
    clusterId,
    epoch: 1,
    replicas,
    members: [{ ...founder, id: 1 }],
    nextId: 2,
    voters: owners,
    policies: [],
    slots: Array.from({ length: SLOT_COUNT }, () => entry),
  };
}

/** The document of the next epoch. */
export function applyChanges(topology: Topology, changes: readonly TopologyChange[]): Topology {
  let next: Topology = { ...topology, epoch: topology.epoch + 1 };
  for (const change of changes) next = apply(next, change);
  checkTopology(next);
  return next;
}

function apply(topology: Topology, change: TopologyChange): Topology {
  switch (change.kind) {
    case 'add-member': {
      const member = { ...change.member, id: topology.nextId };
      return { ...topology, members: [...topology.members, member], nextId: topology.nextId + 1 };
    }
    case 'change-member': {
      assert(
        topology.members.some((each) => each.id === change.member.id),
        'a member that is changed is there',
      );
      const members = topology.members.map((each) => (each.id === change.member.id ? change.member : each));
      return { ...topology, members };
    }
    case 'remove-member':
      return { ...topology, members: topology.members.filter((each) => each.id !== change.id) };
    case 'start-moves':
      return { ...topology, slots: startMoves(topology, change.moves) };
    case 'finish-moves':
      return { ...topology, slots: endMoves(topology, change.slots, (owners) => owners.incoming) };
    case 'cancel-moves':
      return { ...topology, slots: endMoves(topology, change.slots, (owners) => owners.current) };
    case 'start-voters': {
      const { current, incoming } = topology.voters;
      assert(incoming.length === 0, 'voters do not change already');
      const gained = change.to.filter((id) => !current.includes(id)).length;
      const lost = current.filter((id) => !change.to.includes(id)).length;
      assert(gained + lost === 1, 'voters change by one member');
      return { ...topology, voters: { current, incoming: change.to } };
    }
    case 'finish-voters':
      assert(topology.voters.incoming.length > 0, 'voters change');
      return { ...topology, voters: { current: topology.voters.incoming, incoming: [] } };
    case 'set-policies':
      return { ...topology, policies: change.policies };
    default:
      return unreachable(change);
  }
}

/** The same members in another order are owners already: no data moves, so neither quorums nor `since` change. */
function startMoves(topology: Topology, moves: readonly Move[]): SlotEntry[] {
  const slots = [...topology.slots];
  const shared = new Map<string, Owners>();
  for (const { slot, to } of moves) {
    const entry = slots[slot];
    assert(entry !== undefined && entry.owners.incoming.length === 0, 'a slot that does not move already');
    const current = entry.owners.current;
    const reorders = sameMembers(current, to);
    const name = `${reorders ? '' : current.join()}>${to.join()}`;
    const owners = shared.get(name) ?? (reorders ? { current: to, incoming: [] } : { current, incoming: to });
    shared.set(name, owners);
    slots[slot] = { owners, since: reorders ? entry.since : topology.epoch };
  }
  return slots;
}

function endMoves(
  topology: Topology,
  ended: readonly number[],
  ownersAfter: (owners: Owners) => readonly MemberId[],
): SlotEntry[] {
  const slots = [...topology.slots];
  const shared = new Map<string, Owners>();
  for (const slot of ended) {
    const entry = slots[slot];
    assert(entry !== undefined && entry.owners.incoming.length > 0, 'a slot that moves');
    const current = ownersAfter(entry.owners);
    const owners = shared.get(current.join()) ?? { current, incoming: [] };
    shared.set(current.join(), owners);
    slots[slot] = { owners, since: topology.epoch };
  }
  return slots;
}

/** The table as it will be when the running moves are done. */
export function tableOf(topology: Topology): SlotTable {
  return topology.slots.map(({ owners }) => (owners.incoming.length > 0 ? owners.incoming : owners.current));
}

/** What must be started for the members to own their shares. Slots that move already are left to finish first. */
export function planMoves(topology: Topology): Move[] {
  const table = planTable(topology.members, topology.replicas, tableOf(topology));
  const moves: Move[] = [];
  for (const [slot, to] of table.entries()) {
    const { owners } = topology.slots[slot] as SlotEntry;
    if (owners.incoming.length === 0 && owners.current.join() !== to.join()) moves.push({ slot, to });
  }
  return moves;
}

/**
 * The next single step towards the right voters: three, five in larger clusters, as many racks as can be, members
 * without weight (they drain) only when there are no others, and those who vote already rather than others.
 * undefined: they are right, or a change is under way. `mayVote`: who is considered at all; if nobody is, nothing changes.
 */
export function planVoters(
  topology: Topology,
  mayVote: (member: Member) => boolean = () => true,
): Extract<TopologyChange, { kind: 'start-voters' }> | undefined {
  const { current, incoming } = topology.voters;
  const members = topology.members.filter(mayVote);
  if (incoming.length > 0 || members.length === 0) return undefined;
  const wanted = members.length >= MEMBERS_FOR_FIVE_VOTERS ? 5 : members.length >= 3 ? 3 : 1;
  const chosen: Member[] = [];
  while (chosen.length < wanted) {
    const racks = chosen.map(rackName);
    const better = (a: Member, b: Member): boolean => {
      if (a.weight > 0 !== b.weight > 0) return a.weight > 0;
      const [inA, inB] = [a, b].map((each) => racks.filter((rack) => rack === rackName(each)).length) as [
        number,
        number,
      ];
      if (inA !== inB) return inA < inB;
      const [votesA, votesB] = [current.includes(a.id), current.includes(b.id)];
      return votesA === votesB ? a.id < b.id : votesA;
    };
    const open = members.filter((each) => !chosen.includes(each));
    chosen.push(open.reduce((best, each) => (better(each, best) ? each : best)));
  }
  const right = chosen.map((each) => each.id);
  const missing = right.find((id) => !current.includes(id));
  // Those who may not vote leave first: they may be gone, and whoever stays must be enough without them.
  const leaving = current.filter((id) => !right.includes(id));
  const surplus = leaving.find((id) => !members.some((member) => member.id === id)) ?? leaving[0];
  if (surplus !== undefined && (missing === undefined || current.length > wanted)) {
    return { kind: 'start-voters', to: current.filter((id) => id !== surplus) };
  }
  return missing === undefined ? undefined : { kind: 'start-voters', to: [...current, missing] };
}

/** Whether a request for `slot` made in `epoch` is addressed to the owners that this document knows. */
export function isCurrent(topology: Topology, slot: number, epoch: number): boolean {
  return epoch >= (topology.slots[slot] as SlotEntry).since;
}

/** `next` with the `Owners` objects of `previous` where nothing changed, as when it came over the bus. */
export function adoptTopology(previous: Topology | undefined, next: Topology): Topology {
  if (previous === undefined) return next;
  const slots = next.slots.map((entry, slot) => {
    const before = previous.slots[slot] as SlotEntry;
    return before.since === entry.since && sameOwners(before.owners, entry.owners) ? before : entry;
  });
  const voters = sameOwners(previous.voters, next.voters) ? previous.voters : next.voters;
  return { ...next, slots, voters };
}

/** Throws when the document breaks an invariant. */
export function checkTopology(topology: Topology): void {
  const { members, slots } = topology;
  assert(members.length >= 1 && members.length <= MAX_MEMBERS, `1 to ${MAX_MEMBERS} members`);
  assert(topology.policies.length <= MAX_POLICIES, `at most ${MAX_POLICIES} policies`);
  assert(topology.replicas >= 1 && topology.replicas <= MAX_REPLICAS, `1 to ${MAX_REPLICAS} replicas`);
  const ids = new Set(members.map((member) => member.id));
  assert(ids.size === members.length && members.every((member) => member.id < topology.nextId), 'members are distinct');
  assert(new Set(members.map((member) => member.identity)).size === members.length, 'identities are distinct');
  checkOwners(topology.voters, ids);
  const checked = new Set<Owners>();
  let last: SlotEntry | undefined;
  for (const entry of slots) {
    if (entry === last) continue;
    last = entry;
    assert(entry.since <= topology.epoch, 'nothing changed in the future');
    if (checked.has(entry.owners)) continue;
    checked.add(entry.owners);
    checkOwners(entry.owners, ids);
  }
  assert(slots.length === SLOT_COUNT, 'every slot is there');
}

function checkOwners(owners: Owners, members: ReadonlySet<MemberId>): void {
  assert(owners.current.length > 0, 'somebody owns each slot and votes');
  assert(new Set(owners.current).size === owners.current.length, 'current owners are distinct');
  assert(new Set(owners.incoming).size === owners.incoming.length, 'incoming owners are distinct');
  assert(
    distinctOwners(owners).every((id) => members.has(id)),
    'owners and voters are members',
  );
}
