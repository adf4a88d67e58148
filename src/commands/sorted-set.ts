/** The commands on sorted sets. */

import { blockingSortedSetCommands } from './blocking-sorted-set.ts';
import type { Command } from './command.ts';
import { sortedSetCombineCommands } from './sorted-set-combine.ts';
import { sortedSetDrawCommands } from './sorted-set-draw.ts';
import { plainSortedSetCommands } from './sorted-set-plain.ts';
import { sortedSetRangeCommands } from './sorted-set-range.ts';
import { sortedSetRankCommands } from './sorted-set-rank.ts';
import { sortedSetRemoveCommands } from './sorted-set-remove.ts';

export const sortedSetCommands: readonly Command[] = [
  ...plainSortedSetCommands,
  ...sortedSetRangeCommands,
  ...sortedSetRankCommands,
  ...sortedSetRemoveCommands,
  ...blockingSortedSetCommands,
  ...sortedSetCombineCommands,
  ...sortedSetDrawCommands,
];
