/**
 * What a request over the bus costs in processor time, on the side that asks and on the side that answers: two
 * processes on loopback, a number of requests a turn of the event loop, answers of the same size. With one request a
 * turn each is a frame of its own; nobody waits for an answer before the next turn, up to a window.
 *
 * `memory` is the same without sockets: both sides in this process, frames handed over in memory. It shows what the
 * code costs apart from the kernel.
 */

import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { busMethod } from '../../src/cluster/bus-method.ts';
import { Bus } from '../../src/cluster/bus.ts';
import { priority } from '../../src/cluster/frame.ts';
import { createNodeEnv } from '../../src/env-node.ts';
import type { Connection, ConnectionEvents, Env, Network } from '../../src/env.ts';
import { fixed, machine, markdownTable, rate } from './statistics.ts';
import { commandLine } from '../support/command-line.ts';

const HELP = `npm run bench -- bus [options]
  --seconds N      length of each row (default 4)
  --bytes N        payload of a request and of its answer (default 150)
  --turns A,B,…    requests a turn (default 1,10,50)
  --only KIND      loopback or memory (default both)
`;

/** Requests that wait for their answer at most. */
const WINDOW = 2_000;
const WARM_UP_MS = 1_000;
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

interface Row {
  readonly kind: string;
  readonly turn: number;
  readonly requests: number;
  readonly seconds: number;
  readonly askUs: number;
  readonly answerUs: number;
}

function newBus(env: Env | (Omit<Env, 'network'> & { network: Network }), name: string): Bus {
  return new Bus({
    env,
    identity: name.repeat(40),
    address: '127.0.0.1:1',
    secret: 'bench',
    clusterId: () => 'bench',
    beforeFlush: () => undefined,
  });
}

/** Connections whose bytes are handed over at the end of the turn, without a copy but into a shared read buffer. */
function memoryNetwork(): Network {
  const accept: { on?: (connection: Connection) => ConnectionEvents } = {};
  const readBuffer = Buffer.alloc(64 * 1024);
  const pair = (): [Connection, Connection, (a: ConnectionEvents, b: ConnectionEvents) => void] => {
    const ends: { a?: ConnectionEvents; b?: ConnectionEvents } = {};
    const end = (to: 'a' | 'b'): Connection => ({
      peer: to,
      local: to,
      unsentBytes: 0,
      write: (bytes) => {
        const copy = Buffer.from(bytes);
        setImmediate(() => {
          for (let at = 0; at < copy.length; at += readBuffer.length) {
            const count = copy.copy(readBuffer, 0, at, at + readBuffer.length);
            ends[to]?.onData(readBuffer, count);
          }
        });
        return true;
      },
      pause: () => {},
      resume: () => {},
      end: () => {},
      destroy: () => {},
    });
    return [end('b'), end('a'), (a, b) => Object.assign(ends, { a, b })];
  };
  return {
    listen: (options) => {
      accept.on = (connection) => options.onConnection(connection);
      return Promise.resolve({ port: 1, close: () => Promise.resolve() });
    },
    connect: (options) => {
      const [a, b, open] = pair();
      setImmediate(() => {
        const far = accept.on?.(b);
        if (far !== undefined) open(options.onOpen(a), far);
      });
    },
  };
}

/** Asks for a while; answers how many requests were answered and in which time. */
async function load(bus: Bus, to: string, options: { turn: number; bytes: number; ms: number }): Promise<number> {
  const payload = new Uint8Array(options.bytes).fill(120);
  const now = (): number => performance.now();
  let waiting = 0;
  let answered = 0;
  let lost = 0;
  const ended = (outcome: { readonly kind: string }): void => {
    waiting--;
    if (outcome.kind === 'answered') answered++;
    else lost++;
  };
  const end = now() + options.ms;
  for (let nowMs = now(); nowMs < end || waiting > 0; nowMs = now()) {
    const outgoing = {
      method: busMethod.OWNER,
      priority: priority.CLIENT,
      deadlineMs: nowMs + 5_000,
      epoch: 1,
      payload,
    };
    const count = nowMs < end ? Math.min(options.turn, WINDOW - waiting) : 0;
    waiting += count;
    for (let i = 0; i < count; i++) bus.request(to, outgoing, ended);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (lost > 0) throw new Error(`${lost} requests were lost`);
  return answered;
}

async function untilHealthy(bus: Bus, name: string): Promise<void> {
  while (!bus.isHealthy(name)) await new Promise((resolve) => setTimeout(resolve, 5));
}

interface Cpu {
  readonly user: number;
  readonly system: number;
}

function sum(cpu: Cpu): number {
  return cpu.user + cpu.system;
}

function childCpu(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('message', (message) => resolve(sum((message as { cpu: Cpu }).cpu)));
    child.send('cpu');
  });
}

async function loopback(turn: number, bytes: number, ms: number): Promise<Row> {
  const child = fork(fileURLToPath(new URL('./bus-child.js', import.meta.url)), [String(bytes)]);
  try {
    const port = await new Promise<number>((resolve) => {
      child.once('message', (message) => resolve((message as { port: number }).port));
    });
    const bus = newBus(createNodeEnv({ log: quiet }), 'a');
    const to = 'b'.repeat(40);
    bus.know(to, `127.0.0.1:${port}`);
    await untilHealthy(bus, to);
    await load(bus, to, { turn, bytes, ms: WARM_UP_MS });
    const before = [sum(process.cpuUsage()), await childCpu(child)] as const;
    const start = performance.now();
    const requests = await load(bus, to, { turn, bytes, ms });
    const seconds = (performance.now() - start) / 1_000;
    const after = [sum(process.cpuUsage()), await childCpu(child)] as const;
    await bus.close();
    const [askUs, answerUs] = [(after[0] - before[0]) / requests, (after[1] - before[1]) / requests];
    return { kind: 'loopback', turn, requests, seconds, askUs, answerUs };
  } finally {
    child.disconnect();
  }
}

async function memory(turn: number, bytes: number, ms: number): Promise<Row> {
  const env = { ...createNodeEnv({ log: quiet }), network: memoryNetwork() };
  const [a, b] = [newBus(env, 'a'), newBus(env, 'b')];
  const reply = new Uint8Array(bytes).fill(121);
  b.onRequest(busMethod.OWNER, (_arrival, answer) => answer(reply));
  await b.listen({ host: '127.0.0.1', port: 1 });
  const to = 'b'.repeat(40);
  a.know(to, '127.0.0.1:1');
  await untilHealthy(a, to);
  await load(a, to, { turn, bytes, ms: WARM_UP_MS });
  const before = sum(process.cpuUsage());
  const start = performance.now();
  const requests = await load(a, to, { turn, bytes, ms });
  const seconds = (performance.now() - start) / 1_000;
  const bothUs = (sum(process.cpuUsage()) - before) / requests;
  await Promise.all([a.close(), b.close()]);
  return { kind: 'memory', turn, requests, seconds, askUs: bothUs, answerUs: Number.NaN };
}

export async function run(words: readonly string[]): Promise<void> {
  const { values } = commandLine(HELP, {
    args: words,
    options: {
      seconds: { type: 'string', default: '4' },
      bytes: { type: 'string', default: '150' },
      turns: { type: 'string', default: '1,10,50' },
      only: { type: 'string', default: '' },
    },
  });
  const bytes = Number(values.bytes);
  const ms = Number(values.seconds) * 1_000;
  const rows: Row[] = [];
  for (const turn of values.turns.split(',').map(Number)) {
    if (values.only !== 'memory') rows.push(await loopback(turn, bytes, ms));
    if (values.only !== 'loopback') rows.push(await memory(turn, bytes, ms));
  }
  console.log(await machine());
  console.log(
    markdownTable(
      ['', 'requests a turn', 'requests/s', 'CPU asking, µs', 'CPU answering, µs', 'together, µs'],
      rows.map((row) => [
        row.kind,
        String(row.turn),
        rate(row.requests / row.seconds),
        Number.isNaN(row.answerUs) ? '' : fixed(row.askUs, 2),
        fixed(row.answerUs, 2),
        fixed(Number.isNaN(row.answerUs) ? row.askUs : row.askUs + row.answerUs, 2),
      ]),
    ),
  );
}
