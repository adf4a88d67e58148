/** The program as an operator meets it: flags, files, signals, locks. Each test starts real processes. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { RawClient } from '../support/raw-client.ts';
import { RespError } from '../support/resp-decoder.ts';
import { freePort, KVORUM_MAIN, startKvorum } from '../support/server-process.ts';

const root = mkdtempSync(join(tmpdir(), 'kvorum-cli-'));
after(() => rmSync(root, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the program to its end. */
function run(...args: string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [KVORUM_MAIN, ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

test('--help names every option with its meaning, --version the version', async () => {
  const [help, version] = await Promise.all([run('--help'), run('--version')]);
  assert.equal(help.code, 0);
  for (const word of ['--port', '--appendfsync', '--block-cache-size', '6379', 'kvorum.conf']) {
    assert.ok(help.out.includes(word), word);
  }
  assert.match(version.out, /^kvorum \d+\.\d+\.\d+\n$/);
});

test('a configuration that cannot be used stops the start with all that is wrong', async () => {
  const path = join(root, 'bad.conf');
  writeFileSync(path, '# mine\nprot 7000\nappendonly no\n');
  const ended = await run(path, '--maxclients', 'x');
  assert.equal(ended.code, 1);
  assert.match(ended.err, /bad\.conf:2: unknown directive 'prot': did you mean 'port'\?/);
  assert.match(ended.err, /bad\.conf:3: .*log, which cannot be turned off/);
  assert.match(ended.err, /--maxclients: .*couldn't be parsed/);
  assert.match((await run('-x')).err, /unknown flag '-x'/);
  assert.match((await run('/nowhere.conf')).err, /cannot read '\/nowhere\.conf'/);
});

test('a directory serves one process; after a kill the next one takes it over', async () => {
  const directory = mkdtempSync(join(root, 'lock-'));
  const first = await startKvorum({ directory, flags: ['--appendfsync', 'always'] });
  const second = await run('--dir', directory, '--port', String(await freePort()));
  assert.equal(second.code, 1);
  assert.match(second.out, new RegExp(`is in use by another Kvorum \\(process ${first.pid}\\)`));
  const client = await RawClient.connect({ port: first.port });
  await client.call('SET', 'k', 'v');
  await first.kill();
  const third = await startKvorum({ directory });
  const again = await RawClient.connect({ port: third.port });
  assert.equal(await again.call('GET', 'k'), 'v');
  await Promise.all([client.close(), again.close()]);
  const exit = await third.stop();
  assert.equal(exit.code, 0);
  assert.ok(!existsSync(join(directory, 'kvorum.lock')));
});

test('tools look at the data of a node that does not run, and only then', async () => {
  const directory = mkdtempSync(join(root, 'tools-'));
  const server = await startKvorum({ directory, flags: ['--appendfsync', 'always'] });
  const client = await RawClient.connect({ port: server.port });
  await client.call('SET', 'k', 'v');
  const refused = await run('check', directory);
  assert.notEqual(refused.code, 0);
  assert.match(refused.out + refused.err, /is in use by another Kvorum/);
  await client.close();
  await server.stop();
  const checked = await run('check', directory);
  assert.deepEqual([checked.code, checked.err], [0, '']);
  assert.match((await run('dump', directory, '--records')).out, /1 put .*k\\x00/);
  assert.notEqual((await run('check')).code, 0);
});

test('a lock works where the path is longer than a socket may have', async () => {
  const directory = join(mkdtempSync(join(root, 'long-')), 'x'.repeat(120));
  const first = await startKvorum({ directory });
  const second = await run('--dir', directory, '--port', String(await freePort()));
  assert.match(second.out, /is in use by another Kvorum/);
  await first.stop();
});

test('an address that is taken is told, and the data is released', async () => {
  const first = await startKvorum();
  const ended = await run('--dir', join(root, 'taken'), '--port', String(first.port));
  assert.equal(ended.code, 1);
  assert.match(ended.out, new RegExp(`${first.port}`));
  await first.stop();
});

test('SIGTERM keeps what was acknowledged and removes the pid file', async () => {
  const directory = mkdtempSync(join(root, 'term-'));
  const pidfile = join(root, 'kvorum.pid');
  const logfile = join(root, 'kvorum.log');
  const server = await startKvorum({ directory, flags: ['--pidfile', pidfile, '--logfile', logfile] });
  assert.equal(readFileSync(pidfile, 'utf8'), `${server.pid}\n`);
  const client = await RawClient.connect({ port: server.port });
  const commands = Array.from({ length: 1000 }, (_, i) => ['SET', `k${i}`, `v${i}`]);
  await client.pipeline(commands);
  server.signal('SIGTERM');
  assert.deepEqual(await server.exited, { code: 0, signal: null });
  assert.ok(!existsSync(pidfile));
  const lines = readFileSync(logfile, 'utf8').trimEnd().split('\n');
  const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
  assert.match(messages[0] ?? '', /^Kvorum \d/);
  assert.match(messages[1] ?? '', new RegExp(`^ready: redis-cli -p ${server.port}$`));
  assert.equal(messages.at(-1), 'bye');
  const again = await startKvorum({ directory });
  const reader = await RawClient.connect({ port: again.port });
  assert.equal(await reader.call('DBSIZE'), 1000);
  assert.equal(await reader.call('GET', 'k999'), 'v999');
  await reader.close();
  await again.stop();
});

test('SHUTDOWN ends the process cleanly', async () => {
  const server = await startKvorum();
  const client = await RawClient.connect({ port: server.port });
  client.send('*1\r\n$8\r\nSHUTDOWN\r\n');
  assert.equal((await client.readToEnd()).length, 0);
  assert.deepEqual(await server.exited, { code: 0, signal: null });
  server.removeDirectory();
});

test('a file serves the start, CONFIG SET changes it and CONFIG REWRITE writes it', async () => {
  const path = join(root, 'good.conf');
  writeFileSync(path, '# kept\nmaxclients 50\ntimeout 0\n');
  const port = await freePort();
  const directory = mkdtempSync(join(root, 'file-'));
  const child = spawn(process.execPath, [KVORUM_MAIN, path, '--port', String(port), '--dir', directory], {
    stdio: 'ignore',
  });
  const client = await connected(port);
  assert.deepEqual(await client.call('CONFIG', 'GET', 'maxclients'), ['maxclients', '50']);
  await client.call('CONFIG', 'SET', 'timeout', '100', 'maxclients', '60');
  await client.call('CONFIG', 'REWRITE');
  const text = readFileSync(path, 'utf8');
  assert.match(text, /^# kept\nmaxclients 60\ntimeout 100\n# Generated by CONFIG REWRITE\n/);
  assert.match(text, new RegExp(`^port ${port}$`, 'm'));
  await client.close();
  const exited = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGTERM');
  await exited;
});

test('CONFIG SET port moves the server and goes back when it cannot', async () => {
  const [server, other] = await Promise.all([startKvorum(), startKvorum()]);
  const client = await RawClient.connect({ port: server.port });
  const refused = await client.call('CONFIG', 'SET', 'port', other.port);
  assert.ok(refused instanceof RespError);
  assert.match(refused.message, /argument 'port'\) - Unable to listen on this port/);
  const still = await RawClient.connect({ port: server.port });
  const port = await freePort();
  await still.call('CONFIG', 'SET', 'port', port);
  const moved = await RawClient.connect({ port });
  assert.deepEqual(await moved.call('CONFIG', 'GET', 'port'), ['port', String(port)]);
  await assert.rejects(RawClient.connect({ port: server.port }));
  await Promise.all([client.close(), still.close(), moved.close()]);
  await Promise.all([server.stop(), other.stop()]);
});

/** Connects as soon as the port is served. */
async function connected(port: number): Promise<RawClient> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await RawClient.connect({ port });
    } catch (error) {
      if (attempt > 500) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

test('a node of a cluster that is not allowed to listen, or has no certificate, says so and ends', async () => {
  const port = String(await freePort());
  const start = (...more: string[]): Promise<Ended> =>
    run('--port', port, '--dir', join(root, 'refused'), '--cluster-enabled', 'yes', ...more);
  const open = await start('--bind', '0.0.0.0');
  assert.equal(open.code, 1);
  assert.match(open.out + open.err, /set cluster-secret/);
  const bare = await start('--tls-cluster', 'yes');
  assert.equal(bare.code, 1);
  assert.match(bare.out + bare.err, /tls-cluster needs tls-cert-file/);
});

test('a node that cannot join its cluster says why and ends with exit code 1', async () => {
  const founder = await startKvorum({ flags: ['--cluster-enabled', 'yes'] });
  const directory = mkdtempSync(join(root, 'full-'));
  const alone = await startKvorum({ directory });
  const client = await RawClient.connect({ port: alone.port });
  await client.call('SET', 'k', 'v');
  await client.close();
  await alone.stop();
  const port = String(await freePort());
  const ended = await run('--dir', directory, '--port', port, '--join', `127.0.0.1:${founder.port}`);
  await founder.stop();
  assert.match(ended.out, /keys of its own.*this node cannot join its cluster/);
  assert.equal(ended.code, 1);
});
