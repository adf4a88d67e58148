/**
 * Caches of clients (CLIENT TRACKING): who has read which keys, and who is told that they have changed.
 *
 * ```
 * a read of a tracking client ─▶ the key remembers the client ─▶ the key changes: `invalidate`, once, and is forgotten
 * BCAST: a key with one of the client's prefixes changes ─▶ `invalidate`, with all such keys of a turn
 * ```
 *
 * Only changes of this node are seen, so in a cluster of several nodes tracking is refused rather than incomplete; when a node
 * becomes part of one, its clients are told to forget everything, and tracking ends.
 *
 * Invariants:
 * - A client is noted for a key before the key is read, so that no change falls in between.
 * - The table has at most `tracking-table-max-keys` keys: what is pushed out is invalidated.
 * - What a client did itself reaches it behind the reply of that command.
 */

import { latin1 } from '../bytes.ts';
import { keyOfHead } from '../repl/row-key.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command } from './command.ts';
import { PushReply, type Reply } from './reply.ts';
import { keyIndexes } from './table.ts';

const INVALIDATE = Buffer.from('invalidate');
const BROKEN = Buffer.from('tracking-redir-broken');
const MESSAGE = Buffer.from('message');
const CHANNEL = Buffer.from('__redis__:invalidate');

/** How one client is told. */
export class Tracking {
  /** Number of the client that is told in its place; 0: itself. */
  redirect = 0;
  isBroadcast = false;
  isOptIn = false;
  isOptOut = false;
  isNoLoop = false;
  /** The client that should be told is gone. */
  isBroken = false;
  /** CLIENT CACHING was given for the next command. */
  isNamed = false;
  /** With BCAST: of the keys that it is told of; a byte a character. */
  readonly prefixes = new Set<string>();
}

interface Prefix {
  readonly clients: Set<Client>;
  /** Keys that have changed in this turn, and by whom. */
  readonly changed: Map<string, Client | undefined>;
}

export class TrackingFeed {
  /** Clients that track. */
  readonly clients = new Set<Client>();
  private readonly all: ReadonlyMap<number, Client>;
  /** Numbers of the clients that have read a key. */
  private readonly readers = new Map<string, Set<number>>();
  private readonly prefixes = new Map<string, Prefix>();
  /** `tracking-table-max-keys`; 0: as many as there are. */
  maxKeys = 0;
  /** Clients noted for keys, all together. */
  items = 0;
  private isFlushPlanned = false;
  private late: (() => void)[] = [];

  /** `all`: every client by its number. */
  constructor(all: ReadonlyMap<number, Client>) {
    this.all = all;
  }

  get isActive(): boolean {
    return this.clients.size > 0;
  }

  get keyCount(): number {
    return this.readers.size;
  }

  get prefixCount(): number {
    return this.prefixes.size;
  }

  /** Tells of the keys with these prefixes; a byte a character. */
  addPrefixes(client: Client, tracking: Tracking, prefixes: readonly string[]): void {
    for (const text of prefixes) {
      tracking.prefixes.add(text);
      let prefix = this.prefixes.get(text);
      if (prefix === undefined) this.prefixes.set(text, (prefix = { clients: new Set(), changed: new Map() }));
      prefix.clients.add(client);
    }
  }

  /** The client tracks no more, or is gone. What it has read is forgotten when it changes. */
  end(client: Client): void {
    const { tracking } = client;
    if (tracking === undefined) return;
    client.tracking = undefined;
    this.clients.delete(client);
    for (const text of tracking.prefixes) {
      const prefix = this.prefixes.get(text) as Prefix;
      prefix.clients.delete(client);
      if (prefix.clients.size === 0) this.prefixes.delete(text);
    }
    if (this.clients.size === 0) this.forgetReaders();
  }

  /** Everything is to be forgotten, and nobody tracks any more: rows change at other nodes too from now on. */
  endAll(): void {
    this.flushed(undefined);
    for (const client of this.clients) this.end(client);
  }

  /** Before a command of a tracking client reads its keys. */
  note(client: Client, command: Command, args: Args): void {
    const { tracking } = client;
    if (tracking === undefined || tracking.isBroadcast || !command.flags.includes('readonly')) return;
    if ((tracking.isOptIn && !tracking.isNamed) || (tracking.isOptOut && tracking.isNamed)) return;
    for (const i of keyIndexes(command, args)) this.remember(client, args.text(i));
    if (this.maxKeys > 0) this.makeRoom();
  }

  /** A view was committed. `by`: whose command it was. */
  committed(view: View, by: Client | undefined): void {
    if (view.flushes.size > 0 || view.databases !== undefined) this.flushed(by);
    for (let i = 0; i < view.rowCount; i++) {
      const row = view.rows[i] as Row;
      if (row.dirty) this.changed(keyOfHead(row.head.subarray(0, row.headLength)), by);
    }
  }

  /** A key has changed. */
  changed(key: Uint8Array, by: Client | undefined): void {
    const text = latin1(key);
    const readers = this.readers.get(text);
    if (readers !== undefined) {
      this.forget(text, readers);
      for (const id of readers) {
        const reader = this.all.get(id);
        const tracking = reader?.tracking;
        if (
          reader === undefined ||
          tracking === undefined ||
          tracking.isBroadcast ||
          (tracking.isNoLoop && reader === by)
        )
          continue;
        this.tell(reader, [key], by);
      }
    }
    for (const [start, { changed }] of this.prefixes) if (text.startsWith(start)) changed.set(text, by);
    if (this.prefixes.size > 0) this.plan();
  }

  // --- telling -----------------------------------------------------------------------------------------------------

  /** Everything has changed. */
  private flushed(by: Client | undefined): void {
    this.forgetReaders();
    for (const client of this.clients) this.tell(client, null, by);
  }

  private tell(client: Client, keys: Reply, by: Client | undefined): void {
    if (client !== by) this.send(client, keys);
    else {
      this.late.push(() => this.send(client, keys));
      this.plan();
    }
  }

  /** What waits for the end of the running command, or of the turn, is sent then. */
  private plan(): void {
    if (this.isFlushPlanned) return;
    this.isFlushPlanned = true;
    void Promise.resolve().then(() => this.flush());
  }

  private flush(): void {
    this.isFlushPlanned = false;
    const { late } = this;
    this.late = [];
    for (const send of late) send();
    for (const { clients, changed } of this.prefixes.values()) {
      if (changed.size === 0) continue;
      const sorted = [...changed].toSorted(([a], [b]) => (a < b ? -1 : 1));
      changed.clear();
      for (const client of clients) {
        const isNoLoop = client.tracking?.isNoLoop === true;
        const told = isNoLoop ? sorted.filter(([, by]) => by !== client) : sorted;
        if (told.length > 0)
          this.send(
            client,
            told.map(([key]) => Buffer.from(key, 'latin1')),
          );
      }
    }
  }

  private send(client: Client, keys: Reply): void {
    const { tracking } = client;
    if (tracking === undefined) return;
    let target = client;
    if (tracking.redirect !== 0) {
      const other = this.all.get(tracking.redirect);
      if (other === undefined) {
        tracking.isBroken = true;
        if (client.protocol === 3) client.connection.push(new PushReply([BROKEN, tracking.redirect]));
        return;
      }
      target = other;
    }
    if (target.protocol === 3) target.connection.push(new PushReply([INVALIDATE, keys]));
    else if (target !== client && target.subscriptions !== undefined) {
      target.connection.push(new PushReply([MESSAGE, CHANNEL, keys]));
    }
  }

  // --- the table ---------------------------------------------------------------------------------------------------

  private remember(client: Client, key: string): void {
    let readers = this.readers.get(key);
    if (readers === undefined) this.readers.set(key, (readers = new Set()));
    if (readers.has(client.id)) return;
    readers.add(client.id);
    this.items++;
  }

  private forget(key: string, readers: ReadonlySet<number>): void {
    this.readers.delete(key);
    this.items -= readers.size;
  }

  private forgetReaders(): void {
    this.readers.clear();
    this.items = 0;
  }

  /** The keys that were read first are pushed out. */
  private makeRoom(): void {
    for (const key of this.readers.keys()) {
      if (this.readers.size <= this.maxKeys) return;
      this.changed(Buffer.from(key, 'latin1'), undefined);
    }
  }
}
