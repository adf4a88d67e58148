/** The scripts of test/commands/scripts: from memory, with every read missing first, and against the real server. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { CommandRunner } from '../support/command-runner.ts';
import { loadScript, runBlock, runBlockOn } from '../support/command-script.ts';
import { RawClient } from '../support/raw-client.ts';
import { redisServerVersion, startRedis } from '../support/redis-process.ts';
import type { ServerProcess } from '../support/server-process.ts';

/** What redis-server 7.0 does not have, or is written with its source in the file instead of recorded. */
const NOT_RECORDED = new Set(['newer', 'range-keys', 'time']);

const names = readdirSync(new URL('../../../test/commands/scripts', import.meta.url)).map((file) =>
  file.replace(/\.txt$/, ''),
);

const version = redisServerVersion();
const skip = version?.startsWith('7.0.') === true ? false : `needs redis-server 7.0, found ${version ?? 'none'}`;
let redis: ServerProcess | undefined;
let client: RawClient | undefined;

before(async () => {
  if (skip !== false) return;
  redis = await startRedis();
  client = await RawClient.connect({ port: redis.port });
});

after(async () => {
  await client?.close();
  await redis?.stop();
});

test('there are scripts', () => {
  assert.ok(names.length >= 9);
});

for (const name of names) {
  for (const block of loadScript(name)) {
    test(`${name}: ${block.title}`, async () => {
      assert.deepEqual(await runBlock(new CommandRunner(), block, false), []);
    });

    test(`${name}: ${block.title}, from disk`, async () => {
      const runner = new CommandRunner();
      assert.deepEqual(await runBlock(runner, block, true), []);
      assert.ok(runner.store.misses > 0, 'nothing was read from disk');
      assert.equal(runner.store.openCursors, 0);
    });

    if (!NOT_RECORDED.has(name)) {
      test(`${name}: ${block.title}, as redis-server`, { skip }, async () => {
        assert.deepEqual(await runBlockOn(client as RawClient, block), []);
      });
    }
  }
}
