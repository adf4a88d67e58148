/** Patterns of SORT: from an element to the string at a key, or in a field of a hash, whose name it is part of. */

import { concatBytes, copyOf } from '../bytes.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import { HashFields } from './hash-fields.ts';
import { memberKey } from './member-key.ts';

const STAR = 0x2a;
const HASH_SIGN = 0x23;
const ARROW = Buffer.from('->', 'latin1');

export interface SortPattern {
  /** `#`: the element itself. */
  readonly isElement: boolean;
  /** Around the place of the element in the key; undefined: there is no such place, and nothing is ever found. */
  readonly around: readonly [before: Uint8Array, after: Uint8Array] | undefined;
  readonly field: Uint8Array | undefined;
}

/** Whether a word has a place for the element. */
export function hasStar(word: Uint8Array): boolean {
  return word.includes(STAR);
}

export function sortPattern(word: Uint8Array): SortPattern {
  const isElement = word.length === 1 && word[0] === HASH_SIGN;
  const star = word.indexOf(STAR);
  if (isElement || star < 0) return { isElement, around: undefined, field: undefined };
  const arrow = Buffer.from(word.buffer, word.byteOffset, word.length).indexOf(ARROW, star + 1);
  const hasField = arrow >= 0 && arrow + 2 < word.length;
  const after = word.slice(star + 1, hasField ? arrow : word.length);
  return { isElement, around: [word.slice(0, star), after], field: hasField ? word.slice(arrow + 2) : undefined };
}

/** What a pattern names for an element, in memory of its own; undefined: nothing. Throws `Miss`. */
export function lookUpPattern(view: View, pattern: SortPattern, element: Uint8Array): Uint8Array | undefined {
  const { isElement, around, field } = pattern;
  if (isElement) return element;
  if (around === undefined) return undefined;
  const row = view.row(concatBytes(around[0], element, around[1]));
  if (!row.live) return undefined;
  if (field === undefined) return row.type === rowType.STRING ? copyOf(view.string(row)) : undefined;
  if (row.type !== rowType.HASH) return undefined;
  const value = new HashFields(view.elements(row), view.nowMs).get(memberKey(field));
  return value === undefined ? undefined : copyOf(value);
}
