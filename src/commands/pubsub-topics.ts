/**
 * Who has subscribed to what: channels, patterns of channels, and shard channels. Knows nothing of sockets: who a message
 * goes to is told to a visitor.
 *
 * Invariants: a topic is there exactly while somebody has subscribed to it; a subscriber's own lists name the same topics
 * as the lists of topics name the subscriber.
 */

import { latin1 } from '../bytes.ts';
import { globMatches } from './glob.ts';

export const topicKind = { CHANNEL: 0, PATTERN: 1, SHARD: 2 } as const;
export type TopicKind = (typeof topicKind)[keyof typeof topicKind];

/** Topics of one connection; beyond it SUBSCRIBE is refused. Some 100 bytes each. */
export const MAX_SUBSCRIPTIONS = 1_000_000;

/** What one subscriber has subscribed to: names in the order of subscription, a byte a character. */
export class Subscriptions {
  private readonly kinds: readonly Set<string>[] = [new Set(), new Set(), new Set()];

  of(kind: TopicKind): Set<string> {
    return this.kinds[kind] as Set<string>;
  }

  /** Channels and patterns together, or shard channels: what the replies of SUBSCRIBE and its kin count. */
  countWith(kind: TopicKind): number {
    if (kind === topicKind.SHARD) return this.of(kind).size;
    return this.of(topicKind.CHANNEL).size + this.of(topicKind.PATTERN).size;
  }

  get count(): number {
    return this.countWith(topicKind.CHANNEL) + this.countWith(topicKind.SHARD);
  }
}

/** Whoever subscribes; `subscriptions` is theirs alone. */
export interface Subscriber {
  subscriptions: Subscriptions | undefined;
}

interface Topic<S> {
  readonly name: Uint8Array;
  readonly subscribers: Set<S>;
}

export class Topics<S extends Subscriber> {
  private readonly kinds: readonly Map<string, Topic<S>>[] = [new Map(), new Map(), new Map()];

  /** Topics of a kind that have subscribers. */
  count(kind: TopicKind): number {
    return this.of(kind).size;
  }

  /** True: it was not subscribed before. */
  subscribe(subscriber: S, kind: TopicKind, name: Uint8Array): boolean {
    const text = latin1(name);
    const own = (subscriber.subscriptions ??= new Subscriptions()).of(kind);
    if (own.has(text)) return false;
    own.add(text);
    let topic = this.of(kind).get(text);
    if (topic === undefined) this.of(kind).set(text, (topic = { name: name.slice(), subscribers: new Set() }));
    topic.subscribers.add(subscriber);
    return true;
  }

  /** `name`: a byte a character. True: it was subscribed before. */
  unsubscribe(subscriber: S, kind: TopicKind, name: string): boolean {
    const { subscriptions } = subscriber;
    if (subscriptions?.of(kind).delete(name) !== true) return false;
    const topic = this.of(kind).get(name) as Topic<S>;
    topic.subscribers.delete(subscriber);
    if (topic.subscribers.size === 0) this.of(kind).delete(name);
    if (subscriptions.count === 0) subscriber.subscriptions = undefined;
    return true;
  }

  /** The subscriber is gone, or as good as new. */
  unsubscribeAll(subscriber: S): void {
    const { subscriptions } = subscriber;
    if (subscriptions === undefined) return;
    for (const kind of [topicKind.CHANNEL, topicKind.PATTERN, topicKind.SHARD]) {
      for (const name of subscriptions.of(kind)) this.unsubscribe(subscriber, kind, name);
    }
  }

  /** Those who have subscribed to just this name. */
  subscribersOf(kind: TopicKind, name: Uint8Array): ReadonlySet<S> | undefined {
    const topics = this.of(kind);
    return topics.size === 0 ? undefined : topics.get(latin1(name))?.subscribers;
  }

  /** Calls `visit` with each pattern that the channel matches, and who has subscribed to it. */
  eachMatch(channel: Uint8Array, visit: (pattern: Uint8Array, subscribers: ReadonlySet<S>) => void): void {
    for (const { name, subscribers } of this.of(topicKind.PATTERN).values()) {
      if (globMatches(name, channel)) visit(name, subscribers);
    }
  }

  /** Names of the topics that match a pattern; of all without one. */
  names(kind: TopicKind, pattern?: Uint8Array): Uint8Array[] {
    const names = [...this.of(kind).values()].map((topic) => topic.name);
    return pattern === undefined ? names : names.filter((name) => globMatches(pattern, name));
  }

  private of(kind: TopicKind): Map<string, Topic<S>> {
    return this.kinds[kind] as Map<string, Topic<S>>;
  }
}
