/** Functions that the server keeps: FCALL, FCALL_RO, FUNCTION. */

import { concatBytes, copyOf } from '../bytes.ts';
import { DamagedError } from '../cluster/byte-cursor.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, CommandFlag, Context, Run } from './command.ts';
import { CommandError } from './errors.ts';
import { FUNCTIONS_KEY, libraryCodes, libraryName, type Library, setLibraryCodes } from './function-libraries.ts';
import { globMatches } from './glob.ts';
import { parseInt64 } from './number.ts';
import { dumpFunctions, isIntact, restoreFunctions } from './rdb.ts';
import { MapReply, OK, type Reply, SetReply, SimpleString } from './reply.ts';
import { COUNTED_KEYS, scriptDoc } from './script.ts';
import { container } from './server-row.ts';

const FLAGS = ['noscript', 'stale', 'skip_monitor', 'no_mandatory_keys', 'movablekeys'] as const;

const HELP = [
  'LOAD [REPLACE] <FUNCTION CODE>',
  '    Create a new library with the given library name and code.',
  'DELETE <LIBRARY NAME>',
  '    Delete the given library.',
  'LIST [LIBRARYNAME PATTERN] [WITHCODE]',
  '    Return general information on all the libraries, or on those whose name matches.',
  'STATS',
  '    Return how many libraries and functions there are.',
  'KILL',
  '    End the function that runs, if it has written nothing.',
  'FLUSH [ASYNC|SYNC]',
  '    Delete all the libraries.',
  'DUMP',
  '    Return a payload of all libraries for FUNCTION RESTORE, here or in Redis.',
  'RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]',
  '    Restore the libraries of a payload.',
];

function callCommand(name: string, isReadOnly: boolean): Command {
  return {
    name,
    arity: -3,
    flags: isReadOnly ? ['readonly', ...FLAGS] : FLAGS,
    keys: COUNTED_KEYS,
    access: isReadOnly ? 'read' : 'transaction',
    mayMeetOtherRows: true,
    categories: ['scripting'],
    doc: scriptDoc(
      isReadOnly ? 'Runs a function that only reads.' : 'Runs a function.',
      '7.0.0',
      'Depends on the function that is executed.',
    ),
    run: (view, args, context) => call(view, args, context, isReadOnly),
  };
}

const WRITES: readonly CommandFlag[] = ['write', 'noscript'];

export const functionCommands: readonly Command[] = [
  callCommand('fcall', false),
  callCommand('fcall_ro', true),
  container({
    name: 'function',
    group: 'scripting',
    since: '7.0.0',
    summary: 'Deals with functions.',
    categories: ['scripting'],
    subcommands: [
      subcommand('delete', 3, WRITES, 'Deletes a library.', remove),
      subcommand('dump', 2, ['noscript'], 'Returns all libraries as a payload.', (view) =>
        dumpFunctions(libraryCodes(view)),
      ),
      subcommand('flush', -2, WRITES, 'Deletes all libraries.', flush),
      {
        ...subcommand(
          'kill',
          2,
          ['noscript', 'allow_busy'],
          'Ends the function that runs, if it has written nothing.',
          (_view, _args, { server }) => server.busy.kill('function'),
        ),
        access: 'none',
      },
      subcommand('list', -2, ['noscript'], 'Tells of all libraries.', list),
      subcommand('load', -3, ['write', 'denyoom', 'noscript'], 'Creates a library.', load),
      subcommand('restore', -3, ['write', 'denyoom', 'noscript'], 'Restores libraries from a payload.', restore),
      subcommand('stats', 2, ['noscript', 'allow_busy'], 'Counts libraries and functions.', stats),
    ],
    help: HELP,
  }),
];

function subcommand(name: string, arity: number, flags: readonly CommandFlag[], summary: string, run: Run): Command {
  return {
    name,
    arity,
    flags,
    access: flags.includes('write') ? 'update' : 'read',
    systemRow: FUNCTIONS_KEY,
    categories: ['scripting'],
    doc: scriptDoc(summary, '7.0.0', 'O(N) for N functions'),
    run,
  };
}

function call(view: View, args: Args, context: Context, isReadOnly: boolean): Reply {
  const { functions, scripts } = context.server;
  if (!view.isGiven) functions.followView(view);
  const called = functions.find(args.text(1));
  if (called === undefined) throw new CommandError('ERR Function not found');
  const count = parseInt64(args.bytes, args.starts[2] as number, args.ends[2] as number);
  if (count === undefined) throw new CommandError('ERR Bad number of keys provided');
  if (count > args.count - 3) throw new CommandError("ERR Number of keys can't be greater than number of args");
  if (count < 0) throw new CommandError("ERR Number of keys can't be negative");
  const isWriting = !called.flags.includes('no-writes');
  if (isReadOnly && isWriting)
    throw new CommandError('ERR Can not execute a script with write flag using *_ro command.');
  const words = args.words().slice(3);
  const keys = words.slice(0, Number(count));
  return scripts.runner.run(called, { view, context, isReadOnly: !isWriting }, keys, words.slice(Number(count)));
}

function load(view: View, args: Args, { server }: Context): Reply {
  const replaces = args.count > 3;
  for (let i = 2; i < args.count - 1; i++) {
    if (args.upper(i) !== 'REPLACE') throw new CommandError(`ERR Unknown option given: ${args.text(i)}`);
  }
  const code = copyOf(args.at(args.count - 1));
  const name = libraryName(code);
  const codes = libraryCodes(view);
  if (!replaces && codes.some((each) => libraryName(each) === name)) {
    throw new CommandError(`ERR Library '${name}' already exists`);
  }
  const kept = codes.filter((each) => libraryName(each) !== name);
  checkNames([...kept.map((each) => server.functions.inspect(each)), server.functions.inspect(code)]);
  setLibraryCodes(view, [...kept, code]);
  return name;
}

/** No two libraries may have a function of the same name. */
function checkNames(libraries: readonly Library[]): void {
  const seen = new Set<string>();
  for (const { functions } of libraries) {
    for (const { name } of functions) {
      if (seen.has(name)) throw new CommandError(`ERR Function ${name} already exists`);
      seen.add(name);
    }
  }
}

function remove(view: View, args: Args): Reply {
  const codes = libraryCodes(view);
  const kept = codes.filter((each) => libraryName(each) !== args.text(2));
  if (kept.length === codes.length) throw new CommandError('ERR Library not found');
  setLibraryCodes(view, kept);
  return OK;
}

function flush(view: View, args: Args): Reply {
  if (args.count > 3 || (args.count === 3 && !['SYNC', 'ASYNC'].includes(args.upper(2)))) {
    throw new CommandError('ERR FUNCTION FLUSH only supports SYNC|ASYNC option');
  }
  setLibraryCodes(view, []);
  return OK;
}

function list(view: View, args: Args, { server }: Context): Reply {
  let pattern: Uint8Array | undefined;
  let withCode = false;
  for (let i = 2; i < args.count; i++) {
    const word = args.upper(i);
    if (word === 'WITHCODE' && !withCode) withCode = true;
    else if (word === 'LIBRARYNAME' && pattern === undefined) {
      if (i + 1 >= args.count) throw new CommandError('ERR library name argument was not given');
      pattern = args.at(++i);
    } else throw new CommandError(`ERR Unknown argument ${args.text(i)}`);
  }
  const wanted = pattern;
  return libraryCodes(view)
    .map((code) => server.functions.inspect(code))
    .filter(({ name }) => wanted === undefined || globMatches(wanted, Buffer.from(name)))
    .map((library) => describe(library, withCode));
}

function describe({ name, code, functions }: Library, withCode: boolean): Reply {
  const entries: [Reply, Reply][] = [
    ['library_name', name],
    ['engine', 'LUA'],
    [
      'functions',
      functions.map(
        (each) =>
          new MapReply([
            ['name', each.name],
            ['description', each.description ?? null],
            ['flags', new SetReply(each.flags.map((flag) => new SimpleString(flag)))],
          ]),
      ),
    ],
  ];
  if (withCode) entries.push(['library_code', copyOf(code)]);
  return new MapReply(entries);
}

function stats(view: View, _args: Args, { server }: Context): Reply {
  const libraries = libraryCodes(view).map((code) => server.functions.inspect(code));
  const functions = libraries.reduce((sum, library) => sum + library.functions.length, 0);
  return new MapReply([
    ['running_script', server.busy.describe(server.env.clock.monotonicUs())],
    [
      'engines',
      new MapReply([
        [
          'LUA',
          new MapReply([
            ['libraries_count', libraries.length],
            ['functions_count', functions],
          ]),
        ],
      ]),
    ],
  ]);
}

function restore(view: View, args: Args, { server }: Context): Reply {
  const policy = args.count > 3 ? args.upper(3) : 'APPEND';
  if (!['FLUSH', 'APPEND', 'REPLACE'].includes(policy) || args.count > 4) {
    throw new CommandError('ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.');
  }
  const payload = args.at(2);
  if (!isIntact(payload)) throw new CommandError('ERR DUMP payload version or checksum are wrong');
  const restored = restoredCodes(payload);
  const names = new Set(restored.map(libraryName));
  let codes = policy === 'FLUSH' ? [] : libraryCodes(view);
  const collision = codes.map(libraryName).find((name) => names.has(name));
  if (collision !== undefined && policy === 'APPEND') throw new CommandError(`ERR Library ${collision} already exists`);
  codes = [...codes.filter((code) => !names.has(libraryName(code))), ...restored];
  checkNames(codes.map((code) => server.functions.inspect(code)));
  setLibraryCodes(view, codes);
  return OK;
}

function restoredCodes(payload: Uint8Array): Uint8Array[] {
  try {
    return restoreFunctions(payload).map((code) => concatBytes(code));
  } catch (thrown) {
    if (!(thrown instanceof DamagedError)) throw thrown;
    throw new CommandError('ERR failed loading functions: given type is not a function');
  }
}
