/** What was refused to users, for ACL LOG: the newest first; the same again within a minute counts up. */

import type { Denial } from './acl-user.ts';
import type { Client } from './client.ts';
import { clientLine } from './client-list.ts';
import type { Server } from './server-state.ts';
import { DecimalReply, MapReply, type Reply } from './reply.ts';

/** An entry that is older counts as another one when the same happens again. */
const SAME_MS = 60_000;

interface Entry {
  count: number;
  readonly reason: Denial['reason'] | 'auth';
  readonly context: 'toplevel' | 'multi' | 'lua';
  readonly object: string;
  readonly username: string;
  atMs: number;
  client: string;
}

export class AclLog {
  private entries: Entry[] = [];
  private readonly server: Server;

  constructor(server: Server) {
    this.server = server;
  }

  add(client: Client, nowMs: number, what: Pick<Entry, 'reason' | 'context' | 'object' | 'username'>): void {
    const { reason, context, object, username } = what;
    const line = clientLine(this.server, client);
    const known = this.entries.find(
      (each) =>
        each.reason === reason &&
        each.context === context &&
        each.object === object &&
        each.username === username &&
        nowMs - each.atMs <= SAME_MS,
    );
    if (known !== undefined) {
      known.count++;
      known.atMs = nowMs;
      known.client = line;
      this.entries = [known, ...this.entries.filter((each) => each !== known)];
      return;
    }
    this.entries = [{ count: 1, ...what, atMs: nowMs, client: line }, ...this.entries].slice(
      0,
      this.server.config.get('acllog-max-len'),
    );
  }

  reset(): void {
    this.entries = [];
  }

  list(count: number, nowMs: number): Reply {
    return this.entries.slice(0, count).map(
      (each) =>
        new MapReply([
          ['count', each.count],
          ['reason', each.reason],
          ['context', each.context],
          ['object', each.object],
          ['username', each.username],
          ['age-seconds', new DecimalReply(String((nowMs - each.atMs) / 1000))],
          ['client-info', each.client],
        ]),
    );
  }
}
