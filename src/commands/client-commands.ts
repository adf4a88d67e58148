/** CLIENT: connections seen and steered from inside. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import { killClients, listClients } from './client-kill.ts';
import { clientLine } from './client-list.ts';
import type { Command, Context } from './command.ts';
import { BAD_CLIENT_NAME, clientName } from './connection.ts';
import { CommandError } from './errors.ts';
import { NO_REPLY, OK, type Reply, VerbatimReply } from './reply.ts';
import { INT64_MIN } from './number.ts';
import {
  ADMIN,
  container,
  integerOf,
  OPEN,
  plainRow,
  type PlainRow,
  syntaxError,
  wrongSubcommand,
} from './server-row.ts';
import { redirectOf, setCaching, setTracking, trackingInfo } from './tracking.ts';

function info(_view: View, _args: Args, { client, server }: Context): Reply {
  return new VerbatimReply('txt', `${clientLine(server, client)}\n`);
}

function setName(_view: View, args: Args, { client }: Context): Reply {
  client.name = clientName(args, 2);
  return OK;
}

/** As Redis 7.2. */
function setInfo(_view: View, args: Args, { client }: Context): Reply {
  const attribute = args.upper(2);
  if (attribute !== 'LIB-NAME' && attribute !== 'LIB-VER') {
    throw new CommandError(`ERR Unrecognized option '${args.text(2)}'`);
  }
  const value = args.text(3);
  if (/[^!-~]/.test(value)) throw new CommandError(BAD_CLIENT_NAME.replace('Client names', attribute.toLowerCase()));
  if (attribute === 'LIB-NAME') client.libraryName = value;
  else client.libraryVersion = value;
  return OK;
}

function pause(_view: View, args: Args, { server }: Context): Reply {
  const timeoutMs = integerOf(
    args,
    2,
    'ERR timeout is not an integer or out of range',
    INT64_MIN,
    Number.MAX_SAFE_INTEGER,
  );
  if (timeoutMs < 0) throw new CommandError('ERR timeout is negative');
  if (args.count > 4) throw wrongSubcommand(args);
  const mode = args.count === 4 ? args.upper(3) : 'ALL';
  if (mode !== 'ALL' && mode !== 'WRITE') throw new CommandError('ERR CLIENT PAUSE mode must be WRITE or ALL');
  server.pause.begin(mode === 'ALL' ? 'all' : 'write', server.env.clock.wallMs() + timeoutMs);
  return OK;
}

function unpause(_view: View, _args: Args, { server }: Context): Reply {
  server.pause.end();
  return OK;
}

function reply(_view: View, args: Args, { client }: Context): Reply {
  switch (args.upper(2)) {
    case 'ON':
      client.connection.setReplyMode('on');
      return OK;
    case 'OFF':
      client.connection.setReplyMode('off');
      return NO_REPLY;
    case 'SKIP':
      if (client.connection.replyMode !== 'off') client.connection.setReplyMode('skip');
      return NO_REPLY;
    default:
      throw syntaxError();
  }
}

function unblock(_view: View, args: Args, { server }: Context): Reply {
  if (args.count > 4) throw wrongSubcommand(args);
  if (args.count === 4 && args.upper(3) !== 'TIMEOUT' && args.upper(3) !== 'ERROR') {
    throw new CommandError('ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR');
  }
  const id = integerOf(args, 2, 'ERR value is not an integer or out of range', INT64_MIN);
  const client = server.clients.get(id);
  const withError = args.count === 4 && args.upper(3) === 'ERROR';
  return client !== undefined && server.blocked.unblock(client, withError) ? 1 : 0;
}

/** ON or OFF in word 2. */
function onOff(args: Args): boolean {
  const word = args.upper(2);
  if (word !== 'ON' && word !== 'OFF') throw syntaxError();
  return word === 'ON';
}

function noEvict(_view: View, args: Args, { client }: Context): Reply {
  client.noEvict = onOff(args);
  return OK;
}

function noTouch(_view: View, args: Args, { client }: Context): Reply {
  client.noTouch = onOff(args);
  return OK;
}

const own: readonly PlainRow[] = [
  {
    name: 'id',
    arity: 2,
    flags: OPEN,
    since: '5.0.0',
    summary: 'The number of this connection.',
    run: (_, _args, { client }) => client.id,
  },
  { name: 'info', arity: 2, flags: OPEN, since: '6.2.0', summary: 'What is known of this connection.', run: info },
  {
    name: 'getname',
    arity: 2,
    flags: OPEN,
    since: '2.6.9',
    summary: 'The name of this connection.',
    run: (_, _args, { client }) => (client.name === '' ? null : client.name),
  },
  { name: 'setname', arity: 3, flags: OPEN, since: '2.6.9', summary: 'Names this connection.', run: setName },
  {
    name: 'setinfo',
    arity: 4,
    flags: OPEN,
    since: '7.2.0',
    summary: 'Tells the name or the version of the client library.',
    run: setInfo,
  },
  {
    name: 'reply',
    arity: 3,
    flags: OPEN,
    since: '3.2.0',
    summary: 'Turns replies to this connection on or off, or skips the next.',
    run: reply,
  },
  {
    name: 'tracking',
    arity: -3,
    flags: OPEN,
    since: '6.0.0',
    summary: 'Tells the connection, or another one, when keys change that it has read.',
    run: setTracking,
  },
  {
    name: 'trackinginfo',
    arity: 2,
    flags: OPEN,
    since: '6.2.0',
    summary: 'How this connection tracks keys.',
    run: trackingInfo,
  },
  {
    name: 'caching',
    arity: 3,
    flags: OPEN,
    since: '6.0.0',
    summary: 'Whether the keys of the next command are tracked.',
    run: setCaching,
  },
  {
    name: 'getredir',
    arity: 2,
    flags: OPEN,
    since: '6.0.0',
    summary: 'The connection that is told of keys in place of this one.',
    run: (_view, _args, { client }) => redirectOf(client),
  },
  {
    name: 'no-touch',
    arity: 3,
    flags: OPEN,
    since: '7.2.0',
    summary: 'Accepted; times of last access are not kept.',
    run: noTouch,
  },
];

const others: readonly PlainRow[] = [
  {
    name: 'list',
    arity: -2,
    flags: ADMIN,
    since: '2.4.0',
    summary: 'The open connections.',
    complexity: 'O(N) for N connections',
    run: listClients,
  },
  {
    name: 'kill',
    arity: -3,
    flags: ADMIN,
    since: '2.4.0',
    summary: 'Closes connections.',
    complexity: 'O(N) for N connections',
    run: killClients,
  },
  {
    name: 'pause',
    arity: -3,
    flags: ADMIN,
    since: '3.0.0',
    summary: 'Makes commands, or those that write, wait for a time.',
    run: pause,
  },
  {
    name: 'unpause',
    arity: 2,
    flags: ADMIN,
    since: '6.2.0',
    summary: 'Ends CLIENT PAUSE.',
    complexity: 'O(N) for N waiting commands',
    run: unpause,
  },
  {
    name: 'unblock',
    arity: -3,
    flags: ADMIN,
    since: '5.0.0',
    summary: 'Ends the waiting of a blocked connection.',
    run: unblock,
  },
  {
    name: 'no-evict',
    arity: 3,
    flags: ADMIN,
    since: '7.0.0',
    summary: 'Accepted; connections are not evicted.',
    run: noEvict,
  },
];

export const clientCommands: readonly Command[] = [
  container({
    name: 'client',
    group: 'connection',
    since: '2.4.0',
    summary: 'Connections of clients.',
    categories: ['connection'],
    subcommands: [...own, ...others].map((row) => plainRow('connection', { ...row, categories: ['connection'] })),
    help: [
      'ID',
      '    Return the number of this connection.',
      'INFO',
      '    Return what is known of this connection.',
      'LIST [TYPE <NORMAL|MASTER|REPLICA|PUBSUB>] [ID <id> [<id> ...]]',
      '    Return the open connections, one a line.',
      'GETNAME | SETNAME <name>',
      '    Return or set the name of this connection.',
      'SETINFO <LIB-NAME|LIB-VER> <value>',
      '    Tell the name or the version of the client library.',
      'KILL <ip:port>',
      'KILL <option> <value> [<option> <value> ...]',
      '    Close connections: ID <id>, ADDR <ip:port>, LADDR <ip:port>, TYPE <type>, USER <name>, SKIPME <YES|NO>.',
      'PAUSE <milliseconds> [WRITE|ALL] | UNPAUSE',
      '    Make commands wait, or end the waiting.',
      'REPLY <ON|OFF|SKIP>',
      '    Control the replies to this connection.',
      'UNBLOCK <id> [TIMEOUT|ERROR]',
      '    End the waiting of a blocked connection.',
      'NO-EVICT <ON|OFF> | NO-TOUCH <ON|OFF>',
      '    Accepted, without effect.',
      'TRACKING <ON|OFF> [REDIRECT <id>] [BCAST] [PREFIX <prefix> ...] [OPTIN] [OPTOUT] [NOLOOP]',
      'TRACKINGINFO | CACHING <YES|NO> | GETREDIR',
      '    Tell this connection, or another one, when keys change that it has read.',
    ],
  }),
];
