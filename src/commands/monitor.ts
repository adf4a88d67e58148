/** MONITOR: the connection shows every command that runs from now on. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { OK, type Reply } from './reply.ts';
import { ADMIN, plainRow } from './server-row.ts';

function monitor(_view: View, _args: Args, { client, server }: Context): Reply {
  server.monitors.add(client);
  return OK;
}

export const monitorCommands: readonly Command[] = [
  plainRow('server', {
    name: 'monitor',
    arity: 1,
    flags: ADMIN,
    since: '1.0.0',
    summary: 'Shows every command that runs.',
    run: monitor,
  }),
];
