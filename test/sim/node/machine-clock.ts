/** The clocks of one simulated machine: the wall clock is skewed, drifts and jumps; the monotonic one drifts along. */

import type { Clock } from '../../../src/env.ts';
import type { EventLoop } from '../event-loop.ts';

export class MachineClock implements Clock {
  private readonly loop: EventLoop;
  private readonly drift: number;
  private offsetMs: number;
  private isRight = false;

  /** `drift`: share by which it runs fast; `offsetMs`: ahead of the right time at virtual time 0. */
  constructor(loop: EventLoop, options: { offsetMs: number; drift: number }) {
    this.loop = loop;
    this.offsetMs = options.offsetMs;
    this.drift = options.drift;
  }

  wallMs(): number {
    const { loop } = this;
    const right = loop.clock.wallMs();
    return this.isRight ? right : Math.floor(right + (loop.nowUs / 1000) * this.drift + this.offsetMs);
  }

  monotonicUs(): number {
    return Math.floor(this.loop.nowUs * (1 + this.drift));
  }

  /** How far it is ahead of the right time. */
  get aheadMs(): number {
    return this.wallMs() - this.loop.clock.wallMs();
  }

  jump(ms: number): void {
    this.offsetMs += ms;
  }

  /** From now on it is right, as after NTP has set it. */
  heal(): void {
    this.isRight = true;
  }
}
