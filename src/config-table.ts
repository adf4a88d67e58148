/**
 * The one table of options: it serves the configuration file, the `--flags` and CONFIG GET, SET and REWRITE.
 * Names, units and defaults are Redis's where Redis has the directive; those of the engine are Kvorum's own.
 */

import { resolve } from 'node:path';
import { clusterOptionNames, clusterOptions } from './config-cluster.ts';
import {
  choice,
  integer,
  memory,
  memoryBytes,
  type Option,
  OptionError,
  single,
  text,
  words,
  yesNo,
} from './config-option.ts';

export type AppendFsync = 'always' | 'everysec' | 'no';
export type LogLevel = 'debug' | 'verbose' | 'notice' | 'warning';
export type ClientClass = 'normal' | 'replica' | 'pubsub';

/** `client-output-buffer-limit` of one class; 0 is no limit. */
export interface OutputBufferLimit {
  readonly hardBytes: number;
  readonly softBytes: number;
  readonly softSeconds: number;
}

export type OutputBufferLimits = Readonly<Record<ClientClass, OutputBufferLimit>>;

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const INT_MAX = 2 ** 31 - 1;

/** `save <seconds> <changes>` pairs. Nothing is done with them: every write is in the log at once. */
export interface SavePoint {
  readonly seconds: number;
  readonly changes: number;
}

const INITIAL_SAVE: readonly SavePoint[] = [
  { seconds: 3600, changes: 1 },
  { seconds: 300, changes: 100 },
  { seconds: 60, changes: 10_000 },
];

function parseSave(given: readonly string[], current: readonly SavePoint[], repeated: boolean): readonly SavePoint[] {
  const numbers = given.flatMap((word) => (word === '' ? [] : word.split(' ')));
  if (numbers.length === 0) return [];
  const points: SavePoint[] = [];
  for (let i = 0; i < numbers.length; i += 2) {
    const [seconds, changes] = [numbers[i] ?? '', numbers[i + 1] ?? ''];
    if (!/^\d{1,10}$/.test(seconds) || !/^\d{1,10}$/.test(changes) || Number(seconds) < 1) {
      throw new OptionError('Invalid save parameters');
    }
    points.push({ seconds: Number(seconds), changes: Number(changes) });
  }
  return repeated ? [...current, ...points] : points;
}

/** Redis accepts both names of the class and shows the older one. */
const CLASS_NAMES: Readonly<Record<string, ClientClass>> = {
  normal: 'normal',
  slave: 'replica',
  replica: 'replica',
  pubsub: 'pubsub',
};

function parseOutputLimits(given: readonly string[], current: OutputBufferLimits): OutputBufferLimits {
  if (given.length === 0 || given.length % 4 !== 0) {
    throw new OptionError('Wrong number of arguments in buffer limit configuration.');
  }
  const limits: Record<ClientClass, OutputBufferLimit> = { ...current };
  for (let i = 0; i < given.length; i += 4) {
    const [name = '', hard = '', soft = '', seconds = ''] = given.slice(i, i + 4);
    const clientClass = CLASS_NAMES[name.toLowerCase()];
    if (clientClass === undefined) {
      throw new OptionError('Invalid client class specified in buffer limit configuration.');
    }
    const hardBytes = memoryBytes(hard);
    const softBytes = memoryBytes(soft);
    if (hardBytes === undefined || softBytes === undefined || !/^\d{1,10}$/.test(seconds)) {
      throw new OptionError('Error in hard, soft or soft_seconds setting in buffer limit configuration.');
    }
    limits[clientClass] = { hardBytes, softBytes, softSeconds: Number(seconds) };
  }
  return limits;
}

function formatOutputLimit(name: string, limit: OutputBufferLimit): string {
  return `${name} ${limit.hardBytes} ${limit.softBytes} ${limit.softSeconds}`;
}

function outputLimitLines(limits: OutputBufferLimits): string[] {
  return [
    formatOutputLimit('normal', limits.normal),
    formatOutputLimit('slave', limits.replica),
    formatOutputLimit('pubsub', limits.pubsub),
  ];
}

/** Addresses beyond this are refused, as in Redis. */
const MAX_BIND_ADDRESSES = 16;

function parsePercentiles(given: readonly string[]): readonly number[] {
  const numbers = given.filter((word) => word !== '').map(Number);
  if (numbers.some((one) => !(one >= 0 && one <= 100))) {
    throw new OptionError('latency-tracking-info-percentiles parameters should sit between [0.0,100.0]');
  }
  return numbers;
}

/** Characters of `notify-keyspace-events` in the order in which Redis shows them. */
const EVENT_CLASSES = 'Ag$lshzxetdnKEm';
const EVENTS_OF_A = 'g$lshzxetd';

function parseEvents(word: string): string {
  for (const letter of word) {
    if (!EVENT_CLASSES.includes(letter)) {
      throw new OptionError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
    }
  }
  const all = word.includes('A') || EVENTS_OF_A.split('').every((letter) => word.includes(letter));
  return EVENT_CLASSES.split('')
    .filter((letter) =>
      all && EVENTS_OF_A.includes(letter) ? false : word.includes(letter) || (letter === 'A' && all),
    )
    .join('');
}

/** As Redis, which does not show `n` beside `A`. */
function formatEvents(letters: string): string {
  return letters.startsWith('A') ? letters.replace('n', '') : letters;
}

const EVICTION_POLICIES = [
  'volatile-lru',
  'volatile-lfu',
  'volatile-random',
  'volatile-ttl',
  'allkeys-lru',
  'allkeys-lfu',
  'allkeys-random',
  'noeviction',
] as const;

function parseEvictionPolicy(word: string): 'noeviction' {
  const policy = word.toLowerCase();
  if (!EVICTION_POLICIES.some((known) => known === policy)) {
    throw new OptionError(`argument(s) must be one of the following: ${EVICTION_POLICIES.join(', ')}`);
  }
  if (policy === 'noeviction') return policy;
  throw new OptionError('data lives on disk and is never evicted: the only policy is noeviction');
}

export const options = {
  bind: words<readonly string[]>({
    initial: ['127.0.0.1', '-::1'],
    summary: 'addresses to listen on; "-" before one: no error if it is not there; "*": all',
    parse(given) {
      const addresses = given.flatMap((word) => word.split(' ')).filter((word) => word !== '');
      if (addresses.length > MAX_BIND_ADDRESSES) throw new OptionError('Too many bind addresses specified.');
      return addresses;
    },
    format: (addresses) => addresses.join(' '),
    lines: (addresses) => [addresses.length === 0 ? [''] : addresses],
  }),
  port: integer({ initial: 6379, min: 0, max: 65_535, summary: 'TCP port of the clients; 0: none' }),
  'tcp-backlog': integer({
    initial: 511,
    min: 0,
    max: INT_MAX,
    change: 'start',
    summary: 'queue of unaccepted connections',
  }),
  timeout: integer({
    initial: 0,
    min: 0,
    max: INT_MAX,
    summary: 'seconds after which an idle client is closed; 0: never',
  }),
  maxclients: integer({ initial: 10_000, min: 1, max: 2 ** 32 - 1, summary: 'connections served at once' }),
  'protected-mode': yesNo({ initial: true, summary: 'without a password only loopback clients are served' }),
  requirepass: text({ initial: '', summary: 'password of the user "default"' }),
  'proto-max-bulk-len': memory({ initial: 512 * MIB, min: MIB, summary: 'longest word of a command' }),
  'client-query-buffer-limit': memory({ initial: GIB, min: MIB, summary: 'unread input kept for one client' }),
  'client-output-buffer-limit': words<OutputBufferLimits>({
    initial: {
      normal: { hardBytes: 0, softBytes: 0, softSeconds: 0 },
      replica: { hardBytes: 256 * MIB, softBytes: 64 * MIB, softSeconds: 60 },
      pubsub: { hardBytes: 32 * MIB, softBytes: 8 * MIB, softSeconds: 60 },
    },
    summary: '<class> <hard> <soft> <seconds>: unsent output kept for one client',
    parse: parseOutputLimits,
    format: (limits) => outputLimitLines(limits).join(' '),
    lines: (limits) => outputLimitLines(limits).map((line) => line.split(' ')),
  }),
  dir: single<string>({
    initial: './data',
    change: 'start',
    summary: 'directory of the data',
    parse(word) {
      if (word === '') throw new OptionError('the directory of the data has a name');
      return word;
    },
    format: (path) => resolve(path),
  }),
  databases: integer({
    initial: 16,
    min: 1,
    max: 255,
    change: 'start',
    summary: 'databases that SELECT knows, 1 to 255',
  }),
  'checkpoint-dir': text({
    initial: '',
    change: 'start',
    summary: 'where SAVE and BGSAVE put checkpoints, on the file system of dir; empty: <dir>/checkpoints',
  }),
  'checkpoint-keep': integer({
    initial: 1,
    min: 0,
    max: 1000,
    summary: 'newest checkpoints that are kept; 0: SAVE and BGSAVE take none',
  }),
  appendonly: single<'yes'>({
    initial: 'yes',
    summary: 'always yes: every write goes to the log',
    parse(word) {
      const lower = word.toLowerCase();
      if (lower !== 'yes' && lower !== 'no') throw new OptionError("argument must be 'yes' or 'no'");
      if (lower === 'yes') return lower;
      throw new OptionError(
        'every write goes to the log, which cannot be turned off; say "appendonly yes" or leave it out',
      );
    },
    format: (value) => value,
  }),
  appendfsync: choice({
    initial: 'everysec',
    choices: ['everysec', 'always', 'no'],
    summary: 'when a write is on the disk for sure: before its reply, within a second, or whenever',
  }),
  save: words<readonly SavePoint[]>({
    initial: INITIAL_SAVE,
    summary: 'accepted and without effect: data is always persistent',
    parse: parseSave,
    format: (points) => points.map((point) => `${point.seconds} ${point.changes}`).join(' '),
    lines: (points) =>
      points.length === 0 ? [['']] : points.map((point) => [String(point.seconds), String(point.changes)]),
  }),
  maxmemory: memory({
    initial: 0,
    summary: 'accepted and without effect: see memtable-size and block-cache-size',
    warning: 'maxmemory bounds nothing here, data lives on disk: see memtable-size and block-cache-size',
  }),
  'maxmemory-policy': single<'noeviction'>({
    initial: 'noeviction',
    summary: 'noeviction is the only one',
    parse: parseEvictionPolicy,
    format: (policy) => policy,
  }),
  loglevel: choice({
    initial: 'notice',
    choices: ['debug', 'verbose', 'notice', 'warning'],
    summary: 'debug, verbose, notice or warning',
  }),
  logfile: text({ initial: '', change: 'start', summary: 'file of the log; empty: standard output' }),
  pidfile: text({ initial: '', change: 'start', summary: 'file that holds the process id while the server runs' }),
  hz: integer({ initial: 10, min: 1, max: INT_MAX, summary: 'turns a second of the background work, at most 500' }),
  'acllog-max-len': integer({ initial: 128, min: 0, summary: 'entries of ACL LOG' }),
  'busy-reply-threshold': integer({
    initial: 5000,
    min: 0,
    summary: 'ms a script runs before others are told BUSY and it may be killed; 0: for ever',
  }),
  'slowlog-log-slower-than': integer({ initial: 10_000, min: -1, summary: 'microseconds; 0: every command, -1: none' }),
  'slowlog-max-len': integer({ initial: 128, min: 0, summary: 'entries that SLOWLOG keeps' }),
  'latency-monitor-threshold': integer({
    initial: 0,
    min: 0,
    summary: 'milliseconds from which LATENCY keeps events; 0: none',
  }),
  'latency-tracking': yesNo({ initial: true, summary: 'keep histograms of the time of each command' }),
  'latency-tracking-info-percentiles': words<readonly number[]>({
    initial: [50, 99, 99.9],
    summary: 'percentiles that INFO latencystats shows',
    parse: parsePercentiles,
    format: (percentiles) => percentiles.join(' '),
    lines: (percentiles) => [percentiles.length === 0 ? [''] : percentiles.map(String)],
  }),
  'enable-debug-command': choice({
    initial: 'local',
    choices: ['no', 'yes', 'local'],
    change: 'start',
    summary: 'who may send DEBUG: no, yes (everybody) or local',
  }),
  'enable-protected-configs': choice({ initial: 'no', choices: ['no', 'yes', 'local'], change: 'start' }),
  'tracking-table-max-keys': integer({
    initial: 1_000_000,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    summary: 'keys that clients with CLIENT TRACKING have read and are told of; 0: no limit',
  }),
  'notify-keyspace-events': single<string>({ initial: '', parse: parseEvents, format: formatEvents }),
  'acl-pubsub-default': choice({ initial: 'resetchannels', choices: ['allchannels', 'resetchannels'] }),
  'memtable-size': memory({
    initial: 64 * MIB,
    min: MIB,
    max: GIB,
    change: 'start',
    summary: 'bytes that collect in memory before they become a table',
  }),
  'block-cache-size': memory({
    initial: 128 * MIB,
    min: MIB,
    change: 'start',
    summary: 'bytes of table blocks kept in memory',
  }),
  'compaction-rate-limit': memory({
    initial: 0,
    change: 'start',
    summary: 'bytes a second that compaction writes at most; 0: no limit',
  }),
  compression: choice({
    initial: 'none',
    choices: ['none', 'lz4'],
    change: 'start',
    summary: 'of table blocks: none or lz4',
  }),
  ...clusterOptions,
} as const satisfies Readonly<Record<string, Option<unknown>>>;

export type OptionName = keyof typeof options;
export type OptionValue<Name extends OptionName> = (typeof options)[Name] extends Option<infer T> ? T : never;
export type Values = { -readonly [Name in OptionName]: OptionValue<Name> };

/** Options by group, in the order of `--help`. */
export const optionGroups: Readonly<Record<string, readonly OptionName[]>> = {
  'Clients:': [
    'bind',
    'port',
    'requirepass',
    'protected-mode',
    'maxclients',
    'timeout',
    'tcp-backlog',
    'databases',
    'proto-max-bulk-len',
    'client-query-buffer-limit',
    'client-output-buffer-limit',
  ],
  'Data:': [
    'dir',
    'appendfsync',
    'appendonly',
    'save',
    'checkpoint-dir',
    'checkpoint-keep',
    'memtable-size',
    'block-cache-size',
    'compaction-rate-limit',
    'compression',
    'maxmemory',
    'maxmemory-policy',
  ],
  'Cluster:': clusterOptionNames,
  'Watching it:': [
    'loglevel',
    'logfile',
    'pidfile',
    'hz',
    'slowlog-log-slower-than',
    'slowlog-max-len',
    'latency-monitor-threshold',
    'latency-tracking',
    'latency-tracking-info-percentiles',
    'enable-debug-command',
  ],
};
