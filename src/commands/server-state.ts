/** What all connections share: the state that commands, the dispatcher and INFO see. */

import { Config } from '../config.ts';
import type { Clock, Env } from '../env.ts';
import type { Keyspace } from '../repl/keyspace.ts';
import { keyOfHead } from '../repl/row-key.ts';
import { BlockedClients } from './blocked-clients.ts';
import { BusyScript } from './busy-script.ts';
import type { Client } from './client.ts';
import type { ClusterDoor } from './cluster-door.ts';
import type { ClusterRun } from './cluster-run.ts';
import { AclLog } from './acl-log.ts';
import { AclUsers } from './acl-users.ts';
import { FunctionLibraries } from './function-libraries.ts';
import type { Command } from './command.ts';
import { CommandStats, ErrorStats } from './command-stats.ts';
import { LatencyMonitor } from './latency-monitor.ts';
import { type Machine, NO_MACHINE } from './machine.ts';
import { MonitorFeed } from './monitor-feed.ts';
import { NotifyFeed } from './notify-feed.ts';
import type { CommandObserver } from './observer.ts';
import { Pause } from './pause.ts';
import { PubSubFeed } from './pubsub-feed.ts';
import { RateMeter } from './rate-meter.ts';
import { Saves } from './saves.ts';
import { ScanTokens } from './scan-tokens.ts';
import { ScriptCache } from './script-cache.ts';
import { ServerObserver } from './server-observer.ts';
import { Slowlog } from './slowlog-ring.ts';
import { TrackingFeed } from './tracking-feed.ts';

/** The version of Redis whose replies are kept. */
export const REDIS_VERSION = '7.0.15';

/** Directives that commands obey; the owner of the configuration keeps them current. */
export interface CommandSettings {
  /** `databases`: SELECT, MOVE, COPY and SWAPDB take 0 to databases − 1. */
  databases: number;
  /** `proto-max-bulk-len`, in bytes: no string grows beyond it. */
  maxBulkBytes: number;
}

/** What the front door counts; since the start or CONFIG RESETSTAT, bytes. `resp/server.ts` has them. */
export interface FrontDoorCounts {
  connectionsReceived: number;
  connectionsRejected: number;
  bytesIn: number;
  bytesOut: number;
  closedByLimit: number;
  protocolErrors: number;
}

export interface ShutdownRequest {
  /** Do not wait for anybody. */
  readonly now: boolean;
}

/** Called by SHUTDOWN; it answers when the shutdown failed or was aborted, never when it succeeded. */
export type Shutdown = (request: ShutdownRequest) => Promise<void>;

export class Server {
  readonly env: Env;
  readonly keyspace: Keyspace;
  readonly config: Config;
  readonly machine: Machine;
  readonly clients = new Map<number, Client>();
  readonly observer: CommandObserver;
  readonly settings: CommandSettings;
  /** Where the walks of SCAN stand. */
  readonly scanTokens: ScanTokens;
  readonly commandStats = new CommandStats();
  readonly errorStats = new ErrorStats();
  readonly slowlog = new Slowlog();
  readonly latency = new LatencyMonitor();
  readonly monitors = new MonitorFeed();
  readonly pubsub = new PubSubFeed();
  /** Keyspace notifications. */
  readonly notify: NotifyFeed;
  /** Caches of clients. */
  readonly tracking = new TrackingFeed(this.clients);
  /** Clients whose commands wait for rows. */
  readonly blocked: BlockedClients;
  /** The script that holds the node, and how it is ended. */
  readonly busy = new BusyScript(() => this.config.get('busy-reply-threshold'));
  readonly scripts: ScriptCache = new ScriptCache(this, REDIS_VERSION);
  readonly users: AclUsers = new AclUsers(this);
  readonly aclLog: AclLog = new AclLog(this);
  readonly functions: FunctionLibraries = new FunctionLibraries(() => this.scripts.lua);
  readonly pause: Pause;
  readonly opsRate = new RateMeter();
  readonly inputRate = new RateMeter();
  readonly outputRate = new RateMeter();
  /** 40 hex digits, new with each start. */
  readonly runId: string;
  /** 40 hex digits: the name of this node for CLUSTER MYID. */
  nodeId: string;
  readonly startedMs: number;
  readonly wallClockUs: WallClockUs;
  /** Version of Kvorum, as in package.json. */
  readonly version: string;
  /** This node's part in a cluster, where the configuration asks for one. */
  cluster: ClusterDoor | undefined = undefined;
  /** Commands on rows in a cluster, where there is one. */
  rows: ClusterRun | undefined = undefined;
  /** Every row of the table, in its order; set once the table is made. */
  commands: readonly Command[] = [];
  /** The command that the words name (a subcommand, for containers); set with `commands`. */
  findCommand: (name: string) => Command | undefined = () => undefined;
  commandsRun = 0;
  /** Rows that commands with access `read` looked for, and found or not. */
  keyspaceHits = 0;
  keyspaceMisses = 0;
  /** DEBUG SET-ACTIVE-EXPIRE 0 stops the sweeper. */
  sweepsExpired = true;
  readonly saves: Saves;
  front: FrontDoorCounts = {
    connectionsReceived: 0,
    connectionsRejected: 0,
    bytesIn: 0,
    bytesOut: 0,
    closedByLimit: 0,
    protocolErrors: 0,
  };
  /** Port that clients are served on; 0 while there is none. */
  port = 0;
  shutdown: Shutdown = async () => {};
  /** True between SHUTDOWN and the end. */
  isClosing = false;
  private lastClientId = 0;
  private peakMemoryBytes = 0;

  constructor(options: {
    env: Env;
    keyspace: Keyspace;
    config?: Config;
    machine?: Machine;
    version?: string;
    nodeId?: string;
  }) {
    const { env } = options;
    this.env = env;
    this.keyspace = options.keyspace;
    this.config = options.config ?? Config.initial();
    this.machine = options.machine ?? NO_MACHINE;
    this.version = options.version ?? '0.0.0';
    this.runId = Buffer.from(env.random.bytes(20)).toString('hex');
    this.nodeId = options.nodeId ?? Buffer.from(env.random.bytes(20)).toString('hex');
    this.startedMs = env.clock.wallMs();
    this.wallClockUs = new WallClockUs(env.clock);
    this.pause = new Pause(env);
    this.saves = new Saves({ env, keyspace: this.keyspace, config: this.config, nodeId: this.nodeId });
    this.scanTokens = new ScanTokens(env.random.next());
    this.settings = { databases: this.config.get('databases'), maxBulkBytes: this.config.get('proto-max-bulk-len') };
    this.observer = new ServerObserver(this);
    this.blocked = new BlockedClients(this);
    const nameOf = (command: Command): string => this.commandStats.of(command).name;
    this.notify = new NotifyFeed({ pubsub: this.pubsub, nameOf });
    this.keyspace.onExpired = (head) => {
      this.notify.expiredRow(this.keyspace, head);
      if (this.tracking.isActive) this.tracking.changed(keyOfHead(head), undefined);
    };
    this.followConfig();
  }

  /** The table is complete: gives its rows their counters. */
  setCommands(commands: readonly Command[]): void {
    this.commands = commands;
    this.commandStats.addAll(commands);
    const byName = new Map<string, Command>();
    for (const command of commands) {
      byName.set(command.name, command);
      for (const sub of command.subcommands ?? []) byName.set(`${command.name}|${sub.name}`, sub);
    }
    this.findCommand = (name) => byName.get(name.toLowerCase());
    this.users.follow(new Uint8Array(0), 0);
  }

  /** The highest memory use that was ever noted, this one included. */
  notePeakMemory(usedBytes: number): number {
    this.peakMemoryBytes = Math.max(this.peakMemoryBytes, usedBytes);
    return this.peakMemoryBytes;
  }

  nextClientId(): number {
    return ++this.lastClientId;
  }

  /** CONFIG RESETSTAT. */
  resetStats(): void {
    this.commandStats.reset();
    this.errorStats.reset();
    this.commandsRun = 0;
    this.keyspaceHits = 0;
    this.keyspaceMisses = 0;
    Object.assign(this.front, {
      connectionsReceived: 0,
      connectionsRejected: 0,
      bytesIn: 0,
      bytesOut: 0,
      closedByLimit: 0,
      protocolErrors: 0,
    });
    for (const meter of [this.opsRate, this.inputRate, this.outputRate]) meter.restart();
    this.keyspace.expiredRows = 0;
  }

  private followConfig(): void {
    const { config } = this;
    config.follow('proto-max-bulk-len', (bytes) => {
      this.settings.maxBulkBytes = bytes;
    });
    config.follow('requirepass', (password) => this.users.setPassword(password));
    config.follow('slowlog-log-slower-than', (us) => {
      this.slowlog.thresholdUs = us;
    });
    config.follow('slowlog-max-len', (entries) => this.slowlog.limit(entries));
    config.follow('latency-monitor-threshold', (ms) => {
      this.latency.thresholdMs = ms;
    });
    config.follow('tracking-table-max-keys', (keys) => {
      this.tracking.maxKeys = keys;
    });
    config.follow('notify-keyspace-events', (letters) => this.notify.setEvents(letters));
    config.follow('appendfsync', (policy) => this.keyspace.store.setFsyncPolicy(policy));
  }
}

/** A wall clock jump larger than this is followed at once; below it the finer clock is trusted. */
const WALL_CLOCK_SLACK_US = 2_000;

/** Microseconds since 1970, from the wall clock's milliseconds and the monotonic clock's microseconds. */
export class WallClockUs {
  private readonly clock: Clock;
  private offsetUs: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.offsetUs = clock.wallMs() * 1000 - clock.monotonicUs();
  }

  now(): number {
    const monotonicUs = this.clock.monotonicUs();
    const wallUs = this.clock.wallMs() * 1000;
    const drift = monotonicUs + this.offsetUs - wallUs;
    if (drift < -WALL_CLOCK_SLACK_US || drift > WALL_CLOCK_SLACK_US) this.offsetUs = wallUs - monotonicUs;
    return monotonicUs + this.offsetUs;
  }
}
