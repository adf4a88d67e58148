/**
 * A script under way: `redis.call` runs commands over the view of the EVAL that called it, so that all its changes are one
 * batch, or one transaction in a cluster.
 *
 * When a row or block is missing the script runs again from its start, as any handler. Commands that touch no row
 * (PUBLISH, TIME) would then be done twice, so they keep the answer of their first run; so do those on whole databases in a
 * cluster (script-wholes.ts).
 *
 * A script that takes long over rows of this node alone rests (busy-script.ts): the handler throws `Resting`, and when it is
 * called again over the same view, with all that is staged there, the script goes on.
 */

import { copyOf, latin1 } from '../bytes.ts';
import { Miss } from '../repl/miss.ts';
import type { View } from '../repl/view.ts';
import { denyScript } from './acl-deny.ts';
import { Args } from './args.ts';
import { Client } from './client.ts';
import type { Command, Context } from './command.ts';
import { isWrite } from './dispatch.ts';
import { CommandError } from './errors.ts';
import { type LibraryFunction, type LuaHost, Resting, type Script } from './lua-host.ts';
import { RetryableMiss, type ScriptWorld } from './lua-redis.ts';
import { NO_CONNECTION } from './no-connection.ts';
import type { Publication } from './notify-events.ts';
import { type TopicKind, topicKind } from './pubsub-topics.ts';
import { ErrorReply, ownBytes, type Reply } from './reply.ts';
import { readsWhole, WholeWanted } from './script-wholes.ts';
import { runWhole } from './slices.ts';
import { keyIndexes } from './table.ts';

const UNKNOWN = new ErrorReply('ERR Unknown Redis command called from script');
const WRONG_NUMBER = new ErrorReply('ERR Wrong number of args calling Redis command from script');
const NOT_ALLOWED = new ErrorReply('ERR This Redis command is not allowed from script');
const READ_ONLY = new ErrorReply('ERR Write commands are not allowed from read-only scripts.');

/** Names of Redis's log levels, by number, as the log has them. */
const LOG_LEVELS = ['debug', 'debug', 'info', 'warn'] as const;

/** The command that runs a script. */
export interface ScriptCall {
  readonly view: View;
  readonly context: Context;
  readonly isReadOnly: boolean;
}

/** What scripts of one server share. */
export class ScriptRunner {
  private readonly host: LuaHost;
  /** Stands in for the client while a script runs. */
  private client: Client | undefined = undefined;
  /** The script that rests, and its view. */
  private rested: { readonly view: View; readonly resting: Resting; readonly database: number } | undefined = undefined;

  constructor(host: LuaHost) {
    this.host = host;
  }

  /** Runs a script or a function, or goes on with the one that rests over this view. Throws `Miss`, `Resting`. */
  run(
    what: Script | LibraryFunction,
    call: ScriptCall,
    keys: readonly Uint8Array[],
    argv: readonly Uint8Array[],
  ): Reply {
    const { view, context } = call;
    const { database } = view;
    this.client ??= new Client({
      id: 0,
      server: context.server,
      connection: NO_CONNECTION,
      nowMs: 0,
      authenticated: true,
    });
    this.client.database = database;
    const isScript = 'sha' in what;
    const rested = this.restedOver(view);
    if (rested !== undefined) this.client.database = rested.database;
    const before = rested?.resting.run.world as CallingScript | undefined;
    const world = before ?? new CallingScript(this.client, call, isScript ? what.sha : what.name);
    try {
      let reply: Reply;
      if (rested !== undefined) reply = this.host.resume(rested.resting);
      else if (isScript) reply = this.host.run(what, keys, argv, world);
      else reply = this.host.runFunction(what, keys, argv, world);
      context.client.scriptMemo = undefined;
      context.server.notify.keep(world.memo.published);
      return reply;
    } catch (thrown) {
      if (thrown instanceof CommandError) context.server.notify.keep(world.memo.published);
      if (thrown instanceof Resting) this.rested = { view, resting: thrown, database: this.client.database };
      // It will run again, and then answers as it has answered.
      context.client.scriptMemo = thrown instanceof Miss || thrown instanceof WholeWanted ? world.memo : undefined;
      throw thrown;
    } finally {
      view.database = database;
    }
  }

  private restedOver(view: View): ScriptRunner['rested'] {
    const { rested } = this;
    if (rested?.view !== view) return undefined;
    this.rested = undefined;
    return rested;
  }
}

/** What commands without rows of their own have answered in a run that will run again. */
export interface ScriptMemo {
  readonly sha: string;
  readonly replies: Reply[];
  /** The words of those on whole databases. */
  readonly asked: string[];
  /** What was published where rows are given: it is told when the run that is the last one is committed. */
  readonly published: Publication[];
}

/** PUBLISH and SPUBLISH by their names. */
const PUBLISHING: ReadonlyMap<string, TopicKind> = new Map([
  ['publish', topicKind.CHANNEL],
  ['spublish', topicKind.SHARD],
]);

class CallingScript implements ScriptWorld {
  readonly memo: ScriptMemo;
  readonly mayRest: boolean;
  readonly isOverdue: boolean;
  hasWritten = false;
  /** It has begun anew so often that it waits where it misses a block. */
  private readonly isSlow: boolean;
  private readonly client: Client;
  private readonly view: View;
  private readonly context: Context;
  private readonly isReadOnly: boolean;
  /** Commands without rows so far. */
  private calls = 0;

  constructor(client: Client, call: ScriptCall, sha: string) {
    this.client = client;
    this.view = call.view;
    this.context = call.context;
    this.isReadOnly = call.isReadOnly;
    const { busy } = call.context.server;
    this.mayRest = busy.mayRest(call.view);
    this.isOverdue = busy.isOverdue(call.view);
    this.isSlow = busy.isSlow(call.view);
    const { scriptMemo } = call.context.client;
    this.memo = scriptMemo?.sha === sha ? scriptMemo : { sha, replies: [], asked: [], published: [] };
  }

  call(words: readonly Uint8Array[], resp: 2 | 3): Reply {
    const args = Args.of(...words);
    const command = this.resolve(args);
    if (command === undefined) return UNKNOWN;
    const { arity } = command;
    if (arity > 0 ? args.count !== arity : args.count < -arity) return WRONG_NUMBER;
    if (command.flags.includes('noscript') || command.unwrap !== undefined) return NOT_ALLOWED;
    if (this.isReadOnly && isWrite(command)) return READ_ONLY;
    const denied = denyScript(this.context.server, this.context.client, this.fullName(command, args), command, args);
    if (denied !== undefined) return denied;
    if (isWrite(command)) this.hasWritten = true;
    this.client.protocol = resp;
    // SELECT changes nothing but this run.
    if (command.access === 'none' && command.name !== 'select') return this.callOnce(command, args);
    return this.view.isGiven && readsWhole(command) ? this.askOnce(command, args) : this.run(command, args);
  }

  private resolve(args: Args): Command | undefined {
    const { server } = this.context;
    const command = server.findCommand(args.text(0));
    if (command?.subcommands === undefined || args.count < 2) return command;
    return server.findCommand(`${command.name}|${args.text(1)}`) ?? undefined;
  }

  private fullName(command: Command, args: Args): string {
    const { name } = command;
    return args.text(0).toLowerCase() === name ? name : `${args.text(0).toLowerCase()}|${name}`;
  }

  private callOnce(command: Command, args: Args): Reply {
    const { replies } = this.memo;
    const at = this.calls++;
    const known = replies[at];
    if (known !== undefined) return known;
    const kind = this.view.isGiven ? PUBLISHING.get(command.name) : undefined;
    const reply = kind === undefined ? this.run(command, args) : this.publishLater(kind, args);
    replies[at] = ownBytes(reply);
    return reply;
  }

  /** A run over given rows may come to nothing, and the next one publish again. */
  private publishLater(kind: TopicKind, args: Args): Reply {
    const message = { kind, channel: copyOf(args.at(1)), message: copyOf(args.at(2)) };
    try {
      const told = this.context.server.pubsub.reach(kind, message.channel, message.message);
      this.memo.published.push(message);
      return told;
    } catch (thrown) {
      if (thrown instanceof CommandError) return thrown.reply;
      throw thrown;
    }
  }

  private askOnce(command: Command, args: Args): Reply {
    const { memo } = this;
    const { database } = this.client;
    const at = this.calls++;
    const asked = [database, ...args.words().map((word) => latin1(word))].join('\0');
    const known = memo.replies[at];
    if (known !== undefined && memo.asked[at] === asked) return known;
    throw new WholeWanted({ command, args: args.copy(), database, memo, at, asked });
  }

  private run(command: Command, args: Args): Reply {
    const { view, client } = this;
    const context = client.context;
    view.database = client.database;
    if (this.isSlow) this.bringHeads(command, args);
    const { notify } = context.server;
    const before = notify.isActive ? notify.mark(view) : undefined;
    try {
      const reply =
        command.run === undefined
          ? command.runSliced && runWhole(command.runSliced(view, args, context))
          : command.run(view, args, context);
      return reply === undefined || reply instanceof Promise ? NOT_ALLOWED : reply;
    } catch (thrown) {
      if (thrown instanceof CommandError) return thrown.reply;
      if (thrown instanceof Miss && this.isSlow && command.access === 'read') throw new RetryableMiss(thrown.load);
      throw thrown;
    } finally {
      if (before !== undefined) notify.collect(view, command, args, before);
    }
  }

  /** Looks at the rows of a command before it runs: what is missed then, is missed before anything is staged. */
  private bringHeads(command: Command, args: Args): void {
    try {
      for (const i of keyIndexes(command, args)) this.view.row(args.at(i));
    } catch (thrown) {
      if (thrown instanceof Miss) throw new RetryableMiss(thrown.load);
      throw thrown;
    }
  }

  log(level: number, text: string): void {
    this.context.server.env.log[LOG_LEVELS[level] ?? 'info']('a script says', { text });
  }
}
