/**
 * A sorted set as the elements of a row. Each member stands in two:
 *
 * ```
 * ELEMENT 0x10   key of the member (member-key.ts)                    → score, f64 BE
 * ORDER   0x11   score as 8 bytes that sort as numbers do | member    → empty
 * ```
 *
 * The 8 bytes are the f64 BE with its sign bit flipped, or with all bits flipped when it is negative. A score of -0 is kept
 * as 0, as Redis does in small sorted sets.
 *
 * Invariants: a member has both elements or none, and they tell the same score; no score is NaN.
 */

import { assert } from '../assert.ts';
import { compareBytes, copyOf, EMPTY } from '../bytes.ts';
import { ELEMENT, type Elements, type ElementSteps, keyAfter, keyPastPrefix, type TagRange } from '../repl/elements.ts';
import { countIn, startAt } from '../repl/element-places.ts';
import type { Start } from '../repl/element-ranks.ts';
import { rowType } from '../repl/head.ts';
import type { CellsAhead } from '../repl/cells-ahead.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { commandsOf, docsOf, lastingElementsAt, typedRowAt } from './collection-row.ts';
import { doubleText } from './double-text.ts';
import type { LexRange, ScoreRange } from './sorted-set-words.ts';
import { putSliced } from './long-store.ts';
import { memberKey } from './member-key.ts';
import type { Reply } from './reply.ts';
import type { Sliced } from './sliced.ts';

export const sortedSetCommand = commandsOf('sortedset');
export const sortedSetDoc = docsOf('sorted-set');

/** Tag of the elements in the order of scores. */
export const ORDER = 0x11;

const SCORE_BYTES = 8;
const SIGN = 0x80;

const double = new DataView(new ArrayBuffer(SCORE_BYTES));
const doubleBytes = new Uint8Array(double.buffer);

/** A member and its score. */
export interface Scored {
  readonly member: Uint8Array;
  readonly score: number;
}

/** What a change did to a member. */
export type Put = 'added' | 'changed' | 'same';

export class SortedSet {
  readonly elements: Elements;

  constructor(elements: Elements) {
    this.elements = elements;
  }

  get count(): number {
    return this.elements.count;
  }

  /** Throws `Miss`. */
  score(member: Uint8Array): number | undefined {
    const value = this.elements.get(ELEMENT, memberKey(member));
    return value === undefined ? undefined : scoreOf(value);
  }

  /** Gives a member a score. The member's bytes stay as they are until the turn ends. Throws `Miss`. */
  put(member: Uint8Array, score: number): Put {
    const { elements } = this;
    const key = memberKey(member);
    const value = elements.get(ELEMENT, key);
    if (value === undefined) {
      this.addAs(key, member, score);
      return 'added';
    }
    const before = scoreOf(value);
    if (before === score) return 'same';
    elements.drop(ORDER, orderKey(before, member));
    elements.replace(ELEMENT, key, scoreBytes(score));
    elements.add(ORDER, orderKey(score, member), EMPTY);
    return 'changed';
  }

  /** As `put`, of a member of which the caller knows that it is not there. */
  add(member: Uint8Array, score: number): void {
    this.addAs(memberKey(member), member, score);
  }

  /** True when it was there. Throws `Miss`. */
  remove(member: Uint8Array): boolean {
    const { elements } = this;
    const key = memberKey(member);
    const value = elements.get(ELEMENT, key);
    if (value === undefined) return false;
    elements.drop(ORDER, orderKey(scoreOf(value), member));
    elements.drop(ELEMENT, key);
    return true;
  }

  /** Removes a member of which the caller knows the score. */
  drop({ member, score }: Scored): void {
    this.elements.drop(ORDER, orderKey(score, member));
    this.elements.drop(ELEMENT, memberKey(member));
  }

  /** A walk in the order of scores; `scoredAt` reads its steps. Must be closed. */
  walk(range: TagRange): ElementSteps {
    return this.elements.walk(ORDER, range);
  }

  /** Calls `visit` with the members of a range until it returns false. The member's bytes are valid during the call. Throws `Miss`. */
  each(range: TagRange, visit: (member: Uint8Array, score: number) => boolean | void): void {
    this.elements.each(ORDER, range, (key) => visit(memberOfOrder(key), scoreOfOrder(key)));
  }

  /** Number of members in a range. Throws `Miss`. */
  countIn(range: TagRange): number {
    return countIn(this.elements, ORDER, range, this.count);
  }

  /** Where a walk begins that shows the member at `place` first, in this direction. Requires: 0 ≤ place < count. Throws `Miss`. */
  startAt(place: number, reverse: boolean): Start {
    return startAt(this.elements, ORDER, { place, total: this.count, reverse });
  }

  /** Calls `visit` with every member, in no order that means anything. Bytes as in `each`. Throws `Miss`. */
  eachMember(visit: (key: Uint8Array, score: number) => boolean | void): void {
    this.elements.each(ELEMENT, {}, (key, value) => visit(key, scoreOf(value)));
  }

  /** Up to `most` members of a range after the first `skip`, in memory of their own. Throws `Miss`. */
  list(range: TagRange, most = Infinity, skip = 0): Scored[] {
    const found: Scored[] = [];
    if (most <= 0) return found;
    let toSkip = skip;
    this.each(range, (member, score) => {
      if (toSkip > 0) {
        toSkip--;
        return true;
      }
      found.push({ member: copyOf(member), score });
      return found.length < most;
    });
    return found;
  }

  /** Members with these scores; undefined: there can be none. */
  scoreRange({ min, max, minExclusive, maxExclusive }: ScoreRange, reverse = false): TagRange | undefined {
    if (min > max || (min === max && (minExclusive || maxExclusive))) return undefined;
    const least = orderKey(min, EMPTY);
    const most = orderKey(max, EMPTY);
    const lower = minExclusive ? (keyPastPrefix(least) as Uint8Array) : least;
    const upper = maxExclusive ? most : (keyPastPrefix(most) as Uint8Array);
    if (compareBytes(lower, upper) >= 0) return undefined;
    return {
      // Without bounds a walk begins where the members are known to begin, past those that were removed there.
      ...(min === -Infinity && !minExclusive ? {} : { lower }),
      ...(max === Infinity && !maxExclusive ? {} : { upper }),
      reverse,
    };
  }

  /**
   * Members between two strings; undefined: there can be none. As in Redis this is meant for members of one score; where
   * scores differ the bounds are taken at the least and the greatest score. Throws `Miss`.
   */
  lexRange(range: LexRange, reverse = false): TagRange | undefined {
    const { min, max, minExclusive, maxExclusive } = range;
    if (min === 'last' || max === 'first') return undefined;
    const lower = min === 'first' ? undefined : this.orderKeyAtEnd(min, false);
    const upper = max === 'last' ? undefined : this.orderKeyAtEnd(max, true);
    const from = lower !== undefined && minExclusive ? keyAfter(lower) : lower;
    const to = upper === undefined || maxExclusive ? upper : keyAfter(upper);
    if (from !== undefined && to !== undefined && compareBytes(from, to) >= 0) return undefined;
    return { ...(from === undefined ? {} : { lower: from }), ...(to === undefined ? {} : { upper: to }), reverse };
  }

  /** Where a member would stand with the least score there is, or the greatest. Throws `Miss`. */
  private orderKeyAtEnd(member: Uint8Array, greatest: boolean): Uint8Array {
    let score = 0;
    this.each({ reverse: greatest }, (_member, each) => {
      score = each;
      return false;
    });
    return orderKey(score, member);
  }

  private addAs(key: Uint8Array, member: Uint8Array, score: number): void {
    const { elements } = this;
    elements.add(ELEMENT, key, scoreBytes(score));
    elements.add(ORDER, orderKey(score, member), EMPTY);
  }
}

/** As `storeSortedSet`, in slices: for `inTurns`. */
export function* storeScoredSliced(cells: CellsAhead, members: readonly Scored[]): Sliced<Reply> {
  cells.begin();
  yield* putSliced(members, 2, ({ member, score }) => addScored(cells, member, score));
  return cells.count;
}

/** Adds a member that is not among them yet. */
export function addScored(cells: CellsAhead, member: Uint8Array, score: number): void {
  cells.add(ELEMENT, memberKey(member), scoreBytes(score));
  cells.add(ORDER, orderKey(score, member), EMPTY);
}

function scoreBytes(score: number): Uint8Array {
  double.setFloat64(0, score === 0 ? 0 : score);
  return doubleBytes.slice();
}

/** The score in a value of ELEMENT. */
export function scoreOf(value: Uint8Array): number {
  assert(value.length === SCORE_BYTES, 'a score of eight bytes');
  doubleBytes.set(value);
  return double.getFloat64(0);
}

/** The key in ORDER. */
export function orderKey(score: number, member: Uint8Array): Uint8Array {
  const key = new Uint8Array(SCORE_BYTES + member.length);
  double.setFloat64(0, score === 0 ? 0 : score);
  const flip = (doubleBytes[0] as number) < SIGN ? 0 : 0xff;
  key[0] = (doubleBytes[0] as number) ^ (flip | SIGN);
  for (let i = 1; i < SCORE_BYTES; i++) key[i] = (doubleBytes[i] as number) ^ flip;
  key.set(member, SCORE_BYTES);
  return key;
}

/** The members with scores in [least, end). */
export function orderRange(least: number, end: number): TagRange {
  return { lower: orderKey(least, EMPTY), upper: orderKey(end, EMPTY) };
}

/** The member in a key of ORDER, as a view of it. */
export function memberOfOrder(key: Uint8Array): Uint8Array {
  return key.subarray(SCORE_BYTES);
}

/** The score in a key of ORDER. */
export function scoreOfOrder(key: Uint8Array): number {
  const flip = (key[0] as number) < SIGN ? 0xff : 0;
  doubleBytes[0] = (key[0] as number) ^ (flip | SIGN);
  for (let i = 1; i < SCORE_BYTES; i++) doubleBytes[i] = (key[i] as number) ^ flip;
  return double.getFloat64(0);
}

/** A score as a bulk string of its own. */
export function scoreBulk(score: number): Uint8Array {
  return Buffer.from(doubleText(score), 'latin1');
}

/** Order of members with their scores. */
export function compareScored(a: Scored, b: Scored): number {
  return a.score === b.score ? compareBytes(a.member, b.member) : a.score - b.score;
}

/** The sorted set at the key that word i names; undefined: there is no such key. Throws `Miss`, `CommandError`. */
export function sortedSetAt(view: View, args: Args, i: number): SortedSet | undefined {
  const row = typedRowAt(view, args, i, rowType.SORTED_SET);
  return row.live ? new SortedSet(view.elements(row)) : undefined;
}

/** As `sortedSetAt`, for walks that take more than a turn; nothing may be changed in it. Throws `Miss`, `CommandError`. */
export function lastingSortedSetAt(view: View, args: Args, i: number): SortedSet | undefined {
  const elements = lastingElementsAt(view, args, i, rowType.SORTED_SET);
  return elements === undefined ? undefined : new SortedSet(elements);
}

/** The sorted set of a row that is one or nothing; a missing one becomes an empty one, which the caller must fill. */
export function sortedSetToFill(view: View, row: Row): SortedSet {
  return new SortedSet(row.live ? view.elements(row) : view.create(row, rowType.SORTED_SET));
}

/** Makes a row the sorted set of these members, which differ, whatever it was; nothing when there are none. Returns their number. */
export function storeSortedSet(view: View, row: Row, members: readonly Scored[]): number {
  view.remove(row);
  if (members.length === 0) return 0;
  const set = new SortedSet(view.create(row, rowType.SORTED_SET));
  for (const { member, score } of members) set.add(member, score);
  return members.length;
}
