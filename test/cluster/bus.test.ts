/** The bus on a network in memory, in virtual time: what becomes of requests, connections and health. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Town } from './bus-town.ts';

void test('two nodes that know each other: one connection, requests and notices both ways', async () => {
  const town = new Town(1);
  const [a, b] = await town.pair();
  assert.deepEqual([a.health, b.health], [['b up'], ['a up']]);
  a.ask('b', 'one');
  a.ask('b', 'two');
  b.ask('a', 'three');
  a.bus.notice('b', a.outgoing('news', { method: 2 }));
  await town.pass(10);
  assert.deepEqual(b.came, ['16 a one', '16 a two', '2 a a:17001 news']);
  assert.deepEqual(a.came, ['16 b three']);
  assert.deepEqual(a.outcomes, ['one answered: one ok', 'two answered: two ok']);
  assert.deepEqual(b.outcomes, ['three answered: three ok']);
  assert.ok(a.bus.isHealthy('b') && b.bus.isHealthy('a'));
  assert.ok(a.bus.rttMs('b') >= 0.4 && a.bus.rttMs('b') < 1, `${a.bus.rttMs('b')} ms`);
  assert.equal(a.bus.metrics()['peers_connected'], 1);
});
