/**
 * Streams in RDB values, as Redis 7.0 writes them (type 19); read also as Redis 5 and 6 (type 15) and 7.2 (type 21) do.
 *
 * ```
 * length nodes, each:   string: id of the node, 16 bytes | string: listpack
 * length entries | id last | [id first | id greatest deleted | length entries ever added]      not in type 15
 * length groups, each:  string name | id last delivered | [length entries read, all ones: unknown]      not in type 15
 *                       length pending, each: 16 bytes id | i64 LE ms delivered | length deliveries
 *                       length consumers, each: string name | i64 LE ms seen | [i64 LE ms active] in type 21
 *                                               length pending, each: 16 bytes id
 *
 * listpack of a node    entries | deleted | fields | names of the fields … | 0, then the entries:
 *                       flags (1 deleted, 2 fields as above) | ms and sequence above the node's | [fields, and a name before
 *                       each value] | values … | number of elements of the entry
 * ```
 *
 * An id is two lengths of 64 bits.
 */

import { compareBytes, concatBytes, copyOf, equalBytes } from '../bytes.ts';
import { readU64, writeU64 } from '../cluster/big-endian.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { clampToSafe, parseInt64 } from './number.ts';
import { readListpack, writeListpack } from './rdb-listpack.ts';
import type { RdbReader } from './rdb-reader.ts';
import type { RdbWriter } from './rdb-writer.ts';
import { ID_BYTES, LEAST_ID, type StreamId } from './stream-id.ts';

/** Which of the optional parts there are. */
export interface StreamForm {
  readonly hasCounters: boolean;
  readonly hasActiveTime: boolean;
}

export interface PendingImage {
  readonly id: StreamId;
  readonly deliveredMs: number;
  readonly deliveries: number;
}

export interface ConsumerImage {
  readonly name: Uint8Array;
  readonly seenMs: number;
  readonly pending: readonly PendingImage[];
}

export interface GroupImage {
  readonly name: Uint8Array;
  readonly lastId: StreamId;
  readonly entriesRead: number | undefined;
  readonly consumers: readonly ConsumerImage[];
}

export interface EntryImage {
  readonly id: StreamId;
  /** Fields and values in turn. */
  readonly words: readonly Uint8Array[];
}

export interface StreamImage {
  /** Rising. */
  readonly entries: readonly EntryImage[];
  readonly lastId: StreamId;
  readonly maxDeletedId: StreamId;
  readonly added: number;
  readonly groups: readonly GroupImage[];
}

const DELETED = 1;
const SAME_FIELDS = 2;

/** Entries of a node, and bytes of them, as in Redis. */
const NODE_ENTRIES = 100;
const NODE_BYTES = 4096;

const UNKNOWN = new Uint8Array(8).fill(0xff);

export function writeStream(out: RdbWriter, stream: StreamImage): void {
  const nodes = nodesOf(stream.entries);
  out.length(nodes.length);
  for (const node of nodes) out.string((node[0] as EntryImage).id).string(packNode(node));
  out.length(stream.entries.length);
  writeId(out, stream.lastId);
  writeId(out, stream.entries[0]?.id ?? LEAST_ID);
  writeId(out, stream.maxDeletedId);
  out.length(stream.added).length(stream.groups.length);
  for (const group of stream.groups) writeGroup(out, group);
}

function writeId(out: RdbWriter, id: StreamId): void {
  out.length64(id.subarray(0, 8)).length64(id.subarray(8));
}

function writeGroup(out: RdbWriter, { name, lastId, entriesRead, consumers }: GroupImage): void {
  out.string(name);
  writeId(out, lastId);
  if (entriesRead === undefined) out.length64(UNKNOWN);
  else out.length(entriesRead);
  const pending = consumers.flatMap((consumer) => consumer.pending);
  pending.sort((a, b) => compareBytes(a.id, b.id));
  out.length(pending.length);
  for (const { id, deliveredMs, deliveries } of pending) out.raw(id).ms(deliveredMs).length(deliveries);
  out.length(consumers.length);
  for (const consumer of consumers) {
    out.string(consumer.name).ms(consumer.seenMs).length(consumer.pending.length);
    for (const { id } of consumer.pending) out.raw(id);
  }
}

function nodesOf(entries: readonly EntryImage[]): EntryImage[][] {
  const nodes: EntryImage[][] = [];
  let node: EntryImage[] = [];
  let bytes = 0;
  for (const entry of entries) {
    if (node.length === NODE_ENTRIES || bytes >= NODE_BYTES) node = [];
    if (node.length === 0) {
      nodes.push(node);
      bytes = 0;
    }
    node.push(entry);
    for (const word of entry.words) bytes += word.length;
  }
  return nodes;
}

function fieldsOf({ words }: EntryImage): Uint8Array[] {
  return words.filter((_, i) => i % 2 === 0);
}

function valuesOf({ words }: EntryImage): Uint8Array[] {
  return words.filter((_, i) => i % 2 === 1);
}

function packNode(node: readonly EntryImage[]): Uint8Array {
  const first = node[0] as EntryImage;
  const fields = fieldsOf(first);
  const elements: (Uint8Array | number | bigint)[] = [node.length, 0, fields.length, ...fields, 0];
  for (const entry of node) {
    const own = fieldsOf(entry);
    const isSame = own.length === fields.length && own.every((field, i) => equalBytes(field, fields[i] as Uint8Array));
    const body = isSame ? valuesOf(entry) : [own.length, ...entry.words];
    elements.push(
      isSame ? SAME_FIELDS : 0,
      distance(entry.id, first.id, 0),
      distance(entry.id, first.id, 8),
      ...body,
      3 + body.length,
    );
  }
  return writeListpack(elements);
}

/** How far a half of an id is above that of another, as an integer of 64 bits. */
function distance(id: StreamId, from: StreamId, at: number): number | bigint {
  const [high, low] = [readU64(id, at), readU64(from, at)];
  if (Number.isSafeInteger(high) && Number.isSafeInteger(low)) return high - low;
  return BigInt.asIntN(64, halfOf(id, at) - halfOf(from, at));
}

/** Writes the half of an id that is so far above that of another. */
function writeHalf(id: Uint8Array, from: StreamId, at: number, by: number | bigint): void {
  const start = readU64(from, at);
  const sum = typeof by === 'number' && Number.isSafeInteger(start) ? start + by : -1;
  if (sum >= 0 && Number.isSafeInteger(sum)) writeU64(id, at, sum);
  else new DataView(id.buffer).setBigUint64(at, BigInt.asUintN(64, halfOf(from, at) + BigInt(by)));
}

function halfOf(id: StreamId, at: number): bigint {
  return new DataView(id.buffer, id.byteOffset, ID_BYTES).getBigUint64(at);
}

/** Throws `DamagedError`. */
export function readStream(from: RdbReader, { hasCounters, hasActiveTime }: StreamForm): StreamImage {
  const entries: EntryImage[] = [];
  for (let left = from.count(); left > 0; left--) {
    const master = from.string();
    if (master.length !== ID_BYTES) throw new DamagedError('a node without an id');
    entries.push(...unpackNode(master, readListpack(from.string())));
  }
  if (from.length() !== entries.length) throw new DamagedError('a stream with another number of entries');
  const lastId = readId(from);
  if (hasCounters) readId(from);
  const maxDeletedId = hasCounters ? readId(from) : LEAST_ID;
  const added = hasCounters ? from.length() : entries.length;
  const groups: GroupImage[] = [];
  for (let left = from.count(); left > 0; left--) groups.push(readGroup(from, hasCounters, hasActiveTime));
  checkOrder(entries, lastId);
  return { entries, lastId, maxDeletedId, added: clampToSafe(Math.min(added, Number.MAX_SAFE_INTEGER)), groups };
}

function checkOrder(entries: readonly EntryImage[], lastId: StreamId): void {
  let before: StreamId = LEAST_ID;
  for (const { id } of entries) {
    if (compareBytes(id, before) <= 0) throw new DamagedError('entries that do not rise');
    before = id;
  }
  if (compareBytes(before, lastId) > 0) throw new DamagedError('an entry beyond the last id');
}

function readId(from: RdbReader): StreamId {
  return concatBytes(from.length64(), from.length64());
}

function readGroup(from: RdbReader, hasCounters: boolean, hasActiveTime: boolean): GroupImage {
  const name = from.string();
  const lastId = readId(from);
  const read = hasCounters ? from.length64() : UNKNOWN;
  const known = new Map<string, PendingImage>();
  for (let left = from.count(); left > 0; left--) {
    const id = from.raw(ID_BYTES);
    known.set(hex(id), { id, deliveredMs: from.ms(), deliveries: Math.min(from.length(), Number.MAX_SAFE_INTEGER) });
  }
  const consumers: ConsumerImage[] = [];
  let assigned = 0;
  for (let left = from.count(); left > 0; left--) {
    const consumer = readConsumer(from, known, hasActiveTime);
    assigned += consumer.pending.length;
    consumers.push(consumer);
  }
  if (assigned !== known.size) throw new DamagedError('a pending entry without a consumer');
  const entriesRead = equalBytes(read, UNKNOWN) ? undefined : Number(new DataView(copyOf(read).buffer).getBigUint64(0));
  return { name, lastId, entriesRead, consumers };
}

function readConsumer(
  from: RdbReader,
  known: ReadonlyMap<string, PendingImage>,
  hasActiveTime: boolean,
): ConsumerImage {
  const name = from.string();
  const seenMs = from.ms();
  if (hasActiveTime) from.ms();
  const pending: PendingImage[] = [];
  for (let left = from.count(); left > 0; left--) {
    const entry = known.get(hex(from.raw(ID_BYTES)));
    if (entry === undefined) throw new DamagedError('a consumer with an entry that is not pending');
    pending.push(entry);
  }
  return { name, seenMs, pending };
}

function hex(id: Uint8Array): string {
  return Buffer.from(id).toString('hex');
}

/** Elements of a listpack one after another. */
class Elements {
  private readonly items: readonly Uint8Array[];
  private at = 0;

  constructor(items: readonly Uint8Array[]) {
    this.items = items;
  }

  get isAtEnd(): boolean {
    return this.at === this.items.length;
  }

  word(): Uint8Array {
    const item = this.items[this.at++];
    if (item === undefined) throw new DamagedError('a node that is cut');
    return item;
  }

  integer(): number | bigint {
    const item = this.word();
    const value = parseInt64(item, 0, item.length);
    if (value === undefined) throw new DamagedError('a node without a number where one must be');
    return value;
  }

  count(): number {
    const count = clampToSafe(this.integer());
    if (count < 0 || count > this.items.length) throw new DamagedError('a node with too large a number');
    return count;
  }
}

function unpackNode(master: Uint8Array, items: readonly Uint8Array[]): EntryImage[] {
  const elements = new Elements(items);
  const live = elements.count();
  const deleted = elements.count();
  const fields = Array.from({ length: elements.count() }, () => elements.word());
  elements.integer();
  const entries: EntryImage[] = [];
  for (let left = live + deleted; left > 0; left--) {
    const flags = clampToSafe(elements.integer());
    const id = new Uint8Array(ID_BYTES);
    writeHalf(id, master, 0, elements.integer());
    writeHalf(id, master, 8, elements.integer());
    const words: Uint8Array[] = [];
    if ((flags & SAME_FIELDS) !== 0) for (const field of fields) words.push(field, elements.word());
    else for (let pairs = elements.count(); pairs > 0; pairs--) words.push(elements.word(), elements.word());
    elements.integer();
    if ((flags & DELETED) === 0) entries.push({ id, words });
  }
  if (!elements.isAtEnd || entries.length !== live) throw new DamagedError('a node with another number of entries');
  return entries;
}
