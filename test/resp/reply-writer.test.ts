import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import fc from 'fast-check';

import {
  BigNumberReply,
  BooleanReply,
  DoubleReply,
  ErrorReply,
  MapReply,
  NO_REPLY,
  NULL_ARRAY,
  NullArray,
  OK,
  PushReply,
  SetReply,
  SimpleString,
  VerbatimReply,
  type Reply,
} from '../../src/commands/reply.ts';
import { BufferPool } from '../../src/resp/buffer-pool.ts';
import { doubleText } from '../../src/commands/double-text.ts';
import { CHUNK_MAX_BYTES, OWN_CHUNK_BULK_BYTES } from '../../src/resp/limits.ts';
import { Output } from '../../src/resp/output.ts';
import { writeReply, type Protocol } from '../../src/resp/reply-writer.ts';
import * as decoder from '../support/resp-decoder.ts';

interface ParserOptions {
  returnReply(reply: unknown): void;
  returnError(error: Error): void;
  returnBuffers: boolean;
  stringNumbers: boolean;
}
const RedisParser = createRequire(import.meta.url)('redis-parser') as new (options: ParserOptions) => {
  execute(bytes: Buffer): void;
};

function written(replies: readonly Reply[], protocol: Protocol): Buffer {
  const output = new Output(new BufferPool());
  for (const reply of replies) writeReply(output, reply, protocol);
  output.seal();
  const chunks: Buffer[] = [];
  for (let chunk = output.first(); chunk !== undefined; chunk = output.first()) {
    chunks.push(Buffer.from(chunk.buffer.subarray(0, chunk.length)));
    output.shift(true);
  }
  assert.ok(output.isEmpty);
  return Buffer.concat(chunks);
}

function text(reply: Reply, protocol: Protocol): string {
  return written([reply], protocol).toString('latin1');
}

test('each kind of reply in RESP2 and RESP3, byte by byte', () => {
  const cases: [Reply, string, string?][] = [
    [OK, '+OK\r\n'],
    [new SimpleString('OK'), '+OK\r\n'],
    [new ErrorReply('ERR a\r\nb'), '-ERR a  b\r\n'],
    [0, ':0\r\n'],
    [-0, ':0\r\n'],
    [-1, ':-1\r\n'],
    [1234567890, ':1234567890\r\n'],
    [2147483648, ':2147483648\r\n'],
    [Number.MAX_SAFE_INTEGER, ':9007199254740991\r\n'],
    [Number.MIN_SAFE_INTEGER, ':-9007199254740991\r\n'],
    [9223372036854775807n, ':9223372036854775807\r\n'],
    [-9223372036854775808n, ':-9223372036854775808\r\n'],
    [Buffer.from('a\r\nb'), '$4\r\na\r\nb\r\n'],
    [new Uint8Array(0), '$0\r\n\r\n'],
    ['é', '$2\r\n\xc3\xa9\r\n'],
    [null, '$-1\r\n', '_\r\n'],
    [NULL_ARRAY, '*-1\r\n', '_\r\n'],
    [[], '*0\r\n'],
    [[1, ['a', null]], '*2\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n', '*2\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n'],
    [new DoubleReply(3.14), '$18\r\n3.1400000000000001\r\n', ',3.1400000000000001\r\n'],
    [new DoubleReply(-Infinity), '$4\r\n-inf\r\n', ',-inf\r\n'],
    [new BooleanReply(true), ':1\r\n', '#t\r\n'],
    [new BooleanReply(false), ':0\r\n', '#f\r\n'],
    [new MapReply([['k', 1]]), '*2\r\n$1\r\nk\r\n:1\r\n', '%1\r\n$1\r\nk\r\n:1\r\n'],
    [new SetReply(['a', 'b']), '*2\r\n$1\r\na\r\n$1\r\nb\r\n', '~2\r\n$1\r\na\r\n$1\r\nb\r\n'],
    [new PushReply(['x', 1]), '*2\r\n$1\r\nx\r\n:1\r\n', '>2\r\n$1\r\nx\r\n:1\r\n'],
    [new VerbatimReply('txt', 'hé'), '$3\r\nh\xc3\xa9\r\n', '=7\r\ntxt:h\xc3\xa9\r\n'],
    [new BigNumberReply('123456789012345678901'), '$21\r\n123456789012345678901\r\n', '(123456789012345678901\r\n'],
    [NO_REPLY, ''],
  ];
  for (const [reply, resp2, resp3 = resp2] of cases) {
    assert.equal(text(reply, 2), resp2);
    assert.equal(text(reply, 3), resp3);
  }
});

test('doubles are printed as C prints %.17g', () => {
  // The right column is printf's.
  const cases: [number, string][] = [
    [0, '0'],
    [-0, '-0'],
    [3, '3'],
    [0.1, '0.10000000000000001'],
    [0.0001, '0.0001'],
    [0.00012345, '0.00012344999999999999'],
    [1e-5, '1.0000000000000001e-05'],
    [1e15, '1000000000000000'],
    [1e16, '10000000000000000'],
    [1e17, '1e+17'],
    [1.2345678901234568e17, '1.2345678901234568e+17'],
    [1e300, '1.0000000000000001e+300'],
    [5e-324, '4.9406564584124654e-324'],
    [-1.5, '-1.5'],
    [100.25, '100.25'],
    // Exact halves in the 18th digit: C takes the even neighbour.
    [562949953421312.125, '562949953421312.12'],
    [562949953421312.375, '562949953421312.38'],
    [Infinity, 'inf'],
    [-Infinity, '-inf'],
    [NaN, 'nan'],
  ];
  for (const [value, expected] of cases) assert.equal(doubleText(value), expected);
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      assert.ok(Object.is(Number(doubleText(value)), value));
    }),
    { numRuns: 2000 },
  );
});

const bytes = fc.oneof(
  { weight: 20, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 100_000 }).map((length) => new Uint8Array(length).fill(7)) },
);
const message = fc.constantFrom('ERR x', 'WRONGTYPE Operation', 'NOQUORUM é');
const leaf = fc.oneof(
  bytes,
  fc.string({ unit: 'binary', maxLength: 50 }),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constant(null),
  fc.constantFrom('OK', 'PONG', '').map((it) => new SimpleString(it)),
  message.map((it) => new ErrorReply(it)),
  fc.constant(NULL_ARRAY),
  fc.double().map((it) => new DoubleReply(it)),
  fc.boolean().map((it) => new BooleanReply(it)),
  fc.string({ unit: 'grapheme', maxLength: 30 }).map((it) => new VerbatimReply('txt', it)),
  fc.bigInt().map((it) => new BigNumberReply(String(it))),
);
const { tree } = fc.letrec<{ tree: Reply }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('tree'), { maxLength: 12 }),
    fc.array(tie('tree'), { maxLength: 6 }).map((it) => new SetReply(it)),
    fc.array(fc.tuple(tie('tree'), tie('tree')), { maxLength: 6 }).map((it) => new MapReply(it)),
  ),
}));

/** Errors go out a byte a character; both decoders read them as UTF-8. */
function errorText(reply: ErrorReply): string {
  return Buffer.from(reply.message, 'latin1').toString('utf8');
}

/** What a reader of RESP3 must see. */
function seenInResp3(reply: Reply): decoder.RespValue {
  if (reply === null || reply instanceof NullArray) return null;
  if (typeof reply === 'string') return Buffer.from(reply);
  if (reply instanceof Uint8Array) return Buffer.from(reply);
  if (typeof reply === 'number') return reply === 0 ? 0 : reply;
  if (typeof reply === 'bigint') return Number.isSafeInteger(Number(reply)) ? Number(reply) : reply;
  if (reply instanceof SimpleString) return new decoder.RespSimple(reply.text);
  if (reply instanceof ErrorReply) return new decoder.RespError(errorText(reply));
  if (reply instanceof DoubleReply) return new decoder.RespDouble(doubleText(reply.value));
  if (reply instanceof BooleanReply) return reply.value;
  if (reply instanceof VerbatimReply) return new decoder.RespVerbatim(reply.format, reply.text);
  if (reply instanceof BigNumberReply) return BigInt(reply.digits);
  if (reply instanceof SetReply) return new decoder.RespSet(reply.members.map(seenInResp3));
  if (reply instanceof MapReply)
    return new decoder.RespMap(reply.entries.map(([key, value]) => [seenInResp3(key), seenInResp3(value)]));
  assert.ok(Array.isArray(reply));
  return (reply as readonly Reply[]).map(seenInResp3);
}

/** What redis-parser gives for RESP2: no types but arrays, buffers, integers (as text, all 64 bits of them), errors, null. */
function seenInResp2(reply: Reply): unknown {
  if (reply instanceof MapReply) return reply.entries.flatMap(([key, value]) => [seenInResp2(key), seenInResp2(value)]);
  if (reply instanceof SetReply) return reply.members.map(seenInResp2);
  if (Array.isArray(reply)) return (reply as readonly Reply[]).map(seenInResp2);
  if (reply instanceof DoubleReply) return Buffer.from(doubleText(reply.value));
  if (reply instanceof BooleanReply) return reply.value ? '1' : '0';
  if (reply instanceof VerbatimReply) return Buffer.from(reply.text);
  if (reply instanceof BigNumberReply) return Buffer.from(reply.digits);
  if (reply instanceof SimpleString) return Buffer.from(reply.text);
  if (reply instanceof ErrorReply) return errorText(reply);
  if (typeof reply === 'bigint' || typeof reply === 'number') return String(reply);
  return seenInResp3(reply);
}

function withErrorMessages(value: unknown): unknown {
  if (value instanceof Error) return value.message;
  return Array.isArray(value) ? value.map(withErrorMessages) : value;
}

test('what is written in RESP3 is what a decoder reads', () => {
  fc.assert(
    fc.property(fc.array(tree, { minLength: 1, maxLength: 5 }), (replies) => {
      const stream = written(replies, 3);
      let at = 0;
      for (const reply of replies) {
        const decoded = decoder.decodeReply(stream, at, 'buffer');
        assert.ok(!(decoded instanceof decoder.Incomplete));
        assert.deepEqual(decoded.value, seenInResp3(reply));
        at = decoded.end;
      }
      assert.equal(at, stream.length);
    }),
    { numRuns: 500 },
  );
});

test('what is written in RESP2 is what redis-parser reads', () => {
  fc.assert(
    fc.property(fc.array(tree, { minLength: 1, maxLength: 5 }), (replies) => {
      const seen: unknown[] = [];
      const parser = new RedisParser({
        returnBuffers: true,
        stringNumbers: true,
        returnReply: (reply) => seen.push(withErrorMessages(reply)),
        returnError: (error) => seen.push(error.message),
      });
      parser.execute(written(replies, 2));
      assert.deepEqual(seen, replies.map(seenInResp2));
    }),
    { numRuns: 500 },
  );
});

test('a long reply is a row of chunks, and a long bulk string a chunk of its own size', () => {
  const output = new Output(new BufferPool());
  writeReply(
    output,
    Array.from({ length: 50_000 }, (_, i) => i),
    2,
  );
  const long = new Uint8Array(OWN_CHUNK_BULK_BYTES).fill(1);
  writeReply(output, long, 2);
  long.fill(2);
  const sizes: number[] = [];
  let last = Buffer.alloc(0);
  for (let chunk = output.first(); chunk !== undefined; chunk = output.first()) {
    assert.ok(chunk.buffer.length <= CHUNK_MAX_BYTES);
    sizes.push(chunk.length);
    last = Buffer.from(chunk.buffer.subarray(0, chunk.length));
    output.shift(true);
  }
  assert.ok(sizes.length > 5);
  assert.equal(last.length, OWN_CHUNK_BULK_BYTES + 2);
  assert.equal(last[0], 1, "the reply's memory is its owner's, who may change it after the turn");
});
