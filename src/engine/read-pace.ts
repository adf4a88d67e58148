/**
 * Whether a missing block is read at once, holding the event loop for the read, or in the background.
 *
 * What the operating system has in its cache comes in 5 to 15 µs, where the way through the thread pool and back takes 40
 * to 100 µs and makes whoever asked begin again; what has to come from the disk may take milliseconds. Nobody tells
 * beforehand which it will be, but the last reads do: a slow one sends the reads of the next while to the background,
 * for a time in proportion, so that slow reads take at most one part in `PATIENCE` of the event loop's time. And a
 * turn never spends more than `TURN_BUDGET_US` on reads.
 *
 * A read that was slow although nothing was fetched from a device was held up by something else: on a busy machine its
 * thread loses the processor for milliseconds now and then. That says nothing about the next read and changes nothing;
 * when it did, nearly all reads went the long way there and cost four times as much.
 */

import { must } from '../assert.ts';
import type { Clock, Disk, Timers } from '../env.ts';

/** A read that took longer came from the disk, or the thread was held up; one of a large tail takes 100. */
const SLOW_US = 250;

/** What a read counts for that was held up by something else. */
const USUAL_US = 10;

/**
 * For each microsecond of a slow read so many microseconds of reads in the background. 200 left nearly all reads there on a
 * busy machine, where a read is now and then held up for milliseconds: 300,000 gets over a cold cache took 4.6 us each, with
 * 20 they take 3.6.
 */
const PATIENCE = 20;

/**
 * From here on the time in the background grows with the square: whoever blocks for 10 ms is left alone for a second, so that
 * turns that long stay rare. Shorter ones need not be: with 500 here a disk that took a millisecond now and then had
 * half of all reads made in the background, and a get cost 29 us instead of 9.
 */
const VERY_SLOW_US = 2000;
const MAX_BACKGROUND_US = 60_000_000;

/** Larger pieces (filters and indexes of large tables) are always read in the background. */
export const MAX_BYTES_NOW = 64 * 1024;

const TURN_BUDGET_US = 2000;

export class ReadPace {
  /** Reads made at once. */
  count = 0;
  readonly #clock: Clock | undefined;
  readonly #timers: Pick<Timers, 'atTurnEnd'>;
  readonly #disk: Pick<Disk, 'fetchedBytes'>;
  #backgroundUntilUs = 0;
  #spentUs = 0;
  /** As of the last slow read. */
  #fetchedBytes: number;
  readonly #newTurn = (): void => {
    this.#spentUs = 0;
  };

  constructor(clock: Clock | undefined, timers: Pick<Timers, 'atTurnEnd'>, disk: Pick<Disk, 'fetchedBytes'> = {}) {
    this.#clock = clock;
    this.#timers = timers;
    this.#disk = disk;
    this.#fetchedBytes = disk.fetchedBytes?.() ?? Number.NaN;
  }

  /** When a read that is made now begins; -1: it should be made in the background. */
  begin(): number {
    if (this.#clock === undefined || this.#spentUs >= TURN_BUDGET_US) return -1;
    const nowUs = this.#clock.monotonicUs();
    return nowUs < this.#backgroundUntilUs ? -1 : nowUs;
  }

  end(startUs: number): void {
    this.count++;
    const nowUs = must(this.#clock, 'a clock').monotonicUs();
    let tookUs = nowUs - startUs;
    if (tookUs > SLOW_US && !this.#hasFetched()) tookUs = USUAL_US;
    if (this.#spentUs === 0) this.#timers.atTurnEnd(this.#newTurn);
    // At least 1, so that the turn's end is asked for once.
    this.#spentUs += Math.max(1, tookUs);
    if (tookUs <= SLOW_US) return;
    const background = tookUs * PATIENCE * Math.max(1, tookUs / VERY_SLOW_US);
    this.#backgroundUntilUs = nowUs + Math.min(MAX_BACKGROUND_US, background);
  }

  /** Whether a read since the last slow one may have had to wait for a device. */
  #hasFetched(): boolean {
    const before = this.#fetchedBytes;
    this.#fetchedBytes = this.#disk.fetchedBytes?.() ?? Number.NaN;
    // Written so that NaN, which is unlike itself, counts as yes.
    return this.#fetchedBytes !== before;
  }
}
