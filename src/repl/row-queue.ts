/**
 * Who may go on with which rows at this node: one after another for each row, in the order in which they came. It spares
 * transactions of one node the locks of each other; those of other nodes are met at the rows themselves.
 *
 * Invariant: places are taken for all rows in one turn, so two that share rows wait for each other in one direction only.
 */

import type { RowName } from './owner-message.ts';

export class RowQueue {
  /** By row: settles when the last one that came for it has left. */
  private readonly tails = new Map<RowName, Promise<void>>();

  /** Waits until everybody before it has left; how to leave, or undefined when `tooLate`, asked for when there is a wait, settled first. */
  async enter(names: readonly RowName[], tooLate: () => Promise<void>): Promise<(() => void) | undefined> {
    const before = names.flatMap((row) => this.tails.get(row) ?? []);
    let leave = (): void => undefined;
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const tail = before.length === 0 ? left : Promise.all([...before, left]).then(() => undefined);
    for (const row of names) this.tails.set(row, tail);
    void tail.then(() => {
      for (const row of names) if (this.tails.get(row) === tail) this.tails.delete(row);
    });
    if (before.length === 0) return leave;
    const isInTime = await Promise.race([Promise.all(before).then(() => true), tooLate().then(() => false)]);
    if (isInTime) return leave;
    leave();
    return undefined;
  }
}
