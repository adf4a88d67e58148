/**
 * One peer's end of the bus: requests and their answers, deadlines, queues by priority, backpressure, reconnection.
 * A state machine without I/O: what happens is told to it by its methods, with the time; what follows it tells its port,
 * always last, when its own state is settled, so that the port may come back with the next thing. (Events and effects as
 * objects, as the other cores have them, made a request cost 1.4 µs on both sides together where it is 0.8 now.)
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
 * - A request id is a number that grows × MAX_IN_FLIGHT + a slot, which no other request in flight has: both sides find
 *   by the slot what belongs to an id, and a request that takes the slot of an earlier one says that nobody waits for
 *   that one's answer any more.
 * - A batch is one request to this core; some of its answers may come before the last one, which ends it (bus-batch.ts).
 * - A request ends exactly once; an answer that comes later, or to a request of an earlier connection, is dropped.
 * - What is queued is bounded in bytes for each priority, what is on its way by the connection's own buffer: while
 *   that is full nothing is written, and when a queue is full new requests of its priority are `unsent` at once. So
 *   are all while the peer is known to be out of reach: whoever asks turns to another owner without waiting.
 * - Higher priorities are always written first, and within one the order of asking is kept (a batch is asked at its turn's
 *   end).
 */

import { assert } from '../assert.ts';
import { EMPTY } from '../bytes.ts';
import { BusQueue } from './bus-queue.ts';
import {
  MAX_FRAME_BYTES,
  MESSAGE_HEADER_BYTES,
  messageType,
  PRIORITIES,
  type Message,
  type PayloadWriter,
  type Priority,
} from './frame.ts';

/** Bytes that may wait for one peer, by priority: enough for a second of a fast link. */
export const MAX_QUEUED_BYTES = 32 * 1024 * 1024;

/** A frame is closed at this size, so that what is more urgent never waits behind more than this. */
export const FRAME_TARGET_BYTES = 256 * 1024;

/** Requests of one peer that are neither answered nor overdue; beyond it the peer is told to back off. */
export const MAX_UNANSWERED = 16_384;

/** Requests that wait or are written and have not ended; beyond it they are `unsent`. A power of two: slots of ids. */
export const MAX_IN_FLIGHT = 65_536;

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

/** An `Outgoing` whose payload is put together where it is written. */
export interface Batched extends Omit<Outgoing, 'payload'> {
  readonly payload: Uint8Array | PayloadWriter;
}

/** A request of the peer. */
export interface Inbound {
  readonly connection: number;
  readonly requestId: number;
  readonly priority: Priority;
  /** Monotonic; Infinity: none. */
  readonly deadlineMs: number;
}

export type BusOutcome =
  | { readonly kind: 'answered'; readonly message: Message }
  | { readonly kind: 'unsent' }
  | { readonly kind: 'unknown' };

export const UNSENT: BusOutcome = { kind: 'unsent' };
export const UNKNOWN: BusOutcome = { kind: 'unknown' };

/** What the core wants done. */
export interface BusPort<T> {
  connect(): void;
  /** One more message for the frame that the next `send` sends; after it, when `send` has returned, memory is free. */
  add(out: Outbound<T>, timeLeftMs: number): void;
  /** Sends the frame. True: the connection could not take all of it at once; `drained` is called when it has. */
  send(): boolean;
  ended(token: T, outcome: BusOutcome): void;
  /** Some answers of a batch; it has not ended. Throws `DamagedError`. */
  parts(token: T, message: Message): void;
  deliver(inbound: Inbound | undefined, message: Message): void;
  /** The peer broke the rules: close the connection. */
  close(reason: string): void;
}

/** A message on its way out; of a request until it ends, without its payload once it is written. */
export interface Outbound<T> {
  readonly type: Message['type'];
  readonly token: T | undefined;
  /** Of an answer: the request it answers; of a request: its own number once it is written. */
  requestId: number;
  readonly method: number;
  readonly priority: Priority;
  readonly deadlineMs: number;
  readonly epoch: number;
  payload: Uint8Array | PayloadWriter;
}

/** What is said to a request. `isLast`: it is answered with it; else more follows, which only a batch may be told. */
export interface Answered {
  readonly method: number;
  readonly epoch: number;
  readonly payload: Uint8Array | PayloadWriter;
  readonly isLast: boolean;
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
  private readonly port: BusPort<T>;
  private readonly limits: BusLimits;
  private readonly random: () => number;
  private state: 'down' | 'connecting' | 'up' = 'down';
  private connection = 0;
  /** The connection has more than it can send at once. */
  private blocked = false;
  private readonly queues = Array.from({ length: PRIORITIES }, () => new BusQueue<Outbound<T>>());
  private readonly queuedBytes: number[] = Array.from({ length: PRIORITIES }, () => 0);
  /** Requests in flight by slot, and the slots that are free. */
  private sent: (Outbound<T> | undefined)[] = [];
  private freeSlots: number[] = [];
  private sentCount = 0;
  /** Requests in flight and in the queues. */
  private openCount = 0;
  private lastSequence = 0;
  private lastInboundId = 0;
  /** Requests of the peer that wait for an answer, by slot: ids (0: none) and deadlines. */
  private unanswered: number[] = [];
  private unansweredMs: number[] = [];
  private unansweredCount = 0;
  /** Infinity when nothing waits. */
  private nextTickMs = Number.POSITIVE_INFINITY;
  private reconnectAtMs = Number.POSITIVE_INFINITY;
  private failures = 0;

  constructor(options: { port: BusPort<T>; random(): number; limits?: Partial<BusLimits> }) {
    this.port = options.port;
    this.random = () => options.random();
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  get isUp(): boolean {
    return this.state === 'up';
  }

  /** Requests written and not ended. */
  get inFlight(): number {
    return this.sentCount;
  }

  /** Bytes of payloads that wait to be written. */
  get waitingBytes(): number {
    return this.queuedBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** When `wake` is to be called, in monotonic milliseconds as all times here. */
  get wakeAtMs(): number {
    return this.nextTickMs < this.reconnectAtMs ? this.nextTickMs : this.reconnectAtMs;
  }

  // --- asked by this node ------------------------------------------------------------------------------------------

  /** `token` comes back with the outcome. */
  request(token: T, outgoing: Outgoing, nowMs: number): void {
    this.enqueue(outbound(messageType.REQUEST, token, 0, outgoing), nowMs);
  }

  /** As `request`, of requests that are answered one by one. */
  batch(token: T, batch: Batched, nowMs: number): void {
    this.enqueue(outbound(messageType.BATCH, token, 0, batch), nowMs);
  }

  notice(outgoing: Outgoing, nowMs: number): void {
    this.enqueue(outbound<T>(messageType.NOTICE, undefined, 0, outgoing), nowMs);
  }

  /** The answer to a request that was delivered; dropped when its connection is gone, it was answered or is overdue. */
  answer(to: Inbound, answered: Answered, nowMs: number): void {
    const { requestId, priority, deadlineMs } = to;
    const { method, epoch, payload, isLast } = answered;
    if (to.connection !== this.connection) return;
    if (isLast ? !this.takeUnanswered(requestId) : !this.isUnanswered(requestId)) return;
    const type = isLast ? messageType.ANSWER : messageType.PARTS;
    this.enqueue({ type, token: undefined, requestId, method, priority, deadlineMs, epoch, payload }, nowMs);
  }

  private enqueue(out: Outbound<T>, nowMs: number): void {
    const level = out.priority;
    const size = out.payload.length;
    const queued = (this.queuedBytes[level] as number) + size;
    const fits = queued <= this.limits.maxQueuedBytes && size < MAX_FRAME_BYTES / 2;
    const reachable = this.state === 'up' || this.failures === 0;
    const isRequest = out.token !== undefined;
    if (!fits || out.deadlineMs <= nowMs || !reachable || (isRequest && this.openCount >= MAX_IN_FLIGHT)) {
      if (out.token !== undefined) this.port.ended(out.token, UNSENT);
      return;
    }
    if (isRequest) this.openCount++;
    (this.queues[level] as BusQueue<Outbound<T>>).push(out);
    this.queuedBytes[level] = queued;
    this.tickFrom(nowMs);
    if (this.state === 'down') this.connect();
  }

  // --- the connection ----------------------------------------------------------------------------------------------

  private connect(): void {
    this.state = 'connecting';
    this.port.connect();
  }

  connected(): void {
    this.state = 'up';
    this.connection++;
    this.failures = 0;
    this.blocked = false;
    this.lastSequence = 0;
    this.lastInboundId = 0;
  }

  /** A connection ended, or could not be made: what was queued never leaves, what was written is anybody's guess. */
  disconnected(nowMs: number): void {
    this.state = 'down';
    this.unanswered = [];
    this.unansweredMs = [];
    this.unansweredCount = 0;
    const { sent } = this;
    this.sent = [];
    this.freeSlots = [];
    this.sentCount = 0;
    this.openCount = 0;
    const queued = this.queues.flatMap((queue) => queue.take(() => true));
    this.queuedBytes.fill(0);
    this.reconnectAtMs = nowMs + reconnectMs(this.failures++, this.random());
    for (const each of sent) if (each !== undefined) this.end(each, UNKNOWN);
    for (const each of queued) this.end(each, UNSENT);
  }

  private tickFrom(nowMs: number): void {
    if (this.nextTickMs === Number.POSITIVE_INFINITY) this.nextTickMs = nowMs + BUS_TICK_MS;
  }

  /** Ends what is overdue, reconnects when it is time. */
  wake(nowMs: number): void {
    const reconnects = this.reconnectAtMs <= nowMs;
    if (reconnects) this.reconnectAtMs = Number.POSITIVE_INFINITY;
    if (this.nextTickMs <= nowMs) this.tick(nowMs);
    if (reconnects && this.state === 'down') this.connect();
  }

  private tick(nowMs: number): void {
    const unsent: Outbound<T>[] = [];
    let waiting = 0;
    for (const queue of this.queues) {
      for (const each of queue.take((out) => out.deadlineMs <= nowMs)) {
        this.leaves(each);
        if (each.token !== undefined) this.openCount--;
        unsent.push(each);
      }
      waiting += queue.length;
    }
    const unknown = this.sent.filter((each) => each !== undefined && each.deadlineMs <= nowMs) as Outbound<T>[];
    for (const each of unknown) this.takeSent(each.requestId);
    for (let slot = 0; slot < this.unanswered.length; slot++) {
      const requestId = this.unanswered[slot] as number;
      if (requestId !== 0 && (this.unansweredMs[slot] as number) <= nowMs) this.takeUnanswered(requestId);
    }
    const waits = waiting + this.sentCount + this.unansweredCount > 0;
    this.nextTickMs = waits ? nowMs + BUS_TICK_MS : Number.POSITIVE_INFINITY;
    for (const each of unsent) this.end(each, UNSENT);
    for (const each of unknown) this.end(each, UNKNOWN);
  }

  // --- out ---------------------------------------------------------------------------------------------------------

  /** The end of a turn of the event loop: what it produced goes out, in frames of a target size. */
  flush(nowMs: number): void {
    while (this.state === 'up' && !this.blocked && this.fill(nowMs)) this.blocked = this.port.send();
  }

  /** The connection has sent everything. */
  drained(nowMs: number): void {
    this.blocked = false;
    this.flush(nowMs);
  }

  /** Adds messages for one frame; whether there are any. */
  private fill(nowMs: number): boolean {
    const { frameTargetBytes } = this.limits;
    let bytes = 0;
    for (let level = 0; level < PRIORITIES && bytes < frameTargetBytes; level++) {
      const queue = this.queues[level] as BusQueue<Outbound<T>>;
      for (let out = queue.shift(); out !== undefined; out = bytes < frameTargetBytes ? queue.shift() : undefined) {
        if (out.token !== undefined) this.number(out);
        bytes += MESSAGE_HEADER_BYTES + out.payload.length;
        this.leaves(out);
        const leftMs = out.deadlineMs === Number.POSITIVE_INFINITY ? 0 : Math.max(1, Math.ceil(out.deadlineMs - nowMs));
        this.port.add(out, leftMs);
        out.payload = EMPTY;
      }
    }
    return bytes > 0;
  }

  /** Gives a request its id and its slot. */
  private number(out: Outbound<T>): void {
    const slot = this.freeSlots.pop() ?? this.sent.length;
    assert(slot < MAX_IN_FLIGHT, 'a slot for each request');
    out.requestId = ++this.lastSequence * MAX_IN_FLIGHT + slot;
    this.sent[slot] = out;
    this.sentCount++;
  }

  /** The request in flight of this id, which is not in flight any more; undefined when there is none. */
  private takeSent(requestId: number): Outbound<T> | undefined {
    const slot = slotOf(requestId);
    const out = this.sent[slot];
    if (out === undefined || out.requestId !== requestId) return undefined;
    this.sent[slot] = undefined;
    this.freeSlots.push(slot);
    this.sentCount--;
    this.openCount--;
    return out;
  }

  private leaves(out: Outbound<T>): void {
    const left = (this.queuedBytes[out.priority] as number) - out.payload.length;
    assert(left >= 0, 'a message leaves its queue once');
    this.queuedBytes[out.priority] = left;
  }

  private end(out: Outbound<T>, outcome: BusOutcome): void {
    if (out.token !== undefined) this.port.ended(out.token, outcome);
  }

  // --- in ----------------------------------------------------------------------------------------------------------

  received(message: Message, nowMs: number): void {
    if (this.state !== 'up') return;
    switch (message.type) {
      case messageType.ANSWER: {
        const out = this.takeSent(message.requestId);
        if (out !== undefined) this.end(out, { kind: 'answered', message });
        return;
      }
      case messageType.PARTS: {
        const out = this.sent[slotOf(message.requestId)];
        if (out?.token === undefined || out.requestId !== message.requestId) return;
        if (out.type === messageType.BATCH) this.port.parts(out.token, message);
        else this.port.close('answers to a request that is no batch');
        return;
      }
      case messageType.REQUEST:
      case messageType.BATCH:
        this.receivedRequest(message, nowMs);
        return;
      case messageType.NOTICE:
      case messageType.HELLO:
        this.port.deliver(undefined, message);
        return;
    }
  }

  private receivedRequest(message: Message, nowMs: number): void {
    const { requestId, priority } = message;
    if (requestId <= this.lastInboundId) {
      this.port.close('a request id that does not grow');
      return;
    }
    this.lastInboundId = requestId;
    const deadlineMs = message.timeLeftMs === 0 ? Number.POSITIVE_INFINITY : nowMs + message.timeLeftMs;
    const inbound = { connection: this.connection, requestId, priority, deadlineMs };
    if (!this.addUnanswered(requestId, deadlineMs)) {
      const busy = { method: METHOD_BUSY, priority, deadlineMs, epoch: message.epoch, payload: EMPTY };
      this.enqueue(outbound<T>(messageType.ANSWER, undefined, requestId, busy), nowMs);
      return;
    }
    this.tickFrom(nowMs);
    this.port.deliver(inbound, message);
  }

  /** False: too many wait already. */
  private addUnanswered(requestId: number, deadlineMs: number): boolean {
    const slot = slotOf(requestId);
    while (this.unanswered.length <= slot) {
      this.unanswered.push(0);
      this.unansweredMs.push(0);
    }
    this.takeUnanswered(this.unanswered[slot] as number);
    if (this.unansweredCount >= this.limits.maxUnanswered) return false;
    this.unanswered[slot] = requestId;
    this.unansweredMs[slot] = deadlineMs;
    this.unansweredCount++;
    return true;
  }

  /** Whether this request of the peer waits for an answer, which it does no more. */
  private takeUnanswered(requestId: number): boolean {
    if (!this.isUnanswered(requestId)) return false;
    this.unanswered[slotOf(requestId)] = 0;
    this.unansweredCount--;
    return true;
  }

  private isUnanswered(requestId: number): boolean {
    return requestId !== 0 && this.unanswered[slotOf(requestId)] === requestId;
  }
}

function slotOf(requestId: number): number {
  return requestId & (MAX_IN_FLIGHT - 1);
}

function outbound<T>(type: Message['type'], token: T | undefined, requestId: number, outgoing: Batched): Outbound<T> {
  const { method, priority, deadlineMs, epoch, payload } = outgoing;
  return { type, token, requestId, method, priority, deadlineMs, epoch, payload };
}

/** Wait before reconnecting after `failures` failures; `chance` in [0, 1) keeps a cluster from calling in step. */
export function reconnectMs(failures: number, chance: number): number {
  return Math.min(MAX_RECONNECT_MS, RECONNECT_MS * 2 ** Math.min(failures, 16)) * (0.5 + chance / 2);
}
