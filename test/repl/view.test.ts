import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandRunner } from '../support/command-runner.ts';

/** Keys of every size around the limits of the pool: few and many, short, and too long for a pooled buffer. */
function keysOf(count: number, length: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => Buffer.from(`${i}:`.padEnd(length, i % 2 === 0 ? 'x' : '\0')));
}

for (const count of [1, 15, 16, 17, 128, 129, 200]) {
  for (const length of [5, 126, 127, 300]) {
    test(`a view finds its rows again: ${count} keys of ${length} bytes`, () => {
      const runner = new CommandRunner();
      const view = runner.view();
      const keys = keysOf(count, length);
      for (let round = 0; round < 3; round++) {
        view.begin(0, runner.nowMs);
        const rows = keys.map((key) => view.row(key));
        assert.equal(new Set(rows).size, count, 'one row for each key');
        assert.deepEqual(
          rows.map((row) => row.live),
          keys.map((_, i) => round > 0 && i % 3 !== round % 3),
        );
        rows.forEach((row, i) => {
          if (row.live) assert.equal(Buffer.from(view.string(row)).toString(), `${round - 1}:${i}`);
          view.setString(row, Buffer.from(`${round}:${i}`), 0);
        });
        keys.forEach((key, i) => {
          const row = view.row(key);
          assert.equal(row, rows[i], 'the same row again');
          assert.equal(Buffer.from(view.string(row)).toString(), `${round}:${i}`);
          if (i % 3 === (round + 1) % 3) view.remove(row);
        });
        runner.keyspace.commit(view);
      }
    });
  }
}

test('rows that were only looked at can be forgotten, changed ones stay', () => {
  const runner = new CommandRunner();
  const view = runner.view();
  const keys = keysOf(20, 10);
  for (const key of keys) view.row(key);
  const changed = view.row(keys[3] as Uint8Array);
  view.setString(changed, Buffer.from('v'), 0);
  view.forgetUnchanged();
  assert.deepEqual(view.rows.slice(0, view.rowCount), [changed]);
  assert.equal(view.row(keys[3] as Uint8Array), changed);
  assert.equal(view.row(keys[4] as Uint8Array).live, false);
  runner.keyspace.commit(view);
  view.begin(0, runner.nowMs);
  assert.equal(view.row(keys[3] as Uint8Array).live, true);
});
