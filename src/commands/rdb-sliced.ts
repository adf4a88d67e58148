/**
 * Payloads of DUMP and RESTORE (rdb.ts) of large collections, made and taken in slices: lists, sets, sorted sets and hashes
 * without deadlines of fields. The bytes are those of rdb-value.ts.
 */

import { EMPTY } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { CellsAhead } from '../repl/cells-ahead.ts';
import { ELEMENT } from '../repl/elements.ts';
import { type RowType, rowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import { eachStepSliced, WRITTEN_ELEMENTS } from './collection-steps.ts';
import { addListed } from './list-row.ts';
import { memberKey, memberOf } from './member-key.ts';
import { isVersionKnown, RDB_VERSION } from './rdb.ts';
import { Crc64 } from './rdb-crc64.ts';
import { RdbReader } from './rdb-reader.ts';
import { listNode, rdbForm, readScored } from './rdb-value.ts';
import { RdbWriter } from './rdb-writer.ts';
import type { Sliced } from './sliced.ts';
import { addScored, memberOfOrder, scoreOfOrder, SortedSet } from './sorted-set-row.ts';
import { readZiplist } from './rdb-listpack.ts';

/** Payloads up to this length are taken in one turn, in bytes. */
export const LONG_PAYLOAD_BYTES = 8192;

const VERSION_BYTES = 2;
const CRC_BYTES = 8;

/** Elements between two rests of DUMP: compressing them costs most. */
const DUMPED_ELEMENTS = 250;

/** Bytes checked or copied between two rests: about a millisecond. */
const SLICE_BYTES = 256 * 1024;

/** A byte of the form each type is written in. */
const FORMS: ReadonlyMap<RowType, number> = new Map([
  [rowType.LIST, rdbForm.LIST],
  [rowType.SET, rdbForm.SET],
  [rowType.HASH, rdbForm.HASH],
  [rowType.SORTED_SET, rdbForm.SORTED_SET],
]);

/** Whether a collection can be dumped in slices. Requires: row.live. Throws `Miss`. */
export function dumpsSliced(view: View, row: Row, most: number): boolean {
  if (!FORMS.has(row.type)) return false;
  const { count, meta } = view.elements(row);
  // Only a list's meta says nothing about its elements.
  return count > most && (row.type === rowType.LIST || meta.length === 0);
}

/** The payload of a collection for which `dumpsSliced` says yes. */
export function* dumpSliced(view: View, row: Row): Sliced<Uint8Array> {
  const elements = view.lastingElements(row);
  const { type } = row;
  const crc = new Crc64();
  const parts: Uint8Array[] = [];
  let out = new RdbWriter().u8(FORMS.get(type) as number).length(elements.count);
  const cut = (): void => {
    const part = out.bytes(0);
    crc.update(part, 0, part.length);
    parts.push(part);
    out = new RdbWriter();
  };
  const steps = type === rowType.SORTED_SET ? new SortedSet(elements).walk({}) : elements.walk(ELEMENT);
  let seen = 0;
  yield* eachStepSliced(
    steps,
    (key, value) => {
      if (type === rowType.LIST) out.string(value);
      else if (type === rowType.SORTED_SET) out.string(memberOfOrder(key)).double(scoreOfOrder(key));
      else {
        out.string(memberOf(key));
        if (type === rowType.HASH) out.string(value);
      }
      if (++seen % DUMPED_ELEMENTS === 0) cut();
    },
    DUMPED_ELEMENTS,
  );
  out.u8(RDB_VERSION & 0xff).u8(RDB_VERSION >> 8);
  cut();
  const sum = new Uint8Array(CRC_BYTES);
  crc.write(sum, 0);
  parts.push(sum);
  return yield* joined(parts);
}

function* joined(parts: readonly Uint8Array[]): Sliced<Uint8Array> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  let copied = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
    copied += part.length;
    if (copied < SLICE_BYTES) continue;
    copied = 0;
    yield undefined;
  }
  return whole;
}

/** The type of a long payload that can be taken in slices; undefined: it is taken whole. */
export function slicedTypeOf(payload: Uint8Array): RowType | undefined {
  if (payload.length <= LONG_PAYLOAD_BYTES) return undefined;
  switch (payload[0]) {
    case rdbForm.LIST:
    case rdbForm.LIST_OF_ZIPLISTS:
    case rdbForm.LIST_OF_NODES:
      return rowType.LIST;
    case rdbForm.SET:
      return rowType.SET;
    case rdbForm.HASH:
      return rowType.HASH;
    case rdbForm.SORTED_SET_TEXT:
    case rdbForm.SORTED_SET:
      return rowType.SORTED_SET;
    default:
      return undefined;
  }
}

/** As `isIntact`. */
export function* isIntactSliced(payload: Uint8Array): Sliced<boolean> {
  if (!isVersionKnown(payload)) return false;
  const end = payload.length - CRC_BYTES;
  const crc = new Crc64();
  for (let at = 0; at < end; at += SLICE_BYTES) {
    crc.update(payload, at, Math.min(at + SLICE_BYTES, end));
    yield undefined;
  }
  const sum = new Uint8Array(CRC_BYTES);
  crc.write(sum, 0);
  return sum.every((byte, i) => byte === payload[end + i]);
}

/**
 * Makes cells of an intact payload of the type that `slicedTypeOf` has told; false: it is damaged, or members or fields come
 * twice.
 */
export function* restoreSliced(payload: Uint8Array, type: RowType, cells: CellsAhead): Sliced<boolean> {
  cells.begin();
  const from = new RdbReader(payload.subarray(0, payload.length - VERSION_BYTES - CRC_BYTES));
  const form = from.u8();
  try {
    for (let left = from.count(), read = 0; left > 0; left--) {
      const before = cells.count;
      readInto(cells, form, type, from);
      read += cells.count - before;
      if (read < WRITTEN_ELEMENTS) continue;
      read = 0;
      yield undefined;
    }
  } catch (thrown) {
    if (thrown instanceof DamagedError) return false;
    throw thrown;
  }
  if (!from.isAtEnd || cells.count === 0) return false;
  return type === rowType.LIST || (yield* areDifferent(cells));
}

/** Reads one item of a form: an element, or a node of a list. */
function readInto(cells: CellsAhead, form: number, type: RowType, from: RdbReader): void {
  if (type === rowType.SET) cells.add(ELEMENT, memberKey(from.string()), EMPTY);
  else if (type === rowType.HASH) cells.add(ELEMENT, memberKey(from.string()), from.string());
  else if (type === rowType.SORTED_SET) {
    const { member, score } = readScored(from, form);
    addScored(cells, member, score);
  } else {
    const values =
      form === rdbForm.LIST
        ? [from.string()]
        : form === rdbForm.LIST_OF_NODES
          ? listNode(from)
          : readZiplist(from.string());
    for (const value of values) addListed(cells, cells.count, value);
  }
}

/** No two of the elements that were added have the same key. */
function* areDifferent(cells: CellsAhead): Sliced<boolean> {
  cells.write();
  let count = 0;
  yield* eachStepSliced(cells.walk(ELEMENT), () => void count++);
  return count === cells.count;
}
