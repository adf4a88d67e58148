/** The commands on sorted sets. */

import type { Command } from './command.ts';

export const sortedSetCommands: readonly Command[] = [];
