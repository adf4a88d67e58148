/** What the server knows of one connection: the state that commands see and change. */

import type { RowMark } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command } from './command.ts';
import type { Reply } from './reply.ts';

/** The connection as the front door hands it up. */
export interface ClientConnection {
  /** `address:port`. */
  readonly peer: string;
  readonly local: string;
  setProtocol(version: 2 | 3): void;
  /** Sends something that is no answer (MONITOR lines, pushes), in order with the replies. */
  push(reply: Reply): void;
  /** Closes once everything answered so far has been sent. */
  closeAfterReply(): void;
  close(): void;
  pauseReading(): void;
  resumeReading(): void;
  /** CLIENT REPLY: `skip` drops the reply of the next command. */
  setReplyMode(mode: 'on' | 'off' | 'skip'): void;
  /** Bytes, for CLIENT LIST. */
  readonly queryBufferLength: number;
  readonly queryBufferFree: number;
  readonly outputBufferLength: number;
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
  readonly id: number;
  readonly connection: ClientConnection;
  readonly createdMs: number;
  name = '';
  libraryName = '';
  libraryVersion = '';
  user = 'default';
  authenticated: boolean;
  database = 0;
  protocol: 2 | 3 = 2;
  /** Commands since MULTI; undefined outside a transaction. */
  queue: QueuedCommand[] | undefined = undefined;
  /** A command was refused while queueing: EXEC answers EXECABORT. */
  queueFailed = false;
  watched: WatchedKey[] = [];
  monitor = false;
  noEvict = false;
  noTouch = false;
  readonly = false;
  lastCommandMs: number;
  /** Full name of the last command, lower case: `get`, `client|list`. */
  lastCommand = 'NULL';
  commandsRun = 0;
  /** Highest store sequence that this client's last command read or wrote. */
  sequenceSeen = 0;

  constructor(options: { id: number; connection: ClientConnection; nowMs: number; authenticated: boolean }) {
    this.id = options.id;
    this.connection = options.connection;
    this.createdMs = options.nowMs;
    this.lastCommandMs = options.nowMs;
    this.authenticated = options.authenticated;
  }
}
