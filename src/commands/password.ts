/** Logging in: AUTH, and HELLO with AUTH. */

import { DEFAULT_USER } from './acl-users.ts';
import type { Client } from './client.ts';
import { CommandError } from './errors.ts';
import type { Server } from './server-state.ts';

const WRONG_PASSWORD = 'WRONGPASS invalid username-password pair or user is disabled.';

/** Whether the user `default` needs no password. */
export function isOpenToAll(server: Server): boolean {
  const standard = server.users.find(DEFAULT_USER);
  return standard?.isOn === true && standard.isOpen;
}

/** Authenticates the client, or throws WRONGPASS. Without a password configured any password of `default` is right. */
export function authenticate(server: Server, client: Client, name: string, password: Uint8Array): void {
  const user = server.users.login(name, password);
  if (user === undefined) {
    const what = { reason: 'auth', context: 'toplevel', object: 'auth', username: name } as const;
    server.aclLog.add(client, server.env.clock.wallMs(), what);
    throw new CommandError(WRONG_PASSWORD);
  }
  server.users.become(client, user);
}
