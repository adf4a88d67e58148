/** DEBUG: the parts that test suites of clients and applications use. Nothing here crashes or corrupts the node. */

import type { Row, View } from '../repl/view.ts';
import { isLoopback } from './client-registry.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { protocolExample } from './debug-protocol.ts';
import { CommandError, NO_SUCH_KEY, wrongArity } from './errors.ts';
import { encodingOf } from './key-encoding.ts';
import { dumpValue, valueLength } from './rdb.ts';
import { valueOfRow } from './rdb-row.ts';
import { ErrorReply, OK, type Reply, SimpleString } from './reply.ts';
import { ADMIN, integerOf, plainRow } from './server-row.ts';

const NOT_ALLOWED =
  'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.';

/** DEBUG SLEEP ends after this at the latest, in seconds. */
const MAX_SLEEP_SECONDS = 3600;
/** DEBUG POPULATE makes no more keys at once: they are one batch. */
const MAX_POPULATE = 100_000;

type Run = (view: View, args: Args, context: Context) => Reply | Promise<Reply>;

/** By subcommand: least and most words, and what it does. */
const SUBCOMMANDS: ReadonlyMap<string, readonly [min: number, max: number, run: Run]> = new Map<
  string,
  readonly [number, number, Run]
>([
  ['SLEEP', [3, 3, sleep]],
  ['OBJECT', [3, 4, object]],
  ['SET-ACTIVE-EXPIRE', [3, 3, setActiveExpire]],
  ['ERROR', [3, 3, (_view, args) => new ErrorReply(args.text(2))]],
  ['LOG', [3, 3, log]],
  ['PROTOCOL', [3, 3, (_view, args, { client }) => protocolExample(args.upper(2), client.protocol)]],
  ['POPULATE', [3, 5, populate]],
  ['RELOAD', [2, 5, writeOut]],
  ['LOADAOF', [2, 2, writeOut]],
  ['FLUSHALL', [2, 2, flushAll]],
  ['COMPACT', [2, 2, compact]],
  ['CHANGE-REPL-ID', [2, 2, () => OK]],
  ['JMAP', [2, 2, () => new ErrorReply('ERR Kvorum runs on Node.js, which has no jmap; use INFO memory')]],
  ['PAUSE-CRON', [3, 3, () => OK]],
  ['QUICKLIST-PACKED-THRESHOLD', [3, 3, () => OK]],
  ['LISTPACK-ENTRIES-LIMIT', [3, 3, () => OK]],
  ['SET-SKIP-CHECKSUM-VALIDATION', [3, 3, () => OK]],
  ['REPLYBUFFER', [4, 4, () => OK]],
  ['HELP', [2, 2, () => HELP]],
]);

const HELP: Reply = [
  'DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'CHANGE-REPL-ID | PAUSE-CRON | QUICKLIST-PACKED-THRESHOLD | REPLYBUFFER | SET-SKIP-CHECKSUM-VALIDATION',
  '    Accepted, without effect.',
  'COMPACT',
  '    Compact all tables.',
  'ERROR <message>',
  '    Answer with this error.',
  'FLUSHALL',
  '    Remove the rows of all databases.',
  'LOG <message>',
  '    Write a line into the log.',
  'OBJECT <key>',
  '    Return how a value is kept.',
  'POPULATE <count> [<prefix>] [<size>]',
  '    Make keys that are not there yet.',
  'PROTOCOL <type>',
  '    Return an example of a type of the protocol.',
  'RELOAD | LOADAOF',
  '    Write what is in memory into tables.',
  'SET-ACTIVE-EXPIRE <0|1>',
  '    Stop or start the sweeper of expired keys.',
  'SLEEP <seconds>',
  '    Answer later. Other connections do not wait.',
  'HELP',
  '    Prints this help.',
].map((line) => new SimpleString(line));

function debug(view: View, args: Args, context: Context): Reply | Promise<Reply> {
  const { client, server } = context;
  const allowed = server.config.get('enable-debug-command');
  if (allowed === 'no' || (allowed === 'local' && !isLoopback(client.connection.peer))) {
    throw new CommandError(NOT_ALLOWED);
  }
  const found = SUBCOMMANDS.get(args.upper(1));
  if (found === undefined || args.count < found[0] || args.count > found[1]) {
    throw new CommandError(
      `ERR unknown subcommand or wrong number of arguments for '${args.text(1).slice(0, 128)}'. Try DEBUG HELP.`,
    );
  }
  return found[2](view, args, context);
}

async function sleep(_view: View, args: Args, { server }: Context): Promise<Reply> {
  const seconds = Number.parseFloat(args.text(2));
  const delayMs = 1000 * Math.min(Number.isNaN(seconds) ? 0 : Math.max(0, seconds), MAX_SLEEP_SECONDS);
  await new Promise<void>((resolve) => server.env.timers.after(delayMs, resolve));
  return OK;
}

function object(view: View, args: Args): Reply {
  const row: Row = view.row(args.at(2));
  if (!row.live) throw new CommandError(NO_SUCH_KEY);
  const length = valueLength(dumpValue(valueOfRow(view, row)));
  return new SimpleString(
    `Value at:0x0 refcount:1 encoding:${encodingOf(view, row)} serializedlength:${length} lru:0 lru_seconds_idle:0 stamp:${row.before.stamp}`,
  );
}

function setActiveExpire(_view: View, args: Args, { server }: Context): Reply {
  server.sweepsExpired = args.text(2) !== '0';
  return OK;
}

function log(_view: View, args: Args, { server }: Context): Reply {
  server.env.log.warn(`DEBUG LOG: ${args.utf8(2)}`);
  return OK;
}

function populate(view: View, args: Args): Reply {
  const count = integerOf(args, 2, 'ERR value is out of range, must be positive', 0, MAX_POPULATE);
  const prefix = args.count > 3 ? args.text(3) : 'key';
  const size = args.count > 4 ? integerOf(args, 4, 'ERR value is out of range, must be positive') : 0;
  for (let i = 0; i < count; i++) {
    const row = view.row(Buffer.from(`${prefix}:${i}`, 'latin1'));
    if (row.live) continue;
    const text = Buffer.from(`value:${i}`);
    view.setString(row, size === 0 ? text : Buffer.concat([text, Buffer.alloc(size)], size), 0);
  }
  return OK;
}

async function writeOut(_view: View, _args: Args, { server }: Context): Promise<Reply> {
  await server.keyspace.store.flush();
  return OK;
}

async function compact(_view: View, _args: Args, { server }: Context): Promise<Reply> {
  await server.keyspace.store.compact();
  return OK;
}

function flushAll(view: View, args: Args, { server }: Context): Reply {
  if (args.count !== 2) throw new CommandError(wrongArity('debug'));
  for (let database = 0; database < server.settings.databases; database++) view.flush(database);
  return OK;
}

export const debugCommands: readonly Command[] = [
  plainRow('server', {
    name: 'debug',
    arity: -2,
    flags: ADMIN,
    since: '1.0.0',
    summary: 'For tests.',
    run: debug,
  }),
];
