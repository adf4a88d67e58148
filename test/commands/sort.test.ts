/** SORT against JavaScript's sort, with rows that miss. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hashCommands } from '../../src/commands/hash.ts';
import { listCommands } from '../../src/commands/list.ts';
import { sortCommands } from '../../src/commands/sort.ts';
import { CommandRunner } from '../support/command-runner.ts';

function newRunner(): CommandRunner {
  return new CommandRunner([...listCommands, ...hashCommands, ...sortCommands]);
}

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

describe('sort', () => {
  test('by the elements, and by what they point to', async () => {
    const numbers = fc.uniqueArray(fc.integer({ min: -999, max: 999 }), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(numbers, fc.boolean(), fc.nat(10), fc.nat(10), async (values, descending, skip, count) => {
        const runner = newRunner();
        const order = descending ? 'DESC' : 'ASC';
        const cut = (sorted: readonly number[]): string[] =>
          (descending ? sorted.toReversed() : sorted).slice(skip, skip + count).map(String);
        await runner.run('RPUSH', 'l', ...values);
        for (const value of values) {
          await runner.run('SET', `w${value}`, -value);
          await runner.run('HSET', `h${value}`, 'f', value % 7);
        }
        runner.store.chill();
        const rising = values.toSorted((a, b) => a - b);
        assert.deepEqual(await runner.run('SORT', 'l', order, 'LIMIT', skip, count), cut(rising));
        const words = values.toSorted((a, b) => byText(String(a), String(b)));
        assert.deepEqual(await runner.run('SORT', 'l', 'ALPHA', order, 'LIMIT', skip, count), cut(words));
        runner.store.chill();
        const byWeight = await runner.run('SORT', 'l', 'BY', 'w*', order, 'LIMIT', skip, count);
        assert.deepEqual(byWeight, cut(rising.toReversed()));
        const bySeventh = values.toSorted((a, b) => (a % 7) - (b % 7) || byText(String(a), String(b)));
        runner.store.chill();
        const stored = cut(bySeventh);
        const sort = ['SORT', 'l', 'BY', 'h*->f', order, 'LIMIT', skip, count] as const;
        assert.equal(await runner.run(...sort, 'GET', '#', 'GET', 'w*', 'STORE', 'r'), 2 * stored.length);
        const expected = stored.flatMap((value) => [value, String(-Number(value))]);
        assert.deepEqual(await runner.run('LRANGE', 'r', 0, -1), expected);
      }),
      { numRuns: 40 },
    );
  });

  test('what is fetched for it is fetched at once', async () => {
    const runner = newRunner();
    for (let i = 0; i < 200; i++) {
      await runner.run('RPUSH', 'l', i);
      await runner.run('SET', `w${i}`, 1000 - i);
    }
    runner.store.chill();
    const before = runner.store.misses;
    const sorted = (await runner.line('SORT l BY w* LIMIT 0 2')) as string[];
    assert.deepEqual(sorted, ['199', '198']);
    assert.ok(runner.store.misses - before < 1000, `${runner.store.misses - before} misses`);
  });
});
