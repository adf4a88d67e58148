/** The commands on hashes. */

import type { Command } from './command.ts';
import { counterHashCommands } from './hash-counter.ts';
import { expiryHashCommands } from './hash-expiry.ts';
import { getexHashCommands } from './hash-getex.ts';
import { plainHashCommands } from './hash-plain.ts';
import { randomHashCommands } from './hash-random.ts';
import { wholeHashCommands } from './hash-whole.ts';

export const hashCommands: readonly Command[] = [
  ...plainHashCommands,
  ...counterHashCommands,
  ...wholeHashCommands,
  ...randomHashCommands,
  ...expiryHashCommands,
  ...getexHashCommands,
];
