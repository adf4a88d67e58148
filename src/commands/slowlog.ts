/** SLOWLOG: the commands that took long. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, CommandFlag, Context } from './command.ts';
import { OK, type Reply } from './reply.ts';
import { container, integerOf, plainRow, wrongSubcommand } from './server-row.ts';

const DEFAULT_COUNT = 10;
const FLAGS: readonly CommandFlag[] = ['admin', 'loading', 'stale'];

function get(_view: View, args: Args, { server }: Context): Reply {
  if (args.count > 3) throw wrongSubcommand(args);
  const message = 'ERR count should be greater than or equal to -1';
  const count = args.count > 2 ? integerOf(args, 2, message, -1) : DEFAULT_COUNT;
  const entries = server.slowlog.latest(count === -1 ? server.slowlog.length : count);
  return entries.map((entry) => [entry.id, entry.time, entry.durationUs, entry.words, entry.peer, entry.clientName]);
}

function reset(_view: View, _args: Args, { server }: Context): Reply {
  server.slowlog.reset();
  return OK;
}

export const slowlogCommands: readonly Command[] = [
  container({
    name: 'slowlog',
    group: 'server',
    since: '2.2.12',
    summary: 'The commands that took long.',
    subcommands: [
      plainRow('server', {
        name: 'get',
        arity: -2,
        flags: FLAGS,
        since: '2.2.12',
        summary: 'The latest of them.',
        complexity: 'O(N) for N entries',
        run: get,
      }),
      plainRow('server', {
        name: 'len',
        arity: 2,
        flags: FLAGS,
        since: '2.2.12',
        summary: 'Their number.',
        run: (_view, _args, { server }) => server.slowlog.length,
      }),
      plainRow('server', {
        name: 'reset',
        arity: 2,
        flags: FLAGS,
        since: '2.2.12',
        summary: 'Forgets them.',
        complexity: 'O(N) for N entries',
        run: reset,
      }),
    ],
    help: [
      'GET [<count>]',
      '    Return the latest entries (default: 10, -1: all): id, time, microseconds, words, address, name of the client.',
      'LEN',
      '    Return the number of entries.',
      'RESET',
      '    Forget all entries.',
    ],
  }),
];
