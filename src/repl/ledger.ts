/**
 * The ledger of discarded writes: overwrites at levels below quorum that had to give way to a newer version, so that
 * nothing is lost without a trace. In memory, the newest few; the counter goes on counting.
 */

import type { RowName } from './owner-message.ts';
import type { Version } from './version.ts';

/** Writes kept. */
export const MAX_LEDGER_ENTRIES = 1_024;

/** Bytes of a row's state kept with an entry; of a longer one the beginning. */
export const MAX_LEDGER_BYTES = 1_024;

export interface Discarded {
  readonly row: RowName;
  readonly version: Version;
  /** The version that stood in its way. */
  readonly newer: Version;
  readonly level: string;
  /** When, in ms since 1970. */
  readonly atMs: number;
  /** The state that was to be written; undefined: none. Cut to `MAX_LEDGER_BYTES`. */
  readonly state: Uint8Array | undefined;
}

export class Ledger {
  /** Since the start. */
  count = 0;
  private readonly ring: Discarded[] = [];
  private next = 0;

  add(entry: Discarded): void {
    this.count++;
    const kept = { ...entry, state: entry.state?.slice(0, MAX_LEDGER_BYTES) };
    this.ring[this.next] = kept;
    this.next = (this.next + 1) % MAX_LEDGER_ENTRIES;
  }

  /** The newest first. */
  entries(limit = MAX_LEDGER_ENTRIES): Discarded[] {
    const { ring, next } = this;
    const inOrder = [...ring.slice(next), ...ring.slice(0, next)].reverse();
    return inOrder.slice(0, limit);
  }

  clear(): void {
    this.ring.length = 0;
    this.next = 0;
  }
}
