import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unreachable } from '../../src/assert.ts';
import type { OwnerAnswer } from '../../src/repl/owner-message.ts';
import type { Owners } from '../../src/cluster/owners.ts';
import { READ_RETRY_MS, ReadCore, type ReadEffect } from '../../src/repl/read-core.ts';
import { ROW } from './scripted-owners.ts';

const HEDGE_MS = 7;

/** One read, step by step; effects are shown as text. */
class Script {
  readonly core: ReadCore<string>;
  nowMs = 0;
  private attempt = 0;

  constructor(owners: Owners, maxReads?: number) {
    this.core = new ReadCore<string>({
      world: { owners: () => owners, rank: (members) => members, hedgeAfterMs: () => HEDGE_MS },
      tickMs: 1,
      ...(maxReads === undefined ? {} : { maxReads }),
    });
  }

  start(id = 1, deadlineMs = 100): string[] {
    return this.show(this.core.step({ kind: 'start', id, row: ROW, deadlineMs }, this.nowMs));
  }

  held(from: number, stamp: number, value?: string): string[] {
    return this.answer(from, { kind: 'held', version: { stamp, actor: 1 }, value });
  }

  answer(from: number, answer: OwnerAnswer<string>): string[] {
    return this.show(this.core.step({ kind: 'answer', attempt: this.attempt, from, answer }, this.nowMs));
  }

  /** Lets time pass until something happens. */
  wake(): string[] {
    for (;;) {
      this.nowMs = this.core.wakeAtMs;
      const shown = this.show(this.core.step({ kind: 'wake' }, this.nowMs));
      if (shown.length > 0) return shown;
    }
  }

  private show(effects: ReadEffect<string>[]): string[] {
    return effects.map((effect) => {
      switch (effect.kind) {
        case 'ask':
          this.attempt = effect.attempt;
          return `${effect.request.digest ? 'digest' : 'whole'}>${effect.to}`;
        case 'done':
          return `done ${effect.version.stamp} ${effect.value}`;
        case 'repair':
          return `repair>${effect.to} ${effect.request.ballot.stamp} ${effect.request.value}`;
        case 'fail':
          return effect.reason;
        case 'learn':
          return `learn ${effect.epoch} of ${effect.from}`;
        case 'settle':
          return 'settle';
        default:
          return unreachable(effect);
      }
    });
  }
}

const THREE = { current: [0, 1, 2], incoming: [] };

void test('the whole row of one owner and a digest of another are a quorum', () => {
  const script = new Script(THREE);
  assert.deepEqual(script.start(), ['whole>0', 'digest>1']);
  assert.deepEqual(script.held(0, 5, 'v'), []);
  assert.deepEqual(script.held(1, 5), ['done 5 v']);
  assert.equal(script.core.pending, 0);
});

void test('a row that nobody holds is absent', () => {
  const script = new Script(THREE);
  script.start();
  script.held(0, 0);
  assert.deepEqual(script.held(1, 0), ['done 0 undefined']);
});

void test('two disagree: the third decides, and the one behind is repaired', () => {
  const script = new Script(THREE);
  script.start();
  script.held(0, 5, 'old');
  assert.deepEqual(script.held(1, 6), ['whole>2']);
  assert.deepEqual(script.held(2, 6, 'new'), ['repair>0 6 new', 'done 6 new']);
});

void test('the highest version without a majority is not returned: a change settles it', () => {
  const script = new Script(THREE);
  script.start();
  script.held(0, 5, 'old');
  script.held(1, 6);
  assert.deepEqual(script.held(2, 5, 'old'), ['settle'], 'a majority for 5 says nothing while 6 was seen');
});

void test('two disagree and the third is silent: a change settles it after the hedging delay', () => {
  const script = new Script(THREE);
  script.start();
  script.held(0, 5, 'old');
  script.held(1, 6);
  assert.deepEqual(script.wake(), ['settle']);
  assert.equal(script.nowMs, HEDGE_MS);
});

void test('a slow owner is hedged, and its late answer counts for nothing twice', () => {
  const script = new Script(THREE);
  script.start();
  script.held(1, 5);
  assert.deepEqual(script.wake(), ['whole>2']);
  assert.deepEqual(script.held(1, 5), []);
  assert.deepEqual(script.held(2, 5, 'v'), ['done 5 v']);
  assert.deepEqual(script.held(0, 5, 'v'), []);
});

void test('an owner that cannot answer is replaced at once; a stale epoch is reported', () => {
  const script = new Script(THREE);
  script.start();
  assert.deepEqual(script.answer(1, { kind: 'stale', epoch: 4 }), ['learn 4 of 1', 'whole>2']);
  script.held(0, 5, 'v');
  assert.deepEqual(script.held(2, 5, 'v'), ['done 5 v']);
});

void test('too few answers: tried again until the deadline, then no-quorum', () => {
  const script = new Script(THREE);
  script.start(1, 25);
  script.answer(0, { kind: 'unsent' });
  script.answer(1, { kind: 'unsent' });
  script.answer(2, { kind: 'unsent' });
  assert.deepEqual(script.wake(), ['whole>0', 'digest>1']);
  assert.equal(script.nowMs, READ_RETRY_MS);
  const seen: string[] = [];
  while (script.core.pending > 0) seen.push(...script.wake());
  assert.equal(seen.at(-1), 'no-quorum');
  assert.equal(script.nowMs, 26, 'a tick after the deadline');
});

void test('during a move the answer must stand at a majority of the old and of the new owners', () => {
  const script = new Script({ current: [0, 1, 2], incoming: [1, 2, 3] });
  assert.deepEqual(script.start(), ['whole>0', 'digest>1', 'whole>2']);
  script.held(0, 5, 'v');
  assert.deepEqual(script.held(1, 5), [], 'a majority of the old ones only');
  assert.deepEqual(script.held(2, 5, 'v'), ['done 5 v']);
});

void test('during a move no set of digests is a quorum by itself', () => {
  const script = new Script({ current: [0, 1, 2], incoming: [3, 4, 5] });
  assert.deepEqual(script.start(), ['whole>0', 'digest>1', 'digest>2', 'digest>3', 'whole>4']);
});

void test('more reads than the limit fail before anything is sent', () => {
  const script = new Script(THREE, 1);
  script.start(1);
  assert.deepEqual(script.start(2), ['overloaded']);
});
