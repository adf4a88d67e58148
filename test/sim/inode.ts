/** Contents of simulated files: what reads see, what is durable, and which part of the difference survives. */

import type { Prng } from './prng.ts';

/** The unit that a disk writes whole or not at all. */
export const SECTOR_SIZE_BYTES = 512;

export interface Change {
  readonly serial: number;
  /** A write of `bytes` at `position`, or without bytes: a truncation to `position`. */
  readonly position: number;
  readonly bytes: Uint8Array | undefined;
}

/** Bytes with a length that grows and shrinks; what lies beyond the length reads as zeros once it grows again. */
export class Content {
  /** Not to be written by others. */
  bytes = new Uint8Array(0);
  length = 0;
  /** Copies have the same memory, until one of them is written. */
  #isShared = false;

  write(position: number, bytes: Uint8Array): void {
    this.resize(Math.max(this.length, position + bytes.length));
    if (this.#isShared) this.#own(this.bytes.length);
    this.bytes.set(bytes, position);
  }

  resize(length: number): void {
    if (length > this.bytes.length) this.#own(Math.max(length, 2 * this.bytes.length, 256));
    if (length < this.length) {
      if (this.#isShared) this.#own(this.bytes.length);
      this.bytes.fill(0, length, this.length);
    }
    this.length = length;
  }

  copy(): Content {
    const copy = new Content();
    copy.bytes = this.bytes;
    copy.length = this.length;
    copy.#isShared = true;
    this.#isShared = true;
    return copy;
  }

  #own(size: number): void {
    const own = new Uint8Array(size);
    own.set(this.bytes.subarray(0, this.length));
    this.bytes = own;
    this.#isShared = false;
  }

  apply(change: Change): void {
    if (change.bytes === undefined) this.resize(change.position);
    else this.write(change.position, change.bytes);
  }
}

export class Inode {
  seen = new Content();
  durable = new Content();
  pending: Change[] = [];
  links = 0;

  clone(): Inode {
    const clone = new Inode();
    clone.seen = this.seen.copy();
    clone.durable = this.durable.copy();
    clone.pending = [...this.pending];
    clone.links = this.links;
    return clone;
  }

  /** A copy whose contents are durable as they are seen. */
  settled(): Inode {
    const copy = new Inode();
    copy.seen = this.seen.copy();
    copy.durable = this.seen.copy();
    copy.links = this.links;
    return copy;
  }

  /** Changes up to `serial` have reached the platter. */
  settle(serial: number): void {
    let count = 0;
    for (const change of this.pending) {
      if (change.serial > serial) break;
      this.durable.apply(change);
      count++;
    }
    this.pending.splice(0, count);
  }
}

/** Applies a random part of what a crash found unsynced. */
export function keepSome(
  content: Content,
  unsynced: { readonly changes: readonly Change[]; readonly seenLength: number },
  random: Prng,
): void {
  const { changes, seenLength } = unsynced;
  const style = random.pick(['all', 'none', 'prefix', 'sectors', 'sectors'] as const);
  const kept = random.below(changes.length + 1);
  const rate = random.pick([0.1, 0.5, 0.9]);
  for (const [index, change] of changes.entries()) {
    if (style === 'none') break;
    if (style === 'all' || (style === 'prefix' && index < kept)) content.apply(change);
    else if (style === 'prefix' && index === kept) keepSectors(content, change, (first) => first || random.chance(0.5));
    else if (style === 'sectors') keepSectors(content, change, () => random.chance(rate));
  }
  // The length may be durable while the bytes are not: they read as zeros then.
  if (seenLength > content.length && random.chance(0.3)) {
    content.resize(random.chance(0.5) ? seenLength : random.between(content.length, seenLength));
  }
}

/** Applies those sectors of a change that `keep` says; a truncation is one sector. */
function keepSectors(content: Content, change: Change, keep: (isFirst: boolean) => boolean): void {
  if (change.bytes === undefined) {
    if (keep(true)) content.apply(change);
    return;
  }
  const end = change.position + change.bytes.length;
  let start = change.position;
  while (start < end) {
    const next = Math.min(end, (Math.floor(start / SECTOR_SIZE_BYTES) + 1) * SECTOR_SIZE_BYTES);
    if (keep(start === change.position)) {
      content.write(start, change.bytes.subarray(start - change.position, next - change.position));
    }
    start = next;
  }
}
