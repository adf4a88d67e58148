/** The password of the user `default`, compared in a time that does not depend on how much of it is right. */

import { createHash, timingSafeEqual } from 'node:crypto';
import { CommandError } from './errors.ts';
import type { Client } from './client.ts';
import type { Server } from './server-state.ts';

const WRONG_PASSWORD = 'WRONGPASS invalid username-password pair or user is disabled.';
export const DEFAULT_USER = 'default';

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** SHA-256 of the password in hex, as ACL LIST shows it. */
export function passwordHash(password: string): string {
  return digest(Buffer.from(password)).toString('hex');
}

/** Authenticates the client, or throws WRONGPASS. Without a password configured any password of the user is right. */
export function authenticate(server: Server, client: Client, user: string, password: Uint8Array): void {
  const expected = server.config.get('requirepass');
  const matches = expected === '' || timingSafeEqual(digest(password), digest(Buffer.from(expected)));
  if (user !== DEFAULT_USER || !matches) throw new CommandError(WRONG_PASSWORD);
  client.user = user;
  client.authenticated = true;
  client.connection.authenticated = true;
}
