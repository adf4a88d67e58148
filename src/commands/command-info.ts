/** A row of the table as COMMAND INFO shows it. */

import { categoriesOf } from './categories.ts';
import { tipsOf } from './command-tips.ts';
import type { Command, KeyRange } from './command.ts';
import { differsForSecond, keyFlags } from './key-flags.ts';
import { MapReply, type Reply, SetReply, SimpleString } from './reply.ts';

function statusSet(words: readonly string[]): SetReply {
  return new SetReply(words.map((word) => new SimpleString(word)));
}

/** Positions of the keys, of whichever form. */
function rangeOf({ keys }: Command): KeyRange | undefined {
  return keys === undefined ? undefined : 'range' in keys ? keys.range : keys;
}

/** One key specification: where the keys begin and how they go on. */
function keySpecification(flags: readonly string[], range: KeyRange): Reply {
  return new MapReply([
    ['flags', statusSet(flags)],
    [
      'begin_search',
      new MapReply([
        ['type', 'index'],
        ['spec', new MapReply([['index', range.first]])],
      ]),
    ],
    [
      'find_keys',
      new MapReply([
        ['type', 'range'],
        [
          'spec',
          new MapReply([
            ['lastkey', range.last < 0 ? range.last : range.last - range.first],
            ['keystep', range.step],
            ['limit', 0],
          ]),
        ],
      ]),
    ],
  ]);
}

function keySpecifications(name: string, command: Command, range: KeyRange | undefined): Reply[] {
  if (range === undefined || range.first === 0) return [];
  if (!differsForSecond(name)) return [keySpecification(keyFlags(name, command, 0), range)];
  return [0, 1].map((position) => {
    const index = range.first + position * range.step;
    return keySpecification(keyFlags(name, command, position), { first: index, last: index, step: 1 });
  });
}

/** `container`: the name before `|`, for a subcommand. */
export function commandInfo(command: Command, container?: string): Reply {
  const name = container === undefined ? command.name : `${container}|${command.name}`;
  const range = rangeOf(command);
  const isMovable = command.keys !== undefined && 'find' in command.keys;
  const flags = isMovable && !command.flags.includes('movablekeys') ? [...command.flags, 'movablekeys'] : command.flags;
  return [
    name,
    command.arity,
    statusSet(flags),
    range?.first ?? 0,
    range?.last ?? 0,
    range?.step ?? 0,
    statusSet(categoriesOf(command).map((category) => `@${category}`)),
    new SetReply(tipsOf(name)),
    new SetReply(keySpecifications(name, command, range)),
    new SetReply((command.subcommands ?? []).map((sub) => commandInfo(sub, name))),
  ];
}
