/**
 * Consumer groups of a stream, as further elements of its row. Numbers are big-endian; a group's number is never given twice
 * in a stream.
 *
 * ```
 * GROUP             key: name                                  value: u32 number | last id delivered 16 | u64 entries read + 1
 *                                                              (0: unknown) | u64 pending | u32 consumers
 *                                                              | least pending 16 | greatest pending 16
 * CONSUMER          key: u32 group | name                      value: u64 ms when it was seen last | u64 pending
 * PENDING           key: u32 group | id                        value: u64 ms of the delivery | u64 deliveries | consumer's name
 * CONSUMER_PENDING  key: u32 group | u32 length | name | id    value: empty
 * ```
 *
 * Invariants: each pending entry stands once under PENDING and once under CONSUMER_PENDING of its consumer; the counts of
 * the group and of the consumers are those of these elements; every pending id lies between least and greatest pending.
 * Those two spare walks over what was acknowledged long ago, and look-ups of what cannot be there.
 */

import { compareBytes, copyOf, EMPTY } from '../bytes.ts';
import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { keyAfter, keyPastPrefix, type TagRange } from '../repl/elements.ts';
import { readStamp, writeStamp } from '../repl/row-key.ts';
import { GREATEST_ID, ID_BYTES, idAfter, LEAST_ID, type StreamId } from './stream-id.ts';
import type { Stream } from './stream-row.ts';

export const GROUP = 0x20;
export const CONSUMER = 0x21;
export const PENDING = 0x22;
export const CONSUMER_PENDING = 0x23;

const LAST_ID_AT = 4;
const READ_AT = LAST_ID_AT + ID_BYTES;
const PENDING_AT = READ_AT + 8;
const CONSUMERS_AT = PENDING_AT + 8;
const LEAST_AT = CONSUMERS_AT + 4;
const GREATEST_AT = LEAST_AT + ID_BYTES;
const GROUP_BYTES = GREATEST_AT + ID_BYTES;

const CONSUMER_BYTES = 16;
const PENDING_HEADER = 16;

export interface Consumer {
  readonly name: Uint8Array;
  seenMs: number;
  pending: number;
}

/** An entry that was delivered and not acknowledged. */
export interface Pending {
  readonly consumer: Uint8Array;
  readonly deliveredMs: number;
  readonly deliveries: number;
}

/** One group as one command sees and changes it: `save` writes what it changed. */
export class Group {
  readonly stream: Stream;
  readonly name: Uint8Array;
  readonly number: number;
  lastId: StreamId;
  /** Entries up to the last id, those deleted included; undefined: not known. */
  entriesRead: number | undefined;
  pending = 0;
  consumers = 0;
  private leastPending: StreamId = GREATEST_ID;
  private greatestPending: StreamId = LEAST_ID;
  /** Consumers that this command has looked at, by name. */
  private readonly known = new Map<string, Consumer>();

  private constructor(
    stream: Stream,
    name: Uint8Array,
    number: number,
    lastId: StreamId,
    entriesRead: number | undefined,
  ) {
    this.stream = stream;
    this.name = name;
    this.number = number;
    this.lastId = lastId;
    this.entriesRead = entriesRead;
  }

  /** The group of this name; undefined: there is none. Throws `Miss`. */
  static find(stream: Stream, name: Uint8Array): Group | undefined {
    const record = stream.elements.get(GROUP, name);
    return record === undefined ? undefined : Group.decode(stream, name, record);
  }

  /** Requires: there is none of this name. */
  static create(stream: Stream, name: Uint8Array, lastId: StreamId, entriesRead: number | undefined): Group {
    const group = new Group(stream, name, stream.newGroupNumber(), lastId, entriesRead);
    stream.elements.add(GROUP, name, group.encode());
    return group;
  }

  /** All groups of a stream, by name. Throws `Miss`. */
  static all(stream: Stream): Group[] {
    const groups: Group[] = [];
    stream.elements.each(GROUP, {}, (name, record) => {
      groups.push(Group.decode(stream, copyOf(name), record));
    });
    return groups;
  }

  private static decode(stream: Stream, name: Uint8Array, record: Uint8Array): Group {
    const read = readStamp(record, READ_AT);
    const lastId = record.slice(LAST_ID_AT, READ_AT);
    const group = new Group(stream, name, readU32(record, 0), lastId, read === 0 ? undefined : read - 1);
    group.pending = readStamp(record, PENDING_AT);
    group.consumers = readU32(record, CONSUMERS_AT);
    group.leastPending = record.slice(LEAST_AT, GREATEST_AT);
    group.greatestPending = record.slice(GREATEST_AT, GROUP_BYTES);
    return group;
  }

  private encode(): Uint8Array {
    const record = new Uint8Array(GROUP_BYTES);
    writeU32(record, 0, this.number);
    record.set(this.lastId, LAST_ID_AT);
    writeStamp(record, READ_AT, this.entriesRead === undefined ? 0 : this.entriesRead + 1);
    writeStamp(record, PENDING_AT, this.pending);
    writeU32(record, CONSUMERS_AT, this.consumers);
    record.set(this.leastPending, LEAST_AT);
    record.set(this.greatestPending, GREATEST_AT);
    return record;
  }

  /** Writes the group and the consumers that were asked for by name. */
  save(): void {
    const { elements } = this.stream;
    elements.replace(GROUP, this.name, this.encode());
    for (const consumer of this.known.values()) {
      elements.replace(CONSUMER, this.keyOf(consumer.name), recordOf(consumer));
    }
  }

  /** The consumer of this name; undefined: there is none. Throws `Miss`. */
  consumer(name: Uint8Array): Consumer | undefined {
    const text = Buffer.from(name).toString('latin1');
    let consumer = this.known.get(text);
    if (consumer !== undefined) return consumer;
    const record = this.stream.elements.get(CONSUMER, this.keyOf(name));
    if (record === undefined) return undefined;
    consumer = { name: copyOf(name), seenMs: readStamp(record, 0), pending: readStamp(record, 8) };
    this.known.set(text, consumer);
    return consumer;
  }

  /** Requires: there is none of this name. */
  createConsumer(name: Uint8Array, nowMs: number): Consumer {
    const consumer = { name: copyOf(name), seenMs: nowMs, pending: 0 };
    this.stream.elements.add(CONSUMER, this.keyOf(name), recordOf(consumer));
    this.known.set(Buffer.from(name).toString('latin1'), consumer);
    this.consumers++;
    return consumer;
  }

  /** The consumer of this name, made if need be, as seen now. Throws `Miss`. */
  seenConsumer(name: Uint8Array, nowMs: number): Consumer {
    const consumer = this.consumer(name) ?? this.createConsumer(name, nowMs);
    consumer.seenMs = nowMs;
    return consumer;
  }

  /** All consumers, by name; what this command has changed of them included only once it was saved. Throws `Miss`. */
  allConsumers(): Consumer[] {
    const consumers: Consumer[] = [];
    const prefix = this.keyOf(EMPTY);
    this.stream.elements.each(CONSUMER, rangeOfPrefix(prefix), (key, record) => {
      const name = key.slice(prefix.length);
      consumers.push({ name, seenMs: readStamp(record, 0), pending: readStamp(record, 8) });
    });
    return consumers;
  }

  /** What is known of a pending entry; undefined: it is none. Throws `Miss`. */
  pendingAt(id: StreamId): Pending | undefined {
    if (compareBytes(id, this.greatestPending) > 0) return undefined;
    const record = this.stream.elements.get(PENDING, this.keyOf(id));
    return record === undefined ? undefined : decodePending(record);
  }

  /** Makes an entry pending at a consumer; `before`: what `pendingAt` said of it. Throws `Miss`. */
  assign(id: StreamId, consumer: Consumer, deliveredMs: number, deliveries: number, before: Pending | undefined): void {
    const { elements } = this.stream;
    const record = encodePending(consumer.name, deliveredMs, deliveries);
    if (before === undefined) {
      elements.add(PENDING, this.keyOf(id), record);
      if (this.pending === 0 || compareBytes(id, this.leastPending) < 0) this.leastPending = id;
      if (compareBytes(id, this.greatestPending) > 0) this.greatestPending = id;
      this.pending++;
    } else {
      elements.replace(PENDING, this.keyOf(id), record);
      if (compareBytes(before.consumer, consumer.name) === 0) return;
      this.leave(id, before.consumer);
    }
    elements.add(CONSUMER_PENDING, this.keyOfConsumer(consumer.name, id), EMPTY);
    consumer.pending++;
  }

  /** The entry is pending no more. Throws `Miss`. */
  release(id: StreamId, { consumer }: Pending): void {
    this.stream.elements.drop(PENDING, this.keyOf(id));
    this.leave(id, consumer);
    this.pending--;
    if (compareBytes(id, this.leastPending) === 0) this.leastPending = idAfter(id) ?? id;
  }

  private leave(id: StreamId, name: Uint8Array): void {
    this.stream.elements.drop(CONSUMER_PENDING, this.keyOfConsumer(name, id));
    const consumer = this.consumer(name);
    if (consumer !== undefined) consumer.pending--;
  }

  /**
   * Calls `visit` with the pending entries from `first` to `last` until it returns false. Their ids are the caller's; of
   * this command's changes it sees those made before. Throws `Miss`.
   */
  eachPending(
    first: StreamId,
    last: StreamId,
    visit: (id: StreamId, pending: Pending) => boolean | void,
    reverse = false,
  ): void {
    const from = compareBytes(first, this.leastPending) < 0 ? this.leastPending : first;
    if (this.pending === 0 || compareBytes(from, last) > 0) return;
    const range: TagRange = { lower: this.keyOf(from), upper: keyAfter(this.keyOf(last)), reverse };
    this.stream.elements.each(PENDING, range, (key, record) => visit(key.slice(4), decodePending(record)));
  }

  /** Calls `visit` with the ids from `first` on of what is pending at a consumer until it returns false. Throws `Miss`. */
  eachPendingOf(name: Uint8Array, first: StreamId, visit: (id: StreamId) => boolean | void): void {
    const from = compareBytes(first, this.leastPending) < 0 ? this.leastPending : first;
    const range: TagRange = {
      lower: this.keyOfConsumer(name, from),
      upper: keyAfter(this.keyOfConsumer(name, GREATEST_ID)),
    };
    this.stream.elements.each(CONSUMER_PENDING, range, (key) => visit(key.slice(key.length - ID_BYTES)));
  }

  /** The ids from `first` on of what is pending at a consumer, `count` at most. Throws `Miss`. */
  pendingIdsOf(name: Uint8Array, first: StreamId, count = Number.MAX_SAFE_INTEGER): StreamId[] {
    const ids: StreamId[] = [];
    this.eachPendingOf(name, first, (id) => {
      ids.push(id);
      return ids.length < count;
    });
    return ids;
  }

  /** Deletes a consumer with what is pending at it. Throws `Miss`. */
  removeConsumer({ name }: Consumer): void {
    const { elements } = this.stream;
    for (const id of this.pendingIdsOf(name, LEAST_ID)) {
      elements.drop(PENDING, this.keyOf(id));
      elements.drop(CONSUMER_PENDING, this.keyOfConsumer(name, id));
      this.pending--;
    }
    elements.drop(CONSUMER, this.keyOf(name));
    this.known.delete(Buffer.from(name).toString('latin1'));
    this.consumers--;
  }

  /** Deletes the group with all that belongs to it. Throws `Miss`. */
  destroy(): void {
    const { elements } = this.stream;
    const lower = this.keyOf(EMPTY);
    const upper = keyPastPrefix(lower);
    for (const tag of [CONSUMER, PENDING, CONSUMER_PENDING]) {
      const inOneGo = tag !== CONSUMER && this.stream.dropsAsRange(this.pending);
      if (upper === undefined || !inOneGo)
        elements.each(tag, rangeOfPrefix(lower), (key) => elements.drop(tag, copyOf(key)));
      else elements.dropRange({ tag, lower, upper }, this.pending);
    }
    elements.drop(GROUP, this.name);
  }

  private keyOf(rest: Uint8Array): Uint8Array {
    const key = new Uint8Array(4 + rest.length);
    writeU32(key, 0, this.number);
    key.set(rest, 4);
    return key;
  }

  private keyOfConsumer(name: Uint8Array, id: StreamId): Uint8Array {
    const key = new Uint8Array(8 + name.length + ID_BYTES);
    writeU32(key, 0, this.number);
    writeU32(key, 4, name.length);
    key.set(name, 8);
    key.set(id, 8 + name.length);
    return key;
  }
}

function rangeOfPrefix(prefix: Uint8Array): TagRange {
  const upper = keyPastPrefix(prefix);
  return upper === undefined ? { lower: prefix } : { lower: prefix, upper };
}

function recordOf({ seenMs, pending }: Consumer): Uint8Array {
  const record = new Uint8Array(CONSUMER_BYTES);
  writeStamp(record, 0, seenMs);
  writeStamp(record, 8, pending);
  return record;
}

function encodePending(consumer: Uint8Array, deliveredMs: number, deliveries: number): Uint8Array {
  const record = new Uint8Array(PENDING_HEADER + consumer.length);
  writeStamp(record, 0, deliveredMs);
  writeStamp(record, 8, deliveries);
  record.set(consumer, PENDING_HEADER);
  return record;
}

function decodePending(record: Uint8Array): Pending {
  return {
    deliveredMs: readStamp(record, 0),
    deliveries: readStamp(record, 8),
    consumer: record.slice(PENDING_HEADER),
  };
}

/** How many entries were ever added up to this id, where that can be told: as Redis reckons it. Throws `Miss`. */
export function entriesUpTo(stream: Stream, id: StreamId): number | undefined {
  const { added, length, lastId, maxDeletedId } = stream;
  if (added === 0) return 0;
  const toLast = compareBytes(id, lastId);
  if (length === 0 && toLast <= 0) return added;
  if (toLast === 0) return added;
  if (toLast > 0) return undefined;
  const first = stream.firstId();
  if (compareBytes(maxDeletedId, LEAST_ID) === 0 || compareBytes(maxDeletedId, first) < 0) {
    const toFirst = compareBytes(id, first);
    if (toFirst < 0) return added - length;
    if (toFirst === 0) return added - length + 1;
  }
  return undefined;
}

/** Whether XDEL may have made gaps behind `start`. Throws `Miss`. */
export function hasGaps(stream: Stream, start: StreamId): boolean {
  const { maxDeletedId } = stream;
  if (stream.length === 0 || compareBytes(maxDeletedId, LEAST_ID) === 0) return false;
  if (compareBytes(start, maxDeletedId) > 0) return false;
  return compareBytes(stream.firstId(), maxDeletedId) <= 0;
}
