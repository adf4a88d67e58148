/**
 * Virtual time for pure state machines: events, one after another, in order of time and then of asking. Unlike
 * `../event-loop.ts` it knows no promises, so that a whole cluster's second costs a few milliseconds.
 */

import { DueHeap } from '../../../src/cluster/due-heap.ts';

/** A run with more events than this hangs in a loop of its own. */
const MAX_EVENTS = 20_000_000;

export class Kernel {
  private readonly due = new DueHeap<() => void>();
  private events = 0;
  /** Milliseconds since the run began, with fractions. */
  nowMs = 0;

  get eventCount(): number {
    return this.events;
  }

  after(delayMs: number, run: () => void): void {
    this.due.add(this.nowMs + Math.max(0, delayMs), run);
  }

  /** Runs everything that is due up to `untilMs`, or until `done()` says so after an event. */
  run(untilMs: number, done: () => boolean = () => false): void {
    while (this.due.nextMs <= untilMs) {
      if (++this.events > MAX_EVENTS) throw new Error(`the simulation does not end: ${MAX_EVENTS} events`);
      this.nowMs = Math.max(this.nowMs, this.due.nextMs);
      const run = this.due.take(this.nowMs) as () => void;
      run();
      if (done()) return;
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }
}
