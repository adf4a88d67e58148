/**
 * CLUSTER: what cluster-aware clients ask. One node owns all 16,384 slots. Redis answers these with an error unless
 * it was started as a cluster; here they always answer.
 */

import { SLOT_COUNT, slotOf } from '../cluster/slot.ts';
import type { View } from '../repl/view.ts';
import { scanStep } from '../repl/row-scan.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command, CommandFlag, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf } from './number.ts';
import { MapReply, OK, type Reply, VerbatimReply } from './reply.ts';
import { container, plainRow, refusing } from './server-row.ts';

/** The bus of a node listens this far above its port, as in Redis Cluster. */
const BUS_PORT_OFFSET = 10_000;
const STALE: readonly CommandFlag[] = ['stale'];
const CHANGE: readonly CommandFlag[] = ['admin', 'stale', 'no_async_loading'];
const ONE_NODE = 'ERR this node is not part of a cluster, and all slots are its own';

/** The address at which this client reaches the node: it gets no other to follow. */
function hostOf(client: Client): string {
  const { local } = client.connection;
  return local.slice(0, local.lastIndexOf(':')).replaceAll(/^\[|\]$/g, '');
}

function slots(_view: View, _args: Args, { client, server }: Context): Reply {
  return [[0, SLOT_COUNT - 1, [hostOf(client), server.port, server.nodeId, new MapReply([])]]];
}

function shards(_view: View, _args: Args, { client, server }: Context): Reply {
  const host = hostOf(client);
  const node = new MapReply([
    ['id', server.nodeId],
    ['port', server.port],
    ['ip', host],
    ['endpoint', host],
    ['role', 'master'],
    ['replication-offset', 0],
    ['health', 'online'],
  ]);
  return [
    new MapReply([
      ['slots', [0, SLOT_COUNT - 1]],
      ['nodes', [node]],
    ]),
  ];
}

function nodes(_view: View, _args: Args, { client, server }: Context): Reply {
  const address = `${hostOf(client)}:${server.port}@${server.port + BUS_PORT_OFFSET}`;
  const line = `${server.nodeId} ${address} myself,master - 0 0 0 connected 0-${SLOT_COUNT - 1}\n`;
  return new VerbatimReply('txt', line);
}

function info(): Reply {
  const fields: readonly (readonly [string, string | number])[] = [
    ['cluster_enabled', 1],
    ['cluster_state', 'ok'],
    ['cluster_slots_assigned', SLOT_COUNT],
    ['cluster_slots_ok', SLOT_COUNT],
    ['cluster_slots_pfail', 0],
    ['cluster_slots_fail', 0],
    ['cluster_known_nodes', 1],
    ['cluster_size', 1],
    ['cluster_current_epoch', 0],
    ['cluster_my_epoch', 0],
    ['cluster_stats_messages_sent', 0],
    ['cluster_stats_messages_received', 0],
    ['total_cluster_links_buffer_limit_exceeded', 0],
  ];
  return new VerbatimReply('txt', fields.map(([name, value]) => `${name}:${value}\r\n`).join(''));
}

function keySlot(_view: View, args: Args): Reply {
  return slotOf(args.bytes, args.starts[2] as number, args.ends[2] as number);
}

function countKeysInSlot(_view: View, args: Args, { client, server }: Context): Reply {
  const slot = clampedIntegerOf(args, 2);
  if (slot < 0 || slot >= SLOT_COUNT) throw new CommandError('ERR Invalid slot');
  return server.keyspace.sizeOfSlot(client.database, slot);
}

function* getKeysInSlot(view: View, args: Args): Generator<Promise<void> | undefined, Reply> {
  const slot = clampedIntegerOf(args, 2);
  const count = clampedIntegerOf(args, 3);
  if (slot < 0 || slot >= SLOT_COUNT || count < 0) throw new CommandError('ERR Invalid slot or number of keys');
  const keys: Uint8Array[] = [];
  const scan = view.scan({ slot, endSlot: slot + 1 });
  try {
    while (keys.length < count) {
      const step = scan.next();
      if (step === scanStep.ABSENT) break;
      if (step === scanStep.MISS) yield scan.load();
      else if (step === scanStep.FOUND) keys.push(scan.key);
    }
  } finally {
    scan.close();
  }
  return keys;
}

function noReplicas(_view: View, args: Args, { server }: Context): Reply {
  if (args.text(2) !== server.nodeId) throw new CommandError(`ERR Unknown node ${args.text(2)}`);
  return [];
}

function failureReports(_view: View, args: Args, { server }: Context): Reply {
  if (args.text(2) !== server.nodeId) throw new CommandError(`ERR Unknown node ${args.text(2)}`);
  return 0;
}

function row(
  name: string,
  arity: number,
  flags: readonly CommandFlag[],
  summary: string,
  run: NonNullable<Command['run']>,
): Command {
  const since = name === 'shards' || name === 'links' ? '7.0.0' : '3.0.0';
  return plainRow('cluster', { name, arity, flags, since, summary, run });
}

const refusals: readonly Command[] = (
  [
    ['addslots', -3],
    ['addslotsrange', -4],
    ['bumpepoch', 2],
    ['delslots', -3],
    ['delslotsrange', -4],
    ['failover', -2],
    ['flushslots', 2],
    ['forget', 3],
    ['meet', -4],
    ['replicate', 3],
    ['set-config-epoch', 3],
    ['setslot', -4],
  ] as const
).map(([name, arity]) => row(name, arity, CHANGE, 'Refused: there is one node.', refusing(ONE_NODE)));

export const clusterCommands: readonly Command[] = [
  container({
    name: 'cluster',
    group: 'cluster',
    since: '3.0.0',
    summary: 'Who owns which slots.',
    subcommands: [
      row('slots', 2, STALE, 'Ranges of slots and their nodes.', slots),
      row('shards', 2, STALE, 'Ranges of slots and their nodes, with names.', shards),
      row('nodes', 2, STALE, 'A line for each node.', nodes),
      row('info', 2, STALE, 'The state of the cluster.', info),
      row('myid', 2, STALE, 'The name of this node.', (_view, _args, { server }) => server.nodeId),
      row('keyslot', 3, STALE, 'The slot of a key.', keySlot),
      row('links', 2, STALE, 'Connections between nodes: none.', () => []),
      row('countkeysinslot', 3, STALE, 'The number of keys in a slot.', countKeysInSlot),
      {
        name: 'getkeysinslot',
        arity: 4,
        flags: STALE,
        access: 'read',
        categories: [],
        doc: {
          summary: 'Keys of a slot.',
          since: '3.0.0',
          group: 'cluster',
          complexity: 'O(N) for N keys',
        },
        runSliced: getKeysInSlot,
      },
      row('replicas', 3, ['admin', 'stale'], 'Replicas of a node: none.', noReplicas),
      row('slaves', 3, ['admin', 'stale'], 'The older name of REPLICAS.', noReplicas),
      row('count-failure-reports', 3, ['admin', 'stale'], 'Always 0.', failureReports),
      row('reset', -2, ['admin', 'noscript', 'stale'], 'Refused: there is one node.', refusing(ONE_NODE)),
      row('saveconfig', 2, CHANGE, 'Accepted: it is always saved.', () => OK),
      ...refusals,
    ],
    help: [
      'SLOTS | SHARDS | NODES',
      '    Return who owns which slots.',
      'INFO | MYID | LINKS',
      '    Return the state of the cluster, the name of this node, its connections.',
      'KEYSLOT <key> | COUNTKEYSINSLOT <slot> | GETKEYSINSLOT <slot> <count>',
      '    Return the slot of a key, the number of keys in a slot, some of them.',
      'REPLICAS <node> | COUNT-FAILURE-REPORTS <node>',
      '    Return what there is not: replicas and failures.',
    ],
  }),
];
