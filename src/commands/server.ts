/** TIME LASTSAVE SAVE BGSAVE BGREWRITEAOF SHUTDOWN ROLE WAIT REPLICAOF FAILOVER SYNC MODULE LOLWUT. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError, NOT_AN_INTEGER } from './errors.ts';
import { lolwutText } from './lolwut.ts';
import { NO_REPLY, OK, type Reply, SimpleString, VerbatimReply } from './reply.ts';
import { INT64_MIN } from './number.ts';
import { ADMIN, container, FAST, integerOf, plainRow, type PlainRow, refusing, syntaxError } from './server-row.ts';
import type { Server } from './server-state.ts';

const NO_REPLICATION = 'ERR Kvorum does not replicate as Redis does: it is no replica of a Redis server and has none';
const NO_MODULES = 'ERR Kvorum loads no modules of Redis';

function time(_view: View, _args: Args, { server }: Context): Reply {
  const us = Math.floor(server.wallClockUs.now());
  return [String(Math.floor(us / 1_000_000)), String(us % 1_000_000)];
}

const SAVE_RUNS = 'ERR Background save already in progress';
const REWRITE_RUNS = 'ERR Background append only file rewriting already in progress';

async function save(_view: View, _args: Args, { server }: Context): Promise<Reply> {
  if (server.saves.save.isRunning) throw new CommandError(SAVE_RUNS);
  try {
    await server.saves.takeSave();
  } catch (error) {
    server.env.log.error('SAVE failed', { reason: String(error) });
    throw new CommandError(`ERR the save failed: ${oneLine(error)}`);
  }
  return OK;
}

function inBackground(server: Server, command: string, work: Promise<void>): void {
  work.catch((error: unknown) => server.env.log.error(`${command} failed`, { reason: String(error) }));
}

function bgsave(_view: View, args: Args, { server }: Context): Reply {
  if (args.count > 2 || (args.count === 2 && args.upper(1) !== 'SCHEDULE')) throw syntaxError();
  if (server.saves.save.isRunning) throw new CommandError(SAVE_RUNS);
  inBackground(server, 'BGSAVE', server.saves.takeSave());
  return new SimpleString('Background saving started');
}

function bgrewriteaof(_view: View, _args: Args, { server }: Context): Reply {
  if (server.saves.rewrite.isRunning) throw new CommandError(REWRITE_RUNS);
  inBackground(server, 'BGREWRITEAOF', server.saves.takeRewrite());
  return new SimpleString('Background append only file rewriting started');
}

/** The message of an error as part of an error reply. */
function oneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ');
}

function shutdown(_view: View, args: Args, { client, server }: Context): Reply {
  const words = Array.from({ length: args.count - 1 }, (_, i) => args.upper(i + 1));
  const known = ['NOSAVE', 'SAVE', 'NOW', 'FORCE', 'ABORT'];
  const both = words.includes('SAVE') && words.includes('NOSAVE');
  if (both || words.some((word) => !known.includes(word))) throw syntaxError();
  if (words.includes('ABORT')) {
    if (words.length > 1) throw syntaxError();
    throw new CommandError('ERR No shutdown in progress.');
  }
  if (server.busy.isOn && !words.includes('NOSAVE')) throw new CommandError(server.busy.text);
  server.env.log.info('a client asked for the shutdown', { client: client.connection.peer });
  client.connection.closeAfterReply();
  // With NOSAVE too, what was acknowledged stays: the log has it.
  server.shutdown({ now: words.includes('NOW') }).catch((error: unknown) => {
    server.env.log.error('the shutdown failed', { reason: String(error) });
  });
  return NO_REPLY;
}

/** One node has no other copy of the data: nobody else can acknowledge. */
function wait(_view: View, args: Args, { client, server }: Context): Reply | Promise<Reply> {
  const wanted = integerOf(args, 1, NOT_AN_INTEGER, INT64_MIN);
  const timeoutMs = integerOf(args, 2, 'ERR timeout is not an integer or out of range', INT64_MIN);
  if (timeoutMs < 0) throw new CommandError('ERR timeout is negative');
  if (server.rows?.isShared === true) return server.rows.rules.wait(client, wanted, timeoutMs);
  return 0;
}

function replicaof(_view: View, args: Args): Reply {
  if (args.upper(1) === 'NO' && args.upper(2) === 'ONE') return OK;
  integerOf(args, 2, 'ERR Invalid master port', 0, 65_535);
  throw new CommandError(NO_REPLICATION);
}

function lolwut(_view: View, args: Args, { server }: Context): Reply {
  // Redis draws another picture for each VERSION; the number must be one, and the picture here is always ours.
  const hasVersion = args.count > 1 && args.upper(1) === 'VERSION';
  for (let i = hasVersion ? 2 : args.count; i < args.count; i++) integerOf(args, i, NOT_AN_INTEGER);
  return new VerbatimReply(
    'txt',
    lolwutText(server.version, () => server.env.random.next()),
  );
}

const NO_ASYNC = 'no_async_loading';

const rows: readonly PlainRow[] = [
  {
    name: 'time',
    arity: 1,
    flags: FAST,
    since: '2.6.0',
    summary: 'The time of the server: seconds and microseconds.',
    run: time,
  },
  {
    name: 'lastsave',
    arity: 1,
    flags: FAST,
    categories: ['admin', 'dangerous'],
    since: '1.0.0',
    summary: 'When SAVE or BGSAVE last ended, in seconds.',
    run: (_view, _args, { server }) => Math.floor(server.saves.lastSaveMs / 1000),
  },
  {
    name: 'save',
    arity: 1,
    flags: ['admin', 'noscript', NO_ASYNC, 'no_multi'],
    since: '1.0.0',
    summary: 'Takes a checkpoint: a copy of the data as they are, in checkpoint-dir.',
    complexity: 'O(N) for N rows in memory; tables are linked, not copied',
    run: save,
  },
  {
    name: 'bgsave',
    arity: -1,
    flags: ['admin', 'noscript', NO_ASYNC],
    since: '1.0.0',
    summary: 'Takes a checkpoint in the background.',
    run: bgsave,
  },
  {
    name: 'bgrewriteaof',
    arity: 1,
    flags: ['admin', 'noscript', NO_ASYNC],
    since: '1.0.0',
    summary: 'Writes what is in memory into tables, in the background.',
    run: bgrewriteaof,
  },
  {
    name: 'shutdown',
    arity: -1,
    flags: [...ADMIN, 'no_multi', 'allow_busy'],
    since: '1.0.0',
    summary: 'Makes the data safe and ends the server.',
    run: shutdown,
  },
  {
    name: 'role',
    arity: 1,
    flags: ['noscript', ...FAST],
    categories: ['admin', 'dangerous'],
    since: '2.8.12',
    summary: 'Always master, without replicas.',
    run: () => ['master', 0, []],
  },
  {
    name: 'wait',
    arity: 3,
    flags: ['noscript'],
    categories: ['connection'],
    since: '3.0.0',
    summary: 'How many copies besides one have the last writes of the connection: none on one node.',
    run: wait,
  },
  {
    name: 'replicaof',
    arity: 3,
    flags: ['admin', 'noscript', 'stale', NO_ASYNC],
    since: '5.0.0',
    summary: 'NO ONE is accepted; anything else is refused.',
    run: replicaof,
  },
  {
    name: 'slaveof',
    arity: 3,
    flags: ['admin', 'noscript', 'stale', NO_ASYNC],
    since: '1.0.0',
    summary: 'The older name of REPLICAOF.',
    run: replicaof,
  },
  {
    name: 'failover',
    arity: -1,
    flags: ['admin', 'noscript', 'stale'],
    since: '6.2.0',
    summary: 'Refused: there are no replicas.',
    run: (_view, args) => {
      const isAbort = args.count === 2 && args.upper(1) === 'ABORT';
      throw new CommandError(isAbort ? 'ERR No failover in progress.' : 'ERR FAILOVER requires connected replicas.');
    },
  },
  {
    name: 'sync',
    arity: 1,
    flags: ['admin', 'noscript', NO_ASYNC, 'no_multi'],
    since: '1.0.0',
    summary: 'Refused.',
    run: refusing(NO_REPLICATION),
  },
  {
    name: 'psync',
    arity: -3,
    flags: ['admin', 'noscript', NO_ASYNC, 'no_multi'],
    since: '2.8.0',
    summary: 'Refused.',
    run: refusing(NO_REPLICATION),
  },
  {
    name: 'replconf',
    arity: -1,
    flags: [...ADMIN, 'allow_busy'],
    since: '3.0.0',
    summary: 'Refused.',
    run: refusing(NO_REPLICATION),
  },
  {
    name: 'lolwut',
    arity: -1,
    flags: ['readonly', 'fast'],
    since: '5.0.0',
    summary: 'The version, with something to look at.',
    run: lolwut,
  },
];

const moduleFlags = ['admin', 'noscript', NO_ASYNC] as const;

export const serverCommands: readonly Command[] = [
  ...rows.map((row) => plainRow('server', row)),
  container({
    name: 'module',
    group: 'server',
    since: '4.0.0',
    summary: 'Modules: there are none.',
    subcommands: [
      plainRow('server', {
        name: 'list',
        arity: 2,
        flags: ['admin', 'noscript'],
        since: '4.0.0',
        summary: 'Always empty.',
        run: () => [],
      }),
      plainRow('server', {
        name: 'load',
        arity: -3,
        flags: moduleFlags,
        since: '4.0.0',
        summary: 'Refused.',
        run: refusing(NO_MODULES),
      }),
      plainRow('server', {
        name: 'loadex',
        arity: -3,
        flags: moduleFlags,
        since: '7.0.0',
        summary: 'Refused.',
        run: refusing(NO_MODULES),
      }),
      plainRow('server', {
        name: 'unload',
        arity: 3,
        flags: moduleFlags,
        since: '4.0.0',
        summary: 'Refused.',
        run: refusing(NO_MODULES),
      }),
    ],
    help: ['LIST', '    Return the loaded modules: none.', 'LOAD | LOADEX | UNLOAD', '    Refused.'],
  }),
];
