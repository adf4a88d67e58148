/**
 * What a connection keeps for a node of a cluster.
 *
 * Invariant: `underWay` holds the rows of the connection's commands that were started and are not answered, so that no
 * two commands of one connection are under way on one row: their order would be anybody's guess.
 */

import type { RowName } from '../repl/owner-message.ts';

export class ClientCluster {
  private readonly underWay: RowName[] = [];

  /** Commands on single rows that are under way. */
  get count(): number {
    return this.underWay.length;
  }

  has(row: RowName): boolean {
    return this.underWay.includes(row);
  }

  begin(row: RowName): void {
    this.underWay.push(row);
  }

  end(row: RowName): void {
    const { underWay } = this;
    const at = underWay.indexOf(row);
    const last = underWay.pop();
    if (at < underWay.length && at >= 0) underWay[at] = last as RowName;
  }
}
