/**
 * Threads beside the event loop: worker_threads behind `Threads`.
 *
 * Messages to a thread: `{job}`, then `{close: true}` last. Messages back: one `Outcome` for each job, in order.
 * Nothing is transferred, so SharedArrayBuffers in a job or a result stay shared and all else is copied.
 */

import { Worker } from 'node:worker_threads';
import { assert, must } from './assert.ts';
import { DiskError, type Thread, type Threads } from './env.ts';

/** What a thread's error looks like on the way back: structured cloning would drop code and path. */
export interface ThrownShape {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type Outcome = { readonly result: unknown } | { readonly thrown: ThrownShape };

export type ThreadMessage = { readonly job: unknown } | { readonly close: true };

export interface ThreadStart {
  readonly moduleUrl: string;
  /** One Int32: turns 1 once the thread is being closed. */
  readonly stopped: SharedArrayBuffer;
}

const diskCodes: ReadonlySet<string> = new Set(['ENOENT', 'EEXIST', 'ENOSPC', 'EIO', 'EMFILE', 'EACCES', 'OTHER']);

function isDiskCode(code: unknown): code is DiskError['code'] {
  return typeof code === 'string' && diskCodes.has(code);
}

/** The error as it was thrown in the thread: a `DiskError` again, else an Error with the same name, code and fields. */
export function reviveThrown(shape: ThrownShape): Error {
  const { code, path } = shape.fields;
  const error =
    shape.name === 'DiskError' && isDiskCode(code) && typeof path === 'string'
      ? new DiskError(code, path, shape.message)
      : Object.assign(new Error(shape.message), shape.fields, { name: shape.name });
  if (shape.stack !== undefined) error.stack = shape.stack;
  return error;
}

/** Plain form of anything that was thrown; fields that cannot be cloned are left out. */
export function shapeThrown(thrown: unknown): ThrownShape {
  if (!(thrown instanceof Error)) return { name: 'Error', message: String(thrown), stack: undefined, fields: {} };
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(thrown)) {
    if (name === 'name' || name === 'message' || name === 'stack') continue;
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') fields[name] = value;
  }
  return { name: thrown.name, message: thrown.message, stack: thrown.stack, fields };
}

/** What a job is told that never began, or whose thread died. `code` is `THREAD_CLOSED`. */
function threadClosed(name: string, why: string): Error {
  return Object.assign(new Error(`thread ${name} ${why}`), { code: 'THREAD_CLOSED' });
}

/** Threads hardly keep anything: a nursery as large as the event loop's would only hold more garbage. */
const THREAD_LIMITS = { maxYoungGenerationSizeMb: 8 };

interface Waiting<Result> {
  resolve(result: Result): void;
  reject(error: Error): void;
}

class NodeThread<Job, Result> implements Thread<Job, Result> {
  readonly #name: string;
  readonly #worker: Worker;
  readonly #stopped: Int32Array;
  readonly #waiting: Waiting<Result>[] = [];
  readonly #exited: Promise<void>;
  #closing = false;
  #failure: Error | undefined;

  constructor(moduleUrl: string, name: string) {
    this.#name = name;
    const stopped = new SharedArrayBuffer(4);
    this.#stopped = new Int32Array(stopped);
    const start: ThreadStart = { moduleUrl, stopped };
    const entry = new URL(import.meta.url.replace(/env-node-threads(\.\w+)$/, 'env-node-thread-main$1'));
    this.#worker = new Worker(entry, { name, workerData: start, resourceLimits: THREAD_LIMITS });
    this.#worker.on('message', (outcome: Outcome) => this.#settle(outcome));
    this.#worker.on('error', (error) => this.#fail(error instanceof Error ? error : new Error(String(error))));
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        this.#fail(threadClosed(name, code === 0 ? 'was closed' : `exited with code ${code}`));
        resolve();
      });
    });
  }

  run(job: Job): Promise<Result> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#closing) return Promise.reject(threadClosed(this.#name, 'is closing'));
    return new Promise<Result>((resolve, reject) => {
      const message: ThreadMessage = { job };
      this.#worker.postMessage(message, []);
      this.#waiting.push({ resolve, reject });
    });
  }

  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      Atomics.store(this.#stopped, 0, 1);
      const message: ThreadMessage = { close: true };
      this.#worker.postMessage(message, []);
    }
    await this.#exited;
  }

  #settle(outcome: Outcome): void {
    assert(this.#waiting.length > 0, 'an outcome belongs to a job');
    const waiting = must(this.#waiting.shift(), 'an outcome belongs to a job');
    if ('result' in outcome) waiting.resolve(outcome.result as Result);
    else waiting.reject(reviveThrown(outcome.thrown));
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
  }
}

export class NodeThreads implements Threads {
  start<Job, Result>(moduleUrl: string, name: string): Thread<Job, Result> {
    return new NodeThread<Job, Result>(moduleUrl, name);
  }
}
