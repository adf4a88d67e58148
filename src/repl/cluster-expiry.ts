/**
 * Expiry of rows that are shared: a row whose deadline has passed is deleted by a change like any other, and the first
 * healthy owner of its slot submits it. The other owners have the row in their index too and leave it alone; when the
 * change reaches them, its entry goes with it (owner-rows.ts).
 *
 * Readers do not wait for this: a row past its deadline is gone for them (commands/), at every level.
 *
 * Invariants: an entry of the index whose row is gone, or has another deadline, is dropped by whoever meets it; for each
 * row one change at a time is under way, and a bounded number in all.
 */

import { latin1 } from '../bytes.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import { EngineError } from '../engine/engine-error.ts';
import { Found, lookup, type Batch, type Lookup, type Store } from '../engine/store.ts';
import { firstKeys } from './first-keys.ts';
import { Head, readHead, rowType } from './head.ts';
import { SWEEP_BATCH_ROWS, type KeyspaceState } from './keyspace.ts';
import { slotOfRow, type RowName } from './owner-message.ts';
import { databaseOfHead, deadlineOfExpiryKey, expiryKey, slotOfHead } from './row-key.ts';
import { decodeRowState, deletedRowState } from './row-state.ts';
import type { ChangeOutcome } from './register-core.ts';

/** Expiries under way at a time: they must not take the owners' time from clients. */
export const MAX_EXPIRING = 256;

/** What an expiry may take; a later sweep tries again. */
const EXPIRY_TIMEOUT_MS = 2_000;

const NOTHING = new Uint8Array(0);

/** Bytes of an index entry before the row's head. */
const ENTRY_HEADER = 10;

export interface ClusterExpiryOptions {
  readonly store: Store;
  readonly state: KeyspaceState;
  readonly view: Pick<ClusterView, 'topology' | 'self' | 'owners' | 'isHealthy'>;
  /** `Coordinator.changeHead`, whose changes do not look at elements; of fields `Coordinator.change`. `timeoutMs` from now. */
  change(
    row: RowName,
    change: (state: Uint8Array | undefined) => { state: Uint8Array | undefined; reply: boolean },
    timeoutMs: number,
    done: (outcome: ChangeOutcome<boolean>) => void,
  ): void;
  /** Wall clock in ms. */
  nowMs(): number;
  /** A change of this node has ended a row. */
  onExpired(row: RowName): void;
}

export class ClusterExpiry {
  private readonly options: ClusterExpiryOptions;
  private readonly batch: Batch;
  private readonly head = new Head();
  private readonly expiring = new Set<RowName>();
  /** Where the next sweep goes on; undefined: at the start of the index. */
  private after: Uint8Array | undefined = undefined;

  constructor(options: ClusterExpiryOptions) {
    this.options = options;
    this.batch = options.store.newBatch();
  }

  /** Looks at up to SWEEP_BATCH_ROWS entries that are due. True: there are more. Rejects with an `EngineError`. */
  async sweep(): Promise<boolean> {
    const { store } = this.options;
    const nowMs = this.options.nowMs();
    const entries = await this.dueEntries(nowMs);
    for (const entry of entries) {
      if (this.expiring.size >= MAX_EXPIRING) return false;
      this.after = entry;
      const isOfRow = await this.look(entry);
      // At once: while others are looked at, the row may come back with this deadline, and with its entry.
      if (!isOfRow && store.refusal === undefined) this.drop(entry);
    }
    if (entries.length === SWEEP_BATCH_ROWS) return true;
    this.after = undefined;
    return false;
  }

  private drop(entry: Uint8Array): void {
    const { batch } = this;
    batch.clear();
    batch.delete(entry);
    this.options.store.write(batch);
  }

  private dueEntries(nowMs: number): Promise<Uint8Array[]> {
    const lower = this.after === undefined ? expiryKey(0, NOTHING) : nextKey(this.after);
    return firstKeys(this.options.store, { lower, upper: expiryKey(nowMs + 1, NOTHING) }, SWEEP_BATCH_ROWS);
  }

  /**
   * Expires the row of an entry, if that is this node's to do. False: the row does not have this deadline. A row that a
   * damaged table may hold is passed over.
   */
  private async look(entry: Uint8Array): Promise<boolean> {
    const { state } = this.options;
    const key = entry.subarray(ENTRY_HEADER);
    const found = new Found();
    try {
      if ((await this.find(key, found)) === lookup.ABSENT) return false;
    } catch (error) {
      if (error instanceof EngineError && error.code === 'corruption') return true;
      throw error;
    }
    const { head } = this;
    readHead(head, found.bytes, found.start, found.end);
    const database = databaseOfHead(key);
    if (head.type === rowType.DELETED || head.expiresAtMs !== deadlineOfExpiryKey(entry)) return false;
    if (head.stamp <= (state.flushMarks[database] as number)) return false;
    if (state.slotMarks.covers(slotOfHead(key), database, head.stamp, head.actor)) return false;
    const row = latin1(key);
    if (isFirstHealthyOwner(this.options.view, row) && !this.expiring.has(row)) this.expire(row);
    return true;
  }

  private async find(key: Uint8Array, found: Found): Promise<Lookup> {
    const { store } = this.options;
    let outcome = store.get(key, key.length, found);
    while (outcome === lookup.MISS) {
      await store.fetch(key);
      outcome = store.get(key, key.length, found);
    }
    return outcome;
  }

  private expire(row: RowName): void {
    this.expiring.add(row);
    const change = (state: Uint8Array | undefined): { state: Uint8Array | undefined; reply: boolean } => {
      const expired = expiredState(state, this.options.nowMs());
      return expired === undefined ? { state, reply: false } : { state: expired, reply: true };
    };
    this.options.change(row, change, EXPIRY_TIMEOUT_MS, (outcome) => {
      this.expiring.delete(row);
      if (outcome.kind === 'done' && outcome.reply) this.options.onExpired(row);
    });
  }
}

/** Whether this node is the first healthy owner of the row's slot. */
export function isFirstHealthyOwner(view: ClusterExpiryOptions['view'], row: RowName): boolean {
  if (view.topology === undefined) return false;
  for (const owner of view.owners(slotOfRow(row)).current) {
    if (owner === view.self) return true;
    if (view.isHealthy(owner)) return false;
  }
  return false;
}

/**
 * What a row past its deadline becomes; undefined: it is not. Expiry is no change of the user's: the modification version
 * stays, as WATCH in Redis sees it.
 */
export function expiredState(state: Uint8Array | undefined, nowMs: number): Uint8Array | undefined {
  if (state === undefined) return undefined;
  const { type, expiresAtMs, modified, lock } = decodeRowState(state);
  // Whoever holds the lock ends the row, or whoever meets it once the lock has gone.
  if (lock !== undefined) return undefined;
  if (type === rowType.DELETED || expiresAtMs === 0 || expiresAtMs > nowMs) return undefined;
  return deletedRowState(modified);
}

/** The least key above this one. */
function nextKey(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
