/** What the checks see of a node's inside, past its commands: the topology in force, and rows as this owner holds them. */

import { must } from '../../../src/assert.ts';
import type { NodeCluster } from '../../../src/node-cluster.ts';
import type { Node } from '../../../src/node.ts';
import type { Forwarder } from '../../../src/repl/forward.ts';
import type { OwnerAnswer, RowName } from '../../../src/repl/owner-message.ts';
import { headKey, slotOfHead } from '../../../src/repl/row-key.ts';
import type { Topology } from '../../../src/cluster/topology.ts';
import { versionText } from '../../../src/repl/version.ts';

/** The parts of a node that the checks look at. */
interface Inside {
  readonly cluster: NodeCluster | undefined;
}

function clusterOf(node: Node): NodeCluster | undefined {
  return (node as unknown as Inside).cluster;
}

export function topologyOf(node: Node): Topology | undefined {
  return clusterOf(node)?.keeper.topology;
}

/** This node's identity. */
export function idOf(node: Node | undefined): string | undefined {
  return node?.server.nodeId;
}

/** This node's number in its cluster. */
export function memberOf(node: Node): number {
  return must(clusterOf(node), 'a node of a cluster').keeper.self;
}

/** All of `nodes` serve with one document that has `members` members, each owns something, and nothing moves. */
export function isSettled(nodes: readonly (Node | undefined)[], members: number): boolean {
  const topologies = nodes.map((node) => (node === undefined ? undefined : topologyOf(node)));
  const [first] = topologies;
  if (first === undefined || first.members.length !== members || first.voters.incoming.length > 0) return false;
  if (topologies.some((topology) => topology?.epoch !== first.epoch)) return false;
  const wanted = Math.min(first.replicas, members);
  const owning = new Set<number>();
  for (const { owners } of first.slots) {
    if (owners.incoming.length > 0 || owners.current.length !== wanted) return false;
    for (const id of owners.current) owning.add(id);
  }
  // One that has just joined owns nothing yet: its moves are still to come.
  return owning.size === members;
}

export function ownersOf(node: Node, key: string): readonly number[] {
  const topology = must(topologyOf(node), 'a node of a cluster');
  const slot = slotOfHead(headKey(0, Buffer.from(key, 'latin1')));
  return must(topology.slots[slot], 'a slot').owners.current;
}

/** What this owner holds of a key of database 0, version and state, as text. Requires: somebody drives the loop. */
export function heldBy(node: Node, key: string): Promise<string> {
  const cluster = must(clusterOf(node), 'a node of a cluster');
  const row = rowOf(key);
  return new Promise((resolve) => {
    cluster.owner.ask({ kind: 'read', row, digest: false }, cluster.keeper.epoch, (answer: OwnerAnswer<Uint8Array>) => {
      if (answer.kind !== 'held') resolve(`refused ${JSON.stringify(answer)}`);
      else resolve(`${versionText(answer.version)} ${Buffer.from(answer.value ?? []).toString('hex')}`);
    });
  });
}

/** Slots that this node does not vote on, since it may have forgotten something. */
export function suspectSlotsOf(node: Node): number {
  return clusterOf(node)?.owner.recall.suspectSlots ?? 0;
}

/** The version that this node has of a key of database 0, as text, whether it votes or not. */
export async function versionAt(node: Node, key: string): Promise<string> {
  const held = await must(clusterOf(node), 'a node of a cluster').owner.recall.held(rowOf(key));
  return held === undefined ? 'unknown' : versionText(held.version);
}

export type OwnerCounts = NodeCluster['owner']['counts'];

/** What this node has done as an owner so far, as of now. */
export function ownerCountsOf(node: Node): OwnerCounts {
  return { ...must(clusterOf(node), 'a node of a cluster').owner.counts };
}

/** Changes that this node has sent to other nodes so far. */
export function forwardsOf(node: Node): number {
  const cluster = must(clusterOf(node), 'a node of a cluster') as unknown as { readonly forwarder: Forwarder };
  return cluster.forwarder.counts.forwarded;
}

/** How long the change that changes nothing may take. */
const SETTLE_MS = 500;

/**
 * A change of the row that changes nothing, coordinated by this node: what anti-entropy does where owners differ. True
 * when a majority has taken it.
 */
export function settleRow(node: Node, key: string): Promise<boolean> {
  const { coordinator } = must(clusterOf(node), 'a node of a cluster');
  return new Promise((resolve) => {
    coordinator.change(
      rowOf(key),
      (state) => ({ state, reply: undefined }),
      coordinator.nowMs() + SETTLE_MS,
      (outcome) => resolve(outcome.kind === 'done'),
    );
  });
}

function rowOf(key: string): RowName {
  return Buffer.from(headKey(0, Buffer.from(key, 'latin1'))).toString('latin1');
}
