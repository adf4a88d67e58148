/** What the program does around a node that has started: its first lines of log and the pid file. */

import { resolve } from 'node:path';
import type { Config } from './config.ts';
import type { Disk, Log } from './env.ts';
import type { Node } from './node.ts';

/** Says what runs, where its data is and how to reach it. */
export function announce(log: Log, node: Node, config: Config, version: string): void {
  const { server } = node;
  log.info(`Kvorum ${version}: a Redis server whose data lives on disk`, {
    port: server.port,
    bind: node.addresses,
    dir: resolve(config.get('dir')),
    process: server.machine.processId,
    config: config.path ?? 'none',
    appendfsync: config.get('appendfsync'),
    keys: countRows(node),
  });
  const [address] = node.addresses;
  if (address === undefined) {
    log.info('port 0: no client is served');
    return;
  }
  const host = address.slice(0, address.lastIndexOf(':')).replaceAll(/^\[|\]$/g, '');
  const isLocal = host === '127.0.0.1' || host === '0.0.0.0' || host === '::' || host === '::1';
  const password = config.get('requirepass') === '' ? '' : ' -a <requirepass>';
  log.info(`ready: redis-cli${isLocal ? '' : ` -h ${host}`} -p ${server.port}${password}`);
}

function countRows({ server }: Node): number {
  let rows = 0;
  for (let database = 0; database < server.config.get('databases'); database++) {
    rows += server.keyspace.size(server.keyspace.physicalDatabase(database));
  }
  return rows;
}

export function writePidFile(disk: Disk, config: Config, log: Log): void {
  const path = config.get('pidfile');
  if (path === '') return;
  try {
    if (disk.exists(path)) disk.unlink(path);
    const file = disk.open(path, 'create');
    file.writeSync(Buffer.from(`${process.pid}\n`), 0);
    file.close();
  } catch (error) {
    log.warn('the pid file cannot be written', { path, reason: String(error) });
  }
}

export function removePidFile(disk: Disk, config: Config): void {
  const path = config.get('pidfile');
  if (path !== '' && disk.exists(path)) disk.unlink(path);
}
