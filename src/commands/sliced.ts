/** Work in slices, so that a long one holds nobody up: see `runSliced` of command.ts. */

import { Miss } from '../repl/miss.ts';

/** What is done in slices: it yields a promise when it must wait for the disk, and `undefined` to let others run. */
export type Sliced<T> = Generator<Promise<void> | undefined, T>;

/** Runs what is made in slices within this turn. Throws `Miss` where it would wait. */
export function inOneGo<T>(slices: Sliced<T>): T {
  for (;;) {
    const step = slices.next();
    if (step.done === true) return step.value;
    const wait = step.value;
    if (wait === undefined) continue;
    throw new Miss(() => wait.finally(() => slices.return(undefined as T)));
  }
}
