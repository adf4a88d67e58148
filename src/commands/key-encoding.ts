/**
 * How Redis 7.0 would keep a value, with its default limits: values have one form here. It is the answer for a value that
 * was made as it is: Redis keeps a collection that was large once, or a string that grew, in its larger form.
 */

import { rowType } from '../repl/head.ts';
import type { Row, View } from '../repl/view.ts';
import { ELEMENT } from '../repl/elements.ts';
import { memberOf, SCATTER_BYTES } from './member-key.ts';
import { parseInt64 } from './number.ts';
import { memberOfOrder, ORDER } from './sorted-set-row.ts';

/** Longest text of an integer, and longest string that Redis keeps in one piece with its object. */
const INTEGER_TEXT_MAX = 20;
const EMBEDDED_MAX = 44;

/** Redis's defaults of hash-max-listpack-entries, zset-max-listpack-entries, -value of both, set-max-intset-entries. */
const HASH_ENTRIES = 512;
const SORTED_SET_ENTRIES = 128;
const LISTPACK_VALUE_BYTES = 64;
const INTSET_ENTRIES = 512;

export type Encoding =
  | 'int'
  | 'embstr'
  | 'raw'
  | 'quicklist'
  | 'intset'
  | 'hashtable'
  | 'listpack'
  | 'skiplist'
  | 'stream';

/** Requires: row.live. Throws `Miss`. */
export function encodingOf(view: View, row: Row): Encoding {
  switch (row.type) {
    case rowType.LIST:
      return 'quicklist';
    case rowType.SET:
      return isIntset(view, row) ? 'intset' : 'hashtable';
    case rowType.HASH:
      return isSmallHash(view, row) ? 'listpack' : 'hashtable';
    case rowType.SORTED_SET:
      return isSmallSortedSet(view, row) ? 'listpack' : 'skiplist';
    case rowType.STREAM:
      return 'stream';
    default:
      return stringEncoding(view, row);
  }
}

function stringEncoding(view: View, row: Row): Encoding {
  const length = view.stringLength(row);
  if (length <= INTEGER_TEXT_MAX && parseInt64(view.string(row), 0, length) !== undefined) return 'int';
  return length <= EMBEDDED_MAX ? 'embstr' : 'raw';
}

function isIntset(view: View, row: Row): boolean {
  const elements = view.elements(row);
  let allIntegers = elements.count <= INTSET_ENTRIES;
  if (!allIntegers) return false;
  elements.each(ELEMENT, {}, (key) => {
    const member = memberOf(key);
    return (allIntegers = parseInt64(member, 0, member.length) !== undefined);
  });
  return allIntegers;
}

function isSmallHash(view: View, row: Row): boolean {
  const elements = view.elements(row);
  let allShort = elements.count <= HASH_ENTRIES;
  if (!allShort) return false;
  elements.each(ELEMENT, {}, (key, value) => {
    return (allShort = key.length - SCATTER_BYTES <= LISTPACK_VALUE_BYTES && value.length <= LISTPACK_VALUE_BYTES);
  });
  return allShort;
}

function isSmallSortedSet(view: View, row: Row): boolean {
  const elements = view.elements(row);
  let allShort = elements.count <= SORTED_SET_ENTRIES;
  if (!allShort) return false;
  elements.each(ORDER, {}, (key) => {
    return (allShort = memberOfOrder(key).length <= LISTPACK_VALUE_BYTES);
  });
  return allShort;
}
