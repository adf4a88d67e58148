/** INFO: what the server knows of itself, by sections. */

import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Command, Context } from './command.ts';
import { type InfoFields, infoText } from './info-format.ts';
import {
  clientFields,
  commandStatFields,
  cpuFields,
  coordinationFields,
  engineFields,
  errorStatFields,
  keyspaceFields,
  kvorumFields,
  latencyStatFields,
  memoryFields,
  persistenceFields,
  replicationFields,
  serverFields,
  statFields,
} from './info-sections.ts';
import { type Reply, VerbatimReply } from './reply.ts';
import { plainRow } from './server-row.ts';
import type { Server } from './server-state.ts';

interface Section {
  readonly title: string;
  /** Shown when no section is named. */
  readonly isDefault: boolean;
  fields(server: Server): InfoFields;
}

/**
 * A client that looks here (redis-py's cluster client did, redis-cli --cluster does) wants to know whether CLUSTER SLOTS and
 * the like tell of several nodes. `redis_mode` says standalone all the same: whoever takes `cluster` for a ban on commands
 * of several slots, and on SELECT, would keep from its users what any node here does.
 */
function clusterFields(server: Server): InfoFields {
  return [['cluster_enabled', Number(server.cluster !== undefined)]];
}

/** In the order in which they are shown, by the names that INFO takes. */
const SECTIONS: ReadonlyMap<string, Section> = new Map<string, Section>([
  ['server', { title: 'Server', isDefault: true, fields: serverFields }],
  ['clients', { title: 'Clients', isDefault: true, fields: clientFields }],
  ['memory', { title: 'Memory', isDefault: true, fields: memoryFields }],
  ['persistence', { title: 'Persistence', isDefault: true, fields: persistenceFields }],
  ['stats', { title: 'Stats', isDefault: true, fields: statFields }],
  ['replication', { title: 'Replication', isDefault: true, fields: replicationFields }],
  ['cpu', { title: 'CPU', isDefault: true, fields: cpuFields }],
  ['modules', { title: 'Modules', isDefault: true, fields: () => [] }],
  ['commandstats', { title: 'Commandstats', isDefault: false, fields: commandStatFields }],
  ['errorstats', { title: 'Errorstats', isDefault: true, fields: errorStatFields }],
  ['latencystats', { title: 'Latencystats', isDefault: false, fields: latencyStatFields }],
  ['cluster', { title: 'Cluster', isDefault: true, fields: clusterFields }],
  ['keyspace', { title: 'Keyspace', isDefault: true, fields: keyspaceFields }],
  ['kvorum', { title: 'Kvorum', isDefault: true, fields: kvorumFields }],
  ['coordination', { title: 'Coordination', isDefault: true, fields: coordinationFields }],
  ['engine', { title: 'Engine', isDefault: true, fields: engineFields }],
]);

/** Names of the sections that the words ask for. */
function wanted(args: Args): ReadonlySet<string> {
  const words = Array.from({ length: args.count - 1 }, (_, i) => args.text(i + 1).toLowerCase());
  const names = new Set<string>();
  for (const word of words.length === 0 ? ['default'] : words) {
    if (word === 'all' || word === 'everything') for (const name of SECTIONS.keys()) names.add(name);
    else if (word === 'default') {
      for (const [name, section] of SECTIONS) if (section.isDefault) names.add(name);
    } else names.add(word);
  }
  return names;
}

/** The text that INFO with these words answers. */
export function infoOf(server: Server, args: Args): string {
  const names = wanted(args);
  return [...SECTIONS]
    .filter(([name]) => names.has(name))
    .map(([, section]) => infoText(section.title, section.fields(server)))
    .join('\r\n');
}

function info(_view: View, args: Args, { server }: Context): Reply {
  return new VerbatimReply('txt', infoOf(server, args));
}

export const infoCommands: readonly Command[] = [
  plainRow('server', {
    name: 'info',
    arity: -1,
    flags: ['loading', 'stale'],
    categories: ['dangerous'],
    since: '1.0.0',
    summary: 'What the server knows of itself.',
    run: info,
  }),
];
