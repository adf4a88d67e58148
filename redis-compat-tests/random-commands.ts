/**
 * Random commands against redis-server and Kvorum with every reply compared: what nobody thought of writing a case for.
 * Drawn from a seed; a difference prints the commands since the last flush that touched its keys.
 *
 *     node dist/redis-compat-tests/random-commands.js [--seed N] [--commands 200000] [--self] [--nodes 3]
 */

import { fileURLToPath } from 'node:url';

import { SeededRandom } from '../test/crash/seeded-random.ts';
import { commandLine } from '../test/support/command-line.ts';
import type { Comparison } from './harness/case-file.ts';
import { alike, aspect } from './harness/compare.ts';
import { TestConnection } from './harness/connection.ts';
import { startServers } from './harness/servers.ts';
import type { Tree } from './harness/tree.ts';
import { drawList, drawPlaces, drawSortedSet } from './random-ordered.ts';
import { drawHash, drawSet, UNORDERED_REPLIES } from './random-collections.ts';
import { drawBits, drawSketch, drawSort, drawStream } from './random-streams.ts';

export interface RandomCommand {
  readonly words: readonly string[];
  readonly comparison: Comparison;
}

const EXACT: Comparison = { how: 'exact' };
const NUMBERS = ['0', '1', '-1', '2', '3', '10', '-10', '100', '1000', '007', '+5', '', ' 1', '1.5', 'abc', '1e3'];
const LARGE = ['9223372036854775807', '-9223372036854775808', '9223372036854775808', '9007199254740993', '536870912'];
const FLOATS = ['0.1', '-0.5', '3.0e3', '1e-5', '123456.789', '0.30000000000000004', '1e17', 'inf', 'nan', '5'];
/** Refused, or in the past; nothing that ends within the run. */
const BAD_EXPIRIES = ['0', '-1', '-100', '007', '+5', '', ' 1', '1.5', 'abc', '9223372036854775808'];
const FUTURES = ['100', '1000', '5000', '100000'];
const PATTERNS = ['*', 'k*', 'k?', 'k[0-3]', 'k[^0-3]', '\\k0', '[', 'k[', '*1', '??', 'K*', '{a}*', ''];

/** Draws commands whose replies do not depend on the moment. */
export class CommandSource {
  private readonly random: SeededRandom;
  private readonly nowMs: number;
  private readonly swaps: boolean;
  private watching = false;

  /** `swaps`: SWAPDB is among them, which a cluster refuses. */
  constructor(random: SeededRandom, nowMs: number, swaps = true) {
    this.random = random;
    this.nowMs = nowMs;
    this.swaps = swaps;
  }

  next(): RandomCommand {
    const words = this.draw();
    if (words[0] === 'WATCH') this.watching = true;
    if (words[0] === 'EXEC' || words[0] === 'UNWATCH' || words[0] === 'DISCARD') this.watching = false;
    // A watched key that comes and goes between two SWAPDB is the one thing WATCH does not see here.
    if (words[0] === 'SWAPDB' && (this.watching || !this.swaps)) words.splice(0, 3, 'PING');
    // Now and then a word too many or too few, or other letters.
    const odd = this.random.next();
    if (odd < 0.01 && words.length > 1 && words[0] !== 'SPOP') words.pop();
    // ZRANK takes WITHSCORE in newer versions, and so refuses other words in other terms, or later.
    else if (odd < 0.02 && words[0] !== 'ZRANK' && words[0] !== 'ZREVRANK')
      words.push(this.random.pick(['GET', 'x', '10', '']));
    else if (odd < 0.05) words[0] = (words[0] as string).toLowerCase();
    return { words, comparison: comparisonOf(words) };
  }

  private key(): string {
    const draw = this.random.below(12);
    if (draw === 10) return '{a}' + this.random.below(3);
    if (draw === 11) return this.random.pick(['', '\0', 'k\0x', 'none']);
    return `k${this.random.below(8)}`;
  }

  private keys(): string[] {
    return Array.from({ length: 1 + this.random.below(4) }, () => this.key());
  }

  private value(): string {
    const draw = this.random.below(10);
    if (draw < 3) return String(this.random.below(300) - 150);
    if (draw < 4) return this.random.pick(LARGE);
    if (draw < 5) return this.random.pick(FLOATS);
    if (draw < 6) return this.random.pick(NUMBERS);
    if (draw < 7) return 'x'.repeat(this.random.below(3000));
    return this.random.pick(['hello', 'hello world', 'a\r\nb', '\0\x7f', 'ohmytext', 'mynewtext', '']);
  }

  private number(): string {
    return this.random.next() < 0.15 ? this.random.pick(LARGE) : this.random.pick(NUMBERS);
  }

  /** Deadlines lie far from now on both sides. */
  private expiry(kind: string): string {
    if (this.random.next() < 0.15) return this.random.pick(BAD_EXPIRIES);
    const seconds = Number(this.random.pick(FUTURES));
    if (kind === 'EXAT') return String(Math.floor(this.nowMs / 1000) + seconds);
    if (kind === 'PXAT') return String(this.nowMs + seconds * 1000);
    return kind === 'PX' ? String(seconds * 1000) : String(seconds);
  }

  private setOptions(choices: readonly string[]): string[] {
    const words: string[] = [];
    while (this.random.next() < 0.45) {
      const option = this.random.pick(choices);
      words.push(option);
      if (['EX', 'PX', 'EXAT', 'PXAT'].includes(option)) words.push(this.expiry(option));
    }
    return words;
  }

  private draw(): string[] {
    const key = this.key();
    const pick = this.random.below(136);
    if (pick >= 122) return drawSortedSet(this.random, key);
    if (pick >= 110) return drawList(this.random, key);
    if (pick >= 106) return drawPlaces(this.random);
    if (pick >= 96) return drawSet(this.random, key);
    if (pick >= 86) return drawHash(this.random, key);
    if (pick >= 66) return drawStream(this.random, key);
    if (pick >= 62) return drawBits(this.random, key, this.keys());
    if (pick >= 60) return drawSketch(this.random);
    if (pick >= 58) return drawSort(this.random, key);
    if (pick < 8)
      return ['SET', key, this.value(), ...this.setOptions(['EX', 'PX', 'EXAT', 'PXAT', 'NX', 'XX', 'GET', 'KEEPTTL'])];
    if (pick < 11) return ['GET', key];
    if (pick < 20) return this.stringRead(key);
    if (pick < 34) return this.stringWrite(key);
    if (pick < 46) return this.expiryCommand(key);
    return this.keyCommand(key);
  }

  private stringRead(key: string): string[] {
    return this.random.pick([
      () => ['STRLEN', key],
      () => ['GETRANGE', key, this.number(), this.number()],
      () => ['SUBSTR', key, this.number(), this.number()],
      () => ['MGET', ...this.keys()],
      () => [
        'LCS',
        key,
        this.key(),
        ...this.random.pick([[], ['LEN'], ['IDX'], ['IDX', 'WITHMATCHLEN'], ['IDX', 'MINMATCHLEN', this.number()]]),
      ],
      () => ['GETEX', key, ...this.setOptions(['EX', 'PX', 'EXAT', 'PXAT', 'PERSIST'])],
      () => ['TYPE', key],
    ])();
  }

  private stringWrite(key: string): string[] {
    return this.random.pick([
      () => ['SETNX', key, this.value()],
      () => ['SETEX', key, this.expiry('EX'), this.value()],
      () => ['PSETEX', key, this.expiry('PX'), this.value()],
      () => ['GETSET', key, this.value()],
      () => ['GETDEL', key],
      () => ['APPEND', key, this.value()],
      () => ['SETRANGE', key, this.random.next() < 0.8 ? String(this.random.below(3000)) : this.number(), this.value()],
      () => ['INCR', key],
      () => ['DECR', key],
      () => ['INCRBY', key, this.number()],
      () => ['DECRBY', key, this.number()],
      () => ['INCRBYFLOAT', key, this.random.pick([...FLOATS, ...NUMBERS])],
      () => ['MSET', ...this.keys().flatMap((one) => [one, this.value()])],
      () => ['MSETNX', ...this.keys().flatMap((one) => [one, this.value()])],
    ])();
  }

  private expiryCommand(key: string): string[] {
    const name = this.random.pick(['EXPIRE', 'PEXPIRE', 'EXPIREAT', 'PEXPIREAT']);
    const kind = { EXPIRE: 'EX', PEXPIRE: 'PX', EXPIREAT: 'EXAT', PEXPIREAT: 'PXAT' }[name] as string;
    return this.random.pick([
      () => [name, key, this.expiry(kind)],
      () => [name, key, this.expiry(kind), ...this.keysOf(['NX', 'XX', 'GT', 'LT', 'BAD'])],
      () => ['TTL', key],
      () => ['PTTL', key],
      () => ['EXPIRETIME', key],
      () => ['PEXPIRETIME', key],
      () => ['PERSIST', key],
    ])();
  }

  private keysOf(choices: readonly string[]): string[] {
    return Array.from({ length: 1 + this.random.below(2) }, () => this.random.pick(choices));
  }

  private keyCommand(key: string): string[] {
    return this.random.pick([
      () => ['DEL', ...this.keys()],
      () => ['UNLINK', ...this.keys()],
      () => ['EXISTS', ...this.keys()],
      () => ['TOUCH', ...this.keys()],
      () => ['RENAME', key, this.key()],
      () => ['RENAMENX', key, this.key()],
      () => [
        'COPY',
        key,
        this.key(),
        ...this.random.pick([[], ['REPLACE'], ['DB', '1'], ['DB', '1', 'REPLACE'], ['DB', this.number()]]),
      ],
      () => ['MOVE', key, this.random.pick(['0', '1', '2', 'x'])],
      () => ['DBSIZE'],
      () => ['KEYS', this.random.pick(PATTERNS)],
      () => ['SELECT', this.random.pick(['0', '0', '1'])],
      () => this.random.pick([['FLUSHDB'], ['SWAPDB', '0', '1'], ['PING'], ['DBSIZE'], ['ECHO', this.value()]]),
      () => this.random.pick([['MULTI'], ['EXEC'], ['EXEC'], ['DISCARD'], ['WATCH', key], ['UNWATCH']]),
      () => ['RESTORE', key, '0', 'garbage'],
    ])();
  }
}

/** Remaining times are compared with room for the moments between the two servers. */
function comparisonOf(words: readonly string[]): Comparison {
  const name = (words[0] ?? '').toUpperCase();
  // Whether a deadline a hundred seconds off is beyond another one can hang on a millisecond.
  if (name.includes('EXPIRE') && (words.includes('GT') || words.includes('LT'))) return { how: 'type' };
  if ((name === 'HRANDFIELD' || name === 'SRANDMEMBER') && words.length === 2) return { how: 'type' };
  if (name === 'KEYS' || UNORDERED_REPLIES.has(name)) return { how: 'unordered' };
  if (name === 'HGETALL') return { how: 'pairs' };
  // They show for how long, or since when, something is pending.
  if (name === 'XPENDING' || name === 'XINFO') return { how: 'masked' };
  if (name === 'TTL' || name === 'EXPIRETIME') return { how: 'about', tolerance: 2 };
  if (name === 'PTTL' || name === 'PEXPIRETIME') return { how: 'about', tolerance: 2_000 };
  // The replies of a transaction may hold times; their kinds must agree.
  if (name === 'EXEC') return { how: 'shape' };
  return EXACT;
}

/** Commands that go out together: the pipeline is under test as well, and the run is quicker. */
const PIPELINE = 40;
const MAX_DIFFERENCES = 10;

export interface RandomComparison {
  readonly oracle: number;
  readonly subject: number;
  readonly seed: number;
  readonly count: number;
  readonly protocol: 2 | 3;
  readonly swaps?: boolean;
}

/** Sends the same commands to both ports and returns the first differences with what led to them. */
export async function compareRandomly(options: RandomComparison): Promise<string[]> {
  const source = new CommandSource(new SeededRandom(options.seed), Date.now(), options.swaps);
  const both = await Promise.all([TestConnection.open(options.oracle), TestConnection.open(options.subject)]);
  const sendBoth = (...words: readonly string[]): Promise<Tree[]> =>
    Promise.all(both.map((connection) => connection.send(...words)));
  const differences: string[] = [];
  const history: string[] = [];
  try {
    if (options.protocol === 3) await sendBoth('HELLO', '3');
    await sendBoth('FLUSHALL');
    for (let done = 0; done < options.count && differences.length < MAX_DIFFERENCES; done += PIPELINE) {
      const commands = Array.from({ length: PIPELINE }, () => source.next());
      const replies = await Promise.all(commands.map(({ words }) => sendBoth(...words)));
      for (const [i, { words, comparison }] of commands.entries()) {
        const [expected, got] = replies[i] as [Tree, Tree];
        history.push(asText(words));
        if (alike(expected, got, comparison)) continue;
        differences.push(describe(done + i, words, aspect(expected, comparison), aspect(got, comparison), history));
        // From here on the two would only drift further apart.
        await sendBoth('DISCARD');
        await sendBoth('FLUSHALL');
        break;
      }
    }
  } finally {
    for (const connection of both) connection.close();
  }
  return differences;
}

function asText(words: readonly string[]): string {
  return words.map((word) => JSON.stringify(word.slice(0, 100))).join(' ');
}

function describe(
  index: number,
  words: readonly string[],
  expected: string,
  got: string,
  history: readonly string[],
): string {
  const keys = words.slice(1).map((word) => JSON.stringify(word.slice(0, 100)));
  const inTransaction = words[0]?.toUpperCase() === 'EXEC';
  const related = history.filter(
    (line) => inTransaction || keys.some((key) => line.includes(key)) || line.includes('SELECT'),
  );
  return [
    `command ${index}: ${asText(words)}`,
    `    redis:  ${expected.slice(0, 300)}`,
    `    kvorum: ${got.slice(0, 300)}`,
    `    before: ${related.slice(inTransaction ? -60 : -6, -1).join(' ; ')}`,
  ].join('\n');
}

const HELP = `node dist/redis-compat-tests/random-commands.js [options]
  --seed N         draws the same commands again
  --commands N     default 200000
  --self           against a second redis-server
  --nodes N        against a cluster of N nodes (default 1)
`;

async function main(): Promise<void> {
  const { values } = commandLine(
    HELP,
    {
      options: {
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        commands: { type: 'string', default: '200000' },
        self: { type: 'boolean', default: false },
        nodes: { type: 'string', default: '1' },
      },
    },
    ['seed', 'commands', 'nodes'],
  );
  console.log(`seed ${values.seed}`);
  const servers = await startServers(values.self ? 'self' : Number(values.nodes));
  try {
    const differences: string[] = [];
    for (const protocol of [2, 3] as const)
      differences.push(
        ...(await compareRandomly({
          oracle: servers.ports.oracle,
          subject: servers.ports.subjects[0] as number,
          seed: Number(values.seed),
          count: Number(values.commands) / 2,
          protocol,
          swaps: values.nodes === '1',
        })),
      );
    for (const difference of differences) console.log(difference);
    console.log(`${values.commands} commands, ${differences.length} differences`);
    process.exitCode = differences.length === 0 ? 0 : 1;
  } finally {
    await servers.stop();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
