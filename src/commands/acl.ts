/** ACL: users and what they may do. They are a row of our own: acl-users.ts. */

import type { View } from '../repl/view.ts';
import { AclUser, joinSelectors, type Denial } from './acl-user.ts';
import { DEFAULT_USER, linesOf, parseUser, USERS_KEY } from './acl-users.ts';
import type { Args } from './args.ts';
import { CATEGORIES, categoriesOf } from './categories.ts';
import type { Command, CommandFlag, Context } from './command.ts';
import { CommandError, NOT_AN_INTEGER, wrongArity } from './errors.ts';
import { ErrorReply, MapReply, OK, type Reply, SetReply } from './reply.ts';
import { INT64_MIN } from './number.ts';
import { SYSTEM_DATABASE } from '../repl/row-key.ts';
import { ADMIN, container, integerOf, OPEN, plainRow, refusing, wrongSubcommand } from './server-row.ts';
import type { Server } from './server-state.ts';

const NO_FILE =
  'ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.';

const DEFAULT_PASSWORD = "ERR the password of the user 'default' is the option requirepass; CONFIG SET changes it";

const DEFAULT_BITS = 256;
const MAX_BITS = 4096;
const BAD_BITS =
  'ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096';

/** Entries of ACL LOG when no number is given, as in Redis. */
const LOG_ENTRIES = 10;

/** Users as they stand in the row, by name, `default` included. Throws `Miss`. */
function usersOf(view: View, server: Server): Map<string, AclUser> {
  const { users } = server;
  // In a cluster the row was given; what this node follows may be a second old.
  const row = view.row(USERS_KEY, SYSTEM_DATABASE);
  const lines = row.live ? Buffer.from(view.string(row)).toString().split('\n') : [];
  const parsed = lines.filter((line) => line !== '').map((line) => parseUser(line, users.names));
  const found = new Map(parsed.map((user) => [user.name, user]));
  if (!found.has(DEFAULT_USER)) {
    found.set(DEFAULT_USER, parseUser(`${DEFAULT_USER} on nopass ~* &* +@all`, users.names));
  }
  const standard = found.get(DEFAULT_USER) as AclUser;
  const password = server.config.get('requirepass');
  standard.apply('resetpass', users.names);
  standard.apply(password === '' ? 'nopass' : `>${password}`, users.names);
  return found;
}

function inOrder(users: ReadonlyMap<string, AclUser>): AclUser[] {
  return [...users.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function list(view: View, _args: Args, { server }: Context): Reply {
  return inOrder(usersOf(view, server)).map((user) => `user ${user.name} ${user.describe()}`);
}

function names(view: View, _args: Args, { server }: Context): Reply {
  return inOrder(usersOf(view, server)).map((user) => user.name);
}

function getUser(view: View, args: Args, { server }: Context): Reply {
  const user = usersOf(view, server).get(args.utf8(2));
  if (user === undefined) return null;
  const flags = [user.isOn ? 'on' : 'off'];
  if (user.isOpen) flags.push('nopass');
  if (user.isSanitizing) flags.push('sanitize-payload');
  return new MapReply([
    ['flags', new SetReply(flags)],
    ['passwords', [...user.passwords]],
    ['commands', user.root.commandText],
    ['keys', user.root.keyText],
    ['channels', user.root.channelText],
    [
      'selectors',
      user.selectors.map(
        (selector) =>
          new MapReply([
            ['commands', selector.commandText],
            ['keys', selector.keyText],
            ['channels', selector.channelText],
          ]),
      ),
    ],
  ]);
}

function setUser(view: View, args: Args, { server }: Context): Reply {
  const name = args.utf8(2);
  if (/[\s\0]/.test(name)) throw new CommandError("ERR Usernames can't contain spaces or null characters");
  const users = usersOf(view, server);
  const user = users.get(name) ?? new AclUser(name);
  for (const rule of joinSelectors(Array.from({ length: args.count - 3 }, (_, i) => args.text(3 + i)))) {
    if (name === DEFAULT_USER && isAboutPassword(rule)) throw new CommandError(DEFAULT_PASSWORD);
    try {
      user.apply(rule, server.users.names);
    } catch (thrown) {
      if (!(thrown instanceof CommandError)) throw thrown;
      const { message } = thrown.reply;
      throw new CommandError(`ERR Error in ACL SETUSER modifier '${rule}': ${message}`);
    }
  }
  users.set(name, user);
  keep(view, server, users);
  return OK;
}

function isAboutPassword(rule: string): boolean {
  return /^[><#!]/.test(rule) || ['nopass', 'resetpass', 'reset'].includes(rule.toLowerCase());
}

function deleteUsers(view: View, args: Args, { server }: Context): Reply {
  const users = usersOf(view, server);
  let deleted = 0;
  for (let i = 2; i < args.count; i++) {
    if (args.utf8(i) === DEFAULT_USER) throw new CommandError("ERR The 'default' user cannot be removed");
    if (users.delete(args.utf8(i))) deleted++;
  }
  if (deleted > 0) keep(view, server, users);
  return deleted;
}

/** Writes the row; where rows are this node's alone it is followed at once. */
function keep(view: View, server: Server, users: ReadonlyMap<string, AclUser>): void {
  const lines = linesOf([...users.values()]);
  view.setString(view.row(USERS_KEY, SYSTEM_DATABASE), lines, 0);
  if (!view.isGiven) server.users.follow(lines, -1);
}

function category(_view: View, args: Args, { server }: Context): Reply {
  if (args.count > 3) throw wrongSubcommand(args);
  if (args.count === 2) return CATEGORIES.map((name) => name);
  const wanted = args.text(2).toLowerCase();
  if (!CATEGORIES.includes(wanted)) throw new CommandError(`ERR Unknown category '${args.text(2)}'`);
  return namesIn(server, wanted);
}

function namesIn(server: Server, wanted: string): string[] {
  return [...server.users.names].filter(([, command]) => categoriesOf(command).includes(wanted)).map(([name]) => name);
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

function dryRun(view: View, args: Args, { server }: Context): Reply {
  const user = usersOf(view, server).get(args.utf8(2));
  if (user === undefined) throw new CommandError(`ERR User '${args.text(2)}' not found`);
  const words = args.from(3);
  const container = server.findCommand(words.utf8(0));
  const sub = container?.subcommands === undefined || words.count < 2 ? undefined : words.utf8(1).toLowerCase();
  const name = `${words.utf8(0).toLowerCase()}${sub === undefined ? '' : `|${sub}`}`;
  const command = server.findCommand(name);
  if (command === undefined) throw new CommandError(`ERR Command '${args.text(3)}' not found`);
  if (command.arity > 0 ? words.count !== command.arity : words.count < -command.arity) {
    return new ErrorReply(wrongArity(name));
  }
  const denial = user.denial(name, command, words);
  return denial === undefined ? OK : dryRunText(denial);
}

function dryRunText({ reason, object }: Denial): string {
  if (reason === 'command') return `This user has no permissions to run the '${object}' command`;
  return `This user has no permissions to access the '${object}' ${reason}`;
}

function log(_view: View, args: Args, { server }: Context): Reply {
  if (args.count > 3) throw wrongSubcommand(args);
  const nowMs = server.env.clock.wallMs();
  if (args.count === 2) return server.aclLog.list(LOG_ENTRIES, nowMs);
  if (args.upper(2) === 'RESET') {
    server.aclLog.reset();
    return OK;
  }
  return server.aclLog.list(Math.max(integerOf(args, 2, NOT_AN_INTEGER, INT64_MIN), 0), nowMs);
}

function row(
  name: string,
  arity: number,
  flags: readonly CommandFlag[],
  summary: string,
  run: NonNullable<Command['run']>,
  access: Command['access'] = 'none',
): Command {
  const since = name === 'dryrun' ? '7.0.0' : '6.0.0';
  const plain = plainRow('server', { name, arity, flags, since, summary, run }, access);
  return access === 'none' ? plain : { ...plain, systemRow: USERS_KEY };
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
      row('list', 2, ADMIN, 'The users in the form of the configuration.', list, 'read'),
      row('users', 2, ADMIN, 'The names of the users.', names, 'read'),
      row('getuser', 3, ADMIN, 'What a user may do.', getUser, 'read'),
      row('setuser', -3, ADMIN, 'Creates or changes a user.', setUser, 'update'),
      row('deluser', -3, ADMIN, 'Deletes users and ends their connections.', deleteUsers, 'update'),
      row('dryrun', -4, ADMIN, 'Whether a user may run a command.', dryRun, 'read'),
      row('log', -2, ADMIN, 'What was refused to users.', log),
      row('save', 2, ADMIN, 'Refused: there is no file of users.', refusing(NO_FILE)),
      row('load', 2, ADMIN, 'Refused: there is no file of users.', refusing(NO_FILE)),
    ],
    help: [
      'WHOAMI',
      '    Return the user of this connection.',
      'LIST | USERS | GETUSER <name>',
      '    Return what is known of the users.',
      'SETUSER <name> [<rule> ...]',
      '    Create or change a user.',
      'DELUSER <name> [...]',
      '    Delete users and end their connections.',
      'CAT [<category>]',
      '    Return the categories, or the commands of one.',
      'GENPASS [<bits>]',
      '    Return a random password in hex.',
      'DRYRUN <user> <command> [<arg> ...]',
      '    Return whether the user may run the command.',
      'LOG [<count>|RESET]',
      '    Return what was refused to users of this node.',
      'SAVE | LOAD',
      '    Refused: users are kept with the data.',
    ],
  }),
];
