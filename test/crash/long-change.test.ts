/**
 * Changes that take turns, on a real server that is killed in the middle of one, or whose client goes: the rows are as before
 * or as after, never between, and what was written ahead is gone.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { RawClient, type Word } from '../support/raw-client.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';

const FIELDS = 8000;
const AT_ONCE = 1000;

const CHANGES: readonly (readonly Word[])[] = [
  ['RENAME', 'h', 'other'],
  ['COPY', 'h', 'other', 'REPLACE'],
  ['ZREMRANGEBYRANK', 'z', 0, FIELDS >> 1],
  ['ZUNIONSTORE', 'other', 1, 'z'],
];

async function fill(client: RawClient): Promise<void> {
  await client.call('FLUSHALL');
  for (let from = 0; from < FIELDS; from += AT_ONCE) {
    const numbers = Array.from({ length: AT_ONCE }, (_, i) => from + i);
    await client.call('HSET', 'h', ...numbers.flatMap((number) => [`field${number}`, `value${number}`]));
    await client.call('ZADD', 'z', ...numbers.flatMap((number) => [number, `member${number}`]));
  }
  await client.call('SET', 'other', 'text');
}

/** What there is of the rows: type, number of elements, and their sum. */
async function seen(client: RawClient): Promise<string> {
  const rows: string[] = [];
  for (const key of ['h', 'z', 'other']) {
    const type = String(((await client.call('TYPE', key)) as { text?: string }).text);
    let content: readonly string[] = [];
    if (type === 'hash') content = (await client.call('HGETALL', key)) as string[];
    if (type === 'zset') content = (await client.call('ZRANGE', key, 0, -1, 'WITHSCORES')) as string[];
    rows.push(`${key} ${type} ${content.length} ${content.join(' ').length} ${content[0]} ${content.at(-1)}`);
  }
  return rows.join('; ');
}

/** What the rows are before and after a change that nobody disturbs. */
async function bothStates(client: RawClient, change: readonly Word[]): Promise<readonly [string, string]> {
  await fill(client);
  const before = await seen(client);
  await client.call(...change);
  return [before, await seen(client)];
}

test('a kill in the middle leaves the rows as before or as after', async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'kvorum-long-'));
  let server: ServerProcess = await startKvorum({ directory });
  let cut = 0;
  try {
    for (const [i, change] of CHANGES.entries()) {
      const client = await RawClient.connect({ port: server.port });
      const [before, after] = await bothStates(client, change);
      assert.notEqual(before, after);
      await fill(client);
      client.send(Buffer.from(`${change.join(' ')}\r\n`));
      await sleep(10 + 5 * i);
      await server.kill();
      server = await startKvorum({ directory });
      const again = await RawClient.connect({ port: server.port });
      const found = await seen(again);
      assert.ok(found === before || found === after, `${change.join(' ')}: ${found}`);
      if (found === before) cut++;
      await again.call(...change);
      if (found === before) assert.equal(await seen(again), after, change.join(' '));
      await again.close();
    }
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  context.diagnostic(`${cut} of ${CHANGES.length} were cut short`);
});

test('a client that goes leaves whole rows, and those who waited go on', async () => {
  const server = await startKvorum();
  try {
    const client = await RawClient.connect({ port: server.port });
    for (const [i, change] of CHANGES.entries()) {
      const [before, after] = await bothStates(client, change);
      await fill(client);
      const gone = await RawClient.connect({ port: server.port });
      const id = await gone.call('CLIENT', 'ID');
      gone.send(Buffer.from(`${change.join(' ')}\r\n`));
      await sleep(5);
      if (i % 2 === 0) await gone.close();
      else await client.call('CLIENT', 'KILL', 'ID', id as number);
      // Each waits for as long as its row is held, and no longer.
      await Promise.all(['h', 'z', 'other'].map((key) => client.call('PERSIST', key)));
      const found = await seen(client);
      assert.ok(found === before || found === after, `${change.join(' ')}: ${found}`);
    }
  } finally {
    await server.stop();
  }
});

test('what a client sends behind a long change comes after it', async () => {
  const server = await startKvorum();
  try {
    const client = await RawClient.connect({ port: server.port });
    await fill(client);
    client.send(
      Buffer.from('RENAME h other\r\nHLEN other\r\nEXISTS h\r\nHSET other late 1\r\nRENAME other h\r\nHLEN h\r\n'),
    );
    const replies: unknown[] = [];
    for (let i = 0; i < 6; i++) replies.push(await client.reply());
    assert.deepEqual(
      replies.map((reply) => (reply as { text?: string }).text ?? reply),
      ['OK', FIELDS, 0, 1, 'OK', FIELDS + 1],
    );
    await client.close();
  } finally {
    await server.stop();
  }
});

test('a script that rests and a long change do not wait for each other', async () => {
  const server = await startKvorum({ flags: ['--busy-reply-threshold', '20'] });
  try {
    const client = await RawClient.connect({ port: server.port });
    const other = await RawClient.connect({ port: server.port });
    await fill(client);
    const body =
      'local t = 0 for i = 1, 2000000 do t = t + i end return redis.call("HLEN", KEYS[1]) + redis.call("EXISTS", "h")';
    const renamed = client.call('RENAME', 'h', 'other');
    // The rows are held by now, or the change is over.
    await sleep(5);
    assert.equal(await other.call('EVAL', body, 1, 'other'), FIELDS);
    assert.equal(((await renamed) as { text: string }).text, 'OK');
    const copied = client.call('COPY', 'other', 'h');
    assert.equal(await other.call('EVAL', body.replace('KEYS[1]', '"other"'), 0), FIELDS + 1);
    assert.equal(await copied, 1);
    await Promise.all([client.close(), other.close()]);
  } finally {
    await server.stop();
  }
});

test('increments that come while a hash is renamed to and fro are all there', async () => {
  const server = await startKvorum();
  try {
    const client = await RawClient.connect({ port: server.port });
    await fill(client);
    const state = { isOver: false };
    const renaming = (async () => {
      for (let i = 0; i < 6; i++) await client.call('RENAME', i % 2 === 0 ? 'h' : 'h2', i % 2 === 0 ? 'h2' : 'h');
      state.isOver = true;
    })();
    const counts = await Promise.all(
      [1, 2, 3].map(async (number) => {
        const other = await RawClient.connect({ port: server.port });
        let made = 0;
        for (; !state.isOver; made++) {
          // Which of both names it has does not matter to a transaction that looks.
          await other.call(
            'EVAL',
            'return redis.call("HINCRBY", redis.call("EXISTS", "h") == 1 and "h" or "h2", ARGV[1], 1)',
            0,
            `count${number}`,
          );
        }
        await other.close();
        return made;
      }),
    );
    await renaming;
    const found = (await client.call('HMGET', 'h', 'count1', 'count2', 'count3')) as string[];
    assert.deepEqual(found.map(Number), counts);
    assert.equal(await client.call('HLEN', 'h'), FIELDS + 3);
    assert.equal(await client.call('EXISTS', 'h2'), 0);
    await client.close();
  } finally {
    await server.stop();
  }
});
