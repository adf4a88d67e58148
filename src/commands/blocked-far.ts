/**
 * Clients that wait for rows which are shared with other nodes.
 *
 * ```
 * start ─▶ wait in the table ─▶ ask owners to tell of changes ─▶ try each row, from left to right
 * told that a row is now of the type that is waited for ─▶ the first waiter of the row tries it, then the next ─▶ reply
 * the poll of a row is due ─▶ its type is read; if it fits, the same
 * ```
 *
 * Trying is the command on this row alone, as a change at the row's coordinator, so that an element is taken once, and
 * nothing contends with those who push: a read that met their change half way would have to settle it. What is promised:
 * - No wake-up is lost: a row is polled while somebody waits for it, after 100 ms and then less and less often down to once
 *   a second, whatever became of notices. A lost notice costs that time and nothing else.
 * - At one node the waiters of a row are tried in the order in which they came; waiters of several nodes have no order.
 * - An element is taken only for a client that was there in the turn in which it was asked for. If it has gone when the
 *   element comes, the element is put back at the end where it was, by a second change: it is lost only if this node ends
 *   between the two, or, which is logged, if the second change is not certain.
 * - A client whose time is up while a row is being tried for it waits for the outcome, at most the request timeout.
 *
 * Invariant: a row that is being tried is held in the table, and a waiter tries one row at a time.
 */

import type { Timer } from '../env.ts';
import { rowType, type RowType } from '../repl/head.ts';
import type { RowName } from '../repl/owner-message.ts';
import { Args } from './args.ts';
import { type BlockedClients, isNothing, Waiter } from './blocked-clients.ts';
import type { Client } from './client.ts';
import type { ClusterRun } from './cluster-run.ts';
import type { Command } from './command.ts';
import { WRONG_TYPE } from './errors.ts';
import { NO_QUORUM, NOT_JOINED, OVERLOADED } from './errors-cluster.ts';
import { typeName } from './key-row.ts';
import { ErrorReply, type Reply, SimpleString } from './reply.ts';
import type { Server } from './server-state.ts';

/** How often it is looked which rows are to be polled, and how long a row is left alone at least and at most. */
const LOOK_MS = 100;
const FIRST_POLL_MS = 100;
const LAST_POLL_MS = 1_000;

/** Rows that are tried because of one look; the others wait for the next. */
const MAX_POLLS = 1_000;

/** Owners are asked again so often to tell of changes; they remember it for LEASE_MS. */
const RENEW_MS = 3_000;
export const LEASE_MS = 10_000;

/** How often and how long apart it is tried to put an element back. */
const UNDO_TRIES = 20;
const UNDO_WAIT_MS = 500;

interface Poll {
  atMs: number;
  everyMs: number;
  renewAtMs: number;
}

export class BlockedFar {
  private readonly server: Server;
  private readonly blocked: BlockedClients;
  private readonly rows: ClusterRun;
  private readonly want: (rows: readonly RowName[]) => void;
  private readonly polls = new Map<RowName, Poll>();
  /** Rows that are to be looked at because their poll is due. */
  private readonly polled = new Set<RowName>();
  private timer: Timer | undefined = undefined;

  /** `want`: asks the owners of rows to tell of their changes, for LEASE_MS. */
  constructor(options: { server: Server; rows: ClusterRun; want(rows: readonly RowName[]): void }) {
    this.server = options.server;
    this.blocked = options.server.blocked;
    this.rows = options.rows;
    this.want = (rows) => options.want(rows);
  }

  get isShared(): boolean {
    return this.rows.isShared;
  }

  /** Parks the command and tries its rows; undefined: these words do not wait, or are an error. */
  start(client: Client, command: Command, args: Args): Promise<Reply> | undefined {
    // Before this node has joined its cluster every command is refused.
    if (!this.isShared) return undefined;
    const timeoutMs = this.timeoutOf(command, args);
    if (timeoutMs === undefined) return undefined;
    const isMistaken = !isNothing(this.rows.onNoRows(client, command, args));
    if (isMistaken && command.blocks?.gone === undefined) return undefined;
    return new Promise((answer) => {
      const words = args.copy();
      const waiter = new Waiter({ client, command, args: words, answer });
      waiter.isTrying = true;
      this.blocked.add(waiter, timeoutMs);
      this.look();
      void this.firstPass(waiter).finally(() => this.rest(waiter));
    });
  }

  /** A row may have something for those who wait for it. */
  serve(row: RowName): void {
    const { table } = this.blocked;
    table.hold(row);
    this.watch();
    const isPoll = this.polled.delete(row);
    void this.serveInOrder(row, isPoll).finally(() => {
      table.release(row);
      this.blocked.serve();
    });
  }

  /** Rows are shared from now on: those who wait already did so for changes of this node alone. */
  joined(): void {
    this.look();
  }

  /** A row was changed somewhere, and is now of this type (DELETED: not there). */
  heard(row: RowName, type: RowType): void {
    const { table } = this.blocked;
    for (const { blocks } of table.waitersOf(row)) {
      if (blocks.type !== type && blocks.gone === undefined) continue;
      this.polled.delete(row);
      table.changed(row);
      this.blocked.serve();
      return;
    }
  }

  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  private timeoutOf(command: Command, args: Args): number | undefined {
    try {
      return command.blocks?.timeoutMs(args);
    } catch {
      // The command itself says what is wrong with its words.
      return undefined;
    }
  }

  private async firstPass(waiter: Waiter): Promise<void> {
    const { blocks, client } = waiter;
    if (blocks.settledFar !== undefined) {
      waiter.args = await blocks.settledFar(waiter.args, (words) => this.rows.runUncounted(client, words));
    }
    for (const at of waiter.places) if (this.isWaiting(waiter)) await this.tryWord(waiter, at, true);
  }

  private async serveInOrder(row: RowName, isPoll: boolean): Promise<void> {
    let type: RowType | undefined;
    // Those who come meanwhile are at the end of the queue, and tried too.
    for (const waiter of this.blocked.table.waitersOf(row)) {
      await this.server.pause.over();
      const at = this.isWaiting(waiter) ? this.blocked.placeOf(waiter, row) : undefined;
      if (at === undefined) continue;
      if (waiter.isTrying) {
        waiter.missed.push(row);
        continue;
      }
      waiter.isTrying = true;
      if (isPoll) type ??= await this.typeOf(waiter, at);
      const found = type === undefined || this.fits(waiter, type) ? await this.tryWord(waiter, at, false) : false;
      this.rest(waiter);
      // Those behind it wait for the same, as a rule; if not, the poll finds them.
      if (!found && waiter.blocks.gone === undefined && !isPoll) return;
    }
  }

  /** What was being tried is over. */
  private rest(waiter: Waiter): void {
    waiter.isTrying = false;
    const { table } = this.blocked;
    for (const row of waiter.missed) table.changed(row);
    waiter.missed = [];
    if (waiter.ending !== undefined) this.blocked.end(waiter, waiter.ending);
    this.blocked.serve();
  }

  /** The type of the row of the key at word `at`; undefined: it cannot be told now. */
  private async typeOf({ client, args }: Waiter, at: number): Promise<RowType | undefined> {
    const type = await this.rows.runUncounted(client, Args.of('type', args.at(at)));
    return type instanceof SimpleString ? typeOfName(type.text) : undefined;
  }

  /** Whether a row of this type may have something for the waiter; one that has to be told otherwise is. */
  private fits(waiter: Waiter, type: RowType): boolean {
    const { blocks } = waiter;
    if (type === blocks.type) return true;
    const gone = blocks.gone?.(type);
    if (gone !== undefined && this.isWaiting(waiter)) this.blocked.end(waiter, gone);
    return false;
  }

  /** Tries the row of the key at word `at`. False: there was nothing. */
  private async tryWord(waiter: Waiter, at: number, isFirst: boolean): Promise<boolean> {
    const { client, blocks, args } = waiter;
    // From here on the element is on its way; whether its client is there is decided in this turn.
    if (!this.isWaiting(waiter)) return true;
    const startUs = this.server.env.clock.monotonicUs();
    const reply = await this.rows.runUncounted(client, blocks.only(args, at));
    if (isNothing(reply)) return false;
    if (!isFirst && reply instanceof ErrorReply && isPassing(reply) && !(await this.isTargetWrong(waiter, at, reply))) {
      return false;
    }
    const workUs = this.server.env.clock.monotonicUs() - startUs;
    const told = !isFirst && reply instanceof ErrorReply ? await this.toldOf(waiter, at, reply) : reply;
    if (this.isWaiting(waiter)) this.blocked.end(waiter, told, workUs);
    else if (!(reply instanceof ErrorReply)) void this.putBack(waiter, at, reply);
    return true;
  }

  /** What a waiter is told of an error: that the row is no more, where that is why. */
  private async toldOf(waiter: Waiter, at: number, error: ErrorReply): Promise<Reply> {
    const { blocks } = waiter;
    const told = blocks.failed?.(error) ?? error;
    if (told === error || blocks.gone === undefined) return told;
    const type = await this.typeOf(waiter, at);
    return type === undefined || type === blocks.type ? told : blocks.gone(type);
  }

  /** Whether the error is about the row that an element would be moved to, and not about the one that is waited for. */
  private async isTargetWrong(waiter: Waiter, at: number, { message }: ErrorReply): Promise<boolean> {
    const { target, type } = waiter.blocks;
    if (message !== WRONG_TYPE || target === undefined) return false;
    const [from, to] = await Promise.all([this.typeOf(waiter, at), this.typeOf(waiter, target)]);
    return from === type && to !== undefined && to !== type && to !== rowType.DELETED;
  }

  private isWaiting(waiter: Waiter): boolean {
    return waiter.client.waiting === waiter && waiter.client.connection.isOpen;
  }

  /** The client of an element that was taken is gone. */
  private async putBack(waiter: Waiter, at: number, taken: Reply): Promise<void> {
    const { client, args, blocks } = waiter;
    const words = blocks.undo?.(args, at, taken);
    if (words === undefined) return;
    const { log, timers } = this.server.env;
    for (let tries = 0; tries < UNDO_TRIES; tries++) {
      const reply = await this.rows.runUncounted(client, words);
      if (!(reply instanceof ErrorReply)) return;
      if (!isPassing(reply)) {
        log.error('an element of a client that is gone may not be back', { key: args.text(at), reason: reply.message });
        return;
      }
      await new Promise<void>((resolve) => timers.after(UNDO_WAIT_MS, resolve));
    }
    log.error('an element of a client that is gone is not back', { key: args.text(at), tries: UNDO_TRIES });
  }

  // --- polls -------------------------------------------------------------------------------------------------------

  private watch(): void {
    this.timer ??= this.server.env.timers.after(LOOK_MS, () => {
      this.timer = undefined;
      this.look();
    });
  }

  /** Polls the rows that are due, and asks their owners to tell of changes. */
  private look(): void {
    const { table } = this.blocked;
    if (table.count === 0 || !this.isShared) {
      this.polls.clear();
      if (table.count > 0) this.watch();
      return;
    }
    const nowMs = this.server.env.clock.monotonicUs() / 1000;
    const wanted: RowName[] = [];
    let due = 0;
    for (const row of table.rows()) {
      let poll = this.polls.get(row);
      if (poll === undefined) {
        poll = { atMs: nowMs + FIRST_POLL_MS, everyMs: FIRST_POLL_MS, renewAtMs: nowMs };
        this.polls.set(row, poll);
      }
      if (poll.renewAtMs <= nowMs) {
        poll.renewAtMs = nowMs + RENEW_MS;
        wanted.push(row);
      }
      if (poll.atMs > nowMs || due >= MAX_POLLS) continue;
      due++;
      poll.everyMs = Math.min(poll.everyMs * 2, LAST_POLL_MS);
      poll.atMs = nowMs + poll.everyMs;
      this.polled.add(row);
      table.changed(row);
    }
    for (const row of this.polls.keys()) {
      if (table.has(row)) continue;
      this.polls.delete(row);
      this.polled.delete(row);
    }
    if (wanted.length > 0) this.want(wanted);
    this.watch();
    this.blocked.serve();
  }
}

/** Errors after which nothing has happened, and which another try may not meet. */
const PASSING: ReadonlySet<string> = new Set([NO_QUORUM, OVERLOADED, NOT_JOINED, WRONG_TYPE]);

function isPassing(reply: ErrorReply): boolean {
  return PASSING.has(reply.message);
}

function typeOfName(name: string): RowType {
  return Object.values(rowType).find((type) => typeName(type) === name) ?? rowType.DELETED;
}
