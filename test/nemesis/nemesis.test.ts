import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { runProgram } from '../support/redis-process.ts';

const MAIN = fileURLToPath(new URL('main.js', import.meta.url));

void test('three real nodes, killed and stopped under load: every history is linearizable', async () => {
  const words = [MAIN, '--seconds', '8', '--faults', 'kill,stop', '--seed', '9', '--rows', '20', '--clients', '2'];
  const finished = await runProgram(process.execPath, words, { timeoutMs: 180_000 });
  assert.equal(finished.code, 0, finished.stdout + finished.stderr);
  const [, operations, answered] = /(\d+) operations, (\d+) answered/.exec(finished.stdout) ?? [];
  assert.match(finished.stdout, /node \d (killed|stopped) for/);
  assert.match(finished.stdout, / 0 violations, 0 rows undecided/);
  assert.ok(Number(answered) > 500 && Number(answered) > 0.8 * Number(operations), finished.stdout);
});
