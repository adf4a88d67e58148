/** The commands on streams. */

import type { Command } from './command.ts';
import { streamGroupCommands } from './stream-groups.ts';
import { streamInfoCommands } from './stream-info.ts';
import { pendingStreamCommands } from './stream-pending.ts';
import { plainStreamCommands } from './stream-plain.ts';
import { readStreamCommands } from './stream-read.ts';

export const streamCommands: readonly Command[] = [
  ...plainStreamCommands,
  ...readStreamCommands,
  ...streamGroupCommands,
  ...pendingStreamCommands,
  ...streamInfoCommands,
];
