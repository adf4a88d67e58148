/** ACL: there is one user, `default`, with the password of `requirepass`; it may do everything. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { CATEGORIES, categoriesOf } from './categories.ts';
import type { Command, CommandFlag, Context } from './command.ts';
import { CommandError, NOT_AN_INTEGER, wrongArity } from './errors.ts';
import { DEFAULT_USER, passwordHash } from './password.ts';
import { ErrorReply, MapReply, OK, type Reply, SetReply, SimpleString } from './reply.ts';
import { INT64_MIN } from './number.ts';
import { ADMIN, container, integerOf, OPEN, plainRow, refusing, wrongSubcommand } from './server-row.ts';
import type { Server } from './server-state.ts';

const ONE_USER = 'ERR users beside "default" are not there yet; its password is the option requirepass';
const NO_FILE =
  'ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.';

const DEFAULT_BITS = 256;
const MAX_BITS = 4096;
const BAD_BITS =
  'ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096';

function list(_view: View, _args: Args, { server }: Context): Reply {
  const password = server.config.get('requirepass');
  const proof = password === '' ? 'nopass' : `#${passwordHash(password)}`;
  return [`user ${DEFAULT_USER} on ${proof} ~* &* +@all`];
}

function getUser(_view: View, args: Args, { server }: Context): Reply {
  if (args.utf8(2) !== DEFAULT_USER) return null;
  const password = server.config.get('requirepass');
  const flags = password === '' ? ['on', 'nopass'] : ['on'];
  return new MapReply([
    ['flags', new SetReply(flags.map((flag) => new SimpleString(flag)))],
    ['passwords', password === '' ? [] : [passwordHash(password)]],
    ['commands', '+@all'],
    ['keys', '~*'],
    ['channels', '&*'],
    ['selectors', []],
  ]);
}

function category(_view: View, args: Args, { server }: Context): Reply {
  if (args.count > 3) throw wrongSubcommand(args);
  if (args.count === 2) return CATEGORIES.map((name) => name);
  const wanted = args.text(2).toLowerCase();
  if (!CATEGORIES.includes(wanted)) throw new CommandError(`ERR Unknown category '${args.text(2)}'`);
  return namesIn(server, wanted);
}

function namesIn(server: Server, wanted: string): string[] {
  return server.commands.flatMap((command) => {
    const own = categoriesOf(command).includes(wanted) ? [command.name] : [];
    const subcommands = (command.subcommands ?? []).filter((sub) => categoriesOf(sub).includes(wanted));
    return [...own, ...subcommands.map((sub) => `${command.name}|${sub.name}`)];
  });
}

function generatePassword(_view: View, args: Args, { server }: Context): Reply {
  if (args.count > 3) throw wrongSubcommand(args);
  const bits = args.count === 3 ? integerOf(args, 2, NOT_AN_INTEGER, INT64_MIN) : DEFAULT_BITS;
  if (bits <= 0 || bits > MAX_BITS) throw new CommandError(BAD_BITS);
  const digits = Math.ceil(bits / 4);
  return Buffer.from(server.env.random.bytes(Math.ceil(digits / 2)))
    .toString('hex')
    .slice(0, digits);
}

function deleteUsers(_view: View, args: Args): Reply {
  for (let i = 2; i < args.count; i++) {
    if (args.utf8(i) === DEFAULT_USER) throw new CommandError("ERR The 'default' user cannot be removed");
  }
  return 0;
}

function dryRun(_view: View, args: Args, { server }: Context): Reply {
  if (args.utf8(2) !== DEFAULT_USER) throw new CommandError(`ERR User '${args.text(2)}' not found`);
  const command = server.findCommand(args.utf8(3));
  if (command === undefined) throw new CommandError(`ERR Command '${args.text(3)}' not found`);
  const words = args.count - 3;
  if (command.arity > 0 ? words !== command.arity : words < -command.arity) {
    return new ErrorReply(wrongArity(command.name));
  }
  return OK;
}

function log(_view: View, args: Args): Reply {
  if (args.count > 3) throw wrongSubcommand(args);
  if (args.count === 2) return [];
  if (args.upper(2) === 'RESET') return OK;
  integerOf(args, 2, NOT_AN_INTEGER, INT64_MIN);
  return [];
}

function row(
  name: string,
  arity: number,
  flags: readonly CommandFlag[],
  summary: string,
  run: NonNullable<Command['run']>,
): Command {
  return plainRow('server', { name, arity, flags, since: name === 'dryrun' ? '7.0.0' : '6.0.0', summary, run });
}

export const aclCommands: readonly Command[] = [
  container({
    name: 'acl',
    group: 'server',
    since: '6.0.0',
    summary: 'Users and what they may do.',
    subcommands: [
      row('whoami', 2, OPEN, 'The user of this connection.', (_view, _args, { client }) => client.user),
      row('cat', -2, OPEN, 'The categories of commands, or the commands of one.', category),
      row('genpass', -2, OPEN, 'A random password.', generatePassword),
      row('list', 2, ADMIN, 'The users in the form of the configuration.', list),
      row('users', 2, ADMIN, 'The names of the users.', () => [DEFAULT_USER]),
      row('getuser', 3, ADMIN, 'What a user may do.', getUser),
      row('setuser', -3, ADMIN, 'Refused.', refusing(ONE_USER)),
      row('deluser', -3, ADMIN, 'There is nobody to delete.', deleteUsers),
      row('dryrun', -4, ADMIN, 'Whether a user may run a command.', dryRun),
      row('log', -2, ADMIN, 'Always empty: nothing is refused to a user.', log),
      row('save', 2, ADMIN, 'Refused: there is no file of users.', refusing(NO_FILE)),
      row('load', 2, ADMIN, 'Refused: there is no file of users.', refusing(NO_FILE)),
    ],
    help: [
      'WHOAMI',
      '    Return the user of this connection.',
      'LIST | USERS | GETUSER <name>',
      '    Return what is known of the users.',
      'CAT [<category>]',
      '    Return the categories, or the commands of one.',
      'GENPASS [<bits>]',
      '    Return a random password in hex.',
      'DRYRUN <user> <command> [<arg> ...]',
      '    Return whether the user may run the command.',
      'LOG [<count>|RESET]',
      '    Return refused commands: none.',
      'SETUSER | DELUSER | SAVE | LOAD',
      '    There is one user only.',
    ],
  }),
];
