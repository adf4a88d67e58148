/** The commands on sets. */

import type { Command } from './command.ts';
import { algebraSetCommands } from './set-algebra.ts';
import { plainSetCommands } from './set-plain.ts';
import { randomSetCommands } from './set-random.ts';

export const setCommands: readonly Command[] = [...plainSetCommands, ...randomSetCommands, ...algebraSetCommands];
