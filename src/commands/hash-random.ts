/** HRANDFIELD: fields drawn at random. */

import { rowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { isLongPick, pickCount, pickMany } from './collection-pick.ts';
import { pickOne } from './collection-random.ts';
import type { Command, Context } from './command.ts';
import { fieldsAt, lastingFieldsAt } from './hash-fields.ts';
import { hashCommand, hashDoc } from './hash-plain.ts';
import { memberOf } from './member-key.ts';
import { INT64_MAX } from './number.ts';
import { optionName, syntaxError } from './options.ts';
import { PairsReply, type Reply } from './reply.ts';
import { inOneGo, type Sliced } from './sliced.ts';

export const randomHashCommands: readonly Command[] = [
  hashCommand({
    name: 'hrandfield',
    arity: -2,
    flags: ['readonly'],
    access: 'read',
    doc: hashDoc('Returns fields drawn at random.', '6.2.0', 'O(N) for N fields returned'),
    run: (view, args, context) =>
      args.count === 2 ? pickField(view, args, context) : inOneGo(pickFields(view, args, context)),
    isLong: (view, args) => isLongPick(view, args, rowType.HASH),
    runSliced: pickFields,
  }),
];

function pickField(view: View, args: Args, { server }: Context): Reply {
  const fields = fieldsAt(view, args);
  const picked = fields === undefined ? undefined : pickOne(fields, server.env.random);
  return picked === undefined ? null : memberOf(picked.key);
}

function* pickFields(view: View, args: Args, context: Context): Sliced<Reply> {
  let count = pickCount(args, 2);
  const withValues = args.count > 3;
  if (withValues) {
    if (args.count > 4 || optionName(args, 3) !== 'WITHVALUES') throw syntaxError();
    count = pickCount(args, 2, INT64_MAX / 2n);
  }
  const fields = lastingFieldsAt(view, args);
  if (fields === undefined) return [];
  const picked = yield* pickMany(fields, count, context);
  if (!withValues) return picked.map(({ key }) => memberOf(key));
  return new PairsReply(picked.map(({ key, value }) => [memberOf(key), value]));
}
