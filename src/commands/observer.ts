/**
 * What watches commands run: MONITOR, SLOWLOG, LATENCY, command statistics, CLIENT PAUSE. The dispatcher calls it
 * around each command; it never changes a reply.
 */

import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command } from './command.ts';
import type { ErrorReply, Reply } from './reply.ts';

export interface CommandObserver {
  /** Before a command runs (not while MULTI queues it). A promise: it must wait (CLIENT PAUSE, slowed-down writes). */
  before(client: Client, command: Command, args: Args): Promise<void> | undefined;
  /**
   * After it has answered. `startUs` on the monotonic clock. `workUs`: what the slow log counts, as in Redis the time in
   * which the command ran; all the time since `startUs` when it is not given. Waiting for other nodes is no work.
   */
  after(client: Client, command: Command, args: Args, startUs: number, reply: Reply, workUs?: number): void;
  /** A command has found nothing and waits; `after` follows when it has ended, unless its client goes before. */
  parked(client: Client, command: Command, args: Args): void;
  /** A command that was refused before it ran: unknown, wrong arity, not authenticated, … */
  rejected(client: Client, command: Command | undefined, error: ErrorReply): void;
}
