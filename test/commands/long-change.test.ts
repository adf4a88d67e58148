/**
 * Commands that take turns (repl/long-change.ts) answer and leave what they do in one turn; while one is under way, who reads
 * its rows sees them as they were, who changes them waits, and everybody else goes on.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeCrc64 } from '../../src/commands/rdb-crc64.ts';
import { RdbWriter } from '../../src/commands/rdb-writer.ts';
import { lookup } from '../../src/engine/store.ts';
import { EXPIRY_PREFIX, headEnd } from '../../src/repl/row-key.ts';
import { Prng } from '../sim/prng.ts';
import type { Word } from '../support/command-runner.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { TurnsRunner } from '../support/turns-runner.ts';

/** More than a turn changes, whatever the command. */
const ELEMENTS = 2600;

const KEYS = ['list', 'other', 'h', 'za', 'zb', 'sa', 'sb', 'geo', 'st', 'str', 'out'];

type Commands = readonly (readonly Word[])[];

function filling(): Commands {
  const random = new Prng(5);
  const some = (of: number, word: (i: number) => Word[]): Word[] =>
    Array.from({ length: of }, (_, i) => word(i)).flat();
  return [
    ['RPUSH', 'list', ...some(ELEMENTS, () => [random.below(900)])],
    ['RPUSH', 'other', 'a', 'b'],
    ['HSET', 'h', ...some(ELEMENTS, (i) => [`field${i}`, `value${i}`])],
    ['HPEXPIRE', 'h', 5_000_000, 'FIELDS', 2, 'field1', 'field2'],
    ['PEXPIRE', 'h', 9_000_000],
    ['ZADD', 'za', ...some(ELEMENTS, (i) => [random.below(700), `m${i}`])],
    ['ZADD', 'zb', ...some(ELEMENTS, (i) => [random.below(700), `m${2 * i}`])],
    ['PEXPIRE', 'za', 8_000_000],
    ['SADD', 'sa', ...some(ELEMENTS, (i) => [`m${i}`])],
    ['SADD', 'sb', ...some(ELEMENTS, (i) => [`m${2 * i}`])],
    ['PEXPIRE', 'list', 7_000_000],
    ['GEOADD', 'geo', ...some(ELEMENTS, (i) => [(i % 360) - 180, (i % 160) / 2 - 40, `place${i}`])],
    ...Array.from({ length: ELEMENTS }, (_, i): Word[] => ['XADD', 'st', `${i + 1}-1`, 'field', i]),
    ['XGROUP', 'CREATE', 'st', 'group', 0],
    ['XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', 700, 'STREAMS', 'st', '>'],
    ['SET', 'str', 'text', 'PX', 6_000_000],
  ];
}

const FILLING = filling();

/** Words, some of them twice. */
const MANY: readonly Word[] = Array.from({ length: 2 * ELEMENTS }, (_, i) => `w${i % 4999}`);

const COMMANDS: Commands = [
  ['RENAME', 'list', 'out'],
  ['RENAME', 'h', 'str'],
  ['RENAMENX', 'za', 'out'],
  ['RENAMENX', 'za', 'str'],
  ['RENAME', 'st', 'list'],
  ['COPY', 'h', 'out'],
  ['COPY', 'st', 'list', 'REPLACE'],
  ['COPY', 'za', 'str'],
  ['MOVE', 'sa', 1],
  ['SUNIONSTORE', 'out', 'sa', 'sb'],
  ['SINTERSTORE', 'sa', 'sa', 'sb'],
  ['SDIFFSTORE', 'list', 'sa', 'sb'],
  ['SDIFFSTORE', 'str', 'sa', 'sa'],
  ['SUNIONSTORE', 'out', 'sa', 'list'],
  ['ZUNIONSTORE', 'out', 3, 'za', 'zb', 'sa', 'WEIGHTS', 1, -2, 0.5],
  ['ZINTERSTORE', 'za', 2, 'za', 'zb', 'AGGREGATE', 'MAX'],
  ['ZDIFFSTORE', 'out', 2, 'za', 'zb'],
  ['ZDIFFSTORE', 'za', 2, 'za', 'za'],
  ['ZRANGESTORE', 'out', 'za', 10, -10],
  ['ZRANGESTORE', 'za', 'za', 500, 10, 'BYSCORE', 'REV', 'LIMIT', 5, 2000],
  ['ZRANGESTORE', 'za', 'none', 0, -1],
  ['SORT', 'list', 'STORE', 'list'],
  ['SORT', 'list', 'DESC', 'LIMIT', 5, 2000, 'STORE', 'out'],
  ['SORT', 'sa', 'ALPHA', 'STORE', 'out'],
  ['SORT', 'sa', 'BY', 'nosort', 'STORE', 'out'],
  ['SORT', 'za', 'BY', 'nosort', 'DESC', 'STORE', 'out'],
  ['SORT', 'sa', 'STORE', 'out'],
  ['LREM', 'list', 0, 17],
  ['LREM', 'list', 2, 17],
  ['LREM', 'list', -1, 17],
  ['LREM', 'list', 0, 'none'],
  ['LINSERT', 'list', 'BEFORE', 17, 'new'],
  ['LINSERT', 'list', 'AFTER', 899, 'new'],
  ['LINSERT', 'list', 'AFTER', 'none', 'new'],
  ['LPOP', 'list', 2400],
  ['RPOP', 'list', 2599],
  ['LMPOP', 2, 'none', 'list', 'RIGHT', 'COUNT', 9999],
  ['LTRIM', 'list', 1200, -3],
  ['ZREMRANGEBYRANK', 'za', 100, -2],
  ['ZREMRANGEBYRANK', 'za', 0, -1],
  ['ZREMRANGEBYSCORE', 'za', 100, '(600'],
  ['ZREMRANGEBYSCORE', 'za', '-inf', '+inf'],
  ['ZREMRANGEBYSCORE', 'za', 0, 700],
  ['ZREMRANGEBYLEX', 'za', '[m', '(n'],
  ['ZPOPMIN', 'za', 1500],
  ['ZPOPMAX', 'za', 1500],
  ['ZPOPMAX', 'za', 9999],
  ['ZMPOP', 2, 'none', 'za', 'MAX', 'COUNT', 1700],
  ['GEOSEARCHSTORE', 'out', 'geo', 'FROMLONLAT', 10, 5, 'BYBOX', 30_000, 6000, 'km'],
  ['GEOSEARCHSTORE', 'out', 'geo', 'FROMLONLAT', 10, 5, 'BYRADIUS', 9000, 'km', 'COUNT', 90, 'STOREDIST'],
  ['GEOSEARCHSTORE', 'geo', 'geo', 'FROMMEMBER', 'place3', 'BYRADIUS', 9000, 'km', 'DESC'],
  ['GEORADIUS', 'geo', 10, 5, 9000, 'km', 'STORE', 'out'],
  ['GEOSEARCHSTORE', 'out', 'geo', 'FROMLONLAT', 0, 60, 'BYRADIUS', 1, 'm'],
  ['XTRIM', 'st', 'MAXLEN', 100],
  ['XTRIM', 'st', 'MAXLEN', '~', 2350, 'LIMIT', 20_000],
  ['XTRIM', 'st', 'MINID', '2000-1'],
  ['XTRIM', 'st', 'MINID', '100-1'],
  ['XTRIM', 'st', 'MINID', '~', '1050-1', 'LIMIT', 0],
  ['XTRIM', 'st', 'MAXLEN', 0],
  ['RPUSH', 'out', ...MANY],
  ['LPUSH', 'out', ...MANY],
  ['SADD', 'out', ...MANY],
  ['HSET', 'out', ...MANY],
  ['HMSET', 'out', ...MANY],
  ['BZMPOP', 0, 1, 'za', 'MIN', 'COUNT', 1700],
];

/** Members and scores in turn, as RESP2 has them. */
function flat([command]: readonly Word[], reply: unknown): unknown {
  const hasPairs = command === 'ZPOPMIN' || command === 'ZPOPMAX';
  return hasPairs && Array.isArray(reply) ? reply.flat().map(String) : reply;
}

/** With the rows that the words name, and some small ones. */
async function filled(areWhole: boolean, ...words: readonly Word[]): Promise<TurnsRunner> {
  const runner = new TurnsRunner({ store: new MemoryStore(), areWhole });
  for (const filling of FILLING) {
    const key = filling[1] === 'CREATE' || filling[1] === 'GROUP' ? 'st' : (filling[1] as Word);
    if (key === 'other' || words.includes(key)) await runner.run(9, ...filling);
  }
  return runner;
}

/** All that the keys hold, but for the order of what has none. */
async function content(runner: TurnsRunner, keys: readonly string[] = KEYS): Promise<unknown> {
  const all: [string, unknown][] = [];
  for (const database of [0, 1]) {
    await runner.run(8, 'SELECT', database);
    for (const key of keys) {
      const type = await runner.run(8, 'TYPE', key);
      const read: Readonly<Record<string, Word[]>> = {
        string: ['GET', key],
        list: ['LRANGE', key, 0, -1],
        hash: ['HGETALL', key],
        set: ['SMEMBERS', key],
        zset: ['ZRANGE', key, 0, -1, 'WITHSCORES'],
        stream: ['XRANGE', key, '-', '+'],
      };
      const words = read[String(type)];
      if (words === undefined) continue;
      const more =
        type === 'hash'
          ? await runner.run(8, 'HPEXPIRETIME', key, 'FIELDS', 2, 'field1', 'field2')
          : type === 'stream'
            ? await runner.run(8, 'XPENDING', key, 'group')
            : undefined;
      const ttl = await runner.run(8, 'PTTL', key);
      all.push([`${database} ${key}`, [type, ttl, await runner.run(8, ...words), more]]);
    }
  }
  return all;
}

/** Cells that no head names, when all garbage has been collected. */
async function strayCells(runner: TurnsRunner): Promise<number> {
  while (await runner.keyspace.collectGarbage());
  const cursor = runner.store.cursor({
    lower: Uint8Array.of(0),
    upper: Uint8Array.of(EXPIRY_PREFIX >> 8, EXPIRY_PREFIX & 0xff),
  });
  let stray = 0;
  let generations: string[] = [];
  const view = runner.keyspace.newView();
  view.begin(0, runner.nowMs);
  try {
    while (cursor.next() === lookup.FOUND) {
      const end = headEnd(cursor.key);
      if (end === cursor.key.length) {
        const head = Buffer.from(cursor.value).toString('latin1');
        generations = [head];
      } else if (cursor.key[end] !== undefined && cursor.key.length > end + 9) {
        const generation = Buffer.from(cursor.key.subarray(end + 1, end + 9)).toString('latin1');
        if (!generations.some((head) => head.includes(generation))) stray++;
      }
    }
  } finally {
    cursor.close();
  }
  return stray;
}

test('in turns or in one go, a command does the same', async () => {
  for (const words of COMMANDS) {
    const line = words.join(' ');
    const [inTurns, whole] = [await filled(false, ...words), await filled(true, ...words)];
    const expected = await whole.run(0, ...words);
    // The heads of rows are there: a miss of those has its own way.
    inTurns.store.chill((key) => key.length > 16 && (key.at(-1) as number) % 16 === 0);
    const reply = inTurns.begin(0, ...words);
    const turns = await inTurns.untilDone(reply);
    assert.deepEqual(flat(words, await reply), flat(words, expected), line);
    assert.deepEqual(await content(inTurns), await content(whole), line);
    assert.equal(inTurns.keyspace.held.size, 0, line);
    assert.equal(await strayCells(inTurns), 0, line);
    assert.equal(inTurns.store.openCursors, 0, line);
    assert.ok(turns > 0 || isQuick(words), `${line}: ${turns} turns`);
  }
});

/** Whether the command needs no turns even here. */
function isQuick(words: readonly Word[]): boolean {
  const line = words.join(' ');
  return (
    words[0] === 'LTRIM' ||
    line === 'ZREMRANGEBYRANK za 0 -1' ||
    line === 'ZREMRANGEBYSCORE za -inf +inf' ||
    line === 'RENAMENX za str' ||
    line === 'COPY za str' ||
    line === 'ZRANGESTORE za none 0 -1' ||
    line === 'SUNIONSTORE out sa list' ||
    line === 'SORT sa STORE out' ||
    words.includes('m') ||
    words[0] === 'XTRIM' ||
    line === 'LINSERT list BEFORE 17 new' ||
    line === 'LINSERT list AFTER 899 new' ||
    line.startsWith('LREM list 2') ||
    line.startsWith('LREM list -1')
  );
}

/** A payload of these bytes. */
function sealed(out: RdbWriter): Uint8Array {
  const payload = out.u8(10).u8(0).bytes(8);
  writeCrc64(payload, payload.length - 8, payload, payload.length - 8);
  return payload;
}

test('DUMP and RESTORE in turns have the bytes and the errors of those in one go', async () => {
  const payloads: Uint8Array[] = [];
  for (const key of ['list', 'za', 'sa', 'h', 'st']) {
    const [inTurns, whole] = [await filled(false, key), await filled(true, key)];
    await inTurns.run(0, 'HPERSIST', 'h', 'FIELDS', 2, 'field1', 'field2');
    await whole.run(0, 'HPERSIST', 'h', 'FIELDS', 2, 'field1', 'field2');
    const dump = inTurns.begin(0, 'DUMP', key);
    assert.ok((await inTurns.untilDone(dump)) > 0 || key === 'st', key);
    await whole.run(0, 'MULTI');
    await whole.run(0, 'DUMP', key);
    assert.deepEqual([await dump], await whole.run(0, 'EXEC'), key);
    payloads.push(Buffer.from((await dump) as string, 'latin1'));
  }
  const [list = new Uint8Array(0), ...others] = payloads;
  const nodes = new RdbWriter().u8(18).length(3000);
  for (let i = 0; i < 3000; i++) nodes.length(1).string(Buffer.from(`value${i % 700}`));
  const twice = (form: number, words: number): Uint8Array => {
    const out = new RdbWriter().u8(form).length(3000);
    for (let i = 0; i < 3000; i++) {
      out.string(Buffer.from(`member${i % 2999}`));
      if (words === 2) out.string(Buffer.from('v'));
      if (words === 3) out.double(i);
    }
    return sealed(out);
  };
  const flipped = list.slice();
  flipped[5000] = (flipped[5000] as number) ^ 1;
  const cut = sealed(new RdbWriter().raw(list.subarray(0, list.length - 30)));
  const longer = sealed(new RdbWriter().raw(list.subarray(0, list.length - 10)).u8(1));
  for (const payload of [list, ...others, sealed(nodes), twice(2, 1), twice(4, 2), twice(5, 3), flipped, cut, longer]) {
    for (const options of [[0], [5000], [1, 'ABSTTL'], [0, 'REPLACE']]) {
      const [inTurns, whole] = [await filled(false, 'str'), await filled(true, 'str')];
      for (const key of ['out', 'str']) {
        const words = ['RESTORE', key, options[0] as Word, payload, ...options.slice(1)];
        const line = `${key} ${payload[0]} ${payload.length} ${options.join(' ')}`;
        assert.deepEqual(await inTurns.run(0, ...words), await whole.run(0, ...words), line);
        assert.deepEqual(await content(inTurns), await content(whole), line);
        assert.equal(await strayCells(inTurns), 0, line);
      }
    }
  }
});

test('SPOP in turns takes what it answers', async () => {
  for (const count of [1300, 2599, 9999]) {
    const runner = await filled(false, 'sa');
    const taken = (await runner.run(0, 'SPOP', 'sa', count)) as string[];
    const left = (await runner.run(0, 'SMEMBERS', 'sa')) as string[];
    assert.equal(taken.length, Math.min(count, ELEMENTS));
    assert.equal(new Set([...taken, ...left]).size, ELEMENTS);
    assert.equal(await runner.run(0, 'EXISTS', 'sa'), left.length > 0 ? 1 : 0);
  }
});

/** Commands that change the rows of others, each with what it waits for. */
const WRITERS: Commands = [
  ['RPUSH', 'list', 'late'],
  ['HSET', 'h', 'late', 1],
  ['ZADD', 'za', 1, 'late'],
  ['SADD', 'sa', 'late'],
  ['DEL', 'out'],
  ['SET', 'str', 'late'],
  ['DEL', 'list', 'h', 'za', 'sa'],
  ['EVAL', 'return redis.call("DEL", "za", "sa", "list", "h")', 0],
];

test('readers see what was before, writers wait in their order, others go on', async () => {
  for (const [i, words] of COMMANDS.entries()) {
    if (isQuick(words)) continue;
    for (const writer of [WRITERS[i % WRITERS.length]] as Commands) {
      const line = `${words.join(' ')}, ${writer.join(' ')}`;
      const [inTurns, whole] = [await filled(false, ...words), await filled(true, ...words)];
      const before = await inTurns.run(1, 'EXISTS', 'out');
      const first = inTurns.begin(0, ...words);
      const second = inTurns.begin(2, ...writer);
      const third = inTurns.begin(3, 'MULTI').then(async () => {
        await inTurns.begin(3, 'SADD', 'sb', 'from exec');
        await inTurns.begin(3, 'RPUSH', 'other', 'c');
        return inTurns.begin(3, 'EXEC');
      });
      await inTurns.turn();
      assert.ok(inTurns.keyspace.held.size > 0, line);
      assert.equal(await inTurns.begin(1, 'EXISTS', 'out'), before, line);
      assert.equal(await inTurns.begin(4, 'INCR', 'counter'), 1, line);
      await inTurns.untilDone(Promise.all([first, second, third]));
      const expected = [
        await whole.run(0, ...words),
        await whole.run(2, ...writer),
        [await whole.run(3, 'SADD', 'sb', 'from exec'), await whole.run(3, 'RPUSH', 'other', 'c')],
      ];
      // An EXEC on no row that is held need not wait for the writer: they have no row in common.
      const replies = await Promise.all([first, second, third]);
      assert.deepEqual(
        [flat(words, replies[0]), ...replies.slice(1)],
        [flat(words, expected[0]), ...expected.slice(1)],
        line,
      );
      assert.deepEqual(await content(inTurns), await content(whole), line);
      assert.equal(await strayCells(inTurns), 0, line);
    }
  }
});

/** What comes between, without asking for rows by their names. */
const BETWEEN: readonly ((runner: TurnsRunner) => Promise<unknown>)[] = [
  (runner) => runner.begin(1, 'FLUSHALL'),
  (runner) => runner.begin(1, 'SWAPDB', 0, 1),
  async (runner) => {
    await runner.begin(1, 'FLUSHDB');
    // The same name, and another row.
    await runner.begin(1, 'SADD', 'other', 'new');
  },
  async (runner) => {
    runner.nowMs += 8_500_000;
    await runner.keyspace.sweepExpired(runner.nowMs);
  },
];

test('a flush, a swap of databases or an end of time under way makes a command begin anew', async () => {
  for (const [i, words] of COMMANDS.entries()) {
    if (isQuick(words) || words[0] === 'BZMPOP') continue;
    for (const between of [BETWEEN[i % BETWEEN.length]] as typeof BETWEEN) {
      const line = `${words.join(' ')}, ${between.toString()}`;
      const [inTurns, whole] = [await filled(false, ...words), await filled(true, ...words)];
      const reply = inTurns.begin(0, ...words);
      await inTurns.turn();
      assert.ok(inTurns.keyspace.held.size > 0, line);
      await between(inTurns);
      await between(whole);
      const expected = await whole.run(0, ...words);
      await inTurns.untilDone(reply);
      assert.deepEqual(flat(words, await reply), flat(words, expected), line);
      assert.deepEqual(await content(inTurns), await content(whole), line);
      assert.equal(await strayCells(inTurns), 0, line);
      assert.equal(inTurns.store.openCursors, 0, line);
    }
  }
});

test('a flush of another database leaves alone the first row of this one, which is being made', async () => {
  for (const words of COMMANDS.filter(([, key, first]) => key === 'out' && first === MANY[0])) {
    for (const flush of [['FLUSHDB'], ['FLUSHALL']]) {
      const line = `${String(words[0])}, ${String(flush[0])}`;
      const [runner, whole] = [await filled(false), await filled(true)];
      const flushLast = async (each: TurnsRunner): Promise<unknown> => await each.run(8, ...flush);
      await runner.run(0, 'SELECT', 1);
      await whole.run(0, 'SELECT', 1);
      const reply = runner.begin(0, ...words);
      await runner.turn();
      assert.ok(runner.keyspace.held.size > 0, line);
      await flushLast(runner);
      await flushLast(whole);
      const expected = await whole.run(0, ...words);
      await runner.untilDone(reply);
      assert.deepEqual(await reply, expected, line);
      assert.deepEqual(await content(runner, ['out']), await content(whole, ['out']), line);
      assert.equal(await strayCells(runner), 0, line);
    }
  }
});

test('two long changes whose rows a swap of databases exchanges do not wait for each other', async () => {
  const runner = await filled(false, 'sa');
  await runner.run(1, 'SELECT', 1);
  await runner.run(1, 'SADD', 'sa', ...MANY);
  const [first, second] = [runner.begin(0, 'RENAME', 'sa', 'out'), runner.begin(1, 'RENAME', 'sa', 'out')];
  await runner.turn();
  assert.equal(runner.keyspace.held.size, 4);
  await runner.run(8, 'SWAPDB', 0, 1);
  let over = 0;
  for (const each of [first, second]) void each.finally(() => over++);
  for (let turns = 0; turns < 1000; turns++) await runner.turn();
  assert.equal(over, 2);
  assert.deepEqual([await first, await second], ['OK', 'OK']);
  assert.deepEqual([await runner.run(0, 'SCARD', 'out'), await runner.run(1, 'SCARD', 'out')], [4999, ELEMENTS]);
  assert.equal(runner.keyspace.held.size, 0);
  assert.equal(await strayCells(runner), 0);
});
