/**
 * What is counted for each command: calls, time, failures and a histogram of times, for INFO commandstats and
 * latencystats and for LATENCY HISTOGRAM.
 *
 * A histogram is log-linear in microseconds, as HdrHistogram's: below 16 each has a bucket, above that every power of
 * two is cut into eight, so a percentile is off by at most an eighth. Recording adds one to one element of an array.
 */

import type { Command } from './command.ts';

const SUB_BUCKETS = 8;
const LINEAR_BELOW = 2 * SUB_BUCKETS;
/** Times from 2^36 µs (19 hours) on share the last bucket. */
const MAX_EXPONENT = 36;
const BUCKETS = LINEAR_BELOW + (MAX_EXPONENT - 4) * SUB_BUCKETS;

/** Bucket of a time in microseconds. */
export function bucketOf(us: number): number {
  if (us < LINEAR_BELOW) return us < 0 ? 0 : us | 0;
  if (us >= 2 ** MAX_EXPONENT) return BUCKETS - 1;
  const exponent = us < 2 ** 31 ? 31 - Math.clz32(us) : Math.floor(Math.log2(us));
  const part = Math.floor(us / 2 ** (exponent - 3)) - SUB_BUCKETS;
  return LINEAR_BELOW + (exponent - 4) * SUB_BUCKETS + part;
}

/** Largest whole number of microseconds that falls into the bucket. */
export function bucketTop(bucket: number): number {
  if (bucket < LINEAR_BELOW) return bucket;
  const exponent = Math.floor((bucket - LINEAR_BELOW) / SUB_BUCKETS) + 4;
  const part = (bucket - LINEAR_BELOW) % SUB_BUCKETS;
  return (SUB_BUCKETS + part + 1) * 2 ** (exponent - 3) - 1;
}

const NO_TIMES = new Float64Array(0);

export class CommandStat {
  /** `get`, `config|get`. */
  readonly name: string;
  calls = 0;
  totalUs = 0;
  /** Refused before it ran, and answered with an error. */
  rejected = 0;
  failed = 0;
  /** Of commands that were never timed: none. */
  private times = NO_TIMES;
  private timed = 0;

  constructor(name: string) {
    this.name = name;
  }

  record(us: number, failed: boolean, tracked: boolean): void {
    this.calls++;
    this.totalUs += us;
    if (failed) this.failed++;
    if (!tracked) return;
    if (this.times === NO_TIMES) this.times = new Float64Array(BUCKETS);
    const bucket = bucketOf(us);
    this.times[bucket] = (this.times[bucket] as number) + 1;
    this.timed++;
  }

  /** Microseconds below which this share of the calls stayed, 0 to 100; 0 without calls. */
  percentileUs(percentile: number): number {
    const target = Math.max(1, Math.ceil((percentile / 100) * this.timed));
    let sum = 0;
    for (let bucket = 0; bucket < this.times.length; bucket++) {
      sum += this.times[bucket] as number;
      if (sum >= target && sum > 0) return bucketTop(bucket);
    }
    return 0;
  }

  get hasTimes(): boolean {
    return this.timed > 0;
  }

  /** Calls that took at most 1, 2, 4, … µs: pairs with a growing count, up to the slowest call. */
  cumulative(): [upToUs: number, calls: number][] {
    const pairs: [number, number][] = [];
    let sum = 0;
    let bucket = 0;
    for (let top = 1; sum < this.timed; top *= 2) {
      const before = sum;
      for (; bucket < BUCKETS && (bucketTop(bucket) <= top || bucket === BUCKETS - 1); bucket++) {
        sum += this.times[bucket] as number;
      }
      if (sum > before) pairs.push([top, sum]);
    }
    return pairs;
  }

  reset(): void {
    this.calls = 0;
    this.totalUs = 0;
    this.rejected = 0;
    this.failed = 0;
    this.resetTimes();
  }

  resetTimes(): void {
    this.times.fill(0);
    this.timed = 0;
  }
}

/** One `CommandStat` for each row of the table, subcommands by themselves. */
export class CommandStats {
  private readonly byCommand = new Map<Command, CommandStat>();

  /** Gives every row its full name. */
  addAll(commands: readonly Command[]): void {
    for (const command of commands) {
      this.byCommand.set(command, new CommandStat(command.name));
      for (const subcommand of command.subcommands ?? []) {
        this.byCommand.set(subcommand, new CommandStat(`${command.name}|${subcommand.name}`));
      }
    }
  }

  of(command: Command): CommandStat {
    const known = this.byCommand.get(command);
    if (known !== undefined) return known;
    const added = new CommandStat(command.name);
    this.byCommand.set(command, added);
    return added;
  }

  all(): IterableIterator<CommandStat> {
    return this.byCommand.values();
  }

  reset(): void {
    for (const stat of this.byCommand.values()) stat.reset();
  }
}

/** Codes of errors beyond this many are counted together, so that a client cannot fill the memory with new codes. */
export const MAX_ERROR_CODES = 128;
const OTHER_ERRORS = 'OTHER';

/** How many errors were answered, by their code: the first word of the message. */
export class ErrorStats {
  private readonly counts = new Map<string, number>();
  total = 0;

  count(message: string): void {
    this.total++;
    const space = message.indexOf(' ');
    let code = space < 0 ? message : message.slice(0, space);
    if (!this.counts.has(code) && this.counts.size >= MAX_ERROR_CODES) code = OTHER_ERRORS;
    this.counts.set(code, (this.counts.get(code) ?? 0) + 1);
  }

  entries(): IterableIterator<[string, number]> {
    return this.counts.entries();
  }

  reset(): void {
    this.counts.clear();
    this.total = 0;
  }
}
