/**
 * As cluster-expiry.ts, of fields of hashes whose deadline has passed (field-deadlines.ts): the first healthy owner submits
 * a change that removes them. Each owner has the hash in its own index (field-sweep.ts), with the time that its state
 * names; a record that its state does not bear out is dropped by whoever meets it.
 */

import { latin1 } from '../bytes.ts';
import { EngineError } from '../engine/engine-error.ts';
import { Found, lookup, type Batch } from '../engine/store.ts';
import { type ClusterExpiryOptions, isFirstHealthyOwner } from './cluster-expiry.ts';
import { packCollection, PackedElements, readCollectionHead } from './element-pack.ts';
import { Elements } from './elements.ts';
import { earliestDeadline, removeDueFields, settleDeadlines } from './field-deadlines.ts';
import { dueMsOfRecord, fieldsRange, headOfRecord } from './field-sweep.ts';
import { firstKeys } from './first-keys.ts';
import { ELEMENT_HEADER, Head, headFlag, readHead, rowType } from './head.ts';
import type { RowName } from './owner-message.ts';
import { databaseOfHead, slotOfHead, STRING_ELEMENT } from './row-key.ts';
import { decodeRowState, deletedRowState, encodeRowState } from './row-state.ts';
import { Row } from './view.ts';

/** Records looked at in one sweep; changes under way at a time. */
const SWEPT_RECORDS = 100;

/** What a change may take; a later sweep tries again. */
const CHANGE_TIMEOUT_MS = 2_000;

/** Fields that one change removes. */
const REMOVED_FIELDS = 1000;

export class ClusterFieldExpiry {
  private readonly options: ClusterExpiryOptions;
  private readonly batch: Batch;
  private readonly head = new Head();
  private readonly underWay = new Set<RowName>();
  /** Where the next sweep goes on; undefined: at the first record. */
  private after: Uint8Array | undefined = undefined;

  constructor(options: ClusterExpiryOptions) {
    this.options = options;
    this.batch = options.store.newBatch();
  }

  /** Looks at up to SWEPT_RECORDS hashes whose time has come. True: there are more. Rejects with an `EngineError`. */
  async sweep(): Promise<boolean> {
    const { view } = this.options;
    const records = await this.dueRecords(this.options.nowMs());
    for (const record of records) {
      if (this.underWay.size >= SWEPT_RECORDS) return false;
      this.after = record;
      const head = headOfRecord(record);
      const dueMs = await this.dueMsOf(head);
      const row = latin1(head);
      if (dueMs === undefined) continue;
      // At once: while others are looked at, the hash may be given this time again, and a record.
      if (dueMs !== dueMsOfRecord(record)) this.drop(record);
      else if (isFirstHealthyOwner(view, row) && !this.underWay.has(row)) this.change(row);
    }
    if (records.length === SWEPT_RECORDS) return true;
    this.after = undefined;
    return false;
  }

  private drop(record: Uint8Array): void {
    const { store } = this.options;
    if (store.refusal !== undefined) return;
    this.batch.clear();
    this.batch.delete(record);
    store.write(this.batch);
  }

  private dueRecords(nowMs: number): Promise<Uint8Array[]> {
    return firstKeys(this.options.store, fieldsRange(this.after, nowMs), SWEPT_RECORDS);
  }

  /** The time that this owner's state of the row names; 0: none. undefined: a damaged table may hold it. */
  private async dueMsOf(key: Uint8Array): Promise<number | undefined> {
    const { head } = this;
    const { state } = this.options;
    try {
      const found = await this.find(key);
      if (found === undefined) return 0;
      readHead(head, found.bytes, found.start, found.end);
      const database = databaseOfHead(key);
      if (head.type !== rowType.HASH || head.stamp <= (state.flushMarks[database] as number)) return 0;
      if (state.slotMarks.covers(slotOfHead(key), database, head.stamp, head.actor)) return 0;
      let value = found.bytes.subarray(head.valueStart, head.valueEnd);
      if ((head.flags & headFlag.APART) !== 0) {
        const apart = await this.find(Uint8Array.of(...key, STRING_ELEMENT));
        if (apart === undefined) return undefined;
        value = apart.bytes.subarray(apart.start + ELEMENT_HEADER, apart.end);
      }
      return earliestDeadline(readCollectionHead(value).meta);
    } catch (error) {
      if (error instanceof EngineError && error.code === 'corruption') return undefined;
      throw error;
    }
  }

  private async find(key: Uint8Array): Promise<Found | undefined> {
    const { store } = this.options;
    const found = new Found();
    let outcome = store.get(key, key.length, found);
    while (outcome === lookup.MISS) {
      await store.fetch(key);
      outcome = store.get(key, key.length, found);
    }
    return outcome === lookup.FOUND ? found : undefined;
  }

  private change(row: RowName): void {
    this.underWay.add(row);
    const { change, nowMs } = this.options;
    const remove = (state: Uint8Array | undefined): { state: Uint8Array | undefined; reply: boolean } => {
      const after = withoutDueFields(state, nowMs());
      return after === undefined ? { state, reply: false } : { state: after, reply: true };
    };
    change(row, remove, CHANGE_TIMEOUT_MS, () => this.underWay.delete(row));
  }
}

/** A hash without fields whose deadline has passed, or without some of them; undefined: it has none. */
export function withoutDueFields(state: Uint8Array | undefined, nowMs: number): Uint8Array | undefined {
  if (state === undefined) return undefined;
  const decoded = decodeRowState(state);
  // Whoever holds the lock has seen the fields; they go when it has gone.
  if (decoded.type !== rowType.HASH || decoded.lock !== undefined) return undefined;
  const { count, meta, end } = readCollectionHead(decoded.value);
  const dueMs = earliestDeadline(meta);
  if (dueMs === 0 || dueMs > nowMs) return undefined;
  const elements = new Elements(new Row(0), new PackedElements(decoded.value, end), count, meta);
  removeDueFields(elements, nowMs, REMOVED_FIELDS);
  settleDeadlines(elements);
  if (elements.count === 0) return deletedRowState(decoded.modified);
  return encodeRowState({ ...decoded, value: packCollection(elements.count, elements.meta, elements.merged()) });
}
