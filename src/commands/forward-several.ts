/**
 * A transaction whose rows are all of one slot, from the node of its client to the node that coordinates the slot: there its
 * rows are locked, changed and written without another message between nodes than the registers' own. Big-endian:
 *
 * ```
 * request   u8 format (3) | u8 flags: 1 RESP3 | u32 ms left until the client's deadline
 *           u16 rows, each: u32 length, name | u16 marks of WATCH, as in forward-codec.ts
 *           u16 commands, as there
 * answer    as there; done with a reply of two: what was written, as a list of name, stamp and actor in turn (the version
 *           under which the row was locked), and the reply of the transaction
 * ```
 *
 * Not now (nothing was written): also when the reply is longer than an answer may be, so that the client's node runs it.
 *
 * Valid if and only if the format and the numbers fit and nothing is left; else a `DamagedError`.
 */

import { latin1 } from '../bytes.ts';
import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import { MAX_CARRIED_BYTES } from '../cluster/frame.ts';
import { slotOfRow, type RowName } from '../repl/owner-message.ts';
import { type Version, ZERO_VERSION } from '../repl/version.ts';
import type { RowMark } from '../repl/view.ts';
import {
  encodeForwardAnswer,
  type ForwardedCommand,
  MAX_FORWARDED_COMMANDS,
  readCommand,
  readMarks,
} from './forward-codec.ts';
import type { Reply } from './reply.ts';
import { replyBytes } from './reply-codec.ts';

/** First byte of such a request. */
export const SEVERAL_FORMAT = 3;

const RESP3 = 1;

export type MarkedRows = ReadonlyMap<RowName, readonly RowMark[]>;

export interface ForwardedTransaction {
  readonly isResp3: boolean;
  readonly leftMs: number;
  readonly rows: MarkedRows;
  readonly commands: readonly ForwardedCommand[];
}

/** What became of a transaction: its reply, and the rows that were written with the versions under which they were locked. */
export interface TransactionReply {
  readonly reply: Reply;
  readonly written: ReadonlyMap<RowName, Version>;
}

/** The slot of all these rows, if they can be told to one node; else undefined. */
export function oneSlotOf(rows: MarkedRows, commands: number): number | undefined {
  if (rows.size === 0 || rows.size > 0xffff || commands > MAX_FORWARDED_COMMANDS) return undefined;
  let slot: number | undefined;
  for (const row of rows.keys()) {
    slot ??= slotOfRow(row);
    if (slot !== slotOfRow(row)) return undefined;
  }
  return slot;
}

/** In memory of its own. */
export function encodeTransaction({ isResp3, leftMs, rows, commands }: ForwardedTransaction): Uint8Array {
  const out = new ByteWriter();
  out.u8(SEVERAL_FORMAT).u8(isResp3 ? RESP3 : 0);
  out.u32(Math.max(0, Math.min(0xffff_ffff, Math.ceil(leftMs)))).u16(rows.size);
  for (const [row, marks] of rows) {
    out.block(Buffer.from(row, 'latin1')).u16(marks.length);
    for (const { live, stamp, actor } of marks) out.u8(Number(live)).u64(stamp).u32(actor);
  }
  out.u16(commands.length);
  for (const { database, args } of commands) {
    out.u16(database).u32(args.count);
    for (let i = 0; i < args.count; i++) out.block(args.at(i));
  }
  return out.finish();
}

/** Words are ranges of `payload`, which must not change as long as they are used. Throws `DamagedError`. */
export function decodeTransaction(payload: Uint8Array): ForwardedTransaction {
  const from = new ByteReader(payload);
  if (from.u8() !== SEVERAL_FORMAT) throw new DamagedError('no transaction');
  const flags = from.u8();
  if (flags > RESP3) throw new DamagedError('a transaction with unknown flags');
  const leftMs = from.u32();
  const rows = new Map<RowName, readonly RowMark[]>();
  for (let left = from.u16(); left > 0; left--) {
    const row = latin1(from.block());
    rows.set(row, readMarks(from));
  }
  const commands: ForwardedCommand[] = [];
  for (let left = from.u16(); left > 0; left--) commands.push(readCommand(from, payload));
  from.finish();
  if (oneSlotOf(rows, commands.length) === undefined) throw new DamagedError('a transaction on rows of several slots');
  return { isResp3: flags === RESP3, leftMs, rows, commands };
}

/** Of a written row beside its name. */
const WRITTEN_BYTES = 32;

/** Whether the node of the client can be told these replies and that these rows were written. */
export function isTellable(replies: readonly Reply[], written: Iterable<RowName>): boolean {
  let bytes = replyBytes(replies);
  for (const row of written) bytes += WRITTEN_BYTES + row.length;
  return bytes <= MAX_CARRIED_BYTES;
}

export function encodeTransactionReply({ reply, written }: TransactionReply): Uint8Array {
  const versions: Reply[] = [];
  for (const [row, { stamp, actor }] of written) versions.push(Buffer.from(row, 'latin1'), stamp, actor);
  return encodeForwardAnswer({ kind: 'done', version: ZERO_VERSION, reply: [versions, reply] });
}

/** What `encodeTransactionReply` wrote. Throws `DamagedError`. */
export function readTransactionReply(reply: Reply): TransactionReply {
  if (!Array.isArray(reply) || reply.length !== 2 || !Array.isArray(reply[0]))
    throw new DamagedError('no reply of a transaction');
  const versions = reply[0] as readonly Reply[];
  const written = new Map<RowName, Version>();
  for (let i = 0; i < versions.length; i += 3) {
    const [row, stamp, actor] = versions.slice(i, i + 3);
    if (!(row instanceof Uint8Array) || typeof stamp !== 'number' || typeof actor !== 'number') {
      throw new DamagedError('no version of a row');
    }
    written.set(latin1(row), { stamp, actor });
  }
  return { reply: reply[1] as Reply, written };
}
