/**
 * The fixed portion of the cluster simulation: some seeds of the product's rules, and each mutant at the first seed
 * that catches it. Whoever changes what a seed draws finds the new first seeds with
 * `node dist/test/sim/cluster/main.js --mutant all --seeds 5000 --stop 1`.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linearizable, type Observed } from './linearizable.ts';
import { mutants } from './mutants.ts';
import { runScene } from './scene.ts';

const SEEDS = 40;

const firstSeed: Readonly<Record<string, number>> = {
  acceptsPastPromises: 1,
  acknowledgesWhatItDrops: 1,
  repetitionKeepsPromise: 1_692,
  promisesBackwards: 1,
  forgetsNextBallot: 15,
  appliesToAnyBase: 1,
  acceptsWhatItNeeds: 26,
  losesPromisesInCrash: 1_925,
  redeliversPastPromises: 158,
  retriesUncertain: 10,
  retriesAlways: 1,
  reusesBallot: 77,
  buildsOnAnyState: 1,
  readsHighest: 1,
  readsFirstAnswer: 1,
  answersBeforeDurable: 988,
  ignoresIncoming: 1,
  noFence: 259,
  copiesFromOne: 44,
  copiesNothing: 25,
};

void test(`seeds 1 to ${SEEDS}: registers are linearizable, nothing is lost or invented, owners converge`, () => {
  let answered = 0;
  let moves = 0;
  let crashes = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = runScene({ seed });
    assert.deepEqual(result.violations, [], `seed ${seed}: ${JSON.stringify(result.swarm)}`);
    answered += result.answered;
    moves += result.moves;
    crashes += result.crashes;
  }
  assert.ok(answered > SEEDS * 50 && moves > 10 && crashes > 100, 'something happened');
});

void test('a seed replays exactly', () => {
  assert.deepEqual(runScene({ seed: 7 }), runScene({ seed: 7 }));
});

void test('without faults every operation is answered', () => {
  const calm = {
    loss: 0,
    slow: 0,
    late: 0,
    crashes: false,
    pauses: false,
    cuts: false,
    skewMs: 0,
    jumpMs: 0,
    drift: 0,
  };
  const result = runScene({ seed: 3, moves: false, swarm: { ...calm, sticky: 1, promiseLimit: 1_000 } });
  assert.deepEqual(result.violations, []);
  assert.equal(result.uncertain, 0);
  assert.ok(result.operations > 50 && result.answered === result.operations);
});

for (const [name, rules] of Object.entries(mutants)) {
  void test(`the mutant ${name} is caught`, () => {
    const seed = firstSeed[name];
    assert.ok(seed !== undefined, 'its first failing seed is written down');
    assert.notDeepEqual(runScene({ seed, rules }).violations, [], `seed ${seed}`);
    assert.deepEqual(runScene({ seed }).violations, [], 'the product passes the same seed');
  });
}

void test('the checker of linearizability tells right from wrong', () => {
  type Op = { readonly kind: 'w' | 'r'; readonly value: number };
  const step = (state: number, { op }: Observed<Op>): number | undefined => {
    if (op.kind === 'w') return op.value;
    return op.value === state ? state : undefined;
  };
  const nameOf = (op: Op): string => `${op.kind}${op.value}`;
  const judge = (...operations: [Op['kind'], number, number, number][]): string =>
    linearizable(
      operations.map(([kind, value, callMs, returnMs]) => ({ op: { kind, value }, callMs, returnMs })),
      0,
      step,
      nameOf,
    );
  const never = Number.POSITIVE_INFINITY;
  assert.equal(judge(['w', 1, 0, 1], ['r', 1, 2, 3]), 'yes');
  assert.equal(judge(['w', 1, 0, 1], ['r', 0, 2, 3]), 'no', 'a stale read');
  assert.equal(judge(['w', 1, 0, 5], ['r', 1, 1, 2], ['r', 0, 3, 4]), 'no', 'seen and then not');
  assert.equal(judge(['w', 1, 0, 5], ['r', 0, 1, 2], ['r', 1, 3, 4]), 'yes', 'while it is written');
  assert.equal(judge(['w', 1, 0, never], ['r', 0, 2, 3], ['r', 1, 4, 5]), 'yes', 'an unknown one takes effect late');
  assert.equal(judge(['w', 1, 0, never], ['r', 1, 2, 3], ['r', 0, 4, 5]), 'no', 'but once');
  assert.equal(judge(['w', 1, 0, never], ['w', 1, 1, never], ['w', 2, 2, 3], ['r', 1, 4, 5], ['r', 1, 6, 7]), 'yes');
});
