/**
 * The disk of one simulated node: rows in memory, a log that an fsync makes durable, and what a crash leaves of it (a
 * random head of what was not synced: a WAL is cut at its first gap).
 */

import type { RowName } from '../../../src/repl/owner-message.ts';
import type { Held } from '../../../src/repl/register-core.ts';
import type { Prng } from '../prng.ts';

interface Write<V> {
  readonly row: RowName;
  /** undefined: the row is removed, record and all. */
  readonly held: Held<V> | undefined;
}

export class RowStore<V> {
  private readonly durable = new Map<RowName, Held<V>>();
  private memory = new Map<RowName, { held: Held<V>; sequence: number }>();
  private log: Write<V>[] = [];
  private lastSequence = 0;
  durableSequence = 0;

  read(row: RowName): { held: Held<V>; sequence: number } | undefined {
    return this.memory.get(row);
  }

  get unsynced(): number {
    return this.log.length;
  }

  rows(): RowName[] {
    return [...this.memory.keys()];
  }

  write(row: RowName, held: Held<V>): number {
    const sequence = ++this.lastSequence;
    this.memory.set(row, { held, sequence });
    this.log.push({ row, held });
    return sequence;
  }

  remove(row: RowName): void {
    this.lastSequence++;
    this.memory.delete(row);
    this.log.push({ row, held: undefined });
  }

  /** Makes the first `count` writes that are not durable yet durable. */
  sync(count: number): void {
    for (const { row, held } of this.log.splice(0, count)) {
      this.durableSequence++;
      if (held === undefined) this.durable.delete(row);
      else this.durable.set(row, held);
    }
  }

  /** Power off and on: what was synced is there, and a random head of the rest. */
  crash(random: Prng): void {
    this.sync(random.between(0, this.log.length));
    this.log = [];
    this.lastSequence = this.durableSequence;
    this.memory = new Map();
    for (const [row, held] of this.durable) this.memory.set(row, { held, sequence: this.durableSequence });
  }
}
