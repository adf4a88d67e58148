/** The real clock, timers, threads and sockets. Nothing here depends on how fast the machine is. */

import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { Connection, ConnectionEvents, Env } from '../../src/env.ts';
import { createNodeEnv } from '../../src/env-node.ts';
import { silent } from '../support/silent-log.ts';

function newEnv(): Env {
  return createNodeEnv({ log: silent });
}

interface Gate {
  readonly opened: Promise<void>;
  readonly open: () => void;
}

function gate(): Gate {
  const gateOpen: { open?: () => void } = {};
  const opened = new Promise<void>((resolve) => {
    gateOpen.open = resolve;
  });
  return { opened, open: () => gateOpen.open?.() };
}

/** Listens with one handler for every connection; the test's end closes it. */
async function listen(
  context: TestContext,
  onConnection: (connection: Connection) => ConnectionEvents,
): Promise<number> {
  const listener = await newEnv().network.listen({ host: '127.0.0.1', port: 0, backlog: 16, onConnection });
  context.after(() => listener.close());
  return listener.port;
}

function quiet(events: Partial<ConnectionEvents>): ConnectionEvents {
  return { onData: () => {}, onDrain: () => {}, onClose: () => {}, ...events };
}

function silentConnection(): ConnectionEvents {
  return quiet({});
}

function client(context: TestContext, port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  context.after(() => socket.destroy());
  return socket;
}

void test('clock: the wall is now, the monotonic clock goes up in microseconds', async () => {
  const { clock } = newEnv();
  assert.ok(Number.isSafeInteger(clock.wallMs()) && clock.wallMs() > 1_700_000_000_000);
  const start = clock.monotonicUs();
  await new Promise((resolve) => setTimeout(resolve, 2));
  const elapsed = clock.monotonicUs() - start;
  assert.ok(Number.isSafeInteger(elapsed) && elapsed >= 1_000);
});

void test('timers: callbacks of a turn run together at its end, what they add waits for the next', async () => {
  const { timers } = newEnv();
  const seen: string[] = [];
  const done = gate();
  timers.atTurnEnd(() => {
    seen.push('first');
    timers.atTurnEnd(() => {
      seen.push('next turn');
      done.open();
    });
  });
  timers.atTurnEnd(() => seen.push('second'));
  void Promise.resolve().then(() => seen.push('microtask'));
  await done.opened;
  assert.deepEqual(seen, ['microtask', 'first', 'second', 'next turn']);
});

void test('timers: after and every fire, and not once cancelled', async () => {
  const { timers } = newEnv();
  let ticks = 0;
  const done = gate();
  const never = timers.after(1, () => assert.fail('it was cancelled'));
  never.cancel();
  const timer = timers.every(1, () => {
    if (++ticks === 3) {
      timer.cancel();
      timers.after(5, done.open);
    }
  });
  await done.opened;
  assert.equal(ticks, 3);
});

void test('random: bytes of the length asked for, numbers in range', () => {
  const { random } = newEnv();
  assert.equal(random.bytes(20).length, 20);
  assert.notDeepEqual(random.bytes(20), random.bytes(20));
  const value = random.next();
  assert.ok(value >= 0 && value < 1);
});

void test('threads: jobs, errors with their code, shared memory, and an orderly close', async () => {
  const { threads, disk } = newEnv();
  const echo = threads.start<{ path: string }, string>(new URL('../sim/echo-job.js', import.meta.url).href, 'echo');
  const here = new URL('.', import.meta.url).pathname;
  assert.equal(await echo.run({ path: here }), `${disk.list(here).length} files, not stopped`);
  await assert.rejects(echo.run({ path: '/does/not/exist' }), {
    name: 'DiskError',
    code: 'ENOENT',
    path: '/does/not/exist',
  });
  await echo.close();
  await echo.close();
  await assert.rejects(echo.run({ path: here }), { code: 'THREAD_CLOSED' });

  const spin = threads.start<Int32Array, number>(new URL('./spin-job.js', import.meta.url).href, 'spin');
  const shared = new Int32Array(new SharedArrayBuffer(4));
  const spinning = spin.run(shared);
  const waiting = assert.rejects(spin.run(shared), { code: 'THREAD_CLOSED' });
  while (Atomics.load(shared, 0) === 0) await new Promise((resolve) => setImmediate(resolve));
  await spin.close();
  assert.equal(await spinning, 7, 'a job that runs when its thread is closed sees stopped() and ends');
  await waiting;
});

void test('threads: a module that cannot be loaded fails its jobs', async () => {
  const thread = newEnv().threads.start(new URL('./no-such-module.js', import.meta.url).href, 'broken');
  await assert.rejects(thread.run({}), /no-such-module/);
  await thread.close();
});

void test('network: bytes both ways, addresses, a close on each side', async (context) => {
  const { network } = newEnv();
  const closed = gate();
  const clientClosed = gate();
  let received = '';
  const port = await listen(context, (connection) => {
    assert.match(connection.peer, /^127\.0\.0\.1:\d+$/);
    assert.equal(connection.local, `127.0.0.1:${port}`);
    return quiet({
      onData: (bytes, end) => assert.equal(connection.write(bytes.slice(0, end)), true),
      onClose: closed.open,
    });
  });
  network.connect({
    host: '127.0.0.1',
    port,
    onFail: (error) => assert.fail(error),
    onOpen: (connection) => {
      assert.equal(connection.write(Buffer.from('hello')), true);
      assert.equal(connection.unsentBytes, 0);
      return quiet({
        onData: (bytes, end) => {
          received += Buffer.from(bytes.subarray(0, end)).toString();
          connection.end();
        },
        onClose: clientClosed.open,
      });
    },
  });
  await Promise.all([closed.opened, clientClosed.opened]);
  assert.equal(received, 'hello');
});

void test('network: a peer that does not read: write says so, the drain comes once it has read, in order', async (context) => {
  const drained = gate();
  const whole = gate();
  const size = 24 * 1024 * 1024;
  let connectionSeen: Connection | undefined;
  const port = await listen(context, (connection) => {
    connectionSeen = connection;
    assert.equal(connection.write(Buffer.alloc(size, 1)), false);
    assert.ok(connection.unsentBytes > 0);
    // More while waiting: still one drain.
    assert.equal(connection.write(Buffer.from([2, 3])), false);
    let drains = 0;
    return quiet({
      onDrain: () => {
        assert.equal(++drains, 1);
        assert.equal(connection.unsentBytes, 0);
        assert.equal(connection.write(Buffer.from([4])), true);
        drained.open();
      },
    });
  });
  const socket = client(context, port);
  let count = 0;
  let last = Buffer.alloc(0);
  socket.pause();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok((connectionSeen?.unsentBytes ?? 0) > 0, 'nothing drains while nobody reads');
  socket.on('data', (chunk: Buffer) => {
    count += chunk.length;
    last = Buffer.concat([last, chunk]).subarray(-3);
    if (count === size + 3) whole.open();
  });
  socket.resume();
  await Promise.all([drained.opened, whole.opened]);
  assert.deepEqual([...last], [2, 3, 4]);
});

void test('network: a paused connection reads nothing until it is resumed', async (context) => {
  let seen = 0;
  const got = gate();
  const accepted = gate();
  let connectionSeen: Connection | undefined;
  const port = await listen(context, (connection) => {
    connectionSeen = connection;
    connection.pause();
    accepted.open();
    return quiet({
      onData: (_, end) => {
        seen += end;
        got.open();
      },
    });
  });
  const socket = client(context, port);
  await new Promise<void>((resolve) => socket.write('hello', () => resolve()));
  await accepted.opened;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(seen, 0);
  connectionSeen?.resume();
  await got.opened;
  assert.equal(seen, 5);
});

void test('network: destroy inside the callbacks, a reset by the peer, a write after the end', async (context) => {
  let closes = 0;
  const allClosed = gate();
  const port = await listen(context, (connection) => {
    const isFirst = closes === 0;
    if (isFirst) connection.destroy();
    return quiet({
      onData: () => connection.destroy(),
      onClose: () => {
        assert.equal(connection.write(Buffer.from('too late')), true, 'bytes for nobody are dropped');
        if (++closes === 2) allClosed.open();
      },
    });
  });
  const first = client(context, port);
  await new Promise((resolve) => first.once('close', resolve));
  const second = client(context, port);
  await new Promise<void>((resolve) => second.once('connect', () => resolve()));
  second.resetAndDestroy();
  await allClosed.opened;
});

void test('network: end sends what is unsent before it closes', async (context) => {
  const size = 8 * 1024 * 1024;
  const port = await listen(context, (connection) => {
    connection.write(Buffer.alloc(size, 5));
    connection.end();
    return quiet({});
  });
  let count = 0;
  const socket = client(context, port);
  socket.on('data', (chunk: Buffer) => (count += chunk.length));
  await new Promise((resolve) => socket.once('close', resolve));
  assert.equal(count, size);
});

void test('network: what cannot be bound or reached is said plainly', async (context) => {
  const { network } = newEnv();
  const taken = createServer().listen(0, '127.0.0.1');
  context.after(() => taken.close());
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as AddressInfo;
  await assert.rejects(
    network.listen({ host: '127.0.0.1', port, backlog: 1, onConnection: silentConnection }),
    /in use/,
  );
  await assert.rejects(
    network.listen({ host: '192.0.2.1', port: 0, backlog: 1, onConnection: silentConnection }),
    /not an address/,
  );
  const failed = gate();
  network.connect({
    host: '127.0.0.1',
    port: 1,
    onOpen: () => assert.fail('nobody listens there'),
    onFail: (error) => {
      assert.match(error.message, /ECONNREFUSED/);
      failed.open();
    },
  });
  await failed.opened;
});

void test('network: a closed listener frees its port at once and leaves open connections open', async (context) => {
  const { network } = newEnv();
  const echoed = gate();
  const listener = await network.listen({
    host: '127.0.0.1',
    port: 0,
    backlog: 4,
    onConnection: (connection) => quiet({ onData: (bytes, end) => void connection.write(bytes.slice(0, end)) }),
  });
  const socket = client(context, listener.port);
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  socket.once('data', echoed.open);
  socket.write('1');
  await echoed.opened;
  await listener.close();
  const again = await network.listen({
    host: '127.0.0.1',
    port: listener.port,
    backlog: 4,
    onConnection: () => quiet({}),
  });
  await again.close();
  const more = gate();
  socket.once('data', more.open);
  socket.write('2');
  await more.opened;
});
