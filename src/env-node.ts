/** The real world behind the interfaces of `env.ts`. The log comes from the caller. */

import { randomBytes } from 'node:crypto';
// The global of this name is a getter, which costs as much as the look at the clock.
import { performance } from 'node:perf_hooks';
import type { Clock, Env, Log, Random, Timer, Timers } from './env.ts';
import { NodeDisk } from './env-node-disk.ts';
import { NodeNetwork } from './env-node-network.ts';
import { NodeThreads } from './env-node-threads.ts';

class NodeClock implements Clock {
  wallMs(): number {
    return Date.now();
  }

  monotonicUs(): number {
    return Math.round(performance.now() * 1000);
  }
}

/**
 * One setImmediate serves all `atTurnEnd` callbacks of a turn; what they add in turn waits for the next turn.
 * A callback that throws ends the process, so what stands behind it need not run.
 */
class NodeTimers implements Timers {
  #atEnd: (() => void)[] = [];
  #spare: (() => void)[] = [];
  readonly #runAtEnd = (): void => {
    const callbacks = this.#atEnd;
    this.#atEnd = this.#spare;
    this.#spare = [];
    for (const callback of callbacks) callback();
    callbacks.length = 0;
    this.#spare = callbacks;
  };

  after(delayMs: number, callback: () => void): Timer {
    const timeout = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timeout) };
  }

  every(intervalMs: number, callback: () => void): Timer {
    const interval = setInterval(callback, intervalMs);
    return { cancel: () => clearInterval(interval) };
  }

  atTurnEnd(callback: () => void): void {
    if (this.#atEnd.push(callback) === 1) setImmediate(this.#runAtEnd);
  }
}

class NodeRandom implements Random {
  next(): number {
    return Math.random();
  }

  bytes(length: number): Uint8Array {
    return new Uint8Array(randomBytes(length));
  }
}

export function createNodeEnv(options: { log: Log }): Env {
  return {
    clock: new NodeClock(),
    timers: new NodeTimers(),
    random: new NodeRandom(),
    disk: new NodeDisk(),
    network: new NodeNetwork(options.log),
    threads: new NodeThreads(),
    log: options.log,
  };
}
