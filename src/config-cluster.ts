/** The options of the cluster, a part of the one table (`config-table.ts`). Names are Redis Cluster's where it has them. */

import { choice, integer, type Option, OptionError, single, text, words, yesNo } from './config-option.ts';

/** The bus listens so far above the port of clients, as Redis Cluster's does. */
export const BUS_PORT_OFFSET = 10_000;

/** Addresses that `join` may name; one that answers is enough. */
export const MAX_SEEDS = 64;

/** Replicas of each slot at most; equal to MAX_REPLICAS of cluster/topology.ts. */
const MAX_REPLICAS = 9;

/** Weights are compared with one another; this leaves room for any unit one may weigh in. */
const MAX_WEIGHT = 1_000_000;

/** Texts of the topology document have one byte for their length. */
const MAX_TEXT_BYTES = 255;

/** As text: `host:port`, `[v6]:port`. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Takes `host:port` or `[v6]:port` apart; undefined when it is neither. */
export function parseHostPort(word: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(word);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) return undefined;
  return { host: match[1] ?? match[2] ?? '', port };
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function parseSeeds(given: readonly string[]): readonly HostPort[] {
  const seeds = given
    .flatMap((word) => word.split(/[\s,]+/))
    .filter((word) => word !== '')
    .map((word) => {
      const seed = parseHostPort(word);
      if (seed === undefined) throw new OptionError(`'${word}' is no host:port of a node of the cluster`);
      return seed;
    });
  if (seeds.length > MAX_SEEDS) throw new OptionError(`at most ${MAX_SEEDS} addresses`);
  return seeds;
}

function shortText(word: string): void {
  if (Buffer.byteLength(word) > MAX_TEXT_BYTES) throw new OptionError(`at most ${MAX_TEXT_BYTES} bytes`);
}

function parseWeight(word: string): number {
  const weight = Number(word);
  if (!/^\d+(\.\d+)?$/.test(word) || weight > MAX_WEIGHT) {
    throw new OptionError(`argument must be between 0 and ${MAX_WEIGHT} inclusive`);
  }
  return weight;
}

export const clusterOptions = {
  'cluster-enabled': yesNo({
    initial: false,
    change: 'start',
    summary: 'open the bus to other nodes; without join and without a cluster in dir: found one',
  }),
  join: words<readonly HostPort[]>({
    initial: [],
    change: 'start',
    summary: 'host:port,... of nodes of the cluster to become a member of; implies cluster-enabled',
    parse: parseSeeds,
    format: (seeds) => seeds.map(formatHostPort).join(','),
    lines: (seeds) => [[seeds.map(formatHostPort).join(',')]],
  }),
  'cluster-port': integer({
    initial: 0,
    min: 0,
    max: 65_535,
    change: 'start',
    summary: 'TCP port of the bus; 0: port + 10000',
  }),
  'cluster-announce-ip': text({
    initial: '',
    change: 'start',
    check: shortText,
    summary: 'host that others reach this node at; empty: the first of bind',
  }),
  'cluster-announce-port': integer({
    initial: 0,
    min: 0,
    max: 65_535,
    change: 'start',
    summary: 'port that clients reach it at; 0: port',
  }),
  'cluster-announce-bus-port': integer({
    initial: 0,
    min: 0,
    max: 65_535,
    change: 'start',
    summary: 'port that nodes reach it at; 0: cluster-port',
  }),
  'cluster-secret': text({
    initial: '',
    change: 'start',
    summary: 'what nodes prove to one another; needed beyond loopback',
  }),
  'tls-cluster': yesNo({
    initial: false,
    change: 'start',
    summary: 'nodes talk over TLS and show one another certificates of one authority',
  }),
  'tls-cert-file': text({ initial: '', change: 'start', summary: 'certificate of this node, PEM; with tls-cluster' }),
  'tls-key-file': text({ initial: '', change: 'start', summary: 'its private key, PEM' }),
  'tls-ca-cert-file': text({ initial: '', change: 'start', summary: 'the authority that signed all of them, PEM' }),
  replicas: integer({
    initial: 3,
    min: 1,
    max: MAX_REPLICAS,
    change: 'start',
    summary: 'copies of the data (N) in a cluster that is founded here',
  }),
  rack: text({ initial: '', change: 'start', check: shortText, summary: 'what fails together: a rack, a machine' }),
  'data-centre': text({ initial: '', change: 'start', check: shortText, summary: 'the data centre of this node' }),
  weight: single<number>({
    initial: 1,
    change: 'start',
    summary: 'its share of the data in proportion to the others; 0: none',
    parse: parseWeight,
    format: String,
  }),
  'default-level': choice({
    initial: 'quorum',
    choices: ['one', 'quorum', 'all', 'local-quorum', 'each-quorum', 'session', 'available'],
    summary: 'consistency of reads and overwrites that name no level',
  }),
  'request-timeout': integer({
    initial: 5_000,
    min: 1,
    max: 3_600_000,
    summary: 'milliseconds until a command without a quorum is an error',
  }),
} as const satisfies Readonly<Record<string, Option<unknown>>>;

export const clusterOptionNames = Object.keys(clusterOptions) as readonly (keyof typeof clusterOptions)[];
