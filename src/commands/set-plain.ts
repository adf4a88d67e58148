/** Members of a set one by one and all together: SADD, SISMEMBER and their kin. */

import { EMPTY } from '../bytes.ts';
import { ELEMENT } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import { LONG_ELEMENTS } from '../repl/long-change.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { BulksReply } from './bulks-reply.ts';
import { elementsToFill, isLarge, lastingElementsAt, removeIfEmpty, typedRowAt } from './collection-row.ts';
import { scanRow } from './collection-scan.ts';
import { eachStepSliced } from './collection-steps.ts';
import type { Command } from './command.ts';
import { TWO_KEYS } from './key-row.ts';
import { fillInTurns } from './long-store.ts';
import { memberCopy, memberOf } from './member-key.ts';
import { type Reply, SetReply } from './reply.ts';
import { memberKeyAt, membersAt, setCommand, setDoc, walkable } from './set-row.ts';
import type { Sliced } from './sliced.ts';

export const plainSetCommands: readonly Command[] = [
  setCommand({
    name: 'sadd',
    arity: -3,
    flags: ['write', 'denyoom', 'fast'],
    access: 'update',
    doc: setDoc('Adds members to a set.', '1.0.0', 'O(N) for N members'),
    takesTurns: true,
    run: add,
  }),
  setCommand({
    name: 'srem',
    arity: -3,
    flags: ['write', 'fast'],
    access: 'update',
    doc: setDoc('Removes members from a set.', '1.0.0', 'O(N) for N members'),
    run: remove,
  }),
  setCommand({
    name: 'sismember',
    arity: 3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: setDoc('Tells whether a member is in a set.', '1.0.0'),
    run: (view, args) => Number(membersAt(view, args)?.has(ELEMENT, memberKeyAt(args, 2)) === true),
  }),
  setCommand({
    name: 'smismember',
    arity: -3,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: setDoc('Tells of several members whether they are in a set.', '6.2.0', 'O(N) for N members'),
    run: areMembers,
  }),
  setCommand({
    name: 'scard',
    arity: 2,
    flags: ['readonly', 'fast'],
    access: 'read',
    doc: setDoc('Returns the number of members.', '1.0.0'),
    run: (view, args) => membersAt(view, args)?.count ?? 0,
  }),
  setCommand({
    name: 'smembers',
    arity: 2,
    flags: ['readonly'],
    access: 'read',
    doc: setDoc('Returns all members.', '1.0.0', 'O(N) for N members'),
    run: all,
    isLong: (view, args) => isLarge(view, args, 1, rowType.SET),
    runSliced: allSliced,
  }),
  setCommand({
    name: 'smove',
    arity: 4,
    flags: ['write', 'fast'],
    keys: TWO_KEYS,
    access: 'transaction',
    doc: setDoc('Moves a member from one set to another.', '1.0.0'),
    run: move,
  }),
  scanRow({
    name: 'sscan',
    type: rowType.SET,
    category: 'set',
    summary: 'Walks over the members of a set, a step for each call.',
    open: walkable,
    show: (items, key) => void items.push(memberCopy(key)),
    mayOmitValues: false,
  }),
];

function add(view: View, args: Args): Reply {
  if (args.count > LONG_ELEMENTS) {
    const row = typedRowAt(view, args, 1, rowType.SET);
    const filled = row.live
      ? undefined
      : fillInTurns(view, row, { args, step: 1, type: rowType.SET }, (cells, word) =>
          cells.add(ELEMENT, memberKeyAt(args, word), EMPTY),
        );
    if (filled !== undefined) return filled;
  }
  const members = elementsToFill(view, args, 1, rowType.SET);
  let added = 0;
  for (let i = 2; i < args.count; i++) {
    const key = memberKeyAt(args, i);
    if (members.has(ELEMENT, key)) continue;
    members.add(ELEMENT, key, EMPTY);
    added++;
  }
  return added;
}

function remove(view: View, args: Args): Reply {
  const row = typedRowAt(view, args, 1, rowType.SET);
  if (!row.live) return 0;
  const members = view.elements(row);
  let removed = 0;
  for (let i = 2; i < args.count; i++) if (members.delete(ELEMENT, memberKeyAt(args, i))) removed++;
  removeIfEmpty(view, row);
  return removed;
}

function areMembers(view: View, args: Args): Reply {
  const members = membersAt(view, args);
  const replies: Reply[] = [];
  for (let i = 2; i < args.count; i++) replies.push(Number(members?.has(ELEMENT, memberKeyAt(args, i)) === true));
  return replies;
}

function all(view: View, args: Args): Reply {
  const members: Reply[] = [];
  membersAt(view, args)?.each(ELEMENT, {}, (key) => void members.push(memberCopy(key)));
  return new SetReply(members);
}

function* allSliced(view: View, args: Args): Sliced<Reply> {
  const members = new BulksReply('set');
  const set = lastingElementsAt(view, args, 1, rowType.SET);
  if (set !== undefined) yield* eachStepSliced(set.walk(ELEMENT), (key) => members.add(memberOf(key)));
  return members;
}

function move(view: View, args: Args): Reply {
  const from = typedRowAt(view, args, 1, rowType.SET);
  if (!from.live) return 0;
  const to = typedRowAt(view, args, 2, rowType.SET);
  const key = memberKeyAt(args, 3);
  const source = view.elements(from);
  if (from === to) return Number(source.has(ELEMENT, key));
  if (!source.delete(ELEMENT, key)) return 0;
  removeIfEmpty(view, from);
  const target = to.live ? view.elements(to) : view.create(to, rowType.SET);
  target.set(ELEMENT, key, EMPTY);
  return 1;
}
