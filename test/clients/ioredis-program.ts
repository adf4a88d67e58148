/** An ordinary program on ioredis, the same for its versions 5 and 6. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';

import type { Redis } from 'ioredis';

import { onBothServers, type Target } from './both-servers.ts';

/** The settings that the program uses, alike in both versions. */
export interface Settings {
  port: number;
  host?: string;
  db?: number;
  username?: string;
  password?: string;
  enableAutoPipelining?: boolean;
  retryStrategy?: () => null;
}

export type OpenIoredis = (settings: Settings) => Redis;

/** Declares the tests. `open` makes a client of the version under test with its own settings. */
export function ioredisProgram(title: string, open: OpenIoredis): void {
  onBothServers(title, (target) => {
    const withClient = (name: string, body: (client: Redis, target: Target) => Promise<void>): void => {
      test(name, async () => {
        const client = open({ host: '127.0.0.1', port: target.port });
        client.on('error', () => undefined);
        try {
          await client.flushall();
          await body(client, target);
        } finally {
          client.disconnect();
        }
      });
    };

    withClient('strings, counters and expiry', async (client) => {
      assert.equal(await client.set('user:1', 'Ada'), 'OK');
      assert.equal(await client.get('user:1'), 'Ada');
      assert.equal(await client.get('nobody'), null);
      assert.equal(await client.set('lock', 'me', 'PX', 60_000, 'NX'), 'OK');
      assert.equal(await client.set('lock', 'you', 'PX', 60_000, 'NX'), null);
      assert.ok((await client.pttl('lock')) > 50_000);
      assert.deepEqual(await Promise.all([client.incr('n'), client.incrby('n', 41), client.decr('n')]), [1, 42, 41]);
      assert.equal(await client.incrbyfloat('f', 0.5), '0.5');
      assert.equal(await client.append('log', 'a'), 1);
      assert.equal(await client.append('log', 'bc'), 3);
      assert.deepEqual(await client.mget('log', 'nobody', 'n'), ['abc', null, '41']);
      await client.mset({ a: '1', b: '2' });
      assert.equal(await client.exists('a', 'b', 'c'), 2);
      assert.equal(await client.expire('a', 100), 1);
      assert.equal(await client.ttl('a'), 100);
      assert.equal(await client.del('a', 'b', 'c'), 2);
      assert.equal(await client.type('n'), 'string');
      assert.equal(await client.getex('n', 'EX', 10), '41');
      assert.equal(await client.getdel('n'), '41');
    });

    withClient('errors are rejections with the text of Redis', async (client) => {
      await client.set('text', 'abc');
      await assert.rejects(client.incr('text'), /ERR value is not an integer or out of range/);
      await assert.rejects(client.call('NOSUCH', 'a'), /ERR unknown command 'NOSUCH'/);
      assert.equal(await client.ping(), 'PONG');
    });

    withClient('a pipeline of ten thousand', async (client) => {
      const pipeline = client.pipeline();
      for (let i = 0; i < 5_000; i++) pipeline.set(`key:${i}`, `value:${i}`).get(`key:${i}`);
      const replies = (await pipeline.exec()) ?? [];
      assert.equal(replies.length, 10_000);
      assert.deepEqual(replies[9_999], [null, 'value:4999']);
      assert.equal(await client.dbsize(), 5_000);
    });

    withClient('automatic pipelining', async () => {
      const client = open({ port: target.port, enableAutoPipelining: true });
      try {
        const values = await Promise.all(Array.from({ length: 500 }, (_, i) => client.set(`auto:${i}`, String(i))));
        assert.ok(values.every((value) => value === 'OK'));
        assert.equal(await client.get('auto:499'), '499');
      } finally {
        client.disconnect();
      }
    });

    withClient('transactions', async (client) => {
      const replies = await client.multi().set('a', '1').incr('a').get('a').get('none').exec();
      assert.deepEqual(replies, [
        [null, 'OK'],
        [null, 2],
        [null, '2'],
        [null, null],
      ]);
      const failed = await client.multi().set('b', 'x').incr('b').set('c', 'y').exec();
      assert.match(String(failed?.[1]?.[0]), /not an integer/);
      assert.equal(await client.get('c'), 'y');
      await assert.rejects(client.multi().call('SET', 'a').exec(), /EXECABORT/);
    });

    withClient('optimistic locking with WATCH', async (client) => {
      const other = open({ port: target.port });
      try {
        await client.set('stock', '10');
        await client.watch('stock');
        await other.decr('stock');
        assert.equal(await client.multi().set('stock', '99').exec(), null);
        assert.equal(await client.get('stock'), '9');
        await client.watch('stock');
        assert.deepEqual(await client.multi().decr('stock').exec(), [[null, 8]]);
      } finally {
        other.disconnect();
      }
    });

    withClient('scanStream sees every key', async (client) => {
      const pipeline = client.pipeline();
      for (let i = 0; i < 2_000; i++) pipeline.set(`scan:${i}`, '1');
      pipeline.set('other', '1');
      await pipeline.exec();
      const seen = new Set<string>();
      for await (const page of client.scanStream({ match: 'scan:*', count: 100 }))
        for (const key of page as string[]) seen.add(key);
      assert.equal(seen.size, 2_000);
      assert.equal((await client.keys('scan:1??')).length, 100);
    });

    withClient('ten megabytes of any bytes', async (client) => {
      const value = randomBytes(10 << 20);
      assert.equal(await client.set('big', value), 'OK');
      assert.equal(await client.strlen('big'), value.length);
      const back = await client.getBuffer('big');
      assert.ok(back !== null && value.equals(back));
      const key = Buffer.from([0, 255, 13, 10, 123, 125]);
      await client.set(key, value.subarray(0, 1_000));
      assert.deepEqual(await client.getBuffer(key), value.subarray(0, 1_000));
    });

    withClient('databases', async (client) => {
      const second = open({ port: target.port, db: 2 });
      try {
        await second.set('here', '2');
        assert.equal(await client.get('here'), null);
        await client.select(2);
        assert.equal(await client.get('here'), '2');
        assert.equal(await client.dbsize(), 1);
      } finally {
        second.disconnect();
      }
    });

    withClient('passwords', async (client) => {
      await client.config('SET', 'requirepass', 'sesame');
      const wrong = open({ port: target.port, password: 'wrong', retryStrategy: () => null });
      wrong.on('error', () => undefined);
      const right = open({ port: target.port, password: 'sesame' });
      const named = open({ port: target.port, username: 'default', password: 'sesame' });
      try {
        assert.equal(await right.set('a', '1'), 'OK');
        assert.equal(await named.get('a'), '1');
        await assert.rejects(wrong.get('a'));
      } finally {
        for (const one of [wrong, right, named]) one.disconnect();
        await client.config('SET', 'requirepass', '');
      }
    });

    withClient('a client finds the server again after kill -9', async (client) => {
      assert.equal(await client.set('kept', 'yes'), 'OK');
      const closed = once(client, 'close');
      const restarted = target.restart();
      await closed;
      const pending = client.get('kept');
      await restarted;
      assert.equal(await pending, 'yes');
      assert.equal(await client.incr('count'), 1);
    });

    withClient('the server tells about itself', async (client) => {
      const text = await client.info();
      for (const field of ['redis_version:', 'tcp_port:', 'connected_clients:', 'used_memory:', 'role:master'])
        assert.ok(text.includes(field), `INFO has no ${field}`);
      await client.client('SETNAME', 'worker');
      assert.equal(await client.client('GETNAME'), 'worker');
      assert.match(String(await client.client('LIST')), /name=worker/);
      const info = (await client.call('COMMAND', 'INFO', 'get')) as unknown[][];
      assert.equal(info[0]?.[0], 'get');
      assert.equal(await client.config('GET', 'databases').then((pair) => JSON.stringify(pair).includes('16')), true);
    });
  });
}
