/** The part of the configuration that says where a node of a cluster listens, what it says of itself and whom it joins. */

import { resolve } from 'node:path';
import type { Config } from './config.ts';
import { BUS_PORT_OFFSET, formatHostPort } from './config-cluster.ts';
import { readText } from './config-file.ts';
import type { Disk, TlsIdentity } from './env.ts';
import type { Entry } from './repl/topology-join.ts';

function isLoopback(host: string): boolean {
  return host === '::1' || host === 'localhost' || host.startsWith('127.');
}

/** The first address of `bind`; every address when it says so. */
export function listenHost(config: Config): string {
  const first = (config.get('bind')[0] ?? '127.0.0.1').replace(/^-/, '');
  const host = first === '*' ? '0.0.0.0' : first === '::*' ? '::' : first;
  if (!isLoopback(host) && config.get('cluster-secret') === '' && !config.get('tls-cluster')) {
    throw new Error(
      `the bus would listen on ${host}, where whoever reaches it could join: set cluster-secret, the same on every node, ` +
        'or tls-cluster, or bind a loopback address',
    );
  }
  return host;
}

export function busPortOf(config: Config): number {
  const port = config.get('cluster-port') || config.get('port') + BUS_PORT_OFFSET;
  if (config.get('port') === 0 || port > 65_535) {
    throw new Error(`the bus needs a port: ${port} is none; set cluster-port, or port to at most 55535`);
  }
  return port;
}

/** The files of `tls-cluster`. Throws, fit for an operator, when one is missing or not named. */
export function tlsOf(config: Config, disk: Disk): { readonly tls?: TlsIdentity } {
  if (!config.get('tls-cluster')) return {};
  const read = (name: 'tls-cert-file' | 'tls-key-file' | 'tls-ca-cert-file'): string => {
    const path = config.get(name);
    if (path === '') throw new Error(`tls-cluster needs ${name}`);
    return readText(disk, resolve(path), name);
  };
  return { tls: { cert: read('tls-cert-file'), key: read('tls-key-file'), ca: read('tls-ca-cert-file') } };
}

/** What this node says of itself. */
export function entryOf(config: Config, identity: string): Entry {
  const host = config.get('cluster-announce-ip') || listenHost(config);
  if (host === '0.0.0.0' || host === '::') {
    throw new Error('bind names no address that other nodes could reach: set cluster-announce-ip');
  }
  return {
    identity,
    host,
    port: config.get('cluster-announce-port') || config.get('port'),
    busPort: config.get('cluster-announce-bus-port') || busPortOf(config),
    weight: config.get('weight'),
    rack: config.get('rack'),
    dataCentre: config.get('data-centre'),
  };
}

/** Where the seeds' buses listen: `join` names the ports of clients, as CLUSTER MEET does. */
export function seedsOf(config: Config): readonly string[] {
  return config.get('join').map(({ host, port }) => formatHostPort({ host, port: port + BUS_PORT_OFFSET }));
}
