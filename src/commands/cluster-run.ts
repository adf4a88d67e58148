/**
 * Commands in a cluster of several nodes, for the dispatcher: from the words of a request to the owners of its rows and
 * back to a reply.
 *
 * ```
 * one row, read                 quorum read here, then the handler                      (row-run.ts)
 * one row, changed              at the row's coordinator, here or forwarded             (row-run.ts, served-run.ts)
 * several rows, read            quorum reads in parallel, then the handler            (several-rows.ts)
 * several rows, changed         a transaction                         (several-rows.ts, cluster-transactions.ts)
 * EXEC                          on one row one change (exec-run.ts), else a transaction
 * whole databases               lists and counts of the owners of all slots             (cluster-keyspace.ts)
 * no row                        at this node, as ever
 * ```
 *
 * Invariants: commands of one connection on one row are never under way together, and a command that is not on a single
 * row starts when all before it are answered (`mustWait`); the client's node counts commands, hits and misses.
 */

import { unreachable } from '../assert.ts';
import { latin1, utf8 } from '../bytes.ts';
import type { Answer, Arrival } from '../cluster/bus.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import { METHOD_FAILED } from '../cluster/bus-method.ts';
import type { Policy } from '../cluster/policy.ts';
import type { ClusterView } from '../cluster/cluster-view.ts';
import type { Coordinator } from '../repl/coordinator.ts';
import type { Forwarder } from '../repl/forward.ts';
import type { Ledger } from '../repl/ledger.ts';
import { levelText, QUORUM } from '../repl/level.ts';
import type { LevelRun } from '../repl/level-run.ts';
import { type RowName, slotOfRow } from '../repl/owner-message.ts';
import type { RowLists } from '../repl/row-lists.ts';
import { SYSTEM_DATABASE } from '../repl/row-key.ts';
import { rowNameOf } from '../repl/row-namer.ts';
import { ROW_OP_FORMAT } from '../repl/row-op.ts';
import type { Version } from '../repl/version.ts';
import type { Row } from '../repl/view.ts';
import { Args } from './args.ts';
import { Client } from './client.ts';
import type { ClusterHost } from './cluster-host.ts';
import { ClusterKeyspace } from './cluster-keyspace.ts';
import { plan, Planned, planOf } from './cluster-plan.ts';
import type { Command } from './command.ts';
import { explainOwners } from './cluster-explain.ts';
import { type ChangePolicies, ClusterLevels } from './cluster-levels.ts';
import { ClusterTransactions } from './cluster-transactions.ts';
import { wrongArity } from './errors.ts';
import { NOT_JOINED } from './errors-cluster.ts';
import { AFTERWARDS, planExec } from './exec-run.ts';
import { decodeForward, encodeForwardAnswer, type ForwardedCommand, type ForwardedRequest } from './forward-codec.ts';
import { SEVERAL_FORMAT } from './forward-several.ts';
import { NO_CONNECTION } from './no-connection.ts';
import { PendingReply, whenSettled } from './pending-reply.ts';
import { ErrorReply, MapReply, OK, type Reply } from './reply.ts';
import { type RowCommand, RowHandler } from './row-handler.ts';
import { RowRun } from './row-run.ts';
import { ServedRun } from './served-run.ts';
import type { Server } from './server-state.ts';
import { SeveralRows, type SeveralRowsHost } from './several-rows.ts';
import { SystemRows } from './system-rows.ts';
import { keyIndexes } from './table.ts';
import { forgetTransaction } from './transaction.ts';

/** Runs that are kept for reuse, about a kilobyte each. */
const MAX_FREE_RUNS = 1024;

export class ClusterRun implements SeveralRowsHost {
  readonly coordinator: Coordinator;
  readonly forwarder: Forwarder;
  readonly handler: RowHandler;
  readonly levels: LevelRun;
  readonly transactions: ClusterTransactions;
  readonly systemRows: SystemRows;
  private readonly server: Server;
  private readonly host: ClusterHost;
  private readonly view: ClusterView;
  private readonly requestTimeoutMs: () => number;
  private readonly keyspace: ClusterKeyspace;
  private readonly several: SeveralRows;
  /** Levels and policies. */
  readonly rules: ClusterLevels;
  private readonly planned = new Planned();
  private readonly free: RowRun[] = [];
  /** The row that `mustWait` has just named, and of which words: it is they that run next, if they need not wait. */
  private named: RowName = '';
  private namedFor: Args | undefined = undefined;
  /** Stands in for the clients of other nodes. */
  private readonly stranger: Client;

  constructor(options: {
    host: ClusterHost;
    view: ClusterView;
    coordinator: Coordinator;
    forwarder: Forwarder;
    /** What owners list and count. */
    lists: RowLists;
    levels: LevelRun;
    changePolicies: ChangePolicies;
    /** How long a client waits for a quorum, in ms. */
    requestTimeoutMs(): number;
  }) {
    const { server } = options.host;
    this.host = options.host;
    this.server = server;
    this.view = options.view;
    this.coordinator = options.coordinator;
    this.forwarder = options.forwarder;
    this.requestTimeoutMs = () => options.requestTimeoutMs();
    const { lists, coordinator, requestTimeoutMs } = options;
    this.keyspace = new ClusterKeyspace({ server, coordinator, lists, requestTimeoutMs });
    this.levels = options.levels;
    const { view, levels: runs, changePolicies } = options;
    const { forwarder } = options;
    const transactions = new ClusterTransactions({ env: server.env, coordinator, forwarder, view });
    this.transactions = transactions;
    this.systemRows = new SystemRows({ server, coordinator, transactions, deadlineMs: () => this.deadlineMs() });
    this.rules = new ClusterLevels({ view, runs, config: server.config, changePolicies });
    server.rows = this;
    this.handler = new RowHandler(server.keyspace, server.env.clock);
    this.several = new SeveralRows({ runs: this, host: this.host, keyspace: this.keyspace });
    this.stranger = new Client({ id: 0, server, connection: NO_CONNECTION, nowMs: 0, authenticated: true });
  }

  get self(): number {
    return this.view.self;
  }

  // --- for the dispatcher ------------------------------------------------------------------------------------------

  /** Whether this command goes through here, rather than to the rows of this node. */
  takes(command: Command): boolean {
    return command.access !== 'none' && !this.isAlone;
  }

  /** Rows are this node's alone, and it is not leaving its cluster for another one. */
  get isAlone(): boolean {
    return !this.view.isShared && this.view.topology !== undefined;
  }

  /** Whether the command must wait until those of this connection that are under way are answered. */
  mustWait(client: Client, command: Command, args: Args): boolean {
    this.namedFor = undefined;
    if (client.cluster.count === 0) return false;
    if (command.access === 'none' || command.blocks !== undefined) return true;
    const { planned } = this;
    planOf(command, args, planned);
    if (planned.kind !== plan.ROW) return true;
    this.named = this.rowAt(client.database, args, planned.keyAt);
    this.namedFor = args;
    return client.cluster.has(this.named);
  }

  /** Runs the command. Requires: `takes` it, and it need not wait. `undefined`: this node runs it by itself. */
  run(
    client: Client,
    command: Command,
    args: Args,
    startUs: number,
  ): Reply | PendingReply | Promise<Reply> | undefined {
    const { planned } = this;
    planOf(command, args, planned);
    if (planned.kind === plan.LOCAL) return undefined;
    if (this.view.topology === undefined) return this.refuse(client, command, args, startUs, NOT_JOINED);
    switch (planned.kind) {
      case plan.ROW: {
        const run = this.newRun(client, command, args, planned.keyAt, startUs);
        const { pending } = run;
        this.startRun(run);
        return pending;
      }
      case plan.READ:
        return this.counted(client, command, args, startUs, (words) => this.several.read(client, command, words));
      case plan.EXEC:
        return this.exec(client, command, args, startUs);
      case plan.KEYSPACE:
        if (command.systemRow !== undefined) return this.runOnSystemRow(client, command, args, startUs);
        return this.counted(client, command, args, startUs, (words) => this.keyspace.run(client, command, words));
      case plan.ROWS:
        if (command.name === 'mset' && args.count % 2 === 1 && this.isWeak(client, args)) {
          return this.counted(client, command, args, startUs, (words) => this.setEach(client, words));
        }
        return this.counted(client, command, args, startUs, (words) => this.several.change(client, command, words));
      default:
        return unreachable(planned.kind);
    }
  }

  // --- for the bus -------------------------------------------------------------------------------------------------

  /** A change that another node forwards to this one. */
  readonly serve = (arrival: Arrival, answer: Answer): void => {
    if (!this.coordinator.isReady || this.view.topology === undefined) {
      answer(encodeForwardAnswer(undefined));
      return;
    }
    if (arrival.message.payload[0] === ROW_OP_FORMAT) {
      this.transactions.serve(arrival.message.payload, answer);
      return;
    }
    let request: ForwardedRequest;
    try {
      const payload = Buffer.from(arrival.message.payload);
      if (payload[0] === SEVERAL_FORMAT) {
        this.several.serve(payload, (commands) => this.resolve(commands), answer);
        return;
      }
      request = decodeForward(payload);
    } catch (thrown) {
      if (!(thrown instanceof DamagedError)) throw thrown;
      answer(utf8(thrown.message), METHOD_FAILED);
      return;
    }
    const calls = this.resolve(request.commands);
    if (calls === undefined) {
      answer(utf8('a command that this node does not know'), METHOD_FAILED);
      return;
    }
    const { handler } = this;
    this.rules.follow(handler);
    this.stranger.protocol = request.isResp3 ? 3 : 2;
    const marks = request.isExec ? request.marks : undefined;
    const { row } = request;
    const deadlineMs = this.coordinator.nowMs() + request.leftMs;
    const { context } = this.stranger;
    const { transactions } = this;
    const again = (task: ServedRun): void => this.coordinator.submit(row, task, deadlineMs);
    again(new ServedRun({ handler, context, row, calls, marks, answer, transactions, deadlineMs, again }));
  };

  private resolve(commands: readonly ForwardedCommand[]): RowCommand[] | undefined {
    const calls: RowCommand[] = [];
    for (const { args, database } of commands) {
      const command = this.host.table.resolve(args);
      if (command === undefined || command.access === 'none') return undefined;
      calls.push({ command, args, database });
    }
    return calls;
  }

  // --- for runs ----------------------------------------------------------------------------------------------------

  countHits(): void {
    const { rows, rowCount } = this.handler.view;
    for (let i = 0; i < rowCount; i++) {
      if ((rows[i] as Row).live) this.server.keyspaceHits++;
      else this.server.keyspaceMisses++;
    }
  }

  noteChange(client: Client, row: RowName, version: Version, isWeak: boolean): void {
    this.server.keyspace.changes++;
    client.cluster.noteWrite(row, version, isWeak);
  }

  waitsForMore(run: RowRun): boolean {
    if (run.level === QUORUM || run.command.access !== 'overwrite') return false;
    return this.rules.isAbove(run.level, run.row);
  }

  ownerCount(row: RowName): number {
    return this.view.owners(slotOfRow(row)).current.length;
  }

  observe(run: RowRun, reply: Reply): void {
    run.client.cluster.end(run.row);
    this.server.observer.after(run.client, run.command, run.args, run.startUs, reply, run.workUs);
  }

  release(run: RowRun): void {
    if (this.free.length < MAX_FREE_RUNS) this.free.push(run);
  }

  // --- levels ------------------------------------------------------------------------------------------------------

  get isShared(): boolean {
    return this.view.isShared;
  }

  get ledger(): Ledger {
    return this.levels.ledger;
  }

  /** KV.POLICY; the reply. */
  changePolicies(change: (before: readonly Policy[]) => readonly Policy[]): Promise<Reply> {
    return this.rules.changePolicies(change, this.deadlineMs());
  }

  /** Whether the policy of the row with this name keeps siblings. */
  keepsSiblings(name: Uint8Array): boolean {
    return this.view.isShared && this.rules.keepsSiblings(latin1(name));
  }

  private startRun(run: RowRun): void {
    const { rules } = this;
    const { command, client, row } = run;
    const isRead = command.access === 'read';
    run.level = rules.levelOf(client, row, isRead);
    rules.follow(this.handler);
    if (isRead) run.read();
    else if (run.level !== QUORUM && rules.mayOverwrite(run.level, row, command, run.args)) run.overwrite();
    else run.change();
  }

  /** Whether MSET may be as many writes as it has keys: where the last write wins anyway. */
  private isWeak(client: Client, args: Args): boolean {
    const row = this.rowAt(client.database, args, 1);
    return this.rules.isBelow(this.rules.levelOf(client, row, false), row);
  }

  private setEach(client: Client, args: Args): Promise<Reply> {
    const set = this.host.table.get('set') as Command;
    const parts: Promise<Reply>[] = [];
    for (let i = 1; i < args.count; i += 2) {
      const run = this.part(client, set, Args.of('set', args.at(i), args.at(i + 1)), 1, 0);
      const { pending } = run;
      this.startRun(run);
      parts.push(whenSettled(pending));
    }
    return Promise.all(parts).then((replies) => replies.find((reply) => reply !== OK) ?? OK);
  }

  /** KV.EXPLAIN: runs the command and tells how. */
  async explain(client: Client, args: Args): Promise<Reply> {
    const command = this.host.table.resolve(args);
    if (command === undefined) return new ErrorReply('ERR unknown command');
    const { arity } = command;
    if (arity > 0 ? args.count !== arity : args.count < -arity) return new ErrorReply(wrongArity(command.name));
    const planned = new Planned();
    planOf(command, args, planned);
    const entries: [string, Reply][] = [['command', command.name]];
    if (planned.kind !== plan.ROW || !this.takes(command) || this.view.topology === undefined) {
      entries.push(['path', planned.kind === plan.LOCAL ? 'this node' : 'several rows: see each key']);
      return new MapReply(entries);
    }
    const { rules, view, coordinator } = this;
    const { clock } = this.server.env;
    const startUs = clock.monotonicUs();
    const run = this.part(client, command, args, planned.keyAt, startUs);
    const { pending, row } = run;
    const isRead = command.access === 'read';
    const coordinatedBy = isRead ? this.self : this.forwarder.coordinatorOf(slotOfRow(row));
    this.startRun(run);
    const { level } = run;
    const isWeak = !isRead && rules.mayOverwrite(level, row, command, args);
    const reply = await whenSettled(pending);
    const tookUs = clock.monotonicUs() - startUs;
    entries.push(
      ['path', isRead ? 'read' : isWeak ? 'write without asking' : 'change'],
      ['level', levelText(level)],
      ['slot', slotOfRow(row)],
      ['coordinator', coordinatedBy],
      ['microseconds', Math.round(tookUs)],
      ['owners', await explainOwners({ view, coordinator, clock }, row)],
      ['reply', reply],
    );
    return new MapReply(entries);
  }

  /** Numbers for INFO, by name. */
  metrics(): Readonly<Record<string, number>> {
    const { coordinator, forwarder, levels } = this;
    return {
      ...coordinator.counts,
      ...forwarder.counts,
      ...levels.counts,
      ...this.transactions.protocol.counts,
      underWay: coordinator.pending + forwarder.pending,
      discardedWrites: levels.ledger.count,
    };
  }

  /** When a command that begins now gives up, in ms of the coordinator's clock. */
  deadlineMs(): number {
    return this.coordinator.nowMs() + this.requestTimeoutMs();
  }

  // --- one row -----------------------------------------------------------------------------------------------------

  private newRun(client: Client, command: Command, args: Args, keyAt: number, startUs: number): RowRun {
    const row = this.namedFor === args ? this.named : this.rowAt(client.database, args, keyAt);
    const run = this.part(client, command, args, keyAt, startUs, row);
    run.isWhole = true;
    client.cluster.begin(run.row);
    return run;
  }

  /** A run on one row that is a part of a command, or all of it. `keyAt`: which word is the key. */
  part(
    client: Client,
    command: Command,
    args: Args,
    keyAt: number,
    startUs: number,
    row = this.rowAt(client.database, args, keyAt),
  ): RowRun {
    const run = this.free.pop() ?? new RowRun(this);
    run.client = client;
    run.command = command;
    run.database = client.database;
    run.row = row;
    run.setWords(args);
    run.startUs = startUs;
    run.deadlineMs = this.deadlineMs();
    run.level = QUORUM;
    run.isWhole = false;
    run.pending = new PendingReply();
    return run;
  }

  rowAt(database: number, args: Args, i: number): RowName {
    const physical = this.server.keyspace.physicalDatabase(database);
    return rowNameOf(physical, args.bytes, args.starts[i] as number, args.ends[i] as number);
  }

  // --- for clients that wait ---------------------------------------------------------------------------------------

  /** What a command answers where nothing is stored: nothing, or what is wrong with its words. */
  onNoRows(client: Client, command: Command, args: Args): Reply {
    const { handler } = this;
    handler.begin(client.database);
    for (const i of keyIndexes(command, args)) handler.given.give(this.rowAt(client.database, args, i), undefined);
    return handler.reply(command, args, client.context);
  }

  /** Runs words on the row that they name, or on several as a transaction, as a part of a command that is counted as a whole. */
  runUncounted(client: Client, words: Args): Promise<Reply> {
    const command = this.host.table.resolve(words) as Command;
    const { planned } = this;
    planOf(command, words, planned);
    if (planned.kind === plan.ROWS) return this.several.change(client, command, words);
    const run = this.part(client, command, words, planned.keyAt, 0);
    const { pending } = run;
    this.rules.follow(this.handler);
    if (command.access === 'read') run.read();
    else run.change();
    return whenSettled(pending);
  }

  // --- several rows ------------------------------------------------------------------------------------------------

  /** Runs `work` on a copy of the words and counts the command when it is done. */
  private async counted(
    client: Client,
    command: Command,
    args: Args,
    startUs: number,
    work: (words: Args) => Promise<Reply>,
  ): Promise<Reply> {
    const words = args.copy();
    const reply = await work(words);
    this.server.observer.after(client, command, words, startUs, reply);
    return reply;
  }

  private refuse(client: Client, command: Command, args: Args, startUs: number, error: string): Reply {
    const reply = new ErrorReply(error);
    this.server.observer.after(client, command, args, startUs, reply);
    return reply;
  }

  // --- functions and users ---------------------------------------------------------------------------------------------------

  /** A command on a row of our own: as on any other. */
  private runOnSystemRow(client: Client, command: Command, args: Args, startUs: number): Promise<Reply> {
    return this.counted(client, command, args, startUs, async (words) => {
      const key = command.systemRow as Uint8Array;
      const run = this.part(client, command, words, 0, 0);
      run.row = rowNameOf(SYSTEM_DATABASE, key, 0, key.length);
      const { pending } = run;
      if (command.access === 'read') run.read();
      else run.change();
      const reply = await whenSettled(pending);
      if (command.access === 'read') return reply;
      await this.systemRows.changed();
      return reply;
    });
  }

  /** To be called by the clock: rights may be taken away at other nodes. */
  async followUsers(): Promise<void> {
    if (!this.isAlone && this.view.topology !== undefined) await this.systemRows.followUsers();
  }

  // --- EXEC --------------------------------------------------------------------------------------------------------

  private exec(client: Client, command: Command, args: Args, startUs: number): Reply | Promise<Reply> | undefined {
    const { queue } = client;
    if (queue === undefined || client.queueFailed || client.watchFailed) return undefined;
    const { keyspace, settings } = this.server;
    const { databases } = settings;
    const physicalDatabase = (logical: number): number => keyspace.physicalDatabase(logical);
    const planned = planExec(queue, client.watched, { database: client.database, databases, physicalDatabase });
    if (planned instanceof ErrorReply) {
      forgetTransaction(client);
      return this.refuse(client, command, args, startUs, planned.message);
    }
    if (planned.every(({ rows, places }) => rows.size === 0 && !places.includes(AFTERWARDS))) return undefined;
    forgetTransaction(client);
    return this.counted(client, command, args, startUs, () => this.several.exec(client, queue, planned, startUs));
  }
}
