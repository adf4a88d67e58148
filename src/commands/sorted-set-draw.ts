/** ZRANDMEMBER and ZSCAN. */

import { ELEMENT } from '../repl/elements.ts';
import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { isLongPick, pickCount, pickMany } from './collection-pick.ts';
import { pickOne } from './collection-random.ts';
import { elementsAt, lastingElementsAt } from './collection-row.ts';
import { scanRow } from './collection-scan.ts';
import type { Walkable } from './collection-steps.ts';
import type { Command, Context } from './command.ts';
import { memberCopy, memberOf } from './member-key.ts';
import { INT64_MAX } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { DoubleReply, PairsReply, type Reply } from './reply.ts';
import { scoreOf, sortedSetCommand, sortedSetDoc } from './sorted-set-row.ts';
import type { Elements } from '../repl/elements.ts';
import { doubleText } from './double-text.ts';
import { inOneGo, type Sliced } from './sliced.ts';

export const sortedSetDrawCommands: readonly Command[] = [
  sortedSetCommand({
    name: 'zrandmember',
    arity: -2,
    flags: ['readonly'],
    access: 'read',
    doc: sortedSetDoc('Returns members drawn at random.', '6.2.0', 'O(N) for N members returned'),
    run: (view, args, context) =>
      args.count === 2 ? pickMember(view, args, context) : inOneGo(pickMembers(view, args, context)),
    isLong: (view, args) => isLongPick(view, args, rowType.SORTED_SET),
    runSliced: pickMembers,
  }),
  scanRow({
    name: 'zscan',
    type: rowType.SORTED_SET,
    category: 'sortedset',
    group: 'sorted-set',
    summary: 'Walks over the members, a step for each call.',
    open: walkable,
    show: (items, key, value) => {
      items.push(memberCopy(key), doubleText(scoreOf(value)));
    },
    mayOmitValues: false,
  }),
];

function walkable(elements: Elements): Walkable {
  return { count: elements.count, walk: (range) => elements.walk(ELEMENT, range) };
}

function pickMember(view: View, args: Args, { server }: Context): Reply {
  const elements = elementsAt(view, args, 1, rowType.SORTED_SET);
  const picked = elements === undefined ? undefined : pickOne(walkable(elements), server.env.random);
  return picked === undefined ? null : memberOf(picked.key);
}

function* pickMembers(view: View, args: Args, context: Context): Sliced<Reply> {
  let count = pickCount(args, 2);
  const withScores = args.count > 3;
  if (withScores) {
    if (args.count > 4 || optionName(args, 3) !== 'WITHSCORES') throw syntaxError();
    count = pickCount(args, 2, INT64_MAX / 2n);
  }
  const elements = lastingElementsAt(view, args, 1, rowType.SORTED_SET);
  if (elements === undefined) return [];
  const picked = yield* pickMany(walkable(elements), count, context);
  if (!withScores) return picked.map(({ key }) => memberOf(key));
  return new PairsReply(picked.map(({ key, value }) => [memberOf(key), new DoubleReply(scoreOf(value))]));
}
