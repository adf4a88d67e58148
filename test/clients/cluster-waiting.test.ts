/**
 * Clients that wait for others at a cluster of three nodes: blocking pops across nodes and the death of one, messages of
 * publish and subscribe.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Redis } from 'ioredis';

import { ClusterProcess, startCluster } from '../support/cluster-process.ts';
import { freePort, startKvorum } from '../support/server-process.ts';

let cluster: ClusterProcess;
const clients: Redis[] = [];

before(async () => {
  cluster = await startCluster({ nodes: 3, flags: ['--appendfsync', 'no'] });
});

after(async () => {
  for (const client of clients) client.disconnect();
  await cluster.stop();
});

function clientOf(i: number): Redis {
  const client = new Redis(cluster.node(i).port);
  client.on('error', () => undefined);
  clients.push(client);
  return client;
}

/** Until the node says that so many commands wait. */
async function untilBlocked(i: number, count: number): Promise<void> {
  const client = clientOf(i);
  while (!(await client.info('clients')).includes(`blocked_clients:${count}\r\n`)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

void test('an element pushed at one node comes to who waits at another one', async () => {
  for (const [waiter, pusher] of [
    [0, 1],
    [1, 2],
    [2, 0],
    [0, 0],
  ] as const) {
    const key = `q:${waiter}${pusher}`;
    const waiting = clientOf(waiter).blpop(key, 0);
    await untilBlocked(waiter, 1);
    assert.equal(await clientOf(pusher).rpush(key, 'x', 'y'), 2);
    assert.deepEqual(await waiting, [key, 'x']);
    assert.deepEqual(await clientOf(waiter).lrange(key, 0, -1), ['y']);
    const moved = clientOf(waiter).blmove(`${key}:from`, `${key}:to`, 'LEFT', 'RIGHT', 0);
    const member = clientOf(waiter).bzpopmin(`${key}:z`, `${key}:zz`, 0);
    await untilBlocked(waiter, 2);
    await clientOf(pusher).rpush(`${key}:from`, 'm');
    await clientOf(pusher).zadd(`${key}:zz`, 1, 'a', 2, 'b');
    assert.equal(await moved, 'm');
    assert.deepEqual(await clientOf(pusher).lrange(`${key}:to`, 0, -1), ['m']);
    assert.deepEqual(await member, [`${key}:zz`, 'a', '1']);
  }
});

void test('each element comes to exactly one of those who wait at all nodes', async () => {
  const taken: string[] = [];
  const waiting = Array.from({ length: 12 }, async (_, i) => {
    const client = clientOf(i % 3);
    for (let round = 0; round < 5; round++) {
      const reply = await client.blpop('many', 'others', 0);
      taken.push((reply as [string, string])[1]);
    }
  });
  const pushers = [clientOf(0), clientOf(1), clientOf(2)];
  await Promise.all(
    Array.from({ length: 60 }, (_, i) => (pushers[i % 3] as Redis).rpush(i % 4 === 0 ? 'others' : 'many', `e${i}`)),
  );
  await Promise.all(waiting);
  assert.deepEqual(taken.toSorted(), Array.from({ length: 60 }, (_, i) => `e${i}`).toSorted());
  assert.equal(await clientOf(0).exists('many', 'others'), 0);
});

void test('the words of a command that waits are judged as elsewhere', async () => {
  const client = clientOf(0);
  await client.set('s', 'x');
  await assert.rejects(client.blpop('s', 0), /WRONGTYPE/);
  await assert.rejects(client.blpop('q', 'x'), /timeout is not a float/);
  assert.equal(await client.blpop('nothing', 0.05), null);
  await client.rpush('there', 1, 2);
  assert.deepEqual(await client.blpop('nothing', 'there', 0), ['there', '1']);
  const id = await client.client('ID');
  const waiting = client.blpop('nothing', 0);
  await untilBlocked(0, 1);
  assert.equal(await clientOf(0).client('UNBLOCK', id), 1);
  assert.equal(await waiting, null);
});

void test('a client that goes takes no element with it', async () => {
  const client = clientOf(0);
  client.blpop('left', 0).catch(() => undefined);
  await untilBlocked(0, 1);
  client.disconnect();
  await untilBlocked(0, 0);
  await clientOf(1).rpush('left', 'x');
  assert.deepEqual(await clientOf(2).lrange('left', 0, -1), ['x']);
});

void test('a message comes to the subscribers of every node, in the order of its publisher', async () => {
  const received: string[][] = [[], [], []];
  for (const i of [0, 1, 2]) {
    const subscriber = clientOf(i);
    subscriber.on('message', (_channel: string, message: string) => received[i]?.push(message));
    subscriber.on('pmessage', (_pattern: string, _channel: string, message: string) => received[i]?.push(message));
    if (i === 2) await subscriber.psubscribe('ne?s');
    else await subscriber.subscribe('news');
  }
  const publisher = clientOf(1);
  const told = await Promise.all(Array.from({ length: 100 }, (_, i) => publisher.publish('news', String(i))));
  assert.deepEqual([...new Set(told)], [1]);
  for (let tries = 0; tries < 200 && received.some((each) => each.length < 100); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const all = Array.from({ length: 100 }, (_, i) => String(i));
  assert.deepEqual(received, [all, all, all]);
});

void test('the death of a node loses neither who waits nor an element', async () => {
  const taken: string[] = [];
  const waiting = Array.from({ length: 8 }, async (_, i) => {
    const reply = await clientOf(i % 2).blpop(`queue:${i}`, 0);
    taken.push((reply as [string, string])[1]);
  });
  await untilBlocked(0, 4);
  await untilBlocked(1, 4);
  await cluster.node(2).kill();
  const pusher = clientOf(1);
  for (let i = 0; i < 8; i++) {
    for (;;) {
      const pushed = await pusher.rpush(`queue:${i}`, `e${i}`).catch((error: Error) => error);
      if (typeof pushed === 'number') break;
      // Pushed again when it is not certain: who waits takes one of them.
      assert.match(pushed.message, /NOQUORUM|UNCERTAIN/);
    }
  }
  await Promise.all(waiting);
  assert.deepEqual(
    taken.toSorted(),
    Array.from({ length: 8 }, (_, i) => `e${i}`),
  );
});

void test('who waits at a node that is alone goes on waiting when it becomes one of several', async () => {
  const flags = ['--cluster-enabled', 'yes', '--appendfsync', 'no', '--replicas', '1'];
  const pair = new ClusterProcess([await startKvorum({ port: await freePort(), flags })]);
  const open = (i: number): Redis => {
    const client = new Redis(pair.node(i).port);
    clients.push(client);
    return client;
  };
  try {
    const waiter = open(0);
    const waiting = waiter.blpop('early', 0);
    const info = open(0);
    assert.equal(await info.client('TRACKING', 'ON'), 'OK');
    while (!(await info.info('clients')).includes('blocked_clients:1\r\n')) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await pair.add(['--appendfsync', 'no', '--replicas', '1']);
    await pair.settle(2);
    await open(1).rpush('early', 'x');
    assert.deepEqual(await waiting, ['early', 'x']);
    assert.equal(await info.client('GETREDIR'), -1);
    await assert.rejects(info.client('TRACKING', 'ON'), /not available in a cluster/);
    for (const client of clients) client.disconnect();
  } finally {
    await pair.stop();
  }
});
