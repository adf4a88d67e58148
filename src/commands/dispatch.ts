/**
 * The dispatcher: from the words of a request to its reply.
 *
 * ```
 * words → row of the table → checks (arity, authentication, MULTI) → handler over a view → commit → reply
 *                                                       Miss: load the block, run again ──┘
 * ```
 *
 * A handler whose rows are in memory runs, commits and answers within one synchronous turn, so single commands and
 * EXEC are isolated without locks. What must wait (a block from disk, a write that compaction slows down, a pause)
 * takes the slow path, with a copy of its words. So does a script that runs for long: see busy-script.ts.
 */

import { EngineError } from '../engine/engine-error.ts';
import type { Store } from '../engine/store.ts';
import { DiskError } from '../env.ts';
import { LongChange, LongRun, type TurnHost } from '../repl/long-change.ts';
import { Miss } from '../repl/miss.ts';
import type { Row, View } from '../repl/view.ts';
import type { Keyspace } from '../repl/keyspace.ts';
import { deny } from './acl-deny.ts';
import type { Args } from './args.ts';
import { isNothing } from './blocked-clients.ts';
import type { Client, QueuedCommand } from './client.ts';
import type { ClusterHost } from './cluster-host.ts';
import type { ClusterRun } from './cluster-run.ts';
import type { Command, Context } from './command.ts';
import { Resting } from './lua-host.ts';
import { CommandError, NO_AUTH, onlySubscribing, wrongArity } from './errors.ts';
import { localOnly } from './errors-cluster.ts';
import { AFTER_PENDING, type AfterPending, PendingReply, whenSettled } from './pending-reply.ts';
import { isRefusedToSubscriber } from './pubsub.ts';
import { ErrorReply, ownBytes, QUEUED, type Reply, SimpleString } from './reply.ts';
import { runWhole } from './slices.ts';
import type { Server } from './server-state.ts';
import { CommandTable, keyIndexes } from './table.ts';
import { refuseQueued, runsInsideMulti, transactionCommands } from './transaction.ts';

/** Characters of arguments that the error for an unknown command quotes, as Redis. */
const QUOTED_ARGUMENTS_LENGTH = 128;

/** A slow handler is not retried for ever: each round brings in at least one more block. */
const MAX_ROUNDS = 100_000;

/** How a command has ended that did not end at once; `parked`: it waits for other clients. */
interface Done {
  readonly reply: Reply | Promise<Reply>;
  readonly sequence: number;
  readonly parked?: Promise<Reply>;
}

/** A script that has begun anew so often rests where it misses the next block. */
const SLOW_ROUNDS = 32;

/** Commands within so many microseconds share one look at the wall clock, which counts in milliseconds. */
const WALL_CLOCK_STEP_US = 250;

/** How long a write waits for flush and compaction to catch up before it is refused, and how often it looks. */
const OVERLOAD_PATIENCE_MS = 30_000;
const OVERLOAD_POLL_MS = 10;

export class Dispatcher {
  readonly table: CommandTable;
  private readonly server: Server;
  private readonly keyspace: Keyspace;
  private readonly store: Store;
  /** The view of the commands that answer within one turn; one is enough, since they never overlap. */
  private view: View;
  private sequence = 0;
  /** Whose command ran last. */
  private running: Client | undefined = undefined;
  private cluster: ClusterRun | undefined = undefined;
  private lastWallMs = 0;
  /** When, by the monotonic clock, `lastWallMs` was read. */
  private wallAtUs = -Infinity;
  /** What the EXEC that runs now has run so far. */
  private readonly queuedRuns: { readonly queued: QueuedCommand; readonly tookUs: number; readonly reply: Reply }[] =
    [];

  constructor(server: Server, rows: readonly Command[]) {
    this.server = server;
    this.keyspace = server.keyspace;
    this.store = server.keyspace.store;
    this.view = server.keyspace.newView();
    server.busy.view = this.view;
    const runQueued = (view: View, queued: QueuedCommand, context: Context): Reply | Promise<Reply> =>
      this.runQueued(view, queued, context);
    this.table = new CommandTable([...rows, ...transactionCommands(runQueued)]);
    server.blocked.attach({
      errorReplyOf: (thrown) => this.errorReplyOf(thrown),
      whenDurable: (sequence) => this.whenDurable(sequence),
      committed: (view) => {
        this.running = undefined;
        this.committed(view);
      },
    });
  }

  /** Commands on rows go through what `make` makes whenever they are shared with other nodes. */
  share(make: (host: ClusterHost) => ClusterRun): void {
    const { server, table } = this;
    this.cluster = make({ server, table, runLocally: (queued, context) => this.runQueued(this.view, queued, context) });
  }

  /**
   * Highest store sequence that the command which just answered at once read or wrote: its reply waits for that.
   * A promised reply has waited already when it settles.
   */
  sequenceToAwait(): number {
    return this.sequence;
  }

  /** Runs one command of a client. Requires: args.count ≥ 1. */
  execute(client: Client, args: Args): Reply | Promise<Reply> | PendingReply | AfterPending {
    this.sequence = 0;
    const { server } = this;
    const command = this.table.resolve(args);
    const refusal = this.refusal(client, command, args);
    if (refusal !== undefined || command === undefined) {
      const error = refuseQueued(client, command, refusal ?? unknownCommand(args));
      server.observer.rejected(client, command, error);
      return error;
    }
    if (command.unwrap !== undefined) return this.executeWrapped(client, command.unwrap, args);
    if (client.queue !== undefined && !runsInsideMulti(command)) {
      client.queue.push({ command, args: args.copy() });
      return QUEUED;
    }
    if (this.cluster?.mustWait(client, command, args) === true) return AFTER_PENDING;
    const delay =
      server.observer.before(client, command, args) ?? this.untilWritable(command) ?? server.busy.delay(command);
    if (delay !== undefined) return this.runLater(client, command, args.copy(), delay);
    return this.start(client, command, args);
  }

  /** Runs the command that stands in another one. */
  private executeWrapped(
    client: Client,
    unwrap: NonNullable<Command['unwrap']>,
    args: Args,
  ): ReturnType<Dispatcher['execute']> {
    try {
      return this.execute(client, unwrap(args, client));
    } catch (thrown) {
      return this.errorReplyOf(thrown);
    } finally {
      client.cluster.once = undefined;
    }
  }

  private start(client: Client, command: Command, args: Args): Reply | Promise<Reply> | PendingReply {
    const { cluster } = this;
    if (cluster?.takes(command) === true) {
      const parked = command.blocks === undefined ? undefined : this.server.blocked.far?.start(client, command, args);
      if (parked !== undefined) return parked;
      const reply = cluster.run(client, command, args, this.server.env.clock.monotonicUs());
      if (reply !== undefined) return reply;
    }
    return this.runNow(client, command, args);
  }

  private refusal(client: Client, command: Command | undefined, args: Args): ErrorReply | undefined {
    if (command === undefined) return this.unknown(args);
    const { arity } = command;
    if (arity > 0 ? args.count !== arity : args.count < -arity) {
      return new ErrorReply(wrongArity(this.fullName(command, args)));
    }
    if (!client.authenticated && !command.flags.includes('no_auth')) return new ErrorReply(NO_AUTH);
    if (client.permissions !== undefined && !command.flags.includes('no_auth')) {
      const denied = deny(this.server, client, this.fullName(command, args), command, args);
      if (denied !== undefined) return denied;
    }
    if (client.queue !== undefined && command.flags.includes('no_multi')) {
      return new ErrorReply('ERR Command not allowed inside a transaction');
    }
    if (isRefusedToSubscriber(client, command)) return new ErrorReply(onlySubscribing(this.fullName(command, args)));
    return this.writeRefusal(client, command) ?? this.busyRefusal(command);
  }

  private busyRefusal(command: Command): ErrorReply | undefined {
    const { busy, env } = this.server;
    return busy.isOn ? busy.refusal(command, env.clock.monotonicUs()) : undefined;
  }

  private writeRefusal(client: Client, command: Command): ErrorReply | undefined {
    const writes = command.name === 'exec' ? client.queue?.some((queued) => isWrite(queued.command)) : isWrite(command);
    if (writes !== true) return undefined;
    const refused = this.store.refusal;
    // An overload passes: the command waits for it (`untilWritable`).
    if (refused === undefined || refused.code === 'overloaded') return undefined;
    // On a full disk what only removes is let through to the store, which has the last word.
    if (refused.code === 'disk-full' && mayFreeSpace(client, command)) return undefined;
    return new ErrorReply(refusedWrites(refused.message));
  }

  private unknown(args: Args): ErrorReply {
    const container = this.table.find(args.bytes, args.starts[0] as number, args.ends[0] as number);
    if (container === undefined) return unknownCommand(args);
    return new ErrorReply(`ERR unknown subcommand '${quotedWord(args, 1)}'. Try ${container.name.toUpperCase()} HELP.`);
  }

  /** `get`, or `config|get` for a subcommand. */
  fullName(command: Command, args: Args): string {
    const container = this.table.find(args.bytes, args.starts[0] as number, args.ends[0] as number);
    return container === undefined || container === command ? command.name : `${container.name}|${command.name}`;
  }

  private runNow(client: Client, command: Command, args: Args): Reply | Promise<Reply> {
    const { server, view } = this;
    const context: Context = client.context;
    const startUs = server.env.clock.monotonicUs();
    this.begin(view, command, client.database, this.wallMs(startUs));
    let reply: Reply | Promise<Reply>;
    try {
      this.forgetRun();
      reply = this.runHandler(view, command, args, context);
      view.showsBytes = typeof reply !== 'number' && !(reply instanceof SimpleString);
      this.commit(view, command);
      const parked = this.park(view, client, command, args, reply);
      if (parked !== undefined) return parked;
      this.observeQueued(client);
    } catch (thrown) {
      if (thrown instanceof Miss || thrown instanceof Resting || thrown instanceof LongChange) {
        return this.runAgain(client, command, args.copy(), thrown, startUs);
      }
      reply = this.errorReplyOf(thrown);
    }
    if (reply instanceof Promise) return this.finishLater(client, command, args.copy(), reply, startUs);
    server.observer.after(client, command, args, startUs, reply);
    return reply;
  }

  private begin(view: View, command: Command, database: number, wallMs: number): void {
    // A script looks at one row after another, in more than one turn.
    view.waitsForHeld = command.access !== 'read' || command.mayMeetOtherRows === true;
    view.mayTakeTurns = command.takesTurns === true;
    view.begin(database, wallMs);
  }

  /** The wall clock, looked at again once the other clock has moved on: a look at each costs what a look-up does. */
  private wallMs(nowUs: number): number {
    if (nowUs - this.wallAtUs >= WALL_CLOCK_STEP_US) {
      this.lastWallMs = this.server.env.clock.wallMs();
      this.wallAtUs = nowUs;
    }
    return this.lastWallMs;
  }

  private commit(view: View, command: Command): void {
    this.sequence = view.sequenceSeen;
    if (command.access === 'read') {
      this.countHits(view);
      this.server.notify.committed();
      return;
    }
    if (this.cluster?.isAlone === false && changesRows(view)) throw new CommandError(localOnly(command.name));
    const written = this.keyspace.commit(view);
    if (written > this.sequence) this.sequence = written;
    if (written > 0) this.committed(view);
    else this.server.notify.committed();
  }

  /** What others learn of a commit, in its turn. */
  private committed(view: View): void {
    const { blocked, notify, tracking } = this.server;
    notify.committed();
    if (tracking.isActive) tracking.committed(view, this.running);
    if (blocked.count > 0) blocked.committed(view);
  }

  /** Parks a command that may wait and has found nothing; undefined: its reply is what it is. Throws `CommandError`. */
  private park(
    view: View,
    client: Client,
    command: Command,
    args: Args,
    reply: Reply | Promise<Reply>,
  ): Promise<Reply> | undefined {
    if (command.blocks === undefined || reply instanceof Promise || !isNothing(reply)) return undefined;
    return this.server.blocked.park(client, command, args, view);
  }

  private countHits(view: View): void {
    const { rows, rowCount } = view;
    for (let i = 0; i < rowCount; i++) {
      if ((rows[i] as Row).live) this.server.keyspaceHits++;
      else this.server.keyspaceMisses++;
    }
  }

  /** A handler could not end: runs it until it does. */
  private async runAgain(
    client: Client,
    command: Command,
    args: Args,
    cause: Miss | Resting | LongChange,
    startUs: number,
  ): Promise<Reply> {
    let settled: Reply;
    let sequence = 0;
    try {
      const reply = await this.untilDone(client, command, args, cause, startUs);
      if (reply.parked !== undefined) return await reply.parked;
      sequence = reply.sequence;
      settled = reply.reply instanceof Promise ? await reply.reply : reply.reply;
    } catch (thrown) {
      settled = this.errorReplyOf(thrown);
    }
    await this.whenDurable(sequence);
    this.server.observer.after(client, command, args, startUs, settled);
    return settled;
  }

  private async untilDone(
    client: Client,
    command: Command,
    args: Args,
    cause: Miss | Resting | LongChange,
    startUs: number,
  ): Promise<Done> {
    if (cause instanceof Resting) return await this.untilScriptEnds(client, command, args, cause, startUs);
    const { busy, env } = this.server;
    // What it needs is brought in, and the heads of all its keys at once. A long change begins with the words' copy.
    if (cause instanceof Miss) await this.prefetch(client, command, args, cause);
    // The rows that a long change begins with are its own: where there is to be one the view is new.
    let isLong = cause instanceof LongChange;
    let long: LongRun | undefined;
    let slow: View | undefined;
    try {
      for (let round = 0; round < MAX_ROUNDS; round++) {
        // A script that waits for rows that are held would wait for ever.
        if (busy.isOn && long === undefined) await busy.whenOver();
        const view = isLong ? this.keyspace.newView() : this.view;
        view.long = long;
        if (round >= SLOW_ROUNDS && !busy.isOn) busy.slowView = slow = view;
        this.begin(view, command, client.database, env.clock.wallMs());
        let load: Promise<void>;
        try {
          this.forgetRun();
          return this.runOnce(client, command, args, view);
        } catch (thrown) {
          if (thrown instanceof Resting) return await this.untilScriptEnds(client, command, args, thrown, startUs);
          if (thrown instanceof LongChange) {
            if (!isLong) {
              isLong = true;
              continue;
            }
            long?.end();
            long = busy.isOn ? undefined : new LongRun(this.keyspace, view, thrown);
            load = long === undefined ? busy.whenOver() : long.run(this.turns);
          } else if (thrown instanceof Miss) load = thrown.load();
          else throw thrown;
        }
        await load;
      }
    } finally {
      long?.end();
      if (busy.slowView === slow) busy.slowView = undefined;
    }
    throw new Error(`${command.name} found no rest in ${MAX_ROUNDS} rounds`);
  }

  /** Throws `Miss`, `Resting`. */
  private runOnce(client: Client, command: Command, args: Args, view: View): Done {
    const reply = this.runHandler(view, command, args, client.context);
    this.commit(view, command);
    const parked = this.park(view, client, command, args, reply);
    if (parked !== undefined) return { reply: null, sequence: 0, parked };
    this.observeQueued(client);
    // What a long change answers is in memory of its own, and may be long.
    const isOwned = reply instanceof Promise || view.long !== undefined;
    return { reply: isOwned ? reply : ownBytes(reply), sequence: this.sequence };
  }

  /**
   * A script rests: goes on with it turn by turn, while others are told `BUSY`. Where it misses a block it begins anew, but
   * nobody else runs before it has ended.
   */
  private async untilScriptEnds(
    client: Client,
    command: Command,
    args: Args,
    cause: Resting,
    startUs: number,
  ): Promise<Done> {
    const { server, view, keyspace } = this;
    const { busy, env, notify, blocked } = server;
    server.busy.view = this.view = keyspace.newView();
    const letGo = this.store.keepFound();
    let resting = cause;
    let isAnew = false;
    let isLong = false;
    let rounds = 0;
    try {
      for (;;) {
        if (!isAnew) busy.begin(resting, { view, args, startUs });
        if (!isLong && busy.isTold(env.clock.monotonicUs())) {
          isLong = true;
          env.log.warn('a script runs for longer than busy-reply-threshold', { script: cause.run.name });
        }
        const notes = notify.take();
        const runs = this.queuedRuns.splice(0);
        await ((isAnew ? undefined : resting.awaited?.()) ?? this.turnEnd());
        busy.checkGoOn();
        let load: Promise<void>;
        try {
          if (isAnew) view.begin(client.database, env.clock.wallMs());
          else {
            notify.restore(notes);
            this.queuedRuns.push(...runs);
          }
          return this.runOnce(client, command, args, view);
        } catch (thrown) {
          if (thrown instanceof Resting) {
            if (isAnew && resting.isKilled) thrown.isKilled = true;
            resting = thrown;
            isAnew = false;
            continue;
          }
          if (!(thrown instanceof Miss)) throw thrown;
          isAnew = true;
          load = thrown.load();
        }
        await load;
        if (resting.isKilled) return { reply: resting.killedReply, sequence: 0 };
        if (++rounds > MAX_ROUNDS) throw new Error(`${command.name} found no rest in ${MAX_ROUNDS} rounds`);
      }
    } finally {
      letGo();
      busy.end();
      blocked.serve();
    }
  }

  /** A command runs from its start: what an earlier run of it has noted is void. */
  private forgetRun(): void {
    if (this.queuedRuns.length > 0) this.queuedRuns.length = 0;
    this.server.notify.clear();
  }

  private runHandler(view: View, command: Command, args: Args, context: Context): Reply | Promise<Reply> {
    const { notify, tracking } = this.server;
    const { client } = context;
    this.running = client;
    if (client.tracking !== undefined) tracking.note(client, command, args);
    const isSliced = command.run === undefined || command.isLong?.(view, args) === true;
    if (isSliced) return this.runSliced(view, command, args, context);
    const reply = command.run(view, args, context);
    if (notify.isActive) notify.collect(view, command, args);
    return reply;
  }

  private async prefetch(client: Client, command: Command, args: Args, miss: Miss): Promise<void> {
    const keys = queuedKeys(client, command, args);
    await Promise.all([miss.load(), ...keys.map((key) => this.keyspace.prefetch(client.database, key))]);
  }

  private async finishLater(
    client: Client,
    command: Command,
    args: Args,
    promised: Promise<Reply>,
    startUs: number,
  ): Promise<Reply> {
    const sequence = this.sequence;
    let reply: Reply;
    try {
      reply = await promised;
    } catch (thrown) {
      reply = this.errorReplyOf(thrown);
    }
    await this.whenDurable(sequence);
    this.server.observer.after(client, command, args, startUs, reply);
    return reply;
  }

  /** A promise when this command writes and flush or compaction is too far behind to take it now. */
  private untilWritable(command: Command): Promise<void> | undefined {
    if (this.store.refusal?.code !== 'overloaded' || !isWrite(command)) return undefined;
    return this.overloadPasses();
  }

  private async overloadPasses(): Promise<void> {
    const { timers } = this.server.env;
    for (let waitedMs = 0; waitedMs < OVERLOAD_PATIENCE_MS; waitedMs += OVERLOAD_POLL_MS) {
      if (this.store.refusal?.code !== 'overloaded') return;
      await new Promise<void>((resolve) => timers.after(OVERLOAD_POLL_MS, resolve));
    }
  }

  private async runLater(client: Client, command: Command, args: Args, delay: Promise<void>): Promise<Reply> {
    const { once } = client.cluster;
    await delay;
    await this.untilWritable(command);
    await this.server.busy.whenOver();
    const refused = this.writeRefusal(client, command);
    if (refused !== undefined) return refused;
    client.cluster.once = once;
    const reply = this.start(client, command, args);
    client.cluster.once = undefined;
    if (reply instanceof Promise) return await reply;
    if (reply instanceof PendingReply) return await whenSettled(reply);
    const sequence = this.sequence;
    const kept = ownBytes(reply);
    await this.whenDurable(sequence);
    return kept;
  }

  /** Drives a sliced read: at once while it needs neither the disk nor a rest, otherwise slice by slice. */
  private runSliced(shown: View, command: Command, args: Args, context: Context): Reply | Promise<Reply> {
    const view = this.keyspace.newView();
    view.waitsForHeld = false;
    const { client, server } = context;
    view.begin(client.database, server.env.clock.wallMs());
    const words = args.copy();
    const slices = (command.runSliced as NonNullable<Command['runSliced']>)(view, words, context);
    const first = slices.next();
    // A scan shows whatever was written before it began.
    shown.sequenceSeen = this.store.lastSequence;
    if (first.done === true) return first.value;
    return this.restOfSlices(slices, first.value);
  }

  private async restOfSlices(
    slices: ReturnType<NonNullable<Command['runSliced']>>,
    wait: Promise<void> | undefined,
  ): Promise<Reply> {
    for (;;) {
      await (wait ?? this.turnEnd());
      const step = slices.next();
      if (step.done === true) return step.value;
      wait = step.value;
    }
  }

  /** What a handler or the store threw, as a reply; what is nobody's but ours is thrown on. */
  private errorReplyOf(thrown: unknown): ErrorReply {
    if (thrown instanceof CommandError) return thrown.reply;
    if (thrown instanceof EngineError && (thrown.code === 'refused' || thrown.code === 'closed')) {
      return new ErrorReply(refusedWrites(thrown.message));
    }
    if (thrown instanceof EngineError || thrown instanceof DiskError) {
      this.server.env.log.error('a command failed at the disk', { code: thrown.code, cause: thrown.message });
      return new ErrorReply(`ERR the data cannot be read or written: ${thrown.message}`);
    }
    throw thrown;
  }

  /** What a long change has between its slices. */
  private readonly turns: TurnHost = {
    rest: async () => {
      await this.turnEnd();
      const { store, server } = this;
      const delayMs = store.writeDelayMs;
      if (delayMs > 0) await new Promise<void>((resolve) => server.env.timers.after(delayMs, resolve));
      if (store.refusal?.code === 'overloaded') await this.overloadPasses();
    },
  };

  private turnEnd(): Promise<void> {
    return new Promise((resolve) => this.server.env.timers.atTurnEnd(resolve));
  }

  /** Promised replies wait here for what they show; those that answer at once leave it to the session. */
  private whenDurable(sequence: number): Promise<void> {
    const { store } = this;
    if (store.durableSequence >= sequence) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = store.onDurable(() => {
        if (store.durableSequence < sequence) return;
        stop();
        resolve();
      });
    });
  }

  private runQueued(view: View, queued: QueuedCommand, context: Context): Reply | Promise<Reply> {
    const { command, args } = queued;
    const { clock } = this.server.env;
    const { notify } = this.server;
    const startUs = clock.monotonicUs();
    const before = notify.isActive ? notify.mark(view) : undefined;
    const { client } = context;
    if (client.tracking !== undefined) this.server.tracking.note(client, command, args);
    let reply: Reply | Promise<Reply>;
    try {
      if (command.run !== undefined) reply = command.run(view, args, context);
      else reply = runWhole((command.runSliced as NonNullable<Command['runSliced']>)(view, args, context));
    } catch (thrown) {
      if (thrown instanceof Resting && before !== undefined) notify.collect(view, command, args, before);
      if (thrown instanceof Miss || thrown instanceof Resting) throw thrown;
      reply = this.errorReplyOf(thrown);
    }
    if (before !== undefined) notify.collect(view, command, args, before);
    if (!(reply instanceof Promise)) this.queuedRuns.push({ queued, tookUs: clock.monotonicUs() - startUs, reply });
    return reply;
  }

  /** The commands of an EXEC are seen by those who watch once it is done: it may have run more than once. */
  private observeQueued(client: Client): void {
    const runs = this.queuedRuns;
    if (runs.length === 0) return;
    const nowUs = this.server.env.clock.monotonicUs();
    for (const { queued, tookUs, reply } of runs) {
      this.server.observer.after(client, queued.command, queued.args, nowUs - tookUs, reply);
    }
    runs.length = 0;
  }
}

/** Rows that are shared with other nodes change by their register only, never by this node alone. */
function changesRows(view: View): boolean {
  return view.flushes.size > 0 || view.databases !== undefined || (view.rowCount > 0 && view.staged().length > 0);
}

function refusedWrites(reason: string): string {
  return `MISCONF Kvorum takes no writes at the moment: ${reason}`;
}

export function isWrite(command: Command): boolean {
  return command.access === 'overwrite' || command.access === 'update' || command.access === 'transaction';
}

/** Whether a command is one of those that Redis lets through when memory is short (DEL, FLUSHALL, …). */
function mayFreeSpace(client: Client, command: Command): boolean {
  if (command.name !== 'exec') return !command.flags.includes('denyoom');
  return client.queue?.every((queued) => !queued.command.flags.includes('denyoom')) === true;
}

/** The keys of a command; for EXEC those of its queue. */
function queuedKeys(client: Client, command: Command, args: Args): Uint8Array[] {
  if (command.name !== 'exec') return keyIndexes(command, args).map((i) => args.at(i));
  return (client.queue ?? []).flatMap((queued) =>
    keyIndexes(queued.command, queued.args).map((i) => queued.args.at(i)),
  );
}

function unknownCommand(args: Args): ErrorReply {
  let quoted = '';
  for (let i = 1; i < args.count && quoted.length < QUOTED_ARGUMENTS_LENGTH; i++) {
    quoted += `'${quotedWord(args, i).slice(0, QUOTED_ARGUMENTS_LENGTH - quoted.length)}' `;
  }
  return new ErrorReply(`ERR unknown command '${quotedWord(args, 0)}', with args beginning with: ${quoted}`);
}

/** A word as Redis quotes it in errors: up to its first zero byte, and not too much of it. */
function quotedWord(args: Args, i: number): string {
  return args.text(i).split('\0', 1).join('').slice(0, QUOTED_ARGUMENTS_LENGTH);
}
