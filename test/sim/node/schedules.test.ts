/** The product under each directed schedule. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schedules, type ScheduleName } from './schedules.ts';

const SEED = 7;

for (const name of Object.keys(schedules) as ScheduleName[]) {
  void test(`nothing is wrong under the schedule ${name}`, async () => {
    assert.equal(await schedules[name](SEED), undefined);
  });
}
