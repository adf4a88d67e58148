/** What handlers of sets share. A member is an element with an empty value; its key is scattered (member-key.ts). */

import { type Elements, ELEMENT } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { commandsOf, docsOf, elementsAt } from './collection-row.ts';
import type { Walkable } from './collection-steps.ts';
import { memberKey } from './member-key.ts';

export const setCommand = commandsOf('set');
export const setDoc = docsOf('set');

/** The members of the set at word i; undefined: there is no such key. Throws `Miss`, `CommandError`. */
export function membersAt(view: View, args: Args, i = 1): Elements | undefined {
  return elementsAt(view, args, i, rowType.SET);
}

/** The key of the member that word i names, in memory of its own. */
export function memberKeyAt(args: Args, i: number): Uint8Array {
  return memberKey(args.bytes, args.starts[i], args.ends[i]);
}

/** The members of a set, to be walked over. */
export function walkable(elements: Elements): Walkable {
  return { count: elements.count, walk: (range) => elements.walk(ELEMENT, range) };
}
