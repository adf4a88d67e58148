/** What a node does by the clock: it sweeps expired rows and what large collections left behind, keeps the clock's ceiling ahead and samples its rates. */

import { EngineError } from './engine/engine-error.ts';
import type { Timer } from './env.ts';
import type { Server } from './commands/server-state.ts';
import type { Hlc } from './repl/hlc.ts';

/** `hz` above this brings nothing, as in Redis. */
const MAX_HZ = 500;

/** Milliseconds of one sweep after which it rests until the next tick, so that clients come first. */
const SWEEP_BUDGET_US = 25_000;

export interface Background {
  /** Settles when nothing runs any more. */
  stop(): Promise<void>;
}

export interface BackgroundOptions {
  readonly server: Server;
  readonly hlc: Hlc;
  /** Rows are other nodes' too, and end by the register: sweeps those, true when there are more. undefined: they are not. */
  sweepShared(): Promise<boolean> | undefined;
  /** Rows are other nodes' too. */
  isShared(): boolean;
}

export function startBackground(options: BackgroundOptions): Background {
  return new Ticker(options);
}

class Ticker implements Background {
  private readonly server: Server;
  private readonly hlc: Hlc;
  private readonly sweepShared: () => Promise<boolean> | undefined;
  private readonly mayWrite: () => boolean;
  private timer: Timer | undefined = undefined;
  private sweep: Promise<void> | undefined = undefined;
  private stopped = false;
  private lastFailure = '';

  constructor(options: BackgroundOptions) {
    const { server } = options;
    this.server = server;
    this.hlc = options.hlc;
    this.sweepShared = () => options.sweepShared();
    this.mayWrite = () => !options.isShared() && !server.busy.isOn;
    server.config.follow('hz', (hz) => {
      this.timer?.cancel();
      if (!this.stopped) this.timer = server.env.timers.every(1000 / Math.min(hz, MAX_HZ), () => this.tick());
    });
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.timer?.cancel();
    await this.sweep;
  }

  private tick(): void {
    const { server } = this;
    const nowUs = server.env.clock.monotonicUs();
    server.opsRate.sample(server.commandsRun, nowUs);
    server.inputRate.sample(server.front.bytesIn, nowUs);
    server.outputRate.sample(server.front.bytesOut, nowUs);
    if (this.stopped || server.keyspace.store.refusal !== undefined) return;
    this.hlc.keepAhead();
    void server.rows?.followUsers();
    if (!server.sweepsExpired || this.sweep !== undefined || server.pause.mode !== 'none' || server.busy.isOn) return;
    this.sweep = this.sweepExpired(nowUs)
      .catch((error: unknown) => this.noteFailure(error))
      .finally(() => {
        this.sweep = undefined;
      });
  }

  /** Readers see expired rows as gone all the same; the next tick tries again. A reason is told once. */
  private noteFailure(error: unknown): void {
    if (!(error instanceof EngineError)) throw error;
    if (error.message === this.lastFailure) return;
    this.lastFailure = error.message;
    this.server.env.log.warn('expired rows cannot be swept', { reason: error.message });
  }

  private async sweepExpired(startUs: number): Promise<void> {
    const { clock, timers } = this.server.env;
    const { keyspace } = this.server;
    while (!this.stopped && !this.server.busy.isOn && keyspace.store.refusal === undefined) {
      const shared = this.sweepShared();
      const mayBeMore = await (shared ?? keyspace.sweepExpired(clock.wallMs(), this.mayWrite));
      const mayBeMoreFields = shared === undefined && (await keyspace.sweepFields(clock.wallMs(), this.mayWrite));
      if (!mayBeMore && !mayBeMoreFields && !(await keyspace.collectGarbage())) return;
      if (clock.monotonicUs() - startUs > SWEEP_BUDGET_US) return;
      await new Promise<void>((resolve) => timers.atTurnEnd(resolve));
    }
  }
}
