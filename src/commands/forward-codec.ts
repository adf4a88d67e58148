/**
 * FORWARD: one or several commands on one row, from the node that the client is connected to to the node that
 * coordinates the row. Big-endian.
 *
 * ```
 * request   u8 format (1) | u8 flags: 1 RESP3, 2 EXEC | u32 ms left until the client's deadline
 *           u32 length | name of the row
 *           [u16 marks of WATCH, each: u8 live | u64 stamp | u32 actor]       with EXEC
 *           u16 commands, each: u16 logical database | u32 words, each: u32 length | bytes
 * answer    u8 0                                       not now: nothing was begun (repl/forward.ts)
 *           u8 1 | u64 stamp | u32 actor | reply       done; the version of the row's last change; see reply-codec.ts
 *           u8 2                                       no quorum: nothing happened
 *           u8 3                                       uncertain
 *           u8 4                                       overloaded: nothing happened
 * ```
 *
 * A request without EXEC has one command. With EXEC the reply is an array, one for each command; or a null array, when
 * a mark no longer holds. Valid if and only if format, flags and numbers fit and nothing is left; else `DamagedError`.
 */

import { unreachable } from '../assert.ts';
import { latin1 } from '../bytes.ts';
import { readU32 } from '../cluster/big-endian.ts';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import type { RowName } from '../repl/owner-message.ts';
import { readVersion, VERSION_BYTES, type Version, writeVersion } from '../repl/version.ts';
import type { RowMark } from '../repl/view.ts';
import { Args } from './args.ts';
import { OK_TAG, readReplyValue, writeReplyValue } from './reply-codec.ts';
import { OK, type Reply } from './reply.ts';

const FORMAT = 1;
const flag = { RESP3: 1, EXEC: 2 } as const;

const answerTag = { NOT_NOW: 0, DONE: 1, NO_QUORUM: 2, UNCERTAIN: 3, OVERLOADED: 4 } as const;

/** Commands of one EXEC that can be forwarded. */
export const MAX_FORWARDED_COMMANDS = 0xffff;

/** Shortest name of a row: slot, database, terminator. */
const MIN_NAME_BYTES = 4;

export interface ForwardedCommand {
  readonly database: number;
  readonly args: Args;
}

export interface ForwardedRequest {
  readonly isResp3: boolean;
  readonly isExec: boolean;
  readonly leftMs: number;
  readonly row: RowName;
  readonly marks: readonly RowMark[];
  readonly commands: readonly ForwardedCommand[];
}

export type ForwardedOutcome =
  | { readonly kind: 'done'; readonly version: Version; readonly reply: Reply }
  | { readonly kind: 'no-quorum' | 'uncertain' | 'overloaded' };

const NO_MARKS: readonly RowMark[] = [];

/** In memory of its own. */
export function encodeForward(request: ForwardedRequest): Uint8Array {
  const { row, commands } = request;
  let length = 10 + row.length + 2;
  if (request.isExec) length += 2 + request.marks.length * 13;
  for (let i = 0; i < commands.length; i++) length += commandBytes((commands[i] as ForwardedCommand).args);
  const bytes = Buffer.allocUnsafe(length);
  bytes[0] = FORMAT;
  bytes[1] = (request.isResp3 ? flag.RESP3 : 0) | (request.isExec ? flag.EXEC : 0);
  bytes.writeUInt32BE(Math.max(0, Math.min(0xffff_ffff, Math.ceil(request.leftMs))), 2);
  bytes.writeUInt32BE(row.length, 6);
  bytes.write(row, 10, 'latin1');
  let at = 10 + row.length;
  if (request.isExec) at = writeMarks(bytes, at, request.marks);
  at = bytes.writeUInt16BE(commands.length, at);
  for (let i = 0; i < commands.length; i++) at = writeCommand(bytes, at, commands[i] as ForwardedCommand);
  return bytes;
}

function commandBytes(args: Args): number {
  let length = 6;
  for (let i = 0; i < args.count; i++) length += 4 + args.length(i);
  return length;
}

function writeMarks(bytes: Buffer, start: number, marks: readonly RowMark[]): number {
  let at = bytes.writeUInt16BE(marks.length, start);
  for (const mark of marks) {
    at = bytes.writeUInt8(Number(mark.live), at);
    at = bytes.writeBigUInt64BE(BigInt(mark.stamp), at);
    at = bytes.writeUInt32BE(mark.actor, at);
  }
  return at;
}

function writeCommand(bytes: Buffer, start: number, { database, args }: ForwardedCommand): number {
  let at = bytes.writeUInt16BE(database, start);
  at = bytes.writeUInt32BE(args.count, at);
  const from = args.bytes;
  for (let i = 0; i < args.count; i++) {
    const begin = args.starts[i] as number;
    const end = args.ends[i] as number;
    at = bytes.writeUInt32BE(end - begin, at);
    if (end - begin < 32) for (let j = begin; j < end; j++) bytes[at++] = from[j] as number;
    else {
      bytes.set(from.subarray(begin, end), at);
      at += end - begin;
    }
  }
  return at;
}

/** The request; its words are ranges of `payload`, which must not change as long as they are used. Throws `DamagedError`. */
export function decodeForward(payload: Uint8Array): ForwardedRequest {
  return decodeSingle(payload) ?? decodeAny(payload);
}

/**
 * One command without EXEC, by far the most frequent; undefined when it is anything else, or does not fit: `decodeAny`
 * then says what is wrong with it.
 */
function decodeSingle(payload: Uint8Array): ForwardedRequest | undefined {
  const { length } = payload;
  if (length < 10 || payload[0] !== FORMAT || (payload[1] as number) > flag.RESP3) return undefined;
  const nameEnd = 10 + readU32(payload, 6);
  if (nameEnd < 10 + MIN_NAME_BYTES || nameEnd + 8 > length) return undefined;
  if (payload[nameEnd] !== 0 || payload[nameEnd + 1] !== 1) return undefined;
  const database = ((payload[nameEnd + 2] as number) << 8) | (payload[nameEnd + 3] as number);
  const words = readU32(payload, nameEnd + 4);
  let at = nameEnd + 8;
  if (words === 0 || words > (length - at) / 4) return undefined;
  const args = new Args(payload, words);
  for (let i = 0; i < words; i++) {
    if (at + 4 > length) return undefined;
    const end = at + 4 + readU32(payload, at);
    if (end > length) return undefined;
    args.push(at + 4, end);
    at = end;
  }
  if (at !== length) return undefined;
  return {
    isResp3: payload[1] === flag.RESP3,
    isExec: false,
    leftMs: readU32(payload, 2),
    row: latin1(payload, 10, nameEnd),
    marks: NO_MARKS,
    commands: [{ database, args }],
  };
}

/** Throws `DamagedError`. */
function decodeAny(payload: Uint8Array): ForwardedRequest {
  const from = new ByteReader(payload);
  if (from.u8() !== FORMAT) throw new DamagedError('a forwarded command of no known format');
  const flags = from.u8();
  if (flags > (flag.RESP3 | flag.EXEC)) throw new DamagedError('a forwarded command with unknown flags');
  const isExec = (flags & flag.EXEC) !== 0;
  const leftMs = from.u32();
  const name = from.block();
  if (name.length < MIN_NAME_BYTES) throw new DamagedError('a forwarded command without a row');
  const marks = isExec ? readMarks(from) : NO_MARKS;
  const count = from.u16();
  if (!isExec && count !== 1) throw new DamagedError('several commands without EXEC');
  const commands: ForwardedCommand[] = [];
  for (let i = 0; i < count; i++) commands.push(readCommand(from, payload));
  from.finish();
  return { isResp3: (flags & flag.RESP3) !== 0, isExec, leftMs, row: latin1(name), marks, commands };
}

/** Throws `DamagedError`. */
export function readMarks(from: ByteReader): RowMark[] {
  const marks: RowMark[] = [];
  const count = from.u16();
  for (let i = 0; i < count; i++) marks.push({ live: from.u8() === 1, stamp: from.u64(), actor: from.u32() });
  return marks;
}

/** Its words are ranges of `payload`. Throws `DamagedError`. */
export function readCommand(from: ByteReader, payload: Uint8Array): ForwardedCommand {
  const database = from.u16();
  const words = from.u32();
  if (words === 0 || words > from.left / 4) throw new DamagedError('more words announced than there are bytes');
  const args = new Args(payload, words);
  for (let i = 0; i < words; i++) {
    const { length } = from.block();
    const end = payload.length - from.left;
    args.push(end - length, end);
  }
  return { database, args };
}

const scratch = new ByteWriter();

/** In memory of its own. */
export function encodeForwardAnswer(outcome: ForwardedOutcome | undefined): Uint8Array {
  if (outcome === undefined) return Uint8Array.of(answerTag.NOT_NOW);
  switch (outcome.kind) {
    case 'no-quorum':
      return Uint8Array.of(answerTag.NO_QUORUM);
    case 'uncertain':
      return Uint8Array.of(answerTag.UNCERTAIN);
    case 'overloaded':
      return Uint8Array.of(answerTag.OVERLOADED);
    case 'done': {
      if (outcome.reply === OK) return encodeDoneOk(outcome.version);
      const out = scratch.clear().u8(answerTag.DONE).u64(outcome.version.stamp).u32(outcome.version.actor);
      writeReplyValue(out, outcome.reply);
      return out.finish();
    }
    default:
      return unreachable(outcome);
  }
}

const DONE_OK_BYTES = 2 + VERSION_BYTES;

function encodeDoneOk(version: Version): Uint8Array {
  const bytes = new Uint8Array(DONE_OK_BYTES);
  bytes[0] = answerTag.DONE;
  writeVersion(bytes, 1, version);
  bytes[DONE_OK_BYTES - 1] = OK_TAG;
  return bytes;
}

/** The outcome, in memory of its own. Throws `DamagedError`. Requires: not "not now". */
export function decodeForwardAnswer(payload: Uint8Array): ForwardedOutcome {
  if (payload.length === DONE_OK_BYTES && payload[0] === answerTag.DONE && payload[DONE_OK_BYTES - 1] === OK_TAG) {
    return { kind: 'done', version: readVersion(payload, 1), reply: OK };
  }
  const from = new ByteReader(payload);
  const kind: number = from.u8();
  switch (kind) {
    case answerTag.DONE: {
      const version = { stamp: from.u64(), actor: from.u32() };
      const reply = readReplyValue(from);
      from.finish();
      return { kind: 'done', version, reply };
    }
    case answerTag.NO_QUORUM:
      return { kind: 'no-quorum' };
    case answerTag.UNCERTAIN:
      return { kind: 'uncertain' };
    case answerTag.OVERLOADED:
      return { kind: 'overloaded' };
    default:
      throw new DamagedError('an answer to a forwarded command of no known kind');
  }
}
