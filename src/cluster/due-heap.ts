/**
 * What is due when: a binary heap by time. Nothing is ever removed but by falling due; whoever put an entry in knows
 * by then whether it still matters.
 *
 * Invariant: entries of one moment come out in the order they went in, so that a simulation replays exactly.
 */

interface Entry<T> {
  readonly dueMs: number;
  readonly order: number;
  readonly item: T;
}

function isBefore<T>(a: Entry<T>, b: Entry<T>): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

export class DueHeap<T> {
  private readonly entries: Entry<T>[] = [];
  private order = 0;

  get size(): number {
    return this.entries.length;
  }

  /** When the next entry is due; Infinity when there is none. */
  get nextMs(): number {
    return this.entries[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  add(dueMs: number, item: T): void {
    const entries = this.entries;
    const entry = { dueMs, order: this.order++, item };
    let at = entries.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = entries[parent] as Entry<T>;
      if (!isBefore(entry, above)) break;
      entries[at] = above;
      at = parent;
    }
    entries[at] = entry;
  }

  /** The first entry that is due at `nowMs`, removed; undefined when none is. */
  take(nowMs: number): T | undefined {
    const top = this.entries[0];
    if (top === undefined || top.dueMs > nowMs) return undefined;
    const last = this.entries.pop() as Entry<T>;
    if (this.entries.length > 0) this.sink(last);
    return top.item;
  }

  private sink(entry: Entry<T>): void {
    const entries = this.entries;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && isBefore(entries[child + 1] as Entry<T>, entries[child] as Entry<T>)) child++;
      const below = entries[child] as Entry<T>;
      if (!isBefore(below, entry)) break;
      entries[at] = below;
      at = child;
    }
    entries[at] = entry;
  }
}
