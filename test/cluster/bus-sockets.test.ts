/** The bus over real sockets and between real processes. Waits for what must happen; nothing depends on how fast. */

import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { must } from '../../src/assert.ts';
import type { BusOutcome, Outgoing } from '../../src/cluster/bus-core.ts';
import { busMethod } from '../../src/cluster/bus-method.ts';
import { Bus } from '../../src/cluster/bus.ts';
import { MAX_FRAME_BYTES, priority } from '../../src/cluster/frame.ts';
import { createNodeEnv } from '../../src/env-node.ts';
import type { TlsIdentity } from '../../src/env.ts';
import { stranger, trusted } from '../support/tls-identity.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
/** Longer than any pause of a machine under load. */
const PATIENCE_MS = 120_000;

async function newBus(
  context: TestContext,
  name: string,
  options: { secret?: string; tls?: TlsIdentity } = {},
): Promise<Bus> {
  const bus = new Bus({
    env: createNodeEnv({ log: quiet }),
    identity: name,
    address: `${name}.example:1`,
    secret: options.secret ?? 'sockets',
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    clusterId: () => 'sockets',
    beforeFlush: () => undefined,
  });
  bus.onRequest(busMethod.OWNER, ({ message }, answer) => answer(message.payload.slice()));
  await bus.listen({ host: '127.0.0.1', port: 0 });
  context.after(() => bus.close());
  return bus;
}

function outgoing(payload: Uint8Array): Outgoing {
  const deadlineMs = performance.now() + PATIENCE_MS;
  return { method: busMethod.OWNER, priority: priority.CLIENT, deadlineMs, epoch: 1, payload };
}

/** The answer's bytes, or what became of the request. */
function ask(bus: Bus, to: string, payload: Uint8Array): Promise<Buffer | BusOutcome['kind']> {
  return new Promise((resolve) => {
    bus.request(to, outgoing(payload), (outcome) => {
      resolve(outcome.kind === 'answered' ? Buffer.from(outcome.message.payload.slice()) : outcome.kind);
    });
  });
}

/** Until the bus says that this node is healthy, or is not. */
function health(bus: Bus, name: string, healthy: boolean): Promise<void> {
  if (bus.isHealthy(name) === healthy) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = bus.onHealth((other, is) => {
      if (other !== name || is !== healthy) return;
      stop();
      resolve();
    });
  });
}

async function startChild(
  context: TestContext,
  name: string,
  port = 0,
): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(fileURLToPath(new URL('./bus-node.js', import.meta.url)), [name, String(port)]);
  context.after(() => child.kill('SIGKILL'));
  const told = await new Promise<number>((resolve) => {
    child.once('message', (message) => resolve(Number(message)));
  });
  return { child, port: told };
}

function introduce(a: { bus: Bus; name: string }, b: { bus: Bus; name: string }): void {
  a.bus.know(b.name, `127.0.0.1:${b.bus.port}`);
  b.bus.know(a.name, `127.0.0.1:${a.bus.port}`);
}

void test(
  'requests of all sizes, many at once, both ways, over one connection',
  { timeout: PATIENCE_MS },
  async (context) => {
    const [a, b] = [await newBus(context, 'a'), await newBus(context, 'b')];
    introduce({ bus: a, name: 'a' }, { bus: b, name: 'b' });
    await Promise.all([health(a, 'b', true), health(b, 'a', true)]);
    const sizes = [0, 1, 150, 4_096, 65_536, 300_000, 3_000_000];
    const payloads = sizes.map((size, index) => new Uint8Array(size).fill(index + 1));
    for (let round = 0; round < 3; round++) {
      const asked = payloads.flatMap((payload) => [ask(a, 'b', payload), ask(b, 'a', payload)]);
      for (const [index, said] of (await Promise.all(asked)).entries()) {
        assert.ok(
          Buffer.isBuffer(said) && said.equals(must(payloads[index >> 1], 'a payload')),
          `${index} of ${round}`,
        );
      }
    }
    const small = await Promise.all(Array.from({ length: 5_000 }, (_, i) => ask(a, 'b', Buffer.from(`${i}`))));
    assert.deepEqual(
      small.map(String),
      Array.from({ length: 5_000 }, (_, i) => `${i}`),
    );
    assert.equal(a.metrics()['peers_connected'], 1);
    assert.equal(a.metrics()['frames_damaged'], 0);
    assert.equal(await ask(a, 'b', new Uint8Array(MAX_FRAME_BYTES / 2)), 'unsent', 'larger than any message may be');
  },
);

void test('a wrong secret over real sockets', { timeout: PATIENCE_MS }, async (context) => {
  const [a, b] = [await newBus(context, 'a'), await newBus(context, 'b', { secret: 'other' })];
  const outcome = await new Promise<string>((resolve) => {
    a.requestAt(`127.0.0.1:${b.port}`, outgoing(new Uint8Array(1)), ({ kind }, from) => resolve(`${kind} ${from}`));
  });
  assert.equal(outcome, 'unsent undefined');
  assert.equal(b.metrics()['handshakes_failed'], 1);
});

void test(
  'mutual TLS: requests of all sizes; no other certificate gets in, nor anything in the clear',
  { timeout: PATIENCE_MS },
  async (context) => {
    const [a, b] = [await newBus(context, 'a', { tls: trusted }), await newBus(context, 'b', { tls: trusted })];
    introduce({ bus: a, name: 'a' }, { bus: b, name: 'b' });
    await Promise.all([health(a, 'b', true), health(b, 'a', true)]);
    for (const size of [0, 150, 70_000, 3_000_000]) {
      const payload = new Uint8Array(size).fill(size);
      const said = await Promise.all([ask(a, 'b', payload), ask(a, 'b', payload), ask(b, 'a', payload)]);
      assert.ok(
        said.every((each) => Buffer.isBuffer(each) && each.equals(payload)),
        `${size} bytes`,
      );
    }
    const strangers = [await newBus(context, 'c', { tls: stranger }), await newBus(context, 'd')];
    for (const each of strangers) {
      const outcome = await new Promise<string>((resolve) => {
        each.requestAt(`127.0.0.1:${a.port}`, outgoing(new Uint8Array(1)), ({ kind }) => resolve(kind));
      });
      assert.equal(outcome, 'unsent');
    }
    assert.equal(a.metrics()['peers'], 1);
  },
);

void test('noise at the port closes that connection only', { timeout: PATIENCE_MS }, async (context) => {
  const bus = await newBus(context, 'a');
  const socket = connect(bus.port, '127.0.0.1');
  let came = 0;
  socket.on('data', (chunk: Buffer) => {
    came += chunk.length;
  });
  socket.write('GET / HTTP/1.1\r\n\r\n');
  await new Promise((resolve) => socket.once('close', resolve));
  assert.equal(came, 0);
  assert.equal(bus.metrics()['frames_damaged'], 1);
});

void test('a process that is killed, and its successor at the same port', { timeout: PATIENCE_MS }, async (context) => {
  const bus = await newBus(context, 'a');
  const first = await startChild(context, 'child');
  bus.know('child', `127.0.0.1:${first.port}`);
  await health(bus, 'child', true);
  assert.equal(String(await ask(bus, 'child', Buffer.from('one'))), 'one');
  first.child.kill('SIGKILL');
  await health(bus, 'child', false);
  assert.equal(await ask(bus, 'child', Buffer.from('two')), 'unsent');
  await startChild(context, 'child', first.port);
  await health(bus, 'child', true);
  assert.equal(String(await ask(bus, 'child', Buffer.from('three'))), 'three');
  assert.ok(bus.rttMs('child') < PATIENCE_MS);
});

void test('a process that is stopped, and goes on', { timeout: PATIENCE_MS }, async (context) => {
  const bus = await newBus(context, 'a');
  const { child, port } = await startChild(context, 'child');
  bus.know('child', `127.0.0.1:${port}`);
  await health(bus, 'child', true);
  const start = performance.now();
  child.kill('SIGSTOP');
  const slow = ask(bus, 'child', Buffer.from('slow'));
  await health(bus, 'child', false);
  context.diagnostic(`unhealthy ${Math.round(performance.now() - start)} ms after SIGSTOP`);
  child.kill('SIGCONT');
  await health(bus, 'child', true);
  assert.equal(String(await slow), 'slow');
});
