/** The bus on a network in memory, in virtual time: what becomes of requests, connections and health. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../../src/assert.ts';
import { utf8 } from '../../src/bytes.ts';
import { MAX_QUEUED_BYTES, MAX_UNANSWERED } from '../../src/cluster/bus-core.ts';
import { MAX_MEETINGS } from '../../src/cluster/bus-meeting.ts';
import { busMethod, METHOD_BUSY, METHOD_FAILED } from '../../src/cluster/bus-method.ts';
import { encodeFrame, messageType, priority } from '../../src/cluster/frame.ts';
import type { Connection } from '../../src/env.ts';
import { PORT, Town, type TownNode } from './bus-town.ts';

function connections(node: TownNode): number {
  return must(node.bus.metrics()['peers_connected'], 'a metric');
}

void test('two nodes that know each other: one connection, requests and notices both ways', async () => {
  const town = new Town(1);
  const [a, b] = await town.pair();
  assert.deepEqual([a.health, b.health], [['b up'], ['a up']]);
  a.ask('b', 'one');
  a.ask('b', 'two');
  b.ask('a', 'three');
  a.bus.notice('b', a.outgoing('news', { method: busMethod.SWIM }));
  await town.pass(10);
  assert.deepEqual(b.came, ['2 a a:17001 news', '16 a one', '16 a two']);
  assert.deepEqual(a.came, ['16 b three']);
  assert.deepEqual(a.outcomes, ['one answered: one ok', 'two answered: two ok']);
  assert.deepEqual(b.outcomes, ['three answered: three ok']);
  assert.ok(a.bus.isHealthy('b') && b.bus.isHealthy('a'));
  assert.ok(a.bus.rttMs('b') >= 0.4 && a.bus.rttMs('b') < 1, `${a.bus.rttMs('b')} ms`);
  assert.equal(connections(a), 1);
});

void test('what a turn asks is one frame, and so are its answers', async () => {
  const town = new Town(2);
  const [a, b] = await town.pair();
  const before = [must(a.bus.metrics()['frames_out'], 'frames'), must(b.bus.metrics()['frames_out'], 'frames')];
  for (let i = 0; i < 20; i++) a.ask('b', `${i}`);
  await town.pass(2);
  assert.equal(a.outcomes.length, 20);
  assert.deepEqual(
    [a.bus.metrics()['frames_out'], b.bus.metrics()['frames_out']],
    before.map((count) => count + 1),
  );
});

void test('both call at once, at any moment: one connection stays, everything is answered or was never sent', async () => {
  for (let seed = 1; seed <= 150; seed++) {
    const town = new Town(seed);
    const a = await town.start('a');
    const b = await town.start('b');
    const { random } = town.network;
    town.network.latencyMs = 0.1 + 3 * random.next();
    a.bus.know('b', `b:${PORT}`);
    a.ask('b', 'from a');
    await town.pass(random.next() < 0.3 ? 0 : 12 * random.next());
    if (random.next() < 0.5) b.bus.know('a', `a:${PORT}`);
    else a.bus.know('b', `b:${PORT}`);
    b.ask('a', 'from b');
    b.askAt(`a:${PORT}`, 'at a');
    a.askAt(`b:${PORT}`, 'at b');
    await town.pass(1_000);
    assert.deepEqual([connections(a), connections(b)], [1, 1], `seed ${seed}`);
    for (const node of [a, b])
      assert.ok(
        node.outcomes.every((each) => /answered|unsent/.test(each)),
        `seed ${seed}`,
      );
    assert.ok(a.bus.isHealthy('b') && b.bus.isHealthy('a'), `seed ${seed}`);
    assert.ok(a.outcomes.includes('at b of b answered: at b ok'), `seed ${seed}: ${a.outcomes.join()}`);
    assert.ok(b.outcomes.includes('at a of a answered: at a ok'), `seed ${seed}: ${b.outcomes.join()}`);
    a.ask('b', 'again');
    b.ask('a', 'again');
    await town.pass(20);
    assert.equal(a.outcomes.at(-1), 'again answered: again ok', `seed ${seed}`);
    assert.equal(b.outcomes.at(-1), 'again answered: again ok', `seed ${seed}`);
    // Whatever was started besides is closed and stays closed.
    await town.pass(5_000);
    assert.deepEqual([a.bus.metrics()['reconnections'], b.bus.metrics()['reconnections']], [0, 0], `seed ${seed}`);
  }
});

void test('an address whose node is not known: asked, found, and talked to over one connection', async () => {
  const town = new Town(3);
  const a = await town.start('a');
  const b = await town.start('b');
  b.askAt(`a:${PORT}`, 'hello', { method: busMethod.JOIN });
  b.bus.noticeAt(`a:${PORT}`, b.outgoing('news', { method: busMethod.SWIM }));
  b.askAt(`c:${PORT}`, 'nobody there');
  b.askAt(`b:${PORT}`, 'myself');
  b.askAt('no address', 'nowhere');
  await town.pass(100);
  assert.deepEqual(a.came, ['4 b hello', `2 b b:${PORT} news`]);
  assert.deepEqual(b.outcomes.sort(), [
    'hello of a answered: hello ok',
    'myself of nobody unsent',
    'nobody there of nobody unsent',
    'nowhere of nobody unsent',
  ]);
  b.askAt(`a:${PORT}`, 'more');
  a.ask('b', 'back');
  await town.pass(50);
  assert.equal(b.outcomes.at(-1), 'more of a answered: more ok');
  assert.deepEqual(a.outcomes, ['back answered: back ok']);
  assert.equal(connections(a), 1);
});

void test('an errand has its deadline while the address does not answer, and a limit', async () => {
  const town = new Town(4);
  const a = await town.start('a');
  await town.start('b');
  town.network.cut('a', 'b');
  a.askAt(`b:${PORT}`, 'short', { waitMs: 100 });
  for (let i = 0; i < 70; i++) a.askAt(`b:${PORT}`, `${i}`, { waitMs: 60_000 });
  assert.equal(a.outcomes.length, 7, 'beyond the limit: refused at once');
  await town.pass(200);
  assert.equal(a.outcomes.at(-1), 'short of nobody unsent');
  await town.pass(2_500);
  assert.equal(a.outcomes.length, 71);
  assert.ok(a.outcomes.every((each) => each.endsWith('unsent')));
});

void test('different secrets never meet; the same one does', async () => {
  const town = new Town(5);
  const a = await town.start('a', { secret: 'one' });
  const b = await town.start('b', { secret: 'two' });
  const c = await town.start('c', { secret: 'one' });
  town.introduce(a, b, c);
  a.ask('b', 'to b');
  b.askAt(`a:${PORT}`, 'at a');
  await town.pass(3_000);
  assert.ok(a.bus.isHealthy('c') && c.bus.isHealthy('a'));
  assert.ok(!a.bus.isHealthy('b') && !b.bus.isHealthy('a'));
  assert.deepEqual(b.came, []);
  assert.deepEqual(a.outcomes, ['to b unsent']);
  assert.deepEqual(b.outcomes, ['at a of nobody unsent']);
  assert.ok(must(a.bus.metrics()['handshakes_failed'], 'a metric') > 0);
});

void test('another cluster: nothing passes but JOIN, until both belong to the same', async () => {
  const town = new Town(6);
  const a = await town.start('a', { clusterId: 'one' });
  const b = await town.start('b', { clusterId: 'two' });
  town.introduce(a, b);
  await town.pass(500);
  assert.ok(!a.bus.isHealthy('b') && !b.bus.isHealthy('a'));
  a.ask('b', 'refused');
  a.ask('b', 'join us', { method: busMethod.JOIN });
  a.bus.notice('b', a.outgoing('news', { method: busMethod.SWIM }));
  await town.pass(20);
  assert.deepEqual(b.came, ['4 a join us']);
  assert.deepEqual(a.outcomes, ['refused unsent', 'join us answered: join us ok']);
  b.clusterId = 'one';
  b.ask('a', 'with the news of it');
  await town.pass(100);
  assert.ok(a.bus.isHealthy('b') && b.bus.isHealthy('a'));
  b.ask('a', 'welcome');
  await town.pass(20);
  assert.deepEqual(a.came.at(-1), '16 b welcome');
  a.clusterId = 'three';
  await town.pass(100);
  assert.ok(!a.bus.isHealthy('b') && !b.bus.isHealthy('a'));
});

void test('a node that is not in a cluster yet talks to all', async () => {
  const town = new Town(7);
  const a = await town.start('a', { clusterId: 'one' });
  const b = await town.start('b');
  town.introduce(a, b);
  await town.pass(500);
  b.ask('a', 'may I?');
  await town.pass(20);
  assert.deepEqual(b.outcomes, ['may I? answered: may I? ok']);
  assert.ok(a.bus.isHealthy('b') && b.bus.isHealthy('a'));
});

void test('a killed peer: unhealthy as soon as its connection ends, in flight is unknown, later is unsent at once', async () => {
  const town = new Town(8);
  const [a, b] = await town.pair();
  b.held = [];
  a.ask('b', 'in flight');
  await town.pass(5);
  b.machine.kill();
  await town.pass(1);
  assert.ok(!a.bus.isHealthy('b'));
  assert.deepEqual(a.outcomes, ['in flight unknown']);
  a.ask('b', 'too late');
  assert.deepEqual(a.outcomes, ['in flight unknown', 'too late unsent']);
  await town.pass(10_000);
  const reborn = await town.start('b');
  reborn.bus.know('a', `a:${PORT}`);
  await town.pass(300);
  assert.deepEqual(a.health, ['b up', 'b down', 'b up']);
  a.ask('b', 'again');
  await town.pass(10);
  assert.equal(a.outcomes.at(-1), 'again answered: again ok');
  assert.equal(a.bus.metrics()['reconnections'], 1);
});

void test('a killed peer that knows nobody afterwards is called again', async () => {
  const town = new Town(9);
  const [a, b] = await town.pair();
  a.machine.kill();
  await town.pass(7_000);
  await town.start('a');
  await town.pass(3_000);
  assert.ok(b.bus.isHealthy('a'));
});

void test('a stopped peer is unhealthy within half a second, and healthy when it goes on', async () => {
  for (const seed of [10, 11, 12, 13, 14, 15]) {
    const town = new Town(seed);
    const [a, b] = await town.pair();
    await town.pass(1_000 * town.network.random.next());
    b.machine.stop();
    await town.pass(300);
    assert.ok(a.bus.isHealthy('b'), `seed ${seed}: not yet`);
    await town.pass(200);
    assert.ok(!a.bus.isHealthy('b'), `seed ${seed}: too slow`);
    await town.pass(2_000);
    b.machine.resume();
    await town.pass(5);
    assert.ok(a.bus.isHealthy('b'), `seed ${seed}: not healthy again`);
    assert.deepEqual(b.health, ['a up'], 'the one that stood still blames nobody');
    assert.equal(a.bus.metrics()['reconnections'], 0);
  }
});

void test('a node whose own loop stood still blames nobody, however often and long', async () => {
  const town = new Town(16);
  const [a, b] = await town.pair();
  for (const ms of [100, 500, 1_000, 3_000, 420]) {
    a.machine.stop();
    await town.pass(ms);
    a.machine.resume();
    await town.pass(150);
  }
  assert.deepEqual(a.health, ['b up']);
  assert.ok(b.health.includes('a down'), 'for the others it was away');
});

void test('a very long stop: connected again by itself afterwards', async () => {
  const town = new Town(17);
  const [a, b] = await town.pair();
  b.machine.stop();
  await town.pass(20_000);
  assert.equal(connections(a), 0);
  b.machine.resume();
  await town.pass(3_000);
  assert.ok(a.bus.isHealthy('b') && b.bus.isHealthy('a'));
  assert.deepEqual([connections(a), connections(b)], [1, 1]);
});

void test('cut off: both unhealthy within half a second, and back soon after it heals', async () => {
  for (const ms of [1_000, 5_000, 30_000]) {
    const town = new Town(18 + ms);
    const [a, b] = await town.pair();
    town.network.cut('a', 'b');
    await town.pass(500);
    assert.ok(!a.bus.isHealthy('b') && !b.bus.isHealthy('a'));
    await town.pass(ms - 500);
    town.network.heal();
    await town.pass(2_500);
    assert.ok(a.bus.isHealthy('b') && b.bus.isHealthy('a'), `after ${ms} ms`);
  }
});

void test('a connection that only one side has left is given up when the other asks for a new one', async () => {
  const town = new Town(19);
  const [a, b] = await town.pair();
  town.network.cut('a', 'b');
  b.bus.forget('a');
  await town.pass(50);
  assert.equal(connections(a), 1, 'it does not know yet');
  town.network.heal('lose');
  b.bus.know('a', `a:${PORT}`);
  b.ask('a', 'anybody?');
  await town.pass(1_500);
  b.ask('a', 'now?');
  await town.pass(20);
  assert.equal(b.outcomes.at(-1), 'now? answered: now? ok');
});

void test('a late answer is dropped, and an answer is given once', async () => {
  const town = new Town(20);
  const [a, b] = await town.pair();
  b.held = [];
  a.ask('b', 'slow', { waitMs: 100 });
  await town.pass(200);
  assert.deepEqual(a.outcomes, ['slow unknown']);
  a.ask('b', 'next');
  await town.pass(20);
  for (const answer of b.held) {
    answer(utf8('x'));
    answer(utf8('y'));
  }
  await town.pass(20);
  assert.deepEqual(a.outcomes, ['slow unknown', 'next answered: x']);
});

void test('a method that nobody answers fails with a text', async () => {
  const town = new Town(21);
  const [a] = await town.pair();
  const ended: unknown[] = [];
  a.bus.request('b', a.outgoing('?', { method: 99 }), (outcome) => {
    ended.push(outcome.kind === 'answered' && outcome.message.method);
    ended.push(outcome.kind === 'answered' && outcome.message.epoch);
  });
  await town.pass(20);
  assert.deepEqual(ended, [METHOD_FAILED, 7]);
});

void test('a peer with too many unanswered requests says busy', async () => {
  const town = new Town(22);
  const [a, b] = await town.pair();
  b.held = [];
  const methods: number[] = [];
  for (let i = 0; i < MAX_UNANSWERED + 3; i++) {
    a.bus.request('b', a.outgoing(''), (outcome) => {
      if (outcome.kind === 'answered') methods.push(outcome.message.method);
    });
  }
  await town.pass(100);
  assert.deepEqual(methods, [METHOD_BUSY, METHOD_BUSY, METHOD_BUSY]);
});

void test('a slow peer: what waits is bounded, the rest is refused, urgent things overtake, and all arrives in the end', async () => {
  const town = new Town(23);
  const [a, b] = await town.pair();
  b.machine.stop();
  const size = 512 * 1024;
  const count = Math.ceil(MAX_QUEUED_BYTES / size) + 8;
  const text = 'x'.repeat(size);
  let answered = 0;
  let unsent = 0;
  for (let i = 0; i < count; i++) {
    a.bus.request('b', a.outgoing(text, { priority: priority.REPAIR, waitMs: 60_000 }), ({ kind }) => {
      if (kind === 'answered') answered++;
      else if (kind === 'unsent') unsent++;
    });
    if (i % 4 === 3) await town.pass(1);
  }
  assert.ok(unsent > 0 && unsent < 12, `${unsent} refused`);
  const waiting = must(a.bus.metrics()['waiting_bytes'], 'a metric');
  assert.ok(waiting > MAX_QUEUED_BYTES - 2 * size && waiting <= MAX_QUEUED_BYTES + 2 * size, `${waiting}`);
  a.ask('b', 'urgent', { waitMs: 60_000 });
  b.machine.resume();
  await town.pass(12);
  assert.deepEqual(a.outcomes, ['urgent answered: urgent ok']);
  const atUrgent = answered;
  assert.ok(atUrgent < count - unsent, 'before what waited longer');
  await town.pass(2_000);
  assert.equal(answered + unsent, count);
});

void test('what the turn’s last work answers leaves in the same frame', async () => {
  const town = new Town(24);
  const [a, b] = await town.pair();
  b.held = [];
  b.beforeFlush = () => {
    for (const answer of b.held?.splice(0) ?? []) answer(utf8('flushed'));
  };
  a.ask('b', 'one');
  a.ask('b', 'two');
  await town.pass(0.5);
  b.bus.notice('a', b.outgoing('news', { method: busMethod.SWIM }));
  const before = must(b.bus.metrics()['frames_out'], 'frames');
  await town.pass(2);
  assert.deepEqual(a.outcomes, ['one answered: flushed', 'two answered: flushed']);
  assert.equal(b.bus.metrics()['frames_out'], before + 1);
});

void test('a forgotten node is not called any more, and may come back', async () => {
  const town = new Town(25);
  const [a, b] = await town.pair();
  b.bus.forget('a');
  a.ask('b', 'queued');
  a.bus.forget('b');
  assert.deepEqual(a.outcomes, ['queued unsent']);
  a.ask('b', 'gone');
  assert.equal(a.outcomes.at(-1), 'gone unsent');
  await town.pass(5_000);
  assert.deepEqual([connections(a), connections(b)], [0, 0]);
  b.bus.know('a', `a:${PORT}`);
  await town.pass(500);
  assert.ok(b.bus.isHealthy('a') && a.bus.isHealthy('b'));
});

void test('a node that comes back as another process, before its connection was missed, takes its place', async () => {
  const town = new Town(26);
  const [a, b] = await town.pair();
  town.network.cut('a', 'b');
  b.machine.kill();
  town.network.heal('lose');
  const reborn = await town.start('b');
  reborn.bus.know('a', `a:${PORT}`);
  await town.pass(300);
  assert.deepEqual(a.health, ['b up', 'b down', 'b up']);
  reborn.ask('a', 'me again');
  a.ask('b', 'you again');
  await town.pass(20);
  assert.deepEqual(reborn.outcomes, ['me again answered: me again ok']);
  assert.equal(a.outcomes.at(-1), 'you again answered: you again ok');
});

void test('close ends everything: requests, calls, connections, the port', async () => {
  const town = new Town(27);
  const [a, b] = await town.pair();
  b.held = [];
  a.ask('b', 'in flight');
  await town.pass(5);
  a.askAt(`c:${PORT}`, 'errand');
  await a.bus.close();
  a.ask('b', 'after');
  a.askAt(`b:${PORT}`, 'after');
  assert.deepEqual(a.outcomes.sort(), [
    'after of nobody unsent',
    'after unsent',
    'errand of nobody unsent',
    'in flight unknown',
  ]);
  await town.pass(10);
  assert.ok(!b.bus.isHealthy('a'));
  await town.start('a');
  await town.pass(3_000);
  assert.ok(b.bus.isHealthy('a'));
});

// --- strangers -----------------------------------------------------------------------------------------------------

interface Stranger {
  readonly connection: Connection;
  came: number;
  closed: boolean;
}

/** A bare connection to a node. */
async function stranger(town: Town, to: string): Promise<Stranger> {
  const machine = town.network.find('stranger') ?? town.network.machine('stranger');
  const opened: { stranger?: Stranger } = {};
  machine.env.network.connect({
    host: to,
    port: PORT,
    onFail: (error) => assert.fail(error),
    onOpen: (connection) => {
      const it: Stranger = { connection, came: 0, closed: false };
      opened.stranger = it;
      return {
        onData: (_bytes, end) => {
          it.came += end;
        },
        onDrain: () => undefined,
        onClose: () => {
          it.closed = true;
        },
      };
    },
  });
  await town.pass(5);
  return must(opened.stranger, 'a connection');
}

const request = { type: messageType.REQUEST, priority: 1, method: 16, requestId: 1, timeLeftMs: 0, epoch: 0 } as const;

void test('noise, foreign protocols, oversized, corrupt and early frames close the connection, and only that', async () => {
  const town = new Town(28);
  const [a, b] = await town.pair();
  const large = Uint8Array.of(0x4b, 0x76, 2, 0, 0x00, 0x10, 0x00, 0x00, 0xff, 0xef, 0xff, 0xff, 0, 0, 0, 0);
  const early = encodeFrame([{ ...request, payload: utf8('let me in') }]);
  const corrupt = early.slice();
  corrupt[20] = 0xff;
  const bytes = [
    utf8('GET / HTTP/1.1\r\n\r\n'),
    utf8('*1\r\n$4\r\nPING\r\n'),
    large,
    early,
    corrupt,
    new Uint8Array(9),
  ];
  for (const each of bytes) {
    const it = await stranger(town, 'a');
    it.connection.write(each);
    await town.pass(5);
    assert.ok(it.closed, Buffer.from(each).toString('latin1'));
    assert.equal(it.came, 0, 'not a byte for a stranger');
  }
  assert.equal(a.bus.metrics()['frames_damaged'], bytes.length);
  assert.deepEqual(a.came, []);
  a.ask('b', 'still here');
  await town.pass(20);
  assert.deepEqual(a.outcomes, ['still here answered: still here ok']);
  assert.deepEqual(a.health.concat(b.health), ['b up', 'a up']);
});

void test('who says nothing is closed, and crowds of them keep nobody out', async () => {
  const town = new Town(29);
  const a = await town.start('a');
  const first = await stranger(town, 'a');
  const crowd: Stranger[] = [];
  for (let i = 0; i < MAX_MEETINGS + 20; i++) crowd.push(await stranger(town, 'a'));
  assert.ok(first.closed, 'the oldest gives way');
  const b = await town.start('b');
  town.introduce(a, b);
  await town.pass(500);
  assert.ok(a.bus.isHealthy('b'));
  await town.pass(2_200);
  assert.ok(crowd.every((each) => each.closed));
});
