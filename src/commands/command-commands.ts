/** COMMAND: the table itself, for clients that ask what there is. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { categoriesOf } from './categories.ts';
import { commandDoc } from './command-docs.ts';
import { commandInfo } from './command-info.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { globMatches } from './glob.ts';
import { keyFlagsOfCall } from './key-flags.ts';
import { MapReply, type Reply, SetReply, SimpleString } from './reply.ts';
import { container, plainRow, type PlainRow, syntaxError } from './server-row.ts';
import type { Server } from './server-state.ts';
import { keyIndexes } from './table.ts';

const FLAGS = ['loading', 'stale'] as const;

/** Every row with its full name and its container's, subcommands after it. */
function* named(server: Server): Generator<readonly [name: string, command: Command, container: string | undefined]> {
  for (const command of server.commands) {
    yield [command.name, command, undefined];
    for (const sub of command.subcommands ?? []) yield [`${command.name}|${sub.name}`, sub, command.name];
  }
}

/** The commands that words 2 and on name, `undefined` for unknown ones; without words all that are no subcommand. */
function asked(server: Server, args: Args): (readonly [Command, string | undefined] | undefined)[] {
  if (args.count === 2) return server.commands.map((command) => [command, undefined]);
  return Array.from({ length: args.count - 2 }, (_, i) => {
    const name = args.text(i + 2).toLowerCase();
    const command = server.findCommand(name);
    const bar = name.indexOf('|');
    return command === undefined ? undefined : [command, bar < 0 ? undefined : name.slice(0, bar)];
  });
}

function info(_view: View, args: Args, { server }: Context): Reply {
  return asked(server, args).map((found) => (found === undefined ? null : commandInfo(...found)));
}

function docs(_view: View, args: Args, { server }: Context): Reply {
  return new MapReply(asked(server, args).flatMap((found) => (found === undefined ? [] : [commandDoc(...found)])));
}

function list(_view: View, args: Args, { server }: Context): Reply {
  const all = [...named(server)];
  if (args.count === 2) return all.map(([name]) => name);
  if (args.count !== 5 || args.upper(2) !== 'FILTERBY') throw syntaxError();
  const value = args.text(4).toLowerCase();
  switch (args.upper(3)) {
    case 'MODULE':
      return [];
    case 'ACLCAT':
      return all.filter(([, command]) => categoriesOf(command).includes(value)).map(([name]) => name);
    case 'PATTERN': {
      const pattern = Buffer.from(value, 'latin1');
      return all.filter(([name]) => globMatches(pattern, Buffer.from(name))).map(([name]) => name);
    }
    default:
      throw syntaxError();
  }
}

interface KeysOf {
  readonly fullName: string;
  readonly command: Command;
  readonly words: Args;
  readonly keys: readonly number[];
}

/** The command that words 2 and on make up, with its words and the indexes of its keys. */
function keysOf(server: Server, args: Args): KeysOf {
  const words = args.from(2);
  const name = words.text(0);
  const container = server.findCommand(name);
  const hasSubcommands = container?.subcommands !== undefined && words.count > 1;
  const fullName = (hasSubcommands ? `${name}|${words.text(1)}` : name).toLowerCase();
  const command = server.findCommand(fullName);
  if (command === undefined || name.includes('|')) throw new CommandError('ERR Invalid command specified');
  if (command.keys === undefined) throw new CommandError('ERR The command has no key arguments');
  if (command.arity > 0 ? words.count !== command.arity : words.count < -command.arity) {
    throw new CommandError('ERR Invalid number of arguments specified for command');
  }
  return { fullName, command, words, keys: keyIndexes(command, words) };
}

function getKeys(_view: View, args: Args, { server }: Context): Reply {
  const { words, keys } = keysOf(server, args);
  return keys.map((i) => words.at(i));
}

function getKeysAndFlags(_view: View, args: Args, { server }: Context): Reply {
  const { fullName, command, words, keys } = keysOf(server, args);
  return keys.map((i, position) => {
    const flags = keyFlagsOfCall(fullName, command, words, position).map((flag) => new SimpleString(flag));
    return [words.at(i), new SetReply(flags)];
  });
}

const rows: readonly PlainRow[] = [
  {
    name: 'count',
    arity: 2,
    flags: FLAGS,
    since: '2.8.13',
    summary: 'The number of commands.',
    run: (_view, _args, { server }) => server.commands.length,
  },
  {
    name: 'info',
    arity: -2,
    flags: FLAGS,
    since: '2.8.13',
    summary: 'Arity, flags and keys of commands.',
    complexity: 'O(N) for N commands',
    run: info,
  },
  {
    name: 'docs',
    arity: -2,
    flags: FLAGS,
    since: '7.0.0',
    summary: 'What commands are for.',
    complexity: 'O(N) for N commands',
    run: docs,
  },
  {
    name: 'list',
    arity: -2,
    flags: FLAGS,
    since: '7.0.0',
    summary: 'The names of the commands.',
    complexity: 'O(N) for N commands',
    run: list,
  },
  {
    name: 'getkeys',
    arity: -4,
    flags: FLAGS,
    since: '2.8.13',
    summary: 'The keys among the words of a command.',
    complexity: 'O(N) for N words',
    run: getKeys,
  },
  {
    name: 'getkeysandflags',
    arity: -4,
    flags: FLAGS,
    since: '7.0.0',
    summary: 'The same, with what is done to them.',
    complexity: 'O(N) for N words',
    run: getKeysAndFlags,
  },
];

const group = container({
  name: 'command',
  group: 'server',
  since: '2.8.13',
  summary: 'The commands that there are.',
  categories: ['connection'],
  subcommands: rows.map((row) => plainRow('server', { ...row, categories: ['connection'] })),
  help: [
    '(no subcommand)',
    '    Return arity, flags and keys of all commands.',
    'COUNT',
    '    Return the number of commands.',
    'INFO [<command> ...]',
    '    Return arity, flags and keys of these commands, or of all.',
    'DOCS [<command> ...]',
    '    Return what these commands, or all, are for.',
    'LIST [FILTERBY MODULE <name> | ACLCAT <category> | PATTERN <pattern>]',
    '    Return the names of the commands.',
    'GETKEYS <command> [<arg> ...] | GETKEYSANDFLAGS <command> [<arg> ...]',
    '    Return the keys among the words.',
  ],
});

export const commandCommands: readonly Command[] = [
  {
    ...group,
    arity: -1,
    flags: FLAGS,
    categories: ['connection'],
    run: (_view, _args, { server }) => server.commands.map((command) => commandInfo(command)),
  },
];
