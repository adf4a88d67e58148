/** CONFIG: the options of the node, read and changed while it runs. */

import type { View } from '../repl/view.ts';
import { ConfigError, ConfigSetError } from '../config.ts';
import { DiskError } from '../env.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { CommandError, SYNTAX_ERROR } from './errors.ts';
import { MapReply, OK, type Reply } from './reply.ts';
import { ADMIN, container, plainRow } from './server-row.ts';

function get(_view: View, args: Args, { server }: Context): Reply {
  const patterns = Array.from({ length: args.count - 2 }, (_, i) => args.utf8(i + 2));
  return new MapReply(server.config.matching(patterns));
}

async function set(_view: View, args: Args, { server }: Context): Promise<Reply> {
  if (args.count % 2 !== 0) throw new CommandError(SYNTAX_ERROR);
  const pairs: [string, string][] = [];
  for (let i = 2; i < args.count; i += 2) pairs.push([args.utf8(i), args.utf8(i + 1)]);
  try {
    await server.config.set(pairs);
  } catch (error) {
    if (error instanceof ConfigSetError) throw new CommandError(error.message);
    throw error;
  }
  return OK;
}

function rewrite(_view: View, _args: Args, { server }: Context): Reply {
  try {
    server.config.rewrite(server.env.disk);
  } catch (error) {
    if (error instanceof ConfigSetError) throw new CommandError(error.message);
    if (error instanceof DiskError || error instanceof ConfigError) {
      server.env.log.warn('CONFIG REWRITE failed', { reason: error.message });
      throw new CommandError(`ERR Rewriting config file: ${error.message}`);
    }
    throw error;
  }
  server.env.log.info('CONFIG REWRITE executed with success');
  return OK;
}

function resetStat(_view: View, _args: Args, { server }: Context): Reply {
  server.resetStats();
  return OK;
}

export const configCommands: readonly Command[] = [
  container({
    name: 'config',
    group: 'server',
    since: '2.0.0',
    summary: 'The configuration of the node.',
    subcommands: [
      plainRow('server', {
        name: 'get',
        arity: -3,
        flags: ADMIN,
        since: '2.0.0',
        summary: 'The options whose names match.',
        complexity: 'O(N) for N options and patterns',
        run: get,
      }),
      plainRow('server', {
        name: 'set',
        arity: -4,
        flags: ADMIN,
        since: '2.0.0',
        summary: 'Changes options, all of them or none.',
        complexity: 'O(N) for N options',
        run: set,
      }),
      plainRow('server', {
        name: 'rewrite',
        arity: 2,
        flags: ADMIN,
        since: '2.8.0',
        summary: 'Writes the options into the configuration file.',
        run: rewrite,
      }),
      plainRow('server', {
        name: 'resetstat',
        arity: 2,
        flags: ADMIN,
        since: '2.0.0',
        summary: 'Sets the counters of INFO to zero.',
        run: resetStat,
      }),
    ],
    help: [
      'GET <pattern> [<pattern> ...]',
      '    Return the options whose names match, and their values.',
      'SET <option> <value> [<option> <value> ...]',
      '    Change options: all of them or none.',
      'RESETSTAT',
      '    Set the counters of INFO to zero.',
      'REWRITE',
      '    Write the options into the configuration file.',
    ],
  }),
];
