/**
 * Runs inside a server that is measured (`node --import`): a timer that is due each millisecond tells how long the event loop
 * was held since it ran last, in processor time of the main thread, so that a busy machine does not count. At SIGUSR2 it
 * prints what it has seen since the last time, as one line of JSON, and begins anew.
 */

import { readFileSync } from 'node:fs';

export interface TurnsSeen {
  readonly turns: number;
  readonly longestMs: number;
  /** Turns that held the loop for more than 10 ms. */
  readonly long: number;
}

/** What the line begins with. */
export const TURNS_SEEN = 'turns seen: ';

const LONG_MS = 10;
const TICK_MS = 1;

/** Milliseconds that the main thread has run, from /proc. */
function ranMs(): number {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ', 1)[0]) / 1e6;
}

let seen = { turns: 0, longestMs: 0, long: 0 };
let before = ranMs();

function tick(): void {
  const now = ranMs();
  const heldMs = now - before;
  before = now;
  seen.turns++;
  seen.longestMs = Math.max(seen.longestMs, heldMs);
  if (heldMs > LONG_MS) seen.long++;
}

setInterval(tick, TICK_MS).unref();

process.on('SIGUSR2', () => {
  console.log(`${TURNS_SEEN}${JSON.stringify(seen)}`);
  seen = { turns: 0, longestMs: 0, long: 0 };
});
