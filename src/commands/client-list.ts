/** One line of CLIENT LIST: what is known of a connection. */

import type { Client } from './client.ts';
import { topicKind } from './pubsub-topics.ts';
import type { Server } from './server-state.ts';
import { redirectOf } from './tracking.ts';

/** Kinds that TYPE of CLIENT LIST and KILL know. */
export type ClientType = 'normal' | 'master' | 'replica' | 'pubsub';

export function clientType(word: string): ClientType | undefined {
  switch (word.toLowerCase()) {
    case 'normal':
      return 'normal';
    case 'master':
      return 'master';
    case 'slave':
    case 'replica':
      return 'replica';
    case 'pubsub':
      return 'pubsub';
    default:
      return undefined;
  }
}

export function typeOf(client: Client): ClientType {
  // Redis counts a client that MONITORs among the replicas.
  if (client.monitor) return 'replica';
  return client.subscriptions === undefined ? 'normal' : 'pubsub';
}

function flagsOf(client: Client): string {
  let flags = '';
  if (client.monitor) flags += 'O';
  if (client.subscriptions !== undefined) flags += 'P';
  if (client.waiting !== undefined) flags += 'b';
  if (client.queue !== undefined) flags += 'x';
  if (client.tracking !== undefined) flags += 't';
  if (client.tracking?.isBroken === true) flags += 'R';
  if (client.tracking?.isBroadcast === true) flags += 'B';
  if (client.readonly) flags += 'r';
  if (client.noEvict) flags += 'e';
  if (client.noTouch) flags += 'T';
  return flags === '' ? 'N' : flags;
}

/** Bytes of the words that MULTI has queued. */
function queuedBytes(client: Client): number {
  return (client.queue ?? []).reduce((sum, { args }) => sum + args.bytes.length, 0);
}

export function clientLine(server: Server, client: Client): string {
  const counters = client.connection.counters();
  const { subscriptions } = client;
  const ageSeconds = Math.floor((server.env.clock.wallMs() - client.createdMs) / 1000);
  const multiBytes = queuedBytes(client);
  const total =
    counters.queryBuffer + counters.queryBufferFree + counters.outputBuffer + counters.outputMemory + multiBytes;
  const fields: readonly (readonly [string, string | number])[] = [
    ['id', client.id],
    ['addr', client.connection.peer],
    ['laddr', client.connection.local],
    ['fd', client.id],
    ['name', client.name],
    ['age', Math.max(0, ageSeconds)],
    ['idle', counters.idleSeconds],
    ['flags', flagsOf(client)],
    ['db', client.database],
    ['sub', subscriptions?.of(topicKind.CHANNEL).size ?? 0],
    ['psub', subscriptions?.of(topicKind.PATTERN).size ?? 0],
    ['ssub', subscriptions?.of(topicKind.SHARD).size ?? 0],
    ['multi', client.queue?.length ?? -1],
    ['qbuf', counters.queryBuffer],
    ['qbuf-free', counters.queryBufferFree],
    ['argv-mem', 0],
    ['multi-mem', multiBytes],
    ['rbs', counters.outputBuffer],
    ['rbp', counters.outputBuffer],
    ['obl', counters.outputBuffer],
    ['oll', counters.outputChunks],
    ['omem', counters.outputMemory],
    ['tot-mem', total],
    ['events', 'r'],
    ['cmd', client.lastCommand === undefined ? 'NULL' : server.commandStats.of(client.lastCommand).name],
    ['user', client.user],
    ['redir', redirectOf(client)],
    ['resp', client.protocol],
    ['lib-name', client.libraryName],
    ['lib-ver', client.libraryVersion],
  ];
  return fields.map(([name, value]) => `${name}=${value}`).join(' ');
}
