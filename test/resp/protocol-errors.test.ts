/**
 * What a client sees for any bytes it sends, compared with the real redis-server: replies, error texts, closing. Ours
 * is the front door on real sockets with three commands behind it. `KVORUM_FUZZ_RUNS` sets the number of random streams.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import fc from 'fast-check';

import type { Args } from '../../src/commands/args.ts';
import { ErrorReply, PONG, type Reply } from '../../src/commands/reply.ts';
import { createNodeEnv } from '../../src/env-node.ts';
import type { Listener } from '../../src/env.ts';
import { doubleText } from '../../src/commands/double-text.ts';
import { defaultSessionLimits } from '../../src/resp/limits.ts';
import { RespServer } from '../../src/resp/server.ts';
import { RawClient } from '../support/raw-client.ts';
import { redisServerVersion, startRedis } from '../support/redis-process.ts';
import type { ServerProcess } from '../support/server-process.ts';

const version = redisServerVersion();
/** Other versions have other texts; without any there is nothing to compare with. */
const skip = version?.startsWith('7.0.') === true ? false : `needs redis-server 7.0, found ${version ?? 'none'}`;

let redis: ServerProcess;
let ours: RespServer<object>;
let listener: Listener;

/** The words of redis-server for a command it does not know: it shows 128 bytes of name and words. */
function unknownCommand(args: Args): ErrorReply {
  const shown = (i: number, length: number): string => (args.text(i).split('\0')[0] as string).slice(0, length);
  let words = '';
  for (let i = 1; i < args.count && words.length < 128; i++) words += `'${shown(i, 128 - words.length)}' `;
  return new ErrorReply(`ERR unknown command '${shown(0, 128)}', with args beginning with: ${words}`);
}

function execute(_client: object, args: Args): Reply {
  const name = args.upper(0);
  if (name === 'PING' && args.count < 3) return args.count === 1 ? PONG : args.at(1);
  if (name === 'ECHO' && args.count === 2) return args.at(1);
  if (name === 'PING' || name === 'ECHO')
    return new ErrorReply(`ERR wrong number of arguments for '${name.toLowerCase()}' command`);
  return unknownCommand(args);
}

before(async () => {
  if (skip !== false) return;
  redis = await startRedis();
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  ours = new RespServer<object>({
    env: createNodeEnv({ log }),
    limits: defaultSessionLimits(),
    release: { beforeReplies() {}, durableSequence: () => 0, onDurable: () => () => {} },
    port: {
      open(connection) {
        connection.authenticated = true;
        return {};
      },
      execute,
      expect() {},
      sequenceToAwait: () => 0,
      closed() {},
    },
  });
  listener = await ours.listen({ host: '127.0.0.1', port: 0, backlog: 64 });
});

after(async () => {
  if (skip !== false) return;
  await ours.close(100);
  await redis.stop();
});

/** All that a server says to `stream`; that it then closes by itself is seen where `end` is not called. */
async function answer(port: number, stream: Buffer, closes = false): Promise<string> {
  const client = await RawClient.connect({ port });
  client.send(stream);
  if (!closes) client.end();
  return (await client.readToEnd()).toString('latin1');
}

async function compare(stream: Buffer): Promise<string> {
  const expected = await answer(redis.port, stream);
  const actual = await answer(listener.port, stream, expected.includes('Protocol error'));
  assert.equal(actual, expected, `after ${JSON.stringify(stream.toString('latin1').slice(0, 300))}`);
  return actual;
}

const PING = '*1\r\n$4\r\nPING\r\n';

test('written streams are answered as by redis-server', { skip }, async () => {
  const headers = ['*', '*x', '*+1', '*01', '*-0', '* 1', '*1 ', '*2147483648', '*99999999999999999999', '*-1', '*0'];
  const lengths = ['x', '+1', '01', '-0', '-1', ' 1', '', '536870913', '99999999999999999999', '9223372036854775808'];
  const firsts = ['x', '', '\n', '\0', '\xff', '%1', '*1', ':1', '+', '"'];
  const lines = ['"a', "'a", '"a"b', "'a'b", '"a\\"', "'a\\'", '"\\x4', '"', 'PING "', 'a\0b', '\0'];
  const goodLines = [
    'PING',
    ' PING\t',
    'ping "a b"',
    "ECHO 'a\\'b\\n'",
    'ECHO "\\x41\\xzz\\n\\q"',
    'ECHO a"b c"',
    'ECHO ""',
    '\vPING',
  ];
  const streams = [
    ...headers.map((it) => `${it}\r\n`),
    ...lengths.map((it) => `*1\r\n$${it}\r\n`),
    ...firsts.map((it) => `*1\r\n${it}\r\n`),
    ...lines.map((it) => `${it}\r\n`),
    ...goodLines.map((it) => `${it}\n`),
    '*1\rX$4\rXPINGxx',
    '*1\r\n$4\r\nPING',
    '*1\r\n$0\r\n\r\n',
    '\r\n\r\n',
    'PING\r\r\n',
    'PING',
    '*1\r',
  ];
  let errors = 0;
  for (const stream of streams) {
    const bytes = await compare(Buffer.from(`${PING}${stream}${PING}`, 'latin1'));
    assert.ok(bytes.startsWith('+PONG\r\n'));
    if (bytes.includes('Protocol error')) errors++;
  }
  // Without a line end behind them: with one, redis-server's answer depends on where its reads end.
  const long = ['x'.repeat(65_536), 'x'.repeat(65_537), `*${'1'.repeat(65_536)}`, `*1\r\n$${'1'.repeat(65_536)}`];
  for (const stream of long) if ((await compare(Buffer.from(stream))).includes('Protocol error')) errors++;
  assert.ok(errors > 30, `${errors} streams were refused`);
});

test('random streams are answered as by redis-server', { skip }, async () => {
  const token = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('*', '$', '\r\n', '\r\n', '\r\n', '\r', '\n', '\0', '"', "'", '\\', ' ') },
    {
      weight: 2,
      arbitrary: fc.constantFrom('-1', '0', '1', '2', '3', '11', '9999999999', 'a', 'ECHO', '%', '\\x4'),
    },
    { weight: 2, arbitrary: fc.constantFrom(PING, 'PING\r\n', '*2\r\n', '$3\r\nabc\r\n', 'ECHO "a b"\r\n') },
  );
  let errors = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(token, { minLength: 1, maxLength: 25 }), async (tokens) => {
      const bytes = await compare(Buffer.from(tokens.join(''), 'latin1'));
      if (bytes.includes('Protocol error')) errors++;
    }),
    { numRuns: Number(process.env['KVORUM_FUZZ_RUNS'] ?? 300) },
  );
  assert.ok(errors > 20, `${errors} streams were refused`);
});

test('doubles are printed as redis-server prints them', { skip }, async () => {
  const client = await RawClient.connect({ port: redis.port });
  await fc.assert(
    fc.asyncProperty(fc.double({ noNaN: true }), async (value) => {
      await client.call('ZADD', 'z', value === Infinity ? 'inf' : value === -Infinity ? '-inf' : String(value), 'm');
      // The listpack of a sorted set forgets the sign of zero.
      if (value !== 0) assert.equal(await client.call('ZSCORE', 'z', 'm'), doubleText(value));
    }),
    { numRuns: 1000 },
  );
  await client.close();
});

test('a client that has not authenticated is limited as by redis-server', { skip }, async () => {
  const admin = await RawClient.connect({ port: redis.port });
  await admin.call('CONFIG', 'SET', 'requirepass', 'secret');
  const texts: [string, string][] = [
    ['*11\r\n', '-ERR Protocol error: unauthenticated multibulk length\r\n'],
    ['*1\r\n$16385\r\n', '-ERR Protocol error: unauthenticated bulk length\r\n'],
    ['*2147483648\r\n', '-ERR Protocol error: invalid multibulk length\r\n'],
    ['*1\r\n$99999999999\r\n', '-ERR Protocol error: invalid bulk length\r\n'],
  ];
  // request-parser.test.ts expects the same texts of ours.
  for (const [stream, text] of texts)
    assert.equal(await answer(redis.port, Buffer.from(stream), true), text, JSON.stringify(stream));
  await admin.call('CONFIG', 'SET', 'requirepass', '');
  await admin.close();
});
