/** What HRANDFIELD and SRANDMEMBER share: the count, and which way the elements are picked. */

import type { RowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { type Picked, pickDifferent, pickRepeated } from './collection-random.ts';
import { rowAt } from './key-row.ts';
import type { Walkable } from './collection-steps.ts';
import type { Context } from './command.ts';
import { CommandError } from './errors.ts';
import { INT64_MAX, int64Of, parseInt64 } from './number.ts';
import type { Sliced } from './sliced.ts';

/** Elements in one reply, about 100 bytes of memory each: for counts below zero, which may ask for any number. */
const PICKED_MAX = 10_000_000;

/** From so many picks on a reply is made in slices. */
const SLICED_PICKS = 100;

/** The count at word i, at most ±`most`: below zero elements may repeat. Throws `CommandError`. */
export function pickCount(args: Args, i: number, most = INT64_MAX): number {
  const count = int64Of(args, i);
  if (count < -most || count > most) throw new CommandError(outOfRange(most));
  return Number(count);
}

function outOfRange(most: bigint): string {
  return most === INT64_MAX
    ? `ERR value is out of range, value must between ${-INT64_MAX} and ${INT64_MAX}`
    : 'ERR value is out of range';
}

/** Above zero so many different elements, or all; below zero as many as that, each drawn from all. Throws `CommandError`. */
export function* pickMany(from: Walkable, count: number, { server }: Context): Sliced<Picked[]> {
  const { random } = server.env;
  if (count >= 0) return yield* pickDifferent(from, count, random);
  if (-count > PICKED_MAX) throw new CommandError(`ERR at most ${PICKED_MAX} elements are returned at once`);
  return yield* pickRepeated(from, -count, random);
}

/** Whether the pick that word 2 asks for, if there is one, is made in slices. Throws `Miss`. */
export function isLongPick(view: View, args: Args, type: RowType): boolean {
  if (args.count <= 2) return false;
  const row = rowAt(view, args, 1);
  if (!row.live || row.type !== type) return false;
  const count = Number(parseInt64(args.bytes, args.starts[2] as number, args.ends[2] as number) ?? 0);
  return count < -SLICED_PICKS || Math.min(count, view.elements(row).count) > SLICED_PICKS;
}
