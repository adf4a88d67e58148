/**
 * What programs on Redis do with the libraries they are built on: each its basic work, as its README shows it. `port` gives
 * the next node's, so that on a cluster the connections of one program are at different nodes.
 */

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createAdapter } from '@socket.io/redis-adapter';
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter';
import KeyvRedis from '@keyv/redis';
import BeeQueue from 'bee-queue';
import Bull from 'bull';
import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq';
import { createCache } from 'cache-manager';
import { RedisStore } from 'connect-redis';
import { Redis } from 'ioredis';
import { Keyv } from 'keyv';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import { io, type Socket } from 'socket.io-client';

type Port = () => number;

interface Lock {
  extend(ms: number): Promise<Lock>;
  release(): Promise<unknown>;
}

/** redlock 5 does not export its types where they are looked for. */
const { default: Redlock } = createRequire(import.meta.url)('redlock') as {
  default: new (
    clients: readonly Redis[],
    options: { retryCount: number },
  ) => { acquire(resources: readonly string[], ms: number): Promise<Lock> };
};

/** How long a job may take to be told of. */
const PATIENCE_MS = 20_000;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function bullmq(port: Port): Promise<void> {
  const connection = (): { host: string; port: number; maxRetriesPerRequest: null } => ({
    host: '127.0.0.1',
    port: port(),
    maxRetriesPerRequest: null,
  });
  const queue = new Queue('jobs', { connection: connection() });
  const events = new QueueEvents('jobs', { connection: connection() });
  const seen: string[] = [];
  const worker = new Worker(
    'jobs',
    async (job) => {
      if (job.name === 'flaky' && job.attemptsMade < 1) throw new Error('once more');
      seen.push(job.name);
      return (job.data as { x: number }).x * 2;
    },
    { connection: connection(), concurrency: 5 },
  );
  const flows = new FlowProducer({ connection: connection() });
  try {
    await events.waitUntilReady();
    const plain = await queue.add('plain', { x: 21 });
    assert.equal(await plain.waitUntilFinished(events, PATIENCE_MS), 42);
    await queue.addBulk(Array.from({ length: 10 }, (_, i) => ({ name: `bulk${i}`, data: { x: i } })));
    const delayed = await queue.add('delayed', { x: 1 }, { delay: 200 });
    assert.equal(await delayed.waitUntilFinished(events, PATIENCE_MS), 2);
    const flaky = await queue.add('flaky', { x: 3 }, { attempts: 3, backoff: 50 });
    assert.equal(await flaky.waitUntilFinished(events, PATIENCE_MS), 6);
    const urgent = await queue.add('urgent', { x: 5 }, { priority: 3 });
    assert.equal(await urgent.waitUntilFinished(events, PATIENCE_MS), 10);
    const flow = await flows.add({
      name: 'parent',
      queueName: 'jobs',
      data: { x: 5 },
      children: [{ name: 'child', queueName: 'jobs', data: { x: 1 } }],
    });
    assert.equal(await flow.job.waitUntilFinished(events, PATIENCE_MS), 10);
    assert.ok(seen.indexOf('child') < seen.indexOf('parent'));
    const counts = await queue.getJobCounts('completed', 'failed');
    assert.deepEqual([counts['completed'], counts['failed']], [16, 0]);
  } finally {
    await worker.close();
    await Promise.all([events.close(), queue.close(), flows.close()]);
  }
}

async function bull(port: Port): Promise<void> {
  const queue = new Bull<{ x: number }>('mail', { redis: { host: '127.0.0.1', port: port() } });
  try {
    void queue.process(async (job) => job.data.x + 1);
    assert.equal(await (await queue.add({ x: 1 })).finished(), 2);
    assert.equal(await (await queue.add({ x: 5 }, { delay: 200 })).finished(), 6);
    assert.equal((await queue.getJobCounts()).completed, 2);
    await queue.empty();
  } finally {
    await queue.close();
  }
}

async function beeQueue(port: Port): Promise<void> {
  const queue = new BeeQueue<{ x: number }>('bee', { redis: { host: '127.0.0.1', port: port() } });
  try {
    queue.process(async (job: BeeQueue.Job<{ x: number }>) => job.data.x * 3);
    const job = queue.createJob({ x: 4 });
    const result = new Promise((resolve, reject) => {
      job.on('succeeded', resolve);
      job.on('failed', reject);
    });
    await job.save();
    assert.equal(await result, 12);
    assert.equal((await queue.checkHealth()).succeeded, 1);
  } finally {
    await queue.close(1000);
  }
}

async function connectRedis(port: Port): Promise<void> {
  const client = createClient({ url: `redis://127.0.0.1:${port()}` });
  await client.connect();
  try {
    const store = new RedisStore({ client, prefix: 'sess:' });
    const session = { cookie: { originalMaxAge: 60_000 }, user: 'ada' };
    await store.set('id', session);
    assert.equal(((await store.get('id')) as unknown as { user: string }).user, 'ada');
    await store.touch('id', session);
    assert.deepEqual(await store.ids(), ['id']);
    assert.equal(await store.length(), 1);
    await store.destroy('id');
    assert.equal(await store.length(), 0);
  } finally {
    await client.quit();
  }
}

async function rateLimiter(port: Port): Promise<void> {
  const client = new Redis(port());
  try {
    const limiter = new RateLimiterRedis({ storeClient: client, points: 3, duration: 5, keyPrefix: 'limit' });
    for (let i = 0; i < 3; i++) await limiter.consume('user');
    await assert.rejects(
      limiter.consume('user'),
      (refused: { msBeforeNext?: number }) => (refused.msBeforeNext ?? 0) > 0,
    );
    assert.equal((await limiter.get('user'))?.consumedPoints, 4);
    await limiter.penalty('other', 2);
    await limiter.block('other', 5);
    assert.equal(await limiter.delete('user'), true);
  } finally {
    client.disconnect();
  }
}

async function redlock(port: Port): Promise<void> {
  const client = new Redis(port());
  try {
    const locks = new Redlock([client], { retryCount: 0 });
    const lock = await locks.acquire(['resource:a', 'resource:b'], 5000);
    await assert.rejects(locks.acquire(['resource:b'], 1000));
    const longer = await lock.extend(5000);
    await longer.release();
    await (await locks.acquire(['resource:b'], 1000)).release();
  } finally {
    client.disconnect();
  }
}

interface ChatServer {
  readonly server: Server;
  readonly port: number;
  readonly clients: readonly Redis[];
}

async function chatServer(port: Port, kind: 'pubsub' | 'streams'): Promise<ChatServer> {
  // The streams adapter duplicates its client and never closes the copy: it ends with the server.
  const client = (): Redis => new Redis(port(), { retryStrategy: () => null });
  const clients = [client(), client()] as const;
  const adapter = kind === 'pubsub' ? createAdapter(...clients) : createStreamsAdapter(clients[0]);
  const server = new Server(0, { adapter: adapter as never });
  server.on('connection', (socket) => void socket.join('room'));
  const { httpServer } = server as unknown as { httpServer: { address(): { port: number } } };
  await sleep(200);
  return { server, port: httpServer.address().port, clients };
}

/** Two servers of one chat, joined by the adapter. */
async function socketIo(port: Port, kind: 'pubsub' | 'streams'): Promise<void> {
  const servers = [await chatServer(port, kind), await chatServer(port, kind)] as const;
  const sockets: Socket[] = servers.map((each) => io(`http://127.0.0.1:${each.port}`));
  try {
    await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.on('connect', resolve))));
    await sleep(500);
    const heard = new Promise((resolve) => sockets[1]?.on('hello', resolve));
    servers[0].server.to('room').emit('hello', 'world');
    assert.equal(await heard, 'world');
    assert.equal((await servers[0].server.in('room').fetchSockets()).length, 2);
  } finally {
    for (const socket of sockets) socket.close();
    for (const { server, clients } of servers) {
      await server.close();
      for (const client of clients) client.disconnect();
    }
  }
}

async function keyv(port: Port): Promise<void> {
  const store = new Keyv({ store: new KeyvRedis(`redis://127.0.0.1:${port()}`), namespace: 'kv' });
  try {
    await store.set('a', { x: 1 }, 60_000);
    assert.deepEqual(await store.get('a'), { x: 1 });
    assert.equal(await store.has('a'), true);
    await store.set('short', 1, 50);
    await sleep(120);
    assert.equal(await store.get('short'), undefined);
    await store.clear();
    assert.equal(await store.get('a'), undefined);
  } finally {
    await store.disconnect();
  }
}

async function cacheManager(port: Port): Promise<void> {
  const store = new Keyv({ store: new KeyvRedis(`redis://127.0.0.1:${port()}`), namespace: 'cache' });
  const cache = createCache({ stores: [store] });
  try {
    await cache.set('a', 1, 60_000);
    assert.equal(await cache.get('a'), 1);
    assert.equal(await cache.wrap('w', async () => 7, 60_000), 7);
    await cache.mset([
      { key: 'm1', value: 1 },
      { key: 'm2', value: 2 },
    ]);
    assert.deepEqual(await cache.mget(['m1', 'm2', 'm3']), [1, 2, undefined]);
    await cache.del('a');
    assert.equal(await cache.get('a'), undefined);
    await cache.clear();
  } finally {
    await store.disconnect();
  }
}

/** By the name of the library. */
export const libraryPrograms: Readonly<Record<string, (port: Port) => Promise<void>>> = {
  bullmq,
  bull,
  'bee-queue': beeQueue,
  'connect-redis': connectRedis,
  'rate-limiter-flexible': rateLimiter,
  redlock,
  '@socket.io/redis-adapter': (port) => socketIo(port, 'pubsub'),
  '@socket.io/redis-streams-adapter': (port) => socketIo(port, 'streams'),
  keyv,
  'cache-manager': cacheManager,
};
