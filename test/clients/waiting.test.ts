/** Programs that wait for others: subscribers, blocking pops, keyspace events and caches, on ioredis 6 and 5 and node-redis. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';

import { Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis-5';
import { BasicClientSideCache, createClient } from 'redis';

import { onBothServers, type Target } from './both-servers.ts';

/** Calls `body` with clients that are closed afterwards. */
async function withClients<C extends { disconnect(): void }>(
  open: () => C,
  body: (...clients: [C, C]) => Promise<void>,
): Promise<void> {
  const clients: [C, C] = [open(), open()];
  try {
    await body(...clients);
  } finally {
    for (const client of clients) client.disconnect();
  }
}

onBothServers('programs that wait, on ioredis', (target) => {
  for (const [name, open] of [
    ['ioredis 6', () => new Redis(target.port)],
    ['ioredis 5', () => new Redis5(target.port) as unknown as Redis],
  ] as const) {
    test(`${name}: subscribers by channel and by pattern`, () =>
      withClients(open, async (subscriber, publisher) => {
        assert.equal(await subscriber.subscribe('news', 'sport'), 2);
        assert.equal(await subscriber.psubscribe('n?ws'), 3);
        const message = once(subscriber, 'message');
        const matched = once(subscriber, 'pmessage');
        assert.equal(await publisher.publish('news', 'hello'), 2);
        assert.deepEqual(await message, ['news', 'hello']);
        assert.deepEqual(await matched, ['n?ws', 'news', 'hello']);
        const channels: unknown[] = await publisher.pubsub('CHANNELS');
        assert.deepEqual(channels.toSorted(), ['news', 'sport']);
        assert.equal(await subscriber.unsubscribe('news', 'sport'), 1);
        assert.equal(await subscriber.punsubscribe(), 0);
        assert.equal(await subscriber.get('nothing'), null);
      }));

    test(`${name}: blocking pops of lists and sorted sets`, () =>
      withClients(open, async (waiter, pusher) => {
        const popped = waiter.blpop('q1', 'q2', 0);
        await pusher.rpush('q2', 'a', 'b');
        assert.deepEqual(await popped, ['q2', 'a']);
        assert.equal(await waiter.brpoplpush('q2', 'q3', 1), 'b');
        assert.equal(await waiter.blpop('q1', 0.01), null);
        const member = waiter.bzpopmin('z', 0);
        await pusher.zadd('z', 1, 'a');
        assert.deepEqual(await member, ['z', 'a', '1']);
        await pusher.del('q3');
      }));

    test(`${name}: readers of a stream`, () =>
      withClients(open, async (reader, writer) => {
        const read = reader.xread('BLOCK', 0, 'STREAMS', 's', '0');
        await writer.xadd('s', '1-1', 'field', 'value');
        assert.deepEqual(await read, [['s', [['1-1', ['field', 'value']]]]]);
        await writer.del('s');
      }));

    test(`${name}: events of keys`, () =>
      withClients(open, async (subscriber, writer) => {
        await writer.config('SET', 'notify-keyspace-events', 'KEA');
        await subscriber.subscribe('__keyevent@0__:expired');
        const message = once(subscriber, 'message');
        await writer.set('gone', 'x', 'PX', 10);
        assert.deepEqual(await message, ['__keyevent@0__:expired', 'gone']);
        await writer.config('SET', 'notify-keyspace-events', '');
      }));
  }
});

function openNodeRedis(target: Target, cache?: BasicClientSideCache) {
  const client = createClient({
    socket: { host: '127.0.0.1', port: target.port },
    RESP: 3,
    ...(cache === undefined ? {} : { clientSideCache: cache }),
  });
  client.on('error', () => undefined);
  return client;
}

onBothServers('programs that wait, on node-redis', (target) => {
  test('subscribers', async () => {
    const subscriber = openNodeRedis(target);
    const publisher = openNodeRedis(target);
    await Promise.all([subscriber.connect(), publisher.connect()]);
    try {
      const received: string[] = [];
      const listener = (message: string, channel: string): void => void received.push(`${channel}=${message}`);
      await subscriber.subscribe('news', listener);
      await subscriber.pSubscribe('n*', listener);
      await subscriber.sSubscribe('shard', listener);
      assert.equal(await publisher.publish('news', 'a'), 2);
      assert.equal(await publisher.sPublish('shard', 'b'), 1);
      while (received.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.deepEqual(received, ['news=a', 'news=a', 'shard=b']);
      await subscriber.unsubscribe();
      await subscriber.pUnsubscribe();
      await subscriber.sUnsubscribe();
      assert.equal(await publisher.publish('news', 'a'), 0);
    } finally {
      subscriber.destroy();
      publisher.destroy();
    }
  });

  test('blocking pops', async () => {
    const waiter = openNodeRedis(target);
    const pusher = openNodeRedis(target);
    await Promise.all([waiter.connect(), pusher.connect()]);
    try {
      const popped = waiter.blPop('q', 0);
      await pusher.rPush('q', ['a', 'b']);
      assert.deepEqual({ ...(await popped) }, { key: 'q', element: 'a' });
      assert.equal(await waiter.blMove('q', 'r', 'LEFT', 'RIGHT', 0), 'b');
      assert.equal(await waiter.blPop('q', 0.01), null);
      await pusher.del('r');
    } finally {
      waiter.destroy();
      pusher.destroy();
    }
  });

  test('a cache at the client', async () => {
    const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0 });
    const reader = openNodeRedis(target, cache);
    const writer = openNodeRedis(target);
    await Promise.all([reader.connect(), writer.connect()]);
    try {
      await writer.set('cached', '1');
      assert.equal(await reader.get('cached'), '1');
      assert.equal(await reader.get('cached'), '1');
      assert.equal(cache.stats().hitCount, 1);
      await writer.set('cached', '2');
      while ((await reader.get('cached')) !== '2') await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal(cache.stats().missCount, 2);
      await writer.del('cached');
    } finally {
      reader.destroy();
      writer.destroy();
    }
  });
});
