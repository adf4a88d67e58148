/**
 * What one turn asks of a peer by one method, as one request of the bus, and its answers, as few messages. A request costs
 * the bus about the same whether it carries one question or a hundred; and whoever coordinates rows has a question to
 * each owner for every change.
 *
 * ```
 * BATCH    the method's requests, one behind the other: u32 length | payload, at least one
 * PARTS    some of the answers: u8 1 | each: u16 place of the request | u16 method | u32 length | payload
 *          or to all that have none yet: u8 2 | u16 method | payload
 * ANSWER   the last of the answers, as PARTS; or by another method than METHOD_ANSWERED, what is said to all that have none
 * ```
 *
 * Big-endian; valid if and only if lengths and places fit, else a `DamagedError`, which closes the connection.
 *
 * Invariants: each request of a batch ends exactly once, as one that travels alone would: those without an answer end as the
 * batch does, and `unknown` when its last answer left them out. Answers leave at the end of the turn that gave them, so what
 * takes long holds back nobody else's answer.
 */

import { readU32, writeU32 } from './big-endian.ts';
import { UNKNOWN, type BusOutcome, type Outgoing } from './bus-core.ts';
import { busMethod, METHOD_ANSWERED } from './bus-method.ts';
import { DamagedError } from './byte-cursor.ts';
import { PartMessage, priority, type Message, type PayloadWriter } from './frame.ts';

/** A batch, or a message of answers, of this size gets no more: others may go between it and the next one. */
export const BATCH_BYTES = 64 * 1024;

/** Requests of one batch. Places have 16 bits. */
export const BATCH_PARTS = 4_096;

/** Deadlines of one batch are no further apart: its end is the end of all. */
const DEADLINES_APART_MS = 50;

const form = { LIST: 1, ALL: 2 } as const;

/** Bytes before a request of a batch, and before one answer of a list. */
const REQUEST_HEADER = 4;
const ANSWER_HEADER = 8;

export type Ended = (outcome: BusOutcome) => void;

/** Methods of which a node asks so much that it is worth it. */
export function isBatched({ method, priority: level, payload }: Outgoing): boolean {
  const isFrequent = method === busMethod.OWNER || method === busMethod.FORWARD;
  return isFrequent && level === priority.CLIENT && payload.length < BATCH_BYTES;
}

/** Requests to one peer by one method, until each has ended. */
export class Batch implements PayloadWriter {
  readonly method: number;
  readonly priority = priority.CLIENT;
  readonly epoch: number;
  deadlineMs: number;
  /** Bytes of all requests. */
  length = 0;
  private readonly first: Outgoing;
  private payloads: Uint8Array[] = [];
  /** Who waits for an answer, by place. */
  private readonly waiting: (Ended | undefined)[] = [];

  /** `first`: the first request that will be added. */
  constructor(first: Outgoing) {
    const { method, epoch, deadlineMs } = first;
    this.first = first;
    this.method = method;
    this.epoch = epoch;
    this.deadlineMs = deadlineMs;
  }

  get payload(): PayloadWriter {
    return this;
  }

  /** The only request, which travels cheaper alone. */
  get lone(): { readonly outgoing: Outgoing; readonly ended: Ended } | undefined {
    if (this.waiting.length !== 1) return undefined;
    return { outgoing: this.first, ended: this.waiting[0] as Ended };
  }

  /** Whether this request may be added. */
  takes({ method, epoch, deadlineMs }: Outgoing): boolean {
    return (
      method === this.method &&
      epoch === this.epoch &&
      this.length < BATCH_BYTES &&
      this.payloads.length < BATCH_PARTS &&
      Math.abs(deadlineMs - this.deadlineMs) < DEADLINES_APART_MS
    );
  }

  /** Requires: not written yet. */
  add({ payload, deadlineMs }: Outgoing, ended: Ended): void {
    this.payloads.push(payload);
    this.waiting.push(ended);
    this.length += REQUEST_HEADER + payload.length;
    if (deadlineMs > this.deadlineMs) this.deadlineMs = deadlineMs;
  }

  write(into: Uint8Array, start: number): void {
    let at = start;
    const { payloads } = this;
    for (let i = 0; i < payloads.length; i++) {
      const payload = payloads[i] as Uint8Array;
      writeU32(into, at, payload.length);
      into.set(payload, at + REQUEST_HEADER);
      at += REQUEST_HEADER + payload.length;
    }
    this.payloads = [];
  }

  /** The peer's answer to some of them. Throws `DamagedError`. */
  parts(message: Message): void {
    const { payload } = message;
    const { length } = payload;
    if (payload[0] === form.ALL && length >= 3) {
      this.endRest({ kind: 'answered', message: new PartMessage(message, readU16(payload, 1), payload, 3, length) });
      return;
    }
    if (payload[0] !== form.LIST) throw new DamagedError('answers of no known form');
    for (let at = 1; at < length;) {
      if (length - at < ANSWER_HEADER) throw new DamagedError('half an answer of a batch');
      const place = readU16(payload, at);
      const start = at + ANSWER_HEADER;
      const end = start + readU32(payload, at + 4);
      if (end > length || place >= this.waiting.length) throw new DamagedError('an answer beyond its batch');
      const ended = this.waiting[place];
      this.waiting[place] = undefined;
      ended?.({ kind: 'answered', message: new PartMessage(message, readU16(payload, at + 2), payload, start, end) });
      at = end;
    }
  }

  /** What became of the request that carried them. Throws `DamagedError`. */
  ended(outcome: BusOutcome): void {
    if (outcome.kind !== 'answered' || outcome.message.method !== METHOD_ANSWERED) {
      this.endRest(outcome);
      return;
    }
    try {
      this.parts(outcome.message);
    } finally {
      this.endRest(UNKNOWN);
    }
  }

  private endRest(outcome: BusOutcome): void {
    const { waiting } = this;
    for (let i = 0; i < waiting.length; i++) {
      const ended = waiting[i];
      waiting[i] = undefined;
      ended?.(outcome);
    }
  }
}

/** Requests of a peer that came as one batch, until each is answered. */
export class ArrivedBatch {
  readonly message: Message;
  /** Requests, and those that are not answered yet. */
  readonly count: number;
  open: number;
  /** Where in the message's payload a request ends; the next one's bytes begin REQUEST_HEADER behind. */
  private readonly ends: number[] = [];
  private readonly given: Uint8Array;
  private readonly answered: (isFirst: boolean) => void;
  /** Answers that are not on their way yet. */
  private places: number[] = [];
  private methods: number[] = [];
  private payloads: Uint8Array[] = [];

  /** `answered`: after each answer; `isFirst` since the last `tell`. Throws `DamagedError`. */
  constructor(message: Message, answered: (isFirst: boolean) => void) {
    this.message = message;
    this.answered = answered;
    const { payload } = message;
    const { ends } = this;
    for (let at = 0; at < payload.length;) {
      if (payload.length - at < REQUEST_HEADER) throw new DamagedError('half a request of a batch');
      at += REQUEST_HEADER + readU32(payload, at);
      if (at > payload.length) throw new DamagedError('a request beyond its batch');
      ends.push(at);
    }
    this.count = ends.length;
    if (this.count === 0 || this.count > BATCH_PARTS) throw new DamagedError('a batch of no or too many requests');
    this.open = this.count;
    this.given = new Uint8Array(this.count);
  }

  /** A request's bytes are payload[start, end) of the message. */
  start(place: number): number {
    return REQUEST_HEADER + (place === 0 ? 0 : (this.ends[place - 1] as number));
  }

  end(place: number): number {
    return this.ends[place] as number;
  }

  /** A request as it would have come alone. To be called in the call that brought the batch. */
  part(place: number): Message {
    const { message } = this;
    return new PartMessage(message, message.method, message.payload, this.start(place), this.end(place));
  }

  /** Answers a request, at most once; what comes again is dropped. The payload belongs to the bus from now on. */
  answer(place: number, payload: Uint8Array, method = METHOD_ANSWERED): void {
    if (this.given[place] !== 0) return;
    this.given[place] = 1;
    this.open--;
    const isFirst = this.places.push(place) === 1;
    this.methods.push(method);
    this.payloads.push(payload);
    this.answered(isFirst);
  }

  /** Says what was answered since it was called last, in messages of bounded size; `isLast`: nothing follows. */
  tell(say: (payload: PayloadWriter, isLast: boolean) => void): void {
    const { places, methods, payloads } = this;
    const { length } = places;
    if (length === 0) return;
    this.places = [];
    this.methods = [];
    this.payloads = [];
    const isDone = this.open === 0;
    if (isDone && length === this.count && areSame(methods, payloads)) {
      say(new OneAnswer(methods[0] as number, payloads[0] as Uint8Array), true);
      return;
    }
    let from = 0;
    while (from < length) {
      let bytes = 1;
      let end = from;
      while (end < length && (end === from || bytes < BATCH_BYTES)) {
        bytes += ANSWER_HEADER + (payloads[end++] as Uint8Array).length;
      }
      say(new Answers(places, methods, payloads, from, end, bytes), isDone && end === length);
      from = end;
    }
  }
}

/** Most owners say the same to all requests of a batch, in the same bytes. */
function areSame(methods: readonly number[], payloads: readonly Uint8Array[]): boolean {
  for (let i = 1; i < payloads.length; i++) {
    if (payloads[i] !== payloads[0] || methods[i] !== methods[0]) return false;
  }
  return true;
}

class OneAnswer implements PayloadWriter {
  readonly length: number;
  private readonly method: number;
  private readonly payload: Uint8Array;

  constructor(method: number, payload: Uint8Array) {
    this.length = 3 + payload.length;
    this.method = method;
    this.payload = payload;
  }

  write(into: Uint8Array, at: number): void {
    into[at] = form.ALL;
    writeU16(into, at + 1, this.method);
    into.set(this.payload, at + 3);
  }
}

/** Those in [from, end) of these lists. */
class Answers implements PayloadWriter {
  readonly length: number;
  private readonly places: readonly number[];
  private readonly methods: readonly number[];
  private readonly payloads: readonly Uint8Array[];
  private readonly from: number;
  private readonly end: number;

  constructor(
    places: readonly number[],
    methods: readonly number[],
    payloads: readonly Uint8Array[],
    from: number,
    end: number,
    length: number,
  ) {
    this.length = length;
    this.places = places;
    this.methods = methods;
    this.payloads = payloads;
    this.from = from;
    this.end = end;
  }

  write(into: Uint8Array, start: number): void {
    into[start] = form.LIST;
    let at = start + 1;
    for (let i = this.from; i < this.end; i++) {
      const payload = this.payloads[i] as Uint8Array;
      const { length } = payload;
      writeU16(into, at, this.places[i] as number);
      writeU16(into, at + 2, this.methods[i] as number);
      writeU32(into, at + 4, length);
      at += ANSWER_HEADER;
      if (length < 32) for (let j = 0; j < length; j++) into[at + j] = payload[j] as number;
      else into.set(payload, at);
      at += length;
    }
  }
}

function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
