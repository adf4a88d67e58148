/**
 * Who waits at this node for the lock of a transaction on a row to go: in the order in which they came, since whoever takes
 * a lock away does it here as a rule, where the row is coordinated. A wait is bounded: a lock may end elsewhere.
 */

import type { Timer, Timers } from '../env.ts';
import type { RowName } from './owner-message.ts';

interface Waiter {
  readonly ended: (isWoken: boolean) => void;
  timer: Timer | undefined;
}

export class LockWaiters {
  private readonly timers: Timers;
  private readonly rows = new Map<RowName, Waiter[]>();

  constructor(timers: Timers) {
    this.timers = timers;
  }

  /** True: a lock on the row has gone, and it is this one's turn; false: so much time has passed. */
  wait(row: RowName, mostMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const waiter: Waiter = { ended: resolve, timer: undefined };
      const waiters = this.rows.get(row);
      if (waiters === undefined) this.rows.set(row, [waiter]);
      else waiters.push(waiter);
      waiter.timer = this.timers.after(mostMs, () => {
        this.leave(row, waiter);
        resolve(false);
      });
    });
  }

  /** A lock on the row has gone: the first of those who wait may try. */
  wake(row: RowName): void {
    const first = this.rows.get(row)?.[0];
    if (first === undefined) return;
    this.leave(row, first);
    first.timer?.cancel();
    first.ended(true);
  }

  private leave(row: RowName, waiter: Waiter): void {
    const left = (this.rows.get(row) ?? []).filter((each) => each !== waiter);
    if (left.length === 0) this.rows.delete(row);
    else this.rows.set(row, left);
  }
}
