import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hunt } from '../node/mutant-run.ts';
import { runScene } from './scene.ts';
import { type Operation, violations } from './history.ts';
import { transactionMutants } from './mutants.ts';

const SEEDS = 60;

void test(`transactions under faults are strictly serializable, seeds 1 to ${SEEDS}`, async () => {
  let committed = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await runScene(seed);
    assert.deepEqual(outcome.errors, [], `seed ${seed}`);
    committed += outcome.committed;
  }
  assert.ok(committed > 5 * SEEDS, `${committed} transactions were committed`);
});

void test('a seed replays exactly', async () => {
  assert.deepEqual(await runScene(7), await runScene(7));
});

const wanted =
  process.env['KVORUM_SIM_MUTANTS'] === 'all' ? Object.keys(transactionMutants) : ['locksAnyway', 'changesUnderLock'];

for (const name of wanted) {
  const { seed, why } = transactionMutants[name as keyof typeof transactionMutants];
  void test(`mutant ${name} is caught by seed ${seed}: ${why}`, async () => {
    const { caught, output } = await hunt(name, { seed, seeds: 1, words: ['--transactions'] });
    assert.ok(caught, output);
  });
}

const operation = (id: number, keys: readonly string[], more: Partial<Operation> = {}): Operation => ({
  id,
  startMs: id * 10,
  endMs: id * 10 + 5,
  keys,
  writes: true,
  outcome: 'done',
  ...more,
});

void test('the checker: what is half done, lost, refused yet there, or out of order is found', () => {
  const both = operation(1, ['a', 'b']);
  assert.deepEqual(
    violations(
      [both],
      new Map([
        ['a', [1]],
        ['b', [1]],
      ]),
    ),
    [],
  );
  assert.match(
    violations(
      [both],
      new Map([
        ['a', [1]],
        ['b', []],
      ]),
    ).join(),
    /1 of its 2 keys/,
  );
  assert.match(
    violations(
      [both],
      new Map([
        ['a', []],
        ['b', []],
      ]),
    ).join(),
    /lost/,
  );
  const refused = operation(1, ['a', 'b'], { outcome: 'nothing' });
  assert.match(
    violations(
      [refused],
      new Map([
        ['a', [1]],
        ['b', [1]],
      ]),
    ).join(),
    /refused and stands/,
  );
  const second = operation(2, ['a', 'b']);
  assert.match(
    violations(
      [both, second],
      new Map([
        ['a', [1, 2]],
        ['b', [2, 1]],
      ]),
    ).join(),
    /no order/,
  );
  assert.match(
    violations(
      [both, second],
      new Map([
        ['a', [2, 1]],
        ['b', [2, 1]],
      ]),
    ).join(),
    /no order/,
    'real time',
  );
  const torn = operation(3, ['a', 'b'], {
    writes: false,
    seen: new Map([
      ['a', [1]],
      ['b', []],
    ]),
  });
  assert.match(
    violations(
      [both, torn],
      new Map([
        ['a', [1]],
        ['b', [1]],
      ]),
    ).join(),
    /no order/,
  );
});
