import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import fc from 'fast-check';

import { LINE_MAX_BYTES } from '../../src/resp/limits.ts';
import { feedParser } from '../support/feed-parser.ts';
import { encodeCommand } from '../support/raw-client.ts';

type ReplyParser = { execute(bytes: Buffer): void };
type ReplyParserOptions = {
  returnReply(reply: unknown): void;
  returnError(error: Error): void;
  returnBuffers: boolean;
};

/** It parses replies; a request is a reply that is an array of bulk strings. */
const RedisParser = createRequire(import.meta.url)('redis-parser') as new (options: ReplyParserOptions) => ReplyParser;

function commandsByOracle(stream: Buffer): string[][] {
  const commands: string[][] = [];
  const oracle = new RedisParser({
    returnBuffers: true,
    returnReply: (reply) => commands.push((reply as Buffer[]).map((word) => word.toString('latin1'))),
    returnError: (error) => assert.fail(error),
  });
  oracle.execute(stream);
  return commands;
}

const word = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 2, arbitrary: fc.constantFrom('GET', 'set', '\r\n', '*1\r\n$1\r\n', '$', '').map((it) => Buffer.from(it)) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 90_000 }).map((length) => Buffer.alloc(length, 'v')) },
);
const commands = fc.array(fc.array(word, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 12 });
/** Small pieces cut inside headers, large ones inside words. */
const pieceSizes = fc.oneof(
  fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }),
  fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 10 }),
);

test('any split of any stream of commands gives what redis-parser gives', () => {
  fc.assert(
    fc.property(commands, pieceSizes, (argvs, sizes) => {
      const stream = Buffer.concat(argvs.map((argv) => encodeCommand(argv)));
      const { commands, error, parser } = feedParser(stream, sizes);
      assert.equal(error, '');
      assert.deepEqual(commands, commandsByOracle(stream));
      assert.equal(commands.length, argvs.length);
      assert.equal(parser.heldBytes, 0);
      assert.equal(parser.freeBytes, 0, 'a buffer is kept though nothing waits');
    }),
    { numRuns: 300 },
  );
});

/** Input, commands, error. Expectations were read off redis-server 7.0.15 (protocol-errors.test.ts compares again). */
const streams: readonly [string, string[][], string?][] = [
  ['PING\r\n', [['PING']]],
  ['PING\n', [['PING']]],
  ['\r\n\n  \r\nPING\r\n', [['PING']]],
  ['PING\r\r\n', [['PING']]],
  ['  set  a\tb \r\n', [['set', 'a', 'b']]],
  ['a\vb\r\n', [['a\vb']]],
  ['\v\fa\r\n', [['a']]],
  ['x ""\r\n', [['x', '']]],
  ['x "a b" \'c d\'\r\n', [['x', 'a b', 'c d']]],
  ['x a"b c"\r\n', [['x', 'ab c']]],
  ['x "\\x41\\xfF\\n\\r\\t\\b\\a\\q\\""\r\n', [['x', 'A\xff\n\r\t\b\x07q"']]],
  ['x "\\xzz\\x4"\r\n', [['x', 'xzzx4']]],
  ["x 'a\\'b\\n'\r\n", [['x', "a'b\\n"]]],
  ['x "a"\vb\r\n', [['x', 'a', 'b']]],
  ['x "a\r\n', [], 'unbalanced quotes in request'],
  ["x 'a\r\n", [], 'unbalanced quotes in request'],
  ['x "a\\"\r\n', [], 'unbalanced quotes in request'],
  ['x "a"b\r\n', [], 'unbalanced quotes in request'],
  ["x 'a'b\r\n", [], 'unbalanced quotes in request'],
  ['PING\r', []],
  ['P\0ING\r\nPING\r\n', []],
  ['*1\r\n$4\r\nPING\r\nPING\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n', [['PING'], ['PING'], ['a', '']]],
  ['*0\r\n*-1\r\n*-77\r\nPING\r\n', [['PING']]],
  ['*1\r\n$4\rXPINGzzPING\r\n', [['PING'], ['PING']]],
  ['*1\rX$4\r\nPING\r\n', [['PING']]],
  ['*1\rXX\r\n', [], "expected '$', got 'X'"],
  ['*\r\n', [], 'invalid multibulk length'],
  ['*abc\r\n', [], 'invalid multibulk length'],
  ['*+1\r\n', [], 'invalid multibulk length'],
  ['*01\r\n', [], 'invalid multibulk length'],
  ['*-0\r\n', [], 'invalid multibulk length'],
  ['* 1\r\n', [], 'invalid multibulk length'],
  ['*1 \r\n', [], 'invalid multibulk length'],
  ['*2147483648\r\n', [], 'invalid multibulk length'],
  ['*2147483647\r\n', []],
  ['*99999999999999999999\r\n', [], 'invalid multibulk length'],
  ['*-99999999999999999999\r\n', [], 'invalid multibulk length'],
  ['*1\r\nfoo\r\n', [], "expected '$', got 'f'"],
  ['*1\r\n\r\nfoo', [], "expected '$', got ' '"],
  ['*1\r\n\n\r\n', [], "expected '$', got ' '"],
  ['*1\r\n\xff\r\n', [], "expected '$', got '\xff'"],
  ['*1\r\n%0\r\n', [], "expected '$', got '%'"],
  ['*1\r\n\0\r\n', []],
  ['*1\r\n\x002\r\n', []],
  ['*1\r\n\x00999999999\r\n', []],
  ['*1\r\nx2\r\n', [], "expected '$', got 'x'"],
  ['*1\r\n$abc\r\n', [], 'invalid bulk length'],
  ['*1\r\n$\r\n', [], 'invalid bulk length'],
  ['*1\r\n$-1\r\n', [], 'invalid bulk length'],
  ['*1\r\n$01\r\n', [], 'invalid bulk length'],
  ['*1\r\n$536870913\r\n', [], 'invalid bulk length'],
  ['*1\r\n$536870912\r\n', []],
  ['*2\r\n$4\r\nPING\r\n$4\r\nPIN', []],
  ['*a\r', []],
  ['PING\r\n*1\r\nx\r\nPING\r\n', [['PING']], "expected '$', got 'x'"],
];

test('written expectations hold for every split into two, and byte by byte', () => {
  for (const [text, commands, error = ''] of streams) {
    const stream = Buffer.from(text, 'latin1');
    const splits = [[1], [stream.length]];
    for (let first = 1; first < stream.length; first++) splits.push([first, stream.length - first]);
    for (const sizes of splits) {
      const result = feedParser(stream, sizes);
      assert.deepEqual(
        [result.commands, result.error],
        [commands, error],
        `${JSON.stringify(text)} in ${sizes.join()}`,
      );
    }
  }
});

test('a line of more than 64 KiB is refused, wherever reads end', () => {
  const long = 'x'.repeat(LINE_MAX_BYTES + 1);
  const cases: [string, string][] = [
    [long, 'too big inline request'],
    [`${long}\r\n`, 'too big inline request'],
    [`*${'1'.repeat(LINE_MAX_BYTES)}`, 'too big mbulk count string'],
    [`*${'1'.repeat(LINE_MAX_BYTES)}\r\n`, 'too big mbulk count string'],
    [`*1\r\n$${'1'.repeat(LINE_MAX_BYTES)}`, 'too big bulk count string'],
    [`*1\r\n${long}\r\n`, 'too big bulk count string'],
    [`a\0${long}`, 'too big inline request'],
  ];
  for (const [text, error] of cases)
    for (const sizes of [[1], [1000], [text.length], [LINE_MAX_BYTES, 3]])
      assert.equal(feedParser(Buffer.from(text), sizes).error, error, `${text.slice(0, 8)} in ${sizes.join()}`);
  const longest = 'x'.repeat(LINE_MAX_BYTES - 1);
  for (const sizes of [[1], [4096], [longest.length + 2]])
    assert.deepEqual(feedParser(Buffer.from(`${longest}\r\n`), sizes).commands, [[longest]]);
});

test('a client that has not authenticated may send ten words of 16 KiB', () => {
  const options = { authenticated: false };
  const wide = encodeCommand(Array.from({ length: 10 }, () => 'w'));
  const long = encodeCommand(['AUTH', Buffer.alloc(16 * 1024, 'p')]);
  for (const sizes of [[1], [100_000]]) {
    assert.equal(feedParser(Buffer.concat([wide, long]), sizes, options).commands.length, 2);
    assert.equal(feedParser(Buffer.from('*11\r\n'), sizes, options).error, 'unauthenticated multibulk length');
    assert.equal(feedParser(Buffer.from('*1\r\n$16385\r\n'), sizes, options).error, 'unauthenticated bulk length');
  }
});

test('proto-max-bulk-len is asked at each length', () => {
  const stream = Buffer.from('*1\r\n$1001\r\n');
  assert.equal(feedParser(stream, [1], { protoMaxBulkBytes: 1000 }).error, 'invalid bulk length');
  assert.equal(feedParser(stream, [1], { protoMaxBulkBytes: 1001 }).error, '');
});

test('memory follows the bytes that came, not the length that was announced', () => {
  const stream = Buffer.concat([Buffer.from('*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n'), Buffer.alloc(3_000_000)]);
  let pieces = 0;
  const { error } = feedParser(stream, [16_384], {
    afterPiece(parser, fedBytes) {
      pieces++;
      const memory = parser.heldBytes + parser.freeBytes;
      assert.ok(parser.heldBytes <= fedBytes);
      assert.ok(memory <= 2 * fedBytes + 1024, `${memory} bytes of memory after ${fedBytes}`);
    },
  });
  assert.equal(error, '');
  assert.ok(pieces > 100);
});

test('a word of 8 MiB in small pieces is collected without looking at it again', () => {
  const word = Buffer.alloc(8 * 1024 * 1024, 'z');
  const { commands } = feedParser(encodeCommand(['SET', 'k', word, 'x']), [1500]);
  assert.equal(commands.length, 1);
  assert.equal(commands[0]?.[2]?.length, word.length);
  assert.equal(commands[0]?.[3], 'x');
});
