import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OK, type VerbatimReply } from '../../src/commands/reply.ts';
import { show } from '../support/command-runner.ts';
import { FakeCluster } from '../support/fake-cluster.ts';

/** How often owners were asked, all nodes together. */
function asked(cluster: FakeCluster): number {
  return cluster.nodes.reduce((sum, node) => sum + node.owner.asked, 0);
}

function cut(cluster: FakeCluster, ...ids: number[]): void {
  for (const id of ids) {
    cluster.unreachable.add(id);
    cluster.unhealthy.add(id);
  }
}

function heal(cluster: FakeCluster): void {
  cluster.unreachable.clear();
  cluster.unhealthy.clear();
  for (const node of cluster.nodes) node.coordinator.forgetBallots();
}

void test('a read at one asks one owner, at quorum two, at all three', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', 'value');
  for (const [level, owners] of [
    ['one', 1],
    ['quorum', 2],
    ['all', 3],
    ['session', 1],
    ['available', 2],
  ] as const) {
    await cluster.loop.advance(100);
    const before = asked(cluster);
    assert.equal(show(await cluster.run(2, 'KV.WITH', level, 'GET', 'key')), 'value');
    await cluster.loop.advance(100);
    assert.equal(asked(cluster) - before, owners, level);
  }
  assert.equal(show(await cluster.run(2, 'KV.WITH', 'R', '3', 'W', '1', 'GET', 'key')), 'value');
});

void test('with one owner left: one and available go on, quorum and all say NOQUORUM', async () => {
  const cluster = new FakeCluster();
  cluster.requestTimeoutMs = 300;
  await cluster.run(1, 'SET', 'key', 'before');
  cut(cluster, 2, 3);
  assert.equal(show(await cluster.run(1, 'KV.WITH', 'one', 'GET', 'key')), 'before');
  assert.equal(await cluster.run(1, 'KV.WITH', 'one', 'SET', 'key', 'after'), OK);
  assert.equal(show(await cluster.run(1, 'KV.WITH', 'available', 'GET', 'key')), 'after');
  assert.equal(await cluster.run(1, 'KV.WITH', 'available', 'SET', 'key', 'later', 'EX', '100'), OK);
  assert.equal(show(await cluster.run(1, 'KV.WITH', 'one', 'GET', 'key')), 'later');
  for (const level of ['quorum', 'all']) {
    assert.match(show(await cluster.run(1, 'KV.WITH', level, 'GET', 'key')) as string, /^-NOQUORUM /);
    assert.match(show(await cluster.run(1, 'KV.WITH', level, 'SET', 'key', 'x')) as string, /^-NOQUORUM /);
  }
  // Whatever looks at the old value needs a majority at any level.
  assert.match(show(await cluster.run(1, 'KV.WITH', 'one', 'INCR', 'n')) as string, /^-NOQUORUM /);
  assert.match(show(await cluster.run(1, 'KV.WITH', 'one', 'SET', 'key', 'x', 'NX')) as string, /^-NOQUORUM /);
  const targets = cluster.hints.map(({ target }) => target);
  assert.ok(targets.includes(2) && targets.includes(3), 'the others get it by hints');
  heal(cluster);
  assert.equal(show(await cluster.run(2, 'GET', 'key')), 'later');
});

void test('a node that has just come back waits with writes at one until its stamps are taken', async () => {
  const cluster = new FakeCluster();
  cluster.requestTimeoutMs = 50;
  const { hlc } = cluster.node(1);
  assert.ok(hlc.observe((cluster.loop.clock.wallMs() + 450) * 2048), 'its clock counts on from where it was');
  assert.match(show(await cluster.run(1, 'KV.WITH', 'one', 'SET', 'key', 'early')) as string, /^-NOQUORUM /);
  cluster.requestTimeoutMs = 1_000;
  assert.equal(await cluster.run(1, 'KV.WITH', 'one', 'SET', 'key', 'value'), OK);
  assert.ok(cluster.loop.nowUs >= 190_000);
  assert.equal(show(await cluster.run(2, 'GET', 'key')), 'value');
});

void test('a write at one loses to a newer version, and stands in the ledger', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', 'first');
  await cluster.run(1, 'SET', 'key', 'newest');
  // The clock of node 2 is behind: its stamps are below those that are there.
  const { hlc } = cluster.node(2);
  const next = hlc.next.bind(hlc);
  let behind = true;
  hlc.next = () => (behind ? 1_000 : next());
  assert.equal(await cluster.run(2, 'KV.WITH', 'one', 'SET', 'key', 'old'), OK);
  behind = false;
  assert.equal(show(await cluster.run(3, 'GET', 'key')), 'newest');
  const ledger = show(await cluster.run(2, 'KV.LEDGER')) as [string, unknown][][];
  assert.equal(ledger.length, 1);
  const entry = Object.fromEntries(ledger[0] as [string, unknown][]);
  assert.equal(entry['key'], 'key');
  assert.equal(entry['value'], 'old');
  assert.equal(entry['level'], 'one');
  assert.equal(await cluster.run(2, 'KV.LEDGER', 'RESET'), OK);
  assert.deepEqual(await cluster.run(2, 'KV.LEDGER', 'COUNT', '5'), []);
});

void test('all waits for every owner; when one does not get it, it says so and the change stands', async () => {
  const cluster = new FakeCluster();
  cluster.requestTimeoutMs = 300;
  assert.equal(await cluster.run(1, 'KV.WITH', 'all', 'SET', 'key', '1'), OK);
  for (const node of cluster.nodes) assert.equal(node.owner.rows.size, 1);
  cut(cluster, 3);
  assert.match(
    show(await cluster.run(1, 'KV.WITH', 'all', 'SET', 'key', '2')) as string,
    /^-NOQUORUM the change was made at a majority/,
  );
  assert.equal(show(await cluster.run(1, 'GET', 'key')), '2');
  assert.equal(await cluster.run(1, 'KV.WITH', 'W', '2', 'SET', 'key', '3'), OK);
});

void test('session: reads show what the connection has written and read, wherever it is connected', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', 'old');
  cut(cluster, 3);
  const client = cluster.node(1).client();
  await cluster.run(1, 'SET', 'key', 'new');
  const token = show(await cluster.run(1, 'KV.TOKEN')) as string;
  heal(cluster);
  // Owner 3 is behind: at one it shows the old value, in the session it does not.
  assert.equal(show(await cluster.run(3, 'KV.WITH', 'one', 'GET', 'key')), 'old');
  assert.equal(show(await cluster.run(3, 'KV.TOKEN', token)), 'OK');
  assert.equal(await cluster.run(3, 'KV.LEVEL', 'session'), OK);
  assert.equal(show(await cluster.run(3, 'KV.LEVEL')), 'session');
  assert.equal(show(await cluster.run(3, 'GET', 'key')), 'new');
  assert.match(show(await cluster.run(3, 'KV.TOKEN', `${token}x`)) as string, /^-ERR this is no token/);
  assert.ok(client.cluster.lastWrites().size > 0);
  assert.equal(await cluster.run(3, 'KV.LEVEL', 'default'), OK);
  assert.equal(show(await cluster.run(3, 'KV.LEVEL')), 'quorum');
});

void test('session: what is older than the session is shown when a majority has nothing newer', async () => {
  const cluster = new FakeCluster();
  await cluster.run(2, 'SET', 'old', '1');
  await cluster.loop.advance(1_000);
  await cluster.run(1, 'SET', 'new', '1');
  assert.equal(await cluster.run(1, 'KV.LEVEL', 'session'), OK);
  assert.equal(show(await cluster.run(1, 'GET', 'old')), '1');
  cut(cluster, 3);
  assert.equal(show(await cluster.run(1, 'GET', 'old')), '1');
  assert.equal(show(await cluster.run(1, 'GET', 'nothing')), null);
});

void test('session: reads show what a transaction over several rows has written', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'MSET', 'a', 'old', 'b', 'old');
  cut(cluster, 3);
  await cluster.run(1, 'MSET', 'a', 'new', 'b', 'new');
  const token = show(await cluster.run(1, 'KV.TOKEN')) as string;
  heal(cluster);
  assert.equal(show(await cluster.run(3, 'KV.WITH', 'one', 'GET', 'a')), 'old');
  assert.equal(show(await cluster.run(3, 'KV.TOKEN', token)), 'OK');
  assert.equal(await cluster.run(3, 'KV.LEVEL', 'session'), OK);
  assert.equal(show(await cluster.run(3, 'GET', 'a')), 'new');
  assert.equal(show(await cluster.run(3, 'GET', 'b')), 'new');
});

void test('READONLY reads at one; RESET takes levels back', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', 'value');
  await cluster.run(2, 'READONLY');
  await cluster.loop.advance(100);
  const before = asked(cluster);
  assert.equal(show(await cluster.run(2, 'GET', 'key')), 'value');
  await cluster.loop.advance(100);
  assert.equal(asked(cluster) - before, 1);
  await cluster.run(2, 'KV.LEVEL', 'all');
  await cluster.run(2, 'RESET');
  assert.equal(show(await cluster.run(2, 'KV.LEVEL')), 'quorum');
});

void test('policies: the longest prefix decides the level, and rows without a deadline get one', async () => {
  const cluster = new FakeCluster();
  cluster.requestTimeoutMs = 300;
  assert.equal(await cluster.run(1, 'KV.POLICY', 'SET', 'a:', 'LEVEL', 'one'), OK);
  assert.equal(await cluster.run(1, 'KV.POLICY', 'SET', 'a:b:', 'R', '3', 'TTL', '5000'), OK);
  assert.equal(show(await cluster.run(2, 'KV.POLICY', 'GET', 'none')), null);
  assert.deepEqual(show(await cluster.run(2, 'KV.POLICY', 'GET', 'a:')), [
    ['prefix', 'a:'],
    ['level', 'one'],
  ]);
  assert.equal((show(await cluster.run(2, 'KV.POLICY', 'LIST')) as unknown[]).length, 2);
  await cluster.run(1, 'SET', 'a:b:x', '1');
  const ttl = Number(await cluster.run(2, 'PTTL', 'a:b:x'));
  assert.ok(ttl > 4_000 && ttl <= 5_000, String(ttl));
  assert.equal(await cluster.run(2, 'PTTL', 'a:b'), -2);
  await cluster.run(1, 'SET', 'a:x', '1');
  await cluster.loop.advance(50);
  assert.equal(await cluster.run(2, 'PTTL', 'a:x'), -1);
  cut(cluster, 2, 3);
  assert.equal(show(await cluster.run(1, 'GET', 'a:x')), '1');
  assert.match(show(await cluster.run(1, 'GET', 'x')) as string, /^-NOQUORUM /);
  heal(cluster);
  assert.equal(await cluster.run(1, 'KV.POLICY', 'DEL', 'a:'), 1);
  assert.equal(await cluster.run(1, 'KV.POLICY', 'DEL', 'a:'), 0);
  assert.match(show(await cluster.run(1, 'KV.POLICY', 'SET', 'a:', 'LEVEL', 'none')) as string, /^-ERR no such level/);
});

void test('WAIT counts the owners besides one that have the last writes', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'a', '1');
  await cluster.run(1, 'INCR', 'b');
  assert.equal(await cluster.run(1, 'WAIT', '2', '100'), 2);
  cut(cluster, 3);
  await cluster.run(1, 'SET', 'a', '2');
  const startUs = cluster.loop.nowUs;
  assert.equal(await cluster.run(1, 'WAIT', '2', '100'), 1);
  assert.ok(cluster.loop.nowUs - startUs >= 100_000, 'it waits as long as it may');
  assert.equal(await cluster.run(1, 'WAIT', '1', '0'), 1);
});

void test('MSET of several keys is as many writes at one, and a transaction above', async () => {
  const cluster = new FakeCluster();
  assert.equal(await cluster.run(1, 'KV.WITH', 'one', 'MSET', 'a', '1', 'b', '2'), OK);
  await cluster.loop.advance(50);
  assert.deepEqual(show(await cluster.run(2, 'MGET', 'a', 'b')), ['1', '2']);
  assert.equal(await cluster.run(1, 'MSET', 'a', '3', 'b', '4'), OK);
  assert.deepEqual(show(await cluster.run(2, 'MGET', 'a', 'b')), ['3', '4']);
});

void test('each-quorum needs a majority in every data centre, local-quorum in this one', async () => {
  const cluster = new FakeCluster({ nodes: 5, replicas: 5 });
  cluster.requestTimeoutMs = 300;
  for (const id of [1, 2, 3]) cluster.centres[id] = 'here';
  for (const id of [4, 5]) cluster.centres[id] = 'there';
  await cluster.run(1, 'SET', 'key', '1');
  assert.equal(show(await cluster.run(1, 'KV.WITH', 'each-quorum', 'GET', 'key')), '1');
  assert.equal(await cluster.run(1, 'KV.WITH', 'each-quorum', 'SET', 'key', '2'), OK);
  cut(cluster, 3, 4, 5);
  assert.equal(show(await cluster.run(1, 'KV.WITH', 'local-quorum', 'GET', 'key')), '2');
  assert.equal(await cluster.run(1, 'KV.WITH', 'local-quorum', 'SET', 'key', '3'), OK);
  assert.match(show(await cluster.run(1, 'KV.WITH', 'each-quorum', 'GET', 'key')) as string, /^-NOQUORUM /);
  assert.match(show(await cluster.run(1, 'GET', 'key')) as string, /^-NOQUORUM /);
});

void test('KV.WITH: wrong words are errors, inside MULTI the command is queued', async () => {
  const cluster = new FakeCluster();
  assert.match(show(await cluster.run(1, 'KV.WITH', 'no', 'GET', 'a')) as string, /^-ERR no such level/);
  assert.match(show(await cluster.run(1, 'KV.WITH', 'R', '1')) as string, /^-ERR wrong number of arguments/);
  assert.match(show(await cluster.run(1, 'KV.WITH', 'R', '0', 'GET', 'a')) as string, /^-ERR the number of owners/);
  assert.match(show(await cluster.run(1, 'KV.WITH', 'one', 'NONE', 'a')) as string, /^-ERR unknown command/);
  assert.match(show(await cluster.run(1, 'KV.WITH', 'one', 'SET', 'a', '1', 'BAD')) as string, /^-ERR syntax/);
  await cluster.run(1, 'MULTI');
  assert.equal(show(await cluster.run(1, 'KV.WITH', 'one', 'SET', 'a', '1')), 'QUEUED');
  assert.deepEqual(show(await cluster.run(1, 'EXEC')), ['OK']);
});

void test('KV.EXPLAIN tells the way, the level and what each owner holds', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', 'value');
  const told = Object.fromEntries(show(await cluster.run(2, 'KV.EXPLAIN', 'GET', 'key')) as [string, unknown][]);
  assert.equal(told['path'], 'read');
  assert.equal(told['level'], 'quorum');
  assert.equal(told['reply'], 'value');
  const owners = (told['owners'] as [string, unknown][][]).map((each) => Object.fromEntries(each));
  assert.equal(owners.length, 3);
  assert.equal(new Set(owners.map((owner) => owner['version'])).size, 1);
  const change = Object.fromEntries(show(await cluster.run(2, 'KV.EXPLAIN', 'INCR', 'n')) as [string, unknown][]);
  assert.equal(change['path'], 'change');
  assert.equal(change['reply'], 1);
  const local = Object.fromEntries(show(await cluster.run(2, 'KV.EXPLAIN', 'PING')) as [string, unknown][]);
  assert.equal(local['path'], 'this node');
});

void test('INFO counts what commands did in the cluster', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', '1');
  await cluster.run(1, 'GET', 'key');
  await cluster.run(1, 'KV.WITH', 'one', 'GET', 'key');
  const info = (await cluster.run(1, 'INFO', 'coordination')) as VerbatimReply;
  const fields = Object.fromEntries(info.text.split('\r\n').map((line) => line.split(':') as [string, string]));
  assert.equal(fields['reads'], '1');
  assert.equal(fields['level_reads'], '1');
  assert.equal(fields['discarded_writes'], '0');
  assert.ok(Number(fields['changes']) + Number(fields['forwarded']) === 1);
});
