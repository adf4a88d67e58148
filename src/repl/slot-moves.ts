/**
 * Moves of slots as the steward asks for them, one by one, driven in batches: those that are asked for in one turn and go
 * from the same owners to the same owners are moved together (slot-move.ts).
 *
 * A move that the document no longer has (it is done, or was cancelled) is given up and rejected.
 */

import type { Owners } from '../cluster/owners.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import type { SlotEntry, Topology } from '../cluster/topology.ts';
import type { Env } from '../env.ts';
import { batchesOf, type SlotBatch, SlotMove, type SlotMoveWorld } from './slot-move.ts';

interface Asked {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface Running {
  readonly batch: SlotBatch;
  readonly move: SlotMove;
}

export interface SlotMovesOptions {
  readonly env: Pick<Env, 'timers'>;
  readonly view: Pick<ClusterView, 'topology' | 'onTopology'>;
  readonly world: SlotMoveWorld;
}

export class SlotMoves {
  private readonly options: SlotMovesOptions;
  private readonly asked = new Map<number, Asked>();
  /** Asked for in this turn. */
  private fresh: number[] = [];
  private readonly running = new Set<Running>();
  private readonly stopListening: () => void;

  constructor(options: SlotMovesOptions) {
    this.options = options;
    this.stopListening = options.view.onTopology((next) => this.giveUpEnded(next));
  }

  /** Rows settled and found by the moves under way. */
  get progress(): { readonly settled: number; readonly found: number } {
    let settled = 0;
    let found = 0;
    for (const { move } of this.running) {
      settled += move.progress.settled;
      found += move.progress.found;
    }
    return { settled, found };
  }

  /** Fulfilled when the document may say that the slot belongs to its incoming owners. */
  run(slot: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.asked.set(slot, { resolve, reject });
      if (this.fresh.push(slot) === 1) this.options.env.timers.atTurnEnd(() => this.begin());
    });
  }

  close(): void {
    this.stopListening();
    for (const { move } of this.running) move.cancel();
    this.running.clear();
    this.asked.clear();
  }

  private begin(): void {
    const { topology } = this.options.view;
    const wanted = this.fresh.sort((a, b) => a - b);
    this.fresh = [];
    if (topology === undefined) return;
    const entries = wanted.map((slot): [number, SlotEntry] => [slot, topology.slots[slot] as SlotEntry]);
    for (const [slot, { owners }] of entries) if (owners.incoming.length === 0) this.reject(slot);
    for (const batch of batchesOf(entries, topology.epoch)) {
      const move = new SlotMove(this.options.world, batch, () => this.end(running));
      const running: Running = { batch, move };
      this.running.add(running);
      move.start();
    }
  }

  private end(running: Running): void {
    this.running.delete(running);
    for (const slot of running.batch.slots) {
      this.asked.get(slot)?.resolve();
      this.asked.delete(slot);
    }
  }

  private giveUpEnded(next: Topology): void {
    for (const running of this.running) {
      const { owners, slots, epoch } = running.batch;
      // What was cancelled and began anew is another move: the owners may have gone on by themselves in between.
      const goOn = slots.every((slot) => {
        const entry = next.slots[slot] as SlotEntry;
        return entry.since <= epoch && isSameMove(entry.owners, owners);
      });
      if (goOn) continue;
      running.move.cancel();
      this.running.delete(running);
      for (const slot of slots) this.reject(slot);
    }
  }

  private reject(slot: number): void {
    this.asked.get(slot)?.reject(new Error('the slot does not move in this manner any more'));
    this.asked.delete(slot);
  }
}

/** Whether the owners are those of the batch still; slots of a batch have different objects of the same content. */
function isSameMove(now: Owners, then: Owners): boolean {
  return now.current.join() === then.current.join() && now.incoming.join() === then.incoming.join();
}
