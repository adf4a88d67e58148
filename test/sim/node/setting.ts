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

function clusterDirectives({ index, nodes, replicas, requestTimeoutMs }: Setting): Record<string, string> {
  if (nodes === 1) return {};
  return {
    'cluster-enabled': 'yes',
    'cluster-secret': 'simulated',
    replicas: String(replicas),
    'request-timeout': String(requestTimeoutMs),
    ...(index === 0 ? {} : { join: `${machineName(0)}:${CLIENT_PORT}` }),
  };
}
