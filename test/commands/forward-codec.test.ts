import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import { Args } from '../../src/commands/args.ts';
import {
  decodeForward,
  decodeForwardAnswer,
  encodeForward,
  encodeForwardAnswer,
  type ForwardedOutcome,
} from '../../src/commands/forward-codec.ts';
import {
  decodeTransaction,
  encodeTransaction,
  encodeTransactionReply,
  readTransactionReply,
} from '../../src/commands/forward-several.ts';
import {
  BigNumberReply,
  BooleanReply,
  DoubleReply,
  ErrorReply,
  MapReply,
  NO_REPLY,
  NULL_ARRAY,
  OK,
  type Reply,
  SetReply,
  SimpleString,
  VerbatimReply,
} from '../../src/commands/reply.ts';

const version = fc.record({ stamp: fc.maxSafeNat(), actor: fc.nat(0xffff_ffff) }, { noNullPrototype: true });
const word = fc.uint8Array({ maxLength: 80 });

const command = fc.record({ database: fc.nat(0xffff), words: fc.array(word, { minLength: 1, maxLength: 6 }) });
const request = fc.record({
  isResp3: fc.boolean(),
  isExec: fc.boolean(),
  leftMs: fc.nat(0xffff_ffff),
  row: fc.uint8Array({ minLength: 4, maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
  marks: fc.array(
    fc.record({ live: fc.boolean(), stamp: fc.maxSafeNat(), actor: fc.nat(0xffff_ffff) }, { noNullPrototype: true }),
    {
      maxLength: 3,
    },
  ),
  commands: fc.array(command, { minLength: 1, maxLength: 3 }),
});

function wordsOf(args: Args): string[] {
  return Array.from({ length: args.count }, (_, i) => args.text(i));
}

void test('a request comes back as it was', () => {
  fc.assert(
    fc.property(request, (given) => {
      const commands = (given.isExec ? given.commands : given.commands.slice(0, 1)).map(({ database, words }) => ({
        database,
        args: Args.of(...words),
      }));
      const read = decodeForward(encodeForward({ ...given, commands }));
      assert.equal(read.isResp3, given.isResp3);
      assert.equal(read.isExec, given.isExec);
      assert.equal(read.leftMs, given.leftMs);
      assert.equal(read.row, given.row);
      assert.deepEqual(read.marks, given.isExec ? given.marks : []);
      assert.deepEqual(
        read.commands.map((each) => [each.database, wordsOf(each.args)]),
        commands.map((each) => [each.database, wordsOf(each.args)]),
      );
    }),
  );
});

void test('a transaction on rows of one slot, and its reply, come back as they were', () => {
  const rows = fc.dictionary(
    fc.string({ maxLength: 20 }),
    request.map(({ marks }) => marks),
    { minKeys: 1, maxKeys: 4 },
  );
  fc.assert(
    fc.property(request, rows, version, fc.uint8Array({ maxLength: 90 }), (given, marked, at, noise) => {
      const { isResp3, leftMs } = given;
      const named = new Map(
        Object.entries(marked).map(([key, marks]) => [`\x01\x02\0${Buffer.from(key).toString('latin1')}\0`, marks]),
      );
      const commands = given.commands.map(({ database, words }) => ({ database, args: Args.of(...words) }));
      const bytes = encodeTransaction({ isResp3, leftMs, rows: named, commands });
      const read = decodeTransaction(bytes);
      assert.deepEqual([read.isResp3, read.leftMs, read.rows], [isResp3, leftMs, named]);
      assert.deepEqual(
        read.commands.map((each) => [each.database, wordsOf(each.args)]),
        commands.map((each) => [each.database, wordsOf(each.args)]),
      );
      assert.throws(() => decodeTransaction(bytes.subarray(0, -1)), DamagedError);
      const several = new Map([...named, ['\x03\x02\0key\0', []]]);
      const apart = encodeTransaction({ isResp3, leftMs, rows: several, commands });
      assert.throws(() => decodeTransaction(apart), DamagedError);
      try {
        decodeTransaction(Uint8Array.of(3, ...noise));
      } catch (thrown) {
        assert.ok(thrown instanceof DamagedError);
      }
      const written = new Map([...named.keys()].map((row) => [row, at]));
      const outcome = decodeForwardAnswer(encodeTransactionReply({ reply: [1, 'two'], written }));
      assert.ok(outcome.kind === 'done');
      assert.deepEqual(readTransactionReply(outcome.reply), { reply: [1, 'two'], written });
      for (const wrong of [[], [[1], 2], 'x', [['a', 1, 2], 3]]) {
        assert.throws(() => readTransactionReply(wrong), DamagedError);
      }
    }),
  );
});

const leaf: fc.Arbitrary<Reply> = fc.oneof(
  fc.constantFrom<Reply>(OK, null, NULL_ARRAY, NO_REPLY, new BooleanReply(true), new BooleanReply(false)),
  fc.maxSafeInteger(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.string(),
  fc.uint8Array({ maxLength: 40 }),
  fc.string().map((text) => new SimpleString(text)),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => new ErrorReply(Buffer.from(bytes).toString('latin1'))),
  fc.double({ noNaN: true }).map((value) => new DoubleReply(value)),
  fc.bigInt().map((value) => new BigNumberReply(value.toString())),
  fc.string().map((text) => new VerbatimReply('mkd', text)),
);

const reply: fc.Arbitrary<Reply> = fc.letrec<{ any: Reply }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('any'), { maxLength: 4 }),
    fc.array(tie('any'), { maxLength: 3 }).map((members) => new SetReply(members)),
    fc.array(fc.tuple(tie('any'), tie('any')), { maxLength: 3 }).map((entries) => new MapReply(entries)),
  ),
})).any;

void test('an outcome comes back as it was, every kind of reply in it', () => {
  fc.assert(
    fc.property(version, reply, (of, given) => {
      const outcome: ForwardedOutcome = { kind: 'done', version: of, reply: given };
      assert.deepEqual(decodeForwardAnswer(encodeForwardAnswer(outcome)), outcome);
    }),
  );
  for (const kind of ['no-quorum', 'uncertain', 'overloaded'] as const) {
    assert.deepEqual(decodeForwardAnswer(encodeForwardAnswer({ kind })), { kind });
  }
  assert.equal(encodeForwardAnswer(undefined)[0], 0);
});

void test('what is cut, longer or changed is damage or another message, never a crash', () => {
  const encoded = encodeForward({
    isResp3: false,
    isExec: true,
    leftMs: 5_000,
    row: '\u0001\u0002\u0000key\u0000',
    marks: [{ live: true, stamp: 7, actor: 9 }],
    commands: [{ database: 1, args: Args.of('set', 'key', 'value') }],
  });
  for (let end = 0; end < encoded.length; end++) {
    assert.throws(() => decodeForward(encoded.subarray(0, end)), DamagedError);
  }
  assert.throws(() => decodeForward(Buffer.concat([encoded, Buffer.from('x')])), DamagedError);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const decode of [decodeForward, decodeForwardAnswer]) {
        try {
          decode(bytes);
        } catch (thrown) {
          assert.ok(thrown instanceof DamagedError, String(thrown));
        }
      }
    }),
  );
});
