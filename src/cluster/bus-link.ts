/**
 * One TCP connection of the bus, from its first byte to its last: handshake, then frames both ways.
 *
 * Invariants:
 * - Before the handshake is over nothing but its messages is taken, in frames of at most MAX_HELLO_FRAME_BYTES.
 * - After `close` or `refuse` nothing is taken any more and `ended` has been said, once.
 * - What is damaged closes the connection: on it nothing can be trusted to begin where it seems to.
 */

import type { Connection, ConnectionEvents } from '../env.ts';
import type { BusCounters } from './bus-counters.ts';
import { DamagedError } from './byte-cursor.ts';
import { encodeFrame, FrameReader, MAX_FRAME_BYTES, messageType, type FrameWriter, type Message } from './frame.ts';
import {
  Handshake,
  MAX_HELLO_FRAME_BYTES,
  NONCE_BYTES,
  type HandshakeRole,
  type HandshakeStep,
  type HelloMessage,
  type HelloPeer,
  type HelloSelf,
  type Refusal,
} from './hello.ts';

/** Whoever the connections belong to. */
export interface LinkOwner {
  readonly counters: BusCounters;
  readonly writer: FrameWriter;
  hello(): HelloSelf;
  randomBytes(length: number): Uint8Array;
  /** The peer is known: may the two be connected? */
  judge(link: BusLink, peer: HelloPeer): Refusal | undefined;
  /** The handshake is over: `give` it to its peer. */
  met(link: BusLink, peer: HelloPeer): void;
  /** Instead of `met` and `ended`; the connection closes once the peer knows, or is to be destroyed. */
  refused(link: BusLink, refusal: Refusal, byPeer: boolean): void;
  ended(link: BusLink, reason: string): void;
}

/** Who takes what comes once the handshake is over. */
export interface LinkPeer {
  /** Some bytes came. */
  heard(): void;
  received(message: Message): void;
  drained(): void;
}

export class BusLink implements ConnectionEvents {
  readonly role: HandshakeRole;
  /** In listening time. */
  readonly openedMs: number;
  /** What the other side was told of this node. */
  readonly told: HelloSelf;
  peer: HelloPeer | undefined;
  isClosed = false;
  private readonly connection: Connection;
  private readonly owner: LinkOwner;
  private readonly handshake: Handshake;
  private readonly reader = new FrameReader(MAX_HELLO_FRAME_BYTES);
  private taker: LinkPeer | undefined;
  private readonly take = (message: Message): void => this.received(message);

  constructor(options: { connection: Connection; role: HandshakeRole; owner: LinkOwner; openedMs: number }) {
    const { connection, role, owner } = options;
    this.connection = connection;
    this.role = role;
    this.owner = owner;
    this.openedMs = options.openedMs;
    const nonce = owner.randomBytes(NONCE_BYTES);
    this.told = owner.hello();
    this.handshake = new Handshake({ role, self: this.told, nonce, judge: (peer) => owner.judge(this, peer) });
    if (role === 'caller') this.say(this.handshake.begin());
  }

  /** `address:port` of the other end, for the log. */
  get remote(): string {
    return this.connection.peer;
  }

  /** Bytes of frames that the operating system has not taken yet. */
  get unsentBytes(): number {
    return this.connection.unsentBytes;
  }

  /** What the other side says of itself, before it is proven. */
  get claimed(): HelloPeer | undefined {
    return this.handshake.claimed;
  }

  /** The connection belongs to this peer from now on. */
  give(taker: LinkPeer): void {
    this.taker = taker;
  }

  /** Sends the frame that the writer holds. True: the connection could not take all of it; `drained` follows. */
  send(): boolean {
    const { counters, writer } = this.owner;
    const frame = writer.finish();
    if (this.isClosed) return false;
    counters.framesOut++;
    counters.bytesOut += frame.length;
    if (this.connection.write(frame)) return false;
    writer.give();
    return true;
  }

  /** Closes at once; what is unsent is lost. */
  close(reason: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.connection.destroy();
    this.owner.ended(this, reason);
  }

  /** A peer that does not close after a refusal is closed. */
  destroy(): void {
    this.connection.destroy();
  }

  onData(bytes: Uint8Array, end: number): void {
    if (this.isClosed) return;
    this.owner.counters.bytesIn += end;
    this.taker?.heard();
    try {
      this.owner.counters.framesIn += this.reader.push(bytes, 0, end, this.take);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      this.owner.counters.framesDamaged++;
      this.close(`damaged: ${error.message}`);
    }
  }

  onDrain(): void {
    if (!this.isClosed) this.taker?.drained();
  }

  onEnd(): void {
    if (this.isClosed) this.connection.destroy();
    else this.close('closed by the peer');
  }

  onClose(): void {
    this.close('closed');
  }

  private received(message: Message): void {
    if (this.isClosed) return;
    if (this.taker !== undefined) {
      this.owner.counters.messagesIn++;
      this.taker.received(message);
    } else if (message.type === messageType.HELLO && this.peer === undefined) {
      this.follow(this.handshake.take(message));
    } else throw new DamagedError('a message before the end of the handshake');
  }

  private follow(step: HandshakeStep): void {
    const { send, met, refused } = step;
    if (send !== undefined) this.say(send);
    if (met !== undefined) {
      this.peer = met;
      this.reader.setMaxFrameBytes(MAX_FRAME_BYTES);
      this.owner.met(this, met);
    } else if (refused !== undefined) {
      this.isClosed = true;
      this.connection.end();
      this.owner.refused(this, refused, refused.byPeer);
    }
  }

  private say(hello: HelloMessage): void {
    const { method, payload } = hello;
    const message: Message = {
      type: messageType.HELLO,
      priority: 0,
      method,
      requestId: 0,
      timeLeftMs: 0,
      epoch: 0,
      payload,
    };
    this.connection.write(encodeFrame([message]));
  }
}
