/**
 * Every case of `cases/` against a real redis-server and against Kvorum, in RESP2 and in RESP3. With
 * KVORUM_COMPAT_SELF=1 the subject is a second redis-server: what differs then is a fault of the case.
 */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import type { Case } from './harness/case-file.ts';
import { loadCases } from './harness/load-cases.ts';
import { describe as explain, Reset, runCase } from './harness/run-case.ts';
import { type Servers, startServers } from './harness/servers.ts';

const SELF = process.env['KVORUM_COMPAT_SELF'] === '1';

function runsNow(entry: Case, protocol: 2 | 3): boolean {
  return entry.protocols.includes(protocol) && !(SELF && (entry.from !== undefined || entry.oracle === 'cluster'));
}

describe('compatibility with redis-server', () => {
  let servers: Servers;
  let reset: Reset;

  before(async () => {
    servers = await startServers(SELF ? 'self' : 1);
    reset = new Reset(servers.ports);
  });

  after(async () => {
    reset?.close();
    await servers?.stop();
  });

  for (const [file, cases] of loadCases()) {
    for (const protocol of [2, 3] as const) {
      test(`${file}, RESP${protocol}`, async (context) => {
        for (const entry of cases.filter((candidate) => runsNow(candidate, protocol)))
          await context.test(entry.title, async (context) => {
            const missing = await reset.missing(entry.needs);
            if (missing.length > 0) {
              context.skip(`Kvorum has no ${missing.join(', ')} yet`);
              return;
            }
            const outcomes = await runCase(entry, protocol, servers.ports, reset);
            const different = outcomes.filter((outcome) => outcome.verdict === 'differs');
            assert.ok(outcomes.length > 0, 'a case without commands');
            assert.equal(different.map((outcome) => explain(outcome, file)).join('\n'), '');
          });
      });
    }
  }
});
