/**
 * The guarantee of SCAN: what is there from the start of a scan to its end is returned at least once, and what never was
 * there is not, whatever else is written meanwhile. On Kvorum also across a kill -9 in the middle of the scan. With
 * KVORUM_TEST_ORACLE=1 the program runs on redis-server as well.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { onBothServers } from '../test/clients/both-servers.ts';
import { SeededRandom } from '../test/crash/seeded-random.ts';
import { TestConnection } from './harness/connection.ts';
import { leafBytes, show } from './harness/tree.ts';

const STABLE = 1_500;
const CHURN = 2_000;

/** Keys of many slots, of one slot, and of any bytes. */
function stableKeys(): string[] {
  return Array.from({ length: STABLE }, (_, i) => {
    if (i % 3 === 0) return `stable:${i}`;
    return i % 3 === 1 ? `{one slot}${i}` : `\0${i}{}\xff`;
  });
}

/** Writes, deletes, renames and lets expire what is not stable, until told to stop. */
async function churn(port: number, random: SeededRandom, stopped: () => boolean): Promise<void> {
  const connection = await TestConnection.open(port);
  const key = (): string => `churn:${random.below(CHURN)}`;
  while (!stopped()) {
    await Promise.all(
      Array.from({ length: 20 }, () =>
        random.pick([
          () => connection.send('SET', key(), 'x'.repeat(random.below(200))),
          () => connection.send('SET', `{one slot}churn${random.below(CHURN)}`, 'x'),
          () => connection.send('DEL', key(), key()),
          () => connection.send('RENAME', key(), key()),
          () => connection.send('SET', key(), 'x', 'PX', '1'),
        ])(),
      ),
    );
  }
  connection.close();
}

onBothServers('SCAN under concurrent writes', (target) => {
  for (const [count, interrupted] of [
    [10, false],
    [100, false],
    [25, true],
  ] as const) {
    // Redis hashes anew after a restart, so its cursors do not outlive it.
    if (interrupted && target.name !== 'kvorum') continue;
    test(`COUNT ${count}${interrupted ? ', killed in the middle' : ''}`, async () => {
      const keys = stableKeys();
      let connection = await TestConnection.open(target.port);
      await connection.send('FLUSHALL');
      await Promise.all(keys.map((key) => connection.send('SET', Buffer.from(key, 'latin1'), 'value')));
      let stop = false;
      const random = new SeededRandom(count);
      let writing = churn(target.port, random, () => stop);
      const seen = new Set<string>();
      let cursor = '0';
      let calls = 0;
      do {
        const reply = await connection.send('SCAN', cursor, 'COUNT', String(count));
        const [next, page] = reply.kind === 'array' ? reply.items : [];
        assert.ok(next !== undefined && page?.kind === 'array', show(reply));
        for (const item of page.items) seen.add(leafBytes(item).toString('latin1'));
        cursor = leafBytes(next).toString();
        assert.ok(Number(cursor) <= Number.MAX_SAFE_INTEGER, `clients that use doubles break on ${cursor}`);
        if (interrupted && ++calls === 30) {
          stop = true;
          await writing;
          connection.close();
          await target.restart();
          connection = await TestConnection.open(target.port);
          stop = false;
          writing = churn(target.port, random, () => stop);
        }
      } while (cursor !== '0');
      stop = true;
      await writing;
      connection.close();
      assert.deepEqual(
        keys.filter((key) => !seen.has(key)),
        [],
        'stable keys that were not returned',
      );
      const known = new Set(keys);
      const invented = [...seen].filter((key) => !known.has(key) && !/^(\{one slot\}churn|churn:)\d+$/.test(key));
      assert.deepEqual(invented, []);
    });
  }
});
