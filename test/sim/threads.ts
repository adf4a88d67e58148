/**
 * Threads of the simulation: the job module runs in line on the event loop, after a delay and before another one.
 * Jobs and results pass through a structured clone as in worker_threads, so that what cannot cross is noticed.
 */

import type { Disk, Thread, Threads } from '../../src/env.ts';
import { reviveThrown, shapeThrown } from '../../src/env-node-threads.ts';
import type { EventLoop, Life } from './event-loop.ts';
import type { Prng } from './prng.ts';

type JobFunction = (job: unknown, disk: Disk, stopped: () => boolean) => unknown;

const modules = new Map<string, Promise<JobFunction>>();

function loadModule(moduleUrl: string): Promise<JobFunction> {
  let loading = modules.get(moduleUrl);
  if (loading === undefined) {
    loading = import(moduleUrl).then((module: { default: JobFunction }) => module.default);
    modules.set(moduleUrl, loading);
  }
  return loading;
}

/** Longest wait before and after a job, in microseconds of virtual time. */
const MAX_DELAY_US = 20_000;

export class SimThreads implements Threads {
  readonly #loop: EventLoop;
  readonly #life: Life;
  readonly #disk: Disk;
  readonly #random: Prng;

  constructor(parts: { loop: EventLoop; life: Life; disk: Disk; random: Prng }) {
    this.#loop = parts.loop;
    this.#life = parts.life;
    this.#disk = parts.disk;
    this.#random = parts.random;
  }

  start<Job, Result>(moduleUrl: string, name: string): Thread<Job, Result> {
    const loading = loadModule(moduleUrl);
    this.#loop.awaitExternal(loading);
    let stopped = false;
    let last: Promise<unknown> = Promise.resolve();
    const closed = (): Error => Object.assign(new Error(`thread ${name} was closed`), { code: 'THREAD_CLOSED' });
    const runNow = async (job: unknown): Promise<unknown> => {
      const runJob = await loading;
      await this.#delay();
      if (stopped) throw closed();
      try {
        return structuredClone(runJob(job, this.#disk, () => stopped));
      } catch (error) {
        throw reviveThrown(structuredClone(shapeThrown(error)));
      } finally {
        await this.#delay();
      }
    };
    return {
      run: (job) => {
        if (stopped) return Promise.reject(closed());
        const sent: unknown = structuredClone(job);
        const result = last.then(() => runNow(sent));
        last = result.catch(() => undefined);
        return result as Promise<Result>;
      },
      close: async () => {
        stopped = true;
        await last;
      },
    };
  }

  /** Never ends once the process is dead. */
  #delay(): Promise<void> {
    return new Promise((resolve) => {
      this.#loop.post(this.#random.below(MAX_DELAY_US), () => this.#life.run(resolve));
    });
  }
}
