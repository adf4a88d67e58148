/** Commands that say how many keys follow (LMPOP, ZUNION, SINTERCARD, …). */

import type { Args } from './args.ts';
import type { KeyFinder, KeyRange } from './command.ts';
import { parseSafeInteger } from './number.ts';

const NOWHERE: KeyRange = { first: 0, last: 0, step: 0 };

/** The keys after the number at word `at`; for commands with a destination in front, that (word 1) as well. */
export function numberedKeys(at: number, destination = false): KeyFinder {
  return {
    range: destination ? { first: 1, last: 1, step: 1 } : NOWHERE,
    find(args) {
      const keys = destination ? [1] : [];
      const end = Math.min(at + 1 + numberAt(args, at), args.count);
      for (let i = at + 1; i < end; i++) keys.push(i);
      return keys;
    },
  };
}

/** How many keys word `at` announces; 0 when it is no such number. */
function numberAt(args: Args, at: number): number {
  const count = parseSafeInteger(args.bytes, args.starts[at] as number, args.ends[at] as number);
  return count >= 1 ? count : 0;
}
