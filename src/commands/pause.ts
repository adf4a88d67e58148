/**
 * CLIENT PAUSE: while it lasts, commands of clients (all, or those that write) wait.
 *
 * Invariant: `mode` is `none` once the time is over and a timer or `end` has run; waiters are then all released.
 */

import type { Env, Timer } from '../env.ts';

export type PauseMode = 'none' | 'write' | 'all';

export class Pause {
  mode: PauseMode = 'none';
  untilMs = 0;
  private readonly env: Env;
  private timer: Timer | undefined = undefined;
  private waiters: (() => void)[] = [];

  constructor(env: Env) {
    this.env = env;
  }

  /** Starts a pause, or changes the running one. `untilMs` since 1970. */
  begin(mode: 'write' | 'all', untilMs: number): void {
    this.timer?.cancel();
    this.mode = mode;
    this.untilMs = untilMs;
    // Timers of Node hold 31 bits; a longer pause is renewed.
    const delayMs = Math.min(Math.max(untilMs - this.env.clock.wallMs(), 0), 2 ** 31 - 1);
    this.timer = this.env.timers.after(delayMs, () => {
      if (this.env.clock.wallMs() >= this.untilMs) this.end();
      else this.begin(mode, untilMs);
    });
  }

  end(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.mode = 'none';
    const { waiters } = this;
    this.waiters = [];
    for (const release of waiters) release();
  }

  /** Settles when the pause is over. */
  over(): Promise<void> {
    if (this.mode === 'none') return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  get waiting(): number {
    return this.waiters.length;
  }
}
