/** The commands on hashes. */

import type { Command } from './command.ts';
import { plainHashCommands } from './hash-plain.ts';

export const hashCommands: readonly Command[] = [...plainHashCommands];
