/** The commands on streams. */

import { blockingStreamCommands } from './blocking-stream.ts';
import type { Command } from './command.ts';
import { deletionStreamCommands } from './stream-deletion.ts';
import { streamGroupCommands } from './stream-groups.ts';
import { streamInfoCommands } from './stream-info.ts';
import { pendingStreamCommands } from './stream-pending.ts';
import { plainStreamCommands } from './stream-plain.ts';

export const streamCommands: readonly Command[] = [
  ...plainStreamCommands,
  ...deletionStreamCommands,
  ...blockingStreamCommands,
  ...streamGroupCommands,
  ...pendingStreamCommands,
  ...streamInfoCommands,
];
