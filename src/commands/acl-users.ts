/**
 * The users of the server. `default` is always there; its password is the option `requirepass`. The others, and what
 * `default` may do, are a row of our own in database 255, so that they are as durable, and in a cluster as shared, as any
 * row: lines as ACL LIST shows them.
 *
 * Invariant: `client.permissions` is the user of the client, or undefined when it may do everything, so that a server
 * without restricted users pays one comparison a command.
 */

import { textOf, utf8 } from '../bytes.ts';
import { Miss } from '../repl/miss.ts';
import { SYSTEM_DATABASE } from '../repl/row-key.ts';
import type { View } from '../repl/view.ts';
import { AclUser, type CommandNames, joinSelectors } from './acl-user.ts';
import type { Client } from './client.ts';
import type { Command } from './command.ts';
import { isPassword, passwordHash } from './password-hash.ts';
import type { Server } from './server-state.ts';

export const DEFAULT_USER = 'default';

/** The key of the row, in database 255. */
export const USERS_KEY: Uint8Array = utf8('users');

export class AclUsers {
  private readonly server: Server;
  private users = new Map<string, AclUser>();
  private commandNames: CommandNames | undefined = undefined;
  private stamp = -1;
  /** When the row was read last in a cluster, in ms of the monotonic clock. */
  readAtMs = Number.NEGATIVE_INFINITY;

  constructor(server: Server) {
    this.server = server;
  }

  /** Every command by its full name. */
  get names(): CommandNames {
    this.commandNames ??= new Map(
      this.server.commands.flatMap((command): [string, Command][] => [
        [command.name, command],
        ...(command.subcommands ?? []).map((sub): [string, Command] => [`${command.name}|${sub.name}`, sub]),
      ]),
    );
    return this.commandNames;
  }

  /** By name; a copy may be changed and is nobody's. */
  list(): AclUser[] {
    return [...this.users.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): AclUser | undefined {
    return this.users.get(name);
  }

  /** The password of `default` has changed. */
  setPassword(password: string): void {
    const user = this.users.get(DEFAULT_USER);
    // Before the table of commands is complete there is nobody.
    if (user === undefined) return;
    user.passwords.clear();
    user.isOpen = password === '';
    if (password !== '') user.passwords.add(passwordHash(Buffer.from(password)));
  }

  /** The user with this name and password; undefined: there is none, or it is off. */
  login(name: string, password: Uint8Array): AclUser | undefined {
    const user = this.users.get(name);
    if (user === undefined || !user.isOn) return undefined;
    if (user.isOpen) return user;
    let isRight = false;
    // All of them, whichever is right.
    for (const hash of user.passwords) if (isPassword(password, hash)) isRight = true;
    return isRight ? user : undefined;
  }

  /** Makes the client this user. */
  become(client: Client, user: AclUser): void {
    client.user = user.name;
    client.permissions = user.isEverything ? undefined : user;
    client.authenticated = true;
    client.connection.authenticated = true;
  }

  /** When the node starts: reads the row that stands at this node, from disk if need be. */
  async load(): Promise<void> {
    const { keyspace, env } = this.server;
    for (;;) {
      const view = keyspace.newView();
      view.begin(0, env.clock.wallMs());
      try {
        this.followView(view);
        return;
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        await thrown.load();
      }
    }
  }

  /** Follows the row as the view sees it. Throws `Miss`. */
  private followView(view: View): void {
    const row = view.row(USERS_KEY, SYSTEM_DATABASE);
    const stamp = row.live ? row.before.modifiedStamp : 0;
    if (!row.dirty && stamp === this.stamp) return;
    this.follow(row.live ? view.string(row) : new Uint8Array(0), row.dirty ? -1 : stamp);
  }

  /** The users are those in the value of the row. `stamp`: of the row; as before: nothing is done. */
  follow(value: Uint8Array, stamp: number): void {
    if (stamp === this.stamp && stamp >= 0) return;
    this.stamp = stamp;
    const users = new Map<string, AclUser>();
    users.set(DEFAULT_USER, openUser(this.names));
    for (const line of textOf(value)
      .split('\n')
      .filter((each) => each !== '')) {
      const user = parseUser(line, this.names);
      users.set(user.name, user);
    }
    this.users = users;
    this.setPassword(this.server.config.get('requirepass'));
    this.followClients();
  }

  /** Those whose user is gone, or off, lose their connection; the others their rights as they are now. */
  private followClients(): void {
    for (const client of this.server.clients.values()) {
      if (!client.authenticated) continue;
      const user = this.users.get(client.user);
      if (user === undefined) client.connection.closeAfterReply();
      else client.permissions = user.isEverything ? undefined : user;
    }
  }
}

/** `default` as it is when nobody has said otherwise. */
function openUser(names: CommandNames): AclUser {
  const user = new AclUser(DEFAULT_USER);
  for (const rule of ['on', 'nopass', '~*', '&*', '+@all']) user.apply(rule, names);
  return user;
}

/** A user from its line: its name, then its rules. Throws `CommandError`. */
export function parseUser(line: string, names: CommandNames): AclUser {
  const [name = '', ...rules] = line.split(' ');
  const user = new AclUser(name);
  for (const rule of joinSelectors(rules)) user.apply(rule, names);
  return user;
}

/** The lines of users as the row keeps them. */
export function linesOf(users: readonly AclUser[]): Uint8Array {
  return utf8(users.map((user) => `${user.name} ${user.describe()}`).join('\n'));
}
