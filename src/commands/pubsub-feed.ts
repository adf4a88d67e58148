/**
 * Messages to subscribers: those of this node at once, those of other nodes by a notice on the bus.
 *
 * ```
 * PUBLISH ─┬─▶ subscribers of this node, in the turn of the command
 *          └─▶ every other member (notice PUBLISH) ─▶ subscribers there
 * ```
 *
 * A message is delivered at most once, as in Redis: who is out of reach, or reads too slowly and is closed for it, misses
 * it. What one node publishes arrives at each other node in the order in which it was published, since notices keep
 * their order; messages of several nodes have no order among one another. PUBLISH answers how many subscribers of its own
 * node were told, as Redis Cluster does.
 *
 * The notice, big-endian: u8 kind (0 channel, 2 shard channel) | u32 length of the channel | channel | message
 */

import { ByteReader, ByteWriter, DamagedError } from '../cluster/byte-cursor.ts';
import { MAX_CARRIED_BYTES } from '../cluster/frame.ts';
import type { Client } from './client.ts';
import { CommandError } from './errors.ts';
import type { AskOthers } from './pubsub-survey.ts';
import { PushReply, type Reply } from './reply.ts';
import { type TopicKind, topicKind, Topics } from './pubsub-topics.ts';

const MESSAGE = Buffer.from('message');
const PATTERN_MESSAGE = Buffer.from('pmessage');
const SHARD_MESSAGE = Buffer.from('smessage');

const TOO_LONG = 'ERR a message of this length cannot be sent to the other nodes';

export class PubSubFeed {
  readonly topics = new Topics<Client>();
  /** Tells the other nodes, where there are any; the payload is the bus's from then on. */
  tellOthers: ((payload: Uint8Array) => void) | undefined = undefined;
  /** Asks the other nodes, where there are any: pubsub-survey.ts. */
  askOthers: AskOthers | undefined = undefined;
  private readonly writer = new ByteWriter();

  /** PUBLISH and SPUBLISH: the number of subscribers of this node that were told. Throws `CommandError`. */
  publish(kind: TopicKind, channel: Uint8Array, message: Uint8Array): number {
    this.checkLength(channel, message);
    this.tellOthers?.(this.writer.clear().u8(kind).block(channel).raw(message).finish());
    return this.deliver(kind, channel, message);
  }

  /** How many subscribers of this node `publish` would tell. Throws `CommandError` as it would. */
  reach(kind: TopicKind, channel: Uint8Array, message: Uint8Array): number {
    this.checkLength(channel, message);
    const { topics } = this;
    let told = topics.subscribersOf(kind, channel)?.size ?? 0;
    if (kind !== topicKind.SHARD) topics.eachMatch(channel, (_pattern, subscribers) => (told += subscribers.size));
    return told;
  }

  private checkLength(channel: Uint8Array, message: Uint8Array): void {
    if (this.tellOthers !== undefined && channel.length + message.length > MAX_CARRIED_BYTES) {
      throw new CommandError(TOO_LONG);
    }
  }

  /** Tells the subscribers of this node. The bytes are written at once. */
  deliver(kind: TopicKind, channel: Uint8Array, message: Uint8Array): number {
    const { topics } = this;
    const isShard = kind === topicKind.SHARD;
    const direct = topics.subscribersOf(kind, channel);
    let told = 0;
    if (direct !== undefined) {
      push(direct, new PushReply([isShard ? SHARD_MESSAGE : MESSAGE, channel, message]));
      told += direct.size;
    }
    if (isShard || topics.count(topicKind.PATTERN) === 0) return told;
    topics.eachMatch(channel, (pattern, subscribers) => {
      push(subscribers, new PushReply([PATTERN_MESSAGE, pattern, channel, message]));
      told += subscribers.size;
    });
    return told;
  }

  /** A notice of another node. Throws `DamagedError`. */
  arrived(payload: Uint8Array): void {
    const reader = new ByteReader(payload);
    const kind = reader.u8();
    if (kind !== topicKind.CHANNEL && kind !== topicKind.SHARD) throw new DamagedError('a kind of channel');
    const channel = reader.block();
    this.deliver(kind, channel, reader.raw(reader.left));
  }

  /** The connection is gone, or as good as new. */
  drop(client: Client): void {
    if (client.subscriptions === undefined) return;
    this.topics.unsubscribeAll(client);
    client.noteFeeds();
  }
}

function push(subscribers: ReadonlySet<Client>, message: Reply): void {
  for (const subscriber of subscribers) subscriber.connection.push(message);
}
