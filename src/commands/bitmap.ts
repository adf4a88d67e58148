/** The commands on strings as arrays of bits. */

import { bitfieldCommands } from './bitmap-field.ts';
import { plainBitmapCommands } from './bitmap-plain.ts';
import type { Command } from './command.ts';

export const bitmapCommands: readonly Command[] = [...plainBitmapCommands, ...bitfieldCommands];
