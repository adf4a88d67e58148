/**
 * The contract of the engine: an ordered, durable, crash-safe map of bytes to bytes.
 *
 * Keys are ordered as unsigned bytes. A write is seen by every read that starts after `write` returns; it is
 * acknowledgeable once `durableSequence` has reached the sequence that `write` returned. Reads that find their
 * answer in memory are synchronous; the others say MISS, and `fetch` or `load` brings the blocks in.
 *
 * Requires: one writer, on one event loop. Keys of at least one byte.
 */

/** What a look-up or a cursor step says. */
export const lookup = { ABSENT: 0, FOUND: 1, MISS: 2 } as const;
export type Lookup = (typeof lookup)[keyof typeof lookup];

/** When a write is acknowledgeable: fsynced; or handed to the operating system (fsync each second, or never). */
export type FsyncPolicy = 'always' | 'everysec' | 'no';

/**
 * Where a value was found: `bytes[start, end)`, valid until the current turn of the event loop ends, or until the key is
 * written by a `replaceLast`.
 */
export class Found {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  /**
   * Sequence number of the record; 0 when it was read from a table (and so is durable). Also set on ABSENT: of the
   * deletion that says so, or 0.
   */
  sequence = 0;
}

/** Writes that are applied together or not at all. Reusable after `clear`. */
export interface Batch {
  readonly count: number;
  readonly byteLength: number;
  put(key: Uint8Array, value: Uint8Array): void;
  /**
   * Adds a put whose key and value the caller then writes in place: the key at `bytes[offset]`, the value right
   * after it. Returns the offset; `bytes` may have been replaced by the call.
   */
  reservePut(keyLength: number, valueLength: number): number;
  readonly bytes: Uint8Array;
  /**
   * The put that was added last may be written over the newest record of its key, if that is a put of the same size which
   * is not on its way to the log and which no snapshot or cursor sees: the key takes no more room then, and `write` no new
   * sequence. Void when anything is added after it. Requires: nothing else in the batch touches the key, and nobody
   * goes on reading bytes of its last value that were found in this turn.
   */
  replaceLast(): void;
  delete(key: Uint8Array): void;
  /** Removes every key in [from, to) at a cost that does not grow with what is there. */
  deleteRange(from: Uint8Array, to: Uint8Array): void;
  clear(): void;
}

/** A fixed state of the map. Must be released. */
export interface Snapshot {
  readonly sequence: number;
  release(): void;
}

/** A walk over the keys in [lower, upper), forwards or, with `reverse`, backwards. Must be closed. */
export interface Cursor {
  /** The current pair after FOUND: `key[0, keyEnd)`-style slices valid until the next step. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Steps to the first or next pair. After MISS: `await load()`, then step again. */
  next(): Lookup;
  /** Goes to the first key ≥ `key` (with `reverse`: the last key ≤ `key`). After MISS: `await load()`, seek again. */
  seek(key: Uint8Array): Lookup;
  load(): Promise<void>;
  close(): void;
}

export interface CursorOptions {
  readonly lower?: Uint8Array;
  /** Exclusive. */
  readonly upper?: Uint8Array;
  readonly reverse?: boolean;
  /** Without one: the state at the time the cursor is opened. */
  readonly snapshot?: Snapshot;
  /** After so many deleted keys a step is a MISS whose `load` waits for the next turn; without it a step passes any number. */
  readonly mostPassed?: number;
}

/**
 * Why writes are refused for the time being; `undefined` while they are taken. `overloaded`: flush or compaction is so
 * far behind that memory or read cost would grow without bound (who waits for `writeDelayMs` hardly ever gets there), or
 * under `everysec` an fsync takes more than two seconds; it passes, so a writer should wait.
 */
export type Refusal = { readonly code: 'disk-full' | 'overloaded' | 'closing'; readonly message: string };

export interface Store {
  readonly lastSequence: number;
  /** Batches written since the store was opened: as long as it stays, nothing has changed. */
  readonly writeCount: number;
  /** Every record up to here is as durable as the fsync policy asks. */
  readonly durableSequence: number;
  /** Milliseconds that a writer should wait before its next write; 0 when compaction keeps up. */
  readonly writeDelayMs: number;
  readonly refusal: Refusal | undefined;

  /** Looks for key[0, keyLength). On FOUND fills `found`. */
  get(key: Uint8Array, keyLength: number, found: Found): Lookup;
  /** As `get`, in a snapshot. */
  getAt(snapshot: Snapshot, key: Uint8Array, keyLength: number, found: Found): Lookup;
  /**
   * Brings in what a `get` or `getAt` of this key missed. The blocks stay until the callers of this turn have run again.
   * Many at a time are the batched read: they run side by side, and what several of them miss is read once.
   */
  fetch(key: Uint8Array): Promise<void>;

  /**
   * `get` will probably be asked for key[0, keyLength) in a moment. To look up a key waits for memory; `touchExpected`
   * waits for that of all keys that were expected since it was called last at once. Changes nothing but the time it takes.
   */
  expect(key: Uint8Array, keyLength: number): void;
  touchExpected(): void;

  /**
   * What is found from this turn on stays valid beyond it, until the returned function is called: for a reader that goes on
   * later. Memory that is let go meanwhile is not used again.
   */
  keepFound(): () => void;

  newBatch(): Batch;
  /**
   * Applies the batch and returns the sequence to await: nothing of the batch has a later one. Throws when `refusal` is set; but a batch that `frees`
   * more space than it takes is taken on a full disk too, as long as a share of what is kept in reserve lasts.
   */
  write(batch: Batch, frees?: boolean): number;
  /** Called whenever `durableSequence` has grown, until the returned function is called. */
  onDurable(listener: () => void): () => void;
  setFsyncPolicy(policy: FsyncPolicy): void;

  cursor(options: CursorOptions): Cursor;
  snapshot(): Snapshot;

  /** Writes the memtable out and waits until it is a table. */
  flush(): Promise<void>;
  /**
   * A consistent copy in `directory`, on the same file system: hard links, which cost no space until the store has
   * replaced the tables that they hold on to. It has every write that returned before the call.
   */
  checkpoint(directory: string): Promise<void>;
  /** Compacts everything; for tests, tools and DEBUG. */
  compact(): Promise<void>;
  /** Flushes what must survive, waits for running work and closes the files. */
  close(): Promise<void>;

  /** Numbers for INFO and metrics, by stable name; bytes, counts and microseconds. */
  metrics(): Readonly<Record<string, number>>;
}

/** What the owner of the store hands in, since the engine knows neither slots nor versions. */
export interface StoreHooks {
  /** Called in order for each record of each WAL that is replayed on open, oldest first. */
  onReplay?(key: Uint8Array, value: Uint8Array | undefined): void;
  /** Called before a memtable is frozen; what it puts in the batch becomes the last records of that memtable. */
  onFreeze?(batch: Batch): void;
}
