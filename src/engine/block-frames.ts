/**
 * The memory of cached blocks: frames of a few sizes in larger pieces (slabs), used again as blocks come and go.
 *
 * An array buffer for each block costs more than reading the block from the operating system's cache does: it is
 * allocated, its pages are faulted in one by one, and the garbage collector is driven by what has been allocated. Frames
 * cost none of that once the cache is full.
 *
 * Invariants: a frame is free, in its slab's list, or taken; a slab with a free frame is in its size's list of open slabs;
 * `reservedBytes` is the sum of the slabs that are kept and never above `limitBytes`, `takenBytes` that of the taken
 * frames. What a frame holds is anybody's once it is given back: whoever may still read it gives it back later
 * (block-cache.ts).
 */

import { assert } from '../assert.ts';

/** Frames come in multiples of this, so that on average half of it is wasted. */
const STEP_BYTES = 512;

/** Blocks of 8 KiB end with the record that fills them, which has up to 16 KiB; larger ones get memory of their own. */
export const MAX_FRAME_BYTES = 24 * 1024;

/** 15 frames for blocks of 8 KiB; what is left over at the end is wasted. */
const SLAB_BYTES = 128 * 1024;

/** Slabs without a taken frame are kept up to this part of all that may be reserved. */
const SPARE_PART = 1 / 16;

const NOTHING = new Uint8Array(0);

/** Overwrites what is given back; no block begins or ends like this. */
const SCRUBBED = 0xdd;

export class Frame {
  /** Exactly as long as what was asked for; what it holds at first is anything. */
  bytes: Uint8Array = NOTHING;
  readonly slab: Slab;
  readonly start: number;

  constructor(slab: Slab, start: number) {
    this.slab = slab;
    this.start = start;
  }
}

class Slab {
  readonly buffer: ArrayBuffer;
  readonly frameBytes: number;
  readonly frames: number;
  readonly free: Frame[] = [];

  constructor(frameBytes: number) {
    this.buffer = Buffer.allocUnsafeSlow(SLAB_BYTES).buffer;
    this.frameBytes = frameBytes;
    this.frames = Math.floor(SLAB_BYTES / frameBytes);
    for (let i = this.frames - 1; i >= 0; i--) this.free.push(new Frame(this, i * frameBytes));
  }
}

export class BlockFrames {
  /** Slabs together take no more than this. */
  limitBytes: number;
  reservedBytes = 0;
  takenBytes = 0;
  /** By size: slabs with free frames; the last one is taken from. */
  readonly #open: Slab[][] = Array.from({ length: MAX_FRAME_BYTES / STEP_BYTES }, () => []);
  readonly #scrub: boolean;

  /** `scrub`: frames that are given back are overwritten, so that who still reads one is found out. */
  constructor(limitBytes: number, scrub = false) {
    this.limitBytes = limitBytes;
    this.#scrub = scrub;
  }

  /** A frame for so many bytes; undefined: it is too long, or all that may be reserved is. */
  take(length: number): Frame | undefined {
    if (length > MAX_FRAME_BYTES || length === 0) return undefined;
    const size = Math.ceil(length / STEP_BYTES);
    const open = this.#open[size - 1] as Slab[];
    let slab = open.at(-1);
    if (slab === undefined) {
      if (this.reservedBytes + SLAB_BYTES > this.limitBytes) return undefined;
      slab = new Slab(size * STEP_BYTES);
      this.reservedBytes += SLAB_BYTES;
      open.push(slab);
    }
    const frame = slab.free.pop() as Frame;
    if (slab.free.length === 0) open.pop();
    this.takenBytes += slab.frameBytes;
    frame.bytes = new Uint8Array(slab.buffer, frame.start, length);
    return frame;
  }

  /** Requires: it was taken, and nobody reads or writes it any more. */
  give(frame: Frame): void {
    const { slab } = frame;
    assert(frame.bytes !== NOTHING, 'a frame is given back once');
    if (this.#scrub) frame.bytes.fill(SCRUBBED);
    frame.bytes = NOTHING;
    slab.free.push(frame);
    this.takenBytes -= slab.frameBytes;
    const open = this.#open[slab.frameBytes / STEP_BYTES - 1] as Slab[];
    if (slab.free.length === 1) open.push(slab);
    if (slab.free.length < slab.frames) return;
    if (this.reservedBytes - this.takenBytes <= this.limitBytes * SPARE_PART + SLAB_BYTES) return;
    open.splice(open.indexOf(slab), 1);
    this.reservedBytes -= SLAB_BYTES;
  }
}
