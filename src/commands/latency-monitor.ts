/**
 * Events that took long, by name: what LATENCY LATEST, HISTORY and GRAPH show. Off while the threshold is 0.
 *
 * Invariant: an event has at most `HISTORY_LENGTH` samples, one a second, each the worst of its second.
 */

/** Samples kept of an event, as Redis. */
export const HISTORY_LENGTH = 160;
/** Events beyond this are not kept: their names are ours, so this is never reached but by a bug. */
export const MAX_EVENTS = 64;

export interface LatencySample {
  /** Seconds since 1970. */
  readonly time: number;
  readonly ms: number;
}

export interface LatencyEvent {
  readonly name: string;
  /** Oldest first, never empty. */
  readonly samples: readonly LatencySample[];
  /** Worst of all, since the start or the last reset. */
  readonly maxMs: number;
}

export class LatencyMonitor {
  /** `latency-monitor-threshold`; 0 keeps nothing. */
  thresholdMs = 0;
  private readonly byName = new Map<string, { name: string; samples: LatencySample[]; maxMs: number }>();

  /** Keeps the event if it was slow enough. `time` in seconds since 1970. */
  record(name: string, ms: number, time: number): void {
    if (this.thresholdMs === 0 || ms < this.thresholdMs) return;
    let event = this.byName.get(name);
    if (event === undefined) {
      if (this.byName.size >= MAX_EVENTS) return;
      this.byName.set(name, (event = { name, samples: [], maxMs: 0 }));
    }
    if (ms > event.maxMs) event.maxMs = ms;
    const last = event.samples.at(-1);
    if (last?.time !== time) event.samples.push({ time, ms });
    else if (ms > last.ms) event.samples[event.samples.length - 1] = { time, ms };
    if (event.samples.length > HISTORY_LENGTH) event.samples.shift();
  }

  event(name: string): LatencyEvent | undefined {
    return this.byName.get(name);
  }

  events(): LatencyEvent[] {
    return [...this.byName.values()];
  }

  /** Forgets the named events, or all; returns how many there were. */
  reset(names: readonly string[]): number {
    const gone = names.length === 0 ? [...this.byName.keys()] : names;
    return gone.filter((name) => this.byName.delete(name)).length;
  }
}
