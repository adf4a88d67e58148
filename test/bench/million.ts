/**
 * Collections of a million elements on one node: what a step costs, and for how long the longest turn of the event loop was
 * held meanwhile (turn-probe.ts).
 */

import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

import { commandLine } from '../support/command-line.ts';
import { encodeCommand, RawClient, type Word } from '../support/raw-client.ts';
import { RespError } from '../support/resp-decoder.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';
import { cpuUs } from './process-cpu.ts';
import { fixed, machine, markdownTable, median } from './statistics.ts';
import { TURNS_SEEN, type TurnsSeen } from './turn-probe.ts';

const HELP = `npm run bench -- million [options]
  --elements N     elements of a collection (default 1000000)
  --only LIST      parts, as queue,rank,hash,whole,changes (default all)
`;

/** Elements of one command that fills a collection, and commands sent together. */
const AT_ONCE = 50;
const PIPELINE = 20;

const QUEUE_PIPELINE = 200;

/** Steps of a queue whose cost is told apart. */
const QUEUE_STEP = 100_000;

const PROBE = fileURLToPath(new URL('turn-probe.js', import.meta.url));

type Commands = Iterable<readonly Word[]>;

class Bench {
  readonly elements: number;
  readonly lines: string[][] = [];
  private readonly server: ServerProcess;
  private readonly client: RawClient;

  constructor(server: ServerProcess, client: RawClient, elements: number) {
    this.server = server;
    this.client = client;
    this.elements = elements;
  }

  /** Runs commands, `together` of them in flight; returns the processor time of the server for one of `of` operations, in µs. */
  async step(name: string, commands: Commands, of = 1, together = PIPELINE): Promise<number> {
    return this.measured(name, of, async () => {
      await this.send(commands, together);
      return name;
    });
  }

  /** As `step`, of one command whose reply may have millions of parts: they are counted, not kept. */
  async long(words: readonly Word[], name = words.join(' ')): Promise<void> {
    await this.measured(name, 1, async () => `${name} → ${await drained(this.server.port, words)}`);
  }

  /** DUMP of a key and RESTORE of it under another name, which is deleted again. */
  async restore(key: string): Promise<void> {
    const client = await RawClient.connect({ port: this.server.port, bulk: 'buffer' });
    const payload = (await client.call('DUMP', key)) as Uint8Array;
    await client.close();
    await this.long(['RESTORE', `${key}:again`, 0, payload], `RESTORE of ${key}`);
    await this.send([['DEL', `${key}:again`]]);
  }

  private async measured(name: string, of: number, work: () => Promise<string>): Promise<number> {
    await this.turns();
    const started = performance.now();
    const usedBefore = cpuUs(this.server.pid);
    const told = await work();
    const ms = performance.now() - started;
    const each = (cpuUs(this.server.pid) - usedBefore) / of;
    const { turns, longestMs, long } = await this.turns();
    this.lines.push([told, fixed(ms, 1), of === 1 ? '' : fixed(each, 2), fixed(longestMs, 1), `${long} of ${turns}`]);
    console.error(this.lines.at(-1)?.join('  '));
    return each;
  }

  /** Without being measured. */
  async send(commands: Commands, together = PIPELINE): Promise<void> {
    let waiting: (readonly Word[])[] = [];
    const flush = async (): Promise<void> => {
      this.client.send(Buffer.concat(waiting.map(encodeCommand)));
      for (const words of waiting) {
        const reply = await this.client.reply();
        if (reply instanceof RespError) throw new Error(`${String(words[0])}: ${reply.message}`);
      }
      waiting = [];
    };
    for (const words of commands) if (waiting.push(words) === together) await flush();
    if (waiting.length > 0) await flush();
  }

  call(...words: readonly Word[]): ReturnType<RawClient['call']> {
    return this.client.call(...words);
  }

  /** What the probe has seen since it was asked last. */
  private async turns(): Promise<TurnsSeen> {
    const count = (): number => this.server.output.split(TURNS_SEEN).length;
    const before = count();
    this.server.signal('SIGUSR2');
    while (count() === before) await new Promise((resolve) => setTimeout(resolve, 2));
    const line = this.server.output.slice(this.server.output.lastIndexOf(TURNS_SEEN) + TURNS_SEEN.length);
    return JSON.parse(line.slice(0, line.indexOf('\n'))) as TurnsSeen;
  }
}

/** Runs a command on a connection of its own until its reply, an array of bulk strings at most, has come; tells its first line. */
function drained(port: number, words: readonly Word[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let first: string | undefined;
    let head = '';
    let bytesLeft = 0;
    let linesLeft = 0;
    const isDone = (chunk: Buffer): boolean => {
      let at = 0;
      if (first === undefined) {
        head += chunk.toString('latin1');
        const end = head.indexOf('\r\n');
        if (end < 0) return false;
        first = head.slice(0, end);
        at = chunk.length - (head.length - end - 2);
        if (first.startsWith('*')) linesLeft = 2 * Number(first.slice(1));
        if (first.startsWith('$') && first !== '$-1') bytesLeft = Number(first.slice(1)) + 2;
      }
      bytesLeft -= chunk.length - at;
      for (; linesLeft > 0 && at < chunk.length; at++) if (chunk[at] === 10) linesLeft--;
      return bytesLeft <= 0 && linesLeft === 0;
    };
    socket.on('error', reject);
    socket.on('data', (chunk: Buffer) => {
      if (!isDone(chunk)) return;
      socket.destroy();
      if (first?.startsWith('-') === true) reject(new Error(first));
      else resolve(first ?? '');
    });
    socket.write(encodeCommand(words));
  });
}

function* filling(command: string, key: string, elements: number, words: (number: number) => Word[]): Commands {
  for (let from = 0; from < elements; from += AT_ONCE) {
    const count = Math.min(AT_ONCE, elements - from);
    yield [command, key, ...Array.from({ length: count }, (_, i) => words(from + i)).flat()];
  }
}

function* repeated(words: readonly Word[], times: number): Commands {
  for (let i = 0; i < times; i++) yield words;
}

function member(number: number): string {
  return `element:${String(number).padStart(12, '0')}`;
}

async function queue(bench: Bench): Promise<void> {
  for (const words of [
    ['RPUSH', 'queue', 'job'],
    ['LPOP', 'queue'],
  ]) {
    const costs: number[] = [];
    for (let from = 0; from < bench.elements; from += QUEUE_STEP) {
      const count = Math.min(QUEUE_STEP, bench.elements - from);
      costs.push(await bench.step(`${words.join(' ')}, from ${from}`, repeated(words, count), count, QUEUE_PIPELINE));
    }
    console.log(`${words[0]}: CPU µs each, of each ${QUEUE_STEP}: ${costs.map((cost) => fixed(cost, 2)).join(' ')}`);
  }
}

async function rank(bench: Bench): Promise<void> {
  const { elements } = bench;
  const fill = filling('ZADD', 'board', elements, (number) => [(number * 7919) % elements, member(number)]);
  await bench.step('ZADD', fill, elements);
  await bench.step('ZRANK, the first', [['ZRANK', 'board', member(elements >> 1)]]);
  const times: number[] = [];
  for (let i = 0; i < 1000; i++) {
    const started = performance.now();
    await bench.call('ZRANK', 'board', member((i * 7919) % elements));
    times.push(performance.now() - started);
  }
  console.log(`ZRANK: median ${fixed(median(times), 2)} ms with the way there and back`);
  await bench.step('ZRANK, 10,000', repeated(['ZRANK', 'board', member(elements >> 1)], 10_000), 10_000);
  await bench.step('DEL board', [['DEL', 'board']]);
}

async function hash(bench: Bench): Promise<void> {
  const { elements } = bench;
  await bench.step(
    'HSET',
    filling('HSET', 'hash', elements, (number) => [member(number), 'value']),
    elements,
  );
  await bench.step('HLEN', [['HLEN', 'hash']]);
  const started = performance.now();
  let cursor = '0';
  let seen = 0;
  do {
    const [next, items] = (await bench.call('HSCAN', 'hash', cursor, 'COUNT', 1000)) as [string, string[]];
    seen += items.length / 2;
    cursor = next;
  } while (cursor !== '0');
  console.log(`HSCAN COUNT 1000: ${seen} fields in ${fixed(performance.now() - started, 0)} ms`);
  await bench.long(['HGETALL', 'hash']);
  await bench.step('DEL hash', [['DEL', 'hash']]);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await bench.step('after DEL: collecting, 2 s', [['PING']]);
}

/** Fills a list, a hash, two sets and two sorted sets that share half of their members. */
async function fillAll(bench: Bench): Promise<void> {
  const { elements } = bench;
  const half = elements >> 1;
  for (const key of ['z1', 'z2']) {
    const shift = key === 'z1' ? 0 : half;
    await bench.send(filling('ZADD', key, elements, (number) => [number, member(number + shift)]));
    await bench.send(filling('SADD', `s${key}`, elements, (number) => [member(number + shift)]));
  }
  await bench.send(filling('RPUSH', 'list', elements, (number) => [number]));
  await bench.send(filling('HSET', 'h', elements, (number) => [member(number), number]));
}

/** Reads of whole collections. */
async function whole(bench: Bench): Promise<void> {
  await fillAll(bench);
  for (const line of [
    ['LPOS', 'list', bench.elements - 1],
    ['SORT', 'list', 'LIMIT', 0, 10],
    ['ZUNION', 2, 'z1', 'z2'],
    ['ZINTER', 2, 'z1', 'z2'],
    ['ZDIFF', 2, 'z1', 'z2'],
    ['ZINTERCARD', 2, 'z1', 'z2'],
    ['SINTER', 'sz1', 'sz2'],
    ['SDIFF', 'sz1', 'sz2'],
    ['DUMP', 'list'],
    ['DUMP', 'h'],
    ['DUMP', 'z1'],
    ['DEL', 'list', 'z1', 'z2', 'sz1', 'sz2', 'h'],
  ]) {
    await bench.long(line);
  }
}

/** Changes of whole collections. */
async function changes(bench: Bench): Promise<void> {
  await fillAll(bench);
  const { elements } = bench;
  const half = elements >> 1;
  for (const line of [
    ['COPY', 'list', 'list2'],
    ['COPY', 'h', 'h2'],
    ['COPY', 'z1', 'z3'],
    ['COPY', 'sz1', 's3'],
    ['RENAME', 'list2', 'list3'],
    ['RENAME', 'h2', 'h3'],
    ['LREM', 'list', 0, half],
    ['LINSERT', 'list', 'BEFORE', half + 1, half],
    ['LTRIM', 'list3', 1000, -1000],
    ['SORT', 'list', 'STORE', 'sorted'],
    ['SORT', 'list', 'BY', 'nosort', 'GET', '#', 'STORE', 'sorted'],
    ['ZRANGESTORE', 'out', 'z1', 0, -1],
    ['ZUNIONSTORE', 'out', 2, 'z1', 'z2'],
    ['ZINTERSTORE', 'out', 2, 'z1', 'z2'],
    ['ZDIFFSTORE', 'out', 2, 'z1', 'z2'],
    ['SUNIONSTORE', 'out', 'sz1', 'sz2'],
    ['SINTERSTORE', 'out', 'sz1', 'sz2'],
    ['SDIFFSTORE', 'out', 'sz1', 'sz2'],
    ['GEOSEARCHSTORE', 'out', 'z1', 'FROMLONLAT', 0, 0, 'BYBOX', 40_000, 40_000, 'km'],
    ['SPOP', 's3', half],
    ['ZREMRANGEBYRANK', 'z3', 0, half],
    ['ZREMRANGEBYSCORE', 'z3', half, half + (half >> 1)],
    ['ZPOPMAX', 'z3', half >> 2],
    ['UNLINK', 'sorted', 'out'],
    ['DEL', 'z2', 'sz2', 'z3', 's3'],
  ]) {
    await bench.long(line);
  }
  for (const key of ['list', 'h', 'z1', 'sz1']) {
    await bench.restore(key);
    await bench.long(['DEL', key]);
  }
  for (const [command, words] of [
    ['RPUSH list', (number: number) => [number]],
    ['SADD set', (number: number) => [member(number)]],
    ['SREM set', (number: number) => [member(2 * number)]],
    ['HSET hash', (number: number) => [member(number), number]],
    ['HDEL hash', (number: number) => [member(2 * number)]],
    ['ZADD sorted', (number: number) => [number, member(number)]],
    ['ZREM sorted', (number: number) => [member(2 * number)]],
    ['MSET', (number: number) => [member(number), number]],
    ['DEL', (number: number) => [member(number)]],
  ] as [string, (number: number) => Word[]][]) {
    const all = Array.from({ length: elements }, (_, number) => words(number)).flat();
    await bench.long([...command.split(' '), ...all], `${command} of ${elements} in one command`);
  }
  await bench.send(streamOf(elements));
  await bench.long(['COPY', 'stream', 'stream2']);
  await bench.long(['XTRIM', 'stream', 'MAXLEN', half]);
  await bench.long(['DEL', 'stream', 'stream2', 'list', 'set', 'hash', 'sorted']);
}

function* streamOf(elements: number): Commands {
  for (let i = 0; i < elements; i++) yield ['XADD', 'stream', '*', 'field', i];
}

const PARTS = { queue, rank, hash, whole, changes };

export async function run(words: readonly string[]): Promise<void> {
  const { values } = commandLine(HELP, {
    args: words,
    options: {
      elements: { type: 'string', default: '1000000' },
      only: { type: 'string', default: '' },
    },
  });
  console.log(`${await machine()}; ${values.elements} elements\n`);
  const chosen = values.only.split(',').filter((part) => part !== '');
  const server = await startKvorum({ nodeFlags: ['--import', PROBE] });
  try {
    const client = await RawClient.connect({ port: server.port });
    const bench = new Bench(server, client, Number(values.elements));
    for (const [name, part] of Object.entries(PARTS)) {
      if (chosen.length === 0 || chosen.includes(name)) await part(bench);
    }
    await client.close();
    console.log(`\n${markdownTable(['step', 'ms', 'CPU µs each', 'longest turn ms', 'over 10 ms'], bench.lines)}`);
    console.log(
      '\nTurns: processor time of the main thread between two ticks of a timer that is due each millisecond.',
    );
  } finally {
    await server.stop();
  }
}
