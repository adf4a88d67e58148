/**
 * When silence counts. A peer whose bytes have not been read yet is not silent, so time is measured as this node
 * listened: what passed while its own loop was blocked (or its process stopped) counts for little, and whoever judges
 * does so after a turn that has read what was there.
 */

/** How often silence is judged and heartbeats are considered. */
export const ROUND_MS = 50;

/** A connection on which nothing was sent for so long carries a heartbeat. */
export const HEARTBEAT_MS = 100;

/** A peer that was not heard for so long is unhealthy: three heartbeats and a pause of its own. */
export const UNHEALTHY_MS = 400;

/** A connection that was silent for so long is closed, so that a new one finds its way when the old one cannot. */
export const SILENCE_MS = 4_000;

/** How often the round trip is measured. */
export const RTT_MS = 1_000;

/** More than this between two rounds was not spent listening. */
const MAX_ROUND_MS = 2 * ROUND_MS;

export class ListeningClock {
  /** Milliseconds of listening, as of the last round. */
  nowMs = 0;
  private lastMs: number;

  /** `monotonicMs`: now. */
  constructor(monotonicMs: number) {
    this.lastMs = monotonicMs;
  }

  round(monotonicMs: number): void {
    this.nowMs += Math.min(MAX_ROUND_MS, Math.max(0, monotonicMs - this.lastMs));
    this.lastMs = monotonicMs;
  }
}

/**
 * A smoothed round trip: an eighth towards a longer one (as TCP's, RFC 6298), half towards a shorter one, since what
 * makes it long is work of the moment, at the start most of all.
 */
export function smoothed(value: number, sample: number): number {
  if (value === Number.POSITIVE_INFINITY) return sample;
  return value + (sample - value) / (sample < value ? 2 : 8);
}
