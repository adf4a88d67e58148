/** Clients of one running server: who gets in, who watches, who waits, who is closed. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RawClient } from '../support/raw-client.ts';
import { RespError, RespMap, RespSimple, RespVerbatim, type RespValue } from '../support/resp-decoder.ts';
import { type ServerProcess, startKvorum } from '../support/server-process.ts';

let server: ServerProcess;
let admin: RawClient;

before(async () => {
  server = await startKvorum({ flags: ['--slowlog-log-slower-than', '-1'] });
  admin = await RawClient.connect({ port: server.port });
});

after(async () => {
  await admin?.close();
  await server?.stop();
});

function client(): Promise<RawClient> {
  return RawClient.connect({ port: server.port });
}

function message(reply: RespValue): string {
  return reply instanceof RespError ? reply.message : `no error: ${JSON.stringify(reply)}`;
}

function simple(reply: RespValue): string {
  return reply instanceof RespSimple ? reply.text : String(reply);
}

async function set(...pairs: string[]): Promise<void> {
  assert.equal(simple(await admin.call('CONFIG', 'SET', ...pairs)), 'OK');
}

test('a password keeps out those who do not know it', async () => {
  await set('requirepass', 'sesame');
  try {
    const guest = await client();
    assert.match(message(await guest.call('GET', 'k')), /^NOAUTH/);
    assert.match(message(await guest.call('HELLO', '3')), /^NOAUTH HELLO must be called/);
    assert.match(message(await guest.call('AUTH', 'wrong')), /^WRONGPASS/);
    assert.match(message(await guest.call('AUTH', 'nobody', 'sesame')), /^WRONGPASS/);
    const hello = await guest.call('HELLO', '3', 'AUTH', 'default', 'sesame', 'SETNAME', 'guest');
    assert.ok(hello instanceof RespMap);
    assert.equal(await guest.call('CLIENT', 'GETNAME'), 'guest');
    assert.equal(simple(await guest.call('RESET')), 'RESET');
    assert.match(message(await guest.call('GET', 'k')), /^NOAUTH/);
    assert.equal(simple(await guest.call('AUTH', 'sesame')), 'OK');
    // Whoever was in before stays in.
    assert.equal(simple(await admin.call('PING')), 'PONG');
    await guest.close();
  } finally {
    await set('requirepass', '');
  }
});

test('DEBUG POPULATE makes keys and DEBUG FLUSHALL ends them; commands inside EXEC count as run', async () => {
  const one = await client();
  assert.equal(simple(await one.call('DEBUG', 'POPULATE', '25', 'made', '10')), 'OK');
  assert.equal(await one.call('DBSIZE'), 25);
  assert.equal(simple(await one.call('DEBUG', 'FLUSHALL')), 'OK');
  assert.equal(await one.call('DBSIZE'), 0);
  await one.call('CONFIG', 'RESETSTAT');
  await one.call('MULTI');
  await one.call('STRLEN', 'none');
  await one.call('EXEC');
  await one.call('GET', 'none');
  const info = await one.call('INFO', 'commandstats', 'stats');
  const text = info instanceof RespVerbatim ? info.text : String(info);
  assert.match(text, /cmdstat_strlen:calls=1,/);
  assert.match(text, /keyspace_misses:1\r/);
  await one.close();
});

test('maxclients refuses the next one with its reason', async () => {
  await set('maxclients', '2');
  try {
    const second = await client();
    await second.call('PING');
    const third = await client();
    assert.equal((await third.readToEnd()).toString(), '-ERR max number of clients reached\r\n');
    await second.close();
    const count = /connected_clients:(\d+)/.exec(text(await admin.call('INFO', 'clients')));
    assert.ok(Number(count?.[1]) <= 2);
  } finally {
    await set('maxclients', '10000');
  }
});

function text(reply: RespValue): string {
  return reply instanceof RespVerbatim ? reply.text : String(reply);
}

test('MONITOR shows commands in order, without secrets, until RESET', async () => {
  const watcher = await client();
  const worker = await client();
  assert.equal(simple(await watcher.call('MONITOR')), 'OK');
  await worker.call('SET', 'a', 'b\u0000');
  await worker.call('AUTH', 'x', 'secret');
  await worker.call('CONFIG', 'GET', 'port');
  await worker.call('GET', 'a');
  const lines = [simple(await watcher.reply()), simple(await watcher.reply()), simple(await watcher.reply())];
  assert.match(lines[0] ?? '', /^\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "a" "b\\x00"$/);
  assert.match(lines[1] ?? '', /"AUTH" "\(redacted\)" "\(redacted\)"$/);
  assert.match(lines[2] ?? '', /"GET" "a"$/);
  await watcher.call('RESET');
  await worker.call('GET', 'a');
  assert.equal(simple(await watcher.call('PING')), 'PONG');
  await Promise.all([watcher.close(), worker.close()]);
});

test('CLIENT PAUSE WRITE holds writes and lets reads through', async () => {
  const writer = await client();
  const reader = await client();
  await reader.call('SET', 'p', '1');
  await admin.call('CLIENT', 'PAUSE', '60000', 'WRITE');
  let written = false;
  const write = writer.call('SET', 'p', '2').then((reply) => {
    written = true;
    return reply;
  });
  for (let i = 0; i < 20; i++) assert.equal(await reader.call('GET', 'p'), '1');
  assert.equal(written, false);
  await admin.call('CLIENT', 'UNPAUSE');
  assert.equal(simple(await write), 'OK');
  assert.equal(await reader.call('GET', 'p'), '2');
  await Promise.all([writer.close(), reader.close()]);
});

test('CLIENT PAUSE ALL ends by itself', async () => {
  await admin.call('CLIENT', 'PAUSE', '50');
  assert.equal(simple(await admin.call('PING')), 'PONG');
});

test('CLIENT KILL closes by id, by address and by filters', async () => {
  const [first, second, third] = await Promise.all([client(), client(), client()]);
  const id = await first.call('CLIENT', 'ID');
  assert.equal(await admin.call('CLIENT', 'KILL', 'ID', id as number), 1);
  await first.closed;
  const address = / addr=(\S+)/.exec(text(await second.call('CLIENT', 'INFO')))?.[1] ?? '';
  assert.equal(simple(await admin.call('CLIENT', 'KILL', address)), 'OK');
  await second.closed;
  assert.match(message(await admin.call('CLIENT', 'KILL', address)), /No such client/);
  const local = / addr=(\S+)/.exec(text(await third.call('CLIENT', 'INFO')))?.[1] ?? '';
  assert.equal(await admin.call('CLIENT', 'KILL', 'ADDR', local, 'TYPE', 'pubsub'), 0);
  assert.equal(await admin.call('CLIENT', 'KILL', 'ADDR', local, 'TYPE', 'normal', 'USER', 'default'), 1);
  await third.closed;
  const self = await client();
  assert.equal(await self.call('CLIENT', 'KILL', 'ID', (await self.call('CLIENT', 'ID')) as number, 'SKIPME', 'no'), 1);
  await self.closed;
});

test('CLIENT REPLY keeps silent as told', async () => {
  const quiet = await client();
  quiet.send('CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\nPING\r\nCLIENT REPLY SKIP\r\nECHO a\r\nECHO b\r\n');
  assert.deepEqual(
    [simple(await quiet.reply()), simple(await quiet.reply()), await quiet.reply()],
    ['OK', 'PONG', 'b'],
  );
  await quiet.close();
});

test('INFO counts what happens, and CONFIG RESETSTAT forgets it', async () => {
  await admin.call('CONFIG', 'RESETSTAT');
  const worker = await client();
  await worker.call('SET', 'i', 'x');
  await worker.call('GET', 'i');
  await worker.call('INCR', 'i');
  await worker.call('GET');
  const stats = text(await admin.call('INFO', 'commandstats', 'errorstats', 'stats'));
  assert.match(stats, /^cmdstat_set:calls=1,usec=\d+,usec_per_call=[\d.]+,rejected_calls=0,failed_calls=0\r$/m);
  assert.match(stats, /^cmdstat_get:calls=1,.*rejected_calls=1,failed_calls=0\r$/m);
  assert.match(stats, /^cmdstat_incr:calls=1,.*failed_calls=1\r$/m);
  assert.match(stats, /^errorstat_ERR:count=2\r$/m);
  assert.match(stats, /^total_connections_received:1\r$/m);
  assert.match(stats, /^total_error_replies:2\r$/m);
  await worker.close();
});

test('SLOWLOG and LATENCY keep what took long', async () => {
  await set('slowlog-log-slower-than', '20000', 'latency-monitor-threshold', '20');
  await admin.call('DEBUG', 'SLEEP', '0.03');
  await admin.call('PING');
  const entries = (await admin.call('SLOWLOG', 'GET')) as RespValue[][];
  assert.equal(entries.length, 1);
  assert.deepEqual(entries[0]?.[3], ['DEBUG', 'SLEEP', '0.03']);
  const latest = (await admin.call('LATENCY', 'LATEST')) as RespValue[][];
  assert.equal(latest[0]?.[0], 'command');
  assert.ok((latest[0]?.[3] as number) >= 20);
  assert.match(text(await admin.call('LATENCY', 'GRAPH', 'command')), /all time high/);
  assert.equal(await admin.call('LATENCY', 'RESET'), 1);
  await set('slowlog-log-slower-than', '-1', 'latency-monitor-threshold', '0');
});

test('an HTTP request is cut off before its second line runs', async () => {
  const browser = await client();
  browser.send('POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET http 1\r\n');
  assert.equal((await browser.readToEnd()).length, 0);
  assert.equal(await admin.call('EXISTS', 'http'), 0);
});

test('expired keys nobody reads go by themselves', async () => {
  await admin.call('CONFIG', 'RESETSTAT');
  await admin.pipeline(Array.from({ length: 500 }, (_, i) => ['SET', `e${i}`, 'x', 'PX', '1']));
  for (let attempt = 0; ; attempt++) {
    const expired = Number(/expired_keys:(\d+)/.exec(text(await admin.call('INFO', 'stats')))?.[1]);
    if (expired === 500) break;
    assert.ok(attempt < 500, `${expired} of 500 keys expired`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});
