/**
 * CLUSTER of a node that shares its keys with others. Addresses are those of the members' entries in the topology: every
 * client can go to them, whichever way it came here.
 */

import type { Member, MemberId } from '../cluster/member.ts';
import { SLOT_COUNT } from '../cluster/slot.ts';
import type { Topology } from '../cluster/topology.ts';
import type { ClusterDoor } from './cluster-door.ts';
import {
  rangesByFirst,
  rangesOf,
  type Servers,
  shardsOf,
  slotsByOwner,
  slotsInReach,
  type SlotRange,
  weightShare,
} from './cluster-layout.ts';
import { BooleanReply, DoubleReply, MapReply, type Reply } from './reply.ts';

/** A document and who was in reach, and the ranges that came of it: clients ask again every few seconds. */
interface Layout {
  readonly topology: Topology;
  readonly reach: string;
  readonly ranges: readonly SlotRange[];
}

const layouts = new WeakMap<ClusterDoor, Layout>();

function layoutOf(door: ClusterDoor, topology: Topology): readonly SlotRange[] {
  const reach = topology.members.map(({ id }) => (door.isShown(id) ? '1' : '0')).join('');
  let layout = layouts.get(door);
  if (layout?.topology !== topology || layout.reach !== reach) {
    const healthy = new Set(topology.members.filter((_, i) => reach[i] === '1').map(({ id }) => id));
    layout = { topology, reach, ranges: rangesOf(topology, (id) => healthy.has(id)) };
    layouts.set(door, layout);
  }
  return layout.ranges;
}

function membersById(topology: Topology): ReadonlyMap<MemberId, Member> {
  return new Map(topology.members.map((member) => [member.id, member]));
}

export function sharedSlots(door: ClusterDoor, topology: Topology): Reply {
  const nodes = new Map<MemberId, Reply>(
    topology.members.map(({ id, host, port, identity }) => [id, [host, port, identity, new MapReply([])]]),
  );
  return layoutOf(door, topology).map(({ from, to, servers }) => [
    from,
    to,
    ...servers.map((id) => nodes.get(id) as Reply),
  ]);
}

export function sharedShards(door: ClusterDoor, topology: Topology): Reply {
  const members = membersById(topology);
  const nodeOf = (servers: Servers): Reply[] =>
    servers.map((id, i) => {
      const { identity, host, port } = members.get(id) as Member;
      return new MapReply([
        ['id', identity],
        ['port', port],
        ['ip', host],
        ['endpoint', host],
        ['role', i === 0 ? 'master' : 'replica'],
        ['replication-offset', 0],
        ['health', door.isShown(id) ? 'online' : 'failed'],
      ]);
    });
  return [...shardsOf(layoutOf(door, topology))].map(
    ([servers, ranges]) =>
      new MapReply([
        ['slots', ranges.flatMap(({ from, to }) => [from, to])],
        ['nodes', nodeOf(servers)],
      ]),
  );
}

/** The lines of CLUSTER NODES: every member is a master, of the slots for which one turns to it first. */
export function sharedNodes(door: ClusterDoor, topology: Topology): string {
  const ranges = rangesByFirst(layoutOf(door, topology));
  return topology.members
    .map((member) => {
      const { id } = member;
      const own = (ranges.get(id) ?? []).map(({ from, to }) => (from === to ? ` ${from}` : ` ${from}-${to}`));
      return `${nodeLine(door, member, topology.epoch)}${own.join('')}\n`;
    })
    .join('');
}

function nodeLine(door: ClusterDoor, member: Member, epoch: number): string {
  const { id, identity, host, port, busPort } = member;
  const isShown = door.isShown(id);
  const { status } = door.standingOf(id);
  const isGone = status === 'dead' || status === 'left';
  const flags = `${id === door.self ? 'myself,' : ''}master${isGone ? ',fail' : isShown ? '' : ',fail?'}`;
  return `${identity} ${host}:${port}@${busPort} ${flags} - 0 0 ${epoch} ${isShown ? 'connected' : 'disconnected'}`;
}

export function sharedInfo(door: ClusterDoor, topology: Topology): readonly (readonly [string, string | number])[] {
  const reached = slotsInReach(topology, (id) => door.isShown(id));
  const owners = [...slotsByOwner(topology).values()].filter((slots) => slots > 0).length;
  const moving = topology.slots.filter((entry) => entry.owners.incoming.length > 0).length;
  const copies = Math.min(topology.replicas, topology.members.filter((member) => member.weight > 0).length);
  const short = topology.slots.filter((entry) => entry.owners.current.length < copies).length;
  const metrics = door.busMetrics();
  return [
    ['cluster_enabled', 1],
    ['cluster_state', reached === SLOT_COUNT ? 'ok' : 'fail'],
    ['cluster_slots_assigned', SLOT_COUNT],
    ['cluster_slots_ok', reached],
    ['cluster_slots_pfail', 0],
    ['cluster_slots_fail', SLOT_COUNT - reached],
    ['cluster_known_nodes', topology.members.length],
    ['cluster_size', owners],
    ['cluster_current_epoch', topology.epoch],
    ['cluster_my_epoch', topology.epoch],
    ['cluster_stats_messages_sent', metrics['messages_out'] ?? 0],
    ['cluster_stats_messages_received', metrics['messages_in'] ?? 0],
    ['total_cluster_links_buffer_limit_exceeded', 0],
    ['cluster_id', topology.clusterId],
    ['cluster_replicas', topology.replicas],
    ['cluster_voters', topology.voters.current.length],
    ['cluster_voters_in_reach', topology.voters.current.filter((id) => door.isHealthy(id)).length],
    ['cluster_voters_changing', Number(topology.voters.incoming.length > 0)],
    ['cluster_slots_moving', moving],
    ['cluster_slots_short_of_replicas', short],
  ];
}

/** One map for each connection to another member, as Redis shows links; there is one for both directions. */
export function sharedLinks(door: ClusterDoor, topology: Topology): Reply {
  return topology.members
    .filter(({ id }) => id !== door.self && door.isHealthy(id))
    .map(
      ({ identity }) =>
        new MapReply([
          ['direction', 'to'],
          ['node', identity],
          ['create-time', 0],
          ['events', 'rw'],
          ['send-buffer-allocated', 0],
          ['send-buffer-used', 0],
        ]),
    );
}

/** KV.MEMBERS: a map for each member of the topology. */
export function memberMaps(door: ClusterDoor, topology: Topology): Reply {
  const owned = slotsByOwner(topology);
  const firsts = rangesByFirst(layoutOf(door, topology));
  return topology.members.map((member) => {
    const { id } = member;
    const { status, incarnation, version, epoch } = door.standingOf(id);
    const slots = owned.get(id) ?? 0;
    const first = (firsts.get(id) ?? []).reduce((sum, { from, to }) => sum + to - from + 1, 0);
    const rttMs = door.rttMs(id);
    return new MapReply([
      ['id', member.identity],
      ['number', id],
      ['self', new BooleanReply(id === door.self)],
      ['status', status],
      ['reachable', new BooleanReply(door.isHealthy(id))],
      ['incarnation', incarnation],
      ['address', addressText(member.host, member.port)],
      ['bus-address', addressText(member.host, member.busPort)],
      ['rack', member.rack],
      ['data-centre', member.dataCentre],
      ['weight', new DoubleReply(member.weight)],
      ['weight-share', new DoubleReply(weightShare(topology, member))],
      ['slots', slots],
      ['slots-share', new DoubleReply(slots / SLOT_COUNT)],
      ['slots-first', first],
      ['votes', new BooleanReply(topology.voters.current.includes(id) || topology.voters.incoming.includes(id))],
      ['version', version],
      ['epoch', epoch],
      ['round-trip-ms', new DoubleReply(Number.isFinite(rttMs) ? rttMs : -1)],
    ]);
  });
}

function addressText(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
