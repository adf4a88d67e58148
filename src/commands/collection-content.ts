/** All that a collection holds, in memory of its own, in the order that Redis would show it where it has one. */

import { copyOf } from '../bytes.ts';
import { ELEMENT, eachStep } from '../repl/elements.ts';
import type { Row, View } from '../repl/view.ts';
import { HashFields } from './hash-fields.ts';
import { List } from './list-row.ts';
import { memberCopy } from './member-key.ts';
import { type Scored, SortedSet } from './sorted-set-row.ts';

/** The elements of a list. Requires: a live row of this type, here and below. Throws `Miss`. */
export function valuesOfList(view: View, row: Row): Uint8Array[] {
  const list = new List(view.elements(row));
  return list.copy(0, list.length);
}

export function membersOfSet(view: View, row: Row): Uint8Array[] {
  const members: Uint8Array[] = [];
  view.elements(row).each(ELEMENT, {}, (key) => {
    members.push(memberCopy(key));
  });
  return members;
}

/** By score, then by member. */
export function membersOfSortedSet(view: View, row: Row): Scored[] {
  return new SortedSet(view.elements(row)).list({});
}

/** Fields and values in turn; those past their deadlines are not there. */
export function fieldsOfHash(view: View, row: Row): Uint8Array[] {
  const words: Uint8Array[] = [];
  const fields = new HashFields(view.elements(row), view.nowMs);
  eachStep(fields.walk({}), (key, value) => {
    words.push(memberCopy(key), copyOf(value));
  });
  return words;
}
