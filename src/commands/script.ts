/** The commands of Lua scripts and functions. */

import type { Command } from './command.ts';

export const scriptCommands: readonly Command[] = [];
