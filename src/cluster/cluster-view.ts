/**
 * What a node knows of its cluster at this moment, for everybody who asks owners or is one: the document it serves with,
 * and who can be reached. Implemented by repl/topology-keeper.ts; plain look-ups, fit for hot paths.
 */

import type { MemberId } from './member.ts';
import type { Owners } from './owners.ts';
import type { NodeName } from './swim-message.ts';
import type { Topology } from './topology.ts';

export interface ClusterView {
  /** The document this node serves with; undefined before it belongs to a cluster. */
  readonly topology: Topology | undefined;
  /** This node's number; 0 while it is no member. */
  readonly self: MemberId;
  /** More than one member, or a slot moves: rows are registers. With exactly one member everything is local. */
  readonly isShared: boolean;
  /**
   * The `Owners` object of the document, the same one as long as they do not change (ballot-cache.ts relies on it). Of
   * the pseudo slot of the topology's own row: the voters. Requires: there is a document.
   */
  owners(slot: number): Owners;
  /**
   * The identity of a member. Of who was forgotten meanwhile, while work begun under an earlier document goes on, a name
   * that nobody has: what is sent to it is `unsent`.
   */
  nameOf(id: MemberId): NodeName;
  /** False at once when the bus says so, or when SWIM says dead or left. This node itself is healthy. */
  isHealthy(id: MemberId): boolean;
  /** Smoothed round trip in milliseconds; 0 to this node itself. */
  rttMs(id: MemberId): number;
  /** `from` knows the document of this epoch: fetch it, if it is newer than the own. */
  learn(from: MemberId, epoch: number): void;
  /** Called after a new document is durable here and in force, until the returned function is called. */
  onTopology(listener: (next: Topology, previous: Topology | undefined) => void): () => void;
}
