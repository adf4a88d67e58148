/** SPOP and SRANDMEMBER of sets in cells against a model: taken to the last member, with others that come and go meanwhile. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setCommands } from '../../src/commands/set.ts';
import { Prng } from '../sim/prng.ts';
import { CommandRunner } from '../support/command-runner.ts';

const SEEDS = 6;

test('a set is drawn from until nothing is left of it', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new Prng(seed);
    const runner = new CommandRunner(setCommands);
    const model = new Set<string>();
    const add = async (from: number, count: number): Promise<void> => {
      const names = Array.from({ length: count }, (_, i) => `member:${from + i}`);
      await runner.run('SADD', 'set', ...names);
      for (const name of names) model.add(name);
    };
    await add(0, 400);
    for (let step = 0; model.size > 0; step++) {
      for (let i = 0; i < 20; i++) runner.randoms.push(random.below(1_000_000) / 1_000_000);
      const seen = String(await runner.run('SRANDMEMBER', 'set'));
      assert.ok(model.has(seen), `${seen} is a member`);
      const popped = String(await runner.run('SPOP', 'set'));
      assert.ok(model.delete(popped), `${popped} was a member`);
      runner.randoms.length = 0;
      if (step < 300 && random.below(10) === 0) await add(random.below(500), random.below(20) + 1);
      if (random.below(10) === 0) {
        const gone = `member:${random.below(500)}`;
        assert.equal(await runner.run('SREM', 'set', gone), model.delete(gone) ? 1 : 0);
      }
      assert.equal(await runner.run('SCARD', 'set'), model.size);
    }
    assert.equal(await runner.run('EXISTS', 'set'), 0);
    assert.equal(await runner.run('SPOP', 'set'), null);
  }
});

test('each member of a bag is drawn alike', async () => {
  const runner = new CommandRunner(setCommands);
  const names = Array.from({ length: 200 }, (_, i) => `member:${i}`);
  await runner.run('SADD', 'set', ...names);
  const random = new Prng(3);
  const drawn = new Map<string, number>();
  for (let i = 0; i < 20_000; i++) {
    for (let j = 0; j < 4; j++) runner.randoms.push(random.below(1_000_000) / 1_000_000);
    const name = String(await runner.run('SRANDMEMBER', 'set'));
    runner.randoms.length = 0;
    drawn.set(name, (drawn.get(name) ?? 0) + 1);
  }
  assert.equal(drawn.size, names.length);
  for (const [name, times] of drawn) assert.ok(times > 50 && times < 160, `${name}: ${times} times`);
});
