/** The commands on lists. */

import type { Command } from './command.ts';

export const listCommands: readonly Command[] = [];
