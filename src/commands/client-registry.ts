/**
 * Who may connect: `maxclients`, protected mode, and the clients that are connected.
 *
 * Invariant: `server.clients` holds exactly the clients that were admitted and whose connection is not gone.
 */

import { DEFAULT_USER } from './acl-users.ts';
import { Client, type ClientConnection } from './client.ts';
import { MAX_CLIENTS, PROTECTED_MODE } from './errors-server.ts';
import { ErrorReply } from './reply.ts';
import type { Server } from './server-state.ts';

/** The client of a new connection, or why it is refused. */
export function admit(server: Server, connection: ClientConnection): Client | ErrorReply {
  const { config } = server;
  if (server.clients.size >= config.get('maxclients')) return new ErrorReply(MAX_CLIENTS);
  const standard = server.users.find(DEFAULT_USER);
  const needsPassword = standard === undefined ? config.get('requirepass') !== '' : !standard.isOn || !standard.isOpen;
  if (config.get('protected-mode') && !needsPassword && !isLoopback(connection.peer)) {
    return new ErrorReply(PROTECTED_MODE);
  }
  const client = new Client({
    id: server.nextClientId(),
    server,
    connection,
    nowMs: server.env.clock.wallMs(),
    authenticated: !needsPassword,
  });
  connection.authenticated = client.authenticated;
  if (!needsPassword && standard !== undefined) server.users.become(client, standard);
  server.clients.set(client.id, client);
  return client;
}

/** The connection of the client is gone. */
export function dismiss(server: Server, client: Client): void {
  server.clients.delete(client.id);
  server.monitors.remove(client);
  server.pubsub.drop(client);
  server.blocked.drop(client);
  server.tracking.end(client);
}

/** `peer`: `127.0.0.1:4711`, `[::1]:4711`. */
export function isLoopback(peer: string): boolean {
  return peer.startsWith('127.') || peer.startsWith('[::1]:');
}
