/**
 * The ring: each member has tokens in proportion to its weight, slot s sits at s/16,384 of the circle, and the members
 * are met clockwise from there (Karger et al. 1997; Dynamo 2007, section 6.2, strategy 3: equal-sized partitions).
 *
 * The ring orders members for a slot; how many slots each one gets is the business of placement.ts.
 *
 * Invariant: tokens depend on a member's identity and weight alone, so that a member that comes or goes leaves the
 * others where they are.
 */

import { assert } from '../assert.ts';
import type { Member, MemberId } from './member.ts';
import { SLOT_COUNT } from './slot.ts';

/** Tokens of a member of weight 1: spreads what a lost member owned over all others even in large clusters. */
export const VNODES = 128;

/** A heavier member gets more tokens up to this, which bounds the ring's memory. */
export const MAX_TOKENS = 4_096;

/** Where a slot sits on the circle of 2^32 positions. */
export function positionOfSlot(slot: number): number {
  return slot * (0x1_0000_0000 / SLOT_COUNT);
}

/** Tokens of a member, u32, in no order. */
export function tokensOf(member: Member): Uint32Array {
  const count = Math.min(MAX_TOKENS, Math.max(member.weight > 0 ? 1 : 0, Math.round(VNODES * member.weight)));
  const tokens = new Uint32Array(count);
  const seed = hashText(member.identity);
  for (let i = 0; i < count; i++) tokens[i] = mix(seed ^ mix(i + 0x9e37_79b9));
  return tokens;
}

export class Ring {
  /** Sorted; the token `tokens[i]` belongs to `ids[holders[i]]`. */
  private readonly tokens: Uint32Array;
  private readonly holders: Uint32Array;
  private readonly ids: readonly MemberId[];
  /** In which walk each member was met last. */
  private readonly metIn: Float64Array;
  private walks = 0;

  constructor(members: readonly Member[]) {
    const weighty = members.filter((member) => member.weight > 0);
    const placed: { token: number; index: number }[] = [];
    weighty.forEach((member, index) => {
      for (const token of tokensOf(member)) placed.push({ token, index });
    });
    this.ids = weighty.map((member) => member.id);
    placed.sort((a, b) => a.token - b.token || (this.ids[a.index] as number) - (this.ids[b.index] as number));
    this.tokens = Uint32Array.from(placed, (entry) => entry.token);
    this.holders = Uint32Array.from(placed, (entry) => entry.index);
    this.metIn = new Float64Array(weighty.length);
  }

  /** Visits the distinct members with weight clockwise from the slot, until `visit` answers true or all were met. */
  walk(slot: number, visit: (id: MemberId) => boolean): void {
    const { tokens, holders, ids, metIn } = this;
    const walk = ++this.walks;
    const start = this.firstAtOrAfter(positionOfSlot(slot));
    let left = ids.length;
    for (let step = 0; left > 0; step++) {
      assert(step < tokens.length, 'every member has a token');
      const at = start + step;
      const index = holders[at < tokens.length ? at : at - tokens.length] as number;
      if (metIn[index] === walk) continue;
      metIn[index] = walk;
      left--;
      if (visit(ids[index] as MemberId)) return;
    }
  }

  /** The preference list: the first `limit` members that `walk` meets. */
  preference(slot: number, limit: number): MemberId[] {
    const met: MemberId[] = [];
    if (limit > 0) this.walk(slot, (id) => met.push(id) >= limit);
    return met;
  }

  private firstAtOrAfter(position: number): number {
    let low = 0;
    let high = this.tokens.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.tokens[middle] as number) < position) low = middle + 1;
      else high = middle;
    }
    return low === this.tokens.length ? 0 : low;
  }
}

/** All slots, those first that meet a token of `member` soonest when one goes clockwise from them. */
export function slotsNearest(member: Member): Uint16Array {
  const tokens = tokensOf(member).sort();
  const distance = new Float64Array(SLOT_COUNT);
  let at = 0;
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    const position = positionOfSlot(slot);
    while (at < tokens.length && (tokens[at] as number) < position) at++;
    const next = at < tokens.length ? (tokens[at] as number) : (tokens[0] as number) + 0x1_0000_0000;
    distance[slot] = next - position;
  }
  return Uint16Array.from({ length: SLOT_COUNT }, (_, slot) => slot).sort(
    (a, b) => (distance[a] as number) - (distance[b] as number) || a - b,
  );
}

function hashText(text: string): number {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return mix(hash);
}

/** The finalizer of MurmurHash3 (Appleby): every bit of the input moves every bit of the output. */
function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
