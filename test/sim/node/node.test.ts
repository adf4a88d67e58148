/** The fixed portion of the simulation of whole nodes. More of it: `npm run sim -- --nodes 5 --seeds 1000`. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { History } from './history.ts';
import type { Operation } from './operation.ts';
import { runScene, type SceneResult } from './scene.ts';
import { calmSwarm } from './swarm.ts';

const SEEDS = Number(process.env['KVORUM_SIM_SEEDS'] ?? 12);

/** Without the notes: they are long, and the digest stands for them. */
function shapeOf({ notes, ...rest }: SceneResult): unknown {
  return { ...rest, notes: notes.length };
}

void test(`one node, seeds 1 to ${SEEDS}: what it answers is one key at a time, and outlives its deaths`, async () => {
  let answered = 0;
  let crashes = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = await runScene({ seed, nodes: 1 });
    assert.deepEqual(result.violations, [], `seed ${seed}: ${JSON.stringify(result.swarm)}`);
    answered += result.answered;
    crashes += result.crashes;
  }
  assert.ok(answered > SEEDS * 100 && crashes > SEEDS, 'something happened');
});

void test('a seed replays exactly', async () => {
  const [one, two] = [await runScene({ seed: 3, nodes: 1 }), await runScene({ seed: 3, nodes: 1 })];
  assert.deepEqual(shapeOf(one), shapeOf(two));
  assert.notEqual(one.digest, (await runScene({ seed: 4, nodes: 1 })).digest);
});

void test('without faults every operation is answered', async () => {
  const result = await runScene({ seed: 5, nodes: 1, swarm: calmSwarm(1) });
  assert.deepEqual(result.violations, []);
  assert.equal(result.answered, result.operations);
  assert.ok(result.operations > 100);
});

void test('the judge tells right from wrong', () => {
  const judge = (...given: [Operation, number, number, string?][]): string | undefined => {
    const history = new History();
    for (const [operation, callUs, returnUs, reply] of given) {
      const begun = history.begin({ key: 'k', client: 'c', operation, callUs });
      if (reply !== undefined) begun.end('done', returnUs, reply);
    }
    return history.judge('k', 1).violation;
  };
  const get: Operation = { kind: 'get' };
  const set = (value: string): Operation => ({ kind: 'set', value });
  assert.equal(judge([set('a'), 0, 10, '+OK'], [get, 20, 30, '$a']), undefined);
  assert.match(judge([set('a'), 0, 10, '+OK'], [get, 20, 30, 'nil']) ?? '', /not linearizable/, 'a lost write');
  assert.match(judge([get, 20, 30, '$b']) ?? '', /not linearizable/, 'an invented value');
  assert.equal(
    judge([set('a'), 0, 10], [get, 20, 30, 'nil'], [get, 40, 50, '$a']),
    undefined,
    'an unknown write, late',
  );
  assert.match(
    judge([set('a'), 0, 10], [get, 20, 30, '$a'], [get, 40, 50, 'nil']) ?? '',
    /not linearizable/,
    'an unknown write, seen and then not',
  );
  const incr: Operation = { kind: 'incr' };
  assert.match(judge([incr, 0, 1, ':1'], [incr, 2, 3, ':1']) ?? '', /not linearizable/, 'a lost increment');
  const px: Operation = { kind: 'setpx', value: 'a', px: 10 };
  assert.equal(judge([px, 0, 10, '+OK'], [get, 20_000, 20_010, 'nil']), undefined);
  assert.match(judge([px, 0, 10, '+OK'], [get, 2_000, 2_010, 'nil']) ?? '', /not linearizable/, 'gone too early');
  assert.match(judge([px, 0, 10, '+OK'], [get, 20_000, 20_010, '$a']) ?? '', /after its time/);
});
