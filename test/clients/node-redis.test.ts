/** An ordinary program on node-redis (the package `redis`), in RESP2 and RESP3. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { createClient, RESP_TYPES, WatchError } from 'redis';

import { onBothServers, type Target } from './both-servers.ts';

interface Settings {
  readonly database?: number;
  readonly password?: string;
  readonly reconnect?: false;
}

function open(target: Target, protocol: 2 | 3, { reconnect, ...settings }: Settings = {}) {
  const client = createClient({
    socket: { host: '127.0.0.1', port: target.port, reconnectStrategy: reconnect ?? 50 },
    RESP: protocol,
    ...settings,
  });
  client.on('error', () => undefined);
  return client;
}

type Client = ReturnType<typeof open>;

for (const protocol of [2, 3] as const) {
  onBothServers(`node-redis, RESP${protocol}`, (target) => {
    const withClient = (name: string, body: (client: Client) => Promise<void>): void => {
      test(name, async () => {
        const client = open(target, protocol);
        await client.connect();
        try {
          await client.flushAll();
          await body(client);
        } finally {
          client.destroy();
        }
      });
    };

    withClient('strings, counters and expiry', async (client) => {
      assert.equal(await client.set('user:1', 'Ada'), 'OK');
      assert.equal(await client.get('user:1'), 'Ada');
      assert.equal(await client.get('nobody'), null);
      assert.equal(await client.set('lock', 'me', { condition: 'NX', expiration: { type: 'EX', value: 60 } }), 'OK');
      assert.equal(await client.set('lock', 'you', { condition: 'NX' }), null);
      assert.equal(await client.ttl('lock'), 60);
      assert.equal(await client.incrBy('n', 42), 42);
      assert.equal(await client.incrByFloat('f', 0.5), '0.5');
      assert.deepEqual(await client.mGet(['n', 'nobody']), ['42', null]);
      await client.mSet({ a: '1', b: '2' });
      assert.equal(await client.exists(['a', 'b', 'c']), 2);
      assert.equal(await client.del(['a', 'b']), 2);
      assert.equal(await client.getEx('n', { type: 'PX', value: 60_000 }), '42');
      assert.equal(await client.getDel('n'), '42');
      await client.set('text', 'abc');
      await assert.rejects(client.incr('text'), /ERR value is not an integer or out of range/);
    });

    withClient('commands of one turn go out together', async (client) => {
      const replies = await Promise.all(Array.from({ length: 5_000 }, (_, i) => client.set(`key:${i}`, String(i))));
      assert.equal(replies.length, 5_000);
      assert.equal(await client.dbSize(), 5_000);
      assert.equal(await client.get('key:4999'), '4999');
    });

    withClient('transactions', async (client) => {
      assert.deepEqual(await client.multi().set('a', '1').incr('a').get('a').exec(), ['OK', 2, '2']);
      await client.watch('a');
      const other = open(target, protocol);
      await other.connect();
      await other.set('a', '9');
      other.destroy();
      await assert.rejects(client.multi().set('a', '3').exec(), WatchError);
      assert.equal(await client.get('a'), '9');
    });

    withClient('scanIterator sees every key', async (client) => {
      await Promise.all(Array.from({ length: 2_000 }, (_, i) => client.set(`scan:${i}`, '1')));
      await client.set('other', '1');
      const seen = new Set<string>();
      for await (const page of client.scanIterator({ MATCH: 'scan:*', COUNT: 100 }))
        for (const key of page) seen.add(key);
      assert.equal(seen.size, 2_000);
    });

    withClient('ten megabytes of any bytes', async (client) => {
      const value = randomBytes(10 << 20);
      assert.equal(await client.set('big', value), 'OK');
      const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      const back = await binary.get('big');
      assert.ok(back !== null && value.equals(back));
    });

    withClient('databases and passwords', async (client) => {
      await client.configSet('requirepass', 'sesame');
      const second = open(target, protocol, { database: 2, password: 'sesame' });
      await second.connect();
      try {
        await second.set('here', '2');
        assert.equal(await client.get('here'), null);
        await client.select(2);
        assert.equal(await client.get('here'), '2');
        await assert.rejects(open(target, protocol, { password: 'wrong', reconnect: false }).connect(), /WRONGPASS/);
      } finally {
        second.destroy();
        await client.configSet('requirepass', '');
      }
    });

    withClient('a client finds the server again after kill -9', async (client) => {
      assert.equal(await client.set('kept', 'yes'), 'OK');
      const ready = new Promise((resolve) => client.once('ready', resolve));
      await target.restart();
      await ready;
      assert.equal(await client.get('kept'), 'yes');
    });

    withClient('the server tells about itself', async (client) => {
      assert.match(await client.info('server'), /redis_version:7/);
      await client.clientSetName('worker');
      assert.equal(await client.clientGetName(), 'worker');
      const own = await client.clientInfo();
      assert.equal(own.name, 'worker');
      assert.equal((await client.configGet('databases'))['databases'], '16');
      assert.equal((await client.commandInfo(['get']))[0]?.name, 'get');
    });
  });
}
