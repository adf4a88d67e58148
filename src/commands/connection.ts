/** PING ECHO AUTH HELLO SELECT QUIT RESET READONLY READWRITE ASKING: a client about its own connection. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command, Context } from './command.ts';
import { CommandError, SYNTAX_ERROR, wrongArity } from './errors.ts';
import { databaseAt } from './key-row.ts';
import { parseInt64 } from './number.ts';
import { DEFAULT_USER } from './acl-users.ts';
import { authenticate, isOpenToAll } from './password.ts';
import { MapReply, OK, PONG, type Reply, SimpleString } from './reply.ts';
import { EARLY, FAST, plainRow, type PlainRow } from './server-row.ts';
import { REDIS_VERSION, type Server } from './server-state.ts';
import { forgetTransaction } from './transaction.ts';

const NO_PASSWORD_CONFIGURED =
  'ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?';
const HELLO_WITHOUT_AUTH =
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time';
export const BAD_CLIENT_NAME = 'ERR Client names cannot contain spaces, newlines or special characters.';

function ping(_view: View, args: Args, { client }: Context): Reply {
  if (args.count > 2) throw new CommandError(wrongArity('ping'));
  if (client.subscriptions !== undefined && client.protocol === 2) return ['pong', args.count === 1 ? '' : args.at(1)];
  return args.count === 1 ? PONG : args.at(1);
}

function auth(_view: View, args: Args, { client, server }: Context): Reply {
  if (args.count > 3) throw new CommandError(SYNTAX_ERROR);
  if (args.count === 2 && isOpenToAll(server)) throw new CommandError(NO_PASSWORD_CONFIGURED);
  const user = args.count === 2 ? DEFAULT_USER : args.utf8(1);
  authenticate(server, client, user, args.at(args.count - 1));
  return OK;
}

/** What HELLO asks for beside the protocol. */
interface HelloOptions {
  auth: { readonly user: string; readonly password: Uint8Array } | undefined;
  name: string | undefined;
}

function helloOptions(args: Args): HelloOptions {
  const options: HelloOptions = { auth: undefined, name: undefined };
  for (let i = 2; i < args.count; i++) {
    const name = args.upper(i);
    if (name === 'AUTH' && i + 2 < args.count) {
      options.auth = { user: args.utf8(i + 1), password: args.at(i + 2) };
      i += 2;
    } else if (name === 'SETNAME' && i + 1 < args.count) {
      options.name = clientName(args, i + 1);
      i += 1;
    } else throw new CommandError(`ERR Syntax error in HELLO option '${args.text(i)}'`);
  }
  return options;
}

/** Word i as the name of a client: printable ASCII without spaces. */
export function clientName(args: Args, i: number): string {
  const name = args.text(i);
  if (/[^!-~]/.test(name)) throw new CommandError(BAD_CLIENT_NAME);
  return name;
}

function hello(_view: View, args: Args, { client, server }: Context): Reply {
  let { protocol } = client;
  if (args.count > 1) {
    const asked = parseInt64(args.bytes, args.starts[1] as number, args.ends[1] as number);
    if (asked === undefined) throw new CommandError('ERR Protocol version is not an integer or out of range');
    if (asked !== 2 && asked !== 3) throw new CommandError('NOPROTO unsupported protocol version');
    protocol = asked;
  }
  const options = helloOptions(args);
  if (options.auth !== undefined) authenticate(server, client, options.auth.user, options.auth.password);
  if (!client.authenticated) throw new CommandError(HELLO_WITHOUT_AUTH);
  if (options.name !== undefined) client.name = options.name;
  client.protocol = protocol;
  client.connection.setProtocol(protocol);
  return new MapReply([
    ['server', 'redis'],
    ['version', REDIS_VERSION],
    ['proto', protocol],
    ['id', client.id],
    ['mode', 'standalone'],
    ['role', 'master'],
    ['modules', []],
  ]);
}

function select(_view: View, args: Args, { client, server }: Context): Reply {
  client.database = databaseAt(args, 1, server.settings.databases);
  return OK;
}

function quit(_view: View, _args: Args, { client }: Context): Reply {
  client.connection.closeAfterReply();
  return OK;
}

/** The connection as it was when it was new. */
export function resetClient(server: Server, client: Client): void {
  forgetTransaction(client);
  server.monitors.remove(client);
  server.pubsub.drop(client);
  server.tracking.end(client);
  client.connection.setReplyMode('on');
  client.connection.setProtocol(2);
  client.protocol = 2;
  client.database = 0;
  client.name = '';
  client.readonly = false;
  client.cluster.reset();
  client.noEvict = false;
  client.noTouch = false;
  client.user = DEFAULT_USER;
  client.authenticated = false;
  client.connection.authenticated = false;
  const standard = server.users.find(DEFAULT_USER);
  if (standard !== undefined && isOpenToAll(server)) server.users.become(client, standard);
}

function reset(_view: View, _args: Args, { client, server }: Context): Reply {
  resetClient(server, client);
  return new SimpleString('RESET');
}

/** Reads at level `one` from now on, or not; one node always answers with the newest. */
function setReadonly(readonly: boolean): Command['run'] {
  return (_view, _args, { client }) => {
    client.readonly = readonly;
    return OK;
  };
}

const rows: readonly PlainRow[] = [
  {
    name: 'ping',
    arity: -1,
    flags: ['fast'],
    since: '1.0.0',
    summary: 'Answers PONG, or the word it is given.',
    run: ping,
  },
  {
    name: 'echo',
    arity: 2,
    flags: FAST,
    since: '1.0.0',
    summary: 'Answers the word it is given.',
    run: (_, args) => args.at(1),
  },
  {
    name: 'auth',
    arity: -2,
    flags: EARLY,
    since: '1.0.0',
    summary: 'Authenticates the connection.',
    complexity: 'O(N) for N passwords of the user',
    run: auth,
  },
  {
    name: 'hello',
    arity: -1,
    flags: EARLY,
    since: '6.0.0',
    summary: 'Chooses the protocol, and authenticates and names the connection.',
    run: hello,
  },
  {
    name: 'select',
    arity: 2,
    flags: FAST,
    since: '1.0.0',
    summary: 'Chooses the database of the connection.',
    run: select,
  },
  { name: 'quit', arity: -1, flags: EARLY, since: '1.0.0', summary: 'Closes the connection.', run: quit },
  {
    name: 'reset',
    arity: 1,
    flags: EARLY,
    since: '6.2.0',
    summary: 'Makes the connection as good as new.',
    run: reset,
  },
  {
    name: 'readonly',
    arity: 1,
    flags: FAST,
    since: '3.0.0',
    summary: 'Lets reads be answered by any copy.',
    run: setReadonly(true) as NonNullable<Command['run']>,
  },
  {
    name: 'readwrite',
    arity: 1,
    flags: FAST,
    since: '3.0.0',
    summary: 'Takes READONLY back.',
    run: setReadonly(false) as NonNullable<Command['run']>,
  },
  {
    name: 'asking',
    arity: 1,
    flags: ['fast'],
    since: '3.0.0',
    summary: 'Accepted for clients of Redis Cluster; changes nothing.',
    run: () => OK,
  },
];

export const connectionCommands: readonly Command[] = rows.map((row) =>
  plainRow('connection', { ...row, categories: ['connection'] }),
);
