import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cursorOfSlot, ScanTokens, slotOfCursor } from '../../src/commands/scan-tokens.ts';
import { CommandRunner } from '../support/command-runner.ts';

type Step = readonly [cursor: string, keys: readonly string[]];

/** Walks to the end; `between` is called after each step. */
async function walk(
  runner: CommandRunner,
  options: readonly string[],
  between?: () => Promise<void>,
): Promise<string[]> {
  const keys: string[] = [];
  let cursor = '0';
  for (let steps = 0; steps < 100_000; steps++) {
    const [next, found] = (await runner.run('SCAN', cursor, ...options)) as Step;
    assert.ok(Number(next) < 2 ** 53, 'the cursor is a safe integer');
    keys.push(...found);
    if (next === '0') return keys;
    cursor = next;
    await between?.();
  }
  throw new Error('the walk has no end');
}

async function fill(runner: CommandRunner, count: number, key = (i: number): string => `key:${i}`): Promise<string[]> {
  const keys = Array.from({ length: count }, (_, i) => key(i));
  for (const each of keys) await runner.run('SET', each, 'v');
  return keys;
}

test('a walk returns every key once, whatever the count', async () => {
  const runner = new CommandRunner();
  const keys = await fill(runner, 200);
  for (const count of ['1', '2', '7', '10', '199', '200', '201', '100000']) {
    assert.deepEqual((await walk(runner, ['COUNT', count])).sort(), [...keys].sort(), `COUNT ${count}`);
  }
});

test('a walk over one slot returns every key once', async () => {
  const runner = new CommandRunner();
  const keys = await fill(runner, 100, (i) => `{tag}\0${i}\xff`.replace('\xff', 'z'));
  assert.deepEqual((await walk(runner, ['COUNT', '3'])).sort(), [...keys].sort());
});

test('COUNT bounds the keys of a step', async () => {
  const runner = new CommandRunner();
  await fill(runner, 100);
  const [, found] = (await runner.run('SCAN', '0', 'COUNT', '5')) as Step;
  assert.equal(found.length, 5);
});

test('keys that are there all the time are returned, whatever is written meanwhile', async () => {
  const change = fc.record({
    kind: fc.constantFrom('set', 'del', 'expire', 'chill'),
    key: fc.nat(60),
    tagged: fc.boolean(),
  });
  const name = (key: number, tagged: boolean): string => (tagged ? `{t}${key}` : `k${key}`);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(change, { maxLength: 8 }), { maxLength: 40 }),
      fc.integer({ min: 1, max: 9 }),
      async (rounds, count) => {
        const runner = new CommandRunner();
        for (let i = 0; i < 30; i++) await runner.run('MSET', name(i, false), 'v', name(i, true), 'v');
        const touched = new Set<string>();
        let round = 0;
        const found = await walk(runner, ['COUNT', String(count)], async () => {
          for (const { kind, key, tagged } of rounds[round++] ?? []) {
            const word = name(key, tagged);
            if (kind === 'chill') runner.store.chill();
            else if (kind === 'set') await runner.run('SET', word, 'w');
            else {
              touched.add(word);
              await (kind === 'del' ? runner.run('DEL', word) : runner.run('PEXPIRE', word, '0'));
            }
          }
        });
        const seen = new Set(found);
        for (let i = 0; i < 30; i++) {
          for (const word of [name(i, false), name(i, true)]) {
            if (!touched.has(word)) assert.ok(seen.has(word), `${word} was there all the time`);
          }
        }
        assert.equal(seen.size, found.length, 'no key comes twice');
        assert.equal(runner.store.openCursors, 0);
      },
    ),
    { numRuns: 60 },
  );
});

test('a token that is forgotten starts its slot again: keys may come twice, none is left out', async () => {
  const runner = new CommandRunner();
  Object.assign(runner.server, { scanTokens: new ScanTokens(0.25, 1) });
  const keys = await fill(runner, 50, (i) => `{tag}${i}`);
  let steps = 0;
  const found = await walk(runner, ['COUNT', '20'], async () => {
    // Another walk takes the only place, but not always: a walk whose every token is forgotten has no end.
    if (steps++ === 0) await runner.run('SCAN', '0', 'COUNT', '1');
  });
  assert.deepEqual([...new Set(found)].sort(), [...keys].sort());
  assert.ok(found.length > keys.length, 'the slot was walked again');
});

test('a cursor of another database says nothing', async () => {
  const runner = new CommandRunner();
  const keys = await fill(runner, 20, (i) => `{tag}${i}`);
  runner.client.database = 1;
  await fill(runner, 20, (i) => `{tag}${i}`);
  const [cursor] = (await runner.run('SCAN', '0', 'COUNT', '15')) as Step;
  runner.client.database = 0;
  const [, found] = (await runner.run('SCAN', cursor, 'COUNT', '100')) as Step;
  assert.deepEqual([...found].sort(), [...keys].sort());
});

test('a step over many deleted rows ends soon, and the walk goes on behind them', async () => {
  const runner = new CommandRunner();
  const keys = await fill(runner, 300, (i) => `{tag}${String(i).padStart(3, '0')}`);
  for (const key of keys.slice(0, -1)) await runner.run('DEL', key);
  const [cursor, found] = (await runner.run('SCAN', '0', 'COUNT', '10')) as Step;
  assert.notEqual(cursor, '0');
  assert.deepEqual(found, []);
  assert.deepEqual(await walk(runner, ['COUNT', '10']), keys.slice(-1));
});

test('a large COUNT rests between slices', async () => {
  const runner = new CommandRunner();
  await fill(runner, 2500);
  const [cursor, found] = (await runner.run('SCAN', '0', 'COUNT', '100000')) as Step;
  assert.equal(cursor, '0');
  assert.equal(found.length, 2500);
  assert.ok(runner.pauses >= 2, `${runner.pauses} pauses`);
});

test('an empty database is walked in one step, also behind a large one', async () => {
  const runner = new CommandRunner();
  await fill(runner, 2000);
  runner.client.database = 3;
  assert.deepEqual(await runner.run('SCAN', '0'), ['0', []]);
  assert.deepEqual(await runner.run('KEYS', '*'), []);
  assert.equal(runner.pauses, 0);
});

test('a pattern with a hash tag looks at one slot only', async () => {
  const runner = new CommandRunner();
  await fill(runner, 2000);
  await fill(runner, 5, (i) => `{tag}${i}`);
  const [cursor, found] = (await runner.run('SCAN', '0', 'COUNT', '10', 'MATCH', '{tag}*')) as Step;
  assert.equal(cursor, '0');
  assert.equal(found.length, 5);
  assert.equal(((await runner.run('KEYS', '{tag}[0-2]')) as string[]).length, 3);
  assert.equal(runner.pauses, 0);
});

test('inside a transaction a walk sees what the transaction has written', async () => {
  const runner = new CommandRunner();
  await fill(runner, 30);
  runner.store.chill();
  const replies = await runner.together(
    ['DEL', 'key:3'],
    ['SET', 'new', 'v'],
    ['SCAN', '0', 'COUNT', '1000'],
    ['FLUSHDB'],
    ['SET', 'last', 'v'],
    ['KEYS', '*'],
    ['DBSIZE'],
  );
  const expected = Array.from({ length: 30 }, (_, i) => `key:${i}`).filter((key) => key !== 'key:3');
  assert.deepEqual([...(replies[2] as Step)[1]].sort(), [...expected, 'new'].sort());
  assert.deepEqual(replies[5], ['last']);
  assert.equal(replies[6], 1);
  assert.equal(runner.store.openCursors, 0);
});

test('RANDOMKEY gives every key its turn', async () => {
  const runner = new CommandRunner();
  const keys = await fill(runner, 40);
  runner.store.chill();
  const seen = new Map<unknown, number>();
  for (let i = 0; i < 400; i++) {
    runner.randoms.push((i + 0.5) / 400);
    const key = await runner.run('RANDOMKEY');
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  assert.deepEqual([...seen.keys()].sort(), [...keys].sort());
  for (const times of seen.values()) assert.equal(times, 10);
});

test('RANDOMKEY reaches every part of a slot that is too full to walk', async () => {
  const runner = new CommandRunner();
  await fill(runner, 5000, (i) => `{tag}${String(i).padStart(6, '0')}`);
  const parts = new Set<number>();
  for (let i = 0; i < 400; i++) {
    runner.randoms.push((i * 0.618) % 1, (i + 0.5) / 400);
    const key = (await runner.run('RANDOMKEY')) as string;
    parts.add(Math.floor(Number(key.slice(5)) / 500));
  }
  assert.equal(parts.size, 10);
});

test('RANDOMKEY finds the only live key among expired ones', async () => {
  const runner = new CommandRunner();
  const keys = await fill(runner, 50);
  for (const key of keys.slice(1)) await runner.run('PEXPIRE', key, '10');
  runner.nowMs += 10;
  for (const random of [0, 0.3, 0.99]) {
    runner.randoms.push(random);
    assert.equal(await runner.run('RANDOMKEY'), 'key:0');
  }
});

test('cursors: slot and token, the end is 0', () => {
  assert.equal(cursorOfSlot(0), 0);
  assert.equal(cursorOfSlot(16_384), 0);
  const tokens = new ScanTokens(0.999_999_999_999);
  const key = Uint8Array.of(1);
  const cursors = Array.from({ length: 5 }, () => tokens.cursorAfter(16_383, key));
  for (const cursor of cursors) {
    assert.ok(Number.isSafeInteger(cursor));
    assert.equal(slotOfCursor(cursor), 16_383);
    assert.equal(tokens.keyOf(cursor), key);
  }
});
