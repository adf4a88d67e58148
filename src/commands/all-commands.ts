/** Every row of the table but those of transactions, which belong to the dispatcher. */

import { aclCommands } from './acl.ts';
import { clientCommands } from './client-commands.ts';
import { clusterCommands } from './cluster.ts';
import type { Command } from './command.ts';
import { commandCommands } from './command-commands.ts';
import { configCommands } from './config-commands.ts';
import { connectionCommands } from './connection.ts';
import { debugCommands } from './debug.ts';
import { hashCommands } from './hash.ts';
import { infoCommands } from './info.ts';
import { keyCommands } from './key.ts';
import { latencyCommands } from './latency.ts';
import { levelCommands } from './level-commands.ts';
import { memoryCommands } from './memory.ts';
import { monitorCommands } from './monitor.ts';
import { serverCommands } from './server.ts';
import { siblingCommands } from './sibling-commands.ts';
import { slowlogCommands } from './slowlog.ts';
import { stringCommands } from './string.ts';

export const allCommands: readonly Command[] = [
  ...stringCommands,
  ...hashCommands,
  ...keyCommands,
  ...connectionCommands,
  ...clientCommands,
  ...configCommands,
  ...infoCommands,
  ...serverCommands,
  ...slowlogCommands,
  ...latencyCommands,
  ...memoryCommands,
  ...levelCommands,
  ...siblingCommands,
  ...monitorCommands,
  ...commandCommands,
  ...clusterCommands,
  ...aclCommands,
  ...debugCommands,
];
