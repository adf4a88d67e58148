/** Every row of the table but those of transactions, which belong to the dispatcher. */

import { aclCommands } from './acl.ts';
import { bitmapCommands } from './bitmap.ts';
import { clientCommands } from './client-commands.ts';
import { clusterCommands } from './cluster.ts';
import { commandCommands } from './command-commands.ts';
import type { Command } from './command.ts';
import { configCommands } from './config-commands.ts';
import { connectionCommands } from './connection.ts';
import { debugCommands } from './debug.ts';
import { functionCommands } from './function.ts';
import { geoCommands } from './geo.ts';
import { hashCommands } from './hash.ts';
import { hyperloglogCommands } from './hyperloglog.ts';
import { infoCommands } from './info.ts';
import { keyCommands } from './key.ts';
import { latencyCommands } from './latency.ts';
import { levelCommands } from './level-commands.ts';
import { listCommands } from './list.ts';
import { memoryCommands } from './memory.ts';
import { monitorCommands } from './monitor.ts';
import { pubsubCommands } from './pubsub.ts';
import { scriptCommands } from './script.ts';
import { serverCommands } from './server.ts';
import { setCommands } from './set.ts';
import { siblingCommands } from './sibling-commands.ts';
import { slowlogCommands } from './slowlog.ts';
import { sortCommands } from './sort.ts';
import { sortedSetCommands } from './sorted-set.ts';
import { streamCommands } from './stream.ts';
import { stringCommands } from './string.ts';

export const allCommands: readonly Command[] = [
  ...stringCommands,
  ...hashCommands,
  ...listCommands,
  ...setCommands,
  ...sortedSetCommands,
  ...streamCommands,
  ...bitmapCommands,
  ...hyperloglogCommands,
  ...geoCommands,
  ...sortCommands,
  ...pubsubCommands,
  ...scriptCommands,
  ...functionCommands,
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
