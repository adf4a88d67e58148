/**
 * An engine in memory, for tests of what stands above the engine: a sorted array of pairs behind the `Store` contract.
 *
 * `chill` makes chosen keys look as if their blocks were on disk: a read says MISS until `fetch` or `load` has brought
 * them in, so that handlers are run again as in the real server. Everything written is durable at once.
 */

import { compareBytes, EMPTY } from '../../src/bytes.ts';
import {
  type Batch,
  type Cursor,
  type CursorOptions,
  type Found,
  type FsyncPolicy,
  lookup,
  type Lookup,
  type Refusal,
  type Snapshot,
  type Store,
} from '../../src/engine/store.ts';

interface Pair {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly sequence: number;
}

type Write =
  | { readonly kind: 'put'; readonly start: number; readonly keyEnd: number; readonly end: number }
  | { readonly kind: 'delete'; readonly key: Uint8Array }
  | { readonly kind: 'range'; readonly from: Uint8Array; readonly to: Uint8Array };

export class MemoryStore implements Store {
  lastSequence = 0;
  writeCount = 0;
  durableSequence = 0;
  writeDelayMs = 0;
  refusal: Refusal | undefined = undefined;
  /** Reads that said MISS. */
  misses = 0;
  /** Cursors that are open. */
  openCursors = 0;
  private pairs: Pair[] = [];
  /** Keys, as text, that the next read misses. */
  private readonly cold = new Set<string>();
  private readonly listeners = new Set<() => void>();

  /** Makes the keys that pass (default: all) miss at their next read. */
  chill(isChosen: (key: Uint8Array) => boolean = () => true): void {
    for (const { key } of this.pairs) if (isChosen(key)) this.cold.add(textOf(key));
  }

  get size(): number {
    return this.pairs.length;
  }

  keepFound(): () => void {
    return () => {};
  }

  get(key: Uint8Array, keyLength: number, found: Found): Lookup {
    return this.read(this.pairs, key.subarray(0, keyLength), found);
  }

  getAt(snapshot: Snapshot, key: Uint8Array, keyLength: number, found: Found): Lookup {
    return this.read((snapshot as MemorySnapshot).pairs, key.subarray(0, keyLength), found);
  }

  fetch(key: Uint8Array): Promise<void> {
    this.cold.delete(textOf(key));
    return Promise.resolve();
  }

  expect(): void {}

  touchExpected(): void {}

  newBatch(): MemoryBatch {
    return new MemoryBatch();
  }

  write(batch: Batch): number {
    this.writeCount++;
    if (this.refusal !== undefined) throw new Error(this.refusal.message);
    const { bytes, writes } = batch as MemoryBatch;
    // A snapshot or a cursor may hold the array: it never changes.
    this.pairs = this.pairs.slice();
    for (const write of writes) this.apply(write, bytes);
    this.durableSequence = this.lastSequence;
    for (const listener of this.listeners) listener();
    return this.lastSequence;
  }

  onDurable(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  setFsyncPolicy(_policy: FsyncPolicy): void {}

  cursor(options: CursorOptions): Cursor {
    this.openCursors++;
    const pairs = options.snapshot === undefined ? this.pairs : (options.snapshot as MemorySnapshot).pairs;
    return new MemoryCursor(this, pairs, options);
  }

  snapshot(): Snapshot {
    return new MemorySnapshot(this.lastSequence, this.pairs);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  checkpoint(_directory: string): Promise<void> {
    return Promise.reject(new Error('a store in memory has no files'));
  }

  compact(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  metrics(): Readonly<Record<string, number>> {
    return {};
  }

  /** Whether a read of this key misses. */
  isCold(key: Uint8Array): boolean {
    if (this.cold.size === 0 || !this.cold.has(textOf(key))) return false;
    this.misses++;
    return true;
  }

  private read(pairs: readonly Pair[], key: Uint8Array, found: Found): Lookup {
    if (this.isCold(key)) return lookup.MISS;
    const pair = pairs[indexOf(pairs, key)];
    if (pair === undefined || compareBytes(pair.key, key) !== 0) {
      // Else what another store has said of it would be taken for an answer.
      found.sequence = 0;
      return lookup.ABSENT;
    }
    found.bytes = pair.value;
    found.start = 0;
    found.end = pair.value.length;
    found.sequence = pair.sequence;
    return lookup.FOUND;
  }

  private apply(write: Write, bytes: Uint8Array): void {
    const sequence = ++this.lastSequence;
    if (write.kind === 'range') {
      const from = indexOf(this.pairs, write.from);
      this.pairs.splice(from, indexOf(this.pairs, write.to) - from);
      return;
    }
    const key = write.kind === 'delete' ? write.key : bytes.slice(write.start, write.keyEnd);
    const at = indexOf(this.pairs, key);
    const there = at < this.pairs.length && compareBytes((this.pairs[at] as Pair).key, key) === 0;
    if (write.kind === 'delete') {
      if (there) this.pairs.splice(at, 1);
      return;
    }
    const value = bytes.slice(write.keyEnd, write.end);
    this.pairs.splice(at, there ? 1 : 0, { key, value, sequence });
  }
}

class MemorySnapshot implements Snapshot {
  readonly sequence: number;
  readonly pairs: readonly Pair[];
  constructor(sequence: number, pairs: readonly Pair[]) {
    this.sequence = sequence;
    this.pairs = pairs;
  }
  release(): void {}
}

class MemoryBatch implements Batch {
  bytes: Uint8Array = new Uint8Array(64);
  writes: Write[] = [];
  byteLength = 0;

  get count(): number {
    return this.writes.length;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const at = this.reservePut(key.length, value.length);
    this.bytes.set(key, at);
    this.bytes.set(value, at + key.length);
  }

  reservePut(keyLength: number, valueLength: number): number {
    const start = this.byteLength;
    const end = start + keyLength + valueLength;
    if (end > this.bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.bytes.length * 2));
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.writes.push({ kind: 'put', start, keyEnd: start + keyLength, end });
    this.byteLength = end;
    return start;
  }

  replaceLast(): void {}

  delete(key: Uint8Array): void {
    this.writes.push({ kind: 'delete', key: key.slice() });
  }

  deleteRange(from: Uint8Array, to: Uint8Array): void {
    this.writes.push({ kind: 'range', from: from.slice(), to: to.slice() });
  }

  clear(): void {
    this.writes = [];
    this.byteLength = 0;
  }
}

class MemoryCursor implements Cursor {
  key: Uint8Array = EMPTY;
  value: Uint8Array = EMPTY;
  private readonly store: MemoryStore;
  private readonly pairs: readonly Pair[];
  private readonly first: number;
  private readonly end: number;
  private readonly reverse: boolean;
  private next_: number;
  private missed: Uint8Array = EMPTY;
  private closed = false;

  constructor(store: MemoryStore, pairs: readonly Pair[], options: CursorOptions) {
    this.store = store;
    this.pairs = pairs;
    this.first = options.lower === undefined ? 0 : indexOf(pairs, options.lower);
    this.end = options.upper === undefined ? pairs.length : indexOf(pairs, options.upper);
    this.reverse = options.reverse === true;
    this.next_ = this.reverse ? this.end - 1 : this.first;
  }

  next(): Lookup {
    const at = this.next_;
    if (at < this.first || at >= this.end) return lookup.ABSENT;
    const pair = this.pairs[at] as Pair;
    if (this.store.isCold(pair.key)) {
      this.missed = pair.key;
      return lookup.MISS;
    }
    this.key = pair.key;
    this.value = pair.value;
    this.next_ = this.reverse ? at - 1 : at + 1;
    return lookup.FOUND;
  }

  seek(key: Uint8Array): Lookup {
    const at = indexOf(this.pairs, key);
    if (!this.reverse) this.next_ = Math.max(at, this.first);
    else {
      const there = at < this.pairs.length && compareBytes((this.pairs[at] as Pair).key, key) === 0;
      this.next_ = Math.min(there ? at : at - 1, this.end - 1);
    }
    return this.next();
  }

  load(): Promise<void> {
    return this.store.fetch(this.missed);
  }

  close(): void {
    if (!this.closed) this.store.openCursors--;
    this.closed = true;
  }
}

/** Index of the first pair whose key is at least `key`. */
function indexOf(pairs: readonly Pair[], key: Uint8Array): number {
  let low = 0;
  let high = pairs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes((pairs[middle] as Pair).key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}
