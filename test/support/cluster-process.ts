/** Several nodes of Kvorum as child processes that form one cluster, for tests and benches. */

import { RawClient, type RawClientOptions } from './raw-client.ts';
import { freePort, type ServerProcess, startKvorum } from './server-process.ts';

/** How long the nodes may take to become members and to hand over the slots. */
const FORM_TIMEOUT_MS = 60_000;

export interface ClusterOptions {
  readonly nodes: number;
  /** Words for every node. */
  readonly flags?: readonly string[];
}

export class ClusterProcess {
  readonly nodes: ServerProcess[];

  constructor(nodes: ServerProcess[]) {
    this.nodes = nodes;
  }

  node(i: number): ServerProcess {
    const node = this.nodes[i];
    if (node === undefined) throw new Error(`there are ${this.nodes.length} nodes`);
    return node;
  }

  /** Starts one more node that joins by the first one. */
  async add(flags: readonly string[] = []): Promise<ServerProcess> {
    const seed = this.node(0).port;
    const node = await startKvorum({ flags: ['--cluster-enabled', 'yes', '--join', `127.0.0.1:${seed}`, ...flags] });
    this.nodes.push(node);
    return node;
  }

  /** Waits until every running node sees `size` members, all slots with their owners and no slot on the move. */
  async settle(size: number): Promise<void> {
    const deadlineMs = performance.now() + FORM_TIMEOUT_MS;
    for (const node of this.nodes) {
      while (node.running && !(await isSettled({ port: node.port }, size))) {
        if (performance.now() > deadlineMs) throw new Error(`no cluster of ${size} after a while:\n${node.output}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }
}

/** Starts the nodes and waits until they are one settled cluster. */
export async function startCluster(options: ClusterOptions): Promise<ClusterProcess> {
  const flags = options.flags ?? [];
  const cluster = new ClusterProcess([
    await startKvorum({ port: await freePort(), flags: ['--cluster-enabled', 'yes', ...flags] }),
  ]);
  try {
    while (cluster.nodes.length < options.nodes) await cluster.add(flags);
    await cluster.settle(options.nodes);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

/** Whether a node answers and sees `size` members, all slots with their owners and no slot on the move. */
export async function isSettled(at: RawClientOptions, size: number): Promise<boolean> {
  const client = await RawClient.connect(at).catch(() => undefined);
  if (client === undefined) return false;
  try {
    const lines = String(await client.call('CLUSTER', 'INFO')).split('\r\n');
    return [
      'cluster_state:ok',
      `cluster_known_nodes:${size}`,
      `cluster_size:${size}`,
      'cluster_slots_moving:0',
      'cluster_slots_short_of_replicas:0',
    ].every((line) => lines.includes(line));
  } catch {
    return false;
  } finally {
    await client.close();
  }
}
