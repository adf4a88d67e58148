/** Publish and subscribe: SUBSCRIBE and its kin, PUBLISH, SPUBLISH, PUBSUB. */

import { latin1 } from '../bytes.ts';
import type { View } from '../repl/view.ts';
import type { Args } from './args.ts';
import type { Client } from './client.ts';
import type { Command, Context, KeyRange } from './command.ts';
import { CommandError } from './errors.ts';
import { surveyCounts, surveyNames } from './pubsub-survey.ts';
import { MAX_SUBSCRIPTIONS, type TopicKind, topicKind } from './pubsub-topics.ts';
import { PushReply, Replies, type Reply } from './reply.ts';
import { container, plainRow, type PlainRow, wrongSubcommand } from './server-row.ts';

/** Commands that a subscriber may send while it speaks RESP2. */
const ALLOWED_WHILE_SUBSCRIBED: ReadonlySet<string> = new Set([
  'ping',
  'subscribe',
  'ssubscribe',
  'unsubscribe',
  'sunsubscribe',
  'psubscribe',
  'punsubscribe',
  'quit',
  'reset',
]);

/** A subscriber's connection is all messages in RESP2: only commands whose answers can be told from them are taken. */
export function isRefusedToSubscriber(client: Client, command: Command): boolean {
  return client.subscriptions !== undefined && client.protocol === 2 && !ALLOWED_WHILE_SUBSCRIBED.has(command.name);
}

function textBytes(name: string): Uint8Array {
  return Buffer.from(name, 'latin1');
}

function subscribeTo(kind: TopicKind, word: string): Command['run'] {
  return (_view: View, args: Args, { client, server }: Context): Reply => {
    const replies: Reply[] = [];
    for (let i = 1; i < args.count; i++) {
      const name = args.at(i);
      if ((client.subscriptions?.count ?? 0) >= MAX_SUBSCRIPTIONS) {
        throw new CommandError('ERR too many subscriptions of one connection');
      }
      server.pubsub.topics.subscribe(client, kind, name);
      replies.push(new PushReply([word, name.slice(), client.subscriptions?.countWith(kind) ?? 0]));
    }
    client.noteFeeds();
    return new Replies(replies);
  };
}

function unsubscribeFrom(kind: TopicKind, word: string): Command['run'] {
  return (_view: View, args: Args, { client, server }: Context): Reply => {
    const names =
      args.count > 1
        ? Array.from({ length: args.count - 1 }, (_, i) => latin1(args.at(i + 1)))
        : [...(client.subscriptions?.of(kind) ?? [])];
    const replies = names.map((name) => {
      server.pubsub.topics.unsubscribe(client, kind, name);
      return new PushReply([word, textBytes(name), client.subscriptions?.countWith(kind) ?? 0]);
    });
    client.noteFeeds();
    // Without arguments and without subscriptions there is one answer all the same.
    if (replies.length === 0) return new PushReply([word, null, client.subscriptions?.countWith(kind) ?? 0]);
    return new Replies(replies);
  };
}

function publishTo(kind: TopicKind): NonNullable<Command['run']> {
  return (_view: View, args: Args, { server }: Context): Reply => server.pubsub.publish(kind, args.at(1), args.at(2));
}

function listTopics(kind: TopicKind): NonNullable<Command['run']> {
  return (_view: View, args: Args, { server }: Context): Reply | Promise<Reply> => {
    if (args.count > 3) throw wrongSubcommand(args);
    const pattern = args.count === 3 ? args.at(2) : undefined;
    const { topics, askOthers } = server.pubsub;
    return askOthers === undefined ? topics.names(kind, pattern) : surveyNames(topics, askOthers, kind, pattern);
  };
}

function countSubscribers(kind: TopicKind): NonNullable<Command['run']> {
  return (_view: View, args: Args, { server }: Context): Reply | Promise<Reply> => {
    const { topics, askOthers } = server.pubsub;
    const names = args.copy().words().slice(2);
    if (askOthers !== undefined) {
      return surveyCounts(topics, askOthers, kind, names).then((counts) =>
        names.flatMap((name, i) => [name, counts[i] as number]),
      );
    }
    return names.flatMap((name) => [name, topics.subscribersOf(kind, name)?.size ?? 0]);
  };
}

function countPatterns(_view: View, _args: Args, { server }: Context): Reply | Promise<Reply> {
  const { topics, askOthers } = server.pubsub;
  if (askOthers === undefined) return topics.count(PATTERN);
  return surveyNames(topics, askOthers, PATTERN).then((names) => names.length);
}

const CHANNELS: KeyRange = { first: 1, last: -1, step: 1 };
const SUBSCRIBES = ['pubsub', 'noscript', 'loading', 'stale'] as const;
const PUBLISHES = ['pubsub', 'loading', 'stale', 'fast'] as const;
const ASKS = ['pubsub', 'loading', 'stale'] as const;
const PER_CHANNEL = 'O(N) for N channels';
const PER_SUBSCRIBER = 'O(N+M) for N subscribers of the channel and M patterns';

function subscribing(
  name: string,
  kind: TopicKind,
  options: { since: string; summary: string; keys?: KeyRange },
): PlainRow {
  const isEnd = name.includes('unsub');
  const run = (isEnd ? unsubscribeFrom : subscribeTo)(kind, name) as NonNullable<Command['run']>;
  return { name, arity: isEnd ? -1 : -2, flags: SUBSCRIBES, complexity: PER_CHANNEL, run, ...options };
}

const { CHANNEL, PATTERN, SHARD } = topicKind;

const rows: readonly PlainRow[] = [
  subscribing('subscribe', CHANNEL, { since: '2.0.0', summary: 'Listens to channels.' }),
  subscribing('unsubscribe', CHANNEL, { since: '2.0.0', summary: 'Stops listening to channels, or to all of them.' }),
  subscribing('psubscribe', PATTERN, { since: '2.0.0', summary: 'Listens to the channels that match patterns.' }),
  subscribing('punsubscribe', PATTERN, { since: '2.0.0', summary: 'Stops listening by patterns, or by all of them.' }),
  subscribing('ssubscribe', SHARD, { since: '7.0.0', summary: 'Listens to shard channels.', keys: CHANNELS }),
  subscribing('sunsubscribe', SHARD, {
    since: '7.0.0',
    summary: 'Stops listening to shard channels, or to all of them.',
    keys: CHANNELS,
  }),
  {
    name: 'publish',
    arity: 3,
    flags: PUBLISHES,
    since: '2.0.0',
    summary: 'Sends a message to a channel; returns how many listeners of this node have it.',
    complexity: PER_SUBSCRIBER,
    run: publishTo(CHANNEL),
  },
  {
    name: 'spublish',
    arity: 3,
    flags: PUBLISHES,
    since: '7.0.0',
    summary: 'Sends a message to a shard channel; returns how many listeners of this node have it.',
    complexity: 'O(N) for N subscribers of the channel',
    keys: { first: 1, last: 1, step: 1 },
    run: publishTo(SHARD),
  },
];

const subcommands: readonly PlainRow[] = [
  {
    name: 'channels',
    arity: -2,
    flags: ASKS,
    since: '2.8.0',
    summary: 'The channels that somebody listens to.',
    complexity: PER_CHANNEL,
    run: listTopics(CHANNEL),
  },
  {
    name: 'numsub',
    arity: -2,
    flags: ASKS,
    since: '2.8.0',
    summary: 'How many listen to channels.',
    complexity: PER_CHANNEL,
    run: countSubscribers(CHANNEL),
  },
  {
    name: 'numpat',
    arity: 2,
    flags: ASKS,
    since: '2.8.0',
    summary: 'How many patterns somebody listens by.',
    run: countPatterns,
  },
  {
    name: 'shardchannels',
    arity: -2,
    flags: ASKS,
    since: '7.0.0',
    summary: 'The shard channels that somebody listens to.',
    complexity: PER_CHANNEL,
    run: listTopics(SHARD),
  },
  {
    name: 'shardnumsub',
    arity: -2,
    flags: ASKS,
    since: '7.0.0',
    summary: 'How many listen to shard channels.',
    complexity: PER_CHANNEL,
    run: countSubscribers(SHARD),
  },
];

export const pubsubCommands: readonly Command[] = [
  ...rows.map((row) => plainRow('pubsub', row)),
  container({
    name: 'pubsub',
    group: 'pubsub',
    since: '2.8.0',
    summary: 'Who listens to what.',
    subcommands: subcommands.map((row) => plainRow('pubsub', row)),
    help: [
      'CHANNELS [<pattern>]',
      '    Return the channels that have listeners.',
      'NUMPAT',
      '    Return the number of patterns that have listeners.',
      'NUMSUB [<channel> ...]',
      '    Return how many listen to each channel.',
      'SHARDCHANNELS [<pattern>]',
      '    Return the shard channels that have listeners.',
      'SHARDNUMSUB [<channel> ...]',
      '    Return how many listen to each shard channel.',
    ],
  }),
];
