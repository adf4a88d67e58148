/** Sliced commands where they have to run in one go: inside EXEC and scripts. */

import { Miss } from '../repl/miss.ts';
import type { RunSliced } from './command.ts';
import type { Reply } from './reply.ts';

/** Runs all slices in one go; where it would wait for the disk it misses instead. */
export function runWhole(slices: ReturnType<RunSliced>): Reply {
  for (;;) {
    const step = slices.next();
    if (step.done === true) return step.value;
    const wait = step.value;
    if (wait === undefined) continue;
    // The handler will run from the start: what this run has opened is closed once the blocks are there.
    throw new Miss(() => wait.finally(() => slices.return(null)));
  }
}
