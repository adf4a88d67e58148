/**
 * What a session has to send: a queue of sealed chunks and one chunk that is being written.
 *
 * Invariants
 * - Bytes leave in the order in which they were written.
 * - A chunk leaves only when everything up to its `sequence` is durable; sequences in the queue never fall.
 * - A sealed chunk is not written to any more. Its buffer goes back to the pool, or to the connection for good.
 */

import type { BufferPool } from './buffer-pool.ts';
import { CHUNK_FIRST_BYTES, CHUNK_MAX_BYTES } from './limits.ts';

export interface Chunk {
  readonly buffer: Buffer;
  readonly length: number;
  readonly sequence: number;
}

const NOTHING = Buffer.alloc(0);

export class Output {
  /** The chunk that is being written: bytes[0, length). Written to by `reply-writer.ts` after `reserve`. */
  bytes: Buffer = NOTHING;
  length = 0;
  /** What has been written so far may leave when the store is durable up to here. Never falls. */
  sequence = 0;
  /** Bytes in sealed chunks, sent ones excepted. */
  sealedBytes = 0;
  /** Sequence of the newest sealed chunk, -1 without one. */
  lastSealedSequence = -1;
  private readonly pool: BufferPool;
  private sealed: Chunk[] = [];
  private sent = 0;

  constructor(pool: BufferPool) {
    this.pool = pool;
  }

  get isEmpty(): boolean {
    return this.length === 0 && this.sealedBytes === 0;
  }

  get sealedChunks(): number {
    return this.sealed.length - this.sent;
  }

  /** Makes room for `bytes` more in the current chunk, or begins another one. */
  reserve(bytes: number): void {
    if (this.length + bytes > this.bytes.length) this.enlarge(bytes);
  }

  /** Ends the current chunk. */
  seal(): void {
    if (this.length === 0) return;
    this.add(this.bytes, this.length);
    this.bytes = NOTHING;
    this.length = 0;
  }

  /** Adds a whole chunk in memory that the caller gives away. */
  addChunk(buffer: Buffer): void {
    this.seal();
    this.add(buffer, buffer.length);
  }

  /** The oldest sealed chunk. */
  first(): Chunk | undefined {
    return this.sealed[this.sent];
  }

  /** The oldest sealed chunk has been handed over; `reusable`: its memory is ours again. */
  shift(reusable: boolean): void {
    const chunk = this.sealed[this.sent++] as Chunk;
    this.sealedBytes -= chunk.length;
    if (reusable) this.pool.give(chunk.buffer);
    if (this.sent === this.sealed.length) {
      this.sealed = [];
      this.sent = 0;
      this.lastSealedSequence = -1;
    }
  }

  /** The current chunk has been handed over. */
  currentSent(reusable: boolean): void {
    if (reusable) this.pool.give(this.bytes);
    this.bytes = NOTHING;
    this.length = 0;
  }

  /** Forgets everything: the connection is gone. */
  letGo(): void {
    while (this.first() !== undefined) this.shift(true);
    this.currentSent(true);
  }

  private enlarge(bytes: number): void {
    const needed = this.length + bytes;
    if (needed > CHUNK_MAX_BYTES) {
      this.seal();
      this.bytes = this.pool.take(Math.max(bytes, CHUNK_MAX_BYTES));
      return;
    }
    const grown = this.pool.take(Math.max(needed, CHUNK_FIRST_BYTES, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.pool.give(this.bytes);
    this.bytes = grown;
  }

  private add(buffer: Buffer, length: number): void {
    this.sealed.push({ buffer, length, sequence: this.sequence });
    this.sealedBytes += length;
    this.lastSealedSequence = this.sequence;
  }
}
