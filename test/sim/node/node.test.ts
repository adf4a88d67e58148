/** The fixed portion of the simulation of whole nodes. More of it: `npm run sim -- --nodes 5 --seeds 1000`. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { transactionMutants } from '../transaction/mutants.ts';
import { History } from './history.ts';
import { patched, type Patch } from './mutant-loader.ts';
import { hunt } from './mutant-run.ts';
import { mutants, type MutantName } from './mutants.ts';
import type { Operation } from './operation.ts';
import { runScene, type SceneResult } from './scene.ts';
import { Stage } from './stage.ts';
import { calmSwarm } from './swarm.ts';

const SEEDS = Number(process.env['KVORUM_SIM_SEEDS'] ?? 12);
const CLUSTER_SEEDS = Math.ceil(SEEDS / 4);

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

void test(`three nodes, seeds 1 to ${CLUSTER_SEEDS}: one key at a time, nothing lost or invented, owners converge`, async () => {
  let answered = 0;
  for (let seed = 1; seed <= CLUSTER_SEEDS; seed++) {
    const result = await runScene({ seed, nodes: 3 });
    assert.deepEqual(result.violations, [], `seed ${seed}: ${JSON.stringify(result.swarm)}`);
    answered += result.answered;
  }
  assert.ok(answered > CLUSTER_SEEDS * 20, 'something happened');
});

void test('a cluster without faults answers everything, and a seed replays exactly', async () => {
  const calm = { ...calmSwarm(3), runMs: 500 };
  const [one, two] = [
    await runScene({ seed: 5, nodes: 3, swarm: calm }),
    await runScene({ seed: 5, nodes: 3, swarm: calm }),
  ];
  assert.deepEqual(one.violations, []);
  assert.equal(one.answered, one.operations);
  assert.equal(one.repaired, 0);
  assert.ok(one.operations > 50 && one.sessionOperations > 5);
  assert.deepEqual(shapeOf(one), shapeOf(two));
});

void test('a write that an owner misses while it is cut off comes to it as a hint', async () => {
  const stage = await Stage.open({ nodes: 3, seed: 1 });
  const owners = stage.ownersOf('k');
  const [first, second, last] = owners as [number, number, number];
  stage.isolate(last, 'both');
  await stage.loop.advance(1_000);
  assert.equal(await stage.ask(first, 'SET', 'k', 'v'), '+OK');
  assert.equal(await stage.held(first, 'k'), await stage.held(second, 'k'));
  assert.notEqual(await stage.held(first, 'k'), await stage.held(last, 'k'));
  stage.network.mendAll();
  await stage.loop.advance(4_000);
  assert.equal(await stage.held(first, 'k'), await stage.held(last, 'k'));
  assert.deepEqual(stage.violations, []);
});

void test('one of three owners answers no quorum, and says so', async () => {
  const stage = await Stage.open({ nodes: 3, seed: 2 });
  assert.equal(await stage.ask(0, 'SET', 'k', 'v'), '+OK');
  stage.isolate(0, 'both');
  await stage.loop.advance(1_000);
  assert.match((await stage.ask(0, 'GET', 'k')) ?? '', /^-NOQUORUM/);
  assert.match((await stage.ask(0, 'INCR', 'n')) ?? '', /^-(?:NOQUORUM|UNCERTAIN)/);
  assert.equal(await stage.ask(1, 'GET', 'k'), '$v');
});

void test('a session does not read behind what it wrote, though a majority has not got it', async () => {
  const stage = await Stage.open({ nodes: 3, seed: 3 });
  const session = ['KV.LEVEL', 'session'];
  stage.isolate(0, 'both');
  await stage.loop.advance(1_000);
  const token = await stage.askAll(0, [session, ['SET', 'k', 'v'], ['KV.TOKEN']]);
  const resume = [session, ['KV.TOKEN', (token ?? '').slice(1)]];
  assert.match((await stage.askAll(1, [...resume, ['GET', 'k']])) ?? '', /^-NOQUORUM/);
  assert.equal(await stage.askAll(1, [session, ['GET', 'k']]), 'nil', 'another session may');
  stage.network.mendAll();
  await stage.loop.advance(3_000);
  assert.equal(await stage.askAll(1, [...resume, ['GET', 'k']]), '$v');
});

void test('every wrong product is still a change of the product', () => {
  const all: readonly Patch[] = [...Object.values(mutants), ...Object.values(transactionMutants)];
  for (const { also, ...patch } of all) {
    for (const each of also === undefined ? [patch] : [patch, also]) {
      const source = readFileSync(new URL(`../../../src/${each.file}`, import.meta.url), 'utf8');
      assert.notEqual(patched(source, each), source);
    }
  }
});

/** The seed that is written down may have changed its meaning a little since. */
const SEEDS_AFTER_FIRST = 10;
const MUTANTS_IN_TEST: readonly MutantName[] = ['answersClientsBeforeDurable', 'readsOwnCopy'];
const chosen = process.env['KVORUM_SIM_MUTANTS'] === 'all' ? (Object.keys(mutants) as MutantName[]) : MUTANTS_IN_TEST;
for (const name of chosen) {
  void test(`the wrong product ${name} is caught`, async () => {
    const { seed } = mutants[name];
    const { caught, output } = await hunt(name, { seed, seeds: SEEDS_AFTER_FIRST });
    assert.ok(caught, output);
  });
}

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
