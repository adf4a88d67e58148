/** Levels of consistency as words: `one`, `quorum`, …, or `R n`, `W n`, `R n W m`. */

import { type Level, levelNamed, levelOfCounts } from '../repl/level.ts';
import type { Args } from './args.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf } from './number.ts';

/** Owners that R and W can ask for. */
const MAX_COUNT = 30;

const UNKNOWN =
  'ERR no such level: one, quorum, all, session, available, local-quorum, each-quorum, or R <owners> and W <owners>';

/** The level that begins at word `at`, and the word after it. Throws `CommandError`. */
export function levelAt(args: Args, at: number): { readonly level: Level; readonly next: number } {
  const name = args.text(at).toLowerCase();
  if (name !== 'r' && name !== 'w') {
    const level = levelNamed(name);
    if (level === undefined) throw new CommandError(UNKNOWN);
    return { level, next: at + 1 };
  }
  let r: number | undefined;
  let w: number | undefined;
  let i = at;
  for (; i + 1 < args.count; i += 2) {
    const word = args.text(i).toLowerCase();
    if (word === 'r' && r === undefined) r = countAt(args, i + 1);
    else if (word === 'w' && w === undefined) w = countAt(args, i + 1);
    else break;
  }
  if (i === at) throw new CommandError(UNKNOWN);
  return { level: levelOfCounts(r, w), next: i };
}

function countAt(args: Args, i: number): number {
  const count = clampedIntegerOf(args, i);
  if (count < 1 || count > MAX_COUNT) throw new CommandError(`ERR the number of owners must be from 1 to ${MAX_COUNT}`);
  return count;
}
