/** `kvorum demo`: what it decides, and once the whole of it with real processes. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { DemoMistake, demoNodes, goneText, isFormed, parseDemo, readyText } from '../../src/demo.ts';
import { RawClient } from '../support/raw-client.ts';
import { KVORUM_MAIN } from '../support/server-process.ts';

const READY_TIMEOUT_MS = 60_000;

test('its command line: nodes, ports, flags for every node, and what makes no sense', () => {
  const line = parseDemo(['--nodes', '2', '--port', '7101', '--', '--appendfsync', 'always']);
  assert.deepEqual(line, {
    help: false,
    nodes: 2,
    port: 7101,
    dir: undefined,
    extra: ['--appendfsync', 'always'],
  });
  const [first, second] = demoNodes(line, '/d');
  assert.deepEqual([first?.port, first?.dir, first?.logfile], [7101, '/d/node-1', '/d/node-1.log']);
  assert.ok(first?.args.join(' ').endsWith('--cluster-enabled yes --appendfsync always'));
  assert.ok(second?.args.join(' ').includes('--join 127.0.0.1:7101'));
  assert.equal(parseDemo(['--help']).help, true);
  assert.equal(demoNodes(parseDemo([]), '/d').length, 3);
  for (const wrong of [['--nodes', '0'], ['--nodes', 'x'], ['--port', '55535', '--nodes', '3'], ['--what'], ['more']]) {
    assert.throws(() => parseDemo(wrong), DemoMistake, wrong.join(' '));
  }
});

test('it is ready when all slots have come to all nodes', () => {
  const info = (state: string, nodes: number, size: number, moving: number): string =>
    `cluster_state:${state}\r\ncluster_known_nodes:${nodes}\r\ncluster_size:${size}\r\ncluster_slots_moving:${moving}\r\ncluster_slots_short_of_replicas:0\r\n`;
  assert.equal(isFormed(info('ok', 3, 3, 0), 3), true);
  for (const not of [info('fail', 3, 3, 0), info('ok', 2, 2, 0), info('ok', 3, 2, 0), info('ok', 3, 3, 5), '']) {
    assert.equal(isFormed(not, 3), false);
  }
  assert.equal(isFormed('cluster_state:ok\r\ncluster_known_nodes:1\r\ncluster_size:1\r\n', 1), true);
});

test('what it says', () => {
  const nodes = demoNodes(parseDemo(['--port', '7101']), '/d').map((node) => ({ ...node, processId: node.number }));
  const text = readyText(nodes, 1.25, false);
  assert.match(text, /^3 nodes are one cluster after 1\.[23] s; each key is kept 3 times:/);
  assert.match(text, /kill -9 2 /);
  assert.match(readyText(nodes.slice(0, 1), 1, true), /^one node is one cluster .* kept once/);
  assert.match(goneText(nodes[1] as (typeof nodes)[1], 'SIGKILL', 'node main.js'), /node 2 has ended \(SIGKILL\)/);
});

test('three nodes with one command: ready, any node takes any command, one is killed, Ctrl-C ends all', async (t) => {
  // Below the ports that the system gives out by itself, and with room for the bus above.
  const port = 11_000 + (process.pid % 9_000);
  const child = spawn(process.execPath, [KVORUM_MAIN, 'demo', '--nodes', '3', '--port', String(port)]);
  t.after(() => child.kill('SIGTERM'));
  let out = '';
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const says = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`not said: ${pattern}\n${out}`)), READY_TIMEOUT_MS);
      const look = (): void => {
        if (!pattern.test(out)) return;
        clearTimeout(late);
        resolve();
      };
      child.stdout.on('data', look);
      look();
    });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (out += chunk.toString()));
  await says(/Ctrl-C stops them all/);
  const clients = await Promise.all([0, 1, 2].map((i) => RawClient.connect({ port: port + i })));
  const [first, , third] = clients as [RawClient, RawClient, RawClient];
  await first.call('set', 'greeting', 'hello');
  assert.equal(await third.call('get', 'greeting'), 'hello');
  const victim = Number(/node 2 .*process (\d+)/.exec(out)?.[1]);
  process.kill(victim, 'SIGKILL');
  await says(/node 2 has ended \(SIGKILL\)/);
  let answer: unknown;
  // Until the others have noticed, a read may wait for the one that is gone.
  for (let tries = 0; tries < 10 && answer !== 'hello'; tries++) answer = await third.call('get', 'greeting');
  assert.equal(answer, 'hello');
  await Promise.all([first, third].map((client) => client.close()));
  const log = /log (\S+node-1\.log)/.exec(out)?.[1] ?? '';
  assert.ok(existsSync(log));
  child.kill('SIGINT');
  assert.equal(await ended, 0);
  assert.ok(!existsSync(dirname(log)), 'the data is removed');
  await assert.rejects(RawClient.connect({ port }));
});
