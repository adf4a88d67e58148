/**
 * Commands on several rows of a cluster: reads in parallel, changes as transactions, the parts of EXEC.
 *
 * Which rows a script or SORT needs may only show while it runs: what it missed joins, and it runs again.
 */

import type { Answer } from '../cluster/bus.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { MemberId } from '../cluster/member.ts';
import { isPast, modifiedOf } from '../repl/given-rows.ts';
import type { RowName } from '../repl/owner-message.ts';
import { keyOfHead } from '../repl/row-key.ts';
import type { Writes } from '../repl/row-op.ts';
import type { TransactionOutcome } from '../repl/transaction.ts';
import { type Version, ZERO_VERSION } from '../repl/version.ts';
import type { RowMark } from '../repl/view.ts';
import { Args } from './args.ts';
import { Client, type QueuedCommand } from './client.ts';
import type { ClusterKeyspace } from './cluster-keyspace.ts';
import type { ClusterLevels } from './cluster-levels.ts';
import type { ClusterHost } from './cluster-host.ts';
import type { Command } from './command.ts';
import { type Failure, failureText, notAtomic, OTHER_ROWS, OVERLOADED, TOO_MANY_ROUNDS } from './errors-cluster.ts';
import { AFTERWARDS, type ExecPart, ExecRun } from './exec-run.ts';
import { encodeForwardAnswer, type ForwardedCommand } from './forward-codec.ts';
import {
  decodeTransaction,
  encodeTransaction,
  encodeTransactionReply,
  isTellable,
  type MarkedRows,
  oneSlotOf,
  readTransactionReply,
  type TransactionReply,
} from './forward-several.ts';
import { NO_CONNECTION } from './no-connection.ts';
import { NO_NOTES } from './notify-events.ts';
import { whenSettled } from './pending-reply.ts';
import { ErrorReply, NULL_ARRAY, ownBytes, type Reply } from './reply.ts';
import type { RowCommand } from './row-handler.ts';
import { outcomeOf, type RowRun, type RunHost } from './row-run.ts';
import type { Server } from './server-state.ts';
import type { SystemRows } from './system-rows.ts';
import { keyIndexes } from './table.ts';

/** Rows of one command; a larger one would hold the loop and the bus for too long. */
export const MAX_ROWS = 100_000;

const NO_MARKS: readonly RowMark[] = [];

/** Commands that name a script by its digest, and those that bring it along. */
const BY_BODY: ReadonlyMap<string, string> = new Map([
  ['evalsha', 'eval'],
  ['evalsha_ro', 'eval_ro'],
]);

const NOTHING: ReadonlyMap<RowName, Version> = new Map();

/** What the table knows of commands; undefined: one of them is unknown. */
type Resolve = (commands: readonly ForwardedCommand[]) => readonly RowCommand[] | undefined;

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
    if (isScript(command) && rows.size > 1) return this.transactOne(client, command, args, rows);
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
      if (isScript(command) && states.size + wanted.length > 1) {
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
    if (rows.size === 1 && command.name !== 'move' && !this.isLocal(client, [{ command, args, database }])) {
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
    const known = this.withScript({ command, args, database: client.database });
    const keyAt = keyIndexes(known.command, known.args)[0] as number;
    const run = this.runs.part(client, known.command, known.args, keyAt, 0);
    const { pending } = run;
    run.change();
    return whenSettled(pending);
  }

  /** EVALSHA as EVAL: the node that coordinates rows may not know the script by its digest. */
  private withScript(call: RowCommand): RowCommand {
    const { command, args, database } = call;
    const name = BY_BODY.get(command.name);
    const script = name === undefined ? undefined : this.server.scripts.find(args.text(1).toLowerCase());
    if (name === undefined || script === undefined) return call;
    const words = Args.of(name, script.body, ...args.from(2).words());
    return { command: this.host.table.get(name) as Command, args: words, database };
  }

  /**
   * Runs commands on several rows, all or nothing: their replies, a null array when a mark no longer holds, or an error. With
   * rows of one slot at the node that coordinates it.
   */
  private async transact(client: Client, rows: MarkedRows, calls: readonly RowCommand[]): Promise<Reply> {
    const deadlineMs = this.runs.deadlineMs();
    const slot = this.isLocal(client, calls) ? undefined : oneSlotOf(rows, calls.length);
    const target = slot === undefined ? this.runs.self : this.runs.forwarder.coordinatorOf(slot);
    const { reply, written } =
      target === this.runs.self
        ? await this.transactHere(client, rows, calls, deadlineMs)
        : await this.transactAt(target, client, rows, calls, deadlineMs);
    // The session reads what it wrote: whatever stands there by now came after the lock.
    for (const [row, version] of written) client.cluster.noteRead(row, version, false);
    return reply;
  }

  /** What a script of a restricted user does is looked at by the node that knows the user, functions are run where they are known. */
  private isLocal(client: Client, calls: readonly RowCommand[]): boolean {
    return client.permissions !== undefined || calls.some(({ command }) => callsFunctions(command));
  }

  private transactAt(
    target: MemberId,
    client: Client,
    rows: MarkedRows,
    calls: readonly RowCommand[],
    deadlineMs: number,
  ): Promise<TransactionReply> {
    const { forwarder, coordinator } = this.runs;
    const commands = calls.map((call) => this.withScript(call));
    const leftMs = deadlineMs - coordinator.nowMs();
    const payload = encodeTransaction({ isResp3: client.protocol === 3, leftMs, rows, commands });
    const [row] = [...rows.keys()] as [RowName];
    return new Promise((resolve, reject) => {
      const failed = (reason: Failure): void =>
        resolve({ reply: new ErrorReply(failureText(reason)), written: NOTHING });
      const answered = (bytes: Uint8Array): void => {
        const outcome = outcomeOf(bytes);
        if (outcome.kind !== 'done') {
          failed(outcome.kind);
          return;
        }
        try {
          resolve(readTransactionReply(outcome.reply));
        } catch (thrown) {
          if (thrown instanceof DamagedError) failed('uncertain');
          else reject(thrown);
        }
      };
      const runHere = (): void => {
        this.transactHere(client, rows, calls, deadlineMs).then(resolve, reject);
      };
      forwarder.forward(target, row, payload, { answered, runHere, failed }, deadlineMs);
    });
  }

  /** A transaction that another node has forwarded to this one. Throws `DamagedError`. */
  serve(payload: Uint8Array, resolve: Resolve, answer: Answer): void {
    const { isResp3, leftMs, rows, commands } = decodeTransaction(payload);
    const calls = resolve(commands);
    if (calls === undefined) throw new DamagedError('a command that this node does not know');
    const { server } = this;
    const stranger = new Client({ id: 0, server, connection: NO_CONNECTION, nowMs: 0, authenticated: true });
    stranger.protocol = isResp3 ? 3 : 2;
    stranger.database = calls[0]?.database ?? 0;
    const deadlineMs = this.runs.coordinator.nowMs() + leftMs;
    const told = { isTooLong: false };
    void this.transactHere(stranger, rows, calls, deadlineMs, told).then((done) => {
      answer(told.isTooLong ? encodeForwardAnswer(undefined) : encodeTransactionReply(done));
    });
  }

  /** `told`: the reply is to be told to another node; when it is too long for that, nothing is changed. */
  private async transactHere(
    client: Client,
    rows: MarkedRows,
    calls: readonly RowCommand[],
    deadlineMs: number,
    told?: { isTooLong: boolean },
  ): Promise<TransactionReply> {
    if (rows.size > MAX_ROWS) return { reply: new ErrorReply(OVERLOADED), written: NOTHING };
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
        deadlineMs,
        body: (states) => {
          this.runs.rules.follow(handler);
          const ran = handler.runRows(calls, client.context, states, ZERO_VERSION);
          if (!('writes' in ran)) return ran;
          ({ replies, writes: changed } = ran);
          notes = handler.notes;
          if (told === undefined) return changed;
          told.isTooLong = !isTellable(replies, changed.keys());
          if (told.isTooLong) {
            changed = new Map();
            notes = NO_NOTES;
          }
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
      case 'committed': {
        this.server.notify.publish(notes);
        const written = new Map<RowName, Version>();
        for (const row of changed.keys()) written.set(row, versions.get(row) ?? ZERO_VERSION);
        return { reply: replies, written };
      }
      case 'stale':
        return { reply: NULL_ARRAY, written: NOTHING };
      case 'rows':
        return { reply: new ErrorReply(TOO_MANY_ROUNDS), written: NOTHING };
      default:
        return { reply: new ErrorReply(failureText(outcome)), written: NOTHING };
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
    // A transaction runs here if it must (`isLocal`), the change of one row where that is coordinated.
    const hasScripts = calls.some(({ command }) => isScript(command));
    if (rows.size > 1 || (hasScripts && this.isLocal(client, calls))) return this.transact(client, rows, calls);
    const [row] = rows.keys();
    const plan = hasScripts ? { ...planned, calls: calls.map((call) => this.withScript(call)) } : planned;
    return new Promise((ended) => {
      const deadlineMs = this.runs.deadlineMs();
      const done = (reply: Reply): void => {
        // One of them, a script, needs rows that its words do not name: nothing has happened yet.
        if (reply instanceof ErrorReply && reply.message === OTHER_ROWS) ended(this.transact(client, rows, calls));
        else ended(reply);
      };
      new ExecRun({ host: this.runs, client, plan, row: row as RowName, deadlineMs, ended: done }).start();
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

function isScript({ categories }: Command): boolean {
  return categories.includes('scripting');
}

/** FCALL and FCALL_RO: run by the node that knows the functions. */
function callsFunctions({ name }: Command): boolean {
  return name === 'fcall' || name === 'fcall_ro';
}
