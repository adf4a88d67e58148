/** What the front door and the layer above it know of each other. */

import type { Args } from '../commands/args.ts';
import type { ConnectionCounters } from '../commands/client.ts';
import type { AfterPending, PendingReply } from '../commands/pending-reply.ts';
import type { ErrorReply, Reply } from '../commands/reply.ts';
import type { OutputClass } from './limits.ts';

/** `off`: no replies at all. `skip`: not the reply of the next command. As CLIENT REPLY. */
export type ReplyMode = 'on' | 'off' | 'skip';

/** What a session offers to the layer above. */
export interface ClientConnection {
  /** `address:port` of the client and of ours. */
  readonly peer: string;
  readonly local: string;
  readonly protocol: 2 | 3;
  /** From the next reply on, the one of the running command included. */
  setProtocol(protocol: 2 | 3): void;
  /**
   * False, as it is at first, keeps the client to ten words a command and 16 KiB a word. Set it in `open` where no
   * password is asked for, else when the client has authenticated.
   */
  authenticated: boolean;
  readonly replyMode: ReplyMode;
  /** Holds for the reply of the running command too, as CLIENT REPLY wants it; `skip` is for the next one. */
  setReplyMode(mode: ReplyMode): void;
  /** Which `client-output-buffer-limit` holds: `pubsub` for a subscriber. At first `normal`. */
  outputClass: OutputClass;
  /** True for those that `timeout` does not close: subscribers, MONITOR. */
  idleExempt: boolean;
  /**
   * True while the running command waits for more than the disk: for other clients or for time (BLPOP, WAIT, a pause).
   * A client that has sent its last byte is then taken for gone and not for one that still reads.
   */
  isBlocked: boolean;
  /** It is not closed, nor about to be. */
  readonly isOpen: boolean;
  /**
   * Sends something that is no answer: a push, a MONITOR line. It goes between replies, in RESP2 as an array, and past
   * the reply mode. `sequence`: what it shows must be durable up to there, as with `sequenceToAwait`.
   */
  push(reply: Reply, sequence?: number): void;
  /** No command is run any more; the connection closes when the reply of the running one has been sent. */
  closeAfterReply(): void;
  /** Closes without sending what is unsent. `closed` is called soon, not now. */
  close(): void;
  /** Stops and restarts running and reading commands, the one that is running excepted (CLIENT PAUSE). */
  pauseReading(): void;
  resumeReading(): void;
  counters(): ConnectionCounters;
}

/** The layer above: it knows what commands mean. Nothing here may throw but for a bug. */
export interface CommandPort<Client> {
  /** A connection was accepted. An `ErrorReply` refuses it: the text is sent and the connection closed. */
  open(connection: ClientConnection): Client | ErrorReply;
  /** `execute` will probably be asked for these keys in a moment: ranges that are valid until the call returns. */
  expect(client: Client, keys: Args): void;
  /**
   * Runs one command and answers now or later. Later commands of this client wait for a promise; they run on behind a
   * `PendingReply`; and `AfterPending` asks to be called again with the same words when the replies under way are sent.
   *
   * `args` and every view of it are valid only until `execute` returns, also when it returns a promise: its memory is
   * the read buffer of all connections. What goes on needs `args.copy()`.
   */
  execute(client: Client, args: Args): Reply | Promise<Reply> | PendingReply | AfterPending;
  /**
   * The highest sequence of the store that the command answered last has read or written, 0 for none. Asked right
   * after `execute`, and for a promised reply when it has settled: by then other commands may have run, so the answer
   * must cover all of them (the highest of all does).
   */
  sequenceToAwait(): number;
  /** The connection is gone. Called once for each client that `open` returned. */
  closed(client: Client): void;
}

/** When replies may leave: what a client is shown must be as durable as the configuration says. */
export interface Release {
  /** Called once at the end of each turn that has output, before any of it is sent: the WAL group is written here. */
  beforeReplies(): void;
  /** Replies that await a sequence up to this may leave. */
  durableSequence(): number;
  /** Called whenever `durableSequence` has grown, until the returned function is called. */
  onDurable(listener: () => void): () => void;
}
