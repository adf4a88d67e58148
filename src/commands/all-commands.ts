/** Every row of the table but those of transactions, which belong to the dispatcher. */

import type { Command } from './command.ts';
import { connectionCommands } from './connection.ts';
import { stringCommands } from './string.ts';

export const allCommands: readonly Command[] = [...stringCommands, ...connectionCommands];
