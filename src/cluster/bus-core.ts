/**
 * One peer's end of the bus: requests and their answers, deadlines, queues by priority, backpressure, reconnection.
 * A pure state machine: events in, effects out; bytes are turned into messages by frame.ts, around it.
 *
 * What becomes of a request:
 * ```
 * answered   the peer's answer is here
 * unsent     it never left this node and never will: certainly nothing happened
 * unknown    it was handed to a connection and no answer came, until the deadline or the end of the connection
 * ```
 *
 * Invariants:
 * - A request is written to one connection at most, once; request ids grow on the wire, and an id that does not grow is
 *   a broken peer. So a peer takes a request at most once, which the register core relies on.
 * - A request ends exactly once; an answer that comes later, or to a request of an earlier connection, is dropped.
 * - What is queued is bounded in bytes for each priority, what is on its way by the connection's own buffer: while
 *   that is full nothing is written, and when a queue is full new requests of its priority are `unsent` at once. So
 *   are all while the peer is known to be out of reach: whoever asks turns to another owner without waiting.
 * - Higher priorities are always written first, and within one the order of asking is kept.
 */

import { assert } from '../assert.ts';
import { MAX_FRAME_BYTES, messageBytes, messageType, PRIORITIES, type Message, type Priority } from './frame.ts';

/** Bytes that may wait for one peer, by priority: enough for a second of a fast link. */
export const MAX_QUEUED_BYTES = 32 * 1024 * 1024;

/** A frame is closed at this size, so that what is more urgent never waits behind more than this. */
export const FRAME_TARGET_BYTES = 256 * 1024;

/** Requests of one peer that are neither answered nor overdue; beyond it the peer is told to back off. */
export const MAX_UNANSWERED = 16_384;

/** How often it is looked what is overdue, while anything waits; a timer for each request would outlive it by far. */
export const BUS_TICK_MS = 10;

/** Wait before the first reconnection; it doubles up to the longest. */
export const RECONNECT_MS = 50;
export const MAX_RECONNECT_MS = 2_000;

/** Method of an answer that says: too many of your requests wait here. The request was not looked at. */
export const METHOD_BUSY = 0xffff;

export interface Outgoing {
  readonly method: number;
  readonly priority: Priority;
  /** Monotonic; Infinity: none. */
  readonly deadlineMs: number;
  readonly epoch: number;
  readonly payload: Uint8Array;
}

export type BusEvent<T> =
  /** `token` comes back with the outcome. */
  | { readonly kind: 'request'; readonly token: T; readonly outgoing: Outgoing }
  | { readonly kind: 'notice'; readonly outgoing: Outgoing }
  /** The answer to a request that was delivered; dropped when its connection is gone. */
  | { readonly kind: 'answer'; readonly to: Inbound; readonly outgoing: Outgoing }
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'received'; readonly message: Message }
  /** The frame of a `write` effect was handed to the connection; `full`: it could not send all of it at once. */
  | { readonly kind: 'wrote'; readonly full: boolean }
  /** The connection has sent everything. */
  | { readonly kind: 'drained' }
  /** End of a turn of the event loop: what it produced goes out. */
  | { readonly kind: 'flush' }
  | { readonly kind: 'wake' };

/** A request of the peer. */
export interface Inbound {
  readonly connection: number;
  readonly requestId: number;
  /** Monotonic; Infinity: none. */
  readonly deadlineMs: number;
}

export type BusOutcome =
  | { readonly kind: 'answered'; readonly message: Message }
  | { readonly kind: 'unsent' }
  | { readonly kind: 'unknown' };

export type BusEffect<T> =
  | { readonly kind: 'connect' }
  /** Write one frame of these, then say `wrote`. */
  | { readonly kind: 'write'; readonly messages: readonly Message[] }
  | { readonly kind: 'ended'; readonly token: T; readonly outcome: BusOutcome }
  | { readonly kind: 'deliver'; readonly inbound: Inbound | undefined; readonly message: Message }
  /** The peer broke the rules: close the connection. */
  | { readonly kind: 'close'; readonly reason: string };

interface Queued<T> {
  readonly token: T | undefined;
  readonly outgoing: Outgoing;
  readonly type: Message['type'];
  /** Of an answer: the request it answers; of a request: its own number once it is written. */
  requestId: number;
}

export interface BusLimits {
  readonly maxQueuedBytes: number;
  readonly frameTargetBytes: number;
  readonly maxUnanswered: number;
}

const DEFAULT_LIMITS: BusLimits = {
  maxQueuedBytes: MAX_QUEUED_BYTES,
  frameTargetBytes: FRAME_TARGET_BYTES,
  maxUnanswered: MAX_UNANSWERED,
};

export class BusCore<T> {
  private readonly limits: BusLimits;
  private readonly random: () => number;
  /** Whether this side opens the connection; the other one waits to be called. */
  private readonly calls: boolean;
  private state: 'down' | 'connecting' | 'up' = 'down';
  private connection = 0;
  /** A frame is being written, or the connection has more than it can send at once. */
  private blocked = false;
  private readonly queues: Queued<T>[][] = Array.from({ length: PRIORITIES }, () => []);
  private readonly queuedBytes: number[] = Array.from({ length: PRIORITIES }, () => 0);
  private readonly sent = new Map<number, Queued<T>>();
  private lastId = 0;
  private lastInboundId = 0;
  /** Requests of the peer that wait for an answer, and their deadlines. */
  private readonly unanswered = new Map<number, number>();
  /** Infinity when nothing waits. */
  private nextTickMs = Number.POSITIVE_INFINITY;
  private reconnectAtMs = Number.POSITIVE_INFINITY;
  private failures = 0;
  private effects: BusEffect<T>[] = [];

  constructor(options: { calls: boolean; random(): number; limits?: Partial<BusLimits> }) {
    this.calls = options.calls;
    this.random = () => options.random();
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  get isUp(): boolean {
    return this.state === 'up';
  }

  /** Requests written and not ended. */
  get inFlight(): number {
    return this.sent.size;
  }

  /** Bytes of payloads that wait to be written. */
  get waitingBytes(): number {
    return this.queuedBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  get wakeAtMs(): number {
    return Math.min(this.nextTickMs, this.reconnectAtMs);
  }

  /** `nowMs`: monotonic milliseconds. */
  step(event: BusEvent<T>, nowMs: number): BusEffect<T>[] {
    switch (event.kind) {
      case 'request':
        this.enqueue(event.outgoing, messageType.REQUEST, event.token, 0, nowMs);
        break;
      case 'notice':
        this.enqueue(event.outgoing, messageType.NOTICE, undefined, 0, nowMs);
        break;
      case 'answer':
        if (event.to.connection === this.connection && this.unanswered.delete(event.to.requestId)) {
          this.enqueue(event.outgoing, messageType.ANSWER, undefined, event.to.requestId, nowMs);
        }
        break;
      case 'connected':
        this.connected();
        break;
      case 'disconnected':
        this.disconnected(nowMs);
        break;
      case 'received':
        if (this.state === 'up') this.receive(event.message, nowMs);
        break;
      case 'wrote':
        this.blocked = event.full;
        this.flush(nowMs);
        break;
      case 'drained':
        this.blocked = false;
        this.flush(nowMs);
        break;
      case 'flush':
        this.flush(nowMs);
        break;
      case 'wake':
        this.wake(nowMs);
        break;
    }
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  private enqueue(
    outgoing: Outgoing,
    type: Message['type'],
    token: T | undefined,
    answers: number,
    nowMs: number,
  ): void {
    const level = outgoing.priority;
    const size = outgoing.payload.length;
    const fits = (this.queuedBytes[level] as number) + size <= this.limits.maxQueuedBytes && size < MAX_FRAME_BYTES / 2;
    const reachable = this.state === 'up' || (this.calls && this.failures === 0);
    if (!fits || outgoing.deadlineMs <= nowMs || !reachable) {
      if (token !== undefined) this.effects.push({ kind: 'ended', token, outcome: { kind: 'unsent' } });
      return;
    }
    const queued: Queued<T> = { token, outgoing, type, requestId: answers };
    (this.queues[level] as Queued<T>[]).push(queued);
    this.queuedBytes[level] = (this.queuedBytes[level] as number) + size;
    this.tickFrom(nowMs);
    if (this.state === 'down') this.connect();
  }

  // --- the connection ----------------------------------------------------------------------------------------------

  private connect(): void {
    if (!this.calls) return;
    this.state = 'connecting';
    this.effects.push({ kind: 'connect' });
  }

  private connected(): void {
    this.state = 'up';
    this.connection++;
    this.failures = 0;
    this.blocked = false;
    this.lastId = 0;
    this.lastInboundId = 0;
  }

  /** A connection ended, or could not be made: what was queued never leaves, what was written is anybody's guess. */
  private disconnected(nowMs: number): void {
    this.state = 'down';
    this.unanswered.clear();
    const lost = [...this.sent.values()];
    this.sent.clear();
    for (const queued of lost) this.end(queued, { kind: 'unknown' });
    for (const queue of this.queues) for (const queued of queue.splice(0)) this.drop(queued);
    if (!this.calls) return;
    this.reconnectAtMs = nowMs + reconnectMs(this.failures++, this.random());
  }

  private tickFrom(nowMs: number): void {
    if (this.nextTickMs === Number.POSITIVE_INFINITY) this.nextTickMs = nowMs + BUS_TICK_MS;
  }

  private wake(nowMs: number): void {
    if (this.reconnectAtMs <= nowMs) {
      this.reconnectAtMs = Number.POSITIVE_INFINITY;
      if (this.state === 'down') this.connect();
    }
    if (this.nextTickMs > nowMs) return;
    const queued = this.dropOverdue(nowMs);
    for (const [id, sent] of this.sent) {
      if (sent.outgoing.deadlineMs > nowMs) continue;
      this.sent.delete(id);
      this.end(sent, { kind: 'unknown' });
    }
    for (const [id, deadlineMs] of this.unanswered) if (deadlineMs <= nowMs) this.unanswered.delete(id);
    const waits = queued + this.sent.size + this.unanswered.size > 0;
    this.nextTickMs = waits ? nowMs + BUS_TICK_MS : Number.POSITIVE_INFINITY;
  }

  /** Drops what is overdue in the queues; how many are left. */
  private dropOverdue(nowMs: number): number {
    let left = 0;
    for (let level = 0; level < PRIORITIES; level++) {
      const queue = this.queues[level] as Queued<T>[];
      if (queue.some((queued) => queued.outgoing.deadlineMs <= nowMs)) {
        this.queues[level] = queue.filter((queued) => queued.outgoing.deadlineMs > nowMs);
        for (const queued of queue) if (queued.outgoing.deadlineMs <= nowMs) this.drop(queued);
      }
      left += (this.queues[level] as Queued<T>[]).length;
    }
    return left;
  }

  // --- out ---------------------------------------------------------------------------------------------------------

  /** Writes one frame; the next one follows when this one has been written. */
  private flush(nowMs: number): void {
    if (this.state !== 'up' || this.blocked) return;
    const messages = this.nextFrame(nowMs);
    if (messages.length === 0) return;
    this.blocked = true;
    this.effects.push({ kind: 'write', messages });
  }

  private nextFrame(nowMs: number): Message[] {
    const messages: Message[] = [];
    let bytes = 0;
    for (const queue of this.queues) {
      let taken = 0;
      while (taken < queue.length && bytes < this.limits.frameTargetBytes) {
        const queued = queue[taken++] as Queued<T>;
        const message = this.write(queued, nowMs);
        messages.push(message);
        bytes += messageBytes(message);
      }
      queue.splice(0, taken);
    }
    return messages;
  }

  private write(queued: Queued<T>, nowMs: number): Message {
    const { outgoing, type } = queued;
    this.forget(queued);
    if (type === messageType.REQUEST) {
      queued.requestId = ++this.lastId;
      this.sent.set(queued.requestId, queued);
    }
    const { requestId } = queued;
    const left = outgoing.deadlineMs === Number.POSITIVE_INFINITY ? 0 : Math.ceil(outgoing.deadlineMs - nowMs);
    const { method, priority, epoch, payload } = outgoing;
    return { type, priority, method, requestId, timeLeftMs: Math.max(left, Number(left !== 0)), epoch, payload };
  }

  /** Ends what was queued and will not leave. */
  private drop(queued: Queued<T>): void {
    this.forget(queued);
    this.end(queued, { kind: 'unsent' });
  }

  private forget(queued: Queued<T>): void {
    const { priority, payload } = queued.outgoing;
    const left = (this.queuedBytes[priority] as number) - payload.length;
    assert(left >= 0, 'a message leaves its queue once');
    this.queuedBytes[priority] = left;
  }

  private end(queued: Queued<T>, outcome: BusOutcome): void {
    if (queued.token !== undefined) this.effects.push({ kind: 'ended', token: queued.token, outcome });
  }

  // --- in ----------------------------------------------------------------------------------------------------------

  private receive(message: Message, nowMs: number): void {
    switch (message.type) {
      case messageType.ANSWER: {
        const sent = this.sent.get(message.requestId);
        this.sent.delete(message.requestId);
        if (sent !== undefined) this.end(sent, { kind: 'answered', message });
        return;
      }
      case messageType.REQUEST:
        this.receiveRequest(message, nowMs);
        return;
      case messageType.NOTICE:
      case messageType.HELLO:
        this.effects.push({ kind: 'deliver', inbound: undefined, message });
        return;
    }
  }

  private receiveRequest(message: Message, nowMs: number): void {
    if (message.requestId <= this.lastInboundId) {
      this.effects.push({ kind: 'close', reason: 'a request id that does not grow' });
      return;
    }
    this.lastInboundId = message.requestId;
    const deadlineMs = message.timeLeftMs === 0 ? Number.POSITIVE_INFINITY : nowMs + message.timeLeftMs;
    if (this.unanswered.size >= this.limits.maxUnanswered) {
      const { priority, epoch } = message;
      const outgoing = { method: METHOD_BUSY, priority, deadlineMs, epoch, payload: new Uint8Array(0) };
      this.enqueue(outgoing, messageType.ANSWER, undefined, message.requestId, nowMs);
      return;
    }
    this.unanswered.set(message.requestId, deadlineMs);
    this.tickFrom(nowMs);
    const inbound = { connection: this.connection, requestId: message.requestId, deadlineMs };
    this.effects.push({ kind: 'deliver', inbound, message });
  }
}

/** Wait before reconnecting after `failures` failures; `chance` in [0, 1) keeps a cluster from calling in step. */
export function reconnectMs(failures: number, chance: number): number {
  return Math.min(MAX_RECONNECT_MS, RECONNECT_MS * 2 ** Math.min(failures, 16)) * (0.5 + chance / 2);
}
