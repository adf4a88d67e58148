/** What the commands on bits share. */

import type { Args } from './args.ts';
import type { Command, CommandDoc } from './command.ts';
import { CommandError } from './errors.ts';
import { clampToSafe, parseInt64 } from './number.ts';
import { ONE_KEY } from './string-row.ts';

const BAD_OFFSET = 'ERR bit offset is not an integer or out of range';

export function bitmapDoc(summary: string, since: string, complexity = 'O(N) for N bytes'): CommandDoc {
  return { summary, since, group: 'bitmap', complexity };
}

export function bitmapCommand(row: Omit<Command, 'categories' | 'keys'> & Partial<Pick<Command, 'keys'>>): Command {
  return { keys: ONE_KEY, categories: ['bitmap'], ...row };
}

/**
 * Word i as the place of a bit in a string of at most `maxBytes`. Where a `width` is given, `#n` is the n-th field of that
 * many bits. Throws `CommandError`.
 */
export function bitOffsetOf(args: Args, i: number, maxBytes: number, width = 0): number {
  const start = args.starts[i] as number;
  const isField = width > 0 && args.bytes[start] === 0x23;
  const value = parseInt64(args.bytes, isField ? start + 1 : start, args.ends[i] as number);
  if (value === undefined) throw new CommandError(BAD_OFFSET);
  const offset = clampToSafe(value) * (isField ? width : 1);
  if (offset < 0 || Math.floor(offset / 8) >= maxBytes) throw new CommandError(BAD_OFFSET);
  return offset;
}

/** A copy of the string with at least `length` bytes, zeros behind its end. */
export function stringWithRoom(before: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(before.length, length));
  bytes.set(before);
  return bytes;
}
