/**
 * Buffers used for a moment and given back: input carried from one read to the next, output of one turn.
 *
 * Invariants: a buffer in the pool is known to nobody else; sizes are powers of two; the pool keeps at most
 * `maxBytes`, what comes back beyond that is left to the collector.
 */

import { must } from '../assert.ts';
import { POOL_LARGEST_BYTES, POOL_MAX_BYTES, POOL_SMALLEST_BYTES } from './limits.ts';

const SMALLEST_SHIFT = Math.log2(POOL_SMALLEST_BYTES);

export class BufferPool {
  heldBytes = 0;
  private readonly free: Buffer[][] = [];
  private readonly maxBytes: number;

  constructor(maxBytes = POOL_MAX_BYTES) {
    this.maxBytes = maxBytes;
    for (let size = POOL_SMALLEST_BYTES; size <= POOL_LARGEST_BYTES; size *= 2) this.free.push([]);
  }

  /** A buffer of at least `minBytes`; its contents are arbitrary. Above the largest pooled size: of just that size. */
  take(minBytes: number): Buffer {
    if (minBytes > POOL_LARGEST_BYTES) return Buffer.allocUnsafeSlow(minBytes);
    const place = placeOf(minBytes);
    const pooled = must(this.free[place], 'a size of the pool').pop();
    if (pooled === undefined) return Buffer.allocUnsafeSlow(POOL_SMALLEST_BYTES << place);
    this.heldBytes -= pooled.length;
    return pooled;
  }

  /** Requires: nobody uses `buffer` any more. Buffers that `take` did not make from a size of the pool are dropped. */
  give(buffer: Buffer): void {
    const size = buffer.length;
    if (size < POOL_SMALLEST_BYTES || size > POOL_LARGEST_BYTES || (size & (size - 1)) !== 0) return;
    if (this.heldBytes + size > this.maxBytes) return;
    this.heldBytes += size;
    must(this.free[placeOf(size)], 'a size of the pool').push(buffer);
  }
}

/** Index of the smallest power of two that holds `bytes`. */
function placeOf(bytes: number): number {
  return bytes <= POOL_SMALLEST_BYTES ? 0 : 32 - Math.clz32(bytes - 1) - SMALLEST_SHIFT;
}
