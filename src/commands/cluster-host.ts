/** What the dispatcher lends to the commands of a cluster. */

import type { QueuedCommand } from './client.ts';
import type { Context } from './command.ts';
import type { Reply } from './reply.ts';
import type { Server } from './server-state.ts';
import type { CommandTable } from './table.ts';

export interface ClusterHost {
  readonly server: Server;
  readonly table: CommandTable;
  /** Runs a command that touches no row, as in EXEC. */
  runLocally(queued: QueuedCommand, context: Context): Reply | Promise<Reply>;
}
