/** Members drawn at random: SPOP, SRANDMEMBER. */

import { EMPTY } from '../bytes.ts';
import type { Random } from '../env.ts';
import type { CellsAhead } from '../repl/cells-ahead.ts';
import { CellElements } from '../repl/element-cells.ts';
import { ELEMENT, type Elements } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import { LongChange, mostInPlace } from '../repl/long-change.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { BulksReply } from './bulks-reply.ts';
import { isLongPick, pickCount, pickMany } from './collection-pick.ts';
import { pickDifferent, pickOne } from './collection-random.ts';
import { lastingElementsAt, removeIfEmpty, typedRowAt } from './collection-row.ts';
import { eachStepSliced, WRITTEN_ELEMENTS } from './collection-steps.ts';
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
    takesTurns: true,
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
    const key = drawKey(members, random);
    if (key === undefined) return null;
    members.drop(ELEMENT, key);
    removeIfEmpty(view, row);
    return memberOf(key);
  }
  const made = view.made(row);
  if (made !== undefined) {
    view.setWritten(row, rowType.SET, made.cells, row.expiresAtMs);
    return made.answer as Reply;
  }
  if (view.mayTakeTurns && Math.min(count, members.count) > mostInPlace(members.count)) {
    throw new LongChange(row, (cells) => popSliced(members, count, random, cells));
  }
  const picked = inOneGo(pickDifferent(walkable(members), count, random));
  if (picked.length === members.count) view.remove(row);
  else for (const { key } of picked) members.drop(ELEMENT, key);
  return new SetReply(picked.map(({ key }) => memberOf(key)));
}

/**
 * Draws members and makes a set of the others: each goes with the chance that what is to go has among what is left, so that
 * any so many of them go, and nothing is kept of them but the reply.
 */
function* popSliced(members: Elements, count: number, random: Random, cells: CellsAhead): Sliced<Reply> {
  cells.begin();
  const reply = new BulksReply('set');
  let left = members.count;
  let wanted = Math.min(count, left);
  yield* eachStepSliced(
    members.walk(ELEMENT),
    (key) => {
      if (random.next() * left-- >= wanted) cells.add(ELEMENT, key, EMPTY);
      else {
        wanted--;
        reply.add(memberOf(key));
      }
    },
    WRITTEN_ELEMENTS,
  );
  return reply;
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
  const key = members === undefined ? undefined : drawKey(members, server.env.random);
  return key === undefined ? null : memberOf(key);
}

/** The key of any member; its bytes stay as they are. Throws `Miss`. */
function drawKey(members: Elements, random: Random): Uint8Array | undefined {
  const { base, count, staged, dropped } = members;
  if (base instanceof CellElements && staged.length === 0 && dropped.length === 0) {
    const bag = base.bag(count);
    if (bag !== undefined) return bag.at(Math.floor(random.next() * count));
  }
  return pickOne(walkable(members), random)?.key;
}

function* pickMembers(view: View, args: Args, context: Context): Sliced<Reply> {
  if (args.count > 3) throw syntaxError();
  const count = pickCount(args, 2);
  const members = lastingElementsAt(view, args, 1, rowType.SET);
  if (members === undefined) return [];
  const picked = yield* pickMany(walkable(members), count, context);
  return picked.map(({ key }) => memberOf(key));
}
