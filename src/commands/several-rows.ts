/**
 * Commands on several rows of a cluster: reads in parallel, changes as transactions, the parts of EXEC.
 *
 * Which rows a script or SORT needs may only show while it runs: what it missed joins, and it runs again.
 */

import { isPast, modifiedOf } from '../repl/given-rows.ts';
import type { RowName } from '../repl/owner-message.ts';
import { keyOfHead } from '../repl/row-key.ts';
import type { Writes } from '../repl/row-op.ts';
import type { TransactionOutcome } from '../repl/transaction.ts';
import { type Version, ZERO_VERSION } from '../repl/version.ts';
import type { RowMark } from '../repl/view.ts';
import { Args } from './args.ts';
import type { Client, QueuedCommand } from './client.ts';
import type { ClusterKeyspace } from './cluster-keyspace.ts';
import type { ClusterLevels } from './cluster-levels.ts';
import type { ClusterHost } from './cluster-host.ts';
import type { Command } from './command.ts';
import { failureText, notAtomic, OTHER_ROWS, OVERLOADED, TOO_MANY_ROUNDS } from './errors-cluster.ts';
import { AFTERWARDS, type ExecPart, ExecRun } from './exec-run.ts';
import { whenSettled } from './pending-reply.ts';
import { ErrorReply, NULL_ARRAY, ownBytes, type Reply } from './reply.ts';
import type { RowCommand } from './row-handler.ts';
import type { RowRun, RunHost } from './row-run.ts';
import type { Server } from './server-state.ts';
import type { SystemRows } from './system-rows.ts';
import { keyIndexes } from './table.ts';

/** Rows of one command; a larger one would hold the loop and the bus for too long. */
export const MAX_ROWS = 100_000;

const NO_MARKS: readonly RowMark[] = [];

/** A read whose keys depend on values is run again with one more row; this often at most. */
const MAX_ROUNDS = 64;

/** What `ClusterRun` has for it. */
export interface SeveralRowsHost extends RunHost {
  readonly systemRows: SystemRows;
  readonly rules: ClusterLevels;
  part(client: Client, command: Command, args: Args, keyAt: number, startUs: number): RowRun;
  rowAt(database: number, args: Args, i: number): RowName;
  deadlineMs(): number;
  countHits(): void;
}

export class SeveralRows {
  private readonly runs: SeveralRowsHost;
  private readonly host: ClusterHost;
  private readonly server: Server;
  private readonly keyspace: ClusterKeyspace;

  constructor({ runs, host, keyspace }: { runs: SeveralRowsHost; host: ClusterHost; keyspace: ClusterKeyspace }) {
    this.runs = runs;
    this.host = host;
    this.server = host.server;
    this.keyspace = keyspace;
  }

  /**
   * Quorum reads of the rows that the words name, in parallel, then the handler. A script that reads several rows is a
   * transaction, since it sees all of them at one moment.
   */
  async read(client: Client, command: Command, args: Args): Promise<Reply> {
    const { handler } = this.runs;
    const { database } = client;
    if (callsFunctions(command)) await this.runs.systemRows.followFunctions();
    const rows = new Set(keyIndexes(command, args).map((i) => this.runs.rowAt(database, args, i)));
    if (rows.size > MAX_ROWS) return new ErrorReply(OVERLOADED);
    const isScript = command.categories.includes('scripting');
    if (isScript && rows.size > 1) return this.transactOne(client, command, args, rows);
    const deadlineMs = this.runs.deadlineMs();
    const states = new Map<RowName, Uint8Array | undefined>();
    let wanted = [...rows];
    let likely: RowName[] = [];
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const failure = await this.bringRows(client, wanted, states, deadlineMs);
      if (failure !== undefined) {
        if (command.name === 'watch') client.watchFailed = true;
        return failure;
      }
      handler.begin(database);
      for (const [row, state] of states) handler.given.give(row, state);
      const reply = handler.reply(command, args, client.context);
      if (handler.wanted !== undefined) {
        likely = [...likely, ...(await this.keyspace.tell(client, handler.wanted))];
        wanted = [];
        continue;
      }
      const { missed } = handler.given;
      if (missed === undefined) {
        this.runs.countHits();
        this.server.notify.publish(handler.notes);
        return ownBytes(reply);
      }
      wanted = [missed, ...likely.filter((row) => row !== missed)];
      if (isScript && states.size + wanted.length > 1) {
        return this.transactOne(client, command, args, [...states.keys(), ...wanted]);
      }
      likely = [];
    }
    return new ErrorReply(notAtomic(command.name));
  }

  /** Reads rows into `states`; the error when one could not be read. Rows past their deadline are ended. */
  private async bringRows(
    client: Client,
    rows: readonly RowName[],
    states: Map<RowName, Uint8Array | undefined>,
    deadlineMs: number,
  ): Promise<ErrorReply | undefined> {
    const outcomes = await Promise.all(rows.map((row) => this.runs.transactions.readThrough(row, deadlineMs)));
    const nowMs = this.server.env.clock.wallMs();
    const past: RowName[] = [];
    for (const [i, outcome] of outcomes.entries()) {
      const row = rows[i] as RowName;
      if (outcome.kind !== 'done') return new ErrorReply(failureText(outcome.kind));
      client.cluster.noteRead(row, modifiedOf(outcome.state), false);
      states.set(row, outcome.state);
      if (isPast(outcome.state, nowMs)) past.push(row);
    }
    const ended = await Promise.all(past.map((row) => this.endPast(client, row)));
    return ended.find((reply) => reply instanceof ErrorReply);
  }

  /** Commits the end of a row past its deadline: EXISTS, run as a change, meets it. */
  private endPast(client: Client, row: RowName): Promise<Reply> {
    const exists = this.host.table.get('exists') as Command;
    const words = Args.of('exists', keyOfHead(Buffer.from(row, 'latin1')));
    return this.runPart(client, exists, words, row);
  }

  /** A command that changes several rows, as a transaction. */
  async change(client: Client, command: Command, args: Args): Promise<Reply> {
    const { database } = client;
    const rows = new Map<RowName, readonly RowMark[]>();
    for (const i of keyIndexes(command, args)) rows.set(this.runs.rowAt(database, args, i), NO_MARKS);
    // What a script of a restricted user does is looked at by the node that knows the user.
    const isLocal = callsFunctions(command) || client.permissions !== undefined;
    if (rows.size === 1 && command.name !== 'move' && !isLocal) {
      const reply = await this.changeOneRow(client, command, args);
      if (!(reply instanceof ErrorReply && reply.message === OTHER_ROWS)) return reply;
    }
    return this.transactOne(client, command, args, rows.keys());
  }

  private async transactOne(client: Client, command: Command, args: Args, rows: Iterable<RowName>): Promise<Reply> {
    const marked = new Map([...rows].map(unmarked));
    const replies = await this.transact(client, marked, [{ command, args, database: client.database }]);
    return Array.isArray(replies) ? (replies[0] as Reply) : replies;
  }

  /** A command that may turn out to need more rows than it names (a script), as a change of the one that it names. */
  private changeOneRow(client: Client, command: Command, args: Args): Promise<Reply> {
    // The node that coordinates the row may not know the script by its digest.
    const { name } = command;
    const script = name === 'evalsha' ? this.server.scripts.find(args.text(1).toLowerCase()) : undefined;
    const [known, words] =
      script === undefined
        ? [command, args]
        : [this.host.table.get('eval') as Command, Args.of('eval', script.body, ...args.from(2).words())];
    const run = this.runs.part(client, known, words, keyIndexes(known, words)[0] as number, 0);
    const { pending } = run;
    run.change();
    return whenSettled(pending);
  }

  /** Runs commands on several rows, all or nothing: their replies, a null array when a mark no longer holds, or an error. */
  private async transact(
    client: Client,
    rows: ReadonlyMap<RowName, readonly RowMark[]>,
    calls: readonly RowCommand[],
  ): Promise<Reply> {
    if (rows.size > MAX_ROWS) return new ErrorReply(OVERLOADED);
    if (calls.some(({ command }) => callsFunctions(command))) await this.runs.systemRows.followFunctions();
    const { handler, transactions } = this.runs;
    let replies: readonly Reply[] = [];
    let changed: Writes = new Map();
    let notes = handler.notes;
    const versions = new Map<RowName, Version>();
    const runOn = (wanted: typeof rows): Promise<TransactionOutcome> =>
      transactions.protocol.run({
        rows: wanted,
        locked: (row, version) => versions.set(row, version),
        deadlineMs: this.runs.deadlineMs(),
        body: (states) => {
          this.runs.rules.follow(handler);
          const ran = handler.runRows(calls, client.context, states, ZERO_VERSION);
          if (!('writes' in ran)) return ran;
          ({ replies, writes: changed } = ran);
          notes = handler.notes;
          return changed;
        },
      });
    const outcome = await this.keyspace.telling<TransactionOutcome>(client, 'rows', async (likely) => {
      const ended = await runOn(rows);
      // A script that goes through keys that it was told asks for one after the other.
      return ended === 'rows' && likely.length > 0 ? runOn(new Map([...likely.map(unmarked), ...rows])) : ended;
    });
    client.scriptMemo = undefined;
    this.server.keyspace.changes += outcome === 'committed' ? changed.size : 0;
    switch (outcome) {
      case 'committed':
        // The session reads what it wrote: whatever stands there by now came after the lock.
        for (const row of changed.keys()) client.cluster.noteRead(row, versions.get(row) ?? ZERO_VERSION, false);
        this.server.notify.publish(notes);
        return replies;
      case 'stale':
        return NULL_ARRAY;
      case 'rows':
        return new ErrorReply(TOO_MANY_ROUNDS);
      default:
        return new ErrorReply(failureText(outcome));
    }
  }

  /** One change that is a part of another command. `words`: the name and one key. */
  private runPart(client: Client, command: Command, words: Args, row: RowName): Promise<Reply> {
    const run = this.runs.part(client, command, words, 1, 0);
    run.row = row;
    const { pending } = run;
    run.change();
    return whenSettled(pending);
  }

  /** The replies of the commands on rows; a null array or an error. */
  private execRows(client: Client, planned: ExecPart): Promise<Reply> {
    const { rows, calls } = planned;
    if (rows.size === 0) return Promise.resolve([]);
    if (rows.size > 1) return this.transact(client, rows, calls);
    const [row] = rows.keys();
    return new Promise((ended) => {
      const deadlineMs = this.runs.deadlineMs();
      const done = (reply: Reply): void => {
        // One of them, a script, needs rows that its words do not name: nothing has happened yet.
        if (reply instanceof ErrorReply && reply.message === OTHER_ROWS) ended(this.transact(client, rows, calls));
        else ended(reply);
      };
      new ExecRun({ host: this.runs, client, plan: planned, row: row as RowName, deadlineMs, ended: done }).start();
    });
  }

  /** The parts of EXEC one after another: the replies of all its commands, a null array or an error. */
  async exec(
    client: Client,
    queue: readonly QueuedCommand[],
    parts: readonly ExecPart[],
    startUs: number,
  ): Promise<Reply> {
    const all: Reply[] = [];
    for (const part of parts) {
      const replies = await this.execRows(client, part);
      const isMade = replies !== NULL_ARRAY && Array.isArray(replies);
      if (!isMade && all.length === 0) return replies;
      for (const place of part.places) {
        const queued = queue[all.length] as QueuedCommand;
        if (!isMade) all.push(replies);
        else if (place >= 0) all.push(replies[place] as Reply);
        else if (place === AFTERWARDS) all.push(await this.keyspace.run(client, queued.command, queued.args));
        else all.push(await this.host.runLocally(queued, client.context));
      }
    }
    for (const [i, queued] of queue.entries()) {
      this.server.observer.after(client, queued.command, queued.args, startUs, all[i] as Reply);
    }
    return all;
  }
}

function unmarked(row: RowName): [RowName, readonly RowMark[]] {
  return [row, NO_MARKS];
}

/** FCALL and FCALL_RO: run by the node that knows the functions. */
function callsFunctions({ name }: Command): boolean {
  return name === 'fcall' || name === 'fcall_ro';
}
