/** The commands on lists. */

import { blockingListCommands } from './blocking-list.ts';
import type { Command } from './command.ts';
import { listEndCommands } from './list-ends.ts';
import { listPlainCommands } from './list-plain.ts';

export const listCommands: readonly Command[] = [...listPlainCommands, ...listEndCommands, ...blockingListCommands];
