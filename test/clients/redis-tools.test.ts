/** redis-cli and redis-benchmark, as their users run them. Each line is tried on redis-server first. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Finished, runProgram } from '../support/redis-process.ts';
import { onBothServers } from './both-servers.ts';

onBothServers('redis-cli and redis-benchmark', (target) => {
  const cli = (words: readonly string[], input = '', timeoutMs = 30_000): Promise<Finished> =>
    runProgram('redis-cli', ['-p', String(target.port), ...words], { input, timeoutMs });
  const good = (finished: Finished): string => {
    assert.equal(finished.code, 0, finished.stdout + finished.stderr);
    assert.doesNotMatch(finished.stdout + finished.stderr, /\bERR\b|error/i);
    return finished.stdout;
  };

  test('redis-cli with a command, and with commands on its input', async () => {
    assert.equal(good(await cli(['FLUSHALL'])), 'OK\n');
    assert.equal(good(await cli(['SET', 'a', 'b'])), 'OK\n');
    assert.equal(good(await cli(['GET', 'a'])), 'b\n');
    assert.equal(good(await cli(['--no-raw', 'GET', 'none'])), '(nil)\n');
    assert.equal(good(await cli([], 'SET n 1\nINCR n\nGET n\n')), 'OK\n2\n2\n');
    assert.equal(good(await cli(['-n', '3', 'DBSIZE'])), '0\n');
    assert.equal(good(await cli(['-x', 'SET', 'stdin'], 'from a pipe')), 'OK\n');
    assert.equal(good(await cli(['-r', '3', 'INCR', 'n'])), '3\n4\n5\n');
    assert.equal(good(await cli(['MULTI'])), 'OK\n');
  });

  test('redis-cli -3 and the forms of output', async () => {
    assert.equal(good(await cli(['-3', 'SET', 'a', 'b'])), 'OK\n');
    assert.match(good(await cli(['-3', '--no-raw', 'CONFIG', 'GET', 'databases'])), /1# "databases" => "16"/);
    assert.equal(good(await cli(['--raw', 'MGET', 'a', 'none'])), 'b\n\n');
    assert.equal(good(await cli(['--csv', 'MGET', 'a', 'none'])), '"b",NULL\n');
    assert.equal(good(await cli(['--json', 'MGET', 'a', 'none'])), '["b",null]\n');
    assert.match(good(await cli(['-3', 'HELLO'])), /proto\s*\n?.*3/s);
    assert.match(good(await cli(['INFO', 'server'])), /redis_version:7/);
  });

  test('redis-cli --pipe loads many keys', async () => {
    const lines: string[] = [];
    for (let i = 0; i < 20_000; i++) {
      const [key, value] = [`pipe:${i}`, `value ${i}`];
      lines.push(`*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`);
    }
    assert.match(goodEnough(await cli(['--pipe'], lines.join(''))), /errors: 0, replies: 20000/);
    assert.equal(good(await cli(['GET', 'pipe:19999'])), 'value 19999\n');
  });

  test('redis-cli --scan, --bigkeys, --memkeys', async () => {
    const found = good(await cli(['--scan', '--pattern', 'pipe:1999*']))
      .trim()
      .split('\n');
    assert.equal(found.length, 11);
    assert.equal(
      good(await cli(['--scan']))
        .trim()
        .split('\n').length,
      Number(good(await cli(['DBSIZE']))),
    );
    assert.match(goodEnough(await cli(['--bigkeys'])), /Biggest string found/);
    assert.match(goodEnough(await cli(['--memkeys'])), /Sampled \d+ keys in the keyspace/);
  });

  test('redis-cli --stat, --latency, --latency-history', async () => {
    // These run until they are interrupted; stdbuf lets their lines out before that.
    const endless = async (words: readonly string[]): Promise<string> => {
      const all = ['-oL', 'redis-cli', '-p', String(target.port), ...words];
      return (await runProgram('stdbuf', all, { timeoutMs: 1_500 })).stdout;
    };
    const [stat, latency, history] = await Promise.all([
      endless(['--stat', '-i', '0.1']),
      cli(['--latency', '--raw', '-i', '1']).then(good),
      endless(['--latency-history', '--raw', '-i', '1']),
    ]);
    assert.match(stat, /keys.*mem.*clients.*requests.*\d+ +[\d.]+[KMG]/s);
    assert.match(latency, /^\d+ \d+ [\d.]+ \d+/m);
    assert.match(history, /^\d+ \d+ [\d.]+ \d+/m);
  });

  for (const words of [
    ['-t', 'ping,set,get,incr,mset', '-n', '4000', '-P', '1'],
    ['-t', 'ping,set,get,incr,mset', '-n', '20000', '-P', '16'],
    ['-t', 'set,get', '-n', '6000', '-c', '1000'],
    ['-t', 'set,get', '-n', '20000', '-c', '1000', '-P', '16', '-r', '100000', '-d', '100'],
    ['-3', '-t', 'set,get', '-n', '2000'],
    ['-t', 'set', '-n', '500', '-k', '0'],
  ]) {
    test(`redis-benchmark ${words.join(' ')}`, async () => {
      const finished = await runProgram('redis-benchmark', ['-p', String(target.port), '--csv', ...words], {
        timeoutMs: 120_000,
      });
      assert.equal(finished.code, 0, finished.stderr);
      assert.doesNotMatch(finished.stdout + finished.stderr, /error/i);
      assert.ok(finished.stdout.trim().split('\n').length >= 2, finished.stdout);
    });
  }
});

/** As `good`, for output that speaks of errors although there were none. */
function goodEnough(finished: Finished): string {
  assert.equal(finished.code, 0, finished.stdout + finished.stderr);
  return finished.stdout;
}
