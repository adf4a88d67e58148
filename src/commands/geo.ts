/** The commands on places. */

import type { Command } from './command.ts';
import { plainGeoCommands } from './geo-plain.ts';
import { geoSearchCommands } from './geo-search.ts';

export const geoCommands: readonly Command[] = [...plainGeoCommands, ...geoSearchCommands];
