/** The commands on strings as arrays of bits. */

import type { Command } from './command.ts';

export const bitmapCommands: readonly Command[] = [];
