/**
 * How long turns of the event loop take: a histogram of the time on the clock, and one of the time in which the turn
 * held its thread, which leaves out when the thread was ready to run and had no processor. On a machine with other work the
 * first tells what a client met and the second what this program is to blame for.
 */

import { closeSync, openSync, readSync } from 'node:fs';
import { fixed, markdownTable } from './statistics.ts';

/** Upper ends of the histogram's classes. */
const CLASSES_MS = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, Number.POSITIVE_INFINITY];

export class Histogram {
  turns = 0;
  longestMs = 0;
  readonly #counts = CLASSES_MS.map(() => 0);
  readonly #sums = CLASSES_MS.map(() => 0);

  add(ms: number): void {
    const at = CLASSES_MS.findIndex((upper) => ms <= upper);
    this.#counts[at] = this.count(at) + 1;
    this.#sums[at] = this.sum(at) + ms;
    this.turns++;
    this.longestMs = Math.max(this.longestMs, ms);
  }

  count(at: number): number {
    return this.#counts[at] as number;
  }

  sum(at: number): number {
    return this.#sums[at] as number;
  }

  /** Turns of a thousand that took longer than `limitMs`, one of the classes' ends. */
  perMilleOver(limitMs: number): number {
    const long = CLASSES_MS.reduce((sum, upper, i) => (upper > limitMs ? sum + this.count(i) : sum), 0);
    return (long * 1000) / this.turns;
  }
}

/** Nanoseconds that the main thread has waited for a processor, from /proc; NaN where the kernel does not tell. */
export class ProcessorWait {
  readonly #fd: number | undefined;
  readonly #text = Buffer.alloc(128);

  constructor() {
    try {
      this.#fd = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
    } catch {
      this.#fd = undefined;
    }
  }

  read(): number {
    if (this.#fd === undefined) return Number.NaN;
    readSync(this.#fd, this.#text, 0, this.#text.length, 0);
    const start = this.#text.indexOf(32) + 1;
    return Number(this.#text.toString('latin1', start, this.#text.indexOf(32, start)));
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

/** Runs `work` once a turn until `milliseconds` are over, and measures the turns. */
export async function measureTurns(
  milliseconds: number,
  work: () => void,
  onLong: (ms: number, heldMs: number) => void,
): Promise<{ readonly clock: Histogram; readonly held: Histogram }> {
  const clock = new Histogram();
  const held = new Histogram();
  const wait = new ProcessorWait();
  let waitedNs = wait.read();
  const end = performance.now() + milliseconds;
  for (let before = performance.now(); before < end;) {
    work();
    await new Promise((resolve) => setImmediate(resolve));
    const waited = wait.read();
    const now = performance.now();
    const ms = now - before;
    const heldMs = Number.isNaN(waited) ? ms : Math.max(0, ms - (waited - waitedNs) / 1e6);
    clock.add(ms);
    held.add(heldMs);
    if (heldMs > 10) onLong(ms, heldMs);
    before = now;
    waitedNs = waited;
  }
  wait.close();
  return { clock, held };
}

export function turnTable(clock: Histogram, held: Histogram): string {
  return markdownTable(
    ['turn up to', 'turns', 'of a thousand', 'ms in all', 'held', 'of a thousand', 'ms in all'],
    CLASSES_MS.map((upper, i) => [
      Number.isFinite(upper) ? `${upper} ms` : 'longer',
      String(clock.count(i)),
      fixed((clock.count(i) * 1000) / clock.turns, 3),
      fixed(clock.sum(i), 0),
      String(held.count(i)),
      fixed((held.count(i) * 1000) / held.turns, 3),
      fixed(held.sum(i), 0),
    ]),
  );
}
