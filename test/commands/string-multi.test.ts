import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandRunner } from '../support/command-runner.ts';

test('MGET reads all that is on disk in two rounds: heads, then long values', async () => {
  const runner = new CommandRunner();
  const keys = Array.from({ length: 30 }, (_, i) => `k${i}`);
  for (const [i, key] of keys.entries()) await runner.run('SET', key, String(i).repeat(i % 2 === 0 ? 1 : 2000));
  runner.store.chill();
  let rounds = 0;
  const fetch = runner.store.fetch.bind(runner.store);
  let open = 0;
  runner.store.fetch = async (key) => {
    if (open++ === 0) rounds++;
    await new Promise((resolve) => setImmediate(resolve));
    open--;
    await fetch(key);
  };
  const values = (await runner.run('MGET', ...keys)) as string[];
  assert.deepEqual(
    values,
    keys.map((_, i) => String(i).repeat(i % 2 === 0 ? 1 : 2000)),
  );
  assert.equal(rounds, 2);
});
