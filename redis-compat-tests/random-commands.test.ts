/** A fixed portion of the random comparison with redis-server; random-commands.ts is the whole. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { type Servers, startServers } from './harness/servers.ts';
import { compareRandomly } from './random-commands.ts';

const COMMANDS = 5_000;

describe(`${COMMANDS} random commands`, () => {
  let servers: Servers;
  before(async () => {
    servers = await startServers(1);
  });
  after(() => servers?.stop());

  for (const [protocol, seed] of [
    [2, 11],
    [3, 12],
  ] as const) {
    test(`RESP${protocol}, seed ${seed}`, async () => {
      const { oracle, subjects } = servers.ports;
      const subject = subjects[0] as number;
      const differences = await compareRandomly({ oracle, subject, seed, count: COMMANDS, protocol });
      assert.equal(differences.join('\n'), '');
    });
  }
});
