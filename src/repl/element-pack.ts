/**
 * The elements of a small collection in one block of bytes, as they stand in the row's head, and of any collection in the
 * state of a row that travels between nodes. Format 1:
 *
 * ```
 * varint  number of primary elements (tag ELEMENT)
 * varint  length of the meta bytes      meta bytes
 * each element, by tag and then by key:
 *   u8 tag | varint length of the key | key | varint length of the value | value
 * ```
 *
 * Varints are LEB128, at most 2^53. Where a collection stands in cells (element-cells.ts) its head has the first two lines
 * only. Valid: strictly rising, and it ends where an element ends; anything else is damage.
 */

import { assert } from '../assert.ts';
import { compareRanges, EMPTY } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { ElementBase, ElementSteps, TagRange } from './elements.ts';

/** What stands in front of the elements. */
export interface CollectionHead {
  readonly count: number;
  readonly meta: Uint8Array;
  /** Where the elements begin. */
  readonly end: number;
}

/** Up to so many bytes an element is found by going through them, beyond by halving: that asks for an index. */
const LINEAR_BYTES = 1024;

const GROUP = 0x80;

/** One element to be packed. */
export interface PackedElement {
  readonly tag: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Reads a varint at bytes[at…]; `varintEnd` is then where it ends. Throws `DamagedError`. */
function readVarint(bytes: Uint8Array, at: number): number {
  let value = 0;
  let scale = 1;
  for (let i = at; i < bytes.length && i < at + 8; i++) {
    const byte = bytes[i] as number;
    value += (byte & (GROUP - 1)) * scale;
    if (byte < GROUP) {
      varintEnd = i + 1;
      return value;
    }
    scale *= GROUP;
  }
  throw new DamagedError('a collection with a number that does not end');
}

let varintEnd = 0;

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= GROUP; rest = Math.floor(rest / GROUP)) length++;
  return length;
}

function writeVarint(target: Uint8Array, at: number, value: number): number {
  let end = at;
  let rest = value;
  for (; rest >= GROUP; rest = Math.floor(rest / GROUP)) target[end++] = (rest % GROUP) | GROUP;
  target[end++] = rest;
  return end;
}

/** What stands in front of the elements of value[at, limit). Throws `DamagedError`. */
export function readCollectionHead(value: Uint8Array, at = 0, limit = value.length): CollectionHead {
  const count = readVarint(value, at);
  const metaLength = readVarint(value, varintEnd);
  const start = varintEnd;
  if (start + metaLength > limit) throw new DamagedError('a collection whose meta bytes are cut');
  return { count, meta: metaLength === 0 ? EMPTY : value.subarray(start, start + metaLength), end: start + metaLength };
}

/** A change of one element; value undefined: a deletion. */
export interface ElementChange {
  readonly tag: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** Bytes of an element. */
export function elementLength(key: Uint8Array, value: Uint8Array): number {
  return 1 + varintLength(key.length) + key.length + varintLength(value.length) + value.length;
}

/** Bytes of a collection's value with these parts. */
export function packedLength(count: number, meta: Uint8Array, elements: readonly PackedElement[]): number {
  let length = collectionHeadLength(count, meta);
  for (const { key, value } of elements) length += elementLength(key, value);
  return length;
}

/** The value of a collection with these elements, which rise; with none: what stands in front of cells. */
export function packCollection(count: number, meta: Uint8Array, elements: readonly PackedElement[]): Uint8Array {
  const bytes = new Uint8Array(packedLength(count, meta, elements));
  let at = writeCollectionHead(bytes, count, meta);
  for (const { tag, key, value } of elements) at = writeElement(bytes, at, tag, key, value);
  assert(at === bytes.length, 'a collection as long as was reckoned');
  return bytes;
}

/** Writes what stands in front of the elements at target[0…]; returns its length. Requires: room for it. */
export function writeCollectionHead(target: Uint8Array, count: number, meta: Uint8Array): number {
  const at = writeVarint(target, writeVarint(target, 0, count), meta.length);
  copyInto(target, at, meta);
  return at + meta.length;
}

/** Bytes in front of the elements. */
export function collectionHeadLength(count: number, meta: Uint8Array): number {
  return varintLength(count) + varintLength(meta.length) + meta.length;
}

/** Up to this length a loop copies faster than `set`. */
const LOOP_COPY_BYTES = 16;

function copyInto(target: Uint8Array, at: number, bytes: Uint8Array): void {
  const { length } = bytes;
  if (length > LOOP_COPY_BYTES) target.set(bytes, at);
  else for (let i = 0; i < length; i++) target[at + i] = bytes[i] as number;
}

function writeElement(target: Uint8Array, start: number, tag: number, key: Uint8Array, value: Uint8Array): number {
  target[start] = tag;
  let at = writeVarint(target, start + 1, key.length);
  copyInto(target, at, key);
  at = writeVarint(target, at + key.length, value.length);
  copyInto(target, at, value);
  return at + value.length;
}

/** The elements of a packed collection: bytes[start, bytes.length). */
export class PackedElements implements ElementBase {
  static readonly NONE = new PackedElements(EMPTY, 0);
  readonly bytes: Uint8Array;
  private readonly start: number;
  private places: number[] | undefined = undefined;

  // Of the element that was read last.
  private tag = 0;
  private keyStart = 0;
  private keyEnd = 0;
  private valueStart = 0;
  private valueEnd = 0;

  constructor(bytes: Uint8Array, start: number) {
    this.bytes = bytes;
    this.start = start;
  }

  /**
   * The value of the collection after one change (`value` undefined: a deletion), with this head: cheaper than to pack all of
   * its elements anew. It is written to `into` if there is room; returns its length in any case.
   */
  writeChanged(count: number, meta: Uint8Array, { tag, key, value }: ElementChange, into: Uint8Array): number {
    const { bytes, start } = this;
    const at = this.offsetFrom(tag, key);
    const isThere = at < bytes.length && this.compareAt(at, tag, key) === 0;
    const after = isThere ? this.valueEnd : at;
    const length = value === undefined ? 0 : elementLength(key, value);
    const whole = collectionHeadLength(count, meta) + (at - start) + length + (bytes.length - after);
    if (whole > into.length) return whole;
    let end = writeCollectionHead(into, count, meta);
    if (at > start) into.set(bytes.subarray(start, at), end);
    end += at - start;
    if (value !== undefined) end = writeElement(into, end, tag, key, value);
    if (after < bytes.length) into.set(bytes.subarray(after), end);
    return whole;
  }

  /** As `writeChanged`, in memory of its own. */
  changed(count: number, meta: Uint8Array, change: ElementChange): Uint8Array {
    const changed = new Uint8Array(this.writeChanged(count, meta, change, EMPTY));
    this.writeChanged(count, meta, change, changed);
    return changed;
  }

  /** The same in memory of its own, for a walk that takes more than a turn. */
  copy(): PackedElements {
    return new PackedElements(this.bytes.slice(this.start), 0);
  }

  find(tag: number, key: Uint8Array): Uint8Array | undefined {
    const { bytes, start } = this;
    if (bytes.length - start > LINEAR_BYTES) {
      const at = this.placeFrom(tag, key);
      const place = this.index()[at];
      if (place === undefined) return undefined;
      this.read(place);
      return this.compare(tag, key) === 0 ? this.value() : undefined;
    }
    for (let at = start; at < bytes.length; at = this.valueEnd) {
      this.read(at);
      if (this.tag === tag && this.keyEnd - this.keyStart === key.length && this.compare(tag, key) === 0) {
        return this.value();
      }
    }
    return undefined;
  }

  steps(tag: number, range: TagRange): ElementSteps {
    const places = this.index();
    const first = range.lower === undefined ? this.placeFrom(tag, EMPTY) : this.placeFrom(tag, range.lower);
    const end = range.upper === undefined ? this.placeFrom(tag + 1, EMPTY) : this.placeFrom(tag, range.upper);
    return new PackedSteps(this, places, first, end, range.reverse === true);
  }

  /** All elements, in order; views of the bytes. */
  *all(): Generator<PackedElement, void> {
    for (const place of this.index()) {
      this.read(place);
      yield { tag: this.tag, key: this.key(), value: this.value() };
    }
  }

  /** Reads the element at bytes[at…]. Throws `DamagedError`. */
  read(at: number): void {
    const { bytes } = this;
    this.tag = bytes[at] as number;
    const keyLength = readVarint(bytes, at + 1);
    this.keyStart = varintEnd;
    this.keyEnd = varintEnd + keyLength;
    const valueLength = readVarint(bytes, this.keyEnd);
    this.valueStart = varintEnd;
    this.valueEnd = varintEnd + valueLength;
    if (this.valueEnd > bytes.length) throw new DamagedError('a collection that is cut');
  }

  key(): Uint8Array {
    return this.bytes.subarray(this.keyStart, this.keyEnd);
  }

  value(): Uint8Array {
    return this.bytes.subarray(this.valueStart, this.valueEnd);
  }

  private index(): number[] {
    let { places } = this;
    if (places === undefined) {
      places = [];
      for (let at = this.start; at < this.bytes.length; at = this.valueEnd) {
        this.read(at);
        places.push(at);
      }
      this.places = places;
    }
    return places;
  }

  /** Where the first element at or after (tag, key) stands. */
  private offsetFrom(tag: number, key: Uint8Array): number {
    const { bytes, start } = this;
    if (bytes.length - start > LINEAR_BYTES) return this.index()[this.placeFrom(tag, key)] ?? bytes.length;
    let at = start;
    while (at < bytes.length && this.compareAt(at, tag, key) < 0) at = this.valueEnd;
    return at;
  }

  /** Reads the element at bytes[at…]; the order of it and (tag, key). */
  private compareAt(at: number, tag: number, key: Uint8Array): number {
    this.read(at);
    return this.compare(tag, key);
  }

  /** Number of the first element at or after (tag, key). */
  private placeFrom(tag: number, key: Uint8Array): number {
    const places = this.index();
    let low = 0;
    let high = places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      this.read(places[middle] as number);
      if (this.compare(tag, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Order of the element that was read last and (tag, key). */
  private compare(tag: number, key: Uint8Array): number {
    if (this.tag !== tag) return this.tag - tag;
    return compareRanges(this.bytes, this.keyStart, this.keyEnd, key, 0, key.length);
  }
}

class PackedSteps implements ElementSteps {
  private readonly elements: PackedElements;
  private readonly places: readonly number[];
  private at: number;
  private readonly end: number;
  private readonly step: 1 | -1;
  key: Uint8Array = EMPTY;
  value: Uint8Array = EMPTY;

  constructor(elements: PackedElements, places: readonly number[], first: number, end: number, reverse: boolean) {
    this.elements = elements;
    this.places = places;
    this.at = reverse ? end - 1 : first;
    this.end = reverse ? Math.min(first, end) - 1 : Math.max(first, end);
    this.step = reverse ? -1 : 1;
  }

  next(): boolean {
    if (this.at === this.end) return false;
    const { elements } = this;
    elements.read(this.places[this.at] as number);
    this.key = elements.key();
    this.value = elements.value();
    this.at += this.step;
    return true;
  }

  close(): void {}
}
