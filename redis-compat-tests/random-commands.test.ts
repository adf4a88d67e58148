/** A fixed portion of the random comparison with redis-server; random-commands.ts is the whole. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { startServers } from './harness/servers.ts';
import { compareRandomly } from './random-commands.ts';

const COMMANDS = 8_000;

for (const [protocol, seed] of [
  [2, 11],
  [3, 12],
] as const) {
  test(`${COMMANDS} random commands, RESP${protocol}, seed ${seed}`, async () => {
    const servers = await startServers(false);
    try {
      const { oracle, subject } = servers.ports;
      const differences = await compareRandomly({ oracle, subject, seed, count: COMMANDS, protocol });
      assert.equal(differences.join('\n'), '');
    } finally {
      await servers.stop();
    }
  });
}
