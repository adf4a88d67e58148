/**
 * Where the walks of SCAN stand: a token stands for the last physical key that a walk has passed.
 *
 * A SCAN cursor is `slot × 2^38 + token`, below 2^52, so that it fits what clients accept (a double, a u64). Token 0
 * is the start of the slot, so cursor 0 is the start of the keyspace. Tokens count up from a random number, so that
 * one from before a restart is hardly ever mistaken for another; a token that is unknown (forgotten, or from another
 * server) starts its slot again: keys may come twice, none is left out.
 *
 * Invariant: at most `capacity` tokens are kept; the one unused for longest is forgotten first.
 */

import { SLOT_COUNT } from '../cluster/slot.ts';

const TOKEN_RANGE = 2 ** 38;

/** Walks that may be under way at once before the oldest starts its slot again; about 100 bytes each. */
export const SCAN_TOKENS_MAX = 65_536;

export class ScanTokens {
  private readonly keys = new Map<number, Uint8Array>();
  private readonly capacity: number;
  private last: number;

  /** `first`: in [0, 1), drawn at random when the server starts. */
  constructor(first: number, capacity = SCAN_TOKENS_MAX) {
    this.last = Math.floor(first * TOKEN_RANGE);
    this.capacity = capacity;
  }

  /** A cursor that continues after `physicalKey`, whose memory it keeps. */
  cursorAfter(slot: number, physicalKey: Uint8Array): number {
    this.last = this.last + 1 < TOKEN_RANGE ? this.last + 1 : 1;
    this.keys.set(this.last, physicalKey);
    if (this.keys.size > this.capacity) this.keys.delete(this.keys.keys().next().value as number);
    return slot * TOKEN_RANGE + this.last;
  }

  /** The physical key that the cursor continues after; `undefined`: from the start of its slot. */
  keyOf(cursor: number): Uint8Array | undefined {
    const token = cursor % TOKEN_RANGE;
    const key = this.keys.get(token);
    if (key === undefined) return undefined;
    this.keys.delete(token);
    this.keys.set(token, key);
    return key;
  }
}

/** The cursor of the start of a slot; 0 beyond the last slot: the walk is over. */
export function cursorOfSlot(slot: number): number {
  return slot < SLOT_COUNT ? slot * TOKEN_RANGE : 0;
}

/** Slot of a cursor; at least SLOT_COUNT for a number that is no cursor of ours. */
export function slotOfCursor(cursor: number): number {
  return Math.floor(cursor / TOKEN_RANGE);
}
