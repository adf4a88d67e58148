/** Commands that have two forms, in one turn and in slices, answer alike in both; the slices see one moment and give way. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listCommands } from '../../src/commands/list.ts';
import { setCommands } from '../../src/commands/set.ts';
import { sortCommands } from '../../src/commands/sort.ts';
import { sortedSetCommands } from '../../src/commands/sorted-set.ts';
import { Prng } from '../sim/prng.ts';
import { CommandRunner, type Word } from '../support/command-runner.ts';

/** More than one slice has. */
const MEMBERS = 2200;

async function filled(): Promise<CommandRunner> {
  const runner = new CommandRunner([...listCommands, ...setCommands, ...sortedSetCommands, ...sortCommands]);
  const random = new Prng(7);
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    const scored: Word[] = [];
    const members: Word[] = [];
    for (let member = 0; member < MEMBERS; member++) {
      // All are in a, every second in b, few in c; others are there too.
      const named = random.below(i === 2 ? 20 : i + 1) === 0 ? `m${member}` : `${name}${member}`;
      scored.push(random.below(50), named);
      members.push(named);
    }
    await runner.run('ZADD', `z${name}`, ...scored);
    await runner.run('SADD', `s${name}`, ...members);
  }
  await runner.run('RPUSH', 'list', ...Array.from({ length: MEMBERS }, () => random.below(900)));
  return runner;
}

const COMMANDS: readonly (readonly Word[])[] = [
  ['ZINTER', 2, 'za', 'zb', 'WITHSCORES'],
  ['ZINTER', 3, 'za', 'zb', 'zc', 'WEIGHTS', 1, -2, 0.5, 'AGGREGATE', 'MAX', 'WITHSCORES'],
  ['ZINTER', 3, 'za', 'sb', 'zc', 'WITHSCORES'],
  ['ZINTER', 2, 'za', 'none', 'WITHSCORES'],
  ['ZDIFF', 2, 'za', 'zb', 'WITHSCORES'],
  ['ZDIFF', 4, 'zb', 'none', 'za', 'sc', 'WITHSCORES'],
  ['ZUNION', 2, 'za', 'zb', 'WITHSCORES'],
  ['ZINTERCARD', 2, 'za', 'zb'],
  ['ZINTERCARD', 2, 'za', 'zc', 'LIMIT', 7],
  ['SINTER', 'sa', 'sb', 'sc'],
  ['SDIFF', 'sa', 'sb', 'sc'],
  ['SINTERCARD', 2, 'sa', 'sb'],
  ['LPOS', 'list', 17],
  ['LPOS', 'list', 17, 'RANK', -2],
  ['LPOS', 'list', 17, 'COUNT', 0],
  ['LPOS', 'list', 17, 'RANK', -1, 'COUNT', 3, 'MAXLEN', 1400],
  ['LPOS', 'list', 17, 'RANK', 2, 'COUNT', 0, 'MAXLEN', 2000],
  ['LPOS', 'list', 'none'],
  ['SORT', 'list'],
  ['SORT', 'list', 'DESC', 'LIMIT', 10, 20],
  ['SORT', 'list', 'ALPHA'],
  ['SORT', 'sa', 'ALPHA', 'DESC'],
  ['SORT_RO', 'za', 'ALPHA', 'LIMIT', 1400, 10],
];

/** Pairs one behind the other, as RESP2 has them. */
function flat(reply: unknown): unknown {
  return Array.isArray(reply) ? reply.flat().map((each) => (typeof each === 'number' ? String(each) : each)) : reply;
}

test('both forms of a command answer alike', async () => {
  const runner = await filled();
  for (const words of COMMANDS) {
    const line = words.join(' ');
    const expected = flat(await runner.run(...words));
    const before = runner.pauses;
    assert.deepEqual(flat(await runner.inSlices(...words)), expected, line);
    assert.equal(runner.isLong(...words), !words.includes('none') || words[0] !== 'ZINTER', line);
    if (runner.isLong(...words) && !words.includes('LIMIT') && words.length < 4)
      assert.ok(runner.pauses > before, line);
    // The heads of rows are there: a miss of those is the dispatcher's.
    runner.store.chill((key) => key.length > 16 && (key.at(-1) as number) % 32 === 0);
    assert.deepEqual(flat(await runner.inSlices(...words)), expected, `${line}, with reads that miss`);
  }
});

test('an intersection of nothing gives way all the same', async () => {
  const runner = await filled();
  await runner.run('SADD', 'other', ...Array.from({ length: MEMBERS }, (_, i) => `x${i}`));
  const before = runner.pauses;
  assert.deepEqual(await runner.inSlices('SINTER', 'sa', 'other'), []);
  assert.ok(runner.pauses - before >= 2, `${runner.pauses - before} pauses`);
  assert.deepEqual(await runner.inSlices('ZINTER', 2, 'za', 'other'), []);
});

test('options that ask for other rows, or to store, are no matter of slices', async () => {
  const runner = await filled();
  for (const words of [
    ['SORT', 'list', 'BY', 'w_*'],
    ['SORT', 'list', 'GET', '#'],
    ['SORT', 'list', 'STORE', 'to'],
  ]) {
    assert.equal(runner.isLong(...words), false);
  }
  assert.equal(await runner.run('LPOS', 'za', 1), '-WRONGTYPE Operation against a key holding the wrong kind of value');
});
