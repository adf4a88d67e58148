/**
 * Brings another owner up to date with a large collection, whole: the hint of one is only its name (missed-writes.ts), and
 * what is chosen when it is delivered is what goes. The changes of the row wait meanwhile: else those that come after would
 * always find the owner a version behind (row-delta.ts).
 *
 * Invariants: a row's changes wait for one delivery at a time and for `LONGEST_WAIT_MS` at most; then they go on in their
 * order. What settles the read that a delivery begins with does not wait for it.
 */

import type { MemberId } from '../cluster/member.ts';
import type { Env } from '../env.ts';
import type { AcceptRequest, OwnerAnswer, RowName } from './owner-message.ts';
import { MAX_CHANGES, PHASE_TIMEOUT_MS } from './register-core.ts';
import { isSendable } from './row-delta.ts';
import type { ReadOutcome, RowTask } from './row-tasks.ts';

/** For changes under way, a read and the delivery. */
const LONGEST_WAIT_MS = 3 * PHASE_TIMEOUT_MS + 500;

/** How often it is looked whether the changes that are under way are done. */
const IDLE_POLL_MS = 2;

const REFUSED = { kind: 'unable', reason: 'refused' } as const;

export interface CatchUpWorld {
  readonly timers: Pick<Env['timers'], 'after'>;
  nowMs(): number;
  /** Changes of the row are under way. */
  isAtWork(row: RowName): boolean;
  read(row: RowName, deadlineMs: number, done: (outcome: ReadOutcome) => void): void;
  deliver(to: MemberId, request: AcceptRequest<Uint8Array>, answered: (answer: OwnerAnswer<Uint8Array>) => void): void;
}

export class RowCatchUp {
  private readonly world: CatchUpWorld;
  private readonly waiting = new Map<RowName, (() => void)[]>();

  constructor(world: CatchUpWorld) {
    this.world = world;
  }

  /** Changes of some row wait. */
  get isBusy(): boolean {
    return this.waiting.size > 0;
  }

  /** Whether the row's changes wait: `change` is then called when it may begin, or the task told that too many wait. */
  holdsBack(row: RowName, task: RowTask, change: () => void): boolean {
    const waiting = this.waiting.get(row);
    if (waiting === undefined) return false;
    if (waiting.length >= MAX_CHANGES) task.done({ kind: 'overloaded' });
    else waiting.push(change);
    return true;
  }

  /** `answered` is called once. */
  deliver(to: MemberId, row: RowName, answered: (answer: OwnerAnswer<Uint8Array>) => void): void {
    const { world } = this;
    if (this.waiting.has(row)) {
      answered(REFUSED);
      return;
    }
    this.waiting.set(row, []);
    let isOver = false;
    const over = (answer: OwnerAnswer<Uint8Array>): void => {
      if (isOver) return;
      isOver = true;
      longest.cancel();
      const waiting = this.waiting.get(row) ?? [];
      this.waiting.delete(row);
      for (const run of waiting) run();
      answered(answer);
    };
    const longest = world.timers.after(LONGEST_WAIT_MS, () => over(REFUSED));
    const untilMs = world.nowMs() + PHASE_TIMEOUT_MS;
    const read = (): void =>
      world.read(row, world.nowMs() + PHASE_TIMEOUT_MS, (outcome) => {
        if (outcome.kind !== 'done' || !isSendable(outcome.state)) over(REFUSED);
        else {
          const { version: ballot, state: value } = outcome;
          world.deliver(to, { kind: 'accept', row, ballot, value, next: ballot }, over);
        }
      });
    const whenIdle = (): void => {
      if (world.isAtWork(row) && world.nowMs() < untilMs) world.timers.after(IDLE_POLL_MS, whenIdle);
      else read();
    };
    whenIdle();
  }
}
