/** Backup and restore as an operator does them: real processes, writes that go on meanwhile, damage, wrong words. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { RawClient } from '../support/raw-client.ts';
import { RespError, RespSimple, type RespValue } from '../support/resp-decoder.ts';
import { KVORUM_MAIN, type ServerProcess, startKvorum, type StartOptions } from '../support/server-process.ts';

const root = mkdtempSync(join(tmpdir(), 'kvorum-backup-'));
const servers: ServerProcess[] = [];
after(async () => {
  // A test that failed has left its servers running.
  await Promise.all(servers.map((server) => server.kill()));
  rmSync(root, { recursive: true, force: true });
});

const PASSWORD = 'open sesame';
const KEYS = 1_000;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function start(options: StartOptions): Promise<ServerProcess> {
  const server = await startKvorum(options);
  servers.push(server);
  return server;
}

/** Runs `kvorum <args>` to its end. */
function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [KVORUM_MAIN, ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

/** Runs it and wants success. */
async function runs(args: readonly string[], environment?: Readonly<Record<string, string>>): Promise<string> {
  const ended = await run(args, environment);
  assert.equal(ended.code, 0, `kvorum ${args.join(' ')}: ${ended.out}${ended.err}`);
  return ended.out;
}

async function clientOf(server: ServerProcess, password = ''): Promise<RawClient> {
  const client = await RawClient.connect({ port: server.port });
  if (password !== '') assert.equal(await ask(client, 'AUTH', password), 'OK');
  return client;
}

function plain(reply: RespValue): RespValue {
  if (reply instanceof RespError) return reply.message;
  return reply instanceof RespSimple ? reply.text : reply;
}

/** The reply, with OK and errors as plain text. */
async function ask(client: RawClient, ...words: readonly (string | number)[]): Promise<RespValue> {
  return plain(await client.call(...words));
}

async function persistence(client: RawClient): Promise<Map<string, string>> {
  const text = String(await ask(client, 'INFO', 'persistence'));
  return new Map(
    text.split('\r\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
}

function value(key: number, round: number): string {
  return `${round}/${key}/${'v'.repeat(key % 300)}`;
}

/** Sets every key to its value of this round; each is acknowledged when it resolves. */
async function fill(client: RawClient, round: number): Promise<void> {
  const keys = Array.from({ length: KEYS }, (_, key) => key);
  const replies = await client.pipeline(keys.map((key) => ['SET', `k${key}`, value(key, round)]));
  assert.ok(replies.every((reply) => plain(reply) === 'OK'));
}

/** Counts up a key, one acknowledged write after another, until told to stop; resolves with the number reached. */
async function countUp(client: RawClient, state: { acknowledged: number; stopped: boolean }): Promise<void> {
  while (!state.stopped) {
    const next = state.acknowledged + 1;
    assert.equal(await ask(client, 'SET', 'counter', String(next)), 'OK');
    state.acknowledged = next;
  }
}

test('a backup under writes has all that was acknowledged before; a node restored from it is a new one', async () => {
  const server = await start({
    directory: join(root, 'data'),
    flags: ['--requirepass', PASSWORD, '--memtable-size', '1mb'],
  });
  const client = await clientOf(server, PASSWORD);
  const writer = await clientOf(server, PASSWORD);
  await fill(client, 1);
  await ask(client, 'DEL', 'k7');
  await ask(client, 'SET', 'expiring', 'x', 'PX', '100000000');
  const state = { acknowledged: 0, stopped: false };
  const counting = countUp(writer, state);
  const target = join(root, 'backup');
  const refused = await run(['backup', '--port', String(server.port), target]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /NOAUTH/);
  assert.equal(existsSync(target), false, 'nothing is left of a backup that failed');
  const before = state.acknowledged;
  assert.ok(before > 0);
  await runs(['backup', '--port', String(server.port), target], { KVORUM_AUTH: PASSWORD });
  const afterwards = state.acknowledged;
  assert.ok(afterwards > before, 'writes went on during the backup');
  state.stopped = true;
  await counting;
  await fill(client, 2);
  const linked = await runs([
    'backup',
    '--port',
    String(server.port),
    '--pass',
    PASSWORD,
    '--link',
    join(root, 'linked'),
  ]);
  assert.match(linked, /tables?, .* in /);
  const name = await ask(client, 'CLUSTER', 'MYID');
  assert.match(await runs(['check', target]), /everything is in order/);
  await Promise.all([client.close(), writer.close()]);

  await runs(['restore', target, '--dir', join(root, 'restored')]);
  const restored = await start({ directory: join(root, 'restored') });
  const copy = await clientOf(restored);
  const keys = Array.from({ length: KEYS }, (_, key) => key);
  assert.deepEqual(
    await copy.pipeline(keys.map((key) => ['GET', `k${key}`])),
    keys.map((key) => (key === 7 ? null : value(key, 1))),
  );
  const counter = Number((await ask(copy, 'GET', 'counter')) ?? 0);
  assert.ok(counter >= before && counter <= afterwards + 1, `${before} ≤ ${counter} ≤ ${afterwards + 1}`);
  assert.ok(Number(await ask(copy, 'PTTL', 'expiring')) > 90_000_000);
  assert.equal(await ask(copy, 'DBSIZE'), KEYS - 1 + 1 + (counter > 0 ? 1 : 0));
  assert.notEqual(await ask(copy, 'CLUSTER', 'MYID'), name);
  await ask(copy, 'SET', 'k1', 'newer');
  assert.equal(await ask(copy, 'GET', 'k1'), 'newer', 'new writes stand above the restored ones');
  await copy.close();
  await restored.stop();
  await server.stop();

  await runs(['restore', join(root, 'linked'), '--dir', join(root, 'second')]);
  const second = await start({ directory: join(root, 'second') });
  const other = await clientOf(second);
  assert.equal(await ask(other, 'GET', 'k100'), value(100, 2));
  await other.close();
  await second.stop();
});

test('a stopped node is backed up with what only its log has, a running one is not touched', async () => {
  const directory = join(root, 'stopped');
  const server = await start({ directory, flags: ['--appendfsync', 'always'] });
  const client = await clientOf(server);
  await fill(client, 3);
  const target = join(root, 'offline');
  const refused = await run(['backup', '--dir', directory, target]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, new RegExp(`in use by another Kvorum \\(process ${server.pid}\\)`));
  assert.equal(existsSync(target), false);
  await server.kill();
  const files = readdirSync(directory).filter((name) => name !== 'kvorum.lock');
  const contents = files.map((name) => readFileSync(join(directory, name)));
  await runs(['backup', '--dir', directory, target]);
  assert.deepEqual(readdirSync(directory), files, 'the source keeps its files');
  for (const [i, name] of files.entries()) {
    assert.ok(contents[i]?.equals(readFileSync(join(directory, name))), `${name} is as it was`);
  }
  await runs(['restore', target, '--dir', join(root, 'from-offline')]);
  const restored = await start({ directory: join(root, 'from-offline') });
  const copy = await clientOf(restored);
  assert.equal(await ask(copy, 'DBSIZE'), KEYS);
  assert.equal(await ask(copy, 'GET', 'k999'), value(999, 3));
  await copy.close();
  await restored.stop();
});

test('a damaged backup is refused with file and offset, and nothing is left of the attempt', async () => {
  const server = await start({ directory: join(root, 'sound') });
  const client = await clientOf(server);
  await fill(client, 4);
  const backup = join(root, 'damaged');
  await runs(['backup', '--port', String(server.port), backup]);
  await client.close();
  await server.stop();
  const table = readdirSync(backup).find((name) => name.endsWith('.sst'));
  assert.ok(table !== undefined);
  const sound = readFileSync(join(backup, table));
  const bad = Buffer.from(sound);
  bad[1_000] = (bad[1_000] as number) ^ 1;
  writeFileSync(join(backup, table), bad);
  const target = join(root, 'never');
  const flipped = await run(['restore', backup, '--dir', target]);
  assert.equal(flipped.code, 1);
  assert.match(flipped.err, new RegExp(`damaged: table ${table} is damaged at offset \\d+: `));
  assert.equal(existsSync(target), false);
  writeFileSync(join(backup, table), sound.subarray(0, -1));
  assert.match(
    (await run(['restore', backup, '--dir', target])).err,
    new RegExp(`table ${table} is damaged at offset`),
  );
  rmSync(join(backup, table));
  assert.match((await run(['restore', backup, '--dir', target])).err, new RegExp(`table ${table} is missing`));
  writeFileSync(join(backup, table), sound);
  const manifest = readFileSync(join(backup, 'manifest.mdb'));
  writeFileSync(join(backup, 'manifest.mdb'), manifest.subarray(0, 8192));
  assert.match((await run(['restore', backup, '--dir', target])).err, /damaged\/manifest\.mdb is damaged/);
  rmSync(join(backup, 'manifest.mdb'));
  assert.match((await run(['restore', backup, '--dir', target])).err, /has no manifest/);
  writeFileSync(join(backup, 'manifest.mdb'), manifest);
  assert.equal(existsSync(target), false);
  mkdirSync(target);
  writeFileSync(join(target, 'mine'), '');
  assert.match((await run(['restore', backup, '--dir', target])).err, /is not empty/);
  rmSync(join(target, 'mine'));
  await runs(['restore', backup, '--dir', target]);
});

test('BGSAVE keeps as many checkpoints as it is told, and tells how it went', async () => {
  const server = await start({ directory: join(root, 'saves'), flags: ['--checkpoint-keep', '2'] });
  const client = await clientOf(server);
  const checkpoints = join(root, 'saves', 'checkpoints');
  await fill(client, 5);
  const started = Number(await ask(client, 'LASTSAVE'));
  const both = await client.pipeline([['BGSAVE'], ['BGSAVE'], ['SAVE']]);
  assert.equal(plain(both[0] ?? null), 'Background saving started');
  for (const reply of both.slice(1)) assert.match(String(plain(reply)), /Background save already in progress/);
  while ((await persistence(client)).get('rdb_bgsave_in_progress') !== '0') await new Promise(setImmediate);
  for (let i = 0; i < 3; i++) {
    await ask(client, 'SET', 'k', i);
    assert.equal(await ask(client, 'SAVE'), 'OK');
  }
  assert.equal(readdirSync(checkpoints).length, 2);
  const info = await persistence(client);
  assert.equal(info.get('rdb_last_bgsave_status'), 'ok');
  assert.equal(info.get('rdb_saves'), '4');
  assert.equal(info.get('rdb_changes_since_last_save'), '0');
  assert.ok(Number(info.get('rdb_last_bgsave_time_sec')) >= 0);
  assert.equal(info.get('last_checkpoint'), join(checkpoints, readdirSync(checkpoints).sort().at(-1) ?? ''));
  assert.ok(Number(await ask(client, 'LASTSAVE')) >= started);
  assert.equal(await ask(client, 'CONFIG', 'SET', 'checkpoint-keep', '0'), 'OK');
  assert.equal(await ask(client, 'SAVE'), 'OK');
  assert.equal(readdirSync(checkpoints).length, 2, 'with 0 nothing is taken and nothing removed');
  assert.match(
    (await run(['backup', '--port', String(server.port), join(root, 'none')])).err,
    /CONFIG SET checkpoint-keep/,
  );
  await ask(client, 'CONFIG', 'SET', 'checkpoint-keep', '1');
  rmSync(checkpoints, { recursive: true });
  writeFileSync(checkpoints, 'in the way');
  assert.match(String(await ask(client, 'SAVE')), /the save failed: /);
  assert.equal((await persistence(client)).get('rdb_last_bgsave_status'), 'err');
  assert.equal(await ask(client, 'GET', 'k'), '2', 'the server goes on');
  rmSync(checkpoints);
  assert.equal(await ask(client, 'SAVE'), 'OK');
  assert.equal((await persistence(client)).get('rdb_last_bgsave_status'), 'ok');
  await client.close();
  await server.stop();
});

test('wrong command lines are told apart from failures', async () => {
  const lines: readonly (readonly string[])[] = [
    ['backup'],
    ['backup', 'a', 'b', 'c'],
    ['backup', '--fast', 'a'],
    ['backup', '--dir', 'a', '--port', '7000', 'b'],
    ['backup', '--port', 'x', 'a'],
    ['restore', 'a'],
    ['restore', '--dir', 'a'],
    ['restore', 'a', '--dir', 'b', '--link'],
  ];
  const ended = await Promise.all(lines.map((line) => run(line)));
  for (const [i, { code, err }] of ended.entries()) {
    assert.equal(code, 2, lines[i]?.join(' '));
    assert.match(err, /see kvorum backup --help/);
  }
  assert.match(await runs(['restore', '--help']), /kvorum restore SOURCE --dir DIR/);
  const nobody = await run(['backup', '--port', '1', 'target']);
  assert.equal(nobody.code, 1);
  assert.match(nobody.err, /no server answers at 127\.0\.0\.1, port 1/);
  assert.equal((await run(['restore', 'nowhere', '--dir', 'target'])).code, 1);
  assert.equal(existsSync(join(root, 'target')), false);
});
