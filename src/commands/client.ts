/** What the server knows of one connection: the state that commands see and change. */

import type { AclUser } from './acl-user.ts';
import type { RowMark } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Waiter } from './blocked-clients.ts';
import { ClientCluster } from './client-cluster.ts';
import type { Command, Context } from './command.ts';
import type { Subscriptions } from './pubsub-topics.ts';
import type { Reply } from './reply.ts';
import type { ScriptMemo } from './script-run.ts';
import type { Server } from './server-state.ts';
import type { Tracking } from './tracking-feed.ts';

/** The connection as the front door hands it up; `src/resp/front-door.ts` says more of each member. */
export interface ClientConnection {
  /** `address:port`. */
  readonly peer: string;
  readonly local: string;
  setProtocol(version: 2 | 3): void;
  /** False keeps the client to short commands until it has authenticated. */
  authenticated: boolean;
  readonly replyMode: 'on' | 'off' | 'skip';
  setReplyMode(mode: 'on' | 'off' | 'skip'): void;
  outputClass: 'normal' | 'pubsub';
  /** True for those that `timeout` does not close: subscribers, MONITOR. */
  idleExempt: boolean;
  /** True while a command waits for other clients or for time: who has sent its last byte is then taken for gone. */
  isBlocked: boolean;
  /** It is not closed, nor about to be. */
  readonly isOpen: boolean;
  /** Sends something that is no answer (MONITOR lines, pushes), between replies. */
  push(reply: Reply, sequence?: number): void;
  /** Closes once everything answered so far has been sent. */
  closeAfterReply(): void;
  close(): void;
  pauseReading(): void;
  resumeReading(): void;
  counters(): ConnectionCounters;
}

/** A connection as CLIENT LIST shows it. Bytes, but for the last two. */
export interface ConnectionCounters {
  /** Input received and not yet run, and the room left in its buffer. */
  queryBuffer: number;
  queryBufferFree: number;
  /** Output not yet handed over in the current chunk (obl), in sealed chunks (omem), and the number of these (oll). */
  outputBuffer: number;
  outputMemory: number;
  outputChunks: number;
  bytesIn: number;
  bytesOut: number;
  /** Commands that were started and not answered: 0 or 1. */
  pending: number;
  idleSeconds: number;
}

/** A command that MULTI has queued; its words are a copy. */
export interface QueuedCommand {
  readonly command: Command;
  readonly args: Args;
}

export interface WatchedKey {
  readonly database: number;
  readonly key: Uint8Array;
  readonly mark: RowMark;
}

export class Client {
  /** What a script has done that will run again. */
  scriptMemo: ScriptMemo | undefined = undefined;
  readonly id: number;
  readonly connection: ClientConnection;
  readonly createdMs: number;
  name = '';
  libraryName = '';
  libraryVersion = '';
  user = 'default';
  /** What it may do; undefined: everything. */
  permissions: AclUser | undefined = undefined;
  authenticated: boolean;
  database = 0;
  protocol: 2 | 3 = 2;
  /** Commands since MULTI; undefined outside a transaction. */
  queue: QueuedCommand[] | undefined = undefined;
  /** A command was refused while queueing: EXEC answers EXECABORT. */
  queueFailed = false;
  /** Answers of queued commands that touch no row, by position, kept while EXEC waits for the disk and runs again. */
  execReplies: Map<number, Reply | Promise<Reply>> | undefined = undefined;
  /** An EXEC in which a script rests: replies so far, the client's database and what it was before. */
  execRested:
    | { readonly before: number; readonly database: number; readonly replies: (Reply | Promise<Reply>)[] }
    | undefined = undefined;
  watched: WatchedKey[] = [];
  /** Keys to watch could not be read: EXEC answers EXECABORT, since it would go unguarded. */
  watchFailed = false;
  monitor = false;
  /** Its command that waits for other clients. */
  waiting: Waiter | undefined = undefined;
  /** How it is told of keys that it has read; undefined: it is not. */
  tracking: Tracking | undefined = undefined;
  /** What it listens to; undefined: nothing. */
  subscriptions: Subscriptions | undefined = undefined;
  noEvict = false;
  noTouch = false;
  readonly = false;
  lastCommandMs: number;
  lastCommand: Command | undefined = undefined;
  commandsRun = 0;
  /** What it keeps for a cluster of several nodes. */
  readonly cluster = new ClientCluster();
  /** What its commands get, made once. */
  readonly context: Context;

  constructor(options: {
    id: number;
    server: Server;
    connection: ClientConnection;
    nowMs: number;
    authenticated: boolean;
  }) {
    this.id = options.id;
    this.context = { client: this, server: options.server };
    this.connection = options.connection;
    this.createdMs = options.nowMs;
    this.lastCommandMs = options.nowMs;
    this.authenticated = options.authenticated;
  }

  /** What is pushed to a client that does not read must end somewhere, and a client that only listens is not idle. */
  noteFeeds(): void {
    const isFed = this.monitor || this.subscriptions !== undefined;
    this.connection.idleExempt = isFed;
    this.connection.outputClass = isFed ? 'pubsub' : 'normal';
  }
}
