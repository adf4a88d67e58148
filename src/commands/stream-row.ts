/**
 * A stream as the elements of a row. Format 1:
 *
 * ```
 * tag ELEMENT   key: id (u64 BE ms, u64 BE sequence)     value: varint number of words, then each word:
 *                                                        varint length | bytes   (fields and values in turn)
 * other tags    groups, consumers and pending entries (stream-group.ts)
 * meta          last id 16 | greatest id that XDEL deleted 16 | u64 BE entries ever added | start 16 | u32 BE groups ever made
 * ```
 *
 * Varints are LEB128. `start` is at or before the id of the first entry, and at or before it nothing lives but that: walks
 * begin there and never meet what trimming has left behind.
 *
 * Invariants: ids of entries are at most the last id; what is added is above it.
 */

import { assert } from '../assert.ts';
import { compareBytes, copyOf } from '../bytes.ts';
import { readU32, writeU32 } from '../cluster/big-endian.ts';
import { CellElements } from '../repl/element-cells.ts';
import { type Elements, ELEMENT, type ElementSteps, keyAfter, type TagRange } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import { readStamp, writeStamp } from '../repl/row-key.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { commandsOf, docsOf, typedRowAt } from './collection-row.ts';
import { ID_BYTES, idAfter, LEAST_ID, type StreamId } from './stream-id.ts';

export const streamCommand = commandsOf('stream');
export const streamDoc = docsOf('stream');

const MAX_DELETED_AT = ID_BYTES;
const ADDED_AT = 2 * ID_BYTES;
const START_AT = ADDED_AT + 8;
const GROUPS_AT = START_AT + ID_BYTES;
const META_BYTES = GROUPS_AT + 4;

/** Beyond so many of the first entries are deleted as a range, which readers pay for until it is compacted away. */
const DROPPED_ONE_BY_ONE = 500;

const NEW_META = new Uint8Array(META_BYTES);

export class Stream {
  readonly elements: Elements;
  lastId: StreamId;

  constructor(elements: Elements) {
    this.elements = elements;
    const meta = this.metaNow();
    assert(meta.length === META_BYTES, 'the meta bytes of a stream');
    this.lastId = meta.subarray(0, ID_BYTES);
  }

  get length(): number {
    return this.elements.count;
  }

  /** The greatest id that XDEL has deleted. */
  get maxDeletedId(): StreamId {
    return this.metaNow().subarray(MAX_DELETED_AT, MAX_DELETED_AT + ID_BYTES);
  }

  /** Entries ever added. */
  get added(): number {
    return readStamp(this.metaNow(), ADDED_AT);
  }

  /** Where walks over all entries begin. */
  get start(): StreamId {
    return this.metaNow().subarray(START_AT, START_AT + ID_BYTES);
  }

  /** Makes the row's meta bytes those of a stream that nothing was added to. */
  begin(): void {
    this.elements.meta = NEW_META;
  }

  /** Adds an entry. Requires: the id is above the last one. */
  append(id: StreamId, entry: Uint8Array): void {
    const wasEmpty = this.length === 0;
    this.elements.add(ELEMENT, id, entry);
    this.change((meta) => {
      meta.set(id, 0);
      writeStamp(meta, ADDED_AT, readStamp(meta, ADDED_AT) + 1);
      if (wasEmpty) meta.set(id, START_AT);
    });
    this.lastId = id;
  }

  /** The words of an entry in their stored form, valid until the turn ends. Throws `Miss`. */
  entry(id: StreamId): Uint8Array | undefined {
    return this.elements.get(ELEMENT, id);
  }

  /** Deletes an entry for XDEL; true when it was there. Throws `Miss`. */
  delete(id: StreamId): boolean {
    if (!this.remove(id)) return false;
    this.change((meta) => {
      if (compareBytes(id, this.maxDeletedId) > 0) meta.set(id, MAX_DELETED_AT);
    });
    return true;
  }

  /** Deletes an entry as trimming does, which does not count as a deletion; true when it was there. Throws `Miss`. */
  remove(id: StreamId): boolean {
    if (!this.elements.delete(ELEMENT, id)) return false;
    if (this.length === 0 || compareBytes(id, this.start) <= 0) this.startAfter(id);
    return true;
  }

  /** Deletes the first entries, of which the caller knows that they are there and that there are no others up to the last of them. */
  dropFirst(ids: readonly StreamId[]): void {
    for (const id of ids) this.elements.drop(ELEMENT, id);
    if (ids.length > 0) this.startAfter(ids.at(-1) as StreamId);
  }

  /** Whether so many entries are deleted better as a range than one by one. */
  dropsAsRange(count: number): boolean {
    return count > DROPPED_ONE_BY_ONE && this.elements.base instanceof CellElements;
  }

  /** Deletes all entries before this one, of which the caller knows the number, at a cost that does not grow with it. */
  dropBefore(id: StreamId, count: number): void {
    const lower = copyOf(this.start);
    this.elements.dropRange({ tag: ELEMENT, lower, upper: id }, count);
    this.change((meta) => meta.set(this.length === 0 ? LEAST_ID : id, START_AT));
  }

  /** XSETID. */
  setId(id: StreamId, added: number | undefined, maxDeletedId: StreamId | undefined): void {
    this.change((meta) => {
      meta.set(id, 0);
      if (added !== undefined) writeStamp(meta, ADDED_AT, added);
      if (maxDeletedId !== undefined) meta.set(maxDeletedId, MAX_DELETED_AT);
    });
    this.lastId = id;
  }

  /** A number that no group of this stream has had. */
  newGroupNumber(): number {
    const number = readU32(this.metaNow(), GROUPS_AT) + 1;
    this.change((meta) => writeU32(meta, GROUPS_AT, number));
    return number;
  }

  /** The keys of the entries with ids from `first` to `last`, both included, as a range to walk. */
  range(first: StreamId, last: StreamId, reverse = false): TagRange {
    const { start } = this;
    return { lower: compareBytes(first, start) < 0 ? start : first, upper: keyAfter(last), reverse };
  }

  /** Entries from `first` to `last`. Must be closed. */
  walk(first: StreamId, last: StreamId, reverse = false): ElementSteps {
    return this.elements.walk(ELEMENT, this.range(first, last, reverse));
  }

  /** Calls `visit` with the entries from `first` to `last` until it returns false; bytes are valid during the call. Throws `Miss`. */
  each(
    first: StreamId,
    last: StreamId,
    visit: (id: Uint8Array, entry: Uint8Array) => boolean | void,
    reverse = false,
  ): void {
    this.elements.each(ELEMENT, this.range(first, last, reverse), visit);
  }

  /** The id of the first entry; of an empty stream the least. In memory of its own. Throws `Miss`. */
  firstId(): StreamId {
    return this.edge(false) ?? LEAST_ID;
  }

  /** The id of the last entry; undefined: it is empty. In memory of its own. Throws `Miss`. */
  lastEntryId(): StreamId | undefined {
    if (this.length === 0) return undefined;
    if (this.entry(this.lastId) !== undefined) return this.lastId;
    return this.edge(true);
  }

  private edge(reverse: boolean): StreamId | undefined {
    if (this.length === 0) return undefined;
    let edge: StreamId | undefined;
    this.each(
      LEAST_ID,
      this.lastId,
      (id) => {
        edge = copyOf(id);
        return false;
      },
      reverse,
    );
    return edge;
  }

  private startAfter(id: StreamId): void {
    const start = this.length === 0 ? LEAST_ID : (idAfter(id) ?? LEAST_ID);
    this.change((meta) => meta.set(start, START_AT));
  }

  private metaNow(): Uint8Array {
    const { meta } = this.elements;
    return meta.length === 0 ? NEW_META : meta;
  }

  private change(edit: (meta: Uint8Array) => void): void {
    const meta = copyOf(this.metaNow());
    edit(meta);
    this.elements.meta = meta;
  }
}

/** The stream at the key that word i names; undefined: there is no such key. Throws `Miss`, `CommandError`. */
export function streamAt(view: View, args: Args, i = 1): Stream | undefined {
  const row = typedRowAt(view, args, i, rowType.STREAM);
  return row.live ? new Stream(view.elements(row)) : undefined;
}

/** As `streamAt`; a missing key becomes an empty stream. */
export function streamToFill(view: View, args: Args, i = 1): Stream {
  const row = typedRowAt(view, args, i, rowType.STREAM);
  if (row.live) return new Stream(view.elements(row));
  const stream = new Stream(view.create(row, rowType.STREAM));
  stream.begin();
  return stream;
}

/** Word i as Redis's errors quote it: up to its first zero byte. */
export function quoted(args: Args, i: number): string {
  const text = args.text(i);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function varintBytes(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

function writeVarint(target: Uint8Array, at: number, value: number): number {
  let end = at;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) target[end++] = (rest % 0x80) | 0x80;
  target[end++] = rest;
  return end;
}

/** The stored form of the words first … end - 1. */
export function entryOfWords(args: Args, first: number, end: number): Uint8Array {
  let length = varintBytes(end - first);
  for (let i = first; i < end; i++) length += varintBytes(args.length(i)) + args.length(i);
  const entry = new Uint8Array(length);
  let at = writeVarint(entry, 0, end - first);
  for (let i = first; i < end; i++) {
    at = writeVarint(entry, at, args.length(i));
    entry.set(args.at(i), at);
    at += args.length(i);
  }
  return entry;
}

/** The stored form of these fields and values. */
export function entryOf(words: readonly Uint8Array[]): Uint8Array {
  let length = varintBytes(words.length);
  for (const word of words) length += varintBytes(word.length) + word.length;
  const entry = new Uint8Array(length);
  let at = writeVarint(entry, 0, words.length);
  for (const word of words) {
    at = writeVarint(entry, at, word.length);
    entry.set(word, at);
    at += word.length;
  }
  return entry;
}

/** Of the varint that was read last. */
let varintEnd = 0;

function readVarint(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  varintEnd = at + 1;
  if (first < 0x80) return first;
  let value = first & 0x7f;
  for (let scale = 0x80; ; scale *= 0x80) {
    const byte = bytes[varintEnd++] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
}

/** The fields and values of an entry, in memory of their own. */
export function wordsOfEntry(entry: Uint8Array): Uint8Array[] {
  const bytes = copyOf(entry);
  const { buffer } = bytes;
  const words: Uint8Array[] = [];
  const count = readVarint(bytes, 0);
  for (let i = 0; i < count; i++) {
    const length = readVarint(bytes, varintEnd);
    words.push(new Uint8Array(buffer, varintEnd, length));
    varintEnd += length;
  }
  assert(varintEnd === bytes.length, 'an entry that ends with its last word');
  return words;
}
