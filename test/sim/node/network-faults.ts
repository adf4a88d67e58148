/** How bad the simulated network is. Chances are for each piece of bytes that is sent. */

export interface NetworkFaults {
  /** One-way delay: at least this, and on top an exponential of this mean. */
  baseUs: number;
  jitterUs: number;
  /** Arrivals are rounded up to this, so that several are ready in one turn. */
  grainUs: number;
  /** A piece is lost and sent again: it and all behind it wait up to `stallMs`. */
  stallChance: number;
  stallMs: number;
  /** As a stall, but longer than every deadline. */
  lateChance: number;
  lateMs: number;
  /** The connection is reset; a part of the piece may still arrive. */
  resetChance: number;
  /** A piece arrives in several parts. */
  splitChance: number;
  /** A bit flips on the way; between nodes only, since RESP has no checksum. */
  flipChance: number;
  /** `write` says that not all was taken though there was room. */
  slowWriteChance: number;
  /** An unanswered call is tried again after this, twice this, and so on. */
  callRetryMs: number;
}

export function calmNetwork(): NetworkFaults {
  return {
    baseUs: 100,
    jitterUs: 50,
    grainUs: 1,
    stallChance: 0,
    stallMs: 0,
    lateChance: 0,
    lateMs: 0,
    resetChance: 0,
    splitChance: 0,
    flipChance: 0,
    slowWriteChance: 0,
    callRetryMs: 200,
  };
}
