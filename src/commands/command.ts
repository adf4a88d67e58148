/**
 * A command is a row of the table: name, arity, flags, where its keys are, how it reaches the data, and a pure
 * handler. Rows stand in the file of their group (`string.ts`, `key.ts`, …); `table.ts` gathers them.
 */

import type { RowType } from '../repl/head.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { ErrorReply, Reply } from './reply.ts';
import type { Server } from './server-state.ts';
import type { Sliced } from './sliced.ts';

/** Flags as COMMAND INFO shows them. */
export type CommandFlag =
  | 'write'
  | 'readonly'
  | 'denyoom'
  | 'admin'
  | 'pubsub'
  | 'noscript'
  | 'blocking'
  | 'loading'
  | 'stale'
  | 'skip_monitor'
  | 'skip_slowlog'
  | 'asking'
  | 'fast'
  | 'no_auth'
  | 'may_replicate'
  | 'no_async_loading'
  | 'no_multi'
  | 'movablekeys'
  | 'allow_busy'
  | 'no_mandatory_keys'
  | 'module';

/**
 * How a command reaches the data (design, section 5): `none` touches no row; `read`; `overwrite` ignores old values;
 * `update` looks before it writes; `transaction` changes rows that may have different owners.
 */
export type Access = 'none' | 'read' | 'overwrite' | 'update' | 'transaction';

/** Positions of the keys among the words; `last` < 0 counts from the end; `step` words from one key to the next. */
export interface KeyRange {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

/** Keys whose positions depend on the words: returns the indexes of the keys. */
export interface KeyFinder {
  /** What COMMAND INFO shows. */
  readonly range: KeyRange;
  find(args: Args): readonly number[];
}

export interface CommandDoc {
  readonly summary: string;
  readonly since: string;
  readonly group: string;
  readonly complexity: string;
}

/** What a handler may use besides the view and its words. */
export interface Context {
  readonly client: Client;
  readonly server: Server;
}

/**
 * A handler looks at rows through the view, stages changes in it and returns the reply; it throws `CommandError` for
 * an error reply. It may run several times (see `Miss`), so it changes nothing but the view, except in commands with
 * access `none`. Only those may answer later (a promise).
 */
export type Run = (view: View, args: Args, context: Context) => Reply | Promise<Reply>;

/**
 * A read over many rows, in slices: it yields a promise when it must wait for the disk, and `undefined` to let others
 * run. Inside EXEC it runs in one go.
 */
export type RunSliced = (view: View, args: Args, context: Context) => Sliced<Reply>;

/**
 * How a command waits while there is nothing for it. Its `run` is the form that does not wait: it answers `null` or
 * `NULL_ARRAY` when there is nothing. When the time is up the answer is `NULL_ARRAY`.
 */
export interface Blocking {
  /** How long these words wait, in ms; Infinity: for ever; undefined: they do not wait. Throws `CommandError`. */
  timeoutMs(args: Args): number | undefined;
  /** The type of the rows that it waits for; while a row has another one it goes on waiting. */
  readonly type: RowType;
  /** The words that name the rows it waits for; without it all its keys. */
  rows?(args: Args): readonly number[];
  /** The words that try the key at word i alone, for `run`. */
  only(args: Args, i: number): Args;
  /** The word of the key that an element is moved to, which has to be of the same type or not there. */
  readonly target?: number;
  /** What a waiter is told when a row is no more (DELETED), or of another type; without it, it goes on waiting. */
  gone?(type: RowType): Reply;
  /** What a waiter is told in place of this error, which a try has brought. */
  failed?(error: ErrorReply): ErrorReply;
  /** The words to wait with, where those that were sent depend on the moment (`$`). Called right after `run` found nothing. */
  settled?(view: View, args: Args, context: Context): Args;
  /** The same in a cluster, before anything is tried: `ask` runs a command on the row that its words name. */
  settledFar?(args: Args, ask: (words: Args) => Promise<Reply>): Promise<Args>;
  /** The words that put back what this reply has taken from the key at word i, for a client that is gone. */
  undo?(args: Args, i: number, reply: Reply): Args | undefined;
}

export interface Command {
  /** Lower case. */
  readonly name: string;
  /** Number of words with the name; negative: at least that many. */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  readonly keys?: KeyRange | KeyFinder;
  readonly access: Access;
  /** It is about this row of our own, in database 255 (repl/row-key.ts). */
  readonly systemRow?: Uint8Array;
  /** It may look at rows that its words do not name as keys (MOVE, SORT BY, scripts). */
  readonly mayMeetOtherRows?: boolean;
  /** ACL categories without the `@`; `slow` or `fast` and `read` or `write` follow from the flags. */
  readonly categories: readonly string[];
  readonly doc: CommandDoc;
  readonly run?: Run;
  readonly runSliced?: RunSliced;
  /** With both `run` and `runSliced`: whether this reply is so long that it is made in slices. Throws `Miss`. */
  readonly isLong?: (view: View, args: Args) => boolean;
  /** `run` may throw `LongChange` where much is changed. */
  readonly takesTurns?: boolean;
  /** For a command that may wait for other clients. */
  readonly blocks?: Blocking;
  /** For a command that wraps another one: the words of that; notes at the client what it says. Throws `CommandError`. */
  readonly unwrap?: (args: Args, client: Client) => Args;
  /** For container commands (CONFIG GET, CLIENT LIST, …): rows whose name is the subcommand's. */
  readonly subcommands?: readonly Command[];
}
