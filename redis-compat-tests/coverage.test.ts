/** Every command and option of the real server is compared, or listed with the reason why not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { measureCoverage } from './coverage.ts';

void test('every command and option in COMMAND DOCS of redis-server is compared, or listed as not served', async () => {
  const { missing, stale, commands, options } = await measureCoverage();
  assert.deepEqual(missing, [], 'write a case, or say in not-served.ts why there is none');
  assert.deepEqual(stale, [], 'listed in not-served.ts, and not in COMMAND DOCS');
  assert.ok(commands > 300 && options > 300);
});
