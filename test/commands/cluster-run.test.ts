import assert from 'node:assert/strict';
import { test } from 'node:test';
import { busMethod } from '../../src/cluster/bus-method.ts';
import type { Command } from '../../src/commands/command.ts';
import { AfterPending, PendingReply } from '../../src/commands/pending-reply.ts';
import { isLockedState } from '../../src/repl/row-state.ts';
import { OK, PONG } from '../../src/commands/reply.ts';
import { show } from '../support/command-runner.ts';
import { renderReply, loadScript } from '../support/command-script.ts';
import { FakeCluster } from '../support/fake-cluster.ts';

/** Scripts whose commands are on single rows, or read several. */
const SCRIPTS = [
  'counter',
  'expiry',
  'lcs',
  'newer',
  'object',
  'range',
  'set',
  'time',
  'key',
  'multi',
  'scan',
  'range-keys',
];

/** What needs whole databases. */
const NOT_YET = /not available in a cluster|not allowed in cluster mode/;

let finished = 0;

for (const name of SCRIPTS) {
  for (const block of loadScript(name)) {
    // A ballot may be older than the change it is used for: seconds since the last change are not exact in a cluster.
    if (block.title.startsWith('the idle time')) continue;
    // Here readers end a row past its deadline; alone a node counts it until its sweeper comes.
    if (block.title.startsWith('a deadline is the first moment')) continue;
    void test(`${name}: ${block.title}, each command at another node`, async () => {
      const cluster = new FakeCluster({ nodes: 4, replicas: 3, delayMs: 0 });
      let at = 0;
      for (const step of block.steps) {
        if (typeof step === 'number') {
          await cluster.loop.advance(step);
          continue;
        }
        const reply = renderReply(await cluster.run((at++ % 4) + 1, ...step.words));
        if (NOT_YET.test(reply)) return;
        assert.equal(reply, step.expected, `line ${step.line}: ${step.words.join(' ')}`);
      }
      finished++;
    });
  }
}

void test('most scripts run to their end', () => {
  assert.ok(finished >= 14, `${finished} blocks`);
});

void test('a write at one node is read at every other; owners agree', async () => {
  const cluster = new FakeCluster({ nodes: 5, replicas: 3 });
  assert.equal(await cluster.run(1, 'SET', 'key', 'value'), OK);
  for (const id of [1, 2, 3, 4, 5]) assert.equal(show(await cluster.run(id, 'GET', 'key')), 'value');
  const holders = cluster.nodes.filter((node) => node.owner.rows.size > 0);
  assert.equal(holders.length, 3);
});

void test('changes of a row meet at its first owner and share ACCEPTs; one round trip once the ballot is kept', async () => {
  const cluster = new FakeCluster();
  const total = 300;
  const replies = await cluster.loop.settle(
    Promise.all(
      Array.from({ length: total }, (_, i) => {
        const node = cluster.node((i % 3) + 1);
        return node.reply(['INCR', 'hot'], node.client(i));
      }),
    ),
  );
  assert.deepEqual(
    replies.map(Number).sort((a, b) => a - b),
    Array.from({ length: total }, (_, i) => i + 1),
  );
  const asked = cluster.nodes.reduce((sum, node) => sum + node.owner.asked, 0);
  assert.ok(asked <= 30, `${asked} requests to owners for ${total} changes`);
});

void test('commands of one connection on different rows are under way together, on one row one after another', async () => {
  const cluster = new FakeCluster();
  const node = cluster.node(1);
  const first = node.execute(['SET', 'a', '1']);
  const second = node.execute(['SET', 'b', '2']);
  assert.ok(first instanceof PendingReply && second instanceof PendingReply);
  assert.ok(node.execute(['GET', 'a']) instanceof AfterPending, 'the row is under way');
  assert.ok(node.execute(['PING']) instanceof AfterPending, 'no single row');
  assert.ok(node.execute(['MGET', 'c', 'd']) instanceof AfterPending, 'no single row');
  assert.equal(node.client().cluster.count, 2);
  await cluster.loop.advance(100);
  assert.equal(first.reply, OK);
  assert.equal(second.reply, OK);
  assert.equal(node.client().cluster.count, 0);
  assert.equal(node.execute(['PING']), PONG);
});

void test('with the first owner gone, changes go to the next one', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', '1');
  for (const id of [1, 2, 3]) {
    cluster.unreachable.clear();
    cluster.unhealthy.clear();
    // The nodes find one another again.
    for (const node of cluster.nodes) node.coordinator.forgetBallots();
    cluster.unreachable.add(id);
    cluster.unhealthy.add(id);
    const at = id === 1 ? 2 : 1;
    const before = Number(show(await cluster.run(at, 'GET', 'key')));
    assert.equal(await cluster.run(at, 'INCR', 'key'), before + 1);
  }
});

void test('an owner that is unreachable but was not called so: the change certainly did not begin, the next one takes it', async () => {
  for (const id of [1, 2, 3]) {
    const cluster = new FakeCluster();
    cluster.unreachable.add(id);
    const at = id === 1 ? 2 : 1;
    for (const key of ['a', 'b', 'c', 'd']) assert.equal(await cluster.run(at, 'INCR', key), 1);
  }
});

void test('a read gets its answer although the ballot that was kept is out of date', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', '1');
  cluster.unreachable.add(1);
  cluster.unhealthy.add(1);
  assert.equal(await cluster.run(2, 'INCR', 'key'), 2);
  cluster.unreachable.clear();
  cluster.unhealthy.clear();
  cluster.unreachable.add(2);
  cluster.unhealthy.add(2);
  for (const id of [1, 3]) assert.equal(show(await cluster.run(id, 'GET', 'key')), '2');
});

void test('without a quorum a change is refused, and nothing has happened', async () => {
  const cluster = new FakeCluster();
  cluster.requestTimeoutMs = 300;
  for (const id of [2, 3]) {
    cluster.unreachable.add(id);
    cluster.unhealthy.add(id);
  }
  assert.match(show(await cluster.run(1, 'SET', 'key', 'lost')) as string, /^-NOQUORUM /);
  assert.match(show(await cluster.run(1, 'GET', 'key')) as string, /^-NOQUORUM /);
  cluster.unreachable.clear();
  cluster.unhealthy.clear();
  assert.equal(await cluster.run(1, 'GET', 'key'), null);
});

void test('a change forwarded to a node that hangs ends soon after that is known, as uncertain', async () => {
  const cluster = new FakeCluster();
  const keys = ['a', 'b', 'c', 'd', 'e', 'f'];
  for (const key of keys) await cluster.run(1, 'SET', key, '0');
  cluster.silent.add(2);
  const pending = keys.map((key) => cluster.node(1).reply(['INCR', key]));
  cluster.loop.post(400_000, () => cluster.unhealthy.add(2));
  const startUs = cluster.loop.nowUs;
  const replies = (await cluster.loop.settle(Promise.all(pending))).map(show);
  const tookMs = (cluster.loop.nowUs - startUs) / 1000;
  assert.ok(tookMs < 1_000, `${tookMs} ms`);
  const uncertain = replies.filter((reply) => typeof reply === 'string' && reply.startsWith('-UNCERTAIN '));
  assert.ok(uncertain.length > 0 && uncertain.length < keys.length, String(replies));
  for (const key of keys) assert.ok(Number(await cluster.run(1, 'INCR', key)) >= 1);
});

void test('a row past its deadline is ended by whoever reads it', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', 'value', 'PX', '100');
  await cluster.loop.advance(200);
  assert.equal(await cluster.run(2, 'GET', 'key'), null);
  const states = cluster.nodes.map((node) => [...node.owner.rows.values()].map((held) => held.value?.[1]));
  assert.ok(states.filter((types) => types[0] === 0).length >= 2, 'a majority has the tombstone');
  await cluster.run(1, 'SET', 'a', '1', 'PX', '100');
  await cluster.run(1, 'SET', 'b', '2');
  await cluster.loop.advance(200);
  assert.deepEqual(show(await cluster.run(3, 'MGET', 'a', 'b')), [null, '2']);
});

void test('DEL counts each row once; EXISTS counts words', async () => {
  const cluster = new FakeCluster();
  for (const key of ['a', 'b', 'c']) await cluster.run(1, 'SET', key, key);
  assert.equal(await cluster.run(2, 'EXISTS', 'a', 'a', 'b', 'none'), 3);
  assert.equal(await cluster.run(2, 'DEL', 'a', 'a', 'b', 'none'), 2);
  assert.equal(await cluster.run(3, 'UNLINK', 'c', 'a'), 1);
});

void test('commands that change several rows are transactions: from any node, seen by every other', async () => {
  const cluster = new FakeCluster({ nodes: 5, replicas: 3 });
  assert.equal(await cluster.run(1, 'MSET', 'a', '1', 'b', '2'), OK);
  assert.deepEqual(show(await cluster.run(2, 'MGET', 'a', 'b')), ['1', '2']);
  assert.equal(show(await cluster.run(3, 'MSETNX', 'b', '3', 'c', '3')), 0);
  assert.equal(show(await cluster.run(3, 'EXISTS', 'c')), 0);
  assert.equal(await cluster.run(4, 'RENAME', 'a', 'c'), OK);
  assert.deepEqual(show(await cluster.run(5, 'MGET', 'a', 'b', 'c')), [null, '2', '1']);
  assert.equal(show(await cluster.run(1, 'COPY', 'c', 'd')), 1);
  assert.equal(show(await cluster.run(2, 'MOVE', 'd', '1')), 1);
  assert.equal(show(await cluster.run(2, 'RENAME', 'none', 'x')), '-ERR no such key');
  assert.equal(show(await cluster.run(2, 'DEL', 'b', 'c', 'none')), 2);
  await cluster.loop.advance(1000);
  for (const node of cluster.nodes) {
    for (const { value } of node.owner.rows.values()) assert.ok(!isLockedState(value), 'no lock is left');
  }
});

void test('MULTI and EXEC on one row; replies of other commands stand in their places', async () => {
  const cluster = new FakeCluster();
  for (const id of [1, 2, 3]) {
    await cluster.run(id, 'DEL', 'key');
    await cluster.run(id, 'MULTI');
    for (const words of [
      ['SET', 'key', '5'],
      ['PING'],
      ['INCRBY', 'key', '10'],
      ['GET', 'key'],
      ['LPOS'],
      ['INCR', 'key', 'x'],
    ])
      await cluster.run(id, ...words);
    assert.match(show(await cluster.run(id, 'EXEC')) as string, /^-EXECABORT/);
    await cluster.run(id, 'MULTI');
    for (const words of [
      ['SET', 'key', '5'],
      ['PING'],
      ['INCRBY', 'key', '10'],
      ['GETRANGE', 'key', '0', 'x'],
      ['GET', 'key'],
    ])
      await cluster.run(id, ...words);
    const replies = show(await cluster.run(id, 'EXEC')) as unknown[];
    assert.deepEqual(replies.slice(0, 3), ['OK', 'PONG', 15]);
    assert.match(replies[3] as string, /^-ERR value is not an integer/);
    assert.equal(replies[4], '15');
    assert.equal(show(await cluster.run((id % 3) + 1, 'GET', 'key')), '15');
  }
});

void test('WATCH: EXEC changes nothing when the row was changed from another node', async () => {
  const cluster = new FakeCluster();
  for (const id of [1, 2, 3]) {
    await cluster.run(id, 'SET', 'key', '1');
    await cluster.run(id, 'WATCH', 'key');
    await cluster.run((id % 3) + 1, 'SET', 'key', '2');
    await cluster.run(id, 'MULTI');
    await cluster.run(id, 'SET', 'key', '3');
    assert.equal(show(await cluster.run(id, 'EXEC')), null);
    assert.equal(show(await cluster.run(id, 'GET', 'key')), '2');
    await cluster.run(id, 'WATCH', 'key');
    await cluster.run(id, 'MULTI');
    await cluster.run(id, 'SET', 'key', '3');
    assert.deepEqual(show(await cluster.run(id, 'EXEC')), ['OK']);
  }
});

void test('WATCH of keys that could not be read: EXEC would go unguarded, so it is refused', async () => {
  const cluster = new FakeCluster();
  cluster.requestTimeoutMs = 300;
  for (const id of [2, 3]) cluster.unreachable.add(id);
  assert.match(show(await cluster.run(1, 'WATCH', 'key')) as string, /^-NOQUORUM /);
  cluster.unreachable.clear();
  const exec = async (): Promise<unknown> => {
    await cluster.run(1, 'MULTI');
    await cluster.run(1, 'SET', 'key', '3');
    return show(await cluster.run(1, 'EXEC'));
  };
  assert.match((await exec()) as string, /^-EXECABORT .* WATCH /);
  assert.equal(await cluster.run(1, 'GET', 'key'), null);
  assert.deepEqual(await exec(), ['OK'], 'the next one is a new one');
});

void test('EXEC on several rows: all or nothing, with WATCH on any of them', async () => {
  const cluster = new FakeCluster({ nodes: 5, replicas: 3 });
  const exec = async (): Promise<unknown> => {
    await cluster.run(1, 'MULTI');
    for (const words of [['SET', 'a', '1'], ['INCR', 'b'], ['PING'], ['GET', 'a']]) await cluster.run(1, ...words);
    return show(await cluster.run(1, 'EXEC'));
  };
  assert.deepEqual(await exec(), ['OK', 1, 'PONG', '1']);
  await cluster.run(1, 'WATCH', 'c', 'b');
  await cluster.run(2, 'INCR', 'b');
  assert.equal(await exec(), null);
  assert.deepEqual(show(await cluster.run(3, 'MGET', 'a', 'b')), ['1', '2']);
  await cluster.run(1, 'WATCH', 'c', 'b');
  assert.deepEqual(await exec(), ['OK', 3, 'PONG', '1']);
  assert.equal(show(await cluster.run(1, 'EXEC')), '-ERR EXEC without MULTI');
});

void test('a transaction on rows of one slot is one message to the node that coordinates it', async () => {
  const cluster = new FakeCluster({ nodes: 5, replicas: 3 });
  const run = async (id: number, ...words: string[]): Promise<unknown> => show(await cluster.run(id, ...words));
  const script = "redis.call('append', KEYS[1], ARGV[1]) return redis.call('incr', '{t}n')";
  const forwards = (): number => cluster.methods.filter((method) => method === busMethod.FORWARD).length;
  const alone: number[] = [];
  for (const id of [1, 2, 3, 4, 5]) {
    cluster.methods.length = 0;
    assert.equal(await run(id, 'MSET', '{t}a', '1', '{t}b', 'x', '{t}n', '1'), 'OK');
    if (forwards() === 0) alone.push(id);
    assert.ok(forwards() <= 1, `${forwards()} messages`);
    await run(id, 'WATCH', '{t}a', '{t}c');
    await run(id, 'MULTI');
    for (const words of [['INCR', '{t}a'], ['PING'], ['APPEND', '{t}b', 'y']]) await run(id, ...words);
    cluster.methods.length = 0;
    assert.deepEqual(await run(id, 'EXEC'), [2, 'PONG', 2]);
    assert.ok(forwards() <= 1, `${forwards()} messages`);
    // Known here alone by its digest; it asks for a row that it does not name.
    const digest = (await run(id, 'SCRIPT', 'LOAD', `${script} -- ${id}`)) as string;
    assert.equal(await run(id, 'EVALSHA', digest, '1', '{t}b', 'z'), 2);
    assert.deepEqual(await run((id % 5) + 1, 'MGET', '{t}a', '{t}b', '{t}n'), ['2', 'xyz', '2']);
    const reads = (await run(id, 'SCRIPT', 'LOAD', `return redis.call('get', '{t}b') -- ${id}`)) as string;
    assert.equal(await run(id, 'EVALSHA_RO', reads, '2', '{t}a', '{t}n'), 'xyz');
    for (const also of [[], ['GET', '{t}n']]) {
      await run(id, 'MULTI');
      await run(id, 'EVALSHA', reads, '1', '{t}b');
      if (also.length > 0) await run(id, ...also);
      assert.deepEqual(await run(id, 'EXEC'), ['xyz', '2'].slice(0, also.length > 0 ? 2 : 1));
    }
    await run(id, 'WATCH', '{t}c');
    await run((id % 5) + 1, 'SET', '{t}c', String(id));
    await run(id, 'MULTI');
    await run(id, 'SET', '{t}a', '9');
    await run(id, 'SET', '{t}b', '9');
    assert.equal(await run(id, 'EXEC'), null);
    assert.match((await run(id, 'SMOVE', '{t}a', '{t}s', 'x')) as string, /^-WRONGTYPE/);
  }
  assert.equal(alone.length, 1);
  // That node takes nothing any more: the next owner runs it, or it is refused, but never half done.
  cluster.unreachable.add(alone[0] as number);
  const other = ((alone[0] as number) % 5) + 1;
  assert.equal(await run(other, 'MSET', '{t}a', '7', '{t}b', '7'), 'OK');
  assert.deepEqual(await run(other, 'MGET', '{t}a', '{t}b'), ['7', '7']);
});

void test('a node that dies with its locks holds their rows for as long as they last, and nothing half done stays', async () => {
  const cluster = new FakeCluster({ nodes: 5, replicas: 3 });
  await cluster.run(1, 'MSET', 'a', '0', 'b', '0', 'c', '0');
  for (let cutAfterMs = 0; cutAfterMs < 20; cutAfterMs++) {
    const node = cluster.node(1);
    const mark = String(cutAfterMs + 1);
    void node.reply(['MSET', 'a', mark, 'b', mark, 'c', mark], node.client(cutAfterMs + 1));
    await cluster.loop.advance(cutAfterMs / 2);
    cluster.unreachable.add(1);
    cluster.unhealthy.add(1);
    const seen = show(await cluster.run(2, 'MGET', 'a', 'b', 'c')) as string[];
    assert.equal(
      await cluster.run(3, 'MSET', 'a', 'x', 'b', 'x', 'c', 'x'),
      OK,
      `cut after ${cutAfterMs / 2} ms, seen ${seen.join()}`,
    );
    assert.deepEqual(show(await cluster.run(4, 'MGET', 'a', 'b', 'c')), ['x', 'x', 'x']);
    cluster.unreachable.clear();
    cluster.unhealthy.clear();
    for (const each of cluster.nodes) each.coordinator.forgetBallots();
    await cluster.loop.advance(4000);
  }
});

void test('the node of the client counts commands, hits and misses', async () => {
  const cluster = new FakeCluster();
  const { server } = cluster.node(1);
  for (const key of ['a', 'b', 'c', 'd']) await cluster.run(1, 'SET', key, 'v');
  await cluster.run(1, 'GET', 'a');
  await cluster.run(1, 'MGET', 'a', 'none');
  await cluster.run(1, 'INCR', 'a');
  assert.equal(server.keyspaceHits, 2);
  assert.equal(server.keyspaceMisses, 1);
  assert.equal(server.commandsRun, 7);
  assert.equal(cluster.node(2).server.commandsRun, 0);
  const incr = server.commandStats.of(server.findCommand('incr') as Command);
  assert.deepEqual([incr.calls, incr.failed], [1, 1]);
});

void test('before it has joined a node answers CLUSTERDOWN; alone it answers by itself', async () => {
  const cluster = new FakeCluster();
  const { view } = cluster.node(1);
  view.hasJoined = false;
  view.isShared = false;
  assert.match(show(await cluster.run(1, 'GET', 'a')) as string, /^-CLUSTERDOWN /);
  assert.equal(await cluster.run(1, 'PING'), PONG);
  view.hasJoined = true;
  assert.equal(await cluster.run(1, 'SET', 'a', '1'), OK);
  assert.equal(show(await cluster.run(1, 'GET', 'a')), '1');
  assert.deepEqual(cluster.methods, []);
});

void test('a write that an owner missed becomes a hint, with a version that was chosen', async () => {
  for (const how of ['unhealthy', 'unreachable', 'silent'] as const) {
    const cluster = new FakeCluster();
    await cluster.run(1, 'SET', 'key', '1');
    cluster[how].add(3);
    assert.equal(await cluster.run(1, 'SET', 'key', '2'), OK);
    await cluster.loop.advance(3_000);
    assert.deepEqual(
      cluster.hints.map(({ target }) => target),
      [3],
      how,
    );
    const [hint] = cluster.hints;
    const held = cluster.node(1).owner.held(hint?.row as string);
    assert.deepEqual(hint?.version, held.version);
    assert.deepEqual(hint?.state, held.value);
  }
});

void test('what had no quorum never becomes a hint', async () => {
  const cluster = new FakeCluster();
  cluster.requestTimeoutMs = 400;
  await cluster.run(1, 'SET', 'key', '1');
  cluster.silent.add(2);
  cluster.silent.add(3);
  for (const id of [2, 3]) cluster.unhealthy.add(id);
  assert.match(show(await cluster.run(1, 'SET', 'key', '2')) as string, /^-(?:UNCERTAIN|NOQUORUM) /);
  await cluster.loop.advance(10_000);
  assert.deepEqual(cluster.hints, []);
});

/** A cluster of five with some keys in two databases, and the keys of the first. */
async function withKeys(count: number): Promise<{ cluster: FakeCluster; keys: string[] }> {
  const cluster = new FakeCluster({ nodes: 5, replicas: 3 });
  const keys = Array.from({ length: count }, (_, i) => `key:${i}`);
  const writes = keys.map((key, i) => cluster.node(1).reply(['SET', key, String(i)], cluster.node(1).client(i + 1)));
  await cluster.loop.settle(Promise.all(writes));
  await cluster.run(2, 'SELECT', '1');
  await cluster.run(2, 'SET', 'elsewhere', '1');
  await cluster.run(1, 'SET', 'gone', '1');
  await cluster.run(1, 'DEL', 'gone');
  return { cluster, keys: keys.sort() };
}

async function scanAll(cluster: FakeCluster, node: number, ...options: string[]): Promise<string[]> {
  const found: string[] = [];
  let cursor = '0';
  for (let calls = 0; calls < 2_000; calls++) {
    const [next, keys] = show(await cluster.run(node, 'SCAN', cursor, ...options)) as [string, string[]];
    found.push(...keys);
    cursor = next;
    if (cursor === '0') return found.sort();
  }
  throw new Error('the walk does not end');
}

void test('SCAN, KEYS, DBSIZE and KV.RANGE speak for all nodes, with an owner gone too', async () => {
  const { cluster, keys } = await withKeys(120);
  for (const gone of [undefined, 3]) {
    if (gone !== undefined) cluster.unreachable.add(gone);
    for (const node of [1, 4, 5]) {
      assert.equal(await cluster.run(node, 'DBSIZE'), keys.length);
      assert.deepEqual(await scanAll(cluster, node), keys);
      assert.deepEqual((show(await cluster.run(node, 'KEYS', '*')) as string[]).sort(), keys);
    }
    assert.deepEqual(
      await scanAll(cluster, 1, 'COUNT', '7', 'MATCH', 'key:1*'),
      keys.filter((key) => key.startsWith('key:1')),
    );
    assert.deepEqual(await scanAll(cluster, 1, 'COUNT', '1000', 'TYPE', 'hash'), []);
    const range = show(await cluster.run(5, 'KV.RANGE', '[key:10', '(key:12', 'WITHVALUES')) as string[];
    assert.deepEqual(range.slice(0, 4), ['key:10', '10', 'key:100', '100']);
    assert.deepEqual(show(await cluster.run(1, 'KV.RANGE', '-', '+', 'LIMIT', '2', 'REV')), keys.slice(-2).reverse());
  }
  assert.equal(await cluster.run(2, 'DBSIZE'), 1, 'the other database');
  for (const id of [1, 2, 4]) cluster.unreachable.add(id);
  assert.match(show(await cluster.run(5, 'DBSIZE')) as string, /^-NOQUORUM /);
});

void test('RANDOMKEY returns keys of the database, more than one of them', async () => {
  const { cluster, keys } = await withKeys(10);
  const seen = new Set<string>();
  for (let i = 0; i < 25; i++) seen.add(show(await cluster.run(1, 'RANDOMKEY')) as string);
  assert.ok(seen.size >= 5 && [...seen].every((key) => keys.includes(key)));
  assert.equal(await new FakeCluster().run(1, 'RANDOMKEY'), null);
});

void test('FLUSHDB empties one database, FLUSHALL all, on every owner', async () => {
  const { cluster } = await withKeys(40);
  assert.equal(await cluster.run(4, 'FLUSHDB'), OK);
  for (const node of [1, 3, 5]) {
    assert.equal(await cluster.run(node, 'DBSIZE'), 0);
    assert.equal(await cluster.run(node, 'GET', 'key:1'), null);
  }
  assert.equal(await cluster.run(2, 'DBSIZE'), 1);
  assert.equal(await cluster.run(1, 'SET', 'key:1', 'again'), OK);
  assert.equal(show(await cluster.run(3, 'GET', 'key:1')), 'again');
  assert.equal(await cluster.run(1, 'FLUSHALL'), OK);
  assert.equal(await cluster.run(2, 'DBSIZE'), 0);
  assert.equal(await cluster.run(1, 'DBSIZE'), 0);
});

void test('nothing changes shared rows at one node alone', async () => {
  const cluster = new FakeCluster();
  const { server } = cluster.node(1);
  const get = server.config.get.bind(server.config);
  // As if enable-debug-command had been given at the start.
  server.config.get = ((name: Parameters<typeof get>[0]) =>
    name === 'enable-debug-command' ? 'yes' : get(name)) as typeof get;
  for (const words of [
    ['DEBUG', 'POPULATE', '10'],
    ['DEBUG', 'FLUSHALL'],
  ]) {
    assert.match(show(await cluster.run(1, ...words)) as string, /^-ERR .* would change rows at this node alone/);
  }
  assert.match(show(await cluster.run(1, 'SWAPDB', '0', '1')) as string, /^-ERR SWAPDB is not allowed in cluster mode/);
  assert.equal(await cluster.run(1, 'DBSIZE'), 0);
});

void test('a state that is damaged is an error to whoever meets it', async () => {
  const cluster = new FakeCluster();
  await cluster.run(1, 'SET', 'key', 'value');
  for (const node of cluster.nodes) {
    for (const [row, held] of node.owner.rows) node.owner.rows.set(row, { ...held, value: Buffer.from([9, 9, 9]) });
  }
  assert.match(show(await cluster.run(2, 'GET', 'key')) as string, /^-ERR the row cannot be read/);
  assert.match(show(await cluster.run(2, 'INCR', 'key')) as string, /^-ERR the row cannot be read/);
});

void test('a value that nodes could not send one another is refused, in EXEC too, and nothing is changed', async () => {
  const cluster = new FakeCluster();
  const client = cluster.node(1).client(1);
  const reply = async (...words: string[]) => cluster.loop.settle(cluster.node(1).reply(words, client));
  assert.equal(await reply('SET', 'key', 'before'), OK);
  assert.match(String(show(await reply('SETRANGE', 'key', String(32 * 1024 * 1024), 'x'))), /larger than 31 MiB/);
  await reply('MULTI');
  await reply('APPEND', 'key', '!');
  await reply('SETRANGE', 'key', String(32 * 1024 * 1024), 'x');
  assert.match(String(show(await reply('EXEC'))), /larger than 31 MiB/);
  assert.equal(show(await reply('GET', 'key')), 'before');
});

void test('a transaction whose reply is longer than an answer between nodes is run by the node of its client, once', async () => {
  const cluster = new FakeCluster({ nodes: 4, replicas: 3 });
  const run = async (id: number, ...words: string[]): Promise<unknown> => cluster.run(id, ...words);
  for (const key of ['{t}a', '{t}b']) await run(1, 'SETRANGE', key, String(17 * 1024 * 1024), 'x');
  for (const id of [1, 2, 3, 4]) {
    await run(id, 'MULTI');
    for (const words of [
      ['GET', '{t}a'],
      ['GET', '{t}b'],
      ['INCR', '{t}n'],
    ])
      await run(id, ...words);
    const replies = (await run(id, 'EXEC')) as (Uint8Array | number)[];
    assert.ok(Array.isArray(replies), String(show(replies)));
    assert.equal(replies[2], id);
    assert.equal((replies[1] as Uint8Array).length, 17 * 1024 * 1024 + 1);
  }
});

void test('a script returns tables within tables from any node', async () => {
  const cluster = new FakeCluster({ nodes: 4, replicas: 3 });
  const script = "local t = {1} for i = 1, 990 do t = {t} end redis.call('incr', KEYS[1]) return t";
  for (const id of [1, 2, 3, 4]) {
    for (const keys of [['a'], ['{a}1', '{a}2']]) {
      assert.ok(Array.isArray(await cluster.run(id, 'EVAL', script, String(keys.length), ...keys)), keys.join());
    }
  }
});

void test('what a script publishes is told once, whatever rows it comes to', async () => {
  const cluster = new FakeCluster({ nodes: 4, replicas: 3 });
  let told = 0;
  for (const { server } of cluster.nodes) {
    const { pubsub } = server;
    const publish = pubsub.publish.bind(pubsub);
    pubsub.publish = (...message) => {
      told++;
      return publish(...message);
    };
  }
  const publishing = "redis.call('publish', 'c', 'm') redis.call('incr', KEYS[1]) ";
  const scripts: readonly (readonly [title: string, script: string, ...keys: string[]])[] = [
    ['one row', `${publishing} return 1`, '{t}a'],
    ['two rows', `${publishing} return redis.call('incr', KEYS[2])`, '{t}a', '{t}b'],
    ['a row of the slot that was not declared', `${publishing} return redis.call('incr', '{t}b')`, '{t}a'],
    ['a row of another slot', `${publishing} return redis.call('incr', 'other')`, '{t}a'],
    ['the same, and its error is caught', `${publishing} return redis.pcall('incr', 'other')`, '{t}a'],
    ['an error at the end', `${publishing} error('no')`, '{t}a'],
    ['no row', "return redis.call('publish', 'c', 'm')"],
  ];
  for (const [title, script, ...keys] of scripts) {
    for (const id of [1, 2, 3, 4]) {
      told = 0;
      await cluster.run(id, 'EVAL', script, String(keys.length), ...keys);
      assert.equal(told, 1, `${title}, node ${id}`);
    }
  }
  told = 0;
  await cluster.run(1, 'MULTI');
  const computed = "redis.call('publish', 'c', ARGV[1]) return redis.call('incr', KEYS[1] .. ARGV[1])";
  for (const end of ['1', '2']) await cluster.run(1, 'EVAL', computed, '1', '{t}k', end);
  await cluster.run(1, 'EXEC');
  assert.equal(told, 2);
});
