/** The commands of Lua scripts: EVAL and its kin, SCRIPT. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, CommandDoc, Context, KeyFinder } from './command.ts';
import { CommandError, NOT_AN_INTEGER } from './errors.ts';
import { parseInt64, parseSafeInteger } from './number.ts';
import { syntaxError } from './options.ts';
import { OK, type Reply, SimpleString } from './reply.ts';

const HELP = [
  'SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'DEBUG (YES|SYNC|NO)',
  '    Refused: scripts cannot be stepped through here.',
  'EXISTS <sha1> [<sha1> ...]',
  '    Return information about the existence of the scripts in the script cache of this node.',
  'FLUSH [ASYNC|SYNC]',
  '    Forget the scripts of this node.',
  'KILL',
  '    End the script that runs, if it has written nothing.',
  'LOAD <script>',
  '    Load a script into the script cache of this node without executing it.',
  'HELP',
  '    Print this help.',
];

/** The keys behind a number of keys at word 2. */
export const COUNTED_KEYS: KeyFinder = {
  range: { first: 0, last: 0, step: 0 },
  find: (args) => {
    const count = args.count < 3 ? 0 : parseSafeInteger(args.bytes, args.starts[2] as number, args.ends[2] as number);
    if (!(count > 0 && count <= args.count - 3)) return [];
    return Array.from({ length: count }, (_, i) => 3 + i);
  },
};

export function scriptDoc(summary: string, since: string, complexity: string): CommandDoc {
  return { summary, since, group: 'scripting', complexity };
}

function evalCommand(name: string, summary: string, since: string, isReadOnly: boolean): Command {
  const isBySha = name.startsWith('evalsha');
  return {
    name,
    arity: -3,
    flags: [
      ...(isReadOnly ? (['readonly'] as const) : []),
      'noscript',
      'stale',
      'skip_monitor',
      'no_mandatory_keys',
      'movablekeys',
    ],
    keys: COUNTED_KEYS,
    access: isReadOnly ? 'read' : 'transaction',
    mayMeetOtherRows: true,
    categories: ['scripting'],
    doc: scriptDoc(summary, since, 'Depends on the script that is executed.'),
    run: (view, args, context) => evaluate(view, args, context, isBySha, isReadOnly),
  };
}

const scriptSubcommands: readonly Command[] = [
  subcommand('debug', 3, 'Refuses: scripts cannot be stepped through.', '3.2.0', (args) => {
    if (!['YES', 'SYNC', 'NO'].includes(args.upper(2))) throw new CommandError('ERR Use SCRIPT DEBUG YES/SYNC/NO');
    if (args.upper(2) === 'NO') return OK;
    throw new CommandError('ERR SCRIPT DEBUG is not supported: scripts cannot be stepped through');
  }),
  subcommand('exists', -3, 'Tells which scripts are known.', '2.6.0', (args, { server }) =>
    Array.from({ length: args.count - 2 }, (_, i) => Number(server.scripts.has(args.text(2 + i).toLowerCase()))),
  ),
  subcommand('flush', -2, 'Forgets all scripts.', '2.6.0', flush),
  {
    ...subcommand('kill', 2, 'Ends the script that runs, if it has written nothing.', '2.6.0', (_args, { server }) =>
      server.busy.kill('script'),
    ),
    flags: ['noscript', 'allow_busy'],
  },
  {
    ...subcommand(
      'load',
      3,
      'Compiles a script and keeps it.',
      '2.6.0',
      (args, { server }) => server.scripts.load(args.at(2)).sha,
    ),
    flags: ['noscript', 'stale'],
  },
  {
    ...subcommand('help', 2, 'Describes the subcommands of SCRIPT.', '5.0.0', () =>
      HELP.map((line) => new SimpleString(line)),
    ),
    flags: ['loading', 'stale'],
  },
];

export const scriptCommands: readonly Command[] = [
  evalCommand('eval', 'Runs a Lua script.', '2.6.0', false),
  evalCommand('evalsha', 'Runs a Lua script that is known by its SHA1.', '2.6.0', false),
  evalCommand('eval_ro', 'Runs a Lua script that only reads.', '7.0.0', true),
  evalCommand('evalsha_ro', 'Runs a Lua script that only reads, known by its SHA1.', '7.0.0', true),
  {
    name: 'script',
    arity: -2,
    flags: [],
    access: 'none',
    categories: [],
    doc: scriptDoc('Deals with the scripts of this node.', '2.6.0', 'Depends on subcommand.'),
    subcommands: scriptSubcommands,
  },
];

function subcommand(
  name: string,
  arity: number,
  summary: string,
  since: string,
  run: (args: Args, context: Context) => Reply,
): Command {
  return {
    name,
    arity,
    flags: ['noscript'],
    access: 'none',
    categories: ['scripting'],
    doc: scriptDoc(summary, since, 'O(N) for N scripts or bytes of a script'),
    run: (_view, args, context) => run(args, context),
  };
}

function evaluate(view: View, args: Args, context: Context, isBySha: boolean, isReadOnly: boolean): Reply {
  const { scripts } = context.server;
  const keyCount = keyCountOf(args);
  const script = isBySha ? scripts.find(args.text(1).toLowerCase()) : scripts.load(args.at(1));
  if (script === undefined) throw new CommandError('NOSCRIPT No matching script. Please use EVAL.');
  const keys: Uint8Array[] = [];
  const argv: Uint8Array[] = [];
  for (let i = 3; i < args.count; i++) (i < 3 + keyCount ? keys : argv).push(args.at(i));
  const call = { view, context, isReadOnly: isReadOnly || script.isReadOnly };
  return scripts.runner.run(script, call, keys, argv);
}

function keyCountOf(args: Args): number {
  const count = parseInt64(args.bytes, args.starts[2] as number, args.ends[2] as number);
  if (count === undefined) throw new CommandError(NOT_AN_INTEGER);
  if (count > args.count - 3) throw new CommandError("ERR Number of keys can't be greater than number of args");
  if (count < 0) throw new CommandError("ERR Number of keys can't be negative");
  return Number(count);
}

function flush(args: Args, { server }: Context): Reply {
  if (args.count > 3 || (args.count === 3 && !['ASYNC', 'SYNC'].includes(args.upper(2)))) {
    throw args.count > 3 ? syntaxError() : new CommandError('ERR SCRIPT FLUSH only support SYNC|ASYNC option');
  }
  server.scripts.flush();
  return OK;
}
