/**
 * The lock intent of a transaction on a row (design, section 7): until it is gone nobody changes the row but by asking
 * what became of the transaction. 24 bytes, big-endian, in the row's state and in its head:
 *
 * ```
 * u64 stamp  u32 actor     the transaction
 * u16 slot   u16 lane      where its decision stands: see `decisionRow`
 * u64 deadline in ms since 1970, after which others may end it
 * ```
 *
 * A **lane** is a register of the node that runs the transaction, used by one transaction after another. It tells of a
 * transaction T: absent or of an earlier one: T is undecided. Of T: what it says. Of a later one: T is over, so a lock of T
 * that still stands came too late, and is void. A node gives a lane to its next transaction only when the last one is
 * certainly over: aborted, or committed with every row written.
 */

import { readU32, writeU32 } from '../cluster/big-endian.ts';
import type { RowName } from './owner-message.ts';
import { readStamp, SYSTEM_DATABASE, writeStamp } from './row-key.ts';
import { compareVersions, type Version } from './version.ts';

export const LOCK_BYTES = 24;

export interface RowLock {
  readonly id: Version;
  readonly slot: number;
  readonly lane: number;
  readonly deadlineMs: number;
}

/** At target[at, at + LOCK_BYTES). */
export function writeLock(target: Uint8Array, at: number, { id, slot, lane, deadlineMs }: RowLock): void {
  writeStamp(target, at, id.stamp);
  writeU32(target, at + 8, id.actor);
  writeU32(target, at + 12, ((slot << 16) | lane) >>> 0);
  writeStamp(target, at + 16, deadlineMs);
}

/** Requires: LOCK_BYTES from `at` on. */
export function readLock(source: Uint8Array, at: number): RowLock {
  const place = readU32(source, at + 12);
  return {
    id: { stamp: readStamp(source, at), actor: readU32(source, at + 8) },
    slot: place >>> 16,
    lane: place & 0xffff,
    deadlineMs: readStamp(source, at + 16),
  };
}

/** The register in which the decision of the lock's transaction stands: database 255 of its slot, key `tx:actor:lane`. */
export function decisionRow({ id, slot, lane }: Pick<RowLock, 'id' | 'slot' | 'lane'>): RowName {
  const place = String.fromCharCode(slot >>> 8, slot & 0xff, SYSTEM_DATABASE);
  return `${place}tx:${id.actor.toString(16)}:${lane.toString(16)}\0`;
}

export function isSameLock(a: RowLock, b: RowLock): boolean {
  return compareVersions(a.id, b.id) === 0;
}
