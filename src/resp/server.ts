/**
 * Accepts connections, keeps their sessions and decides when output leaves.
 *
 * One turn of the event loop: every readable socket's commands run and their replies collect in the sessions; then,
 * once, `beforeReplies` (the WAL group) and one write a session. Sessions with output that is not durable yet wait and
 * are looked at again whenever the store says that more has become durable.
 */

import { ErrorReply } from '../commands/reply.ts';
import type { Connection, ConnectionEvents, Env, Listener } from '../env.ts';
import { BufferPool } from './buffer-pool.ts';
import type { ClientConnection, CommandPort, Release } from './front-door.ts';
import {
  OUTPUT_CROWDED_HIGH_WATER_BYTES,
  OUTPUT_HIGH_WATER_BYTES,
  OUTPUT_TOTAL_HIGH_WATER_BYTES,
  SWEEP_INTERVAL_MS,
  type SessionLimits,
} from './limits.ts';
import { Session, type AnySession, type SessionHost } from './session.ts';

export interface ServerOptions<Client> {
  readonly env: Pick<Env, 'network' | 'timers' | 'log'>;
  readonly port: CommandPort<Client>;
  readonly release: Release;
  readonly limits: SessionLimits;
}

/** For INFO; counts since the start, bytes. */
export interface ServerStats {
  connectionsReceived: number;
  connectionsRejected: number;
  bytesIn: number;
  bytesOut: number;
  /** Closed because of `timeout`, the query buffer's or the output buffer's limit. */
  closedByLimit: number;
  protocolErrors: number;
}

export class RespServer<Client> implements SessionHost {
  readonly stats: ServerStats = {
    connectionsReceived: 0,
    connectionsRejected: 0,
    bytesIn: 0,
    bytesOut: 0,
    closedByLimit: 0,
    protocolErrors: 0,
  };
  readonly pool = new BufferPool();
  readonly limits: SessionLimits;
  nowSeconds = 0;
  private readonly env: ServerOptions<Client>['env'];
  private readonly port: CommandPort<Client>;
  private readonly release: Release;
  private readonly sessions = new Set<AnySession>();
  private readonly listeners: Listener[] = [];
  /** Sessions with output since the last turn's end. */
  private listed: AnySession[] = [];
  /** Sessions whose output waits for durability. */
  private waiting: AnySession[] = [];
  private sealedBytes = 0;
  private allEnded: (() => void) | undefined;
  private readonly stops: (() => void)[] = [];
  private readonly onTurnEnd = (): void => this.endTurn();

  constructor(options: ServerOptions<Client>) {
    this.env = options.env;
    this.port = options.port;
    this.release = options.release;
    this.limits = options.limits;
    const sweep = this.env.timers.every(SWEEP_INTERVAL_MS, () => this.sweep());
    this.stops.push(
      () => sweep.cancel(),
      this.release.onDurable(() => this.flushWaiting()),
    );
  }

  get sessionCount(): number {
    return this.sessions.size;
  }

  /** Output that waits in all sessions together; bytes. */
  get outputBytes(): number {
    return this.sealedBytes;
  }

  /** Port 0 takes any free port; the listener says which. Rejects as `Network.listen`. */
  async listen(options: { host: string; port: number; backlog: number }): Promise<Listener> {
    const listener = await this.env.network.listen({
      ...options,
      onConnection: (connection) => this.accept(connection),
    });
    this.listeners.push(listener);
    return listener;
  }

  /**
   * Stops accepting, lets running commands finish, sends what has been answered and closes the sessions. Those that
   * are not gone after `graceMs` are cut off.
   */
  async close(graceMs: number): Promise<void> {
    await Promise.all(this.listeners.map((listener) => listener.close()));
    for (const session of this.sessions) session.closeAfterReply();
    if (this.sessions.size > 0) {
      await new Promise<void>((resolve) => {
        this.allEnded = resolve;
        const cutOff = this.env.timers.after(graceMs, () => {
          for (const session of this.sessions) session.close();
        });
        this.stops.push(() => cutOff.cancel());
      });
    }
    for (const stop of this.stops) stop();
  }

  highWaterBytes(): number {
    return this.sealedBytes > OUTPUT_TOTAL_HIGH_WATER_BYTES ? OUTPUT_CROWDED_HIGH_WATER_BYTES : OUTPUT_HIGH_WATER_BYTES;
  }

  outputGrew(bytes: number): void {
    this.sealedBytes += bytes;
  }

  hasOutput(session: AnySession): void {
    if (session.isListed) return;
    session.isListed = true;
    if (this.listed.push(session) === 1) this.env.timers.atTurnEnd(this.onTurnEnd);
  }

  closedByLimit(session: AnySession, reason: string): void {
    this.stats.closedByLimit++;
    this.env.log.warn('client closed by a limit', { client: session.peer, reason, ...session.counters() });
  }

  brokenProtocol(session: AnySession, error: string): void {
    this.stats.protocolErrors++;
    this.env.log.debug('protocol error', { client: session.peer, error });
  }

  ended(session: AnySession): void {
    this.sessions.delete(session);
    if (this.sessions.size === 0) this.allEnded?.();
  }

  private accept(connection: Connection): ConnectionEvents {
    this.stats.connectionsReceived++;
    const session = new Session(connection, this.port, this);
    this.sessions.add(session);
    const client = this.port.open(session satisfies ClientConnection);
    if (client instanceof ErrorReply) {
      this.stats.connectionsRejected++;
      session.refuse(client);
    } else session.opened(client);
    return session;
  }

  private endTurn(): void {
    this.release.beforeReplies();
    const durableSequence = this.release.durableSequence();
    const { listed } = this;
    this.listed = [];
    for (const session of listed) {
      session.isListed = false;
      this.flush(session, durableSequence);
    }
  }

  private flushWaiting(): void {
    const durableSequence = this.release.durableSequence();
    const { waiting } = this;
    this.waiting = [];
    for (const session of waiting) {
      session.isWaiting = false;
      this.flush(session, durableSequence);
    }
  }

  private flush(session: AnySession, durableSequence: number): void {
    if (session.flush(durableSequence) || session.isWaiting) return;
    session.isWaiting = true;
    this.waiting.push(session);
  }

  private sweep(): void {
    this.nowSeconds += SWEEP_INTERVAL_MS / 1000;
    for (const session of this.sessions) session.sweep(this.nowSeconds);
  }
}
