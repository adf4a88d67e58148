/** CLIENT KILL and CLIENT LIST: which clients are meant. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import { clientLine, type ClientType, clientType, typeOf } from './client-list.ts';
import type { Context } from './command.ts';
import { CommandError } from './errors.ts';
import { DEFAULT_USER } from './acl-users.ts';
import { OK, type Reply, VerbatimReply } from './reply.ts';
import { INT64_MIN } from './number.ts';
import { integerOf, syntaxError } from './server-row.ts';
import type { Server } from './server-state.ts';

function typeAt(args: Args, i: number): ClientType {
  const type = clientType(args.text(i));
  if (type === undefined) throw new CommandError(`ERR Unknown client type '${args.text(i)}'`);
  return type;
}

/** Ends the connection; the client that runs the command gets its reply first. */
function kill(server: Server, client: Client, caller: Client): void {
  // Nothing is taken any more for a command of it that waits.
  server.blocked.drop(client);
  if (client === caller) client.connection.closeAfterReply();
  else client.connection.close();
}

export function killClients(_view: View, args: Args, { client, server }: Context): Reply {
  if (args.count === 3) return killByAddress(server, client, args.text(2));
  const meant = filterOf(args);
  let killed = 0;
  for (const candidate of server.clients.values()) {
    if (!meant(candidate, client)) continue;
    kill(server, candidate, client);
    killed++;
  }
  return killed;
}

/** The old form: one address, an error if there is no such client, and the caller may kill itself. */
function killByAddress(server: Server, caller: Client, address: string): Reply {
  for (const candidate of server.clients.values()) {
    if (candidate.connection.peer !== address) continue;
    kill(server, candidate, caller);
    return OK;
  }
  throw new CommandError('ERR No such client');
}

type Filter = (candidate: Client, caller: Client) => boolean;

/** The filters from word 2 on: a client is meant when all of them say so. */
function filterOf(args: Args): Filter {
  const filters: Filter[] = [];
  let skipsCaller = true;
  for (let i = 2; i < args.count; i += 2) {
    if (i + 1 >= args.count) throw syntaxError();
    const name = args.upper(i);
    if (name === 'SKIPME') skipsCaller = yesOrNo(args, i + 1);
    else filters.push(filter(name, args, i + 1));
  }
  return (candidate, caller) =>
    !(skipsCaller && candidate === caller) && filters.every((matches) => matches(candidate, caller));
}

function yesOrNo(args: Args, i: number): boolean {
  const word = args.upper(i);
  if (word !== 'YES' && word !== 'NO') throw syntaxError();
  return word === 'YES';
}

function filter(name: string, args: Args, i: number): Filter {
  const value = args.text(i);
  switch (name) {
    case 'ID': {
      const id = integerOf(args, i, 'ERR client-id should be greater than 0', 1);
      return (candidate) => candidate.id === id;
    }
    case 'TYPE': {
      const type = typeAt(args, i);
      return (candidate) => typeOf(candidate) === type;
    }
    case 'ADDR':
      return (candidate) => candidate.connection.peer === value;
    case 'LADDR':
      return (candidate) => candidate.connection.local === value;
    case 'USER': {
      if (value !== DEFAULT_USER) throw new CommandError(`ERR No such user '${args.text(i)}'`);
      return (candidate) => candidate.user === value;
    }
    default:
      throw syntaxError();
  }
}

export function listClients(_view: View, args: Args, { server }: Context): Reply {
  const lines = chosen(server, args).map((client) => `${clientLine(server, client)}\n`);
  return new VerbatimReply('txt', lines.join(''));
}

function chosen(server: Server, args: Args): Client[] {
  const all = [...server.clients.values()];
  if (args.count === 2) return all;
  const option = args.upper(2);
  if (option === 'TYPE' && args.count === 4) {
    const type = typeAt(args, 3);
    return all.filter((client) => typeOf(client) === type);
  }
  if (option !== 'ID' || args.count < 4) throw syntaxError();
  const ids = Array.from({ length: args.count - 3 }, (_, i) =>
    integerOf(args, i + 3, 'ERR Invalid client ID', INT64_MIN),
  );
  return ids.flatMap((id) => server.clients.get(id) ?? []);
}
