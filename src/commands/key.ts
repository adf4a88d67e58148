/** Keys of any type: the rows of the group. The handlers stand in key-*.ts, scan.ts and range.ts. */

import type { Command } from './command.ts';
import { databaseCommands } from './key-database.ts';
import { dumpCommands } from './key-dump.ts';
import { expiryCommands } from './key-expiry.ts';
import { objectCommands } from './key-object.ts';
import { plainKeyCommands } from './key-plain.ts';
import { rangeCommands } from './range.ts';
import { scanCommands } from './scan.ts';

export const keyCommands: readonly Command[] = [
  ...plainKeyCommands,
  ...expiryCommands,
  ...databaseCommands,
  ...scanCommands,
  ...objectCommands,
  ...dumpCommands,
  ...rangeCommands,
];
