/** Scripts that rest: the Lua host by a clock of the test's own, then a whole server whose script takes long. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Redis } from 'ioredis';
import { LuaHost, Resting } from '../../src/commands/lua-host.ts';
import type { ScriptWorld } from '../../src/commands/lua-redis.ts';
import { ErrorReply, type Reply } from '../../src/commands/reply.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';

const LIMIT_MS = 50;

class World implements ScriptWorld {
  mayRest = true;
  isOverdue = false;
  hasWritten = false;
  readonly calls: string[] = [];

  call(words: readonly Uint8Array[]): Reply {
    this.calls.push(words.map((word) => Buffer.from(word).toString()).join(' '));
    return this.calls.length;
  }

  log(): void {}
}

class Bench {
  readonly world = new World();
  private nowUs = 0;
  private readonly stepUs: number;
  readonly host = new LuaHost({
    clock: { monotonicUs: () => (this.nowUs += this.stepUs), wallMs: () => 0 },
    version: '7.0.15',
    limitMs: () => LIMIT_MS,
  });

  /** Each look at the clock finds it `stepUs` later. */
  constructor(stepUs = 1000) {
    this.stepUs = stepUs;
  }

  start(body: string, world = this.world): Reply | Resting {
    const script = this.host.compile(Buffer.from(body));
    return restingOr(() => this.host.run(script, [Buffer.from('k')], [Buffer.from('a')], world));
  }

  resume(resting: Resting): Reply | Resting {
    return restingOr(() => this.host.resume(resting));
  }

  /** Runs to the end; how often it rested. */
  finish(first: Reply | Resting): { readonly reply: Reply; readonly rests: number } {
    let reply = first;
    let rests = 0;
    for (; reply instanceof Resting; rests++) reply = this.resume(reply);
    return { reply, rests };
  }
}

function restingOr(run: () => Reply): Reply | Resting {
  try {
    return run();
  } catch (thrown) {
    if (thrown instanceof Resting) return thrown;
    throw thrown;
  }
}

function messageOf(reply: Reply): string {
  assert.ok(reply instanceof ErrorReply, 'an error');
  return reply.message;
}

const SPIN = 'local function spin(n) for i = 1, n do end end ';

void test('a script rests and goes on where it was, with its keys, its locals and its calls', () => {
  const bench = new Bench();
  const { reply, rests } = bench.finish(
    bench.start(`${SPIN}
      local seen = {}
      for i = 1, 20 do
        spin(200000)
        seen[#seen + 1] = KEYS[1] .. ARGV[1] .. redis.call('incr', i)
      end
      return table.concat(seen, ',')`),
  );
  assert.ok(rests > 5, `${rests} rests`);
  assert.equal(
    Buffer.from(reply as Uint8Array).toString(),
    Array.from({ length: 20 }, (_, i) => `ka${i + 1}`).join(','),
  );
  assert.deepEqual(
    bench.world.calls,
    Array.from({ length: 20 }, (_, i) => `incr ${i + 1}`),
  );
});

void test('it rests within pcall, metamethods and iterators, and its errors say where they were raised', () => {
  const bench = new Bench();
  const { reply, rests } = bench.finish(
    bench.start(`${SPIN}
      local t = setmetatable({}, { __index = function(_, k) spin(2000000) return k * 2 end, __add = function(a, b) spin(2000000) return 7 end })
      local ok, why = pcall(function() spin(2000000) error('caught') end)
      local sum = t[4] + (t + t)
      for k, v in (function() spin(2000000) return nil end) do end
      return { sum, why }`),
  );
  assert.ok(rests > 20, `${rests} rests`);
  const [sum, why] = reply as [number, Uint8Array];
  assert.equal(sum, 15);
  assert.match(Buffer.from(why).toString(), /caught/);
  const failed = bench.finish(bench.start(`${SPIN}\nspin(3000000)\nerror('late')`));
  assert.ok(failed.rests > 0);
  assert.match(messageOf(failed.reply), /late.* script: \w+, on @user_script:3\.$/);
  assert.equal(bench.finish(bench.start('return 1')).reply, 1, 'the host goes on after an error');
});

void test('a killed script ends, whatever it catches', () => {
  const bench = new Bench();
  const resting = bench.start('while true do pcall(function() while true do end end) end');
  assert.ok(resting instanceof Resting);
  resting.isKilled = true;
  const reply = bench.resume(resting);
  assert.match(
    messageOf(reply as Reply),
    /^ERR Script killed by user with SCRIPT KILL\.\.\. script: \w+, on @user_script:1\.$/,
  );
});

void test('where it cannot be left it goes on, and rests afterwards', () => {
  const bench = new Bench();
  const { reply, rests } = bench.finish(
    bench.start(`${SPIN}
      local t = {}
      for i = 1, 50 do t[i] = (i * 7) % 51 end
      table.sort(t, function(a, b) spin(20000) return a < b end)
      local co = coroutine.wrap(function() spin(3000000) coroutine.yield('y') end)
      local y = co()
      spin(1000000)
      return t[1] .. t[50] .. y`),
  );
  assert.ok(rests > 0);
  assert.equal(Buffer.from(reply as Uint8Array).toString(), '150y');
});

void test('where it cannot be left for ever it is ended', () => {
  for (const body of [
    'table.sort({ 3, 2, 1 }, function(a, b) while true do end end)',
    'coroutine.wrap(function() pcall(error) while true do end end)()',
  ]) {
    const bench = new Bench(20_000);
    assert.throws(() => bench.start(body), /ran for longer than busy-reply-threshold and was ended/, body);
  }
  const bench = new Bench();
  bench.world.mayRest = false;
  assert.throws(() => bench.start('while true do end'), /was ended/);
});

void test('scripts that rest do not mind one another', () => {
  const bench = new Bench();
  const other = new World();
  const body = `${SPIN} for i = 1, 5 do spin(500000) redis.call(KEYS[1] .. i) end return ARGV[1] .. #KEYS`;
  let one = bench.start(body);
  let two = bench.start(body, other);
  while (one instanceof Resting || two instanceof Resting) {
    if (one instanceof Resting) one = bench.resume(one);
    assert.equal(bench.start('return 5'), 5);
    if (two instanceof Resting) two = bench.resume(two);
  }
  for (const reply of [one, two]) assert.equal(Buffer.from(reply as Uint8Array).toString(), 'a1');
  for (const { calls } of [bench.world, other]) assert.deepEqual(calls, ['k1', 'k2', 'k3', 'k4', 'k5']);
});

/** Changes rows of every kind, among them large ones, with seconds of work in between. */
const LONG = `
  local function spin(ms)
    local from = redis.call('TIME')
    repeat
      for i = 1, 100000 do end
      local now = redis.call('TIME')
    until (now[1] - from[1]) * 1000 + (now[2] - from[2]) / 1000 > ms
  end
  local sum = 0
  for round = 1, 10 do
    spin(100)
    redis.call('INCR', 'n')
    redis.call('APPEND', 'text', string.rep('x', 200))
    for i = 1, 100 do redis.call('HSET', 'hash', 'f' .. round .. '.' .. i, string.rep('v', 50)) end
    for i = 1, 30 do redis.call('RPUSH', 'list', round .. ':' .. i) end
    redis.call('RPOPLPUSH', 'list', 'moved')
    redis.call('ZADD', 'sorted', round, 'm' .. round)
    redis.call('RENAME', 'a' .. round, 'a' .. (round + 1))
    sum = sum + redis.call('HLEN', 'hash') + redis.call('LLEN', 'list')
  end
  return { sum, redis.call('GET', 'short'), redis.call('GET', 'a11'), redis.call('LRANGE', 'moved', 0, -1) }
`;

/** The same without the work. */
const SHORT = LONG.replace('repeat', 'do return end repeat');

describe('a server whose script takes long', () => {
  let server: ServerProcess;
  let busy: Redis;
  let other: Redis;

  const connect = (): Redis => {
    const client = new Redis(server.port, { retryStrategy: () => null });
    client.on('error', () => {});
    return client;
  };

  before(async () => {
    server = await startKvorum({ flags: ['--busy-reply-threshold', '50', '--appendfsync', 'always'] });
    [busy, other] = [connect(), connect()];
  });

  after(async () => {
    busy.disconnect();
    other.disconnect();
    await server.stop();
  });

  const fill = async (): Promise<void> => {
    await other.flushall();
    await other.set('a1', 'x'.repeat(3000));
    const fields = Array.from({ length: 3000 }, (_, i) => [`old${i}`, 'w'.repeat(20)]).flat();
    await other.call('HSET', 'hash', ...fields);
  };

  const dump = async (): Promise<unknown> => {
    const keys = (await other.keys('*')).sort();
    const values = keys.map(async (key) => {
      switch (await other.type(key)) {
        case 'hash':
          return Object.entries(await other.hgetall(key)).sort(([a], [b]) => (a < b ? -1 : 1));
        case 'list':
          return other.lrange(key, 0, -1);
        case 'zset':
          return other.call('ZRANGE', key, '0', '-1', 'WITHSCORES');
        default:
          return other.get(key);
      }
    });
    return [keys, await Promise.all(values)];
  };

  void test('it changes what it would have changed in one turn, all at once, and sees nothing of others', async () => {
    await fill();
    await other.set('short', 'there');
    const wanted = await busy.eval(SHORT, 0);
    const rows = await dump();
    await fill();
    await other.psetex('short', 300, 'there');
    const waits = connect();
    const popped = waits.blpop('list', 0);
    await sleep(50);
    const done = busy.eval(LONG, 0);
    await sleep(150);
    const look = (): Promise<unknown> => other.get('n').catch((error: unknown) => String(error));
    let refused = 0;
    let reply = await look();
    for (; String(reply).includes('BUSY'); reply = await look()) {
      refused++;
      await sleep(10);
    }
    assert.equal(reply, '10', 'nothing is seen before the end');
    assert.ok(refused > 10, `${refused} were told BUSY`);
    // `short` was past its deadline long before the script looked at it, but not when the script began.
    assert.deepEqual(await done, wanted);
    assert.deepEqual(await popped, ['list', '1:1']);
    await other.lpush('list', '1:1');
    await other.set('short', 'there');
    assert.deepEqual(await dump(), rows);
    waits.disconnect();
  });

  void test('one that reads more than the cache holds comes to its end', async () => {
    const small = await startKvorum({ flags: ['--block-cache-size', '1mb', '--memtable-size', '1mb'] });
    const client = new Redis(small.port);
    const second = new Redis(small.port);
    const count = 15_000;
    for (let from = 0; from < count; from += 1000) {
      const pipeline = client.pipeline();
      for (let i = from; i < from + 1000; i++) pipeline.set(`k${i}`, `${i}${'v'.repeat(200)}`);
      await pipeline.exec();
    }
    const body = `
      local right = 0
      for i = 0, ARGV[1] - 1 do
        local n = (i * 7919) % ARGV[1]
        if redis.call('GET', 'k' .. n):sub(1, #tostring(n)) == tostring(n) then right = right + 1 end
        if i % 100 == 0 then redis.call('APPEND', 'k' .. n, '!') redis.call('INCR', 'n') end
      end
      return { right, redis.call('GET', 'n') }`;
    try {
      assert.deepEqual(await client.eval(body, 0, String(count)), [count, '150']);
      assert.equal((await second.get('k0'))?.at(-1), '!');
    } finally {
      client.disconnect();
      second.disconnect();
      await small.stop();
    }
  });

  void test('killed it leaves nothing, and the next one is not killed', async () => {
    await fill();
    const spin = "local from = redis.call('TIME')[1] while redis.call('TIME')[1] - from < 2 do end return 1";
    const killed = assert.rejects(busy.eval(`redis.call('GET', 'n') while true do end`, 0), /Script killed by user/);
    await sleep(200);
    await assert.rejects(other.set('n', 1), /^ReplyError: BUSY/);
    assert.equal(await other.script('KILL'), 'OK');
    await killed;
    assert.equal(await busy.eval(spin, 0), 1);
  });

  void test('SHUTDOWN NOSAVE ends the server, and nothing stays of what the script has written', async () => {
    await fill();
    await other.set('n', 'before');
    const gone = busy.eval("redis.call('SET', 'n', 'half') while true do end", 0).catch(() => undefined);
    await sleep(200);
    await assert.rejects(other.script('KILL'), /UNKILLABLE/);
    const startMs = performance.now();
    await other.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
    await server.exited;
    assert.ok(performance.now() - startMs < 10_000);
    await gone;
    busy.disconnect();
    other.disconnect();
    server = await startKvorum({ directory: server.directory, ownsDirectory: true });
    other = connect();
    assert.equal(await other.get('n'), 'before');
  });
});
