/**
 * Memtables whose records are in tables by now: the newest one goes on answering look-ups until its memory is needed.
 *
 * Under writes to keys that come again, those of the memtable that was just flushed are what the next one is asked for
 * and does not have yet. To find them here costs a probe of its index; in tables it costs filters, an index, a block.
 *
 * Invariants:
 * - `newest` is the memtable that was flushed last: nothing in tables is newer than what it says of a key.
 * - Memory goes to the pool once: when the memtable is not `newest`, no cursor walks it, and two turns later, since what
 *   a look-up has found there is valid for the rest of its turn.
 */

import type { Timers } from '../env.ts';
import type { ArenaPool } from './arena-pool.ts';
import type { Memtable } from './memtable.ts';

export class FlushedMemtables {
  newest: Memtable | undefined = undefined;
  readonly #pool: ArenaPool;
  readonly #timers: Timers;
  /** Those whose memory is not in the pool yet. */
  readonly #held = new Set<Memtable>();
  /** Readers who want what they have found to stay valid beyond their turn. */
  #keepers = 0;
  /** What may go to the pool once there are none. */
  #kept: Memtable[] = [];

  constructor(pool: ArenaPool, timers: Timers) {
    this.#pool = pool;
    this.#timers = timers;
  }

  /** Its records are in tables now. Requires: memtables come in the order of their flushes. */
  add(memtable: Memtable): void {
    this.dropNewest();
    this.#held.add(memtable);
    this.newest = memtable;
  }

  /** From here on look-ups find its records in tables only. */
  dropNewest(): void {
    const { newest } = this;
    this.newest = undefined;
    if (newest !== undefined) this.reclaim(newest);
  }

  /** Uses the memory of a memtable again if nobody can read it any more; to be called when a cursor has left it. */
  reclaim(memtable: Memtable): void {
    if (memtable === this.newest || memtable.readers > 0 || !this.#held.delete(memtable)) return;
    if (this.#keepers > 0) this.#kept.push(memtable);
    else this.#letGo(memtable);
  }

  /** What has been found in memtables stays valid beyond the turn until `unkeep`. */
  keep(): void {
    this.#keepers++;
  }

  unkeep(): void {
    if (--this.#keepers > 0) return;
    for (const memtable of this.#kept) this.#letGo(memtable);
    this.#kept = [];
  }

  #letGo(memtable: Memtable): void {
    const timers = this.#timers;
    timers.atTurnEnd(() => timers.atTurnEnd(() => this.#pool.give(memtable.release())));
  }
}
