/** What a client is told that lacks a permission, and the note of it in ACL LOG. */

import type { Denial } from './acl-user.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command } from './command.ts';
import { ErrorReply } from './reply.ts';
import type { Server } from './server-state.ts';

/** The error when the client may not make this call; undefined: it may. `name`: full, as `config|get`. */
export function deny(
  server: Server,
  client: Client,
  name: string,
  command: Command,
  args: Args,
): ErrorReply | undefined {
  const denial = denied(server, client, name, command, args, client.queue === undefined ? 'toplevel' : 'multi');
  if (denial === undefined) return undefined;
  if (denial.reason === 'command') {
    return new ErrorReply(`NOPERM this user has no permissions to run the '${denial.object}' command`);
  }
  return new ErrorReply(`NOPERM this user has no permissions to access one of the ${denial.reason}s used as arguments`);
}

/** The same of a call that a script of the client makes. */
export function denyScript(
  server: Server,
  client: Client,
  name: string,
  command: Command,
  args: Args,
): ErrorReply | undefined {
  const denial = denied(server, client, name, command, args, 'lua');
  if (denial === undefined) return undefined;
  if (denial.reason === 'command') {
    return new ErrorReply("ERR The user executing the script can't run this command or subcommand");
  }
  return new ErrorReply(
    `ERR The user executing the script can't access at least one of the ${denial.reason}s mentioned in the command arguments`,
  );
}

/** Why the call is not allowed, noted in ACL LOG. */
function denied(
  server: Server,
  client: Client,
  name: string,
  command: Command,
  args: Args,
  context: 'toplevel' | 'multi' | 'lua',
): Denial | undefined {
  const denial = client.permissions?.denial(name, command, args);
  if (denial === undefined) return undefined;
  const { reason, object } = denial;
  server.aclLog.add(client, server.env.clock.wallMs(), { reason, context, object, username: client.user });
  return denial;
}
