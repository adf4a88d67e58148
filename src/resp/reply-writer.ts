/**
 * Reply → RESP2 or RESP3 bytes at the end of an `Output`.
 *
 * The table of `commands/reply.ts` says what becomes what. Each piece first reserves its room, so a piece never spans
 * chunks except the payload of a long bulk string, which lies in a chunk of its own.
 */

import { assert } from '../assert.ts';
import { BulksReply } from '../commands/bulks-reply.ts';
import {
  BigNumberReply,
  BooleanReply,
  DecimalReply,
  DoubleReply,
  EntriesReply,
  ErrorReply,
  MapReply,
  NoReply,
  NullArray,
  PairsReply,
  PushReply,
  Replies,
  SetReply,
  SimpleString,
  VerbatimReply,
  type Reply,
} from '../commands/reply.ts';
import { doubleText } from '../commands/double-text.ts';
import { OWN_CHUNK_BULK_BYTES } from './limits.ts';
import type { Output } from './output.ts';

export type Protocol = 2 | 3;

const CR = 13;
const LF = 10;
const ZERO = 48;
const MINUS = 45;
/** A type byte, 20 digits or a sign and 19, CR LF. */
const HEADER_MAX_BYTES = 24;
/** Up to this length a loop (1.4 ns a byte) copies faster than `set` (18 ns, and little more up to 1 KiB). */
const LOOP_COPY_MAX_BYTES = 12;
/** A character of a string is at most three bytes of UTF-8. */
const UTF8_MAX_BYTES = 3;

const type = {
  SIMPLE: 43, // +
  ERROR: 45, // -
  INTEGER: 58, // :
  BULK: 36, // $
  ARRAY: 42, // *
  DOUBLE: 44, // ,
  MAP: 37, // %
  SET: 126, // ~
  PUSH: 62, // >
  VERBATIM: 61, // =
  BIG_NUMBER: 40, // (
} as const;

const NULL_BULK = Buffer.from('$-1\r\n');
const NULL_ARRAY = Buffer.from('*-1\r\n');
const NULL = Buffer.from('_\r\n');
const TRUE = Buffer.from('#t\r\n');
const FALSE = Buffer.from('#f\r\n');

/** Simple strings are constants (OK, PONG, QUEUED): each is encoded once. */
const encodedSimple = new WeakMap<SimpleString, Buffer>();
let lastSimple: SimpleString | undefined;
let lastSimpleBytes: Buffer = NULL;

export function writeReply(out: Output, reply: Reply, protocol: Protocol): void {
  if (typeof reply === 'object') {
    if (reply === null) writeRaw(out, protocol === 3 ? NULL : NULL_BULK);
    else if (reply instanceof Uint8Array) writeBulk(out, reply);
    else if (reply instanceof SimpleString) writeSimple(out, reply);
    else writeOther(out, reply, protocol);
  } else if (typeof reply === 'number') writeHeader(out, type.INTEGER, reply);
  else if (typeof reply === 'string') writeText(out, reply);
  else writeAscii(out, `:${reply}\r\n`);
}

type OtherReply = Exclude<Reply, Uint8Array | string | number | bigint | null>;

function writeOther(out: Output, reply: OtherReply, protocol: Protocol): void {
  const isResp3 = protocol === 3;
  if (isArray(reply)) writeItems(out, type.ARRAY, reply, protocol);
  else if (reply instanceof ErrorReply) writeError(out, reply);
  else if (reply instanceof NullArray) writeRaw(out, isResp3 ? NULL : NULL_ARRAY);
  else if (reply instanceof DoubleReply) writeDouble(out, reply.value, isResp3);
  else if (reply instanceof DecimalReply) writeDecimal(out, reply.text, isResp3);
  else if (reply instanceof BooleanReply) writeBoolean(out, reply.value, isResp3);
  else if (reply instanceof MapReply) writeMap(out, reply, protocol);
  else if (reply instanceof PairsReply) writePairs(out, reply, protocol);
  else if (reply instanceof BulksReply) writeBulks(out, reply, isResp3);
  else if (reply instanceof EntriesReply) writeEntries(out, reply, protocol);
  else if (reply instanceof SetReply) writeItems(out, isResp3 ? type.SET : type.ARRAY, reply.members, protocol);
  else if (reply instanceof PushReply) writeItems(out, isResp3 ? type.PUSH : type.ARRAY, reply.items, protocol);
  else if (reply instanceof Replies) for (const each of reply.replies) writeReply(out, each, protocol);
  else if (reply instanceof VerbatimReply) writeVerbatim(out, reply, isResp3);
  else if (reply instanceof BigNumberReply) writeBigNumber(out, reply.digits, isResp3);
  else assert(reply instanceof NoReply, 'a reply is one of the kinds that reply.ts lists');
}

/** `Array.isArray` that narrows read-only arrays too. */
function isArray(reply: OtherReply): reply is readonly Reply[] {
  return Array.isArray(reply);
}

/** `prefix`, a safe integer, CR LF. */
function writeHeader(out: Output, prefix: number, value: number): void {
  out.reserve(HEADER_MAX_BYTES);
  const bytes = out.bytes;
  let at = out.length;
  bytes[at++] = prefix;
  let rest = value;
  if (rest < 0) {
    bytes[at++] = MINUS;
    rest = -rest;
  }
  at += decimalDigits(rest);
  const after = at;
  while (rest > 0x7fffffff) {
    const shorter = Math.floor(rest / 10);
    bytes[--at] = ZERO + (rest - shorter * 10);
    rest = shorter;
  }
  let small = rest | 0;
  do {
    const shorter = (small / 10) | 0;
    bytes[--at] = ZERO + (small - shorter * 10);
    small = shorter;
  } while (small > 0);
  bytes[after] = CR;
  bytes[after + 1] = LF;
  out.length = after + 2;
}

function decimalDigits(value: number): number {
  if (value < 10) return 1;
  if (value < 100) return 2;
  if (value < 1000) return 3;
  let digits = 4;
  for (let bound = 10_000; value >= bound; bound *= 10) digits++;
  return digits;
}

function writeBulk(out: Output, value: Uint8Array): void {
  const length = value.length;
  if (length >= OWN_CHUNK_BULK_BYTES) {
    writeLongBulk(out, value);
    return;
  }
  out.reserve(HEADER_MAX_BYTES + length + 2);
  writeHeader(out, type.BULK, length);
  const bytes = out.bytes;
  let at = out.length;
  if (length <= LOOP_COPY_MAX_BYTES) {
    for (let i = 0; i < length; i++) bytes[at + i] = value[i] as number;
  } else bytes.set(value, at);
  at += length;
  bytes[at] = CR;
  bytes[at + 1] = LF;
  out.length = at + 2;
}

/** Copied once, for the value's memory is its owner's; chunks that double would copy it again and again. */
function writeLongBulk(out: Output, value: Uint8Array): void {
  writeHeader(out, type.BULK, value.length);
  const chunk = Buffer.allocUnsafeSlow(value.length + 2);
  chunk.set(value);
  chunk[value.length] = CR;
  chunk[value.length + 1] = LF;
  out.addChunk(chunk);
}

function writeText(out: Output, text: string): void {
  if (text.length * UTF8_MAX_BYTES >= OWN_CHUNK_BULK_BYTES) {
    writeBulk(out, Buffer.from(text));
    return;
  }
  const length = Buffer.byteLength(text);
  out.reserve(HEADER_MAX_BYTES + length + 2);
  writeHeader(out, type.BULK, length);
  const at = out.length;
  out.bytes.write(text, at, 'utf8');
  out.bytes[at + length] = CR;
  out.bytes[at + length + 1] = LF;
  out.length = at + length + 2;
}

/** Text of one-byte characters, as it is. */
function writeAscii(out: Output, text: string): void {
  out.reserve(text.length);
  out.length += out.bytes.write(text, out.length, 'latin1');
}

function writeRaw(out: Output, raw: Uint8Array): void {
  const length = raw.length;
  out.reserve(length);
  const bytes = out.bytes;
  const at = out.length;
  if (length <= LOOP_COPY_MAX_BYTES) for (let i = 0; i < length; i++) bytes[at + i] = raw[i] as number;
  else bytes.set(raw, at);
  out.length = at + length;
}

function writeSimple(out: Output, reply: SimpleString): void {
  if (reply !== lastSimple) {
    let bytes: Buffer | undefined = encodedSimple.get(reply);
    if (bytes === undefined) {
      bytes = Buffer.from(`+${reply.text}\r\n`);
      encodedSimple.set(reply, bytes);
    }
    lastSimple = reply;
    lastSimpleBytes = bytes;
  }
  writeRaw(out, lastSimpleBytes);
}

function writeError(out: Output, reply: ErrorReply): void {
  writeRaw(out, Buffer.from(`-${reply.message.replace(/[\r\n]/g, ' ')}\r\n`, 'latin1'));
}

/** What the front door itself says: `text` has a byte a character, and goes out as those bytes. */
export function writeErrorBytes(out: Output, text: string): void {
  writeAscii(out, `-${text}\r\n`);
}

function writeDouble(out: Output, value: number, isResp3: boolean): void {
  writeDecimal(out, doubleText(value), isResp3);
}

function writeDecimal(out: Output, text: string, isResp3: boolean): void {
  writeAscii(out, isResp3 ? `,${text}\r\n` : `$${text.length}\r\n${text}\r\n`);
}

function writeBoolean(out: Output, value: boolean, isResp3: boolean): void {
  if (isResp3) writeRaw(out, value ? TRUE : FALSE);
  else writeHeader(out, type.INTEGER, value ? 1 : 0);
}

function writeBigNumber(out: Output, digits: string, isResp3: boolean): void {
  if (isResp3) writeAscii(out, `(${digits}\r\n`);
  else writeText(out, digits);
}

function writeVerbatim(out: Output, reply: VerbatimReply, isResp3: boolean): void {
  if (!isResp3) {
    writeText(out, reply.text);
    return;
  }
  const payload = Buffer.from(`${reply.format}:${reply.text}\r\n`);
  writeHeader(out, type.VERBATIM, payload.length - 2);
  writeRaw(out, payload);
}

function writeItems(out: Output, prefix: number, items: readonly Reply[], protocol: Protocol): void {
  writeHeader(out, prefix, items.length);
  for (const item of items) writeReply(out, item, protocol);
}

function writeMap(out: Output, reply: MapReply, protocol: Protocol): void {
  const { entries } = reply;
  if (protocol === 3) writeHeader(out, type.MAP, entries.length);
  else writeHeader(out, type.ARRAY, entries.length * 2);
  for (const [key, value] of entries) {
    writeReply(out, key, protocol);
    writeReply(out, value, protocol);
  }
}

function writeEntries(out: Output, reply: EntriesReply, protocol: Protocol): void {
  const { entries } = reply;
  writeHeader(out, protocol === 3 ? type.MAP : type.ARRAY, entries.length);
  for (const [key, value] of entries) {
    if (protocol === 2) writeHeader(out, type.ARRAY, 2);
    writeReply(out, key, protocol);
    writeReply(out, value, protocol);
  }
}

function writePairs(out: Output, reply: PairsReply, protocol: Protocol): void {
  const { pairs } = reply;
  writeHeader(out, type.ARRAY, protocol === 3 ? pairs.length : pairs.length * 2);
  for (const [a, b] of pairs) {
    if (protocol === 3) writeHeader(out, type.ARRAY, 2);
    writeReply(out, a, protocol);
    writeReply(out, b, protocol);
  }
}

function writeBulks(out: Output, reply: BulksReply, isResp3: boolean): void {
  if (isResp3 && reply.kind === 'map') writeHeader(out, type.MAP, reply.count / 2);
  else writeHeader(out, isResp3 && reply.kind === 'set' ? type.SET : type.ARRAY, reply.count);
  for (const chunk of reply.chunks()) out.addChunk(chunk);
}
