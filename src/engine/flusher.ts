/**
 * The queue of frozen memtables on their way to level 0.
 *
 * Invariants: memtables are flushed oldest first, one at a time; one leaves the queue only when its tables are durable
 * and visible, and only then its WAL file may be used again.
 */

import type { Log, Timer, Timers } from '../env.ts';
import { DiskError } from '../env.ts';
import { EngineError } from './engine-error.ts';
import type { Memtable } from './memtable.ts';
import type { Tree } from './tree.ts';
import type { Wal, WalFile } from './wal.ts';

/** After a flush that failed the next attempt waits: first so long, then twice as long each time. */
const RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;

/** A memtable and the WAL that holds the same records. */
export type Generation = { readonly memtable: Memtable; readonly walFile: WalFile };

export type FlusherOptions = {
  readonly tree: Tree;
  readonly wal: Wal;
  readonly timers: Timers;
  readonly log: Log;
  /** It has left the queue: its records are in tables. */
  readonly onFlushed: (memtable: Memtable) => void;
  /** The queue has become shorter or an attempt has failed. */
  readonly onChange: () => void;
  /** The disk is full. */
  readonly onFull: (error: unknown) => void;
};

type Waiter = { readonly last: Generation; resolve(): void; reject(error: unknown): void };

export class Flusher {
  /** Oldest first. */
  readonly queue: Generation[] = [];
  readonly #options: FlusherOptions;
  #running: Promise<void> | undefined;
  #retry: Timer | undefined;
  #retryMs = RETRY_MS;
  #waiters: Waiter[] = [];
  #closed = false;

  constructor(options: FlusherOptions) {
    this.#options = options;
  }

  add(generation: Generation): void {
    this.queue.push(generation);
    this.#start();
  }

  /** Tries again now what has failed. */
  retry(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#start();
  }

  /** Resolves when all that is queued now is in tables; rejects when an attempt fails. */
  drained(): Promise<void> {
    const last = this.queue.at(-1);
    if (last === undefined) return Promise.resolve();
    const waiting = new Promise<void>((resolve, reject) => this.#waiters.push({ last, resolve, reject }));
    this.retry();
    return waiting;
  }

  #start(): void {
    if (this.#running !== undefined || this.#retry !== undefined || this.#closed) return;
    if (this.queue.length === 0) return;
    this.#running = this.#flushAll().finally(() => {
      this.#running = undefined;
    });
  }

  async #flushAll(): Promise<void> {
    const { tree, wal, onFlushed, onChange } = this.#options;
    for (let next = this.queue[0]; next !== undefined && !this.#closed; next = this.queue[0]) {
      try {
        // A file must not be used again while groups for it are still to be written.
        await wal.written(next.walFile);
        await tree.flush(next.memtable);
      } catch (error) {
        this.#failed(error);
        return;
      }
      this.#retryMs = RETRY_MS;
      this.queue.shift();
      wal.release(next.walFile);
      onFlushed(next.memtable);
      this.#resolve(next);
      onChange();
    }
  }

  #resolve(done: Generation): void {
    const waiters = this.#waiters;
    this.#waiters = waiters.filter((waiter) => waiter.last !== done);
    for (const waiter of waiters) if (waiter.last === done) waiter.resolve();
  }

  #failed(error: unknown): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
    // What stopped for good, stopped: the owner has been told.
    if (this.#closed || (error instanceof EngineError && error.code !== 'corruption')) return;
    const { log, timers, onChange, onFull } = this.#options;
    log.error('a memtable could not be written out; it will be tried again', { cause: String(error) });
    this.#retry = timers.after(this.#retryMs, () => this.retry());
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
    if (error instanceof DiskError && error.code === 'ENOSPC') onFull(error);
    onChange();
  }

  /** Waits for what runs; starts nothing more. What is queued stays in the WAL. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    await this.#running;
    for (const waiter of this.#waiters) waiter.reject(new EngineError('closed', 'the store was closed'));
    this.#waiters = [];
  }
}
