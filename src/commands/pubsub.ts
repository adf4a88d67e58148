/** The commands of publish and subscribe. */

import type { Command } from './command.ts';

export const pubsubCommands: readonly Command[] = [];
