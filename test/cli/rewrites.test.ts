/**
 * Keys that are written again and again within one turn: their heads take one record's place in memory and log, so replies
 * that show an older value must have it still, and what is replayed after a kill must be the last one.
 */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { RawClient } from '../support/raw-client.ts';
import { RespSimple, type RespValue } from '../support/resp-decoder.ts';
import { startKvorum } from '../support/server-process.ts';

/** Commands of one write to the socket, and their replies. */
const TURN: readonly (readonly [line: string, reply: string | number])[] = [
  ['SET s aaaa', 'OK'],
  ['SET s bbbb', 'OK'],
  ['GETSET s cccc', 'bbbb'],
  ['SET s dddd', 'OK'],
  ['SET s eeee GET', 'dddd'],
  ['GET s', 'eeee'],
  ['INCR n', 1],
  ['INCR n', 2],
  ['INCR n', 3],
  ['GET n', '3'],
  ['HSET h f 1111', 1],
  ['HSET h f 2222', 0],
  ['HSET h f 3333', 0],
  ['HGET h f', '3333'],
  ['RPUSH l a b c', 3],
  ['LSET l 0 x', 'OK'],
  ['LSET l 0 y', 'OK'],
  ['LMOVE l l LEFT RIGHT', 'y'],
  ['LMOVE l l LEFT RIGHT', 'b'],
  ['LPOP l', 'c'],
  ['DEL s', 1],
  ['SET s ffff', 'OK'],
  ['SET s gggg', 'OK'],
  ['DBSIZE', 4],
];

function plain(reply: RespValue): unknown {
  return reply instanceof RespSimple ? reply.text : reply;
}

test('replies of a turn show what was, and a kill leaves the last that was written', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'kvorum-rewrites-'));
  try {
    let server = await startKvorum({ directory });
    const client = await RawClient.connect({ port: server.port });
    const replies = await client.pipeline(TURN.map(([line]) => line.split(' ')));
    assert.deepEqual(
      replies.map(plain),
      TURN.map(([, reply]) => reply),
    );
    // Large enough for cells: only the head is written again.
    const pushes = Array.from({ length: 300 }, (_, i) => ['LPUSH', 'long', `element ${i}`]);
    assert.equal((await client.pipeline(pushes)).at(-1), 300);
    await client.close();
    await server.kill();
    server = await startKvorum({ directory });
    const after = await RawClient.connect({ port: server.port });
    const ask = async (...words: string[]): Promise<unknown> => plain(await after.call(...words));
    assert.deepEqual(
      [await ask('GET', 's'), await ask('GET', 'n'), await ask('HGET', 'h', 'f'), await ask('LLEN', 'long')],
      ['gggg', '3', '3333', 300],
    );
    assert.deepEqual(await after.call('LRANGE', 'l', '0', '-1'), ['y', 'b']);
    assert.equal(await ask('LINDEX', 'long', '0'), 'element 299');
    assert.equal(await ask('DBSIZE'), 5);
    await after.close();
    await server.stop();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
