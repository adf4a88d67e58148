/** KV.RANGE against a sorted array; the written cases are in scripts/range-keys.txt. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes } from '../../src/bytes.ts';
import { CommandRunner, type Word } from '../support/command-runner.ts';

const letters = fc.constantFrom('a', 'b', '\0', '\xff', '{', '}', '1');
const key = fc.oneof(
  fc.string({ unit: letters, maxLength: 5 }),
  fc.nat(9).map((n) => `{t}${n}`),
);
const end = fc.record({ key, kind: fc.constantFrom('[', '(', 'infinite') });

interface Question {
  readonly min: { readonly key: string; readonly kind: string };
  readonly max: { readonly key: string; readonly kind: string };
  readonly limit: number | undefined;
  readonly reverse: boolean;
}

const question = fc.record<Question>({
  min: end,
  max: end,
  limit: fc.option(fc.nat(6), { nil: undefined }),
  reverse: fc.boolean(),
});

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function words({ min, max, limit, reverse }: Question): Word[] {
  const bound = (each: Question['min'], infinite: string): Word =>
    each.kind === 'infinite' ? infinite : bytes(each.kind + each.key);
  const options = [...(limit === undefined ? [] : ['LIMIT', limit]), ...(reverse ? ['REV'] : [])];
  return ['KV.RANGE', bound(min, '-'), bound(max, '+'), ...options];
}

function expected(keys: readonly string[], { min, max, limit, reverse }: Question): string[] {
  const compare = (a: string, b: string): number => compareBytes(bytes(a), bytes(b));
  const found = keys
    .filter((each) => min.kind === 'infinite' || compare(each, min.key) > (min.kind === '[' ? -1 : 0))
    .filter((each) => max.kind === 'infinite' || compare(each, max.key) < (max.kind === '[' ? 1 : 0))
    .sort(compare);
  if (reverse) found.reverse();
  return found.slice(0, limit);
}

test('a range is what a sorted array gives, from memory and from disk', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(key, { maxLength: 40 }),
      fc.array(question, { maxLength: 10 }),
      async (keys, questions) => {
        const runner = new CommandRunner();
        for (const each of keys) await runner.run('SET', bytes(each), 'v');
        await runner.run('SET', 'dead', 'v');
        await runner.run('DEL', 'dead');
        for (const each of questions) {
          assert.deepEqual(await runner.run(...words(each)), expected(keys, each));
          runner.store.chill();
          assert.deepEqual(await runner.run(...words(each)), expected(keys, each), 'from disk');
        }
        assert.equal(runner.store.openCursors, 0);
      },
    ),
    { numRuns: 150 },
  );
});

test('inside a transaction a range sees what the transaction has written', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(key, { maxLength: 20 }),
      fc.uniqueArray(key, { maxLength: 10 }),
      fc.uniqueArray(key, { maxLength: 10 }),
      question,
      async (stored, added, removed, asked) => {
        const runner = new CommandRunner();
        for (const each of stored) await runner.run('SET', bytes(each), 'v');
        runner.store.chill();
        const replies = await runner.together(
          ...added.map((each) => ['SET', bytes(each), 'w']),
          ...removed.map((each) => ['DEL', bytes(each)]),
          words(asked),
        );
        const left = [...new Set([...stored, ...added])].filter((each) => !removed.includes(each));
        assert.deepEqual(replies.at(-1), expected(left, asked));
      },
    ),
    { numRuns: 150 },
  );
});

test('with a limit the walk leaves a slot as soon as it can', async () => {
  const runner = new CommandRunner();
  for (let i = 0; i < 3000; i++) await runner.run('SET', `{t}${String(i).padStart(4, '0')}`, 'v');
  assert.deepEqual(await runner.run('KV.RANGE', '-', '+', 'LIMIT', 2), ['{t}0000', '{t}0001']);
  assert.equal(runner.pauses, 0);
  assert.deepEqual(await runner.run('KV.RANGE', '-', '+', 'LIMIT', 2, 'REV'), ['{t}2999', '{t}2998']);
  assert.equal(runner.pauses, 0);
  assert.equal(((await runner.run('KV.RANGE', '-', '+')) as string[]).length, 3000);
  assert.ok(runner.pauses >= 2);
});

test('values are of the kind that the protocol can keep in order', async () => {
  const runner = new CommandRunner();
  const long = 'x'.repeat(5000);
  await runner.run('MSET', 'b', '1', 'a', long);
  runner.store.chill();
  assert.deepEqual(await runner.run('KV.RANGE', '-', '+', 'WITHVALUES'), ['a', long, 'b', '1']);
  runner.client.protocol = 3;
  assert.deepEqual(await runner.run('KV.RANGE', '-', '+', 'WITHVALUES'), [
    ['a', long],
    ['b', '1'],
  ]);
});
