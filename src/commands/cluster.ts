/**
 * CLUSTER: what cluster-aware clients ask, and what brings nodes together and apart. A node that shares its keys with
 * nobody owns all 16,384 slots; cluster-answers.ts has the answers of one that does. Redis answers these with an error
 * unless it was started as a cluster; here they always answer.
 */

import { BUS_PORT_OFFSET } from '../config-cluster.ts';
import { SLOT_COUNT, slotOf } from '../cluster/slot.ts';
import type { Topology } from '../cluster/topology.ts';
import { TopologyError } from '../repl/topology-register.ts';
import type { View } from '../repl/view.ts';
import { scanStep } from '../repl/row-scan.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import { memberMaps, sharedInfo, sharedLinks, sharedNodes, sharedShards, sharedSlots } from './cluster-answers.ts';
import type { ClusterDoor } from './cluster-door.ts';
import type { Command, CommandFlag, Context } from './command.ts';
import { CommandError } from './errors.ts';
import { clampedIntegerOf } from './number.ts';
import { ErrorReply, MapReply, OK, type Reply, VerbatimReply } from './reply.ts';
import { container, plainRow, refusing, wrongSubcommand } from './server-row.ts';
import type { Sliced } from './sliced.ts';

const STALE: readonly CommandFlag[] = ['stale'];
const CHANGE: readonly CommandFlag[] = ['admin', 'stale', 'no_async_loading'];
const NO_CLUSTER = 'ERR this node belongs to no cluster; start it with cluster-enabled yes, or with join';
const OWN_SLOTS = 'ERR slots are assigned by the cluster itself, to every member by its weight';
const NO_RESET = 'ERR a node leaves its cluster by CLUSTER FORGET at another one, and starts anew with an empty dir';
const NO_ROLES = 'ERR every node is a master here; there are no replicas to appoint';

/** Where this node shares its keys with others: how it looks from here. */
function shared({ server }: Context): { readonly door: ClusterDoor; readonly topology: Topology } | undefined {
  const door = server.cluster;
  const topology = door?.topology;
  return door === undefined || topology === undefined || !door.isShared ? undefined : { door, topology };
}

/** The address at which this client reaches the node: it gets no other to follow. */
function hostOf(client: Client): string {
  const { local } = client.connection;
  return local.slice(0, local.lastIndexOf(':')).replaceAll(/^\[|\]$/g, '');
}

function slots(_view: View, _args: Args, context: Context): Reply {
  const { client, server } = context;
  const here = shared(context);
  if (here !== undefined) return sharedSlots(here.door, here.topology);
  return [[0, SLOT_COUNT - 1, [hostOf(client), server.port, server.nodeId, new MapReply([])]]];
}

function shards(_view: View, _args: Args, context: Context): Reply {
  const { client, server } = context;
  const here = shared(context);
  if (here !== undefined) return sharedShards(here.door, here.topology);
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

function nodes(_view: View, _args: Args, context: Context): Reply {
  const { client, server } = context;
  const here = shared(context);
  if (here !== undefined) return new VerbatimReply('txt', sharedNodes(here.door, here.topology));
  const address = `${hostOf(client)}:${server.port}@${server.port + BUS_PORT_OFFSET}`;
  const line = `${server.nodeId} ${address} myself,master - 0 0 0 connected 0-${SLOT_COUNT - 1}\n`;
  return new VerbatimReply('txt', line);
}

function info(_view: View, _args: Args, context: Context): Reply {
  const here = shared(context);
  const fields = here === undefined ? aloneFields(context) : sharedInfo(here.door, here.topology);
  return new VerbatimReply('txt', fields.map(([name, value]) => `${name}:${value}\r\n`).join(''));
}

function aloneFields({ server }: Context): readonly (readonly [string, string | number])[] {
  // A node that was told to join and has not been let in yet serves nobody.
  const isServed = server.cluster === undefined || server.cluster.self !== 0;
  return [
    ['cluster_enabled', 1],
    ['cluster_state', isServed ? 'ok' : 'fail'],
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
}

function keySlot(_view: View, args: Args): Reply {
  return slotOf(args.bytes, args.starts[2] as number, args.ends[2] as number);
}

function countKeysInSlot(_view: View, args: Args, { client, server }: Context): Reply {
  const slot = clampedIntegerOf(args, 2);
  if (slot < 0 || slot >= SLOT_COUNT) throw new CommandError('ERR Invalid slot');
  return server.keyspace.sizeOfSlot(client.database, slot);
}

function* getKeysInSlot(view: View, args: Args): Sliced<Reply> {
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

/** Throws for who is neither this node nor a member. */
function checkKnown(name: string, context: Context): void {
  const members = context.server.cluster?.topology?.members ?? [];
  const isKnown = name === context.server.nodeId || members.some((member) => member.identity === name);
  if (!isKnown) throw new CommandError(`ERR Unknown node ${name}`);
}

function noReplicas(_view: View, args: Args, context: Context): Reply {
  checkKnown(args.text(2), context);
  return [];
}

function failureReports(_view: View, args: Args, context: Context): Reply {
  checkKnown(args.text(2), context);
  return 0;
}

function links(_view: View, _args: Args, context: Context): Reply {
  const here = shared(context);
  return here === undefined ? [] : sharedLinks(here.door, here.topology);
}

// --- nodes come and go -----------------------------------------------------------------------------------------------

function doorOf({ server }: Context): ClusterDoor {
  if (server.cluster === undefined) throw new CommandError(NO_CLUSTER);
  return server.cluster;
}

/** OK, or why it was refused. */
async function whenChanged(changed: Promise<void>): Promise<Reply> {
  try {
    await changed;
    return OK;
  } catch (thrown) {
    if (!(thrown instanceof TopologyError)) throw thrown;
    return new ErrorReply(`${thrown.code === 'refused' ? 'ERR' : 'TRYAGAIN'} ${thrown.message}`);
  }
}

const MAX_PORT = 65_535;

function meet(_view: View, args: Args, context: Context): Reply | Promise<Reply> {
  if (args.count > 5) throw wrongSubcommand(args);
  const [host, port] = [args.text(2), clampedIntegerOf(args, 3)];
  const busPort = args.count === 5 ? clampedIntegerOf(args, 4) : port + BUS_PORT_OFFSET;
  const isPort = (value: number): boolean => value > 0 && value <= MAX_PORT;
  if (!isPort(port) || !isPort(busPort) || host === '') {
    throw new CommandError(`ERR Invalid node address specified: ${host}:${args.text(3)}`);
  }
  return whenChanged(doorOf(context).meet(host, busPort));
}

function forget(_view: View, args: Args, context: Context): Reply | Promise<Reply> {
  const name = args.text(2).toLowerCase();
  checkKnown(name, context);
  if (name === context.server.nodeId) throw new CommandError("ERR I tried hard but I can't forget myself...");
  return whenChanged(doorOf(context).forget(name));
}

function members(_view: View, _args: Args, context: Context): Reply {
  const { server } = context;
  const topology = server.cluster?.topology;
  if (server.cluster === undefined || topology === undefined) throw new CommandError(NO_CLUSTER);
  return memberMaps(server.cluster, topology);
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
    ['addslots', -3, OWN_SLOTS],
    ['addslotsrange', -4, OWN_SLOTS],
    ['bumpepoch', 2, OWN_SLOTS],
    ['delslots', -3, OWN_SLOTS],
    ['delslotsrange', -4, OWN_SLOTS],
    ['failover', -2, NO_ROLES],
    ['flushslots', 2, OWN_SLOTS],
    ['replicate', 3, NO_ROLES],
    ['set-config-epoch', 3, OWN_SLOTS],
    ['setslot', -4, OWN_SLOTS],
  ] as const
).map(([name, arity, reason]) => row(name, arity, CHANGE, 'Refused.', refusing(reason)));

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
      row('links', 2, STALE, 'Connections to other nodes.', links),
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
      row('meet', -4, CHANGE, 'Brings this node and another one together in one cluster.', meet),
      row('forget', 3, CHANGE, 'Removes a member that is gone, or owns nothing.', forget),
      row('reset', -2, ['admin', 'noscript', 'stale'], 'Refused.', refusing(NO_RESET)),
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
      'MEET <host> <port> [<bus-port>]',
      '    Bring this node and another one together; one of them must be alone and without keys.',
      'FORGET <node>',
      '    Remove a member that is gone, or owns nothing.',
      'REPLICAS <node> | COUNT-FAILURE-REPORTS <node>',
      '    Return what there is not: replicas and failures.',
    ],
  }),
  plainRow('cluster', {
    name: 'kv.members',
    arity: 1,
    flags: STALE,
    since: '1.0.0',
    summary: 'A map for each member of the cluster: who and where it is, and what it owns.',
    complexity: 'O(N) for N members',
    run: members,
  }),
];
