/** The servers of a compatibility run. */

import { startCluster } from '../../test/support/cluster-process.ts';
import { startRedis } from '../../test/support/redis-process.ts';
import { startKvorum } from '../../test/support/server-process.ts';
import { TestConnection } from './connection.ts';
import type { Ports } from './run-case.ts';

const DEBUG = ['--enable-debug-command', 'yes'];

export interface Servers {
  readonly ports: Ports;
  stop(): Promise<void>;
}

/**
 * Starts both oracles and the subject: `self`: a third redis-server, to check the cases; a number: a cluster of so many
 * nodes, which the connections of the cases are spread over.
 */
export async function startServers(kind: 'self' | number): Promise<Servers> {
  const started: { stop(): Promise<unknown> }[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.stop()));
  };
  try {
    const oracle = await startRedis({ flags: DEBUG });
    started.push(oracle);
    const cluster = await startRedis({ flags: [...DEBUG, '--cluster-enabled', 'yes'] });
    started.push(cluster);
    await ownAllSlots(cluster.port);
    const flags = [...DEBUG, '--appendfsync', 'no'];
    let subjects: number[];
    if (kind === 'self' || kind === 1) {
      const subject = await (kind === 'self' ? startRedis : startKvorum)({ flags });
      started.push(subject);
      subjects = [subject.port];
    } else {
      const nodes = await startCluster({ nodes: kind, flags });
      started.push(nodes);
      subjects = nodes.nodes.map((node) => node.port);
    }
    return { ports: { oracle: oracle.port, cluster: cluster.port, subjects }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A cluster of one serves once it owns every slot; it takes a moment to say so. */
async function ownAllSlots(port: number): Promise<void> {
  const connection = await TestConnection.open(port);
  await connection.send('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  for (;;) {
    const reply = await connection.send('CLUSTER', 'INFO');
    if (reply.kind === 'bulk' && reply.bytes.toString().includes('cluster_state:ok')) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  connection.close();
}
