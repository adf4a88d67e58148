/**
 * The elements of a collection (hash, list, set, sorted set, stream) as one view sees and changes them: an ordered map
 * from (tag, key) to value, small ones packed into the row's head, large ones in cells of their own. Commands
 * do not see which.
 *
 * Tags tell kinds of elements apart; a type's file says which it uses. Those with tag ELEMENT are counted: `count` is
 * what HLEN, LLEN, SCARD, ZCARD and XLEN answer. `meta` are bytes of the type's own (list: its first position; stream: its
 * last id, …) that stand in the head and are written with every change, so they should be few.
 *
 * Invariants: what is staged shadows the base and is seen by every later read; a walk sees the elements as they were when
 * it began. Keys and values are kept as given until the view commits, in the same turn: nobody may change their bytes.
 * Bytes that come out of `get` or a walk belong to the store: those of a walk are valid until its next step, and what
 * is put back or kept beyond that must be copied.
 */

import { assert } from '../assert.ts';
import { compareBytes, EMPTY, latin1 } from '../bytes.ts';
import { Miss } from './miss.ts';
import { packCollection, type PackedElement, PackedElements, readCollectionHead } from './element-pack.ts';
import type { Row } from './view.ts';

/** Tag of the elements that are counted: fields, members, list positions, entries. Tags go from here to 0xfe. */
export const ELEMENT = 0x10;

/** Keys in [lower, upper); an absent bound is none. With `reverse` the greatest first. */
export interface TagRange {
  readonly lower?: Uint8Array;
  /** Exclusive: `keyAfter` makes an inclusive one of it. */
  readonly upper?: Uint8Array;
  readonly reverse?: boolean;
}

/** Steps over elements of one tag in the order of their keys. Must be closed. */
export interface ElementSteps {
  /** Of the element that the last step stands on; valid until the next step. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Throws `Miss`: await its `load`, then step again. */
  next(): boolean;
  close(): void;
}

/** What is stored of a collection. */
export interface ElementBase {
  /** The value, valid until the turn ends. Throws `Miss`. */
  find(tag: number, key: Uint8Array): Uint8Array | undefined;
  steps(tag: number, range: TagRange): ElementSteps;
  /** Every element, by tag and then by key; bytes as `find`. Throws `Miss`. */
  all(): Iterable<PackedElement>;
}

/** A change that is not written yet; value undefined: a deletion. */
export interface StagedElement {
  readonly tag: number;
  readonly key: Uint8Array;
  value: Uint8Array | undefined;
  /** The base has it. */
  readonly stored: boolean;
}

/** The keys of a tag in [lower, upper). */
export interface DroppedRange {
  readonly tag: number;
  readonly lower: Uint8Array;
  readonly upper: Uint8Array;
  /** Bytes that its elements took when packed, without those of ranges that were dropped before; undefined: not known yet. */
  readonly bytes?: number;
}

/** What earlier commands have changed and nobody has written yet; the count and the meta bytes are those after it. */
export interface EarlierChanges {
  readonly staged: readonly StagedElement[];
  readonly dropped: readonly DroppedRange[];
}

/** Nobody adds to it: an array of its own for each would be garbage of each command. */
const NO_CHANGES: StagedElement[] = [];
const NO_RANGES: readonly DroppedRange[] = [];

/** Up to so many changes are made in the packed bytes one after another; for more, all elements are packed anew. */
const SPLICED_CHANGES = 4;

/** Up to so many changes since the last walk are put in among those that stand in order; with more, all are sorted. */
const INSERTED_CHANGES = 16;

/** Beyond so many changes a map finds them. */
const LINEAR_CHANGES = 12;

export class Elements {
  readonly base: ElementBase;
  /** Elements with tag ELEMENT. */
  count: number;
  /** What `meta` was before this view. */
  readonly metaBefore: Uint8Array;
  private metaBytes: Uint8Array;
  /** What the view changes, in the order of the changes. */
  staged: StagedElement[] = NO_CHANGES;
  /** Ranges of which it deletes all that is stored, before it changes what is in `staged`. */
  dropped: readonly DroppedRange[] = NO_RANGES;
  private places: Map<string, StagedElement> | undefined = undefined;
  /** What a walk has found staged, in the order of the keys: the first so many of `staged`. */
  private sorted: StagedElement[] = NO_CHANGES;
  /** The key whose name in `places` was made last: most are asked for twice. */
  private namedKey: Uint8Array | undefined = undefined;
  private namedTag = 0;
  private name = '';
  private readonly row: Row;

  constructor(row: Row, base: ElementBase, count: number, meta: Uint8Array, before?: EarlierChanges) {
    this.row = row;
    this.base = base;
    this.count = count;
    this.metaBefore = meta;
    this.metaBytes = meta;
    if (before === undefined) return;
    this.staged = before.staged.slice();
    this.dropped = before.dropped.slice();
  }

  get meta(): Uint8Array {
    return this.metaBytes;
  }

  set meta(bytes: Uint8Array) {
    this.metaBytes = bytes;
    this.touch();
  }

  /** The value; valid until the turn ends. Throws `Miss`. */
  get(tag: number, key: Uint8Array): Uint8Array | undefined {
    const staged = this.change(tag, key);
    return staged === undefined ? this.stored(tag, key) : staged.value;
  }

  /** Throws `Miss`. */
  has(tag: number, key: Uint8Array): boolean {
    return this.get(tag, key) !== undefined;
  }

  /** Sets an element; true when there was none. Throws `Miss`. */
  set(tag: number, key: Uint8Array, value: Uint8Array): boolean {
    const staged = this.change(tag, key);
    if (staged === undefined) {
      const stored = this.stored(tag, key) !== undefined;
      this.stage(tag, key, value, stored);
      if (!stored) this.counted(tag, 1);
      return !stored;
    }
    const isNew = staged.value === undefined;
    staged.value = value;
    this.touch();
    if (isNew) this.counted(tag, 1);
    return isNew;
  }

  /** As `set`, of an element of which the caller knows that it is not there: nothing is looked up. */
  add(tag: number, key: Uint8Array, value: Uint8Array): void {
    const staged = this.change(tag, key);
    if (staged === undefined) this.stage(tag, key, value, false);
    else staged.value = value;
    this.touch();
    this.counted(tag, 1);
  }

  /** As `add`, of many elements with one value, whose keys rise. Requires: nothing is staged. */
  addRising(tag: number, keys: readonly Uint8Array[], value: Uint8Array): void {
    assert(this.staged.length === 0, 'nothing is staged');
    this.staged = keys.map((key) => ({ tag, key, value, stored: false }));
    this.sorted = this.staged.slice();
    this.places = undefined;
    this.touch();
    if (tag === ELEMENT) this.count += keys.length;
  }

  /** As `set`, of an element of which the caller knows that it is there. */
  replace(tag: number, key: Uint8Array, value: Uint8Array): void {
    const staged = this.change(tag, key);
    if (staged === undefined) this.stage(tag, key, value, true);
    else staged.value = value;
    this.touch();
  }

  /** Deletes an element; true when it was there. Throws `Miss`. */
  delete(tag: number, key: Uint8Array): boolean {
    return this.take(tag, key) !== undefined;
  }

  /** As `delete`, of an element of which the caller knows that it is there: nothing is looked up. */
  drop(tag: number, key: Uint8Array): void {
    const staged = this.change(tag, key);
    if (staged === undefined) this.stage(tag, key, undefined, true);
    else staged.value = undefined;
    this.touch();
    this.counted(tag, -1);
  }

  /** Deletes an element and returns what its value was, valid until the turn ends. Throws `Miss`. */
  take(tag: number, key: Uint8Array): Uint8Array | undefined {
    const value = this.get(tag, key);
    if (value !== undefined) this.drop(tag, key);
    return value;
  }

  /** Deletes the elements in a range, of which the caller knows the number, at a cost that does not grow with it. */
  dropRange(range: DroppedRange, count: number): void {
    for (const each of this.staged) if (isIn(range, each.tag, each.key)) each.value = undefined;
    this.dropped = [...this.dropped, range];
    if (range.tag === ELEMENT) this.count -= count;
    this.touch();
  }

  /** A walk over the elements of a tag, in the order of their keys as bytes. Must be closed. */
  walk(tag: number, range: TagRange = {}): ElementSteps {
    const { dropped } = this;
    const whole = this.base.steps(tag, range);
    const base = dropped.length === 0 ? whole : new LeftSteps(whole, tag, dropped);
    const staged = this.stagedIn(tag, range);
    return staged.length === 0 ? base : new MergedSteps(base, staged, range.reverse === true);
  }

  /** Calls `visit` with each element of a walk until it returns false. Key and value are valid during the call. Throws `Miss`. */
  each(tag: number, range: TagRange, visit: (key: Uint8Array, value: Uint8Array) => boolean | void): void {
    eachStep(this.walk(tag, range), visit);
  }

  /** The elements after the changes, of every tag, by tag and then by key. Throws `Miss`. */
  merged(): PackedElement[] {
    const changes = this.inOrder();
    const merged: PackedElement[] = [];
    let at = 0;
    const put = ({ tag, key, value }: StagedElement): void => {
      if (value !== undefined) merged.push({ tag, key, value });
    };
    for (const element of this.base.all()) {
      if (this.isDropped(element.tag, element.key)) continue;
      let order = -1;
      while (at < changes.length) {
        order = compareElements(changes[at] as StagedElement, element);
        if (order > 0) break;
        put(changes[at++] as StagedElement);
        if (order === 0) break;
      }
      if (order !== 0) merged.push(element);
    }
    while (at < changes.length) put(changes[at++] as StagedElement);
    return merged;
  }

  /** As `merged` in any order, with changes that delete what was never stored among them. Throws `Miss`. */
  whole(): readonly { readonly tag: number; readonly key: Uint8Array; readonly value: Uint8Array | undefined }[] {
    return this.base === PackedElements.NONE ? this.staged : this.merged();
  }

  /** Writes the collection after the changes, packed, to `into` if there is room; returns its length in any case. Throws `Miss`. */
  writePacked(into: Uint8Array): number {
    const { base, staged, count, meta } = this;
    const [change] = staged;
    if (base instanceof PackedElements && staged.length === 1 && change !== undefined) {
      return base.writeChanged(count, meta, change, into);
    }
    const packed = this.packed();
    if (packed.length <= into.length) into.set(packed);
    return packed.length;
  }

  /** The collection after the changes, packed (element-pack.ts). Throws `Miss`. */
  packed(): Uint8Array {
    const { base, staged, count, meta } = this;
    if (!(base instanceof PackedElements) || staged.length > SPLICED_CHANGES) {
      return packCollection(count, meta, this.merged());
    }
    let elements = base;
    let bytes: Uint8Array | undefined;
    for (const change of staged) {
      bytes = elements.changed(count, meta, change);
      if (staged.length > 1) elements = new PackedElements(bytes, readCollectionHead(bytes).end);
    }
    return bytes ?? packCollection(count, meta, this.merged());
  }

  private stored(tag: number, key: Uint8Array): Uint8Array | undefined {
    return this.isDropped(tag, key) ? undefined : this.base.find(tag, key);
  }

  /** Whether the base's element is in a dropped range. */
  isDropped(tag: number, key: Uint8Array): boolean {
    return this.dropped.length > 0 && this.dropped.some((range) => isIn(range, tag, key));
  }

  private touch(): void {
    this.row.dirty = true;
    this.row.replaced = true;
  }

  private counted(tag: number, by: 1 | -1): void {
    if (tag === ELEMENT) this.count += by;
  }

  private stage(tag: number, key: Uint8Array, value: Uint8Array | undefined, stored: boolean): void {
    const change: StagedElement = { tag, key, value, stored };
    // Most commands change one element: an array that is pushed to takes room for many.
    if (this.staged.length === 0) this.staged = [change];
    else this.staged.push(change);
    this.places?.set(this.nameOf(tag, key), change);
    this.touch();
  }

  private change(tag: number, key: Uint8Array): StagedElement | undefined {
    const { staged } = this;
    if (staged.length === 0) return undefined;
    if (staged.length > LINEAR_CHANGES) {
      this.places ??= new Map(staged.map((each) => [placeName(each.tag, each.key), each]));
      return this.places.get(this.nameOf(tag, key));
    }
    return staged.find((each) => each.tag === tag && isSame(each.key, key));
  }

  private nameOf(tag: number, key: Uint8Array): string {
    if (key !== this.namedKey || tag !== this.namedTag) {
      this.name = placeName(tag, key);
      this.namedKey = key;
      this.namedTag = tag;
    }
    return this.name;
  }

  /** What is staged, by tag and then by key. A few changes since the last time are put in their places. */
  private inOrder(): readonly StagedElement[] {
    const { staged } = this;
    const added = staged.length - this.sorted.length;
    if (added === 0) return this.sorted;
    if (added > INSERTED_CHANGES) return (this.sorted = staged.toSorted(compareElements));
    if (this.sorted === NO_CHANGES) this.sorted = [];
    const { sorted } = this;
    for (let i = sorted.length; i < staged.length; i++) {
      const change = staged[i] as StagedElement;
      sorted.splice(placeIn(sorted, change.tag, change.key), 0, change);
    }
    return sorted;
  }

  private stagedIn(tag: number, { lower = EMPTY, upper, reverse = false }: TagRange): StagedElement[] {
    if (this.staged.length === 0) return this.staged;
    const sorted = this.inOrder();
    const first = placeIn(sorted, tag, lower);
    const end = upper === undefined ? placeIn(sorted, tag + 1, EMPTY) : placeIn(sorted, tag, upper);
    const inside = sorted.slice(first, Math.max(first, end)).map((each) => ({ ...each }));
    return reverse ? inside.reverse() : inside;
  }
}

/** Index of the first change at or after (tag, key). */
function placeIn(sorted: readonly StagedElement[], tag: number, key: Uint8Array): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const change = sorted[middle] as StagedElement;
    const order = change.tag === tag ? compareBytes(change.key, key) : change.tag - tag;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The least key above this one: as an upper bound it takes the key in, as a lower bound it leaves it out. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const after = new Uint8Array(key.length + 1);
  after.set(key);
  return after;
}

/** The least key above every key that begins with this prefix; undefined: there is none. */
export function keyPastPrefix(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const past = prefix.slice(0, length);
  past[length - 1] = (past[length - 1] as number) + 1;
  return past;
}

/** Calls `visit` with each step until it returns false, then closes the walk. Key and value are valid during the call. Throws `Miss`. */
export function eachStep(steps: ElementSteps, visit: (key: Uint8Array, value: Uint8Array) => boolean | void): void {
  let missed = false;
  let made = 0;
  try {
    for (; steps.next(); made++) if (visit(steps.key, steps.value) === false) return;
  } catch (thrown) {
    if (!(thrown instanceof Miss)) throw thrown;
    missed = true;
    throw new Miss(() => loadAhead(steps, thrown, made));
  } finally {
    if (!missed) steps.close();
  }
}

/**
 * Brings in what a walk has missed after so many steps, and as many steps further on, then closes it: since the handler
 * begins anew, a long walk through blocks on disk would otherwise begin as often as it has blocks. No turn of it is longer
 * than the one that the handler has had.
 */
export async function loadAhead(steps: ElementSteps, missed: Miss, made: number): Promise<void> {
  try {
    await missed.load();
    for (let ahead = 0; ahead < made; ahead++) {
      try {
        if (!steps.next()) return;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        await thrown.load();
      }
    }
  } finally {
    steps.close();
  }
}

function isIn(range: DroppedRange, tag: number, key: Uint8Array): boolean {
  return tag === range.tag && compareBytes(key, range.lower) >= 0 && compareBytes(key, range.upper) < 0;
}

/** The steps of the base without those in dropped ranges. */
class LeftSteps implements ElementSteps {
  private readonly base: ElementSteps;
  private readonly tag: number;
  private readonly dropped: readonly DroppedRange[];

  constructor(base: ElementSteps, tag: number, dropped: readonly DroppedRange[]) {
    this.base = base;
    this.tag = tag;
    this.dropped = dropped;
  }

  get key(): Uint8Array {
    return this.base.key;
  }

  get value(): Uint8Array {
    return this.base.value;
  }

  next(): boolean {
    const { base, tag, dropped } = this;
    while (base.next()) if (!dropped.some((range) => isIn(range, tag, base.key))) return true;
    return false;
  }

  close(): void {
    this.base.close();
  }
}

/** The steps of the base with the changes in between. */
class MergedSteps implements ElementSteps {
  private readonly base: ElementSteps;
  private readonly staged: readonly StagedElement[];
  private readonly sign: 1 | -1;
  private at = 0;
  /** The base's next element has been stepped to and not shown. */
  private ahead = false;
  private ended = false;
  key: Uint8Array = EMPTY;
  value: Uint8Array = EMPTY;

  constructor(base: ElementSteps, staged: readonly StagedElement[], reverse: boolean) {
    this.base = base;
    this.staged = staged;
    this.sign = reverse ? -1 : 1;
  }

  next(): boolean {
    const { base, staged } = this;
    for (;;) {
      if (!this.ahead && !this.ended) {
        this.ahead = base.next();
        this.ended = !this.ahead;
      }
      const change = staged[this.at];
      const order = change === undefined ? 1 : this.ahead ? compareBytes(change.key, base.key) * this.sign : -1;
      if (change === undefined || order > 0) {
        if (!this.ahead) return false;
        this.ahead = false;
        this.key = base.key;
        this.value = base.value;
        return true;
      }
      this.at++;
      if (order === 0) this.ahead = false;
      if (change.value === undefined) continue;
      this.key = change.key;
      this.value = change.value;
      return true;
    }
  }

  close(): void {
    this.base.close();
  }
}

function compareElements(a: { tag: number; key: Uint8Array }, b: { tag: number; key: Uint8Array }): number {
  return a.tag === b.tag ? compareBytes(a.key, b.key) : a.tag - b.tag;
}

function placeName(tag: number, key: Uint8Array): string {
  return String.fromCharCode(tag) + latin1(key);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
