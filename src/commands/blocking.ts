/**
 * What commands that wait share: how long, and what their words say. The commands themselves stand with their types:
 * blocking-list.ts, blocking-sorted-set.ts.
 */

import { latin1 } from '../bytes.ts';
import type { RowType } from '../repl/head.ts';
import { Args } from './args.ts';
import type { Blocking } from './command.ts';
import { CommandError } from './errors.ts';
import type { Reply } from './reply.ts';
import { parseLongDouble } from './string-long-double.ts';

/** Milliseconds are 64 bits in Redis; what is beyond counts as negative there. */
const TIMEOUT_CEILING_MS = 2 ** 63;

/** Word i, seconds with a fraction, in ms; 0 seconds: Infinity. Throws `CommandError`. */
export function timeoutAt(args: Args, i: number): number {
  const parsed = parseLongDouble(args.text(i));
  if (parsed === undefined) throw new CommandError('ERR timeout is not a float or out of range');
  const seconds = parsed.infinity === 0 ? Number(parsed.mantissa) * 2 ** parsed.exponent : Number.POSITIVE_INFINITY;
  const ms = Math.ceil(seconds * 1000);
  if (ms < 0 || parsed.infinity !== 0 || ms >= TIMEOUT_CEILING_MS) throw new CommandError('ERR timeout is negative');
  return ms === 0 ? Number.POSITIVE_INFINITY : ms;
}

/** Of commands whose words are `name key … timeout`. */
export function blocksOnKeys(type: RowType, undo: NonNullable<Blocking['undo']>): Blocking {
  return {
    type,
    timeoutMs: (args) => timeoutAt(args, args.count - 1),
    only: (args, i) => Args.of(args.at(0), args.at(i), args.at(args.count - 1)),
    undo,
  };
}

/** Of commands whose words are `name timeout numkeys key … where [COUNT count]`. */
export function blocksOnNumberedKeys(type: RowType, undo: NonNullable<Blocking['undo']>): Blocking {
  return {
    type,
    timeoutMs: (args) => timeoutAt(args, 1),
    only: (args, i) => {
      const behind = 3 + Number(latin1(args.at(2)));
      const rest = Array.from({ length: args.count - behind }, (_, n) => args.at(behind + n));
      return Args.of(args.at(0), args.at(1), '1', args.at(i), ...rest);
    },
    undo,
  };
}

/** The bytes of an item of a reply. */
export function bytesOf(reply: Reply | undefined): Uint8Array {
  return reply instanceof Uint8Array ? reply : Buffer.from(String(reply));
}
