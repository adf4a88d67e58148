/**
 * A cluster of three nodes as clients use it, unmodified: plain ones at any node, those of Redis Cluster, and the tools.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cluster, Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis-5';
import { createClient, createCluster } from 'redis';

import { type ClusterProcess, startCluster } from '../support/cluster-process.ts';
import { runProgram } from '../support/redis-process.ts';

let cluster: ClusterProcess;

before(async () => {
  cluster = await startCluster({ nodes: 3, flags: ['--appendfsync', 'no'] });
});

after(() => cluster.stop());

function port(i: number): number {
  return cluster.node(i).port;
}

void test('a plain client at each node sees what the others wrote, in whatever order', async () => {
  const clients = [new Redis(port(0)), new Redis5(port(1)), new Redis(port(2))];
  try {
    for (let round = 0; round < 30; round++) {
      const key = `plain:${round}`;
      await clients[round % 3]?.set(key, `v${round}`);
      assert.equal(await clients[(round + 1) % 3]?.get(key), `v${round}`);
      await Promise.all(clients.map((client) => client.incr('visits')));
    }
    assert.equal(await clients[0]?.get('visits'), '90');
    assert.deepEqual(await clients[1]?.mget('plain:0', 'plain:1', 'nothing'), ['v0', 'v1', null]);
  } finally {
    for (const client of clients) client.disconnect();
  }
});

void test('a pipeline is answered in order, and a command sees those before it', async () => {
  const client = new Redis(port(1));
  try {
    const pipeline = client.pipeline();
    for (let i = 0; i < 100; i++)
      pipeline
        .set(`p:${i % 10}`, i)
        .get(`p:${i % 10}`)
        .incr('p:count');
    const replies = (await pipeline.exec()) ?? [];
    for (let i = 0; i < 100; i++) {
      assert.deepEqual(replies.slice(3 * i, 3 * i + 3), [
        [null, 'OK'],
        [null, String(i)],
        [null, i + 1],
      ]);
    }
  } finally {
    client.disconnect();
  }
});

void test('ioredis.Cluster finds the owners', async () => {
  const client = new Cluster([{ host: '127.0.0.1', port: port(2) }]);
  try {
    for (let i = 0; i < 50; i++) await client.set(`c:${i}`, i);
    const found = await Promise.all(Array.from({ length: 50 }, (_, i) => client.get(`c:${i}`)));
    assert.deepEqual(
      found,
      Array.from({ length: 50 }, (_, i) => String(i)),
    );
    assert.equal(client.nodes('master').length, 3);
  } finally {
    client.disconnect();
  }
});

void test('createCluster of node-redis finds the owners', async () => {
  const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port(0)}` }] });
  client.on('error', () => undefined);
  await client.connect();
  try {
    for (let i = 0; i < 50; i++) await client.set(`n:${i}`, String(i));
    for (let i = 0; i < 50; i++) assert.equal(await client.get(`n:${i}`), String(i));
    assert.equal(client.masters.length, 3);
  } finally {
    client.destroy();
  }
});

void test('createClient of node-redis: MULTI on one key, WATCH', async () => {
  const client = createClient({ url: `redis://127.0.0.1:${port(2)}` });
  client.on('error', () => undefined);
  await client.connect();
  try {
    assert.deepEqual(await client.multi().set('m', '1').incr('m').get('m').exec(), ['OK', 2, '2']);
    await client.watch('m');
    assert.deepEqual(await client.multi().incr('m').exec(), [3]);
    const other = new Redis(port(0));
    await client.watch('m');
    await other.set('m', 'changed');
    other.disconnect();
    await assert.rejects(client.multi().set('m', 'mine').exec());
    assert.equal(await client.get('m'), 'changed');
  } finally {
    client.destroy();
  }
});

void test('the whole keyspace is one, from every node', async () => {
  const clients = [0, 1, 2].map((i) => new Redis(port(i)));
  try {
    await clients[0]?.flushall();
    for (const client of clients) assert.equal(await client.dbsize(), 0);
    await Promise.all(Array.from({ length: 200 }, async (_, i) => clients[i % 3]?.set(`w:${i}`, i)));
    for (const client of clients) {
      assert.equal(await client.dbsize(), 200);
      const seen = new Set<string>();
      let cursor = '0';
      do {
        const [next, keys] = await client.scan(cursor, 'COUNT', 50);
        for (const key of keys) seen.add(key);
        cursor = next;
      } while (cursor !== '0');
      assert.equal(seen.size, 200);
    }
    assert.equal((await clients[1]?.keys('w:1*'))?.length, 111);
    assert.match((await clients[2]?.randomkey()) ?? '', /^w:/);
  } finally {
    for (const client of clients) client.disconnect();
  }
});

void test('redis-cli -c and redis-benchmark --cluster', async () => {
  const cli = await runProgram('redis-cli', ['-c', '-p', String(port(1)), 'set', 'tool', 'works']);
  assert.equal(cli.stdout.trim(), 'OK');
  const read = await runProgram('redis-cli', ['-c', '-p', String(port(2)), 'get', 'tool']);
  assert.equal(read.stdout.trim(), 'works');
  const words = [
    '--cluster',
    '-p',
    String(port(0)),
    '-t',
    'set,get,incr',
    '-n',
    '2000',
    '-c',
    '10',
    '-r',
    '1000',
    '-q',
  ];
  const bench = await runProgram('redis-benchmark', words);
  assert.equal(bench.code, 0, bench.stderr);
  assert.match(bench.stdout, /INCR: [\d.]+ requests per second/);
  assert.doesNotMatch(bench.stdout + bench.stderr, /[Ee]rror/);
});
