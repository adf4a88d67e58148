/** Strings: the rows of the group. The handlers stand in string-*.ts. */

import type { Command } from './command.ts';
import { compareCommands } from './string-compare.ts';
import { counterCommands } from './string-counter.ts';
import { lcsCommands } from './string-lcs.ts';
import { multiStringCommands } from './string-multi.ts';
import { plainStringCommands } from './string-plain.ts';
import { stringRangeCommands } from './string-range.ts';

export const stringCommands: readonly Command[] = [
  ...plainStringCommands,
  ...multiStringCommands,
  ...counterCommands,
  ...stringRangeCommands,
  ...compareCommands,
  ...lcsCommands,
];
