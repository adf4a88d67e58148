/** Values of every type in the payloads of DUMP: there and back, as Redis wrote them, and damaged. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hashCommands } from '../../src/commands/hash.ts';
import { listCommands } from '../../src/commands/list.ts';
import { readIntset, readListpack, readZiplist, writeListpack } from '../../src/commands/rdb-listpack.ts';
import type { RdbValue } from '../../src/commands/rdb-value.ts';
import { dumpValue, isIntact, restoreValue } from '../../src/commands/rdb.ts';
import { setCommands } from '../../src/commands/set.ts';
import { sortedSetCommands } from '../../src/commands/sorted-set.ts';
import { streamCommands } from '../../src/commands/stream.ts';
import { CommandRunner } from '../support/command-runner.ts';

const ALL = [...listCommands, ...hashCommands, ...setCommands, ...sortedSetCommands, ...streamCommands];

const word = fc.oneof(
  fc.uint8Array({ maxLength: 80 }),
  fc.integer().map((value) => Uint8Array.from(Buffer.from(String(value)))),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }).map((value) => Uint8Array.from(Buffer.from(String(value)))),
  fc.nat(5000).map((length) => new Uint8Array(length).fill(0x61)),
);

const words = fc.array(word, { minLength: 1, maxLength: 20 });
const id = fc.uint8Array({ minLength: 16, maxLength: 16 });
const ms = fc.nat(2 ** 31);

const stream = fc
  .record({
    ids: fc.uniqueArray(id, { selector: (each) => Buffer.from(each).toString('hex'), maxLength: 8 }),
    fields: fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 }),
    odd: fc.nat(7),
    groups: fc.uniqueArray(word, { selector: (each) => Buffer.from(each).toString('hex'), maxLength: 3 }),
    pending: fc.array(fc.record({ deliveredMs: ms, deliveries: fc.nat(100) }), { maxLength: 5 }),
    entriesRead: fc.option(fc.nat(1000), { nil: undefined }),
  })
  .map(({ ids, fields, odd, groups, pending, entriesRead }): RdbValue => {
    const sorted = ids.filter((each) => each.some((byte) => byte > 0)).sort(Buffer.compare);
    const entries = sorted.map((each, i) => ({
      id: each,
      words: (i === odd ? ['other'] : fields).flatMap((field) => [Buffer.from(field), Buffer.from(`${i}`)]),
    }));
    const waiting = pending.map((each, i) => ({ ...each, id: new Uint8Array(16).fill(i + 1) }));
    const lastId = new Uint8Array(16).fill(0xff);
    const consumers = [
      { name: Buffer.from('alice'), seenMs: 5, pending: waiting.slice(2) },
      { name: Buffer.from('bob'), seenMs: 7, pending: waiting.slice(0, 2) },
    ];
    const made = groups.map((name) => ({ name, lastId: sorted[0] ?? lastId, entriesRead, consumers }));
    const image = { entries, lastId, maxDeletedId: new Uint8Array(16).fill(3), added: 77, groups: made };
    return { kind: 'stream', stream: image };
  });

const value: fc.Arbitrary<RdbValue> = fc.oneof(
  words.map((values): RdbValue => ({ kind: 'list', values })),
  words.map((members): RdbValue => ({ kind: 'set', members })),
  words.map((each): RdbValue => ({ kind: 'hash', words: [...each, ...each], deadlines: [] })),
  fc.array(fc.tuple(word, word, ms), { minLength: 1, maxLength: 9 }).map((fields): RdbValue => ({
    kind: 'hash',
    words: fields.flatMap(([field, each]) => [field, each]),
    // Without any it would come back as a hash without deadlines.
    deadlines: fields.map(([, , deadline], i) => (i === 0 ? deadline + 1 : deadline)),
  })),
  fc.array(fc.tuple(word, fc.double({ noNaN: true })), { minLength: 1, maxLength: 9 }).map((members): RdbValue => ({
    kind: 'sorted-set',
    members: members.map(([member, score]) => ({ member, score })),
  })),
  stream,
);

/** As plain arrays of numbers, whatever kind of bytes they are. */
function plain(image: unknown): unknown {
  if (image instanceof Uint8Array) return [...image];
  if (Array.isArray(image)) return image.map(plain);
  if (typeof image !== 'object' || image === null) return image;
  return Object.fromEntries(Object.entries(image).map(([name, each]) => [name, plain(each)]));
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

describe('values of RDB', () => {
  test('they come back as they were', () => {
    fc.assert(
      fc.property(value, (before) => {
        const payload = dumpValue(before);
        assert.ok(isIntact(payload));
        assert.deepEqual(plain(restoreValue(payload)), plain(before));
      }),
      { numRuns: 300 },
    );
  });

  test('a damaged one is refused or read, and nothing else happens', () => {
    fc.assert(
      fc.property(value, fc.nat(), fc.nat(255), fc.nat(3), (before, at, byte, cut) => {
        const payload = dumpValue(before);
        payload[at % (payload.length - 10)] = byte;
        restoreValue(payload);
        restoreValue(payload.subarray(0, Math.max(payload.length - cut * 7, 0)));
      }),
      { numRuns: 1000 },
    );
  });

  test('listpacks come back, with integers as texts', () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 40 }), (elements) => {
        assert.deepEqual(readListpack(writeListpack(elements)).map(text), elements.map(text));
      }),
    );
    const edges = [0, 127, 128, -1, 4095, 4096, -4096, -4097, 32_767, 32_768, -32_769, 8_388_607, 8_388_608, 2 ** 31];
    const all = [...edges, -(2 ** 31), -(2 ** 31) - 1, (1n << 63n) - 1n, -(1n << 63n)];
    assert.deepEqual(readListpack(writeListpack(all)).map(text), all.map(String));
  });

  test('ziplists and intsets of older servers', () => {
    const entries = '00 0161 03 fe80 04 f2 02 c03930 04 d0ffffff7f 06 e0ffffffffffffff7f 0a f0ffffff 05 00'.replaceAll(
      ' ',
      '',
    );
    const body = Buffer.from(entries, 'hex');
    const header = Buffer.alloc(10);
    header.writeUInt32LE(10 + body.length + 1);
    header.writeUInt16LE(8, 8);
    const ziplist = Uint8Array.from(Buffer.concat([header, body, Uint8Array.of(0xff)]));
    const expected = ['a', '-128', '1', '12345', '2147483647', '9223372036854775807', '-1', ''];
    assert.deepEqual(readZiplist(ziplist).map(text), expected);
    assert.throws(() => readZiplist(ziplist.subarray(0, 20)), /length/);
    const intset = Buffer.from('0800000002000000ffffffffffffffff0100000000000000', 'hex');
    assert.deepEqual(readIntset(Uint8Array.from(intset)).map(text), ['-1', '1']);
  });
});

/** DUMP of redis-server 7.0.15. */
const FROM_REDIS = {
  hash: '1028280000000800816602817602816e020c01816d02f178ec038362696704f4ffe776481700000009ff0a0005df5912f6039d33',
  sortedSet: '1114140000000400816102010181620283322e3504ff0a00d44c6ea4f644d9d7',
  set: '0b1404000000030000000100000002000000701101000a0085d5c1065b1dd055',
  list: '120102c31540550d5500000003008161020101e04678e03c000148ff0a00565f7f4d8eb2068b',
  stream:
    '13011000000000000000010000000000000001404444000000190002010101020181610281630200010201000100018162028164020501' +
    '030100010101816502050105010001010100010101856f74686572068166020601ff0202010101010203010167000081ffffffffffffffff' +
    '00000a002c4bb0e679f6e7a4',
};

describe('DUMP and RESTORE', () => {
  test('what Redis wrote', async () => {
    const runner = new CommandRunner(ALL);
    const restore = async (key: string, hex: string): Promise<void> =>
      assert.equal(await runner.run('RESTORE', key, 0, Uint8Array.from(Buffer.from(hex, 'hex'))), 'OK');
    await restore('h', FROM_REDIS.hash);
    await restore('z', FROM_REDIS.sortedSet);
    await restore('s', FROM_REDIS.set);
    await restore('l', FROM_REDIS.list);
    await restore('x', FROM_REDIS.stream);
    assert.deepEqual(await runner.line('HMGET h f n m big'), ['v', '12', '-5000', '99999999999']);
    assert.deepEqual(await runner.line('ZRANGE z 0 -1'), ['a', 'b']);
    assert.deepEqual(await runner.line('SMISMEMBER s 1 2 70000'), [1, 1, 1]);
    assert.deepEqual(await runner.line('LRANGE l 0 -1'), ['a', '1', 'x'.repeat(70)]);
    assert.deepEqual(await runner.line('XRANGE x - +'), [
      ['1-1', ['a', 'b', 'c', 'd']],
      ['2-1', ['other', 'f']],
    ]);
    assert.equal(await runner.line('OBJECT ENCODING s'), 'intset');
  });

  test('a hash keeps the deadlines of its fields', async () => {
    const runner = new CommandRunner(ALL);
    await runner.line('HSET h a 1 b 2 c 3');
    await runner.line('HPEXPIRE h 5000 FIELDS 1 b');
    await runner.line('HPEXPIRE h 9000 FIELDS 1 c');
    const payload = (await runner.reply('DUMP', 'h')) as Uint8Array;
    assert.equal(await runner.run('RESTORE', 'r', 0, payload), 'OK');
    assert.deepEqual(await runner.line('HPTTL r FIELDS 3 a b c'), [-1, 5000, 9000]);
    runner.nowMs += 6000;
    assert.deepEqual(await runner.line('HMGET r a b c'), ['1', null, '3']);
  });

  test('members that come twice are refused', async () => {
    const runner = new CommandRunner(ALL);
    const twice = [Buffer.from('a'), Buffer.from('a')];
    for (const value of [
      { kind: 'set', members: twice },
      { kind: 'hash', words: [...twice, ...twice], deadlines: [] },
      { kind: 'sorted-set', members: twice.map((member) => ({ member, score: 1 })) },
    ] as const) {
      assert.equal(await runner.run('RESTORE', 'k', 0, dumpValue(value)), '-ERR Bad data format');
    }
    assert.equal(await runner.line('EXISTS k'), 0);
  });
});
