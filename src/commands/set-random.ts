/** Members drawn at random: SPOP, SRANDMEMBER. */

import { ELEMENT } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { isLongPick, pickCount, pickMany } from './collection-pick.ts';
import { pickDifferent, pickOne } from './collection-random.ts';
import { lastingElementsAt, removeIfEmpty, typedRowAt } from './collection-row.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { memberOf } from './member-key.ts';
import { INT64_MAX, parseInt64 } from './number.ts';
import { syntaxError } from './options.ts';
import { type Reply, SetReply } from './reply.ts';
import { membersAt, setCommand, setDoc, walkable } from './set-row.ts';
import { inOneGo, type Sliced } from './sliced.ts';

export const randomSetCommands: readonly Command[] = [
  setCommand({
    name: 'spop',
    arity: -2,
    flags: ['write', 'fast'],
    access: 'update',
    doc: setDoc('Removes members drawn at random and returns them.', '1.0.0', 'O(N) for N members returned'),
    run: pop,
  }),
  setCommand({
    name: 'srandmember',
    arity: -2,
    flags: ['readonly'],
    access: 'read',
    doc: setDoc('Returns members drawn at random.', '1.0.0', 'O(N) for N members returned'),
    run: (view, args, context) =>
      args.count === 2 ? pickMember(view, args, context) : inOneGo(pickMembers(view, args, context)),
    isLong: (view, args) => isLongPick(view, args, rowType.SET),
    runSliced: pickMembers,
  }),
];

function pop(view: View, args: Args, { server }: Context): Reply {
  const { random } = server.env;
  if (args.count > 3) throw syntaxError();
  const count = args.count === 3 ? positiveCount(args) : undefined;
  const row = typedRowAt(view, args, 1, rowType.SET);
  if (!row.live) return count === undefined ? null : new SetReply([]);
  const members = view.elements(row);
  if (count === undefined) {
    const picked = pickOne(walkable(members), random);
    if (picked === undefined) return null;
    members.drop(ELEMENT, picked.key);
    removeIfEmpty(view, row);
    return memberOf(picked.key);
  }
  const picked = inOneGo(pickDifferent(walkable(members), count, random));
  if (picked.length === members.count) view.remove(row);
  else for (const { key } of picked) members.drop(ELEMENT, key);
  return new SetReply(picked.map(({ key }) => memberOf(key)));
}

function positiveCount(args: Args): number {
  const count = parseInt64(args.bytes, args.starts[2] as number, args.ends[2] as number);
  if (count === undefined || count < 0 || count > INT64_MAX) {
    throw new CommandError('ERR value is out of range, must be positive');
  }
  return Number(count);
}

function pickMember(view: View, args: Args, { server }: Context): Reply {
  const members = membersAt(view, args);
  const picked = members === undefined ? undefined : pickOne(walkable(members), server.env.random);
  return picked === undefined ? null : memberOf(picked.key);
}

function* pickMembers(view: View, args: Args, context: Context): Sliced<Reply> {
  if (args.count > 3) throw syntaxError();
  const count = pickCount(args, 2);
  const members = lastingElementsAt(view, args, 1, rowType.SET);
  if (members === undefined) return [];
  const picked = yield* pickMany(walkable(members), count, context);
  return picked.map(({ key }) => memberOf(key));
}
