/**
 * Frames of the bus: what one turn of the event loop has for a peer goes out as one frame of many messages, with one
 * checksum. Big-endian.
 *
 * ```
 * frame    u16 magic "Kv" | u8 version (2) | u8 0 | u32 length of the messages | u32 the length's complement
 *          u32 CRC32C of the messages | messages
 * message  u32 length of the payload | u8 type | u8 priority | u16 method
 *          u64 request id | u32 time left in ms when it was sent (0: no deadline) | u64 epoch of the topology | payload
 * ```
 *
 * A frame is valid if and only if magic, version and the zero byte are right, its length is at most `MAX_FRAME_BYTES` and
 * stands there twice, the checksum fits, and its messages, of known types and priorities, fill it exactly. Anything else is a
 * `DamagedError`: the connection is closed, since nothing on it can be trusted to begin where it seems to. The length is
 * judged before anything is allocated, and memory grows with what has arrived, not with what was announced. It has a
 * check of its own, since a frame that seems longer than it is would swallow what comes after it for as long as that takes,
 * on a connection that is heard and so counts as healthy.
 */

import { crc32c } from '@node-rs/crc32';
import { assert } from '../assert.ts';
import { EMPTY } from '../bytes.ts';
import { readU32, readU64, writeU32, writeU64 } from './big-endian.ts';
import { DamagedError } from './byte-cursor.ts';

const MAGIC_0 = 0x4b;
const MAGIC_1 = 0x76;
export const FRAME_VERSION = 2;
export const FRAME_HEADER_BYTES = 16;
export const MESSAGE_HEADER_BYTES = 28;

/** The largest frame, and so the largest message: what a peer may make a node hold in memory at once. */
export const MAX_FRAME_BYTES = 64 * 1024 * 1024;

/** What a message that the bus takes may carry besides a few numbers (bus-core.ts: half a frame). */
export const MAX_CARRIED_BYTES = MAX_FRAME_BYTES / 2 - 1024;

/** BATCH: requests that travel as one; PARTS: some of their answers (bus-batch.ts). */
export const messageType = { HELLO: 1, REQUEST: 2, ANSWER: 3, NOTICE: 4, BATCH: 5, PARTS: 6 } as const;
export type MessageType = (typeof messageType)[keyof typeof messageType];

/** Lower goes first: the cluster's own life, then clients, then what can wait (hints, repair, handoff). */
export const priority = { CONTROL: 0, CLIENT: 1, REPAIR: 2 } as const;
export type Priority = (typeof priority)[keyof typeof priority];

/** Priorities there are. */
export const PRIORITIES = 3;

export interface Message {
  readonly type: MessageType;
  readonly priority: Priority;
  /** What is asked; of an answer, how it ended. Given its meaning by who uses the bus. u16. */
  readonly method: number;
  /** Of a request and its answer, a safe integer; 0 otherwise. */
  readonly requestId: number;
  /** Milliseconds that were left when it was sent; 0: no deadline. */
  readonly timeLeftMs: number;
  readonly epoch: number;
  readonly payload: Uint8Array;
}

/** A payload that is put together where it is written. */
export interface PayloadWriter {
  /** Bytes. */
  readonly length: number;
  /** Writes them to into[at…]; once. */
  write(into: Uint8Array, at: number): void;
}

/** What a message needs to be written; its payload is copied. */
export interface WrittenMessage extends Omit<Message, 'timeLeftMs' | 'payload'> {
  readonly payload: Uint8Array | PayloadWriter;
}

/** The memory that a writer keeps between frames: more than a usual frame, less than what is a pity to hold. */
const WRITER_BYTES = 512 * 1024;

/** Writes frames into one piece of memory, over and over. */
export class FrameWriter {
  private memory = EMPTY;
  private end = FRAME_HEADER_BYTES;

  /** One more message of the next frame. Requires: `MAX_FRAME_BYTES` is not passed. */
  add(message: WrittenMessage, timeLeftMs: number): void {
    const { payload, requestId, epoch } = message;
    assert(isNumber(epoch) && isNumber(requestId), 'an epoch and a request id');
    const start = this.end;
    const payloadStart = start + MESSAGE_HEADER_BYTES;
    const end = payloadStart + payload.length;
    if (end > this.memory.length) this.grow(end);
    const { memory } = this;
    writeU32(memory, start, payload.length);
    memory[start + 4] = message.type;
    memory[start + 5] = message.priority;
    memory[start + 6] = message.method >>> 8;
    memory[start + 7] = message.method;
    writeU64(memory, start + 8, requestId);
    writeU32(memory, start + 16, Math.min(0xffff_ffff, timeLeftMs));
    writeU64(memory, start + 20, epoch);
    if (payload instanceof Uint8Array) memory.set(payload, payloadStart);
    else payload.write(memory, payloadStart);
    this.end = end;
  }

  /**
   * The frame of what was added, and begins the next one. It is valid until then; whoever keeps it says `give`.
   * Requires: at least one message.
   */
  finish(): Uint8Array {
    const { memory, end } = this;
    const length = end - FRAME_HEADER_BYTES;
    assert(length > 0 && length <= MAX_FRAME_BYTES, 'a frame of bounded length');
    this.end = FRAME_HEADER_BYTES;
    memory[0] = MAGIC_0;
    memory[1] = MAGIC_1;
    memory[2] = FRAME_VERSION;
    memory[3] = 0;
    writeU32(memory, 4, length);
    writeU32(memory, 8, ~length >>> 0);
    writeU32(memory, 12, crc32c(memory.subarray(FRAME_HEADER_BYTES, end)));
    const frame = memory.subarray(0, end);
    if (memory.length > WRITER_BYTES) this.memory = EMPTY;
    return frame;
  }

  /** The last frame's memory belongs to somebody else from now on. */
  give(): void {
    this.memory = EMPTY;
  }

  private grow(needed: number): void {
    const larger = new Uint8Array(Math.max(WRITER_BYTES, needed, Math.min(2 * this.memory.length, MAX_FRAME_BYTES)));
    larger.set(this.memory.subarray(0, this.end));
    this.memory = larger;
  }
}

/** One frame of these messages, in memory of its own. Requires: at least one; not above `MAX_FRAME_BYTES` in all. */
export function encodeFrame(messages: readonly Message[]): Uint8Array {
  const writer = new FrameWriter();
  for (const message of messages) writer.add(message, message.timeLeftMs);
  return writer.finish().slice();
}

/** A message as it came. Its payload is made when somebody wants it: most answers are known by one byte. */
export class ReceivedMessage implements Message {
  readonly type: MessageType;
  readonly priority: Priority;
  readonly method: number;
  readonly requestId: number;
  readonly timeLeftMs: number;
  readonly epoch: number;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  #payload: Uint8Array | undefined = undefined;

  /** The payload is bytes[start, end). */
  constructor(header: Omit<Message, 'payload'>, bytes: Uint8Array, start: number, end: number) {
    this.type = header.type;
    this.priority = header.priority;
    this.method = header.method;
    this.requestId = header.requestId;
    this.timeLeftMs = header.timeLeftMs;
    this.epoch = header.epoch;
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  /** Never a Buffer, whose `slice` makes no copy: whoever copies a payload means it. */
  get payload(): Uint8Array {
    const bytes = this.#bytes;
    this.#payload ??= new Uint8Array(bytes.buffer, bytes.byteOffset + this.#start, this.#end - this.#start);
    return this.#payload;
  }

  /** The payload is this one byte. */
  isByte(byte: number): boolean {
    return this.#end - this.#start === 1 && this.#bytes[this.#start] === byte;
  }
}

/** One request or answer out of a message that carries many. */
export class PartMessage implements Message {
  readonly method: number;
  readonly #whole: Message;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  #payload: Uint8Array | undefined = undefined;

  /** The payload is bytes[start, end). */
  constructor(whole: Message, method: number, bytes: Uint8Array, start: number, end: number) {
    this.method = method;
    this.#whole = whole;
    this.#bytes = bytes;
    this.#start = start;
    this.#end = end;
  }

  get type(): MessageType {
    return this.#whole.type;
  }

  get priority(): Priority {
    return this.#whole.priority;
  }

  get requestId(): number {
    return this.#whole.requestId;
  }

  get timeLeftMs(): number {
    return this.#whole.timeLeftMs;
  }

  get epoch(): number {
    return this.#whole.epoch;
  }

  get payload(): Uint8Array {
    this.#payload ??= this.#bytes.subarray(this.#start, this.#end);
    return this.#payload;
  }

  isByte(byte: number): boolean {
    return this.#end - this.#start === 1 && this.#bytes[this.#start] === byte;
  }
}

/** Whether the message's payload is this one byte. */
export function isByte(message: Message, byte: number): boolean {
  if (message instanceof PartMessage || message instanceof ReceivedMessage) return message.isByte(byte);
  return message.payload.length === 1 && message.payload[0] === byte;
}

function isNumber(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Takes a stream of bytes apart into messages. After a `DamagedError` it must not be used again. */
export class FrameReader {
  private maxFrameBytes: number;
  /** Begin of a frame that has not arrived as a whole: pending[0, pendingEnd). */
  private pending = EMPTY;
  private pendingEnd = 0;

  constructor(maxFrameBytes = MAX_FRAME_BYTES) {
    this.maxFrameBytes = maxFrameBytes;
  }

  /** From the next frame on: whoever is known may send larger ones than a stranger. */
  setMaxFrameBytes(maxFrameBytes: number): void {
    this.maxFrameBytes = maxFrameBytes;
  }

  /** Bytes of a frame that is not there as a whole yet. */
  get pendingBytes(): number {
    return this.pendingEnd;
  }

  /**
   * Takes bytes[start, end) and calls `take` for each message that is complete. Payloads are views that are valid only
   * during the call. Returns how many frames came to their end. Throws `DamagedError`.
   */
  push(bytes: Uint8Array, start: number, end: number, take: (message: Message) => void): number {
    let at = start;
    let frames = 0;
    while (at < end) {
      if (this.pendingEnd === 0) {
        const frameEnd = end - at < FRAME_HEADER_BYTES ? Number.POSITIVE_INFINITY : at + this.frameBytes(bytes, at);
        if (frameEnd <= end) {
          readFrame(bytes, at, frameEnd, take);
          at = frameEnd;
          frames++;
          continue;
        }
      }
      at = this.complete(bytes, at, end);
      if (this.pendingEnd < FRAME_HEADER_BYTES) {
        this.judgeStart();
        return frames;
      }
      const frameEnd = this.frameBytes(this.pending, 0);
      if (this.pendingEnd < frameEnd) return frames;
      const frame = this.pending;
      this.pending = EMPTY;
      this.pendingEnd = 0;
      readFrame(frame, 0, frameEnd, take);
      frames++;
    }
    return frames;
  }

  /** Adds what is missing of the pending frame's header, or of the frame; returns where it stopped. */
  private complete(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    if (this.pendingEnd < FRAME_HEADER_BYTES) {
      const to = Math.min(end, at + FRAME_HEADER_BYTES - this.pendingEnd);
      this.keep(bytes, at, to);
      at = to;
      if (this.pendingEnd < FRAME_HEADER_BYTES) return at;
    }
    const to = Math.min(end, at + this.frameBytes(this.pending, 0) - this.pendingEnd);
    this.keep(bytes, at, to);
    return to;
  }

  private keep(bytes: Uint8Array, start: number, end: number): void {
    const needed = this.pendingEnd + end - start;
    if (needed > this.pending.length) {
      const larger = new Uint8Array(Math.max(needed, Math.min(2 * this.pending.length, this.maxFrameBytes)));
      larger.set(this.pending.subarray(0, this.pendingEnd));
      this.pending = larger;
    }
    this.pending.set(bytes.subarray(start, end), this.pendingEnd);
    this.pendingEnd = needed;
  }

  /** A foreign protocol shows itself in its first bytes, before a whole header is there. */
  private judgeStart(): void {
    const start = this.pending;
    if ((this.pendingEnd > 0 && start[0] !== MAGIC_0) || (this.pendingEnd > 1 && start[1] !== MAGIC_1)) {
      throw new DamagedError('no frame of the bus');
    }
  }

  /** Length of the frame whose header is at bytes[at…]. */
  private frameBytes(bytes: Uint8Array, at: number): number {
    if (bytes[at] !== MAGIC_0 || bytes[at + 1] !== MAGIC_1) throw new DamagedError('no frame of the bus');
    if (bytes[at + 2] !== FRAME_VERSION || bytes[at + 3] !== 0) throw new DamagedError('a frame of another version');
    const length = readU32(bytes, at + 4);
    if (readU32(bytes, at + 8) !== ~length >>> 0) throw new DamagedError('a frame’s length');
    if (length > this.maxFrameBytes) throw new DamagedError(`a frame of ${length} bytes`);
    return FRAME_HEADER_BYTES + length;
  }
}

function readFrame(bytes: Uint8Array, start: number, end: number, take: (message: Message) => void): void {
  const first = start + FRAME_HEADER_BYTES;
  const messages = new Uint8Array(bytes.buffer, bytes.byteOffset + first, end - first);
  if (crc32c(messages) !== readU32(bytes, start + 12)) throw new DamagedError('a frame’s checksum');
  if (first === end) throw new DamagedError('a frame without messages');
  for (let at = first; at < end;) {
    if (end - at < MESSAGE_HEADER_BYTES) throw new DamagedError('a message without a whole header');
    const payloadStart = at + MESSAGE_HEADER_BYTES;
    const next = payloadStart + readU32(bytes, at);
    if (next > end) throw new DamagedError('a message beyond its frame');
    const type = bytes[at + 4] as MessageType;
    const level = bytes[at + 5] as Priority;
    if (type < 1 || type > 6 || level >= PRIORITIES) throw new DamagedError('a message of no known type');
    const requestId = readU64(bytes, at + 8);
    const epoch = readU64(bytes, at + 20);
    if (!isNumber(requestId) || !isNumber(epoch)) throw new DamagedError('a number above 2^53');
    const method = ((bytes[at + 6] as number) << 8) | (bytes[at + 7] as number);
    const timeLeftMs = readU32(bytes, at + 16);
    take(
      new ReceivedMessage({ type, priority: level, method, requestId, timeLeftMs, epoch }, bytes, payloadStart, next),
    );
    at = next;
  }
}
