/**
 * A network of messages with faults: delay, slow and very late messages (beyond every timeout, into a later life of the
 * receiver), loss, duplication below the bus, one-way and two-way cuts.
 */

import type { Prng } from '../prng.ts';
import type { Kernel } from './kernel.ts';

export interface NetworkFaults {
  /** Probability that a message is lost. */
  readonly loss: number;
  /** Probability that a message arrives twice; the second time up to `lateMs` later. */
  readonly duplication: number;
  /** Probability that a message takes up to 60 ms instead of 2. */
  readonly slow: number;
  /** Probability that a message takes up to `lateMs`. */
  readonly late: number;
  readonly lateMs: number;
}

export class Network {
  /** Directed cuts, `from>to`. */
  readonly cuts = new Set<string>();
  faultsOn = true;
  lost = 0;
  carried = 0;
  private readonly kernel: Kernel;
  private readonly random: Prng;
  private readonly faults: NetworkFaults;

  constructor(kernel: Kernel, random: Prng, faults: NetworkFaults) {
    this.kernel = kernel;
    this.random = random;
    this.faults = faults;
  }

  /** Calls `deliver` once, never or twice, later. A node always reaches itself, at once. */
  send(from: number, to: number, deliver: () => void): void {
    if (from === to) {
      this.kernel.after(0.02, deliver);
      return;
    }
    if (this.faultsOn && (this.cuts.has(`${from}>${to}`) || this.random.chance(this.faults.loss))) {
      this.lost++;
      return;
    }
    this.carried++;
    this.kernel.after(this.delayMs(), deliver);
    if (this.faultsOn && this.random.chance(this.faults.duplication)) {
      this.kernel.after(this.delayMs() + this.random.next() * this.faults.lateMs, deliver);
    }
  }

  private delayMs(): number {
    const usual = 0.5 + this.random.next() * 1.5;
    if (!this.faultsOn) return usual;
    if (this.random.chance(this.faults.late)) return usual + this.random.next() * this.faults.lateMs;
    return this.random.chance(this.faults.slow) ? usual + this.random.next() * 60 : usual;
  }
}
