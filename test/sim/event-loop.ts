/**
 * Virtual time and a deterministic event loop. It runs the same code as production with the same order of things:
 * an event, then all microtasks, then the next event that is ready; once nothing is ready the callbacks of
 * `atTurnEnd`; only then does time go on.
 *
 * Invariants: time never goes back; events of one moment run in the order they were asked for; nothing depends on
 * real time or real I/O.
 */

import type { Clock, Timer, Timers } from '../../src/env.ts';

/** A run that has not ended after so many events hangs in a loop of its own. */
const MAX_EVENTS = 5_000_000;

interface Event {
  readonly atUs: number;
  readonly order: number;
  readonly run: () => void;
  /** Repeats for ever, so it does not count as work that is left. */
  readonly background: boolean;
  cancelled: boolean;
}

function before(a: Event, b: Event): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
}

/** Binary heap, earliest event first. */
class EventHeap {
  readonly #events: Event[] = [];

  get first(): Event | undefined {
    return this.#events[0];
  }

  push(event: Event): void {
    const events = this.#events;
    let at = events.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = events[parent] as Event;
      if (!before(event, above)) break;
      events[at] = above;
      at = parent;
    }
    events[at] = event;
  }

  pop(): Event | undefined {
    const events = this.#events;
    const top = events[0];
    const last = events.pop();
    if (top === undefined || last === undefined || events.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && before(events[child + 1] as Event, events[child] as Event)) child++;
      if (!before(events[child] as Event, last)) break;
      events[at] = events[child] as Event;
      at = child;
    }
    events[at] = last;
    return top;
  }
}

/** Resumes once no microtask is left: the queue of nextTick is served only when that of promises is empty. */
function microtasksDone(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

/** Thrown by `settle` when the process that would have settled the promise is dead. */
export class Halted extends Error {
  override readonly name = 'Halted';
}

export class EventLoop {
  readonly #heap = new EventHeap();
  #turnEnd: (() => void)[] = [];
  readonly #external: Promise<unknown>[] = [];
  #nowUs = 0;
  #order = 0;
  #foreground = 0;
  #events = 0;
  #halted = false;
  /** What is added to virtual time to get the wall clock; a simulation may change it at any time. */
  wallOffsetMs = 1_700_000_000_000;

  readonly clock: Clock = {
    wallMs: () => Math.floor(this.#nowUs / 1000) + this.wallOffsetMs,
    monotonicUs: () => this.#nowUs,
  };

  get nowUs(): number {
    return this.#nowUs;
  }

  get eventCount(): number {
    return this.#events;
  }

  /** Runs `run` after `delayUs`; returns how to cancel it. */
  post(delayUs: number, run: () => void, background = false): Timer {
    const event: Event = {
      atUs: this.#nowUs + Math.max(0, Math.round(delayUs)),
      order: this.#order++,
      run,
      background,
      cancelled: false,
    };
    this.#heap.push(event);
    if (!background) this.#foreground++;
    return {
      cancel: () => {
        if (event.cancelled) return;
        event.cancelled = true;
        if (!background) this.#foreground--;
      },
    };
  }

  postTurnEnd(run: () => void): void {
    this.#turnEnd.push(run);
  }

  /** Time that passes inside an event, as when a synchronous call blocks. */
  elapse(us: number): void {
    this.#nowUs += Math.max(0, Math.round(us));
  }

  /** Real work (importing a module) that the loop waits for before it goes on, so that its duration does not matter. */
  awaitExternal(work: Promise<unknown>): void {
    this.#external.push(work);
  }

  /** Timers of one life of a simulated process: `kill` silences all that is still to come. */
  life(): Life {
    return new Life(this);
  }

  /** Stops the loop after the running event, as when the power goes: whoever drives it gets `Halted`. */
  halt(): void {
    this.#halted = true;
  }

  /** The machine runs again. */
  restart(): void {
    this.#halted = false;
  }

  /** Runs until `promise` has settled. Throws when nothing is left that could settle it, or when halted. */
  async settle<T>(promise: Promise<T>): Promise<T> {
    const state = { settled: false };
    const mark = (): void => {
      state.settled = true;
    };
    promise.then(mark, mark);
    await microtasksDone();
    this.#throwIfHalted();
    while (!state.settled) {
      const ran = await this.#turn(Number.POSITIVE_INFINITY, true);
      if (!ran) throw new Error('the simulation waits for something that never comes');
    }
    return promise;
  }

  /** Runs everything that is due within `ms` of virtual time. */
  async advance(ms: number): Promise<void> {
    const untilUs = this.#nowUs + ms * 1000;
    await microtasksDone();
    this.#throwIfHalted();
    while (await this.#turn(untilUs, true));
    this.#nowUs = Math.max(this.#nowUs, untilUs);
  }

  /** Runs until only repeating timers are left. */
  async runUntilIdle(): Promise<void> {
    await microtasksDone();
    this.#throwIfHalted();
    while (await this.#turn(Number.POSITIVE_INFINITY, false));
  }

  #throwIfHalted(): void {
    if (this.#halted) throw new Halted('the simulated machine has stopped');
  }

  /** One turn: what is ready, then the turn's end. False: nothing was left to run. */
  async #turn(untilUs: number, withBackground: boolean): Promise<boolean> {
    while (this.#external.length > 0) {
      await Promise.allSettled(this.#external.splice(0));
      await microtasksDone();
    }
    if (this.#turnEnd.length === 0) {
      this.#dropCancelled();
      const next = this.#heap.first;
      if (next === undefined || next.atUs > untilUs) return false;
      if (!withBackground && this.#foreground === 0) return false;
      this.#nowUs = Math.max(this.#nowUs, next.atUs);
    }
    const readyUs = this.#nowUs;
    for (;;) {
      this.#dropCancelled();
      const event = this.#heap.first;
      if (event === undefined || event.atUs > readyUs) break;
      this.#heap.pop();
      event.cancelled = true;
      if (!event.background) this.#foreground--;
      await this.#run(event.run);
    }
    const ends = this.#turnEnd;
    this.#turnEnd = [];
    for (const end of ends) await this.#run(end);
    return true;
  }

  async #run(callback: () => void): Promise<void> {
    if (++this.#events > MAX_EVENTS) throw new Error(`the simulation does not end: ${MAX_EVENTS} events`);
    callback();
    await microtasksDone();
    this.#throwIfHalted();
  }

  #dropCancelled(): void {
    while (this.#heap.first?.cancelled === true) this.#heap.pop();
  }
}

/**
 * `Timers` of one life of a process. A frozen life (SIGSTOP, a long pause of the machine) runs nothing while time goes
 * on; what came due meanwhile runs in its order once it is thawed, a repeating timer once.
 */
export class Life implements Timers {
  readonly #loop: EventLoop;
  #alive = true;
  #frozen = false;
  #backlog: (() => void)[] = [];

  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  kill(): void {
    this.#alive = false;
    this.#backlog = [];
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const callback of backlog) this.#loop.post(0, () => this.run(callback));
  }

  /** Runs something that happens to this life: now, when it thaws, or never. */
  run(callback: () => void): void {
    if (!this.#alive) return;
    if (this.#frozen) this.#backlog.push(callback);
    else callback();
  }

  after(delayMs: number, callback: () => void): Timer {
    let cancelled = false;
    const timer = this.#loop.post(delayMs * 1000, () =>
      this.run(() => {
        if (!cancelled) callback();
      }),
    );
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  every(intervalMs: number, callback: () => void): Timer {
    let cancelled = false;
    let current: Timer;
    const fire = (): void => {
      if (cancelled) return;
      next();
      callback();
    };
    const next = (): void => {
      current = this.#loop.post(intervalMs * 1000, () => this.run(fire), true);
    };
    next();
    return {
      cancel: () => {
        cancelled = true;
        current.cancel();
      },
    };
  }

  atTurnEnd(callback: () => void): void {
    this.#loop.postTurnEnd(() => this.run(callback));
  }
}
