/** The wall clock of one simulated node: skewed, drifting, jumping. */

import type { Kernel } from './kernel.ts';

/** What virtual time 0 is on a right clock. */
const EPOCH_MS = 1_700_000_000_000;

export class NodeClock {
  private readonly kernel: Kernel;
  private readonly drift: number;
  private offsetMs: number;
  private healed = false;

  constructor(kernel: Kernel, offsetMs: number, drift: number) {
    this.kernel = kernel;
    this.offsetMs = offsetMs;
    this.drift = drift;
  }

  wallMs(): number {
    const now = this.kernel.nowMs;
    return Math.floor(EPOCH_MS + (this.healed ? now : now * (1 + this.drift) + this.offsetMs));
  }

  jump(ms: number): void {
    this.offsetMs += ms;
  }

  /** From now on the clock is right. */
  heal(): void {
    this.healed = true;
  }
}
