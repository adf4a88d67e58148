/**
 * The index of hashes whose fields have deadlines (field-deadlines.ts), and the sweep that removes such fields. Records of
 * this node:
 *
 * ```
 * "fields" | u64 BE: the time that the hash's meta names | head of the row                (value empty)
 * ```
 *
 * Invariant: of each live hash with meta there is such a record. There may be others, of hashes that are gone or whose
 * meta has changed: the sweep drops them when their time has come.
 */

import { latin1 } from '../bytes.ts';
import type { Batch, Store } from '../engine/store.ts';
import { readCollectionHead } from './element-pack.ts';
import { earliestDeadline, removeDueFields, settleDeadlines } from './field-deadlines.ts';
import { keyAfter } from './elements.ts';
import { firstKeys } from './first-keys.ts';
import { type Head, headFlag, rowType } from './head.ts';
import type { Keyspace } from './keyspace.ts';
import { Miss } from './miss.ts';
import { databaseOfHead, keyOfHead, localKey, readStamp, writeStamp } from './row-key.ts';
import type { Row, View } from './view.ts';

const PREFIX = localKey('fields');

/** Bytes of a record before the head of the row. */
const RECORD_HEADER = PREFIX.length + 8;

/** Fields removed in one turn: about half a millisecond. */
const SWEPT_FIELDS = 200;

/** Hashes whose blocks cannot be kept in memory long enough are left to the next sweep. */
const MAX_ROUNDS = 100;

const NOTHING = new Uint8Array(0);

/** The record of a hash. */
export function fieldsRecord(dueMs: number, head: Uint8Array, headLength: number): Uint8Array {
  const record = new Uint8Array(RECORD_HEADER + headLength);
  record.set(PREFIX);
  writeStamp(record, PREFIX.length, dueMs);
  record.set(head.subarray(0, headLength), RECORD_HEADER);
  return record;
}

/** Of a record: the row's head, as a view of it. */
export function headOfRecord(record: Uint8Array): Uint8Array {
  return record.subarray(RECORD_HEADER);
}

export function dueMsOfRecord(record: Uint8Array): number {
  return readStamp(record, PREFIX.length);
}

/** The records whose time has come, those up to `after` left out. */
export function fieldsRange(after: Uint8Array | undefined, nowMs: number): { lower: Uint8Array; upper: Uint8Array } {
  return { lower: after === undefined ? PREFIX : keyAfter(after), upper: fieldsRecord(nowMs + 1, NOTHING, 0) };
}

/** What the meta of a stored hash says; 0: it is none, or has no field with a deadline, or its meta does not stand in the head. */
export function fieldsDueMs(head: Head): number {
  return head.type === rowType.HASH ? earliestDeadline(metaOf(head)) : 0;
}

/** Of a hash. */
function metaOf(head: Head): Uint8Array {
  if ((head.flags & headFlag.APART) !== 0) return NOTHING;
  const { bytes, valueStart, valueEnd } = head;
  return readCollectionHead((bytes as Uint8Array).subarray(valueStart, valueEnd)).meta;
}

/** Adds what a changed row changes in the index. */
export function indexFields(batch: Batch, row: Row): void {
  const { before, elements, live, head, headLength } = row;
  const wasHash = row.counted && before.type === rowType.HASH;
  if (!row.replaced || (!wasHash && row.type !== rowType.HASH)) return;
  const old = wasHash ? earliestDeadline(elements === undefined ? metaOf(before) : elements.metaBefore) : 0;
  const now = live && row.type === rowType.HASH && elements !== undefined ? earliestDeadline(elements.meta) : 0;
  if (old === now) return;
  if (old !== 0) batch.delete(fieldsRecord(old, head, headLength));
  if (now !== 0) batch.put(fieldsRecord(now, head, headLength), NOTHING);
}

/** Removes fields of the hash whose time comes first, a bounded number. True: there may be more. Throws `EngineError`. */
export async function sweepFields(
  keyspace: Keyspace,
  view: View,
  nowMs: number,
  mayWrite: () => boolean,
): Promise<boolean> {
  const { store } = keyspace;
  const [record] = await firstKeys(store, fieldsRange(undefined, nowMs), 1);
  if (record === undefined) return false;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    // A long change holds it: the sweep would wait for its end.
    if (keyspace.held.has(latin1(headOfRecord(record)))) return false;
    if (store.refusal !== undefined || !mayWrite()) return false;
    try {
      view.begin(0, nowMs);
      if (removeFrom(keyspace, view, headOfRecord(record), nowMs)) keyspace.commit(view);
      dropRecord(store, record);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof Miss)) throw thrown;
      await thrown.load();
    }
  }
  return false;
}

/** False: the row has nothing due. Throws `Miss`. */
function removeFrom(keyspace: Keyspace, view: View, head: Uint8Array, nowMs: number): boolean {
  const row = view.row(keyOfHead(head), keyspace.logicalDatabase(databaseOfHead(head)));
  if (!row.live || row.type !== rowType.HASH) return false;
  const elements = view.elements(row);
  const dueMs = earliestDeadline(elements.meta);
  if (dueMs === 0 || dueMs > nowMs) return false;
  keyspace.expiredFields += removeDueFields(elements, nowMs, SWEPT_FIELDS);
  settleDeadlines(elements);
  if (elements.count === 0) view.remove(row);
  return true;
}

/** Behind the commit, which has put one for a later time if there is need of one. */
function dropRecord(store: Store, record: Uint8Array): void {
  const batch = store.newBatch();
  batch.delete(record);
  store.write(batch);
}
