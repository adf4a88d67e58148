/** How fast a counter grows: the mean of the last samples, as INFO's `instantaneous_…`. */

/** As Redis: sixteen samples, one each tenth of a second. */
const SAMPLES = 16;

export class RateMeter {
  private readonly rates = new Float64Array(SAMPLES);
  private next = 0;
  private lastValue = 0;
  private lastUs = -1;

  /** `value`: the counter now; `nowUs`: the monotonic clock. */
  sample(value: number, nowUs: number): void {
    if (this.lastUs >= 0 && nowUs > this.lastUs) {
      const grown = Math.max(0, value - this.lastValue);
      this.rates[this.next] = (grown * 1_000_000) / (nowUs - this.lastUs);
      this.next = (this.next + 1) % SAMPLES;
    }
    this.lastValue = value;
    this.lastUs = nowUs;
  }

  get perSecond(): number {
    return this.rates.reduce((sum, rate) => sum + rate, 0) / SAMPLES;
  }

  restart(): void {
    this.rates.fill(0);
    this.lastUs = -1;
    this.lastValue = 0;
  }
}
