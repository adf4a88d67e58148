/**
 * A large load on one node: keys are written in random order while others are read and checked; then random reads over
 * the whole, a clean restart, and reads again. Prints throughput, the latency of single reads meanwhile, and resident
 * memory.
 */

import { connect, type Socket } from 'node:net';

import { commandLine } from '../support/command-line.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';
import { cpuUs, residentBytes } from './process-cpu.ts';
import { fixed, machine, markdownTable, rate } from './statistics.ts';

const HELP = `npm run bench -- load [options] [-- words for the server]
  --keys N         keys to write (default 1000000)
  --bytes N        size of a value (default 100)
  --seconds N      length of the phases that only read (default 10)
  --fsync POLICY   everysec, always or no (default everysec)
`;

/** Writers, and how many commands each keeps unanswered. */
const WRITERS = 4;
const BATCH = 200;
const MAX_BATCHES = 4;
const OK_REPLY_BYTES = 5;

/** Key number → its bytes: values differ everywhere, and the key's number is in front. */
class Values {
  private readonly noise: Buffer;
  readonly valueBytes: number;

  constructor(valueBytes: number) {
    this.valueBytes = valueBytes;
    this.noise = Buffer.alloc(1 << 16);
    let state = 12_345;
    for (let i = 0; i < this.noise.length; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      this.noise[i] = 33 + ((state >>> 16) % 90);
    }
  }

  key(number: number): string {
    return `key:${String(number).padStart(12, '0')}`;
  }

  value(number: number): string {
    const head = `${number}:`;
    const from = (number * 7_919) % (this.noise.length - this.valueBytes);
    return (head + this.noise.toString('latin1', from, from + this.valueBytes)).slice(0, this.valueBytes);
  }

  set(number: number): string {
    return `*3\r\n$3\r\nSET\r\n$16\r\n${this.key(number)}\r\n$${this.valueBytes}\r\n${this.value(number)}\r\n`;
  }

  get(number: number): string {
    return `*2\r\n$3\r\nGET\r\n$16\r\n${this.key(number)}\r\n`;
  }

  reply(number: number): string {
    return `$${this.valueBytes}\r\n${this.value(number)}\r\n`;
  }
}

/** A connection whose replies have a known length: no decoder is in the way. */
class FixedReplies {
  private readonly socket: Socket;
  private readonly chunks: Buffer[] = [];
  private arrived = 0;
  private wanted = 0;
  private settle: ((bytes: Buffer) => void) | undefined;
  private fail: ((error: Error) => void) | undefined;

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      this.arrived += chunk.length;
      this.answer();
    });
    this.socket.on('error', (error) => this.fail?.(error));
    this.socket.on('close', () => this.fail?.(new Error('the server closed the connection')));
  }

  send(request: string): void {
    this.socket.write(request, 'latin1');
  }

  /** The next `length` bytes. An error reply comes as it is. */
  receive(length: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.wanted = length;
      this.settle = resolve;
      this.fail = reject;
      this.answer();
    });
  }

  close(): void {
    this.fail = undefined;
    this.socket.destroy();
  }

  private answer(): void {
    const isError = this.chunks[0]?.[0] === 0x2d;
    if (this.settle === undefined || (this.arrived < this.wanted && !isError)) return;
    const all = Buffer.concat(this.chunks.splice(0));
    const taken = isError ? all : all.subarray(0, this.wanted);
    const rest = isError ? all.subarray(all.length) : all.subarray(this.wanted);
    if (rest.length > 0) this.chunks.push(rest);
    this.arrived = rest.length;
    const { settle } = this;
    this.settle = undefined;
    settle(taken);
  }
}

/** Shared by the workers of one phase. */
interface Progress {
  /** Keys in the order they are written: number i is at `place(i)`. */
  readonly place: (index: number) => number;
  next: number;
  readonly total: number;
  /** Keys written and acknowledged, in order, up to here. */
  acknowledged: number;
  reads: number;
  stopped: boolean;
}

async function writer(port: number, values: Values, progress: Progress): Promise<void> {
  const connection = new FixedReplies(port);
  const outstanding: { from: number; count: number }[] = [];
  const sendBatch = (): void => {
    const from = progress.next;
    const count = Math.min(BATCH, progress.total - from);
    if (count <= 0) return;
    progress.next += count;
    let request = '';
    for (let i = from; i < from + count; i++) request += values.set(progress.place(i));
    connection.send(request);
    outstanding.push({ from, count });
  };
  for (let i = 0; i < MAX_BATCHES; i++) sendBatch();
  for (let batch = outstanding.shift(); batch !== undefined; batch = outstanding.shift()) {
    const answer = (await connection.receive(batch.count * OK_REPLY_BYTES)).toString('latin1');
    if (answer !== '+OK\r\n'.repeat(batch.count)) throw new Error(`SET answered ${answer.slice(0, 200)}`);
    // The batches in flight behind the oldest are at most this far ahead.
    progress.acknowledged = Math.max(progress.acknowledged, batch.from - WRITERS * MAX_BATCHES * BATCH);
    sendBatch();
  }
  connection.close();
}

/** Reads random keys that are there, checks each, and notes how long it took in milliseconds. */
async function reader(port: number, values: Values, progress: Progress, pipeline: number): Promise<number[]> {
  const connection = new FixedReplies(port);
  const latencies: number[] = [];
  while (!progress.stopped) {
    if (progress.acknowledged < 1) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      continue;
    }
    const numbers = Array.from({ length: pipeline }, () =>
      progress.place(Math.floor(Math.random() * progress.acknowledged)),
    );
    const expected = numbers.map((number) => values.reply(number)).join('');
    const started = performance.now();
    connection.send(numbers.map((number) => values.get(number)).join(''));
    const answer = (await connection.receive(expected.length)).toString('latin1');
    latencies.push(performance.now() - started);
    if (answer !== expected) throw new Error(`wrong: ${answer.slice(0, 200)}; expected ${expected.slice(0, 200)}`);
    progress.reads += pipeline;
  }
  connection.close();
  return latencies;
}

interface Phase {
  readonly name: string;
  readonly writes: number;
  readonly reads: number;
  readonly seconds: number;
  readonly latencies: number[];
  readonly maxResidentBytes: number;
  readonly cpuUs: number;
}

async function phase(
  name: string,
  server: ServerProcess,
  progress: Progress,
  work: () => Promise<number[]>,
): Promise<Phase> {
  let maxResidentBytes = 0;
  const started = performance.now();
  const cpuBefore = cpuUs(server.pid);
  const writesBefore = progress.next;
  progress.reads = 0;
  progress.stopped = false;
  const watch = setInterval(() => {
    if (server.running) maxResidentBytes = Math.max(maxResidentBytes, residentBytes(server.pid));
  }, 250);
  const talk = setInterval(() => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    const memory = (residentBytes(server.pid) / 2 ** 20).toFixed(0);
    console.error(`${name} ${seconds} s: ${progress.next} written, ${progress.reads} read, ${memory} MiB resident`);
  }, 10_000);
  try {
    const latencies = await work();
    return {
      name,
      writes: progress.next - writesBefore,
      reads: progress.reads,
      seconds: (performance.now() - started) / 1000,
      latencies: latencies.sort((a, b) => a - b),
      maxResidentBytes: Math.max(maxResidentBytes, residentBytes(server.pid)),
      cpuUs: cpuUs(server.pid) - cpuBefore,
    };
  } finally {
    clearInterval(watch);
    clearInterval(talk);
  }
}

export async function run(words: readonly string[]): Promise<void> {
  const { values: options, positionals } = commandLine(HELP, {
    args: words,
    allowPositionals: true,
    options: {
      keys: { type: 'string', default: '1000000' },
      bytes: { type: 'string', default: '100' },
      seconds: { type: 'string', default: '10' },
      fsync: { type: 'string', default: 'everysec' },
    },
  });
  const total = Number(options.keys);
  const seconds = Number(options.seconds);
  const values = new Values(Number(options.bytes));
  const flags = ['--appendfsync', options.fsync, ...positionals];
  console.log(`${await machine()}\n${total} keys, ${options.bytes}-byte values, appendfsync ${options.fsync}`);
  let server = await startKvorum({ flags });
  const { port, directory } = server;
  const progress: Progress = {
    place: scattered(total),
    next: 0,
    total,
    acknowledged: 0,
    reads: 0,
    stopped: false,
  };
  const readAll = (): Promise<number[]> => readFor(seconds, port, values, progress);
  const phases: Phase[] = [];
  try {
    phases.push(await phase('write, read meanwhile', server, progress, () => writeAll(port, values, progress)));
    progress.acknowledged = total;
    phases.push(await phase('read', server, progress, readAll));
    server.disown();
    const stopping = performance.now();
    await server.stop();
    const stopMs = performance.now() - stopping;
    server = await startKvorum({ port, directory, flags, ownsDirectory: true });
    console.log(`clean stop ${stopMs.toFixed(0)} ms, start ${server.startMs.toFixed(0)} ms`);
    phases.push(await phase('read after a restart', server, progress, readAll));
  } finally {
    await server.stop();
  }
  console.log(`\n${report(phases)}`);
}

/** A permutation of 0 … total - 1 that looks random. */
function scattered(total: number): (index: number) => number {
  let step = Math.floor(total * 0.618) | 1;
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  while (divisor(step, total) !== 1) step += 2;
  return (index) => (index * step) % total;
}

async function writeAll(port: number, values: Values, progress: Progress): Promise<number[]> {
  const single = reader(port, values, progress, 1);
  const many = reader(port, values, progress, 20);
  try {
    await Promise.all(Array.from({ length: WRITERS }, () => writer(port, values, progress)));
  } finally {
    progress.stopped = true;
  }
  await many;
  return single;
}

async function readFor(seconds: number, port: number, values: Values, progress: Progress): Promise<number[]> {
  setTimeout(() => (progress.stopped = true), seconds * 1000);
  const single = reader(port, values, progress, 1);
  await Promise.all([reader(port, values, progress, 20), reader(port, values, progress, 20)]);
  return single;
}

function report(phases: readonly Phase[]): string {
  const header = ['phase', 'writes/s', 'reads/s', 'CPU µs/op', 'single read p50 ms', 'p99', 'max', 'resident MiB'];
  const rows = phases.map((one) => {
    const at = (share: number): string =>
      fixed(one.latencies[Math.min(one.latencies.length - 1, Math.floor(one.latencies.length * share))] ?? NaN, 2);
    return [
      one.name,
      one.writes === 0 ? '–' : rate(one.writes / one.seconds),
      rate(one.reads / one.seconds),
      fixed(one.cpuUs / (one.writes + one.reads), 1),
      at(0.5),
      at(0.99),
      at(1),
      (one.maxResidentBytes / 2 ** 20).toFixed(0),
    ];
  });
  return markdownTable(header, rows);
}
