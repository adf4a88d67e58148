/**
 * What this node remembers of collections in cells besides what the store keeps in memory: where their elements begin and
 * end, so that walks do not pass what is deleted there; blocks of lists; places of elements. All of it is derived from the
 * cells, follows each commit, and may be dropped at any time.
 *
 * Invariants: of each generation of a row there is one note or none; what it says is true of the store as it is between
 * two commits. Notes are not about what a view has staged.
 */

import { compareBytes, copyOf } from '../bytes.ts';
import { ElementBag, MAX_BAGGED } from './element-bag.ts';
import { ElementRanks } from './element-ranks.ts';
import { type DroppedRange, ELEMENT, keyAfter, type StagedElement, type TagRange } from './elements.ts';
import { ListBlocks } from './list-blocks.ts';
import { RangeSizes } from './range-sizes.ts';
import { readStamp } from './row-key.ts';

/** Collections of which something is remembered. */
const MAX_NOTES = 4096;

/** Memory of blocks and places together. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Between which keys the elements of a tag are. */
interface Edges {
  /** No element is below it; undefined: not known. */
  lower: Uint8Array | undefined;
  /** No element is at or above it. */
  upper: Uint8Array | undefined;
}

/** What a commit has changed, as `Elements` has it. */
export interface Changes {
  readonly staged: readonly StagedElement[];
  readonly dropped: readonly DroppedRange[];
}

/** What is remembered of one generation of a row. */
export class CellNote {
  readonly head: Uint8Array;
  private readonly edges = new Map<number, Edges>();
  private readonly ranksByTag = new Map<number, ElementRanks>();
  blocks: ListBlocks | undefined = undefined;
  /** The keys of all elements with tag ELEMENT. */
  bag: ElementBag | undefined = undefined;
  /** Elements drawn at random so far. */
  draws = 0;
  /** Of ranges that somebody wants to drop. */
  sizes: RangeSizes | undefined = undefined;
  usedAt = 0;
  /** Changes followed so far: what a walk of earlier tells of its edge may no longer be so. */
  changes = 0;

  constructor(head: Uint8Array) {
    this.head = head;
  }

  get bytes(): number {
    let bytes = (this.blocks?.bytes ?? 0) + (this.bag?.bytes ?? 0);
    for (const ranks of this.ranksByTag.values()) bytes += ranks.bytes;
    return bytes;
  }

  ranks(tag: number): ElementRanks {
    let ranks = this.ranksByTag.get(tag);
    if (ranks === undefined) this.ranksByTag.set(tag, (ranks = new ElementRanks()));
    return ranks;
  }

  /** The range without what is known to have no elements at its ends. */
  narrowed(tag: number, range: TagRange): TagRange {
    const edges = this.edges.get(tag);
    if (edges === undefined) return range;
    const lower = laterOf(range.lower, edges.lower);
    const upper = earlierOf(range.upper, edges.upper);
    return {
      ...(lower === undefined ? {} : { lower }),
      ...(upper === undefined ? {} : { upper }),
      reverse: range.reverse === true,
    };
  }

  /** Tells the first element that a walk over a range has come to: there is none before it in the range. */
  sawEdge(tag: number, { lower, upper, reverse }: TagRange, key: Uint8Array): void {
    let edges = this.edges.get(tag);
    if (edges === undefined) this.edges.set(tag, (edges = { lower: undefined, upper: undefined }));
    if (reverse === true) {
      if (upper === undefined || isSame(upper, edges.upper)) edges.upper = keyAfter(key);
    } else if (lower === undefined || isSame(lower, edges.lower)) edges.lower = copyOf(key);
  }

  /** Elements of a tag have gone without being named. */
  lost(tag: number): void {
    this.changes++;
    this.sizes = undefined;
    this.ranksByTag.delete(tag);
    if (tag !== ELEMENT) return;
    this.blocks = undefined;
    this.bag = undefined;
  }

  changed({ tag, key, value, stored }: StagedElement): void {
    this.changes++;
    this.sizes = undefined;
    const edges = this.edges.get(tag);
    if (edges !== undefined && value !== undefined) {
      if (edges.lower !== undefined && compareBytes(key, edges.lower) < 0) edges.lower = copyOf(key);
      if (edges.upper !== undefined && compareBytes(key, edges.upper) >= 0) edges.upper = keyAfter(key);
    }
    this.ranksByTag.get(tag)?.changed(key, Number(value !== undefined) - Number(stored));
    if (tag !== ELEMENT || (value === undefined && !stored)) return;
    this.blocks?.changed(readStamp(key, 0), value, stored);
    if (this.bag !== undefined && (value === undefined || !stored)) this.changeBag(this.bag, key, value !== undefined);
  }

  private changeBag(bag: ElementBag, key: Uint8Array, isThere: boolean): void {
    if (!isThere) bag.remove(key);
    else if (bag.count < MAX_BAGGED) bag.add(copyOf(key));
    else this.bag = undefined;
  }
}

function laterOf(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareBytes(a, b) < 0 ? b : a;
}

function earlierOf(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareBytes(a, b) < 0 ? a : b;
}

function isSame(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && compareBytes(a, b) === 0;
}

export class CellMemory {
  /** By generation: rows that went into cells with one commit share it. */
  private readonly notes = new Map<number, CellNote[]>();
  private count = 0;
  private uses = 0;
  /** Bytes that were added since the sum was made. */
  private unseen = 0;
  /** Lets others run before long work goes on. */
  rest: () => Promise<void> = () => Promise.resolve();

  /** Undefined: nothing is remembered. */
  find(head: Uint8Array, headLength: number, generation: number): CellNote | undefined {
    const notes = this.notes.get(generation);
    if (notes === undefined) return undefined;
    for (const note of notes) {
      if (isHead(note.head, head, headLength)) {
        note.usedAt = ++this.uses;
        return note;
      }
    }
    return undefined;
  }

  /** The note, a new one if need be. */
  open(head: Uint8Array, headLength: number, generation: number): CellNote {
    const known = this.find(head, headLength, generation);
    if (known !== undefined) return known;
    if (this.count >= MAX_NOTES) this.forgetOldest(MAX_NOTES >> 3);
    const note = new CellNote(head.slice(0, headLength));
    note.usedAt = ++this.uses;
    const notes = this.notes.get(generation);
    if (notes === undefined) this.notes.set(generation, [note]);
    else notes.push(note);
    this.count++;
    return note;
  }

  /** Follows a commit: these changes of a generation's elements are in the store now. */
  committed(head: Uint8Array, headLength: number, generation: number, { staged, dropped }: Changes): void {
    if (this.count === 0) return;
    const note = this.find(head, headLength, generation);
    if (note === undefined) return;
    for (const { tag } of dropped) note.lost(tag);
    for (const change of staged) note.changed(change);
  }

  /** The generation has ended. */
  forget(head: Uint8Array, headLength: number, generation: number): void {
    const notes = this.notes.get(generation);
    if (notes === undefined) return;
    const left = notes.filter((note) => !isHead(note.head, head, headLength));
    this.count -= notes.length - left.length;
    if (left.length === 0) this.notes.delete(generation);
    else this.notes.set(generation, left);
  }

  /** Called by who has added to a note: now and then there must be room again. */
  grew(bytes: number): void {
    this.unseen += bytes;
    if (this.unseen > MAX_BYTES / 16) this.makeRoom();
  }

  /** Forgets what has not been used for longest, when all takes more than its room. */
  private makeRoom(): void {
    this.unseen = 0;
    let bytes = 0;
    for (const notes of this.notes.values()) for (const note of notes) bytes += note.bytes;
    if (bytes > MAX_BYTES) this.forgetOldest(Math.ceil(this.count / 4));
  }

  private forgetOldest(most: number): void {
    const all = [...this.notes].flatMap(([generation, notes]) => notes.map((note) => ({ generation, note })));
    all.sort((a, b) => a.note.usedAt - b.note.usedAt);
    for (const { generation, note } of all.slice(0, most)) this.forget(note.head, note.head.length, generation);
  }
}

function isHead(known: Uint8Array, head: Uint8Array, headLength: number): boolean {
  if (known.length !== headLength) return false;
  for (let i = 0; i < headLength; i++) if (known[i] !== head[i]) return false;
  return true;
}
