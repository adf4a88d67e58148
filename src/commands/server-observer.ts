/**
 * Watches commands run, for MONITOR, SLOWLOG, LATENCY, INFO and CLIENT PAUSE. Nothing is allocated for a command that
 * is neither slow nor watched.
 */

import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command } from './command.ts';
import { hiddenWords } from './hidden-words.ts';
import type { CommandObserver } from './observer.ts';
import { ErrorReply, type Reply } from './reply.ts';
import type { Server } from './server-state.ts';

/** Words that a request of HTTP has at the start of a line, as the error for an unknown command quotes them. */
const HTTP_WORDS = /^ERR unknown command '(?:post|host:)'/i;

export class ServerObserver implements CommandObserver {
  private readonly server: Server;
  private isTracking = true;

  constructor(server: Server) {
    this.server = server;
    server.config.follow('latency-tracking', (tracks) => {
      this.isTracking = tracks;
    });
  }

  before(client: Client, command: Command): Promise<void> | undefined {
    const { server } = this;
    client.lastCommand = command;
    client.commandsRun++;
    if (server.pause.mode !== 'none' && mustPause(server, client, command)) return this.afterPause(client, command);
    const delayMs = server.keyspace.store.writeDelayMs;
    if (delayMs > 0 && writes(client, command)) return this.slowedDown(delayMs);
    return undefined;
  }

  after(client: Client, command: Command, args: Args, startUs: number, reply: Reply, workUs?: number): void {
    const { server } = this;
    const us = server.env.clock.monotonicUs() - startUs;
    const failed = reply instanceof ErrorReply;
    server.commandsRun++;
    // After the command, as in Redis: MONITOR itself is not shown, SELECT with the new database.
    if (server.monitors.active && client.waiting === undefined) this.monitor(client, command, args);
    server.commandStats.of(command).record(us, failed, this.isTracking);
    if (failed) server.errorStats.count(reply.message);
    if (client.tracking?.isNamed === true) this.forgetCaching(client, command);
    const { slowlog, latency } = server;
    const ranUs = workUs ?? us;
    if (ranUs >= slowlog.thresholdUs && slowlog.thresholdUs >= 0 && !command.flags.includes('skip_slowlog')) {
      this.recordSlow(client, args, ranUs);
    }
    if (latency.thresholdMs > 0 && us >= latency.thresholdMs * 1000) {
      const event = command.flags.includes('fast') ? 'fast-command' : 'command';
      latency.record(event, Math.round(us / 1000), Math.floor(server.env.clock.wallMs() / 1000));
    }
  }

  /** CLIENT CACHING holds for one command, or one transaction; CLIENT itself does not count. */
  private forgetCaching(client: Client, command: Command): void {
    const isClient = this.server.commandStats.of(command).name.startsWith('client|');
    if (!isClient && client.queue === undefined && client.tracking !== undefined) client.tracking.isNamed = false;
  }

  /** MONITOR shows a command when it is sent, not when it has got what it waits for. */
  parked(client: Client, command: Command, args: Args): void {
    if (this.server.monitors.active) this.monitor(client, command, args);
  }

  rejected(client: Client, command: Command | undefined, error: ErrorReply): void {
    if (command === undefined && HTTP_WORDS.test(error.message)) this.refuseHttp(client);
    this.server.errorStats.count(error.message);
    if (command !== undefined) this.server.commandStats.of(command).rejected++;
  }

  /** A page in a browser on this machine may post to this port: what it says must not be run, line by line. */
  private refuseHttp(client: Client): void {
    this.server.env.log.warn('an HTTP request came in; the connection is closed', { client: client.connection.peer });
    client.connection.close();
  }

  private recordSlow(client: Client, args: Args, durationUs: number): void {
    const time = Math.floor(this.server.env.clock.wallMs() / 1000);
    const entry = { time, durationUs, peer: client.connection.peer, clientName: client.name };
    this.server.slowlog.record(args, entry, hiddenWords(args));
  }

  private monitor(client: Client, command: Command, args: Args): void {
    if (command.flags.includes('skip_monitor') || command.flags.includes('admin')) return;
    this.server.monitors.show(client, args, this.server.wallClockUs.now());
  }

  /** Waits as long as a pause holds this command. */
  private async afterPause(client: Client, command: Command): Promise<void> {
    const { server } = this;
    while (server.pause.mode !== 'none' && mustPause(server, client, command)) await server.pause.over();
  }

  private slowedDown(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.server.env.timers.after(delayMs, resolve));
  }
}

/** Whether the command, or for EXEC what it would run, may change rows. */
function writes(client: Client, command: Command): boolean {
  if (command.name === 'exec') return client.queue?.some((queued) => changes(queued.command)) ?? false;
  return changes(command);
}

function changes({ access }: Command): boolean {
  return access === 'overwrite' || access === 'update' || access === 'transaction';
}

function mustPause(server: Server, client: Client, command: Command): boolean {
  if (server.pause.mode === 'all') return true;
  return writes(client, command) || command.flags.includes('may_replicate');
}
