import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ErrorReply, NO_REPLY, OK, PushReply, type Reply } from '../../src/commands/reply.ts';
import type { ClientConnection } from '../../src/resp/front-door.ts';
import {
  CLOSE_GRACE_SECONDS,
  HELD_INPUT_MAX_BYTES,
  OUTPUT_HIGH_WATER_BYTES,
  OUTPUT_STALL_SECONDS,
} from '../../src/resp/limits.ts';
import { deferred, type FakeConnection, FakeFrontDoor } from '../support/fake-front-door.ts';
import { encodeCommand } from '../support/raw-client.ts';

test('a turn: all that is readable is run, then one group is written, then one write a session', async () => {
  const door = await FakeFrontDoor.open();
  const [a, b] = [door.newConnection(), door.newConnection()];
  a.send('x\r\nx 1\r\n');
  b.send('x 2\r\n');
  a.send('x 3\r\n');
  assert.equal(a.received + b.received, '');
  assert.equal(door.groups, 0);
  door.endTurn();
  assert.equal(door.groups, 1);
  assert.equal(a.received, '+OK\r\n$1\r\n1\r\n$1\r\n3\r\n');
  assert.equal(b.received, '$1\r\n2\r\n');
  assert.deepEqual([a.writes, b.writes], [1, 1]);
});

test('the keys of commands that come together are told before the first of them runs', async () => {
  const started: [string, number][] = [];
  const door = await FakeFrontDoor.open((_client, args) => {
    started.push([args.text(0), door.expected.length]);
    return OK;
  });
  const client = door.newConnection();
  const value = 'v'.repeat(100);
  const set = encodeCommand(['set', 'a', value]);
  client.send(set);
  client.send(set.subarray(0, 30));
  client.send(Buffer.concat([set.subarray(30), set, set]));
  assert.deepEqual(door.expected, [], 'of one command, and in the middle of one, there is nothing to tell');
  client.send(Buffer.concat([set, encodeCommand(['ping']), encodeCommand(['get', 'b']), set.subarray(0, 50)]));
  assert.deepEqual(door.expected, [['a', 'b']]);
  assert.deepEqual(started.slice(4), [
    ['set', 1],
    ['ping', 1],
    ['get', 1],
  ]);
});

test('a promised reply holds back this client, and no other', async () => {
  const slow = deferred<Reply>();
  const started: string[] = [];
  const door = await FakeFrontDoor.open((client, args) => {
    started.push(args.text(0));
    return args.text(0) === 'slow' ? slow.promise : args.text(0);
  });
  const [a, b] = [door.newConnection(), door.newConnection()];
  a.send('one\r\nslow\r\ntwo\r\nthr');
  b.send('four\r\n');
  a.send('ee\r\n');
  await door.settle();
  assert.deepEqual(started, ['one', 'slow', 'four']);
  assert.equal(a.received, '$3\r\none\r\n');
  assert.equal(b.received, '$4\r\nfour\r\n');
  slow.resolve('late');
  await door.settle();
  assert.equal(a.received, '$3\r\none\r\n$4\r\nlate\r\n$3\r\ntwo\r\n$5\r\nthree\r\n');
});

test('input behind a promised reply is bounded: reading stops, and goes on afterwards', async () => {
  const slow = deferred<Reply>();
  let commands = 0;
  const door = await FakeFrontDoor.open((_client, args) => (args.text(0) === 'slow' ? slow.promise : ++commands));
  const client = door.newConnection();
  client.send('slow\r\n');
  const piece = 'x\r\n'.repeat(5000);
  let sent = 0;
  while (!client.isPaused) {
    client.send(piece);
    sent += 5000;
  }
  assert.ok(sent * 3 < HELD_INPUT_MAX_BYTES + piece.length);
  assert.equal(commands, 0);
  slow.resolve(OK);
  await door.settle();
  assert.equal(commands, sent);
  assert.ok(!client.isPaused);
  assert.ok(client.received.endsWith(`:${sent}\r\n`));
});

test('output leaves when what it shows is durable, turn by turn', async () => {
  const door = await FakeFrontDoor.open((_client, args) => args.text(0));
  const client = door.newConnection();
  const turn = (word: string, sequence: number): void => {
    door.sequence = sequence;
    client.send(`${word}\r\n`);
    door.endTurn();
  };
  turn('a', 0);
  assert.equal(client.received, '$1\r\na\r\n');
  turn('b', 5);
  turn('c', 0);
  turn('d', 7);
  assert.equal(client.received, '$1\r\na\r\n', 'c must not pass b');
  door.makeDurable(4);
  assert.equal(client.received, '$1\r\na\r\n');
  door.makeDurable(5);
  assert.equal(client.received, '$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n', 'b does not wait for d');
  turn('e', 6);
  door.makeDurable(7);
  assert.equal(client.received, '$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n');
});

test('the sequence of a promised reply is asked when it settles', async () => {
  const slow = deferred<Reply>();
  const door = await FakeFrontDoor.open(() => slow.promise);
  const client = door.newConnection();
  client.send('x\r\n');
  door.sequence = 9;
  slow.resolve('v');
  await door.settle();
  assert.equal(client.received, '');
  door.makeDurable(9);
  assert.equal(client.received, '$1\r\nv\r\n');
});

test('pushes go between replies, in the protocol of the client, past the reply mode', async () => {
  const slow = deferred<Reply>();
  const door = await FakeFrontDoor.open((client, args) => {
    const name = args.text(0);
    if (name === 'slow') return slow.promise;
    if (name === 'three') client.connection.setProtocol(3);
    if (name === 'off') client.connection.setReplyMode('off');
    client.connection.push(new PushReply([name]));
    return name === 'off' ? NO_REPLY : OK;
  });
  const client = door.newConnection();
  client.send('two\r\nthree\r\noff\r\nquiet\r\nslow\r\n');
  await door.settle();
  assert.equal(
    client.received,
    '*1\r\n$3\r\ntwo\r\n+OK\r\n>1\r\n$5\r\nthree\r\n+OK\r\n>1\r\n$3\r\noff\r\n>1\r\n$5\r\nquiet\r\n',
  );
});

test('CLIENT REPLY: off, on, skip', async () => {
  const door = await FakeFrontDoor.open((client, args) => {
    const name = args.text(0);
    if (name === 'on' || name === 'off' || name === 'skip') {
      client.connection.setReplyMode(name);
      return name === 'on' ? OK : NO_REPLY;
    }
    return name === 'later' ? Promise.resolve('later') : name;
  });
  const cases: [string, string][] = [
    ['a skip b c', 'ac'],
    ['skip skip b c', 'c'],
    ['skip on b', '+b'],
    ['off a skip b on c', '+c'],
    ['skip later a', 'a'],
    ['skip a skip b c', 'c'],
  ];
  for (const [words, expected] of cases) {
    const client = door.newConnection();
    client.send(`${words.replaceAll(' ', '\r\n')}\r\n`);
    await door.settle();
    const seen = client.received.replaceAll('+OK\r\n', '+').replaceAll(/\$\d+\r\n(\w+)\r\n/g, '$1');
    assert.equal(seen, expected, words);
  }
});

test('after a protocol error: the replies before it, the error, the end; what still comes is dropped', async () => {
  let commands = 0;
  const door = await FakeFrontDoor.open(() => ++commands);
  const client = door.newConnection();
  client.send('a\r\n*1\r\nx\r\nb\r\n');
  client.send('c\r\n');
  door.endTurn();
  client.send('d\r\n');
  door.endTurn();
  assert.equal(client.received, ":1\r\n-ERR Protocol error: expected '$', got 'x'\r\n");
  assert.ok(client.isEnded && !client.isDestroyed);
  assert.equal(commands, 1);
  assert.equal(door.server.stats.protocolErrors, 1);
  for (let i = 0; i < CLOSE_GRACE_SECONDS + 2; i++) door.second();
  assert.ok(client.isDestroyed, 'a client that does not close its side is cut off');
  client.gone();
  assert.deepEqual(door.closedPeers, [client.peer]);
});

test('a client that does not read its replies is not read from, and loses nothing', async () => {
  const value = Buffer.alloc(20_000, 'v');
  let commands = 0;
  const door = await FakeFrontDoor.open(() => {
    commands++;
    return value;
  });
  const client = door.newConnection();
  client.capacity = 100_000;
  let sent = 0;
  let mostOutput = 0;
  const some = `x${' '.repeat(500)}\r\n`.repeat(100);
  for (let i = 0; i < 100 && !client.isPaused; i++) {
    client.send(some);
    sent += 100;
    door.endTurn();
    mostOutput = Math.max(mostOutput, door.server.outputBytes);
  }
  assert.ok(client.isPaused, 'reading has stopped');
  assert.ok(commands < sent, 'commands wait');
  assert.ok(mostOutput <= OUTPUT_HIGH_WATER_BYTES + 100_000, `${mostOutput} bytes of output`);
  client.capacity = Infinity;
  for (let i = 0; i < 10_000 && (door.server.outputBytes > 0 || client.unsentBytes > 0); i++) {
    client.drain();
    door.endTurn();
  }
  assert.equal(commands, sent);
  assert.ok(!client.isPaused, 'reading goes on');
  assert.equal(client.received.length, sent * (value.length + '$20000\r\n\r\n'.length));
});

test('a client that takes nothing while too much waits is closed after its time, one that takes a little is not', async () => {
  const value = Buffer.alloc(1_000_000, 'v');
  const door = await FakeFrontDoor.open((_client, args) => (args.text(0) === 'x' ? value : OK));
  const [stuck, slow, few] = [door.newConnection(), door.newConnection(), door.newConnection()];
  for (const client of [stuck, slow]) {
    client.capacity = 0;
    client.send('x\r\n'.repeat(1 + OUTPUT_HIGH_WATER_BYTES / value.length));
  }
  few.capacity = 0;
  few.send('few\r\n');
  door.endTurn();
  for (let i = 0; i <= OUTPUT_STALL_SECONDS; i++) {
    assert.ok(!stuck.isDestroyed);
    if (i % 20 === 0) slow.drain();
    door.second();
  }
  assert.deepEqual([stuck.isDestroyed, slow.isDestroyed, few.isDestroyed], [true, false, false]);
});

test('memory that the connection has kept is not written to again', async () => {
  const door = await FakeFrontDoor.open();
  const [slow, waits, quick] = [door.newConnection(), door.newConnection(), door.newConnection()];
  slow.capacity = 0;
  waits.capacity = 0;
  slow.send('x first\r\n');
  door.endTurn();
  door.sequence = 1;
  waits.send('x later\r\n');
  door.endTurn();
  door.makeDurable(1);
  for (let i = 0; i < 50; i++) {
    quick.send('x other\r\n');
    slow.send('x more!\r\n');
    door.endTurn();
  }
  slow.capacity = Infinity;
  slow.drain();
  door.endTurn();
  assert.equal(slow.received, `$5\r\nfirst\r\n${'$5\r\nmore!\r\n'.repeat(50)}`);
  waits.drain();
  assert.equal(waits.received, '$5\r\nlater\r\n');
});

test('client-output-buffer-limit: hard at once, soft after its seconds', async () => {
  const door = await FakeFrontDoor.open((client) => {
    client.connection.outputClass = 'pubsub';
    return OK;
  });
  door.limits.output = {
    normal: { hardBytes: 0, softBytes: 0, softSeconds: 0 },
    pubsub: { hardBytes: 100_000, softBytes: 30_000, softSeconds: 3 },
  };
  const push = (connection: FakeConnection, times: number): void => {
    const session = connection.events as unknown as ClientConnection;
    for (let i = 0; i < times; i++) session.push(new PushReply(['v'.repeat(10_000)]));
    door.endTurn();
  };
  const soft = door.newConnection();
  soft.capacity = 0;
  soft.send('x\r\n');
  door.endTurn();
  push(soft, 4);
  for (let i = 0; i < 3; i++) {
    door.second();
    assert.ok(!soft.isDestroyed, `second ${i}`);
  }
  door.second();
  assert.ok(soft.isDestroyed);
  const hard = door.newConnection();
  hard.capacity = 0;
  hard.send('x\r\n');
  door.endTurn();
  push(hard, 9);
  assert.ok(!hard.isDestroyed);
  push(hard, 1);
  assert.ok(hard.isDestroyed);
  assert.equal(door.server.stats.closedByLimit, 2);
  assert.deepEqual(door.warnings, ['client closed by a limit', 'client closed by a limit']);
});

test('timeout closes the idle, but no one who waits or is exempt', async () => {
  const never = deferred<Reply>();
  const door = await FakeFrontDoor.open((client, args) => {
    if (args.text(0) === 'subscribe') client.connection.idleExempt = true;
    return args.text(0) === 'block' ? never.promise : OK;
  });
  door.limits.idleTimeoutSeconds = 5;
  const [idle, blocked, exempt, busy] = [0, 1, 2, 3].map(() => door.newConnection());
  idle?.send('x\r\n');
  blocked?.send('block\r\n');
  exempt?.send('subscribe\r\n');
  for (let i = 0; i < 10; i++) {
    busy?.send('x\r\n');
    door.second();
  }
  assert.deepEqual(
    [idle, blocked, exempt, busy].map((it) => it?.isDestroyed),
    [true, false, false, false],
  );
});

test('client-query-buffer-limit closes who sends a command larger than that', async () => {
  const door = await FakeFrontDoor.open();
  door.limits.queryBufferBytes = 1_000_000;
  const client = door.newConnection();
  client.send('*2\r\n$3\r\nSET\r\n$100000000\r\n');
  const piece = Buffer.alloc(60_000);
  let sent = 0;
  for (; !client.isDestroyed && sent < 3_000_000; sent += piece.length) client.send(piece);
  assert.ok(client.isDestroyed);
  assert.ok(sent <= 1_000_000 + piece.length);
});

test('a connection that is refused gets the text and the end', async () => {
  const door = await FakeFrontDoor.open();
  door.refusal = new ErrorReply('ERR max number of clients reached');
  const client = door.newConnection();
  client.send('PING\r\n');
  door.endTurn();
  assert.equal(client.received, '-ERR max number of clients reached\r\n');
  assert.ok(client.isEnded);
  client.gone();
  assert.deepEqual(door.closedPeers, [], 'it never was a client');
  assert.equal(door.server.stats.connectionsRejected, 1);
  assert.equal(door.server.sessionCount, 0);
});

test('closeAfterReply sends the reply and runs nothing more; close sends nothing', async () => {
  const slow = deferred<Reply>();
  const door = await FakeFrontDoor.open((client, args) => {
    if (args.text(0) === 'quit') client.connection.closeAfterReply();
    if (args.text(0) === 'kill') client.connection.close();
    return args.text(0) === 'slow' ? slow.promise : OK;
  });
  const [quits, killed, late] = [door.newConnection(), door.newConnection(), door.newConnection()];
  quits.send('x\r\nquit\r\nx\r\n');
  killed.send('x\r\nkill\r\nx\r\n');
  late.send('slow\r\nx\r\n');
  door.endTurn();
  assert.equal(quits.received, '+OK\r\n+OK\r\n');
  assert.ok(quits.isEnded);
  assert.equal(killed.received, '');
  assert.ok(killed.isDestroyed);
  late.gone();
  slow.resolve('for nobody');
  await door.settle();
  assert.equal(late.received, '');
  assert.deepEqual(door.closedPeers, [late.peer]);
});

test('the end is not said before output that waits for durability has left', async () => {
  const door = await FakeFrontDoor.open((client) => {
    client.connection.closeAfterReply();
    return OK;
  });
  door.sequence = 3;
  const client = door.newConnection();
  client.send('quit\r\n');
  door.endTurn();
  assert.ok(!client.isEnded);
  door.makeDurable(3);
  assert.equal(client.received, '+OK\r\n');
  assert.ok(client.isEnded);
});

test('a client that has sent its last byte still gets its answers, unless it waits for other clients', async () => {
  const slow = deferred<Reply>();
  const door = await FakeFrontDoor.open((client, args) => {
    if (args.text(0) === 'block') client.connection.isBlocked = true;
    return args.text(0) === 'x' ? OK : slow.promise;
  });
  const [plain, waits, blocked] = [door.newConnection(), door.newConnection(), door.newConnection()];
  door.sequence = 1;
  plain.send('x\r\n*1\r\n$4\r\nhal');
  plain.sendEnd();
  waits.send('slow\r\nx\r\n');
  waits.sendEnd();
  blocked.send('block\r\n');
  blocked.sendEnd();
  await door.settle();
  assert.deepEqual([plain.isEnded, waits.isEnded, blocked.isDestroyed], [false, false, true]);
  slow.resolve('late');
  door.makeDurable(1);
  await door.settle();
  assert.deepEqual([plain.received, plain.isEnded], ['+OK\r\n', true]);
  assert.deepEqual([waits.received, waits.isEnded], ['$4\r\nlate\r\n+OK\r\n', true]);
  assert.equal(blocked.received, '');
});

test('a paused client runs nothing until it is resumed, however often either is called', async () => {
  let commands = 0;
  const door = await FakeFrontDoor.open(() => ++commands);
  const client = door.newConnection();
  const session = client.events as unknown as ClientConnection;
  session.pauseReading();
  client.send('a\r\nb\r\n');
  door.endTurn();
  session.pauseReading();
  assert.equal(commands, 0);
  session.resumeReading();
  session.resumeReading();
  door.endTurn();
  assert.equal(client.received, ':1\r\n:2\r\n');
});

test('a command that resumes its own session does not run the next one inside itself', async () => {
  let depth = 0;
  const door = await FakeFrontDoor.open((client) => {
    depth++;
    assert.equal(depth, 1);
    client.connection.pauseReading();
    client.connection.resumeReading();
    depth--;
    return OK;
  });
  const client = door.newConnection();
  client.send('a\r\nb\r\n');
  door.endTurn();
  assert.equal(client.received, '+OK\r\n+OK\r\n');
});

test('the server closes: running commands finish, answers leave, the stubborn are cut off', async () => {
  const slow = deferred<Reply>();
  const door = await FakeFrontDoor.open((_client, args) => (args.text(0) === 'slow' ? slow.promise : OK));
  const [idle, busy] = [door.newConnection(), door.newConnection()];
  busy.send('slow\r\nx\r\n');
  const closing = door.server.close(1000);
  await door.settle();
  assert.ok(idle.isEnded && !busy.isEnded);
  idle.gone();
  slow.resolve('done');
  await door.settle();
  assert.equal(busy.received, '$4\r\ndone\r\n');
  assert.ok(busy.isEnded);
  door.later();
  assert.ok(busy.isDestroyed);
  busy.gone();
  await closing;
  assert.equal(door.server.sessionCount, 0);
});

test('counters tell what CLIENT LIST shows', async () => {
  const door = await FakeFrontDoor.open();
  const client = door.newConnection();
  const session = client.events as unknown as ClientConnection;
  client.send(encodeCommand(['x', 'abc']));
  client.send('*1\r\n$10\r\nhalf');
  assert.equal(session.counters().outputBuffer, 9);
  assert.equal(session.counters().queryBuffer, 4);
  door.endTurn();
  door.second();
  const { bytesIn, bytesOut, idleSeconds, outputBuffer } = session.counters();
  assert.deepEqual([bytesIn, bytesOut, idleSeconds, outputBuffer], [33, 9, 1, 0]);
});
