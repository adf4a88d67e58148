/**
 * One node, put together: world → engine → keyspace → commands → front door, and taken apart again in the reverse
 * order. Nothing is decided here but the order.
 */

import { resolve } from 'node:path';
import { allCommands } from './commands/all-commands.ts';
import type { Client } from './commands/client.ts';
import { admit, dismiss } from './commands/client-registry.ts';
import { Dispatcher } from './commands/dispatch.ts';
import type { Machine } from './commands/machine.ts';
import { Server } from './commands/server-state.ts';
import type { Config } from './config.ts';
import { Engine } from './engine/engine.ts';
import type { EngineError } from './engine/engine-error.ts';
import type { EngineOptions } from './engine/engine-options.ts';
import type { ManifestStore } from './engine/manifest.ts';
import { defaultTableFormat } from './engine/sstable-writer.ts';
import type { Env, Log } from './env.ts';
import { BootMark } from './node-boot.ts';
import { NodeCluster } from './node-cluster.ts';
import { Doors } from './node-doors.ts';
import { type Background, startBackground } from './node-background.ts';
import { type Identity, identify } from './node-identity.ts';
import { CLOCK_CEILING } from './repl/hlc.ts';
import { Keyspace, KeyspaceState } from './repl/keyspace.ts';
import { RECOUNT, recountRows } from './repl/recount.ts';
import { rowFilterState } from './repl/row-filter-state.ts';
import { TOPOLOGY_KNOWN } from './repl/topology-keeper.ts';
import { RespServer } from './resp/server.ts';
import { defaultSessionLimits, type SessionLimits } from './resp/limits.ts';

/** How long clients may take to read their last replies when the node ends. */
export const SHUTDOWN_GRACE_MS = 5_000;

/** The module that flushes and compacts, compiled next to this one. */
const ROW_THREAD = import.meta.url.replace(/node(\.\w+)$/, 'repl/row-thread$1');

export interface NodeOptions {
  readonly env: Env;
  readonly config: Config;
  readonly machine: Machine;
  readonly version: string;
  /** Opens the manifest in a directory; without it, the one in plain files, which the simulated disk can hold. */
  readonly openManifest?: (directory: string) => ManifestStore;
  /** The disk has failed for good: nothing is acknowledged any more, the process should end. Called once. */
  onFatal(error: EngineError): void;
  /** The node is closed: a client has asked for it with SHUTDOWN or, `failed`, it cannot join its cluster. */
  onShutdown(failed: boolean): void;
}

export class Node {
  readonly server: Server;
  private readonly engine: Engine;
  private readonly front: RespServer<Client>;
  private readonly doors: Doors;
  private readonly background: Background;
  private cluster: NodeCluster | undefined = undefined;
  private boot: BootMark | undefined = undefined;
  private readonly dispatcher: Dispatcher;
  private closing: Promise<void> | undefined = undefined;

  /** Opens the data and serves. Rejects with an error fit for an operator. */
  static async start(options: NodeOptions): Promise<Node> {
    const { env, config } = options;
    const directory = resolve(config.get('dir'));
    const state = new KeyspaceState();
    // Until it is known whether there are other copies, nothing that a copy may still bring back is forgotten.
    const purge = { isAllowed: () => false };
    const engine = await Engine.open({
      ...env,
      directory,
      hooks: state.hooks,
      copiedValues: [CLOCK_CEILING],
      rules: { moduleUrl: ROW_THREAD, filterState: () => rowFilterState(state, !purge.isAllowed()) },
      options: engineSettings(config),
      ...(options.openManifest === undefined ? {} : { openManifest: options.openManifest }),
      onFatal: (error) => options.onFatal(error),
    });
    let node: Node;
    let identity: Identity;
    try {
      const mustRecount = (engine.getValue(RECOUNT) ?? '').length > 0;
      await state.load(engine, !mustRecount);
      identity = await identify(env, engine);
      node = new Node(options, engine, state, identity);
      if (mustRecount) await node.recount(env.log, state);
    } catch (error) {
      await engine.close();
      throw error;
    }
    try {
      await node.openCluster(options, state, identity);
      purge.isAllowed = () => node.cluster?.isShared !== true;
      await node.server.saves.tidy();
      await node.cluster?.start((reason) => node.cannotJoin(options, reason));
      await node.server.users.load();
      await node.doors.open();
    } catch (error) {
      await node.close();
      throw error;
    }
    return node;
  }

  /** After a repair that has lost records. */
  private async recount(log: Log, state: KeyspaceState): Promise<void> {
    log.warn('records were lost in a repair: the rows are counted anew');
    const { rows, isDurable } = await recountRows(this.engine, state, this.server.keyspace);
    if (isDurable) await this.engine.setValue(RECOUNT, new Uint8Array(0));
    log.info('the rows are counted', { rows });
  }

  private constructor(options: NodeOptions, engine: Engine, state: KeyspaceState, identity: Identity) {
    const { env, config, machine, version } = options;
    const { hlc, actor, nodeId } = identity;
    const keyspace = new Keyspace({ store: engine, state, hlc, actor });
    keyspace.cells.rest = () => new Promise((resolve) => env.timers.atTurnEnd(resolve));
    const server = new Server({ env, keyspace, config, machine, version, nodeId });
    const dispatcher = new Dispatcher(server, allCommands);
    server.setCommands(dispatcher.table.rows);
    this.engine = engine;
    this.server = server;
    this.dispatcher = dispatcher;
    this.front = new RespServer<Client>({
      env,
      limits: followLimits(config),
      port: {
        open: (connection) => admit(server, connection),
        expect: (client, keys) => {
          // Rows that are shared are read by their owners, and not in this turn.
          if (this.cluster?.isShared === true) return;
          keyspace.expected.expect(keyspace.physicalDatabase(client.database), keys);
        },
        execute: (client, args) => dispatcher.execute(client, args),
        sequenceToAwait: () => dispatcher.sequenceToAwait(),
        closed: (client) => dismiss(server, client),
      },
      release: {
        beforeReplies: () => engine.flushGroup(),
        durableSequence: () => engine.durableSequence,
        onDurable: (listener) => engine.onDurable(listener),
      },
    });
    server.front = this.front.stats;
    this.doors = new Doors({ server, front: this.front, log: env.log });
    this.background = startBackground({
      server,
      hlc,
      sweepShared: () => this.cluster?.sweepExpired(),
      isShared: () => this.cluster?.isShared === true,
    });
    server.shutdown = async ({ now }) => {
      await this.close(now ? 0 : SHUTDOWN_GRACE_MS);
      options.onShutdown(false);
    };
  }

  /** Data that belong to a cluster are served as a part of it, whatever the configuration says. */
  private async openCluster(options: NodeOptions, state: KeyspaceState, identity: Identity): Promise<void> {
    const { env, config } = options;
    const { engine, server, dispatcher } = this;
    if (!NodeCluster.isWanted(config) && engine.getValue(TOPOLOGY_KNOWN) === undefined) return;
    const boot = await BootMark.open(engine, options.machine.bootId, config.get('appendfsync'));
    this.boot = boot;
    config.onChange('appendfsync', (policy) => boot.follow(policy));
    const { mayHaveForgotten, hasLostRecords } = boot;
    const parts = { env, config, engine, state, identity, server, dispatcher, mayHaveForgotten, hasLostRecords };
    this.cluster = await NodeCluster.open({ ...parts, recovered: () => boot.recovered() });
  }

  private cannotJoin(options: NodeOptions, reason: unknown): void {
    options.env.log.error('this node cannot join its cluster', { reason: String(reason) });
    const ended = (): void => options.onShutdown(true);
    this.close().then(ended, (error: unknown) => {
      options.env.log.error('the shutdown failed', { reason: String(error) });
      ended();
    });
  }

  /** `127.0.0.1:6379`, for each address that is listened on. */
  get addresses(): readonly string[] {
    return this.doors.addresses;
  }

  /** Sends what has been answered, makes the data safe and closes the files. */
  close(graceMs = SHUTDOWN_GRACE_MS): Promise<void> {
    this.closing ??= this.closeInOrder(graceMs);
    return this.closing;
  }

  private async closeInOrder(graceMs: number): Promise<void> {
    this.server.isClosing = true;
    this.server.pause.end();
    this.server.busy.abandon();
    this.server.blocked.closeAll();
    await this.front.close(graceMs);
    await this.background.stop();
    await this.cluster?.close();
    await this.server.saves.stop();
    await this.boot?.stop(this.engine, this.server.env.timers);
    await this.engine.close();
  }
}

/** The front door's limits, kept as the configuration says. */
function followLimits(config: Config): SessionLimits {
  const limits = defaultSessionLimits();
  config.follow('proto-max-bulk-len', (bytes) => {
    limits.protoMaxBulkBytes = bytes;
  });
  config.follow('client-query-buffer-limit', (bytes) => {
    limits.queryBufferBytes = bytes;
  });
  config.follow('timeout', (seconds) => {
    limits.idleTimeoutSeconds = seconds;
  });
  config.follow('client-output-buffer-limit', ({ normal, pubsub }) => {
    limits.output = { normal, pubsub };
  });
  return limits;
}

/** The engine's part of the configuration. */
function engineSettings(config: Config): Partial<EngineOptions> {
  return {
    memtableBytes: config.get('memtable-size'),
    blockCacheBytes: config.get('block-cache-size'),
    format: { ...defaultTableFormat, compression: config.get('compression') },
    compactionBytesPerSecond: config.get('compaction-rate-limit'),
    fsync: config.get('appendfsync'),
  };
}
