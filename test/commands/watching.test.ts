/** What watches commands run: slow log, latency events, MONITOR's lines, pauses, rates. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Args } from '../../src/commands/args.ts';
import { Client, type ClientConnection } from '../../src/commands/client.ts';
import { hiddenWords } from '../../src/commands/hidden-words.ts';
import { HISTORY_LENGTH, LatencyMonitor } from '../../src/commands/latency-monitor.ts';
import { monitorLine } from '../../src/commands/monitor-feed.ts';
import { Pause } from '../../src/commands/pause.ts';
import { RateMeter } from '../../src/commands/rate-meter.ts';
import { Slowlog } from '../../src/commands/slowlog-ring.ts';
import type { Env } from '../../src/env.ts';

const NOBODY = new Set<number>();

function entry(durationUs: number): Parameters<Slowlog['record']>[1] {
  return { time: 1, durationUs, peer: '127.0.0.1:1', clientName: 'me' };
}

function texts(words: readonly Uint8Array[]): string[] {
  return words.map((word) => Buffer.from(word).toString('latin1'));
}

test('the slow log keeps the newest of the slow ones', () => {
  const slowlog = new Slowlog();
  slowlog.thresholdUs = 10;
  slowlog.limit(3);
  for (const us of [9, 10, 11, 12, 13]) slowlog.record(Args.of('get', `k${us}`), entry(us), NOBODY);
  assert.deepEqual(
    slowlog.latest(10).map(({ id, durationUs, words }) => [id, durationUs, texts(words)]),
    [
      [3, 13, ['get', 'k13']],
      [2, 12, ['get', 'k12']],
      [1, 11, ['get', 'k11']],
    ],
  );
  assert.equal(slowlog.latest(1)[0]?.id, 3);
  slowlog.limit(1);
  assert.equal(slowlog.length, 1);
  slowlog.reset();
  slowlog.thresholdUs = -1;
  slowlog.record(Args.of('get'), entry(1e9), NOBODY);
  assert.equal(slowlog.length, 0);
});

test('the slow log shortens long commands and long words, and hides secrets', () => {
  const slowlog = new Slowlog();
  slowlog.thresholdUs = 0;
  slowlog.record(Args.of('mset', ...Array.from({ length: 40 }, (_, i) => `w${i}`)), entry(1), NOBODY);
  const words = texts(slowlog.latest(1)[0]?.words ?? []);
  assert.equal(words.length, 32);
  assert.equal(words[31], '... (10 more arguments)');
  slowlog.record(Args.of('set', 'k', 'x'.repeat(130)), entry(1), NOBODY);
  assert.equal(texts(slowlog.latest(1)[0]?.words ?? [])[2], `${'x'.repeat(128)}... (2 more bytes)`);
  const secret = Args.of('auth', 'me', 'secret');
  slowlog.record(secret, entry(1), hiddenWords(secret));
  assert.deepEqual(texts(slowlog.latest(1)[0]?.words ?? []), ['auth', '(redacted)', '(redacted)']);
});

test('secrets are found wherever commands take them', () => {
  const hidden = (...words: string[]): number[] => [...hiddenWords(Args.of(...words))];
  assert.deepEqual(hidden('HELLO', '3', 'SETNAME', 'x', 'AUTH', 'user', 'pass'), [5, 6]);
  assert.deepEqual(hidden('config', 'set', 'maxclients', '5', 'RequirePass', 'p'), [5]);
  assert.deepEqual(hidden('config', 'get', 'requirepass'), []);
  assert.deepEqual(hidden('acl', 'setuser', 'a', '>p'), [2, 3]);
  assert.deepEqual(hidden('migrate', 'h', '1', '', '0', '9', 'AUTH2', 'u', 'p', 'KEYS', 'k'), [7, 8]);
  assert.deepEqual(hidden('get', 'auth'), []);
});

test('latency events keep one sample a second, the worst of it', () => {
  const latency = new LatencyMonitor();
  latency.record('command', 500, 1);
  assert.deepEqual(latency.events(), []);
  latency.thresholdMs = 100;
  latency.record('command', 99, 1);
  latency.record('command', 200, 2);
  latency.record('command', 150, 2);
  latency.record('command', 300, 2);
  latency.record('command', 120, 3);
  assert.deepEqual(latency.event('command'), {
    name: 'command',
    samples: [
      { time: 2, ms: 300 },
      { time: 3, ms: 120 },
    ],
    maxMs: 300,
  });
  for (let time = 4; time < 400; time++) latency.record('command', 100, time);
  assert.equal(latency.event('command')?.samples.length, HISTORY_LENGTH);
  assert.equal(latency.reset(['other']), 0);
  assert.equal(latency.reset([]), 1);
});

function clientAt(peer: string, database: number): Client {
  const connection = { peer } as ClientConnection;
  const server = {} as ConstructorParameters<typeof Client>[0]['server'];
  const client = new Client({ id: 1, server, connection, nowMs: 0, authenticated: true });
  client.database = database;
  return client;
}

test('a line of MONITOR shows every byte', () => {
  const args = Args.of('set', 'a"\\\n\r\t\u0007\b', Uint8Array.of(0, 0x7f, 0xff));
  assert.equal(
    monitorLine(clientAt('127.0.0.1:60866', 3), args, 1_339_518_083_107_412),
    '1339518083.107412 [3 127.0.0.1:60866] "set" "a\\"\\\\\\n\\r\\t\\a\\b" "\\x00\\x7f\\xff"',
  );
  assert.equal(
    monitorLine(clientAt('[::1]:5', 0), Args.of('AUTH', 'pass'), 1_000_007),
    '1.000007 [0 [::1]:5] "AUTH" "(redacted)"',
  );
});

/** A clock and one timer, moved by hand. */
class ManualTime {
  nowMs = 0;
  private due: { atMs: number; callback: () => void } | undefined;

  readonly env = {
    clock: { wallMs: () => this.nowMs, monotonicUs: () => this.nowMs * 1000 },
    timers: {
      after: (delayMs: number, callback: () => void) => {
        const due = { atMs: this.nowMs + delayMs, callback };
        this.due = due;
        return {
          cancel: () => {
            if (this.due === due) this.due = undefined;
          },
        };
      },
    },
  } as unknown as Env;

  advance(ms: number): void {
    this.nowMs += ms;
    const { due } = this;
    if (due === undefined || due.atMs > this.nowMs) return;
    this.due = undefined;
    due.callback();
  }
}

test('a pause holds its waiters until its time is over, and a second one replaces it', async () => {
  const time = new ManualTime();
  const pause = new Pause(time.env);
  await pause.over();
  pause.begin('all', 100);
  pause.begin('write', 200);
  let released = 0;
  void pause.over().then(() => released++);
  void pause.over().then(() => released++);
  assert.equal(pause.waiting, 2);
  time.advance(150);
  await Promise.resolve();
  assert.deepEqual([pause.mode, released], ['write', 0]);
  time.advance(50);
  await Promise.resolve();
  assert.deepEqual([pause.mode, released], ['none', 2]);
  pause.begin('all', 2 ** 40);
  time.advance(2 ** 31 - 1);
  assert.equal(pause.mode, 'all');
  pause.end();
  assert.equal(pause.mode, 'none');
});

test('a rate is the mean of the last samples', () => {
  const meter = new RateMeter();
  for (let i = 0; i <= 16; i++) meter.sample(i * 50, i * 100_000);
  assert.equal(meter.perSecond, 500);
  meter.sample(0, 17 * 100_000);
  assert.ok(meter.perSecond < 500);
  meter.restart();
  assert.equal(meter.perSecond, 0);
});
