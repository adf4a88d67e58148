/**
 * The steward's shell: every node has one, and the core of one of them finds itself to be the steward. It looks whenever
 * the document changes and now and then, drives the moves of slots that it is told to, and changes the document.
 */

import type { MemberId } from '../cluster/member.ts';
import type { Env, Timer } from '../env.ts';
import { type StewardEffect, StewardCore, type StewardLimits } from './topology-steward-core.ts';
import type { TopologyKeeper } from './topology-keeper.ts';
import { TopologyError, type TopologyRegister } from './topology-register.ts';

/** How often it looks when nothing tells it to: health is not announced to it. */
export const LOOK_INTERVAL_MS = 250;

/** Pause after a change that failed. */
const CHANGE_RETRY_MS = 500;

/** How long one change of the document may take. */
const CHANGE_TIMEOUT_MS = 10_000;

export interface StewardOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'log'>;
  readonly keeper: TopologyKeeper;
  readonly register: Pick<TopologyRegister, 'change'>;
  /**
   * Moves a slot from its current owners to the incoming ones, as the document in force says: fulfilled when every row is
   * safe with a majority of the incoming ones. Rejected when that did not work out (it is tried again), and when the
   * document says no longer that the slot moves.
   */
  runMove(slot: number): Promise<void>;
  readonly limits?: Partial<StewardLimits>;
}

export class Steward {
  private readonly env: StewardOptions['env'];
  private readonly keeper: TopologyKeeper;
  private readonly register: StewardOptions['register'];
  private readonly runMove: (slot: number) => Promise<void>;
  private readonly core: StewardCore;
  private readonly timer: Timer;
  private readonly stopListening: () => void;
  private retry: Timer | undefined = undefined;
  private isClosed = false;

  constructor(options: StewardOptions) {
    this.env = options.env;
    this.keeper = options.keeper;
    this.register = options.register;
    this.runMove = (slot) => options.runMove(slot);
    this.core = new StewardCore(options.limits);
    this.stopListening = this.keeper.onTopology(() => this.look());
    this.timer = this.env.timers.every(LOOK_INTERVAL_MS, () => this.look());
  }

  /** Slots that move by the document, and those that are planned to; 0 where this node is not the steward. */
  get progress(): { readonly moving: number; readonly planned: number } {
    return this.core.progress;
  }

  close(): void {
    this.isClosed = true;
    this.timer.cancel();
    this.retry?.cancel();
    this.stopListening();
  }

  private look(): void {
    const { topology, self } = this.keeper;
    if (topology === undefined || self === 0 || this.isClosed) return;
    const isHealthy = (id: MemberId): boolean => this.keeper.isHealthy(id);
    this.carryOut(this.core.step({ kind: 'look', view: { topology, self, isHealthy } }, this.nowMs()));
  }

  private carryOut(effects: readonly StewardEffect[]): void {
    if (this.isClosed) return;
    for (const effect of effects) {
      if (effect.kind === 'run') this.run(effect.slot, effect.since);
      else this.change(effect);
    }
  }

  private run(slot: number, since: number): void {
    const moved = (done: boolean): void => {
      this.carryOut(this.core.step({ kind: 'moved', slot, since, done }, this.nowMs()));
    };
    this.runMove(slot).then(
      () => moved(true),
      (error: unknown) => {
        this.env.log.debug('a slot could not be moved; trying again', { slot, reason: String(error) });
        moved(false);
      },
    );
  }

  private change({ plan }: Extract<StewardEffect, { kind: 'change' }>): void {
    const changed = (): void => this.carryOut(this.core.step({ kind: 'changed' }, this.nowMs()));
    this.register.change(plan, this.nowMs() + CHANGE_TIMEOUT_MS).then(changed, (error: unknown) => {
      const level = error instanceof TopologyError && error.code === 'no-quorum' ? 'warn' : 'error';
      this.env.log[level]('the steward could not change the topology; trying again', { reason: String(error) });
      this.retry = this.env.timers.after(CHANGE_RETRY_MS, changed);
    });
  }

  private nowMs(): number {
    return this.env.clock.monotonicUs() / 1000;
  }
}
