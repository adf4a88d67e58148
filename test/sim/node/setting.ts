/** Names and command lines of simulated machines. */

export const CLIENT_PORT = 6379;

export function machineName(index: number): string {
  return `10.0.0.${index + 1}`;
}

export interface Setting {
  readonly index: number;
  readonly nodes: number;
  readonly replicas: number;
  readonly appendfsync: string;
  readonly requestTimeoutMs: number;
  /** Nodes to join at; a node without any founds a cluster, unless its disk knows one. */
  readonly seeds: readonly string[];
}

/** The words after `kvorum` on the machine's command line. */
export function argumentsOf(setting: Setting): string[] {
  const directives = {
    bind: machineName(setting.index),
    port: String(CLIENT_PORT),
    'protected-mode': 'no',
    dir: '/data',
    appendfsync: setting.appendfsync,
    'memtable-size': '1mb',
    ...clusterDirectives(setting),
  };
  return Object.entries(directives).flatMap(([name, value]) => [`--${name}`, value]);
}

function clusterDirectives({ nodes, replicas, requestTimeoutMs, seeds }: Setting): Record<string, string> {
  if (nodes === 1) return {};
  return {
    'cluster-enabled': 'yes',
    'cluster-secret': 'simulated',
    replicas: String(replicas),
    'request-timeout': String(requestTimeoutMs),
    ...(seeds.length === 0 ? {} : { join: seeds.map((seed) => `${seed}:${CLIENT_PORT}`).join(',') }),
  };
}
