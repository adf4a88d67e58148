/**
 * The block cache: decoded blocks of all tables within one budget of bytes.
 *
 * Blocks hang in arrays of their tables, by ordinal, so a hit is two array reads and no hashing. What stays is decided
 * by S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): a new block enters a small
 * queue of a tenth of the budget; only if it is hit twice before it has passed through does it move to the main queue,
 * where hits give it further rounds. So a scan, which touches a block once, washes through the small queue only. A
 * block that was dropped from the small queue leaves a ghost; if it comes back soon it enters the main queue at once.
 *
 * Invariants: `bytes` is the sum of the sizes of the blocks in both queues; a block in a queue has its bytes; a ghost
 * has none. Blocks loaded for a reader that waits are pinned: they stay until the second turn end after the load,
 * whatever the budget says, so that a reader that runs again finds what it missed. Blocks that somebody holds stay too.
 * The frame of a dropped block is used again after the second turn end from then, so what a look-up has found is valid
 * for the rest of its turn.
 */

import type { Timers } from '../env.ts';
import { BlockFrames } from './block-frames.ts';
import type { Frame } from './block-frames.ts';
import type { KeyIndex } from './key-index.ts';

/** Bytes of bookkeeping that a block costs besides its contents. */
const OVERHEAD_BYTES = 200;

/** Part of the budget for blocks that have not proven themselves. */
const SMALL_PART = 0.1;

/** Frames may take a little more than the budget: those of dropped blocks are used again a turn later. */
const FRAMES_PART = 1.25;
const FRAMES_EXTRA_BYTES = 4 << 20;

const MAX_FREQUENCY = 3;

/** Hits in the small queue that move a block to the main one: the first is the reader that waited for the load. */
const PROMOTING_FREQUENCY = 2;

const place = { NOWHERE: 0, SMALL: 1, MAIN: 2, GHOST: 3 } as const;
type Place = (typeof place)[keyof typeof place];

export class CachedBlock {
  /** Undefined in a ghost. */
  bytes: Uint8Array | undefined;
  /** The memory of `bytes`, unless they have memory of their own. */
  frame: Frame | undefined;
  /** The block as an index, where it is a partition of one. */
  index: KeyIndex | undefined;
  /** Hits since the block entered its queue, at most 3. */
  frequency = 0;
  place: Place = place.NOWHERE;
  pinnedUntil = 0;
  /** Readers that stand in this block, or still load other things and will need it when they have them. */
  holds = 0;
  next: CachedBlock | undefined;
  readonly slots: (CachedBlock | undefined)[];
  readonly slot: number;

  constructor(slots: (CachedBlock | undefined)[], slot: number) {
    this.slots = slots;
    this.slot = slot;
  }

  touch(): void {
    if (this.frequency < MAX_FREQUENCY) this.frequency++;
  }

  get size(): number {
    if (this.bytes === undefined) return 0;
    const bytes = this.frame === undefined ? this.bytes.length : this.frame.slab.frameBytes;
    return bytes + (this.index === undefined ? 0 : this.index.extraBytes) + OVERHEAD_BYTES;
  }
}

/** First in, first out, linked through the blocks. Blocks of closed tables stay until they come to the head. */
class Queue {
  bytes = 0;
  count = 0;
  #head: CachedBlock | undefined;
  #tail: CachedBlock | undefined;

  push(block: CachedBlock): void {
    block.next = undefined;
    if (this.#tail === undefined) this.#head = block;
    else this.#tail.next = block;
    this.#tail = block;
    this.bytes += block.size;
    this.count++;
  }

  shift(): CachedBlock | undefined {
    const block = this.#head;
    if (block === undefined) return undefined;
    this.#head = block.next;
    if (this.#head === undefined) this.#tail = undefined;
    block.next = undefined;
    this.bytes -= block.size;
    this.count--;
    return block;
  }
}

export class BlockCache {
  /** Blocks that were loaded. */
  misses = 0;
  evictions = 0;
  budgetBytes: number;
  readonly #timers: Pick<Timers, 'atTurnEnd'>;
  readonly #small = new Queue();
  readonly #main = new Queue();
  readonly #ghosts = new Queue();
  #turn = 0;
  #turnsToCount = 0;
  readonly #frames: BlockFrames;
  /** Frames of blocks that were dropped in this turn, and in the one before. */
  #leaving: Frame[] = [];
  #left: Frame[] = [];
  /** Readers who want frames of dropped blocks to stay as they are. */
  #keepers = 0;
  readonly #atTurnEnd = (): void => this.#turnEnd();

  /** `scrub`: for tests; see `BlockFrames`. */
  constructor(budgetBytes: number, timers: Pick<Timers, 'atTurnEnd'>, scrub = false) {
    this.budgetBytes = budgetBytes;
    this.#timers = timers;
    this.#frames = new BlockFrames(budgetBytes * FRAMES_PART + FRAMES_EXTRA_BYTES, scrub);
  }

  get bytes(): number {
    return this.#small.bytes + this.#main.bytes;
  }

  get count(): number {
    return this.#small.count + this.#main.count;
  }

  /** Memory that blocks take, with what is kept for the next ones. */
  get reservedBytes(): number {
    return this.bytes - this.#frames.takenBytes + this.#frames.reservedBytes;
  }

  /**
   * Memory to read a block of this length into, which `insert` takes over; else it is to be given back by `giveBack`.
   * Undefined: the block needs memory of its own.
   */
  frameFor(length: number): Frame | undefined {
    return this.#frames.take(length);
  }

  /** Requires: nobody has seen what is in it. */
  giveBack(frame: Frame): void {
    this.#frames.give(frame);
  }

  /**
   * Puts the contents of slots[slot] in, pinned, and makes room. `frame` is the memory of `bytes`, if it is one. Requires:
   * the block is not in.
   */
  insert(slots: (CachedBlock | undefined)[], slot: number, bytes: Uint8Array, frame?: Frame, index?: KeyIndex): void {
    const before = slots[slot];
    const wasGhost = before?.place === place.GHOST;
    // The ghost stays linked in its queue, so what comes back is an entry of its own.
    if (wasGhost) before.place = place.NOWHERE;
    const entry = new CachedBlock(slots, slot);
    entry.bytes = bytes;
    entry.frame = frame;
    entry.index = index;
    slots[slot] = entry;
    this.#pin(entry);
    this.#enter(entry, wasGhost ? place.MAIN : place.SMALL);
    this.misses++;
    this.#shrink();
  }

  /** Keeps a block until `letGo`, and then until the second turn end. */
  hold(block: CachedBlock): void {
    block.holds++;
  }

  letGo(block: CachedBlock): void {
    block.holds--;
    this.#pin(block);
  }

  /** As `letGo`, by a reader that will not come back. */
  leave(block: CachedBlock): void {
    block.holds--;
  }

  /** Drops all blocks of a table that is gone. */
  drop(slots: (CachedBlock | undefined)[]): void {
    for (const block of slots) {
      if (block === undefined || block.bytes === undefined) continue;
      const queue = block.place === place.SMALL ? this.#small : this.#main;
      queue.bytes -= block.size;
      this.#empty(block);
      block.place = place.NOWHERE;
    }
    slots.length = 0;
  }

  #enter(block: CachedBlock, where: Place): void {
    block.place = where;
    block.frequency = 0;
    (where === place.SMALL ? this.#small : this.#main).push(block);
  }

  #shrink(): void {
    let pinned = 0;
    while (this.bytes > this.budgetBytes && pinned < this.count) {
      const fromSmall = this.#small.bytes > this.budgetBytes * SMALL_PART || this.#main.count === 0;
      const kept = fromSmall && this.#small.count > 0 ? this.#shiftSmall() : this.#shiftMain();
      pinned = kept ? pinned + 1 : 0;
    }
    while (this.#ghosts.count > this.#main.count + this.#small.count) {
      const ghost = this.#ghosts.shift();
      if (ghost?.place === place.GHOST && ghost.slots[ghost.slot] === ghost) ghost.slots[ghost.slot] = undefined;
    }
  }

  /** Takes the oldest block of the small queue; true: it stayed because it is pinned. */
  #shiftSmall(): boolean {
    const block = this.#small.shift();
    if (block === undefined || block.bytes === undefined) return false;
    if (this.#isPinned(block)) {
      this.#small.push(block);
      return true;
    }
    if (block.frequency >= PROMOTING_FREQUENCY) {
      this.#enter(block, place.MAIN);
      return false;
    }
    this.#empty(block);
    this.evictions++;
    block.place = place.GHOST;
    this.#ghosts.push(block);
    return false;
  }

  #shiftMain(): boolean {
    const block = this.#main.shift();
    if (block === undefined || block.bytes === undefined) return false;
    const pinned = this.#isPinned(block);
    if (pinned || block.frequency > 0) {
      if (!pinned) block.frequency--;
      this.#main.push(block);
      return pinned;
    }
    this.#empty(block);
    this.evictions++;
    block.place = place.NOWHERE;
    block.slots[block.slot] = undefined;
    return false;
  }

  #isPinned(block: CachedBlock): boolean {
    return block.holds > 0 || block.pinnedUntil > this.#turn;
  }

  #pin(block: CachedBlock): void {
    block.pinnedUntil = this.#turn + 2;
    this.#countTurns();
  }

  /** Lets go of what a block holds; what a look-up has found in it stays valid for the rest of the turn. */
  #empty(block: CachedBlock): void {
    const { frame } = block;
    block.bytes = undefined;
    block.frame = undefined;
    block.index = undefined;
    // Of a table that goes while somebody stands in its block, the frame is left to the garbage collector.
    if (frame === undefined || block.holds > 0) return;
    this.#leaving.push(frame);
    this.#countTurns();
  }

  /** Counts turn ends as long as something is pinned. */
  #countTurns(): void {
    const idle = this.#turnsToCount === 0;
    this.#turnsToCount = 3;
    if (idle) this.#timers.atTurnEnd(this.#atTurnEnd);
  }

  /** What has been read stays valid beyond the turn until `unkeep`: frames of dropped blocks are not used again. */
  keep(): void {
    this.#keepers++;
  }

  unkeep(): void {
    this.#keepers--;
    this.#countTurns();
  }

  #turnEnd(): void {
    this.#turn++;
    this.#turnsToCount--;
    if (this.#keepers === 0) {
      const free = this.#left;
      this.#left = this.#leaving;
      this.#leaving = free;
      for (const frame of free) this.#frames.give(frame);
      free.length = 0;
    }
    // What this drops asks for further turn ends.
    if (this.#turnsToCount === 0) this.#shrink();
    else this.#timers.atTurnEnd(this.#atTurnEnd);
  }
}
