/** Topics and their subscribers against a model of plain sets. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { latin1 } from '../../src/bytes.ts';
import { type Subscriber, type TopicKind, topicKind, Topics } from '../../src/commands/pubsub-topics.ts';

const KINDS = [topicKind.CHANNEL, topicKind.PATTERN, topicKind.SHARD] as const;
const NAMES = ['a', 'ab', 'a*', '*', 'b\xff', ''];

function bytes(name: string): Uint8Array {
  return Buffer.from(name, 'latin1');
}

const change = fc.record({
  who: fc.nat(3),
  kind: fc.constantFrom(...KINDS),
  name: fc.constantFrom(...NAMES),
  does: fc.constantFrom('subscribe', 'subscribe', 'unsubscribe', 'end'),
});

void test('subscribers and topics name each other, and nothing is left behind', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 80 }), (changes) => {
      const topics = new Topics<Subscriber>();
      const people = Array.from({ length: 4 }, (): Subscriber => ({ subscriptions: undefined }));
      const model = new Set<string>();
      const entry = (who: number, kind: TopicKind, name: string): string => `${who}/${kind}/${name}`;
      for (const { who, kind, name, does } of changes) {
        const subscriber = people[who] as Subscriber;
        const key = entry(who, kind, name);
        if (does === 'subscribe') {
          assert.equal(topics.subscribe(subscriber, kind, bytes(name)), !model.has(key));
          model.add(key);
        } else if (does === 'unsubscribe') {
          assert.equal(topics.unsubscribe(subscriber, kind, name), model.delete(key));
        } else {
          topics.unsubscribeAll(subscriber);
          for (const each of model) if (each.startsWith(`${who}/`)) model.delete(each);
        }
      }
      for (const kind of KINDS) {
        const names = NAMES.filter((name) => people.some((_, who) => model.has(entry(who, kind, name))));
        assert.deepEqual(
          topics
            .names(kind)
            .map((name) => latin1(name))
            .toSorted(),
          names.toSorted(),
        );
        assert.equal(topics.count(kind), names.length);
        for (const name of NAMES) {
          const expected = people.filter((_, who) => model.has(entry(who, kind, name)));
          assert.deepEqual(new Set(topics.subscribersOf(kind, bytes(name)) ?? []), new Set(expected));
        }
      }
      for (const [who, { subscriptions }] of people.entries()) {
        const own = [...model].filter((each) => each.startsWith(`${who}/`)).length;
        assert.equal(subscriptions?.count ?? 0, own);
      }
    }),
  );
});

void test('a pattern is met by the channels that it matches', () => {
  const topics = new Topics<Subscriber>();
  const one: Subscriber = { subscriptions: undefined };
  for (const pattern of ['n?ws', 'n*', 'x*']) topics.subscribe(one, topicKind.PATTERN, bytes(pattern));
  const met: string[] = [];
  topics.eachMatch(bytes('news'), (pattern) => met.push(latin1(pattern)));
  assert.deepEqual(met, ['n?ws', 'n*']);
});
