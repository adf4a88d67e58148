/** The commands that sort. */

import type { Command } from './command.ts';

export const sortCommands: readonly Command[] = [];
