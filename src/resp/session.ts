/**
 * One client's connection: input → commands → output.
 *
 * Invariants
 * - Commands start one after another and are answered in order: none is started while `halted` is not 0, and a command
 *   whose reply is a promise halts the session until it has settled. Those after a `PendingReply` start before it is
 *   settled; what must not is `AfterPending`, and is given again when all before it are answered.
 * - Nothing is sent in the turn's middle: output collects, the server flushes it at the turn's end.
 * - Memory is bounded: input waits only up to HELD_INPUT_MAX_BYTES, or as much as one command takes within the query
 *   buffer's limit; no command is started while more output waits than the high-water mark.
 * - `closed` of the port is called once, after the last use of the client.
 */

import { Args } from '../commands/args.ts';
import { AfterPending, PendingReply } from '../commands/pending-reply.ts';
import { PushReply, Replies, type Reply } from '../commands/reply.ts';
import { assert } from '../assert.ts';
import type { Connection, ConnectionEvents } from '../env.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { ConnectionCounters } from '../commands/client.ts';
import type { ClientConnection, CommandPort, ReplyMode } from './front-door.ts';
import {
  CLOSE_GRACE_SECONDS,
  HELD_INPUT_MAX_BYTES,
  OUTPUT_STALL_SECONDS,
  QUERY_BUFFER_CEILING_BYTES,
  SCOUTED_MIN_BYTES,
  type OutputClass,
  type SessionLimits,
} from './limits.ts';
import { Output } from './output.ts';
import { writeErrorBytes, writeReply, type Protocol } from './reply-writer.ts';
import { ReplyQueue } from './reply-queue.ts';
import { parsed, RequestParser } from './request-parser.ts';

/** Why a session starts no command; bits. */
const halt = {
  /** The reply of a command is awaited, or those of all commands before the next one. */
  AWAITING: 1,
  /** Too much output waits. */
  THROTTLED: 2,
  /** The layer above paused it. */
  PAUSED: 4,
  /** It closes when its output has been sent. */
  CLOSING: 8,
  /** It is closed, or will be in a moment and sends nothing more. */
  CLOSED: 16,
  /** As many replies are under way as may be. */
  FULL: 32,
} as const;

/** The keys of the commands that one session is about to run; used within a call. */
const expectedKeys = new Args();

/** What sessions share; the server's side. */
export interface SessionHost {
  readonly pool: BufferPool;
  readonly limits: SessionLimits;
  readonly stats: { bytesIn: number; bytesOut: number };
  /** Seconds since the server started, in whole sweeps. */
  readonly nowSeconds: number;
  /** Output of one session above which it is throttled. */
  highWaterBytes(): number;
  /** Output that waits has changed by so much. */
  outputGrew(bytes: number): void;
  /** There is output: flush at the end of the turn. */
  hasOutput(session: AnySession): void;
  /** Why a session was closed against the client's will. */
  closedByLimit(session: AnySession, reason: string): void;
  brokenProtocol(session: AnySession, error: string): void;
  ended(session: AnySession): void;
}

/** A session, whatever the layer above keeps for a client. */
export interface AnySession {
  readonly peer: string;
  /** The server's marks: it waits for the end of the turn; its output waits for durability. */
  isListed: boolean;
  isWaiting: boolean;
  flush(durableSequence: number): boolean;
  sweep(nowSeconds: number): void;
  /** Lets the running command finish, sends what was answered, closes. */
  closeAfterReply(): void;
  close(): void;
  counters(): ConnectionCounters;
}

export class Session<Client> implements AnySession, ConnectionEvents, ClientConnection {
  readonly peer: string;
  readonly local: string;
  protocol: Protocol = 2;
  replyMode: ReplyMode = 'on';
  outputClass: OutputClass = 'normal';
  idleExempt = false;
  isBlocked = false;
  isListed = false;
  isWaiting = false;
  private readonly connection: Connection;
  private readonly port: CommandPort<Client>;
  private readonly host: SessionHost;
  private readonly parser: RequestParser;
  private readonly output: Output;
  private client: Client | undefined;
  private halted = 0;
  private isReadingStopped = false;
  private isInputOver = false;
  private isRunning = false;
  private isDraining = false;
  private isEndSent = false;
  private isEnded = false;
  /** CLIENT REPLY was given by the command that runs. */
  private isModeNew = false;
  private modeBefore: ReplyMode = 'on';
  private bytesIn = 0;
  private bytesOut = 0;
  private lastActiveSeconds: number;
  /** When output was last handed over or taken, or when the end began. */
  private lastProgressSeconds = 0;
  /** When the soft output limit was passed; -1 below it. */
  private overSoftSinceSeconds = -1;
  /** Replies under way; those behind them wait here too. */
  private readonly underWay = new ReplyQueue();
  /** A command that waits for the replies under way. */
  private deferred: Args | undefined = undefined;
  private readonly onReply = (reply: Reply): void => this.settle(reply);
  private readonly onPendingSettled = (): void => this.settlePending();
  private readonly writeReady = (reply: Reply, sequence: number): void => this.write(reply, sequence);

  constructor(connection: Connection, port: CommandPort<Client>, host: SessionHost) {
    this.connection = connection;
    this.peer = connection.peer;
    this.local = connection.local;
    this.port = port;
    this.host = host;
    this.parser = new RequestParser(host.limits, host.pool);
    this.output = new Output(host.pool);
    this.lastActiveSeconds = host.nowSeconds;
  }

  /** The port accepted this connection. */
  opened(client: Client): void {
    this.client = client;
  }

  get authenticated(): boolean {
    return this.parser.authenticated;
  }

  set authenticated(value: boolean) {
    this.parser.authenticated = value;
  }

  get isOpen(): boolean {
    return !this.isClosing();
  }

  setProtocol(protocol: Protocol): void {
    this.protocol = protocol;
  }

  setReplyMode(mode: ReplyMode): void {
    this.replyMode = mode;
    this.isModeNew = true;
  }

  push(reply: Reply, sequence = 0): void {
    if (this.isClosing()) return;
    this.write(reply, sequence);
  }

  closeAfterReply(): void {
    if (this.isClosing()) return;
    this.halted |= halt.CLOSING;
    this.lastProgressSeconds = this.host.nowSeconds;
    this.host.hasOutput(this);
    // What still comes is read and dropped: closing with input unread would reset the connection and lose our last words.
    this.startReading();
  }

  close(): void {
    if ((this.halted & halt.CLOSED) !== 0) return;
    this.halted |= halt.CLOSED;
    this.connection.destroy();
  }

  pauseReading(): void {
    this.halted |= halt.PAUSED;
  }

  resumeReading(): void {
    this.unhalt(halt.PAUSED);
  }

  counters(): ConnectionCounters {
    const { output, parser } = this;
    return {
      queryBuffer: parser.heldBytes,
      queryBufferFree: parser.freeBytes,
      outputBuffer: output.length,
      outputMemory: output.sealedBytes + this.connection.unsentBytes,
      outputChunks: output.sealedChunks,
      bytesIn: this.bytesIn,
      bytesOut: this.bytesOut,
      pending: (this.halted & halt.AWAITING) + this.underWay.length,
      idleSeconds: this.host.nowSeconds - this.lastActiveSeconds,
    };
  }

  onData(bytes: Uint8Array, end: number): void {
    if (this.isClosing()) return;
    this.bytesIn += end;
    this.host.stats.bytesIn += end;
    this.lastActiveSeconds = this.host.nowSeconds;
    this.parser.feed(bytes, end);
    if (end >= SCOUTED_MIN_BYTES && this.halted === 0) this.expectKeys();
    this.advance();
  }

  private expectKeys(): void {
    this.parser.scout(expectedKeys);
    if (expectedKeys.count > 1) this.port.expect(this.client as Client, expectedKeys);
  }

  /** The client sends no more but may still read: `printf 'PING\r\n' | nc` wants its answer. */
  onEnd(): void {
    this.isInputOver = true;
    this.lastProgressSeconds = this.host.nowSeconds;
    if (this.isBlocked) this.close();
    else if (this.halted === 0) this.closeAfterReply();
  }

  onDrain(): void {
    this.isDraining = false;
    this.lastProgressSeconds = this.host.nowSeconds;
    if (!this.isEnded) this.host.hasOutput(this);
  }

  onClose(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.halted |= halt.CLOSED;
    this.host.outputGrew(-this.output.sealedBytes);
    this.output.letGo();
    this.parser.letGo();
    const { client } = this;
    this.client = undefined;
    if (client !== undefined) this.port.closed(client);
    this.host.ended(this);
  }

  /** The layer above refused the connection. */
  refuse(reply: Reply): void {
    this.write(reply, 0);
    this.closeAfterReply();
  }

  /** Sends what is durable. False: some output waits for durability. */
  flush(durableSequence: number): boolean {
    if ((this.halted & halt.CLOSED) !== 0) return true;
    const isAllDurable = this.isDraining || this.sendUpTo(durableSequence);
    if (this.isDraining || !isAllDurable) this.checkOutputLimit();
    if (this.halted !== 0) this.flushedWhileHalted();
    return isAllDurable;
  }

  /** Closes the session when it has been idle for too long, or its client reads too slowly. */
  sweep(nowSeconds: number): void {
    if ((this.halted & halt.CLOSED) !== 0) return;
    if (this.isInputOver || (this.halted & halt.CLOSING) !== 0) {
      if (nowSeconds - this.lastProgressSeconds > CLOSE_GRACE_SECONDS) this.close();
      return;
    }
    if ((this.halted & halt.THROTTLED) !== 0 && nowSeconds - this.lastProgressSeconds > OUTPUT_STALL_SECONDS) {
      this.closeByLimit('takes no output while too much of it waits');
      return;
    }
    const timeout = this.host.limits.idleTimeoutSeconds;
    const isWaiting = (this.halted & halt.AWAITING) !== 0 || this.underWay.length > 0;
    if (timeout > 0 && !isWaiting && !this.idleExempt && nowSeconds - this.lastActiveSeconds > timeout)
      this.closeByLimit('idle for longer than timeout');
    else this.checkOutputLimit();
  }

  private advance(): void {
    // A command that pauses and resumes its own session must not run the next one inside itself.
    if (this.isRunning) return;
    this.isRunning = true;
    const { parser } = this;
    while (this.halted === 0) {
      const state = parser.next();
      if (state === parsed.COMMAND) this.run(parser.args);
      else {
        if (state === parsed.BROKEN) this.breakOff();
        break;
      }
    }
    this.isRunning = false;
    if (this.isEnded) return;
    if (this.isInputOver && this.halted === 0) this.closeAfterReply();
    parser.keep();
    if (parser.heldBytes >= HELD_INPUT_MAX_BYTES) this.boundInput();
  }

  private run(args: Args): void {
    this.modeBefore = this.replyMode;
    this.isModeNew = false;
    const reply = this.port.execute(this.client as Client, args);
    if (reply instanceof Promise) {
      this.halted |= halt.AWAITING;
      void reply.then(this.onReply);
    } else if (reply instanceof PendingReply) this.follow(reply);
    else if (reply instanceof AfterPending) this.defer(args);
    else this.answer(reply);
  }

  private settle(reply: Reply): void {
    if (this.isEnded) return;
    this.answer(reply);
    this.unhalt(halt.AWAITING);
  }

  private answer(reply: Reply): void {
    if (this.replyMode !== 'on' && !this.isReplyWanted() && !isPush(reply)) return;
    if (this.underWay.length > 0) this.underWay.addReady(reply, this.port.sequenceToAwait());
    else this.write(reply, this.port.sequenceToAwait());
  }

  /** The next commands may run meanwhile, unless the reply mode makes their order matter. */
  private follow(pending: PendingReply): void {
    if (this.replyMode !== 'on') {
      this.halted |= halt.AWAITING;
      pending.onSettled = (): void => this.settle(pending.reply as Reply);
      return;
    }
    this.underWay.add(pending);
    pending.onSettled = this.onPendingSettled;
    if (pending.reply !== undefined) this.underWay.sendReady(this.writeReady);
    if (this.underWay.isFull) this.halted |= halt.FULL;
  }

  private defer(args: Args): void {
    assert(this.underWay.length > 0, 'a command waits for replies under way');
    this.deferred = args.copy();
    this.halted |= halt.AWAITING;
  }

  private settlePending(): void {
    if (this.isEnded) return;
    this.underWay.sendReady(this.writeReady);
    const { deferred } = this;
    if (deferred !== undefined && this.underWay.length === 0) {
      this.deferred = undefined;
      this.halted &= ~halt.AWAITING;
      this.isRunning = true;
      if (!this.isClosing()) this.run(deferred);
      this.isRunning = false;
      this.unhalt(halt.FULL);
    } else if ((this.halted & halt.FULL) !== 0 && !this.underWay.isFull) this.unhalt(halt.FULL);
    else if ((this.halted & halt.CLOSING) !== 0) this.host.hasOutput(this);
  }

  /** After a command in, or into, a mode other than `on`; moves on from `skip`. */
  private isReplyWanted(): boolean {
    if (this.replyMode === 'off') return false;
    if (this.modeBefore !== 'skip') return true;
    if (!this.isModeNew) this.replyMode = 'on';
    return false;
  }

  private write(reply: Reply, sequence: number): void {
    if ((this.halted & halt.CLOSED) !== 0) return;
    const { output } = this;
    if (sequence > output.sequence) {
      // What was added to a waiting chunk's sequence in earlier turns leaves with it.
      if (output.length > 0 && output.sequence === output.lastSealedSequence) this.seal();
      output.sequence = sequence;
    }
    const before = output.sealedBytes;
    writeReply(output, reply, this.protocol);
    if (!this.isListed) this.host.hasOutput(this);
    if (output.sealedBytes !== before) this.sealedMore(output.sealedBytes - before);
  }

  /** The stream cannot be understood from here on. */
  private breakOff(): void {
    this.host.brokenProtocol(this, this.parser.error);
    if (this.replyMode === 'on') writeErrorBytes(this.output, `ERR Protocol error: ${this.parser.error}`);
    this.closeAfterReply();
  }

  private sealedMore(bytes: number): void {
    this.host.outputGrew(bytes);
    if (this.output.sealedBytes > this.host.highWaterBytes()) this.halted |= halt.THROTTLED;
    this.checkOutputLimit();
  }

  private sendUpTo(durableSequence: number): boolean {
    const { output } = this;
    for (let chunk = output.first(); chunk !== undefined; chunk = output.first()) {
      if (chunk.sequence > durableSequence) {
        this.sealLater();
        return false;
      }
      this.host.outputGrew(-chunk.length);
      const isTaken = this.send(chunk.buffer, chunk.length);
      output.shift(isTaken);
      if (!isTaken) return true;
    }
    if (output.length === 0) return true;
    if (output.sequence > durableSequence) {
      this.sealLater();
      return false;
    }
    output.currentSent(this.send(output.bytes, output.length));
    return true;
  }

  /**
   * Output waits for durability. What was added since awaits a later sequence, so it becomes a chunk of its own: else
   * a client that never stops sending would raise the sequence for ever and see no reply.
   */
  private sealLater(): void {
    if (this.output.sequence !== this.output.lastSealedSequence) this.seal();
  }

  private seal(): void {
    const { length } = this.output;
    this.output.seal();
    if (length > 0) this.sealedMore(length);
  }

  /** True: the memory is ours again. */
  private send(buffer: Buffer, length: number): boolean {
    this.bytesOut += length;
    this.lastProgressSeconds = this.host.nowSeconds;
    this.host.stats.bytesOut += length;
    const isTaken = this.connection.write(buffer.subarray(0, length));
    if (!isTaken) this.isDraining = true;
    return isTaken;
  }

  private flushedWhileHalted(): void {
    if ((this.halted & halt.CLOSING) !== 0) {
      const isAnswered = this.underWay.length === 0 && (this.halted & halt.AWAITING) === 0;
      const isDone = isAnswered && this.output.isEmpty && !this.isDraining;
      if (isDone && !this.isEndSent) {
        this.isEndSent = true;
        this.connection.end();
      }
      return;
    }
    const isThrottled = (this.halted & halt.THROTTLED) !== 0;
    if (isThrottled && this.output.sealedBytes <= this.host.highWaterBytes() / 2) this.unhalt(halt.THROTTLED);
  }

  private unhalt(bit: number): void {
    this.halted &= ~bit;
    if (this.halted === 0) {
      this.advance();
      // Running what was held may have halted it again.
      if (this.halted === 0 && this.parser.heldBytes < HELD_INPUT_MAX_BYTES) this.startReading();
    } else if ((this.halted & halt.CLOSING) !== 0) this.host.hasOutput(this);
  }

  private boundInput(): void {
    const limit = Math.min(this.host.limits.queryBufferBytes, QUERY_BUFFER_CEILING_BYTES);
    if (this.parser.heldBytes > limit) this.closeByLimit('query buffer limit');
    else if (this.halted !== 0 && !this.isReadingStopped && !this.isClosing()) {
      this.isReadingStopped = true;
      this.connection.pause();
    }
  }

  private startReading(): void {
    if (!this.isReadingStopped) return;
    this.isReadingStopped = false;
    this.connection.resume();
  }

  /** `client-output-buffer-limit`: at once above the hard limit, after its seconds above the soft one. */
  private checkOutputLimit(): void {
    const { hardBytes, softBytes, softSeconds } = this.host.limits.output[this.outputClass];
    if (hardBytes === 0 && softBytes === 0) return;
    const waiting = this.output.sealedBytes + this.output.length + this.connection.unsentBytes;
    const { nowSeconds } = this.host;
    if (softBytes === 0 || waiting < softBytes) this.overSoftSinceSeconds = -1;
    else if (this.overSoftSinceSeconds < 0) this.overSoftSinceSeconds = nowSeconds;
    const isOverSoft = this.overSoftSinceSeconds >= 0 && nowSeconds - this.overSoftSinceSeconds > softSeconds;
    if (isOverSoft || (hardBytes > 0 && waiting >= hardBytes)) this.closeByLimit('client-output-buffer-limit');
  }

  private closeByLimit(reason: string): void {
    this.host.closedByLimit(this, reason);
    this.close();
  }

  private isClosing(): boolean {
    return (this.halted & (halt.CLOSING | halt.CLOSED)) !== 0;
  }
}

/** What goes past the reply mode: the answers of SUBSCRIBE and its kin. */
function isPush(reply: Reply): boolean {
  return reply instanceof PushReply || reply instanceof Replies;
}
