/**
 * Deadlines of a hash's fields. They stand beside the fields, so that a field without one costs not a byte, nor a look:
 *
 * ```
 * tag      key of the element                value
 * ELEMENT  the field's key                   the field's value
 * DEADLINE the field's key                   u64 BE: its deadline, in ms since 1970
 * DUE      u64 BE deadline | the field's key    (empty)
 * meta     u64 BE: no later than the earliest deadline; empty: no field has one
 * ```
 *
 * Invariants: DEADLINE and DUE tell the same; each is of a field that is there; meta says that there are any. A hash
 * with meta has a record at that time, by which the sweep finds it (field-sweep.ts).
 *
 * A field past its deadline is there for no reader. It is counted until it is removed: by the sweeper, or by the next
 * command that changes the hash.
 */

import { type Elements, ELEMENT } from './elements.ts';
import { EMPTY } from '../bytes.ts';
import { readStamp, writeStamp } from './row-key.ts';

export const DEADLINE = 0x20;
export const DUE = 0x21;

const STAMP_BYTES = 8;

/** A time that is no later than the earliest deadline of a field; 0: none has one. */
export function earliestDeadline(meta: Uint8Array): number {
  return meta.length < STAMP_BYTES ? 0 : readStamp(meta, 0);
}

/** Deadline of a field; 0: none. Throws `Miss`. */
export function fieldDeadline(elements: Elements, key: Uint8Array): number {
  const value = elements.get(DEADLINE, key);
  return value === undefined ? 0 : readStamp(value, 0);
}

/** Gives a field that is there a deadline; 0: none. True: it had one. Throws `Miss`. */
export function setFieldDeadline(elements: Elements, key: Uint8Array, deadlineMs: number): boolean {
  const { meta } = elements;
  const old = meta.length === 0 ? 0 : fieldDeadline(elements, key);
  if (old === deadlineMs) return old !== 0;
  if (old !== 0) elements.drop(DUE, dueKey(old, key));
  if (deadlineMs === 0) elements.drop(DEADLINE, key);
  else {
    const value = stampBytes(deadlineMs);
    if (old === 0) elements.add(DEADLINE, key, value);
    else elements.replace(DEADLINE, key, value);
    elements.add(DUE, dueKey(deadlineMs, key), EMPTY);
  }
  const earliest = earliestDeadline(meta);
  if (deadlineMs !== 0 && (earliest === 0 || deadlineMs < earliest)) elements.meta = stampBytes(deadlineMs);
  else if (old === earliest) settleDeadlines(elements);
  return old !== 0;
}

/** Removes up to `most` fields whose deadline has passed, the earliest first; returns how many. Throws `Miss`. */
export function removeDueFields(elements: Elements, nowMs: number, most: number): number {
  const due: Uint8Array[] = [];
  elements.each(DUE, { upper: stampBytes(nowMs + 1) }, (key) => due.push(key.slice()) < most);
  for (const key of due) {
    const field = key.subarray(STAMP_BYTES);
    elements.drop(DUE, key);
    elements.drop(DEADLINE, field);
    elements.drop(ELEMENT, field);
  }
  if (due.length > 0) settleDeadlines(elements);
  return due.length;
}

/** Makes meta the earliest deadline. Throws `Miss`. */
export function settleDeadlines(elements: Elements): void {
  let earliest = EMPTY;
  elements.each(DUE, {}, (key) => {
    earliest = key.slice(0, STAMP_BYTES);
    return false;
  });
  elements.meta = earliest;
}

function dueKey(deadlineMs: number, field: Uint8Array): Uint8Array {
  const key = new Uint8Array(STAMP_BYTES + field.length);
  writeStamp(key, 0, deadlineMs);
  key.set(field, STAMP_BYTES);
  return key;
}

function stampBytes(ms: number): Uint8Array {
  const bytes = new Uint8Array(STAMP_BYTES);
  writeStamp(bytes, 0, ms);
  return bytes;
}
