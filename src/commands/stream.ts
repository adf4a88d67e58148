/** The commands on streams. */

import type { Command } from './command.ts';
import { deletionStreamCommands } from './stream-deletion.ts';
import { streamGroupCommands } from './stream-groups.ts';
import { streamInfoCommands } from './stream-info.ts';
import { pendingStreamCommands } from './stream-pending.ts';
import { plainStreamCommands } from './stream-plain.ts';
import { readStreamCommands } from './stream-read.ts';

export const streamCommands: readonly Command[] = [
  ...plainStreamCommands,
  ...deletionStreamCommands,
  ...readStreamCommands,
  ...streamGroupCommands,
  ...pendingStreamCommands,
  ...streamInfoCommands,
];
