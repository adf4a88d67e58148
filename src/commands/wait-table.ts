/**
 * Who waits for which rows, and which rows are to be looked at because they have changed. Pure: it knows no clients and no
 * time, and says only whose turn it is.
 *
 * Invariants:
 * - Waiters of a row stand in the order in which they came, whatever else they wait for.
 * - A row that somebody waits for and that has changed is `ready` until it was taken by `nextReady`, so no wake-up is lost;
 *   a row is ready once however often it changes, and the one that changed first is taken first.
 * - A row that is held is not taken: somebody is looking at it already. When it is let go it is taken if it changed since.
 * - What nobody waits for is not remembered.
 */

export class WaitTable<W> {
  private readonly byRow = new Map<string, Set<W>>();
  private readonly rowsOf = new Map<W, readonly string[]>();
  /** In the order in which they became ready. */
  private readonly ready = new Set<string>();
  private readonly held = new Set<string>();

  /** Waiters. */
  get count(): number {
    return this.rowsOf.size;
  }

  /** Rows that somebody waits for. */
  get rowCount(): number {
    return this.byRow.size;
  }

  has(row: string): boolean {
    return this.byRow.has(row);
  }

  /** Those rows that somebody waits for. */
  rows(): IterableIterator<string> {
    return this.byRow.keys();
  }

  /** Every waiter, in the order in which they came. */
  waiters(): IterableIterator<W> {
    return this.rowsOf.keys();
  }

  /** Puts a waiter at the end of the queues of its rows. Requires: it does not wait yet. */
  add(waiter: W, rows: readonly string[]): void {
    const distinct = [...new Set(rows)];
    this.rowsOf.set(waiter, distinct);
    for (const row of distinct) {
      const queue = this.byRow.get(row);
      if (queue === undefined) this.byRow.set(row, new Set([waiter]));
      else queue.add(waiter);
    }
  }

  /** True: it did wait. */
  remove(waiter: W): boolean {
    const rows = this.rowsOf.get(waiter);
    if (rows === undefined) return false;
    this.rowsOf.delete(waiter);
    for (const row of rows) {
      const queue = this.byRow.get(row) as Set<W>;
      queue.delete(waiter);
      if (queue.size > 0) continue;
      this.byRow.delete(row);
      this.ready.delete(row);
    }
    return true;
  }

  /** Rows have other names from now on: `rowsOf` tells those of each waiter. Every row is ready then. */
  rename(rowsOf: (waiter: W) => readonly string[]): void {
    const waiters = [...this.rowsOf.keys()];
    for (const waiter of waiters) this.remove(waiter);
    for (const waiter of waiters) this.add(waiter, rowsOf(waiter));
    for (const row of this.byRow.keys()) this.ready.add(row);
  }

  /** The row has changed. */
  changed(row: string): void {
    if (this.byRow.has(row)) this.ready.add(row);
  }

  /** Takes the row that is to be looked at next, unless all that are ready are held. */
  nextReady(): string | undefined {
    for (const row of this.ready) {
      if (this.held.has(row)) continue;
      this.ready.delete(row);
      return row;
    }
    return undefined;
  }

  /** Those who wait for the row, in their order; it may be changed while it is walked over. */
  waitersOf(row: string): Iterable<W> {
    return this.byRow.get(row) ?? [];
  }

  /** Who looks at the row needs time: it is not taken before it is let go. */
  hold(row: string): void {
    this.held.add(row);
  }

  release(row: string): void {
    this.held.delete(row);
  }
}
