/** Members come and go on real processes, as CLUSTER and KV.MEMBERS show it and as cluster-aware clients live with it. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cluster } from 'ioredis';
import { type ClusterProcess, startCluster } from '../support/cluster-process.ts';
import { RawClient } from '../support/raw-client.ts';
import { RespError, RespSimple } from '../support/resp-decoder.ts';
import { startKvorum } from '../support/server-process.ts';

/** How long a machine may be too busy for a quorum. */
const PATIENCE_MS = 20_000;

let cluster: ClusterProcess;

before(async () => {
  cluster = await startCluster({ nodes: 3 });
});
after(() => cluster.stop());

async function callAt(node: number, ...words: readonly string[]): Promise<unknown> {
  const client = await RawClient.connect({ port: cluster.node(node).port });
  try {
    return await client.call(...words);
  } finally {
    await client.close();
  }
}

/** The answer as text; of an error, its message. */
async function textAt(node: number, ...words: readonly string[]): Promise<string> {
  const answer = await callAt(node, ...words);
  if (answer instanceof RespError) return answer.message;
  return answer instanceof RespSimple ? answer.text : String(answer);
}

/** Runs `check` until it does not throw: on a machine that is busy a quorum may be late, and somebody out of reach. */
async function eventually(check: () => Promise<void>): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (performance.now() > untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

type Slots = readonly [from: number, to: number, ...nodes: (readonly [host: string, port: number])[]][];

async function checkAllTellTheSame(): Promise<void> {
  const seen = new Set<string>();
  for (let node = 0; node < 3; node++) {
    let next = 0;
    for (const [from, to, ...nodes] of (await callAt(node, 'CLUSTER', 'SLOTS')) as Slots) {
      assert.equal(from, next);
      assert.deepEqual(new Set(nodes.map(([, port]) => port)), new Set(cluster.nodes.map(({ port }) => port)));
      for (const [host] of nodes) assert.equal(host, '127.0.0.1');
      next = to + 1;
    }
    assert.equal(next, 16_384);
    const nodes = await textAt(node, 'CLUSTER', 'NODES');
    assert.equal(nodes.split('\n').filter((line) => line.includes(' connected ')).length, 3);
    seen.add(nodes.replaceAll('myself,', ''));
    assert.match(await textAt(node, 'CLUSTER', 'INFO'), /cluster_state:ok\r\n.*cluster_known_nodes:3\r\n/s);
    assert.equal(((await callAt(node, 'KV.MEMBERS')) as unknown[]).length, 3);
    assert.ok(((await callAt(node, 'CLUSTER', 'SHARDS')) as unknown[]).length >= 3);
  }
  assert.equal(seen.size, 1);
}

test('CLUSTER and KV.MEMBERS tell of all three, the same at each node', () => eventually(checkAllTellTheSame));

test('when a node goes, the clients of Redis Cluster go on with the others', async () => {
  let isOver = false;
  const client = new Cluster(
    [0, 1].map((node) => ({ host: '127.0.0.1', port: cluster.node(node).port })),
    { slotsRefreshInterval: 500, clusterRetryStrategy: () => (isOver ? null : 100) },
  );
  client.on('error', () => undefined);
  try {
    await eventually(async () => assert.equal(await client.set('before', '1'), 'OK'));
    await cluster.node(2).kill();
    for (let i = 0; i < 30; i++) {
      await eventually(async () => assert.equal(await client.set(`after:${i}`, '1'), 'OK'));
    }
    await eventually(async () => assert.equal(await client.get('before'), '1'));
    await eventually(async () => {
      const slots = (await callAt(0, 'CLUSTER', 'SLOTS')) as Slots;
      const gone = cluster.node(2).port;
      assert.ok(slots.every(([, , ...nodes]) => nodes.every(([, port]) => port !== gone)));
      assert.match(await textAt(0, 'CLUSTER', 'INFO'), /cluster_state:ok\r\n/);
    });
  } finally {
    isOver = true;
    await endOf(client);
  }
});

/** A connection that is just being made again outlives `disconnect` now and then, and would keep this process. */
async function endOf(client: Cluster): Promise<void> {
  await eventually(async () => {
    if (!['disconnecting', 'close', 'end'].includes(client.status)) client.disconnect();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(['close', 'end'].includes(client.status), client.status);
  });
}

test('CLUSTER FORGET takes the node that is gone out, CLUSTER MEET brings another one in', async () => {
  const lines = (await textAt(0, 'CLUSTER', 'NODES')).split('\n');
  const gone = lines.find((line) => line.includes(`:${cluster.node(2).port}@`))?.split(' ')[0] ?? '';
  assert.match(gone, /^[0-9a-f]{40}$/);
  assert.match(await textAt(1, 'CLUSTER', 'FORGET', await textAt(1, 'CLUSTER', 'MYID')), /^ERR .*forget myself/);
  await eventually(async () => assert.match(await textAt(0, 'CLUSTER', 'FORGET', gone), /^OK$|^ERR Unknown node/));
  await eventually(async () => assert.match(await textAt(1, 'CLUSTER', 'INFO'), /cluster_known_nodes:2\r\n/));
  assert.match(await textAt(1, 'CLUSTER', 'FORGET', gone), /^ERR Unknown node/);

  const full = await startKvorum({ flags: ['--cluster-enabled', 'yes'] });
  const empty = await startKvorum({ flags: ['--cluster-enabled', 'yes'] });
  cluster.nodes.push(full, empty);
  await eventually(async () => assert.equal(await textAt(0, 'SET', 'before', '1'), 'OK'));
  await callAt(3, 'SET', 'its', 'own');
  assert.match(await textAt(0, 'CLUSTER', 'MEET', '127.0.0.1', String(full.port)), /^ERR .*keys of its own/);
  assert.equal(await textAt(3, 'GET', 'its'), 'own');
  await eventually(async () => assert.equal(await textAt(0, 'CLUSTER', 'MEET', '127.0.0.1', String(empty.port)), 'OK'));
  for (const node of [0, 1, 4]) {
    await eventually(async () => {
      const info = await textAt(node, 'CLUSTER', 'INFO');
      assert.match(info, /cluster_state:ok\r\n.*cluster_size:3\r\n.*cluster_slots_moving:0\r\n/s);
      assert.match(info, /cluster_slots_short_of_replicas:0\r\n/);
    });
  }
  await eventually(async () => assert.equal(await textAt(4, 'GET', 'before'), '1'));
});
