/** The judge of consumer groups sees what is wrong, and takes what may have been. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EntryHistory, type EntryStep, finalState, stateAt } from './entry-history.ts';

type Line = readonly [client: string, callUs: number, returnUs: number, step: EntryStep];

const NEVER = Number.POSITIVE_INFINITY;
const add: EntryStep = { kind: 'add' };
const deliver = (to: string): EntryStep => ({ kind: 'deliver', to });
const claim = (to: string): EntryStep => ({ kind: 'claim', to });
const acknowledge: EntryStep = { kind: 'acknowledge' };
const at = (consumer: string): EntryStep => ({ kind: 'at', consumer });
const finally_ = (state: string): EntryStep => ({ kind: 'finally', last: 'last', state });

function isRight(...lines: readonly Line[]): boolean {
  const history = new EntryHistory();
  for (const [client, callUs, returnUs, step] of lines) {
    const seen = history.begin(client, step.kind, callUs);
    seen.returnUs = returnUs;
    seen.steps.set('e', step);
  }
  return history.judge().violations.length === 0;
}

void test('an entry is added, delivered, claimed and acknowledged', () => {
  const life: Line[] = [
    ['a', 0, 1, add],
    ['a', 2, 3, deliver('a')],
    ['b', 4, 5, claim('b')],
    ['b', 6, 7, at('b')],
    ['b', 8, 9, acknowledge],
  ];
  assert.ok(isRight(...life, ['c', 10, 11, finally_(finalState.ACKNOWLEDGED)]));
  assert.ok(!isRight(...life, ['c', 10, 11, finally_(stateAt('b'))]), 'it was acknowledged');
  assert.ok(!isRight(...life.slice(0, 4), ['c', 10, 11, finally_(finalState.ACKNOWLEDGED)]), 'it was not');
});

void test('no entry is delivered twice, lost, or in two hands', () => {
  assert.ok(!isRight(['a', 0, 1, add], ['a', 2, 3, deliver('a')], ['b', 4, 5, deliver('b')]));
  assert.ok(!isRight(['a', 2, 3, deliver('a')], ['b', 0, 9, deliver('b')], ['a', 0, 1, add]), 'at once either');
  assert.ok(!isRight(['a', 0, 1, add], ['c', 2, 3, finally_(finalState.ABSENT)]), 'lost');
  assert.ok(!isRight(['a', 0, 1, add], ['c', 2, 3, finally_(finalState.ACKNOWLEDGED)]), 'given to nobody');
  assert.ok(isRight(['a', 0, 1, add], ['c', 2, 3, finally_(stateAt('last'))]), 'given to the last one');
  assert.ok(!isRight(['a', 0, 1, add], ['a', 2, 3, deliver('a')], ['b', 4, 5, claim('b')], ['a', 6, 7, at('a')]));
  assert.ok(!isRight(['a', 0, 1, add], ['a', 2, 3, acknowledge]), 'acknowledged before anybody had it');
  const once: Line[] = [
    ['a', 0, 1, add],
    ['a', 2, 3, deliver('a')],
    ['a', 4, 5, acknowledge],
  ];
  assert.ok(!isRight(...once, ['b', 6, 7, acknowledge]), 'acknowledged twice');
  assert.ok(isRight(...once, ['b', 6, 7, { kind: 'not pending' }]));
});

void test('what is unknown may have happened, late, or never', () => {
  const unknown: Line[] = [
    ['a', 0, 1, add],
    ['a', 2, NEVER, deliver('a')],
  ];
  assert.ok(isRight(...unknown, ['c', 4, 5, finally_(stateAt('a'))]));
  assert.ok(isRight(...unknown, ['b', 4, 5, deliver('b')]));
  assert.ok(isRight(...unknown, ['b', 4, 5, claim('b')]));
  assert.ok(!isRight(...unknown, ['c', 4, 5, finally_(stateAt('b'))]), 'nobody of that name asked');
});
