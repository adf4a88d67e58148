import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientConnection } from '../../src/commands/client.ts';
import { admit, dismiss, isLoopback } from '../../src/commands/client-registry.ts';
import { ErrorReply } from '../../src/commands/reply.ts';
import { CommandRunner } from '../support/command-runner.ts';

function connectionFrom(peer: string): ClientConnection {
  return { peer, local: '10.0.0.1:6379', authenticated: false } as ClientConnection;
}

test('loopback is an address, not a name that looks like one', () => {
  for (const peer of ['127.0.0.1:1', '127.9.9.9:1', '[::1]:1']) assert.ok(isLoopback(peer), peer);
  for (const peer of ['10.0.0.1:1', '[::2]:1', '[fe80::1]:1', '1.127.0.0:1', '?:0']) assert.ok(!isLoopback(peer), peer);
});

test('protected mode lets in loopback clients only, until there is a password or it is off', async () => {
  const { server } = new CommandRunner();
  const refused = admit(server, connectionFrom('10.0.0.2:4711'));
  assert.ok(refused instanceof ErrorReply);
  assert.match(refused.message, /^DENIED Redis is running in protected mode/);
  assert.ok(!(admit(server, connectionFrom('127.0.0.1:4711')) instanceof ErrorReply));
  await server.config.set([['requirepass', 'p']]);
  const guest = admit(server, connectionFrom('10.0.0.2:4711'));
  assert.ok(!(guest instanceof ErrorReply));
  assert.deepEqual([guest.authenticated, guest.connection.authenticated], [false, false]);
  await server.config.set([
    ['requirepass', ''],
    ['protected-mode', 'no'],
  ]);
  const open = admit(server, connectionFrom('10.0.0.2:4711'));
  assert.ok(!(open instanceof ErrorReply) && open.authenticated && open.connection.authenticated);
});

test('maxclients counts those that are there, and ids are never given twice', async () => {
  const { server } = new CommandRunner();
  await server.config.set([['maxclients', '2']]);
  const first = admit(server, connectionFrom('127.0.0.1:1'));
  const second = admit(server, connectionFrom('127.0.0.1:2'));
  assert.ok(!(first instanceof ErrorReply) && !(second instanceof ErrorReply));
  const third = admit(server, connectionFrom('127.0.0.1:3'));
  assert.ok(third instanceof ErrorReply && third.message === 'ERR max number of clients reached');
  dismiss(server, first);
  const fourth = admit(server, connectionFrom('127.0.0.1:4'));
  assert.ok(!(fourth instanceof ErrorReply) && fourth.id > second.id);
  assert.deepEqual([...server.clients.keys()], [second.id, fourth.id]);
});
