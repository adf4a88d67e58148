/**
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * Queued commands run one after another in EXEC's own view, which is committed as one batch: nobody sees half of it,
 * not even after a crash. WATCH remembers each row's modification version; EXEC compares.
 */

import { isRowChanged, type View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Client, QueuedCommand } from './client.ts';
import type { Command, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { Resting } from './lua-host.ts';
import { ErrorReply, NULL_ARRAY, OK, type Reply } from './reply.ts';

/** Runs one queued command in EXEC's view; an error is a reply. Handed in by the dispatcher. */
export type RunQueued = (view: View, queued: QueuedCommand, context: Context) => Reply | Promise<Reply>;

/** Ends a client's transaction and its watches. */
export function forgetTransaction(client: Client): void {
  client.queue = undefined;
  client.queueFailed = false;
  client.execReplies = undefined;
  client.execRested = undefined;
  forgetWatches(client);
}

function forgetWatches(client: Client): void {
  client.watched = [];
  client.watchFailed = false;
}

export function transactionCommands(runQueued: RunQueued): readonly Command[] {
  return [
    {
      name: 'multi',
      arity: 1,
      flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
      access: 'none',
      categories: ['transaction'],
      doc: doc('Starts queueing commands for EXEC.', '1.2.0', 'O(1)'),
      run: multi,
    },
    {
      name: 'exec',
      arity: 1,
      flags: ['noscript', 'loading', 'stale', 'skip_slowlog'],
      access: 'transaction',
      categories: ['transaction'],
      doc: doc('Runs the queued commands as one.', '1.2.0', 'That of the queued commands'),
      run: (view, _args, context) => exec(view, context, runQueued),
    },
    {
      name: 'discard',
      arity: 1,
      flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
      access: 'none',
      categories: ['transaction'],
      doc: doc('Forgets the queued commands.', '2.0.0', 'O(N) for N queued commands'),
      run: discard,
    },
    {
      name: 'watch',
      arity: -2,
      flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
      keys: { first: 1, last: -1, step: 1 },
      access: 'read',
      categories: ['transaction'],
      doc: doc('Makes the next EXEC depend on these keys being unchanged.', '2.2.0', 'O(1) for each key'),
      run: watch,
    },
    {
      name: 'unwatch',
      arity: 1,
      flags: ['noscript', 'loading', 'stale', 'fast', 'allow_busy'],
      access: 'none',
      categories: ['transaction'],
      doc: doc('Forgets the watched keys.', '2.2.0', 'O(1)'),
      run: unwatch,
    },
  ];
}

function doc(summary: string, since: string, complexity: string): Command['doc'] {
  return { summary, since, group: 'transactions', complexity };
}

function multi(_view: View, _args: Args, { client }: Context): Reply {
  if (client.queue !== undefined) throw new CommandError('ERR MULTI calls can not be nested');
  client.queue = [];
  client.queueFailed = false;
  return OK;
}

function discard(_view: View, _args: Args, { client }: Context): Reply {
  if (client.queue === undefined) throw new CommandError('ERR DISCARD without MULTI');
  forgetTransaction(client);
  return OK;
}

function watch(view: View, args: Args, { client }: Context): Reply {
  if (client.queue !== undefined) throw new CommandError('ERR WATCH inside MULTI is not allowed');
  const marks = [];
  for (let i = 1; i < args.count; i++) {
    const key = args.at(i);
    marks.push({ database: view.database, key: key.slice(), mark: view.row(key).mark });
  }
  for (const watched of marks) {
    const known = client.watched.some(
      (w) => w.database === watched.database && Buffer.compare(w.key, watched.key) === 0,
    );
    if (!known) client.watched.push(watched);
  }
  return OK;
}

function unwatch(_view: View, _args: Args, { client }: Context): Reply {
  forgetWatches(client);
  return OK;
}

function exec(view: View, context: Context, runQueued: RunQueued): Reply | Promise<Reply> {
  const { client } = context;
  const queue = client.queue;
  if (queue === undefined) throw new CommandError('ERR EXEC without MULTI');
  if (client.queueFailed) {
    forgetTransaction(client);
    throw new CommandError('EXECABORT Transaction discarded because of previous errors.');
  }
  if (client.watchFailed) {
    forgetTransaction(client);
    throw new CommandError('EXECABORT Transaction discarded because keys to WATCH could not be read.');
  }
  if (client.execRested === undefined && client.watched.some((watched) => isChanged(view, watched))) {
    forgetTransaction(client);
    return NULL_ARRAY;
  }
  const replies = runQueue(view, queue, context, runQueued);
  forgetTransaction(client);
  return replies.some((reply) => reply instanceof Promise)
    ? Promise.all(replies.map(async (reply) => reply))
    : (replies as Reply[]);
}

/**
 * Runs the queue. A `Miss` makes EXEC run again from the start: commands that touch no row keep the answer of their
 * first run, so that what they did is done once, and the client's database goes back to what it was. When a script among
 * them rests, EXEC is called again over the same view and goes on with it.
 */
function runQueue(
  view: View,
  queue: readonly QueuedCommand[],
  context: Context,
  runQueued: RunQueued,
): (Reply | Promise<Reply>)[] {
  const { client } = context;
  const before = client.execRested?.before ?? client.database;
  const kept = (client.execReplies ??= new Map());
  const replies = client.execRested?.replies ?? [];
  client.database = client.execRested?.database ?? before;
  client.execRested = undefined;
  let done = false;
  try {
    for (let i = replies.length; i < queue.length; i++) {
      const queued = queue[i] as QueuedCommand;
      view.database = client.database;
      let reply: Reply | Promise<Reply> | undefined;
      if (queued.command.access !== 'none' || queued.command.name === 'select')
        reply = runQueued(view, queued, context);
      else {
        reply = kept.get(i);
        if (reply === undefined) kept.set(i, (reply = runQueued(view, queued, context)));
      }
      replies.push(reply);
    }
    done = true;
    return replies;
  } catch (thrown) {
    if (thrown instanceof Resting) client.execRested = { before, database: client.database, replies };
    throw thrown;
  } finally {
    if (!done) client.database = before;
  }
}

function isChanged(view: View, watched: Client['watched'][number]): boolean {
  return isRowChanged(watched.mark, view.row(watched.key, watched.database).mark);
}

/** Whether queueing this command in MULTI is right: the others run at once. */
export function runsInsideMulti(command: Command): boolean {
  switch (command.name) {
    case 'multi':
    case 'exec':
    case 'discard':
    case 'watch':
    case 'quit':
    case 'reset':
      return true;
    default:
      return false;
  }
}

/** A command refused while MULTI queues dooms the transaction; a refused EXEC ends it, as if there had been one. */
export function refuseQueued(client: Client, command: Command | undefined, error: ErrorReply): ErrorReply {
  if (command?.name !== 'exec') {
    if (client.queue !== undefined) client.queueFailed = true;
    return error;
  }
  forgetTransaction(client);
  return new ErrorReply(`EXECABORT Transaction discarded because of: ${error.message.replace(/^ERR /, '')}`);
}
