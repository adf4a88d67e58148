/**
 * Clients that wait for rows: BLPOP and its kin. A command that finds nothing is parked; after every commit that changed a
 * row somebody waits for, the waiters of that row are served in the order in which they came, in the same turn.
 *
 * ```
 * run finds nothing ─▶ park ─▶ table ─▶ a commit changed the row ─▶ `only` this row is tried ─▶ reply
 *                                 └─▶ the time is up, CLIENT UNBLOCK, the connection is gone
 * ```
 *
 * Where rows are shared with other nodes, blocked-far.ts tries them.
 *
 * Invariants:
 * - A waiter ends once; it has left the table and has no timer then. `client.waiting` is set exactly until then.
 * - Whether its client is still there is looked at in the turn in which an element is taken for it, so nothing is taken for
 *   a client that is known to be gone.
 * - A waiter is tried with one row at a time, the one that has changed, as Redis does.
 */

import { latin1 } from '../bytes.ts';
import type { Timer } from '../env.ts';
import { rowType } from '../repl/head.ts';
import { Miss } from '../repl/miss.ts';
import { databaseOfHead } from '../repl/row-key.ts';
import { rowNameOf } from '../repl/row-namer.ts';
import type { Row, View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { BlockedFar } from './blocked-far.ts';
import type { Client } from './client.ts';
import type { Blocking, Command } from './command.ts';
import { UNBLOCKED } from './errors.ts';
import { ErrorReply, NULL_ARRAY, NullArray, ownBytes, type Reply } from './reply.ts';
import type { Server } from './server-state.ts';
import { keyIndexes } from './table.ts';
import { WaitTable } from './wait-table.ts';

/** Timers hold 31 bits; a longer wait is renewed. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What the dispatcher lends. */
export interface BlockedHost {
  /** What a handler or the store threw, as a reply. */
  errorReplyOf(thrown: unknown): ErrorReply;
  whenDurable(sequence: number): Promise<void>;
  /** A view was committed. */
  committed(view: View): void;
}

/** Whether the reply of a command that may wait says that there was nothing for it. */
export function isNothing(reply: Reply): boolean {
  return reply === null || reply instanceof NullArray;
}

/** A parked command. */
export class Waiter {
  readonly client: Client;
  readonly command: Command;
  readonly blocks: Blocking;
  /** In memory of their own. */
  args: Args;
  readonly database: number;
  readonly answer: (reply: Reply) => void;
  timer: Timer | undefined = undefined;
  /** Of the monotonic clock, in ms; Infinity: it waits for ever. */
  untilMs = Number.POSITIVE_INFINITY;
  /** A row is being tried at other nodes: only when that is over it may end without an element. */
  isTrying = false;
  /** Rows that changed while another one was tried. */
  missed: string[] = [];
  /** How it ends when what is being tried brings nothing. */
  ending: Reply | undefined = undefined;

  constructor(options: { client: Client; command: Command; args: Args; answer(reply: Reply): void }) {
    this.client = options.client;
    this.command = options.command;
    this.blocks = options.command.blocks as Blocking;
    this.args = options.args;
    this.database = options.client.database;
    this.answer = (reply) => options.answer(reply);
  }

  /** The words that name the rows it waits for. */
  get places(): readonly number[] {
    return this.blocks.rows?.(this.args) ?? keyIndexes(this.command, this.args);
  }
}

export class BlockedClients {
  readonly table = new WaitTable<Waiter>();
  /** Where rows may be shared with other nodes. */
  far: BlockedFar | undefined = undefined;
  private readonly server: Server;
  private readonly view: View;
  private host: BlockedHost | undefined = undefined;
  private isServing = false;

  constructor(server: Server) {
    this.server = server;
    this.view = server.keyspace.newView();
  }

  /** Before the first command. */
  attach(host: BlockedHost): void {
    this.host = host;
  }

  get count(): number {
    return this.table.count;
  }

  /** Those who do not wait for ever. */
  get timed(): number {
    return [...this.table.waiters()].filter((waiter) => waiter.timer !== undefined).length;
  }

  /** Parks a command that found nothing; undefined: its words do not wait. `args` are copied. Throws `CommandError`. */
  park(client: Client, command: Command, args: Args, view: View): Promise<Reply> | undefined {
    const { blocks } = command;
    const timeoutMs = blocks?.timeoutMs(args);
    if (blocks === undefined || timeoutMs === undefined || !client.connection.isOpen) return undefined;
    const words = blocks.settled?.(view, args, client.context) ?? args.copy();
    return new Promise((answer) => {
      this.add(new Waiter({ client, command, args: words, answer }), timeoutMs);
    });
  }

  /** Puts a waiter at the end of the queues of its rows. */
  add(waiter: Waiter, timeoutMs: number): void {
    const { client } = waiter;
    client.waiting = waiter;
    client.connection.isBlocked = true;
    this.table.add(waiter, this.namesOf(waiter));
    waiter.untilMs = this.nowMs() + timeoutMs;
    this.setTimer(waiter);
    this.server.observer.parked(client, waiter.command, waiter.args);
  }

  /** A view was committed: the rows that it changed are looked at. */
  committed(view: View): void {
    const { table } = this;
    if (view.databases !== undefined) this.renameRows();
    if (view.flushes.size > 0) {
      for (const name of table.rows()) {
        if (view.flushes.has(databaseOfHead(Buffer.from(name.slice(0, 3), 'latin1')))) table.changed(name);
      }
    }
    const { rows, rowCount } = view;
    for (let i = 0; i < rowCount; i++) {
      const row = rows[i] as Row;
      if (row.dirty) table.changed(latin1(row.head, 0, row.headLength));
    }
    this.serve();
  }

  /** A row has changed, here or at another node. */
  changed(row: string): void {
    this.table.changed(row);
    this.serve();
  }

  /** CLIENT UNBLOCK; false: it does not wait. */
  unblock(client: Client, withError: boolean): boolean {
    const { waiting } = client;
    if (waiting === undefined) return false;
    this.endWithout(waiting, withError ? new ErrorReply(UNBLOCKED) : NULL_ARRAY);
    return true;
  }

  /** The connection is gone, or about to go. */
  drop(client: Client): void {
    if (client.waiting !== undefined) this.remove(client.waiting);
  }

  /** The server ends: nobody waits any more. */
  closeAll(): void {
    for (const waiter of this.table.waiters()) {
      this.remove(waiter);
      waiter.client.connection.close();
    }
  }

  /** Ends a waiter with what it waited for, or with an error. `workUs`: how long it took to get it. */
  end(waiter: Waiter, reply: Reply, workUs = 0, sequence = 0): void {
    if (!this.table.remove(waiter)) return;
    const { client, command, args } = waiter;
    const { server } = this;
    server.observer.after(client, command, args, server.env.clock.monotonicUs() - workUs, reply, workUs);
    this.forget(waiter);
    if (sequence === 0) waiter.answer(reply);
    else void this.host?.whenDurable(sequence).then(() => waiter.answer(reply));
  }

  /** Looks at every row that has changed, until there is none. */
  serve(): void {
    // A script holds the rows: it serves those who wait when it is over.
    if (this.isServing || this.server.busy.isOn) return;
    this.isServing = true;
    const { table } = this;
    for (let row = table.nextReady(); row !== undefined; row = table.nextReady()) {
      if (this.far?.isShared === true) this.far.serve(row);
      else this.serveRow(row);
    }
    this.isServing = false;
  }

  /** The word of a waiter that names this row; undefined: its databases have been exchanged since. */
  placeOf(waiter: Waiter, name: string): number | undefined {
    const names = this.namesOf(waiter);
    const at = names.indexOf(name);
    return at < 0 ? undefined : waiter.places[at];
  }

  private serveRow(row: string): void {
    for (const waiter of this.table.waitersOf(row)) {
      try {
        this.tryRow(waiter, row);
      } catch (thrown) {
        if (!(thrown instanceof Miss)) throw thrown;
        this.serveLater(waiter, row, thrown);
        return;
      }
    }
  }

  /** A block is missing: those behind this waiter wait for it too. */
  private serveLater(waiter: Waiter, row: string, miss: Miss): void {
    const { table } = this;
    table.hold(row);
    const goOn = (): void => {
      table.release(row);
      this.changed(row);
    };
    miss.load().then(goOn, (thrown: unknown) => {
      this.end(waiter, (this.host as BlockedHost).errorReplyOf(thrown));
      goOn();
    });
  }

  /** Throws `Miss`. */
  private tryRow(waiter: Waiter, name: string): void {
    const { server, view } = this;
    const { client, command, blocks, args } = waiter;
    const at = this.placeOf(waiter, name);
    if (at === undefined || !client.connection.isOpen) return;
    const startUs = server.env.clock.monotonicUs();
    view.begin(waiter.database, server.env.clock.wallMs());
    const row = view.rowIn(args.bytes, args.starts[at] as number, args.ends[at] as number);
    if (!row.live || row.type !== blocks.type) {
      const gone = blocks.gone?.(row.live ? row.type : rowType.DELETED);
      if (gone !== undefined) this.end(waiter, ownBytes(gone));
      return;
    }
    let reply: Reply;
    let sequence = 0;
    try {
      const words = blocks.only(args, at);
      reply = command.run?.(view, words, client.context) as Reply;
      if (isNothing(reply)) return;
      reply = ownBytes(reply);
      if (server.notify.isActive) server.notify.collect(view, command, words);
      const written = command.access === 'read' ? 0 : server.keyspace.commit(view);
      sequence = Math.max(view.sequenceSeen, written);
    } catch (thrown) {
      if (thrown instanceof Miss) throw thrown;
      const error = (this.host as BlockedHost).errorReplyOf(thrown);
      this.end(waiter, blocks.failed?.(error) ?? error);
      return;
    }
    this.end(waiter, reply, server.env.clock.monotonicUs() - startUs, sequence);
    this.host?.committed(view);
  }

  private namesOf({ places, args, database }: Waiter): string[] {
    const physical = this.server.keyspace.physicalDatabase(database);
    return places.map((i) => rowNameOf(physical, args.bytes, args.starts[i] as number, args.ends[i] as number));
  }

  private renameRows(): void {
    this.table.rename((waiter) => this.namesOf(waiter));
  }

  private setTimer(waiter: Waiter): void {
    if (waiter.untilMs === Number.POSITIVE_INFINITY) return;
    const leftMs = Math.max(0, Math.ceil(waiter.untilMs - this.nowMs()));
    waiter.timer = this.server.env.timers.after(Math.min(leftMs, MAX_TIMER_MS), () => {
      if (this.nowMs() < waiter.untilMs) this.setTimer(waiter);
      else this.endWithout(waiter, NULL_ARRAY);
    });
  }

  /** Ends a waiter without an element, when what is being tried for it brings none. */
  private endWithout(waiter: Waiter, reply: Reply): void {
    if (waiter.isTrying) waiter.ending ??= reply;
    else this.end(waiter, reply);
  }

  private remove(waiter: Waiter): void {
    if (this.table.remove(waiter)) this.forget(waiter);
  }

  private forget(waiter: Waiter): void {
    waiter.timer?.cancel();
    waiter.client.waiting = undefined;
    waiter.client.connection.isBlocked = false;
  }

  private nowMs(): number {
    return this.server.env.clock.monotonicUs() / 1000;
  }
}
