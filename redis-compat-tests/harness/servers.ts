/** The servers of a compatibility run. */

import { startRedis } from '../../test/support/redis-process.ts';
import { type ServerProcess, startKvorum } from '../../test/support/server-process.ts';
import { TestConnection } from './connection.ts';
import type { Ports } from './run-case.ts';

const DEBUG = ['--enable-debug-command', 'yes'];

export interface Servers {
  readonly ports: Ports;
  stop(): Promise<void>;
}

/** Starts both oracles and the subject; with `self` the subject is a third redis-server, to check the cases. */
export async function startServers(self: boolean): Promise<Servers> {
  const started: ServerProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.stop()));
  };
  try {
    const oracle = await startRedis({ flags: DEBUG });
    started.push(oracle);
    const cluster = await startRedis({ flags: [...DEBUG, '--cluster-enabled', 'yes'] });
    started.push(cluster);
    await ownAllSlots(cluster.port);
    const subject = await (self ? startRedis : startKvorum)({ flags: [...DEBUG, '--appendfsync', 'no'] });
    started.push(subject);
    return { ports: { oracle: oracle.port, cluster: cluster.port, subject: subject.port }, stop };
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
