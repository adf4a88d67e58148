/**
 * Replies in bytes, for commands that another node runs: the node that the client is connected to writes them in the
 * client's protocol. Big-endian:
 *
 * ```
 * u8 tag | …
 *   1 bytes, 2 text (UTF-8)                     u32 length | bytes
 *   3 integer that fits 32 bits                 i32
 *   4 safe integer, 5 a double                  f64
 *   6 bigint, 8 error, 9 simple string, 10 big number   as 2
 *   7 null   11 null array   12 OK   13 no reply   14 true   15 false
 *   16 array, 17 set, 18 map (keys and values in turn)  u32 number of replies | replies
 *   19 verbatim text                            u8 (0 txt, 1 mkd) | as 2
 *   20 pairs, 21 entries                        as 18
 *   22 decimal                                  as 2
 * ```
 *
 * Valid if and only if every tag is known, lengths fit what is there and nothing is left; anything else is a
 * `DamagedError`. Tags are append-only.
 */

import { assert } from '../assert.ts';
import { copyOf, textOf, utf8 } from '../bytes.ts';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import {
  BigNumberReply,
  BooleanReply,
  DecimalReply,
  DoubleReply,
  EntriesReply,
  ErrorReply,
  MapReply,
  NO_REPLY,
  NoReply,
  NULL_ARRAY,
  NullArray,
  OK,
  PairsReply,
  type Reply,
  SetReply,
  SimpleString,
  VerbatimReply,
} from './reply.ts';

const tag = {
  BYTES: 1,
  TEXT: 2,
  INT32: 3,
  SAFE: 4,
  DOUBLE: 5,
  BIGINT: 6,
  NULL: 7,
  ERROR: 8,
  SIMPLE: 9,
  BIG_NUMBER: 10,
  NULL_ARRAY: 11,
  OK: 12,
  NO_REPLY: 13,
  TRUE: 14,
  FALSE: 15,
  ARRAY: 16,
  SET: 17,
  MAP: 18,
  VERBATIM: 19,
  PAIRS: 20,
  ENTRIES: 21,
  DECIMAL: 22,
} as const;

/** The whole of the reply OK. */
export const OK_TAG = tag.OK;

/** Replies within replies: a script returns a thousand at most (lua-values.ts), in EXEC a few more; beyond this it is damage. */
const MAX_DEPTH = 1024;

/** Adds a reply. Requires: no push, and none that was made in slices. */
export function writeReplyValue(out: ByteWriter, reply: Reply): void {
  if (reply === OK) out.u8(tag.OK);
  else if (reply === null) out.u8(tag.NULL);
  else if (typeof reply === 'number') writeInteger(out, reply);
  else if (typeof reply === 'string') out.u8(tag.TEXT).block(utf8(reply));
  else if (typeof reply === 'bigint') out.u8(tag.BIGINT).block(utf8(reply.toString()));
  else if (reply instanceof Uint8Array) out.u8(tag.BYTES).block(reply);
  else if (reply instanceof ErrorReply) out.u8(tag.ERROR).block(Buffer.from(reply.message, 'latin1'));
  else writeRare(out, reply);
}

/** Bytes of a reply as it is written, at most; of another size only where nothing is large. */
export function replyBytes(reply: Reply): number {
  if (reply instanceof Uint8Array) return 5 + reply.length;
  if (typeof reply === 'string') return 5 + 3 * reply.length;
  if (Array.isArray(reply)) return manyBytes(reply as readonly Reply[]);
  if (reply instanceof ErrorReply) return 5 + reply.message.length;
  if (reply instanceof SetReply) return manyBytes(reply.members);
  if (reply instanceof MapReply || reply instanceof EntriesReply) return manyBytes(reply.entries.flat());
  if (reply instanceof PairsReply) return manyBytes(reply.pairs.flat());
  if (reply instanceof VerbatimReply || reply instanceof SimpleString) return 6 + 3 * reply.text.length;
  if (reply instanceof BigNumberReply) return 5 + 3 * reply.digits.length;
  return SMALL_BYTES;
}

/** More than a number takes. */
const SMALL_BYTES = 64;

function manyBytes(replies: readonly Reply[]): number {
  let bytes = 5;
  for (const each of replies) bytes += replyBytes(each);
  return bytes;
}

type RareReply = Exclude<Reply, null | number | string | bigint | Uint8Array | ErrorReply>;

function writeRare(out: ByteWriter, reply: RareReply): void {
  if (isArray(reply)) writeMany(out, tag.ARRAY, reply);
  else if (reply instanceof SimpleString) out.u8(tag.SIMPLE).block(utf8(reply.text));
  else if (reply instanceof NullArray) out.u8(tag.NULL_ARRAY);
  else if (reply instanceof NoReply) out.u8(tag.NO_REPLY);
  else if (reply instanceof DoubleReply) out.u8(tag.DOUBLE).f64(reply.value);
  else if (reply instanceof DecimalReply) out.u8(tag.DECIMAL).block(utf8(reply.text));
  else if (reply instanceof BooleanReply) out.u8(reply.value ? tag.TRUE : tag.FALSE);
  else if (reply instanceof BigNumberReply) out.u8(tag.BIG_NUMBER).block(utf8(reply.digits));
  else if (reply instanceof SetReply) writeMany(out, tag.SET, reply.members);
  else if (reply instanceof MapReply) writeMany(out, tag.MAP, reply.entries.flat());
  else if (reply instanceof PairsReply) writeMany(out, tag.PAIRS, reply.pairs.flat());
  else if (reply instanceof EntriesReply) writeMany(out, tag.ENTRIES, reply.entries.flat());
  else {
    assert(reply instanceof VerbatimReply, 'a reply to a command');
    out
      .u8(tag.VERBATIM)
      .u8(Number(reply.format === 'mkd'))
      .block(utf8(reply.text));
  }
}

/** `Array.isArray` that narrows read-only arrays too. */
function isArray(reply: RareReply): reply is readonly Reply[] {
  return Array.isArray(reply);
}

function writeInteger(out: ByteWriter, value: number): void {
  if ((value | 0) === value) out.u8(tag.INT32).u32(value >>> 0);
  else out.u8(tag.SAFE).f64(value);
}

function writeMany(out: ByteWriter, kind: number, replies: readonly Reply[]): void {
  out.u8(kind).u32(replies.length);
  for (const each of replies) writeReplyValue(out, each);
}

/** The next reply, in memory of its own. Throws `DamagedError`. */
export function readReplyValue(from: ByteReader, depth = 0): Reply {
  const kind: number = from.u8();
  switch (kind) {
    case tag.OK:
      return OK;
    case tag.NULL:
      return null;
    case tag.INT32:
      return from.u32() | 0;
    case tag.SAFE:
      return from.f64();
    case tag.BYTES:
      return copyOf(from.block());
    case tag.TEXT:
      return textOf(from.block());
    case tag.ERROR:
      return new ErrorReply(Buffer.from(from.block()).toString('latin1'));
    default:
      if (depth >= MAX_DEPTH) throw new DamagedError('replies within replies without end');
      return readRare(from, kind, depth);
  }
}

function readRare(from: ByteReader, kind: number, depth: number): Reply {
  switch (kind) {
    case tag.ARRAY:
      return readMany(from, depth);
    case tag.SET:
      return new SetReply(readMany(from, depth));
    case tag.MAP:
      return new MapReply(pairsOf(readMany(from, depth)));
    case tag.PAIRS:
      return new PairsReply(pairsOf(readMany(from, depth)));
    case tag.ENTRIES:
      return new EntriesReply(pairsOf(readMany(from, depth)));
    case tag.SIMPLE:
      return new SimpleString(textOf(from.block()));
    case tag.DECIMAL:
      return new DecimalReply(textOf(from.block()));
    case tag.NULL_ARRAY:
      return NULL_ARRAY;
    case tag.NO_REPLY:
      return NO_REPLY;
    case tag.DOUBLE:
      return new DoubleReply(from.f64());
    case tag.TRUE:
    case tag.FALSE:
      return new BooleanReply(kind === tag.TRUE);
    case tag.BIG_NUMBER:
      return new BigNumberReply(textOf(from.block()));
    case tag.BIGINT:
      return bigintOf(textOf(from.block()));
    case tag.VERBATIM: {
      const format = from.u8() === 1 ? 'mkd' : 'txt';
      return new VerbatimReply(format, textOf(from.block()));
    }
    default:
      throw new DamagedError(`a reply with the unknown tag ${kind}`);
  }
}

function readMany(from: ByteReader, depth: number): Reply[] {
  const count = from.u32();
  // Each reply has at least one byte: what is announced beyond that is damage, and is not allocated for.
  if (count > from.left) throw new DamagedError('more replies announced than there are bytes');
  const replies: Reply[] = [];
  for (let i = 0; i < count; i++) replies.push(readReplyValue(from, depth + 1));
  return replies;
}

function pairsOf(flat: readonly Reply[]): [Reply, Reply][] {
  if (flat.length % 2 !== 0) throw new DamagedError('a pair of which one is missing');
  const entries: [Reply, Reply][] = [];
  for (let i = 0; i < flat.length; i += 2) entries.push([flat[i] as Reply, flat[i + 1] as Reply]);
  return entries;
}

function bigintOf(digits: string): bigint {
  if (!/^-?\d{1,20}$/.test(digits)) throw new DamagedError('an integer that is none');
  return BigInt(digits);
}
